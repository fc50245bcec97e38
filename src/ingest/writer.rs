//! The writers: each takes a batch, commits it, answers. While one commit flushes, the next batch
//! fills, so that there needs to be no timer. A batch that the database refuses for its content is
//! cut until the item stands alone; that item is journalled as not applied and its siblings are
//! written.

use uuid::Uuid;

use super::Waiting;
use super::prepare::{Piece, Senders, prepare};
use crate::model::ids::{SenderId, WebhookId};
use crate::signals::Signals;
use crate::store::ingest::Session;
use crate::store::journal::{Blocks, id_at};
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
}

impl Writer {
    pub(super) fn new(store: Store, signals: Signals) -> Self {
        Self {
            store,
            signals,
            session: Session::default(),
            blocks: Blocks::default(),
            senders: Senders::default(),
        }
    }

    /// Commits these and answers all of them.
    pub(super) async fn write(&mut self, batch: Vec<Waiting>) {
        metrics::histogram!("twotick_ingest_batch_webhooks").record(batch.len() as f64);
        let mut due = Due::default();
        let mut pieces: Vec<_> = batch.iter().map(Waiting::piece).collect();
        self.number(&mut pieces);
        let ids: Vec<_> = pieces.iter().map(|piece| piece.id).collect();
        match self.apply(pieces, &mut due).await {
            Ok(()) => {
                metrics::counter!("twotick_webhooks_committed_total").increment(batch.len() as u64);
                for (waiting, id) in batch.into_iter().zip(ids) {
                    // Whoever waited may have given up; the commit stands.
                    let _ = waiting.committed.send(id);
                }
                self.wake(&due);
            }
            Err(error) => {
                metrics::counter!("twotick_webhooks_uncommitted_total")
                    .increment(batch.len() as u64);
                tracing::warn!(%error, webhooks = batch.len(), "webhooks could not be committed");
            }
        }
    }

    fn wake(&self, due: &Due) {
        self.signals.changed();
        for sender in &due.senders {
            self.signals.due(*sender);
        }
        if due.templates {
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
    async fn apply(&mut self, pieces: Vec<Piece<'_>>, due: &mut Due) -> Result<(), StoreError> {
        // A stack and not recursion: the first half first, so that the journal row comes first.
        let mut todo = vec![pieces];
        while let Some(mut pieces) = todo.pop() {
            match self.apply_once(&pieces, due).await {
                Ok(()) => {}
                Err(error) if !error.is_refusal() => return Err(error),
                Err(error) => match pieces.len() {
                    0 => {}
                    1 => {
                        let piece = pieces.remove(0);
                        if piece.facts.len() <= 1 {
                            self.set_aside(piece, &error, due).await?;
                        } else {
                            let (first, second) = piece.split();
                            todo.push(vec![second]);
                            todo.push(vec![first]);
                        }
                    }
                    n => {
                        let second = pieces.split_off(n / 2);
                        for mut half in [second, pieces] {
                            self.number(&mut half);
                            todo.push(half);
                        }
                    }
                },
            }
        }
        Ok(())
    }

    async fn apply_once(&mut self, pieces: &[Piece<'_>], due: &mut Due) -> Result<(), StoreError> {
        self.meet_senders(pieces).await?;
        let (mut batch, journal) = prepare(pieces, &self.senders, self.store.clock());
        batch.journal = self.blocks.pack(&journal)?;
        let senders = self.store.ingest(&mut self.session, &batch).await?;
        due.senders.extend(senders);
        due.templates |= !batch.templates.is_empty();
        Ok(())
    }

    async fn meet_senders(&mut self, pieces: &[Piece<'_>]) -> Result<(), StoreError> {
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
        piece: Piece<'_>,
        error: &StoreError,
        due: &mut Due,
    ) -> Result<(), StoreError> {
        let Piece { webhook, id, .. } = piece;
        let item = webhook
            .decoded
            .facts
            .get(piece.facts.start)
            .map(|fact| fact.item.clone());
        tracing::error!(webhook = %id, ?item, %error, "an item could not be applied");
        metrics::counter!("twotick_items_not_applied_total").increment(1);
        if piece.journal {
            let empty = piece.facts.start..piece.facts.start;
            let journal = Piece {
                facts: empty,
                ..piece
            };
            self.apply_once(&[journal], due).await?;
        }
        let reason = format!("{}: {error}", item.unwrap_or_default());
        let connection = webhook.connection;
        self.store.mark_not_applied(id, connection, &reason).await
    }
}

/// Who has something to do because of a batch.
#[derive(Debug, Default)]
struct Due {
    senders: Vec<SenderId>,
    templates: bool,
}

impl Waiting {
    fn piece(&self) -> Piece<'_> {
        Piece {
            webhook: &self.webhook,
            // One that has none yet is given one with its place in a block.
            id: self.journalled.unwrap_or(WebhookId(Uuid::nil())),
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
