//! The writers: each takes a batch, commits it, answers. While one commit flushes, the next batch
//! fills, so that there needs to be no timer. A batch that the database refuses for its content is
//! cut until the item stands alone; that item is journalled as not applied and its siblings are
//! written.

use std::time::Duration;

use sqlx::PgConnection;

use super::prepare::{Piece, Senders, prepare};
use super::{Waiting, Webhook};
use crate::model::ids::SenderId;
use crate::signals::Signals;
use crate::store::journal::{Blocks, id_at};
use crate::store::{Store, StoreError};

/// Facts in a transaction: a big webhook is applied in chunks of so many.
pub(super) const MAX_FACTS: usize = 800;
/// A commit that takes longer never comes: the session is given up. Far beyond what a provider
/// waits, because what is committed late need not be written again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Commits webhooks, one batch at a time, in a session of its own.
#[derive(Debug)]
pub(super) struct Writer {
    store: Store,
    signals: Signals,
    session: Option<PgConnection>,
    blocks: Blocks,
    senders: Senders,
}

impl Writer {
    pub(super) fn new(store: Store, signals: Signals) -> Self {
        Self {
            store,
            signals,
            session: None,
            blocks: Blocks::default(),
            senders: Senders::default(),
        }
    }

    /// Commits these and answers all of them.
    pub(super) async fn write(&mut self, batch: Vec<Waiting>) {
        metrics::histogram!("twotick_ingest_batch_webhooks").record(batch.len() as f64);
        let webhooks: Vec<&Webhook> = batch.iter().map(|waiting| &waiting.webhook).collect();
        let applied = tokio::time::timeout(PATIENCE, self.apply_all(&webhooks)).await;
        match applied.unwrap_or(Err(StoreError::Database(sqlx::Error::PoolTimedOut))) {
            Ok(due) => {
                metrics::counter!("twotick_webhooks_committed_total").increment(batch.len() as u64);
                for waiting in batch {
                    // Whoever waited may have given up; the commit stands.
                    let _ = waiting.committed.send(());
                }
                self.wake(&due);
            }
            Err(error) => {
                // Whatever became of the session, the next batch has a new one.
                self.session = None;
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

    async fn apply_all(&mut self, webhooks: &[&Webhook]) -> Result<Due, StoreError> {
        let mut due = Due::default();
        let mut pieces = self.number(webhooks);
        match &*pieces {
            [big] if big.facts.len() > MAX_FACTS => {
                for piece in big.clone().chunks(MAX_FACTS) {
                    self.apply(vec![piece], &mut due).await?;
                }
            }
            _ => self.apply(std::mem::take(&mut pieces), &mut due).await?,
        }
        Ok(due)
    }

    /// Whole webhooks, with the ids of one block.
    fn number<'a>(&self, webhooks: &[&'a Webhook]) -> Vec<Piece<'a>> {
        let block = self.store.clock().new_id();
        (0..)
            .zip(webhooks)
            .map(|(place, webhook)| Piece::whole(webhook, id_at(block, place)))
            .collect()
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
                        for half in [second, pieces] {
                            let webhooks: Vec<_> = half.iter().map(|p| p.webhook).collect();
                            todo.push(self.number(&webhooks));
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
        batch.journal = self.blocks.pack(&journal).map_err(sqlx::Error::Io)?;
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.store.connect_writer().await?,
        };
        // Taken, so that whoever drops this future drops a session in an unknown state with it.
        let senders = self.store.ingest(&mut session, &batch).await;
        if senders
            .as_ref()
            .map_or_else(StoreError::is_refusal, |_| true)
        {
            self.session = Some(session);
        }
        due.senders.extend(senders?);
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
