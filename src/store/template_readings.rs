//! Joins what lists of templates said to what webhooks said, by the same rule: the latest word wins,
//! and a list's is as of when it was asked for. What differs from what was known is told in the same
//! transaction, and so once.

use super::ingest::{TemplateSaid, TemplateStatusSaid};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, TemplateId};
use crate::model::template::Health;

/// Whose templates were listed, and when the list was asked for.
#[derive(Debug, Clone, Copy)]
pub struct ListedOf<'a> {
    /// Which connection's.
    pub connection: ConnectionId,
    /// Of which account; empty where none is named.
    pub waba_id: &'a str,
    /// By our clock.
    pub asked_at: Timestamp,
}

/// Templates in one transaction: ingest waits for the rows that it locks.
const AT_ONCE: usize = 200;

impl Store {
    /// Joins what a list said of templates, each once. Returns how many facts tell of it.
    pub async fn record_template_readings(
        &self,
        said: &[TemplateSaid],
    ) -> Result<usize, StoreError> {
        let mut told = 0;
        for said in said.chunks(AT_ONCE) {
            told += again!(self, "record_template_readings", {
                let mut transaction = self.begin().await?;
                let changes = self.join_changing(&mut transaction, said).await?;
                let facts: Vec<_> = changes
                    .iter()
                    .flat_map(|change| change.found("poll"))
                    .collect();
                self.write_facts(&mut transaction, &facts).await?;
                transaction.commit().await?;
                Ok(facts.len())
            })?;
        }
        Ok(told)
    }

    /// Templates that this whole list lacks, as did the one before: they are deleted. Not what is
    /// newer than the list, nor what is known not to be there; and of what was said to be there
    /// since the one before, this list is the first.
    pub async fn record_unlisted(
        &self,
        of: &ListedOf<'_>,
        listed: &[TemplateId],
    ) -> Result<usize, StoreError> {
        let listed: Vec<_> = listed.iter().map(|id| id.0).collect();
        // As webhooks' times are.
        let at = of.asked_at.replace_nanosecond(0).unwrap_or(of.asked_at);
        let rows = again!(self, "record_unlisted", {
            // What was unlisted before is read as it was, and is of an earlier second: one list does
            // not count twice.
            Ok(sqlx::query!(
                r#"
                -- record_unlisted
                WITH noted AS (
                    UPDATE templates t
                    SET unlisted_since = CASE WHEN t.id <> ALL ($3) THEN $4::timestamptz END
                    WHERE t.connection = $1 AND t.waba_id = $2
                        AND t.status NOT IN ('DELETED', 'NOT_FOUND')
                        AND CASE WHEN t.id <> ALL ($3)
                                 THEN t.status_at < $4
                                      AND coalesce(t.unlisted_since <= t.status_at, true)
                                 ELSE t.unlisted_since IS NOT NULL END
                )
                SELECT t.id, t.name, t.language FROM templates t
                WHERE t.connection = $1 AND t.waba_id = $2 AND t.id <> ALL ($3)
                    AND t.status NOT IN ('DELETED', 'NOT_FOUND')
                    AND t.status_at < t.unlisted_since AND t.unlisted_since < $4
                ORDER BY t.id
                "#,
                of.connection.0,
                of.waba_id,
                &listed,
                at,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let gone = rows.into_iter().map(|row| TemplateSaid {
            id: TemplateId(row.id),
            connection: of.connection,
            waba_id: of.waba_id.to_owned(),
            name: row.name,
            language: row.language,
            provider_template_id: None,
            category: None,
            status: Some(TemplateStatusSaid {
                health: Health {
                    at,
                    status: "DELETED".to_owned(),
                },
                reason: None,
                pause_title: None,
                read: true,
            }),
            quality: None,
        });
        self.record_template_readings(&gone.collect::<Vec<_>>())
            .await
    }
}
