//! Webhooks as they came.

use serde_json::Value;
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, WebhookId};

/// A webhook, without its bytes.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of journal")]
pub struct WebhookRow {
    pub id: Uuid,
    pub connection: ConnectionId,
    pub received_at: Timestamp,
    pub bytes: i32,
    pub facts: i32,
    pub state: String,
    pub reason: Option<String>,
}

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct JournalFilter {
    pub connection: Option<ConnectionId>,
    pub state: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// The lowest id that can have been made in the millisecond of `at`: the journal is partitioned
/// by id, and ids begin with their time.
fn first_id(at: Timestamp) -> Uuid {
    let ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    Uuid::from_u128(u128::from(ms) << 80)
}

impl Store {
    /// A page, newest first.
    pub async fn list_webhooks(
        &self,
        filter: &JournalFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<WebhookRow>, StoreError> {
        let until = filter.until.map(first_id);
        let before = match (before, until) {
            (Some(before), Some(until)) => Some(before.min(until)),
            (before, until) => before.or(until),
        };
        again!(self, "list_webhooks", {
            let mut list = self.begin_list().await?;
            let rows = sqlx::query_as!(
                WebhookRow,
                r#"
            -- list_webhooks
            SELECT id, connection, received_at, bytes, facts, state, reason
            FROM journal
            WHERE ($1::uuid IS NULL OR id < $1)
                AND ($2::uuid IS NULL OR id >= $2)
                AND ($3::uuid IS NULL OR connection = $3)
                AND ($4::text IS NULL OR state = $4)
            ORDER BY id DESC
            LIMIT $5
            "#,
                before,
                filter.since.map(first_id),
                filter.connection.map(|connection| connection.0),
                filter.state,
                limit,
            )
            .fetch_all(&mut *list)
            .await?;
            Ok(rows)
        })
    }

    /// One, with its headers and its bytes.
    pub async fn webhook(
        &self,
        id: WebhookId,
    ) -> Result<Option<(WebhookRow, Value, Vec<u8>)>, StoreError> {
        let row = again!(self, "webhook", {
            Ok(sqlx::query!(
                r#"
            -- webhook
            SELECT id, connection, received_at, bytes, facts, state, reason, headers, body
            FROM journal WHERE id = $1
            "#,
                id.0,
            )
            .fetch_optional(&*self.pool)
            .await?)
        })?;
        Ok(row.map(|row| {
            let webhook = WebhookRow {
                id: row.id,
                connection: ConnectionId(row.connection),
                received_at: row.received_at,
                bytes: row.bytes,
                facts: row.facts,
                state: row.state,
                reason: row.reason,
            };
            (webhook, row.headers, row.body)
        }))
    }
}
