//! Texts that may repeat a person's name, of tables that name nobody otherwise: what subscribers
//! refused with, and what could not be understood. They are walked through, some a statement.

use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{Store, StoreError, again};
use super::Whom;
use crate::model::erased::ERASED;

/// Rows that are looked at in one statement.
const LOOKED_AT: i64 = 5_000;

impl Store {
    /// What subscribers refused with, and what could not be understood.
    pub(super) async fn erase_texts(&self, whom: &Whom) -> Result<(), StoreError> {
        let mut after = (OffsetDateTime::UNIX_EPOCH, Uuid::nil(), Uuid::nil());
        while let Some(last) = self.erase_delivery_answers(whom, after).await? {
            after = last;
        }
        let mut after = Uuid::nil();
        while let Some(last) = self.erase_problems(whom, after).await? {
            after = last;
        }
        Ok(())
    }

    async fn erase_delivery_answers(
        &self,
        whom: &Whom,
        after: (OffsetDateTime, Uuid, Uuid),
    ) -> Result<Option<(OffsetDateTime, Uuid, Uuid)>, StoreError> {
        again!(self, "erase: answers of subscribers", {
            let last = sqlx::query!(
                r#"
                -- erase: answers of subscribers
                WITH page AS MATERIALIZED (
                    SELECT at, subscription, id, answer FROM deliveries
                    WHERE answer IS NOT NULL AND at >= $1 AND (at, subscription, id) > ($1, $2, $3)
                        AND at < $4
                    ORDER BY at, subscription, id
                    LIMIT $7
                ),
                erased AS (
                    UPDATE deliveries d SET answer = $6 FROM page p
                    WHERE d.subscription = p.subscription AND d.id = p.id AND EXISTS (
                        SELECT FROM unnest($5::text[]) AS x (name)
                        WHERE strpos(p.answer, x.name) > 0)
                )
                SELECT at, subscription, id FROM page
                ORDER BY at DESC, subscription DESC, id DESC LIMIT 1
                "#,
                after.0,
                after.1,
                after.2,
                whom.until,
                &whom.names,
                ERASED,
                LOOKED_AT,
            );
            let last = last
                .fetch_optional(&mut *self.pool.acquire().await?)
                .await?;
            Ok(last.map(|last| (last.at, last.subscription, last.id)))
        })
    }

    async fn erase_problems(&self, whom: &Whom, after: Uuid) -> Result<Option<Uuid>, StoreError> {
        again!(self, "erase: problems", {
            let last = sqlx::query_scalar!(
                r#"
                -- erase: problems
                WITH page AS MATERIALIZED (
                    SELECT webhook, reason FROM journal_problems
                    WHERE webhook > $1 ORDER BY webhook LIMIT $4
                ),
                erased AS (
                    UPDATE journal_problems j SET reason = $3 FROM page p
                    WHERE j.webhook = p.webhook AND EXISTS (
                        SELECT FROM unnest($2::text[]) AS x (name)
                        WHERE strpos(p.reason, x.name) > 0)
                )
                SELECT webhook FROM page ORDER BY webhook DESC LIMIT 1
                "#,
                after,
                &whom.names,
                ERASED,
                LOOKED_AT,
            );
            Ok(last
                .fetch_optional(&mut *self.pool.acquire().await?)
                .await?)
        })
    }
}
