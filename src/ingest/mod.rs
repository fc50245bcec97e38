//! From a verified webhook to its commit. Handlers hand their bytes to a bounded queue and
//! wait; a writer commits all that is there in one statement and answers all (group commit):
//! round trips to the database, not CPU, bound how many webhooks a second can be taken.
//!
//! A webhook of many facts is handed over in parts, one when the one before is committed, so that
//! the others get their turns between. Each part is idempotent; how far it came is remembered, so
//! that one that is not done by its deadline goes on from there when it is posted again.

mod batches;
mod decode;
mod names;
mod prepare;
mod progress;
mod remember;
mod replay;
mod writer;

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use self::decode::Decoder;
use self::progress::Progress;
use crate::clock::Clock;
use crate::config;
use crate::model::Timestamp;
use crate::model::fact::Decoded;
use crate::model::ids::{ConnectionId, WebhookId};
use crate::model::provider::Provider;
use crate::signals::Signals;
use crate::store::Store;

pub use batches::Batches;
pub use decode::{Share, decoded_size};
pub use replay::{NotReplayed, Replayer};

/// A webhook whose signature held.
#[derive(Debug)]
pub struct Webhook {
    /// Whose secret verified it.
    pub connection: ConnectionId,
    /// Whose provider's words it is in.
    pub provider: Provider,
    /// The connection's own stream, for facts that have no sender.
    pub stream: i32,
    /// When its last byte came.
    pub received_at: Timestamp,
    /// The headers that matter.
    pub headers: Map<String, Value>,
    /// As it came.
    pub body: Bytes,
    /// What it says.
    pub decoded: Decoded,
    /// Its share of the memory for that.
    pub share: Share,
}

/// It was not committed in time; the provider will post it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCommitted {
    /// The queue is full.
    #[error("too many webhooks are waiting to be written")]
    QueueFull,
    /// The memory for what webhooks say is taken.
    #[error("too many webhooks are waiting to be decoded")]
    TooMuch,
    /// The database failed.
    #[error("the database could not commit it")]
    Database,
    /// The database did not commit before the deadline.
    #[error("the database did not commit it in time")]
    Deadline,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

/// Hands webhooks to the writer. Clones share one queue.
#[derive(Debug, Clone)]
pub struct Ingest {
    queue: mpsc::Sender<Waiting>,
    decoder: Decoder,
    progress: Progress,
    deadline: Duration,
    clock: Clock,
}

/// A webhook in the queue, or a part of a big one, and who waits for it.
#[derive(Debug)]
struct Waiting {
    webhook: Arc<Webhook>,
    /// Which of its facts.
    facts: Range<usize>,
    /// What it is called in the journal, if an earlier part of it is there.
    journalled: Option<WebhookId>,
    /// Told what it is called in the journal; dropped unanswered when it could not be written.
    committed: oneshot::Sender<WebhookId>,
}

impl Ingest {
    /// How long after its headers came a webhook must be answered.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What a body says, once there is memory for it.
    pub async fn decode(
        &self,
        provider: Provider,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<(Decoded, Share), NotCommitted> {
        self.decoder.decode(provider, body, deadline).await
    }

    /// Returns when the webhook, its facts and their effects are committed.
    pub async fn commit(&self, webhook: Webhook, deadline: Instant) -> Result<(), NotCommitted> {
        metrics::counter!("twotick_webhooks_received_total").increment(1);
        let began = self.clock.monotonic();
        self.commit_all(webhook, None, deadline).await?;
        metrics::histogram!("twotick_webhook_commit_seconds")
            .record(self.clock.monotonic().duration_since(began));
        Ok(())
    }

    /// How many webhooks, or parts of big ones, wait for a writer.
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// `journalled`: what it is called in the journal, if it is there.
    async fn commit_all(
        &self,
        webhook: Webhook,
        mut journalled: Option<WebhookId>,
        deadline: Instant,
    ) -> Result<(), NotCommitted> {
        let facts = webhook.decoded.facts.len();
        let webhook = Arc::new(webhook);
        if facts <= writer::MAX_FACTS {
            let whole = self.commit_part(&webhook, 0..facts, journalled, deadline);
            whole.await?;
            return Ok(());
        }
        let key = progress::key(&webhook);
        let mut done = self.progress.get(&key);
        loop {
            let part = done..facts.min(done + writer::MAX_FACTS);
            done = part.end;
            let part = self.commit_part(&webhook, part, journalled, deadline);
            journalled = Some(part.await?);
            if done == facts {
                self.progress.forget(&key);
                return Ok(());
            }
            self.progress.set(key, done);
        }
    }

    async fn commit_part(
        &self,
        webhook: &Arc<Webhook>,
        facts: Range<usize>,
        journalled: Option<WebhookId>,
        deadline: Instant,
    ) -> Result<WebhookId, NotCommitted> {
        let (committed, done) = oneshot::channel();
        let waiting = Waiting {
            webhook: Arc::clone(webhook),
            facts,
            journalled,
            committed,
        };
        self.queue
            .try_send(waiting)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => NotCommitted::QueueFull,
                mpsc::error::TrySendError::Closed(_) => NotCommitted::Stopping,
            })?;
        match timeout_at(deadline.into(), done).await {
            Ok(Ok(id)) => Ok(id),
            Ok(Err(_)) => Err(NotCommitted::Database),
            Err(_) => Err(NotCommitted::Deadline),
        }
    }
}

/// The queue, and what empties it. That ends when every [`Ingest`] is gone and the queue is empty:
/// who stops the handlers first loses nothing.
pub fn start(store: Store, signals: Signals, settings: &config::Ingest) -> (Ingest, Batches) {
    let (queue, waiting) = mpsc::channel(settings.queue_webhooks);
    let ingest = Ingest {
        queue,
        decoder: Decoder::new(settings.decoded_bytes, store.erased()),
        progress: Progress::default(),
        deadline: settings.deadline,
        clock: store.clock().clone(),
    };
    (ingest, Batches::new(store, signals, waiting))
}
