//! A writer: commits a batch and answers it. One that the database refuses for its content is cut
//! until the item stands alone; that item is journalled as not applied and its siblings are
//! written.

use std::mem::take;

use uuid::Uuid;

use super::Waiting;
use super::names::{Hearsay, Names};
use super::prepare::{Piece, Senders, prepare};
use crate::model::error_class::classify;
use crate::model::ids::{SenderId, WebhookId};
use crate::signals::Signals;
use crate::store::ingest::{Batch, Session};
use crate::store::journal::{Blocks, ProblemRow, State, id_at};
use crate::store::{Store, StoreError};

/// Facts in a batch, and so in a part of a big webhook: beyond, Postgres' CPU is the bound.
pub(super) const MAX_FACTS: usize = 800;

/// Commits webhooks, one batch at a time, in a session of its own.
#[derive(Debug)]
pub(super) struct Writer {
    store: Store,
    signals: Signals,
    session: Session,
    blocks: Blocks,
    senders: Senders,
    names: Names,
    hearsay: Hearsay,
}

impl Writer {
    pub(super) fn new(store: Store, signals: Signals, names: Names, hearsay: Hearsay) -> Self {
        Self {
            store,
            signals,
            session: Session::default(),
            blocks: Blocks::default(),
            senders: Senders::default(),
            names,
            hearsay,
        }
    }

    /// Commits these and answers all of them.
    pub(super) async fn write(&mut self, batch: Vec<Waiting>) {
        metrics::histogram!("twotick_ingest_batch_webhooks").record(batch.len() as f64);
        let mut done = Done {
            ids: batch.iter().map(Waiting::id).collect(),
            ..Done::default()
        };
        let mut pieces: Vec<_> = (0..).zip(&batch).map(|(of, w)| w.piece(of)).collect();
        self.number(&mut pieces);
        let applied = self.apply(pieces, &mut done).await;
        // Whatever was committed may have made something due, though the rest was not.
        self.wake(&done);
        match applied {
            Ok(()) => {
                metrics::counter!("twotick_webhooks_committed_total").increment(batch.len() as u64);
                for (waiting, id) in batch.into_iter().zip(done.ids) {
                    // Whoever waited may have given up; the commit stands.
                    let _ = waiting.committed.send(id);
                }
            }
            Err(error) => {
                metrics::counter!("twotick_webhooks_uncommitted_total")
                    .increment(batch.len() as u64);
                tracing::warn!(%error, webhooks = batch.len(), "webhooks could not be committed");
            }
        }
    }

    fn wake(&self, done: &Done) {
        self.signals.changed();
        for sender in &done.due {
            self.signals.due(*sender);
        }
        if done.may_open {
            self.signals.all_due_here();
        }
    }

