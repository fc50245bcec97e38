//! What was done with keys that manage or administer, and what was read at the providers.

use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::model::Timestamp;

/// What is about to be done.
#[derive(Debug, Clone)]
pub struct NewAct {
    /// `key_…`, or `command`.
    pub by_key: String,
    /// The key's name, or the command.
    pub by_name: String,
    /// Method and path.
    pub action: String,
    /// Under which the log has more.
    pub request_id: Option<String>,
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Act {
    /// In the order in which they were begun.
    pub id: Uuid,
    /// When it was begun.
    pub at: Timestamp,
    /// `key_…`, or `command`.
    pub by_key: String,
    /// The key's name, or the command.
    pub by_name: String,
    /// Method and path.
    pub action: String,
    /// Under which the log has more.
    pub request_id: Option<String>,
    /// The answer's; `None` where nobody knows what came of it.
    pub status: Option<i16>,
    /// What it was about, and what a provider said of it.
    pub detail: Option<String>,
    /// Of calls to a provider: how many.
    pub calls: Option<i32>,
}

/// Calls to a provider that are alike.
#[derive(Debug, Clone)]
pub struct CallsMade {
    /// Theirs alone, whoever makes others.
    pub id: Uuid,
    /// When the first was made.
    pub at: Timestamp,
    /// `key_…`, or `twotick`.
    pub by_key: String,
    /// The key's name.
    pub by_name: String,
    /// The operation.
    pub action: &'static str,
    /// The provider's answer.
    pub status: Option<i16>,
    /// Of which connection, and what came of it.
    pub detail: String,
    /// How many there were so far.
    pub calls: i32,
}

impl Store {
    /// Writes down what is about to be done.
    pub async fn begin_act(&self, act: &NewAct) -> Result<Uuid, StoreError> {
        let (id, now) = (self.clock.new_id(), self.clock.now());
        again!(self, "begin_act", {
            Ok(sqlx::query!(
                r#"
                -- begin_act
                INSERT INTO audit (id, at, by_key, by_name, action, request_id)
                VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (id) DO NOTHING
                "#,
                id,
                now,
                act.by_key,
                act.by_name,
                act.action,
                act.request_id,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(id)
    }

    /// Writes down what came of it.
    pub async fn end_act(
        &self,
        act: Uuid,
        status: u16,
        detail: Option<&str>,
    ) -> Result<(), StoreError> {
        again!(self, "end_act", {
            sqlx::query!(
                r#"
                -- end_act
                UPDATE audit SET status = $2, detail = $3 WHERE id = $1
                "#,
                act,
                i16::try_from(status).ok(),
                detail,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Writes down how many calls there were so far: again, or late, does no harm.
    pub async fn record_calls(&self, made: &[CallsMade]) -> Result<(), StoreError> {
        again!(self, "record_calls", {
            sqlx::query!(
                r#"
                -- record_calls
                INSERT INTO audit (id, at, by_key, by_name, action, status, detail, calls)
                SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[],
                                     $5::text[], $6::smallint[], $7::text[], $8::integer[])
                ON CONFLICT (id) DO UPDATE SET calls = greatest(audit.calls, excluded.calls)
                "#,
                &made.iter().map(|it| it.id).collect::<Vec<_>>(),
                &made.iter().map(|it| it.at).collect::<Vec<_>>(),
                &made.iter().map(|it| it.by_key.clone()).collect::<Vec<_>>(),
                &made.iter().map(|it| it.by_name.clone()).collect::<Vec<_>>(),
                &made
                    .iter()
                    .map(|it| it.action.to_owned())
                    .collect::<Vec<_>>(),
                &made.iter().map(|it| it.status).collect::<Vec<_>>() as &[Option<i16>],
                &made.iter().map(|it| it.detail.clone()).collect::<Vec<_>>(),
                &made.iter().map(|it| it.calls).collect::<Vec<_>>(),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Deletes what is told of calls before then. What was done stays.
    pub async fn forget_calls(&self, before: Timestamp) -> Result<(), StoreError> {
        /// Few, so that it holds their locks for a moment only.
        const AT_ONCE: i64 = 1_000;
        loop {
            let deleted = again!(self, "forget_calls", {
                Ok(sqlx::query!(
                    r#"
                    -- forget_calls
                    DELETE FROM audit WHERE id = ANY(ARRAY(
                        SELECT id FROM audit WHERE calls IS NOT NULL AND at < $1
                        ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
                    ))
                    "#,
                    before,
                    AT_ONCE,
                )
                .execute(&mut *self.pool.acquire().await?)
                .await?)
            })?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    /// The newest first; `before` is the last of the page before.
    pub async fn list_acts(
        &self,
        by_key: Option<&str>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Act>, StoreError> {
        again!(self, "list_acts", {
            Ok(sqlx::query_as!(
                Act,
                r#"
                -- list_acts
                SELECT id, at, by_key, by_name, action, request_id, status, detail, calls
                FROM audit
                WHERE ($1::uuid IS NULL OR id < $1) AND ($2::text IS NULL OR by_key = $2)
                ORDER BY id DESC LIMIT $3
                "#,
                before,
                by_key,
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })
    }
}
