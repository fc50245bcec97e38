//! What reading a webhook again changes in the journal: why it was not simply applied.

use serde_json::json;
use uuid::Uuid;

use super::super::facts::OwnFact;
use super::super::{Store, StoreError, again};
use super::State;
use crate::model::event;
use crate::model::ids::{ConnectionId, WebhookId};

impl Store {
    /// Says that somebody has these webhooks of a connection read again.
    pub async fn say_replay(
        &self,
        stream: i32,
        webhooks: &[WebhookId],
        by: &str,
    ) -> Result<(), StoreError> {
        let fact = OwnFact::of(stream, Uuid::nil(), event::WEBHOOKS_REPLAYED, "api")
            .with(json!({"by": by, "webhooks": webhooks}));
        again!(self, "say_replay", {
            let mut connection = self.pool.acquire().await?;
            self.write_facts(&mut connection, std::slice::from_ref(&fact))
                .await
        })
    }

    /// A webhook was read again: the reason of `before` is gone, what the database refused
    /// meanwhile stays, and so does what could not be understood this time. Returns what became
    /// of it; `None`: it is applied.
    pub async fn settle_replay(
        &self,
        webhook: WebhookId,
        connection: ConnectionId,
        before: Option<&str>,
        undecoded: Option<&str>,
    ) -> Result<Option<(State, String)>, StoreError> {
        again!(self, "settle_replay", {
            let mut transaction = self.begin().await?;
            sqlx::query!(
                r#"
                -- settle_replay
                WITH refused AS (
                    UPDATE journal_problems SET reason = substr(reason, length($2) + 3)
                    WHERE webhook = $1 AND starts_with(reason, $2 || '; ')
                )
                DELETE FROM journal_problems WHERE webhook = $1 AND reason = $2
                "#,
                webhook.0,
                before,
            )
            .execute(&mut *transaction)
            .await?;
            sqlx::query!(
                r#"
                -- settle_replay: undecoded
                INSERT INTO journal_problems AS p (webhook, connection, state, reason)
                SELECT $1, $2, $3, $4 WHERE $4::text IS NOT NULL
                ON CONFLICT (webhook) DO UPDATE SET reason = p.reason || '; ' || excluded.reason
                WHERE strpos(p.reason, excluded.reason) = 0
                "#,
                webhook.0,
                connection.0,
                State::Undecoded.as_str(),
                undecoded,
            )
            .execute(&mut *transaction)
            .await?;
            let row = sqlx::query!(
                r#"
                -- settle_replay: became
                SELECT state, reason FROM journal_problems WHERE webhook = $1
                "#,
                webhook.0,
            )
            .fetch_optional(&mut *transaction)
            .await?;
            transaction.commit().await?;
            row.map(|row| Ok((State::parse(&row.state)?, row.reason)))
                .transpose()
        })
    }
}