    /// Names those that are to be journalled: the places of one block.
    fn number(&self, pieces: &mut [Piece<'_>]) {
        let block = self.store.clock().new_id();
        for (place, piece) in (0..).zip(pieces.iter_mut().filter(|piece| piece.journal)) {
            piece.id = id_at(block, place);
        }
    }

    /// Applies pieces in as few transactions as the database lets us. Each is idempotent, so
    /// that a provider's repetition mends whatever a crash leaves between two of them.
    async fn apply(&mut self, pieces: Vec<Piece<'_>>, done: &mut Done) -> Result<(), StoreError> {
        // A stack and not recursion: the first half first, so that the journal row comes first.
        let mut todo = vec![pieces];
        while let Some(mut pieces) = todo.pop() {
            match self.apply_once(&pieces, None, done).await {
                Ok(()) => {}
                Err(error) if !error.is_refusal() => return Err(error),
                Err(_) if pieces.len() > 1 => {
                    let second = pieces.split_off(pieces.len() / 2);
                    for mut half in [second, pieces] {
                        self.number(&mut half);
                        todo.push(half);
                    }
                }
                Err(_) => match pieces.pop() {
                    Some(piece) if piece.facts.len() > 1 => {
                        let (first, second) = piece.split();
                        todo.push(vec![second]);
                        todo.push(vec![first]);
                    }
                    Some(piece) => self.apply_alone(piece, done).await?,
                    None => {}
                },
            }
        }
        Ok(())
    }

    async fn apply_once(
        &mut self,
        pieces: &[Piece<'_>],
        refused: Option<ProblemRow>,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        self.meet_senders(pieces).await?;
        let (mut batch, journal) = prepare(pieces, &self.senders, &self.names, self.store.clock());
        batch.journal = self.blocks.pack(&journal)?;
        batch.problems.extend(refused);
        let due = self.store.ingest(&mut self.session, &batch).await?;
        done.due.extend(due);
        count_failures(&batch);
        done.may_open |= batch.may_open();
        let (names, heard) = (take(&mut batch.names), take(&mut batch.heard));
        for piece in pieces {
            if let Some(id) = done.ids.get_mut(piece.of) {
                *id = piece.id;
            }
        }
        self.names.written(&names);
        if !heard.is_empty() {
            // Where there is no place, they are said again.
            let _ = self.hearsay.try_send(heard);
        }
        Ok(())
    }

    /// The last that a batch was cut to. Should the refusal have had to do with what stood beside
    /// it, or with a moment, it is taken now.
    async fn apply_alone(&mut self, piece: Piece<'_>, done: &mut Done) -> Result<(), StoreError> {
        let alone = [piece];
        match self.apply_once(&alone, None, done).await {
            Err(error) if error.is_refusal() => self.set_aside(alone, &error, done).await,
            result => result,
        }
    }

    async fn meet_senders(&mut self, pieces: &[Piece<'_>]) -> Result<(), StoreError> {
        for (connection, ids) in self.senders.unknown_ids(pieces) {
            for sender in self.store.senders_of(connection, &ids).await? {
                self.senders.insert_id(connection, sender);
            }
        }
        for (connection, numbers) in self.senders.unknown(pieces) {
            for (number, sender) in self.store.register_senders(connection, &numbers).await? {
                self.senders.insert(connection, number, sender);
            }
        }
        Ok(())
    }

    /// One item that the database will not take: its webhook is kept and marked.
    async fn set_aside(
        &mut self,
        [piece]: [Piece<'_>; 1],
        error: &StoreError,
        done: &mut Done,
    ) -> Result<(), StoreError> {
        let at = piece.facts.start;
        let item = piece.webhook.decoded.facts.get(at);
        let item = item.map_or("", |fact| &fact.item);
        tracing::error!(webhook = %piece.id, item, %error, "an item could not be applied");
        metrics::counter!("twotick_items_not_applied_total").increment(1);
        let problem = ProblemRow {
            webhook: piece.id,
            connection: piece.webhook.connection,
            stream: piece.webhook.stream,
            state: State::NotApplied,
            reason: format!("{item}: {error}"),
        };
        let without = Piece {
            facts: at..at,
            ..piece
        };
        self.apply_once(&[without], Some(problem), done).await
    }
}

/// What became of a batch.
#[derive(Debug, Default)]
struct Done {
    /// What its webhooks are called in the journal.
    ids: Vec<WebhookId>,
    /// Who has something to do because of it.
    due: Vec<SenderId>,
    /// Whether anybody may have.
    may_open: bool,
}

impl Waiting {
    /// Nil for one that has no id yet: it is given one with its place in a block.
    fn id(&self) -> WebhookId {
        self.journalled.unwrap_or(WebhookId(Uuid::nil()))
    }

    fn piece(&self, of: usize) -> Piece<'_> {
        Piece {
            webhook: &self.webhook,
            of,
            id: self.id(),
            facts: self.facts.clone(),
            journal: self.journalled.is_none(),
        }
    }

    /// What of it goes to the database as it came.
    pub(super) fn bytes(&self) -> usize {
        if self.journalled.is_none() {
            self.webhook.body.len()
        } else {
            0
        }
    }
}

/// One that is said again counts again: which are new the database does not say.
fn count_failures(batch: &Batch<'_>) {
    let failed = batch
        .attempts
        .iter()
        .filter_map(|said| said.evidence.failed);
    for failed in failed {
        let class = classify(failed.code).as_str();
        metrics::counter!("twotick_messages_failed_total", "class" => class).increment(1);
    }
}
