//! The log of deliveries: what was posted to a subscription, and what came of it.

use uuid::Uuid;

use super::deliveries::Attempted;
use super::feed::Place;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::SubscriptionId;

/// How many rows one statement deletes.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// How many rows of one subscription a page looks at, where a filter leaves most of them out.
const LOOKED_AT: i64 = 50_000;

/// Which deliveries are asked for.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    /// Those that failed, or those that did not.
    pub failed: Option<bool>,
    /// Of this event.
    pub event: Option<Uuid>,
}

/// A row of the log.
struct Row {
    id: Uuid,
    at: Timestamp,
    xid: i64,
    event: Uuid,
    stream: i32,
    r#type: String,
    attempt: i16,
    status: Option<i16>,
    latency_ms: i32,
    error: Option<String>,
    answer: Option<String>,
}

impl From<Row> for Attempted {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            at: row.at,
            place: Place {
                xid: row.xid,
                id: row.event,
            },
            stream: row.stream,
            r#type: row.r#type,
            attempt: row.attempt,
            status: row.status,
            latency_ms: row.latency_ms,
            error: row.error,
            answer: row.answer,
        }
    }
}

impl Store {
    /// A page of attempts, the newest first, and where the next one begins, if there may be one. A
    /// page may have fewer rows than `limit`, and a next one all the same.
    pub async fn deliveries(
        &self,
        subscription: SubscriptionId,
        filter: &LogFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<(Vec<Attempted>, Option<Uuid>), StoreError> {
        let before = before.unwrap_or(Uuid::max());
        let (rows, until) = match filter {
            LogFilter {
                failed: Some(true),
                event: None,
            } => (self.failed(subscription, before, limit).await?, None),
            LogFilter {
                failed: None,
                event: None,
            } => {
                let every = self.logged(subscription, filter, before, Uuid::nil(), limit);
                (every.await?, None)
            }
            _ => {
                let until = self.looked_at_until(subscription, before).await?;
                let from = until.unwrap_or_default();
                let some = self.logged(subscription, filter, before, from, limit);
                (some.await?, until)
            }
        };
        let is_full = rows.len() >= usize::try_from(limit).unwrap_or(0);
        let last = rows.last().filter(|_| is_full).map(|row| row.id);
        let rows = rows.into_iter().map(Attempted::from).collect();
        Ok((rows, last.or(until)))
    }

    async fn logged(
        &self,
        subscription: SubscriptionId,
        filter: &LogFilter,
        before: Uuid,
        from: Uuid,
        limit: i64,
    ) -> Result<Vec<Row>, StoreError> {
        again!(self, "deliveries", {
            Ok(sqlx::query_as!(
                Row,
                r#"
            -- deliveries
            SELECT id, at, xid::text::bigint AS "xid!", event, stream, type, attempt, status,
                   latency_ms, error, answer
            FROM deliveries
            WHERE subscription = $1 AND id < $2 AND id >= $3
                AND ($4::boolean IS NULL OR (error IS NOT NULL) = $4)
                AND ($5::uuid IS NULL OR event = $5)
            ORDER BY id DESC
            LIMIT $6
            "#,
                subscription.0,
                before,
                from,
                filter.failed,
                filter.event,
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })
    }

    /// Those that failed have an index: they are what is looked for.
    async fn failed(
        &self,
        subscription: SubscriptionId,
        before: Uuid,
        limit: i64,
    ) -> Result<Vec<Row>, StoreError> {
        again!(self, "deliveries: failed", {
            Ok(sqlx::query_as!(
                Row,
                r#"
            -- deliveries: failed
            SELECT id, at, xid::text::bigint AS "xid!", event, stream, type, attempt, status,
                   latency_ms, error, answer
            FROM deliveries
            WHERE subscription = $1 AND id < $2 AND error IS NOT NULL
            ORDER BY id DESC
            LIMIT $3
            "#,
                subscription.0,
                before,
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })
    }

    /// The oldest row that a page looks at; `None` where all fit.
    async fn looked_at_until(
        &self,
        subscription: SubscriptionId,
        before: Uuid,
    ) -> Result<Option<Uuid>, StoreError> {
        again!(self, "deliveries: until", {
            Ok(sqlx::query_scalar!(
                r#"
            -- deliveries: until
            SELECT id FROM deliveries WHERE subscription = $1 AND id < $2
            ORDER BY id DESC OFFSET $3 LIMIT 1
            "#,
                subscription.0,
                before,
                LOOKED_AT - 1,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })
    }

    /// Deletes attempts of before.
    pub async fn forget_deliveries(&self, before: Timestamp) -> Result<(), StoreError> {
        loop {
            let deleted = again!(self, "forget_deliveries", {
                Ok(sqlx::query!(
                    r#"
                -- forget_deliveries
                DELETE FROM deliveries
                WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM deliveries WHERE at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
                ))
                "#,
                    before,
                    FORGOTTEN_AT_ONCE,
                )
                .execute(&mut *self.pool.acquire().await?)
                .await?)
            })?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}
