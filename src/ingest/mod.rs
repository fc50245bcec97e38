//! From a verified webhook to its commit. Handlers hand their bytes to a bounded queue and
//! wait; a writer commits all that is there in one statement and answers all (group commit):
//! round trips to the database, not CPU, bound how many webhooks a second can be taken.

mod batches;
mod prepare;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::Clock;
use crate::config;
use crate::model::Timestamp;
use crate::model::fact::Decoded;
use crate::model::ids::ConnectionId;
use crate::signals::Signals;
use crate::store::Store;

pub use batches::Batches;

/// A webhook whose signature held.
#[derive(Debug)]
pub struct Webhook {
    /// Whose secret verified it.
    pub connection: ConnectionId,
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
}

/// It was not committed in time; the provider will post it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCommitted {
    /// The queue is full.
    #[error("too many webhooks are waiting to be written")]
    QueueFull,
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
    bytes: Arc<Semaphore>,
    queue_bytes: usize,
    deadline: Duration,
    clock: Clock,
}

/// A webhook in the queue, and who waits for it.
#[derive(Debug)]
struct Waiting {
    webhook: Webhook,
    /// Dropped unanswered when it could not be written.
    committed: oneshot::Sender<()>,
    /// Its share of the bytes that may wait; given back when it leaves.
    _bytes: OwnedSemaphorePermit,
}

impl Ingest {
    /// Returns when the webhook, its facts and their effects are committed.
    pub async fn commit(&self, webhook: Webhook) -> Result<(), NotCommitted> {
        metrics::counter!("twotick_webhooks_received_total").increment(1);
        let began = self.clock.monotonic();
        self.wait_for_commit(webhook).await?;
        metrics::histogram!("twotick_webhook_commit_seconds")
            .record(self.clock.monotonic().duration_since(began));
        Ok(())
    }

    /// Webhooks that wait for the writer, and the bytes of those that wait or are being written.
    pub fn waiting(&self) -> (usize, usize) {
        let webhooks = self.queue.max_capacity() - self.queue.capacity();
        let bytes = self
            .queue_bytes
            .saturating_sub(self.bytes.available_permits());
        (webhooks, bytes)
    }

    async fn wait_for_commit(&self, webhook: Webhook) -> Result<(), NotCommitted> {
        let (committed, done) = oneshot::channel();
        let size = u32::try_from(webhook.body.len()).unwrap_or(u32::MAX);
        let bytes = Arc::clone(&self.bytes)
            .try_acquire_many_owned(size)
            .map_err(|_| NotCommitted::QueueFull)?;
        let waiting = Waiting {
            webhook,
            committed,
            _bytes: bytes,
        };
        self.queue
            .try_send(waiting)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => NotCommitted::QueueFull,
                mpsc::error::TrySendError::Closed(_) => NotCommitted::Stopping,
            })?;
        match tokio::time::timeout(self.deadline, done).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(NotCommitted::Database),
            Err(_) => Err(NotCommitted::Deadline),
        }
    }
}

/// The queue, and what empties it. That ends when every [`Ingest`] is gone and the queue is empty: who stops the handlers first loses nothing.
pub fn start(store: Store, signals: Signals, settings: &config::Ingest) -> (Ingest, Batches) {
    let (queue, waiting) = mpsc::channel(settings.queue_webhooks);
    let ingest = Ingest {
        queue,
        bytes: Arc::new(Semaphore::new(settings.queue_bytes)),
        queue_bytes: settings.queue_bytes,
        deadline: settings.deadline,
        clock: store.clock().clone(),
    };
    (ingest, Batches::new(store, signals, waiting))
}
