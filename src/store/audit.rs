//! What was done with keys that manage or administer.

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
                SELECT id, at, by_key, by_name, action, request_id, status, detail
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
