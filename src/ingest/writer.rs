//! The writer: takes what is there, commits it, answers. While one commit flushes, the next
//! batch fills, so that it needs no timer. A batch that the database refuses for its content is
//! cut until the item stands alone; that item is journalled as not applied and its siblings are
//! written.

use tokio::sync::mpsc;

use super::Waiting;
use super::prepare::{Piece, Senders, prepare, unknown_numbers};
use crate::model::ids::SenderId;
use crate::signals::Signals;
use crate::store::{Store, StoreError};

/// Webhooks in a batch: more do not make the commit cheaper, and all of them wait for it.
const MAX_WEBHOOKS: usize = 512;
/// Facts in a batch, and so in a part of a big webhook: beyond, Postgres' CPU is the bound.
pub(super) const MAX_FACTS: usize = 800;
/// Bytes of bodies in a batch.
const MAX_BYTES: usize = 4 << 20;
/// Senders remembered; beyond, the memory starts anew.
const MAX_SENDERS: usize = 100_000;

/// Commits webhooks, one batch at a time.
#[derive(Debug)]
pub struct Writer {
    store: Store,
    signals: Signals,
    waiting: mpsc::Receiver<Waiting>,
    senders: Senders,
}

impl Writer {
    pub(super) fn new(store: Store, signals: Signals, waiting: mpsc::Receiver<Waiting>) -> Self {
        Self {
            store,
            signals,
            waiting,
            senders: Senders::new(),
        }
    }

    /// Runs until every [`super::Ingest`] is gone and the queue is empty.
    pub async fn run(mut self) {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(first) => first,
                None => match self.waiting.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            let batch;
            (batch, next) = self.take(first);
            self.write(batch).await;
        }
    }

    /// All that is there, within the bounds; and the one that did not fit.
    fn take(&mut self, first: Waiting) -> (Vec<Waiting>, Option<Waiting>) {
        let mut facts = first.facts.len();
        let mut bytes = first.bytes();
        let mut batch = vec![first];
        while batch.len() < MAX_WEBHOOKS {
            let Ok(waiting) = self.waiting.try_recv() else {
                break;
            };
            facts += waiting.facts.len();
            bytes += waiting.bytes();
            if facts > MAX_FACTS || bytes > MAX_BYTES {
                return (batch, Some(waiting));
            }
            batch.push(waiting);
        }
        (batch, None)
    }

    async fn write(&mut self, batch: Vec<Waiting>) {
        metrics::histogram!("twotick_ingest_batch_webhooks").record(batch.len() as f64);
        let mut due = Due::default();
        let pieces = batch.iter().map(Waiting::piece).collect();
        match self.apply(pieces, &mut due).await {
            Ok(()) => {
                metrics::counter!("twotick_webhooks_committed_total").increment(batch.len() as u64);
                for waiting in batch {
                    // Whoever waited may have given up; the commit stands.
                    let _ = waiting.committed.send(());
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
                        todo.push(pieces.split_off(n / 2));
                        todo.push(pieces);
                    }
                },
            }
        }
        Ok(())
    }

    async fn apply_once(&mut self, pieces: &[Piece<'_>], due: &mut Due) -> Result<(), StoreError> {
        self.meet_senders(pieces).await?;
        let batch = prepare(pieces, &self.senders, self.store.clock());
        due.senders.extend(self.store.ingest(&batch).await?);
        due.templates |= !batch.templates.is_empty();
        Ok(())
    }

    async fn meet_senders(&mut self, pieces: &[Piece<'_>]) -> Result<(), StoreError> {
        if self.senders.len() > MAX_SENDERS {
            self.senders.clear();
        }
        for (connection, numbers) in unknown_numbers(pieces, &self.senders) {
            for (number, sender) in self.store.register_senders(connection, &numbers).await? {
                self.senders.insert((connection, number), sender);
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
        let webhook = piece.webhook;
        let item = webhook
            .decoded
            .facts
            .get(piece.facts.start)
            .map(|fact| fact.item.clone());
        tracing::error!(webhook = %webhook.id, ?item, %error, "an item could not be applied");
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
        self.store.mark_not_applied(webhook.id.0, &reason).await
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
            facts: self.facts.clone(),
            journal: self.journal,
        }
    }

    /// What of it goes to the database as it came.
    fn bytes(&self) -> usize {
        if self.journal {
            self.webhook.body.len()
        } else {
            0
        }
    }
}
