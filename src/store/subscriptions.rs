//! Subscriptions as the API shows them.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, SenderId, SubscriptionId};

pub use super::subscription_changes::SubscriptionChange;
pub use super::subscription_secrets::Secrets;

/// The stream of facts that belong to no sender and no connection: numbers begin at 1.
pub const NO_STREAM: i32 = 0;

/// Where an internal service wants events posted.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of subscriptions")]
pub struct Subscription {
    pub id: SubscriptionId,
    pub wanted: Wanted,
    /// `None`: they were sealed with another key. They can be replaced.
    pub secrets: Option<Secrets>,
    pub status: String,
    pub disabled_reason: Option<String>,
    pub disabled_at: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// What its owner says of it.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of subscriptions")]
pub struct Wanted {
    pub url: String,
    pub description: Option<String>,
    pub types: Vec<String>,
    pub senders: Vec<SenderId>,
    pub connections: Vec<ConnectionId>,
    pub format: String,
    pub timeout: Duration,
}

/// The columns.
struct Row {
    id: Uuid,
    url: String,
    description: Option<String>,
    types: Vec<String>,
    senders: Vec<i32>,
    connections: Vec<Uuid>,
    format: String,
    timeout_ms: i32,
    secrets: Vec<u8>,
    status: String,
    disabled_reason: Option<String>,
    disabled_at: Option<Timestamp>,
    failing_since: Option<Timestamp>,
    created_at: Timestamp,
}

impl Store {
    fn open_subscription(&self, row: Row) -> Subscription {
        let id = SubscriptionId(row.id);
        Subscription {
            id,
            secrets: self.open_secrets(id, &row.secrets),
            wanted: Wanted {
                url: row.url,
                description: row.description,
                types: row.types,
                senders: row.senders.into_iter().map(SenderId).collect(),
                connections: row.connections.into_iter().map(ConnectionId).collect(),
                format: row.format,
                timeout: Duration::from_millis(row.timeout_ms.unsigned_abs().into()),
            },
            status: row.status,
            disabled_reason: row.disabled_reason,
            disabled_at: row.disabled_at,
            failing_since: row.failing_since,
            created_at: row.created_at,
        }
    }

    pub(super) async fn read_subscriptions(
        &self,
        connection: &mut PgConnection,
        id: Option<SubscriptionId>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Subscription>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            -- read_subscriptions
            SELECT id, url, description, types, senders, connections, format, timeout_ms, secrets,
                   status, disabled_reason, disabled_at, failing_since, created_at
            FROM subscriptions
            WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id < $2)
            ORDER BY id DESC
            LIMIT $3
            "#,
            id.map(|id| id.0),
            before,
            limit,
        )
        .fetch_all(connection)
        .await?;
        let opened = rows.into_iter().map(|row| self.open_subscription(row));
        Ok(opened.collect())
    }

    /// One subscription.
    pub async fn subscription(
        &self,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        again!(self, "subscription", {
            let connection = &mut *self.pool.acquire().await?;
            let found = self.read_subscriptions(connection, Some(id), None, 1);
            Ok(found.await?.pop())
        })
    }

    /// Subscriptions, the newest first.
    pub async fn list_subscriptions(
        &self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Subscription>, StoreError> {
        again!(self, "list_subscriptions", {
            let connection = &mut *self.pool.acquire().await?;
            self.read_subscriptions(connection, None, before, limit)
                .await
        })
    }
}
