//! Templates that are managed from here: what was submitted, what the provider answered, and how
//! often approved ones were edited. It is joined to what webhooks said by the same rule; a webhook
//! may have come before the answer, and found or made the row.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::ingest::TemplateSaid;
use super::once::shown;
use super::templates_read::{Template, TemplateFilter};
use super::{Once, Reply, Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, TemplateId};
use crate::model::template::next_edit;

/// Templates in one transaction: ingest waits for the rows that it locks.
const AT_ONCE: usize = 200;

/// What is recorded of a template.
#[derive(Debug)]
pub struct Record {
    /// What its row is joined with.
    pub said: TemplateSaid,
    /// The provider's own object, JSON as it came.
    pub object: Option<Box<RawValue>>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// What was submitted.
    pub submitted: Option<Value>,
    /// What was submitted stands over what was before, and the rest of that stays.
    pub merges: bool,
}

impl Store {
    /// Records what providers answered. Returns how many facts tell of what differs.
    pub async fn record_managed(&self, records: &[Record]) -> Result<usize, StoreError> {
        let mut told = 0;
        for records in records.chunks(AT_ONCE) {
            told += again!(self, "record_managed", {
                let mut transaction = self.begin().await?;
                let told = self.write_records(&mut transaction, records).await?;
                transaction.commit().await?;
                Ok(told)
            })?;
        }
        Ok(told)
    }

    /// The same of a template that was made by a request that is done once, and has claimed its
    /// name, with its answer.
    pub async fn record_created<V: Serialize>(
        &self,
        record: &Record,
        once: &Once,
        show: impl Fn(Template) -> V,
    ) -> Result<Reply, StoreError> {
        again!(self, "record_created", {
            let mut transaction = self.begin().await?;
            let records = std::slice::from_ref(record);
            self.write_records(&mut transaction, records).await?;
            let all = TemplateFilter::default();
            let id = Some(record.said.id.0);
            let found = super::templates_read::read(&mut transaction, id, &all, None, 1).await?;
            let template = found.into_iter().next();
            let gone =
                || StoreError::Corrupt(format!("templates: {id:?} was written and is not there"));
            let answer = shown(&show(template.ok_or_else(gone)?))?;
            self.commit_reply(transaction, once, answer).await
        })
    }

    async fn write_records(
        &self,
        connection: &mut sqlx::PgConnection,
        records: &[Record],
    ) -> Result<usize, StoreError> {
        let said: Vec<_> = records.iter().map(|record| record.said.clone()).collect();
        let changes = self.join_changing(connection, &said).await?;
        let facts: Vec<_> = changes
            .iter()
            .flat_map(|change| change.found("answer"))
            .collect();
        self.write_facts(connection, &facts).await?;
        let object = |record: &Record| record.object.as_ref().map(|object| object.get().to_owned());
        sqlx::query!(
            r#"
            -- write_records
            UPDATE templates t
            SET object = CASE WHEN t.object_at > x.asked_at THEN t.object
                              ELSE coalesce(x.object::json, t.object) END,
                object_at = CASE WHEN x.object IS NULL THEN t.object_at
                                 ELSE greatest(t.object_at, x.asked_at) END,
                -- Under the row's lock: of two edits at once neither loses what it does not name.
                submitted = CASE
                    WHEN x.submitted IS NULL THEN t.submitted
                    WHEN x.merges AND json_typeof(t.submitted) = 'object'
                        THEN (t.submitted::jsonb || x.submitted::jsonb)::json
                    ELSE x.submitted::json
                END,
                provider_template_id = coalesce(x.provider_template_id, t.provider_template_id)
            FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[],
                        $6::boolean[])
                AS x (id, object, asked_at, submitted, provider_template_id, merges)
            WHERE t.id = x.id
            "#,
            &said.iter().map(|said| said.id.0).collect::<Vec<_>>(),
            &records.iter().map(object).collect::<Vec<_>>() as &[Option<String>],
            &records
                .iter()
                .map(|record| record.asked_at)
                .collect::<Vec<_>>(),
            &records
                .iter()
                .map(|record| record.submitted.as_ref().map(Value::to_string))
                .collect::<Vec<_>>() as &[Option<String>],
            &said
                .iter()
                .map(|said| said.provider_template_id.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &records
                .iter()
                .map(|record| record.merges)
                .collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        Ok(facts.len())
    }

    /// As of when the status of a template is known; `None`: nothing is.
    pub async fn template_status_at(
        &self,
        template: TemplateId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let at = again!(self, "template_status_at", {
            Ok(sqlx::query_scalar!(
                r#"
                -- template_status_at
                SELECT nullif(status_at, '-infinity') FROM templates WHERE id = $1
                "#,
                template.0,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(at.flatten())
    }

    /// Nobody knows how it stands: it is read from the provider as soon as may be, alone where the
    /// provider has a call for that, else with all of its connection.
    pub async fn ask_for_reading(&self, template: &Template) -> Result<(), StoreError> {
        again!(self, "ask_for_reading", {
            sqlx::query!(
                r#"
                -- ask_for_reading
                WITH alone AS (
                    UPDATE templates t SET read_due_at = $3
                    FROM connections c
                    WHERE t.id = $1 AND c.id = t.connection AND c.provider = 'meta'
                )
                UPDATE polls SET due_at = least(due_at, clock_timestamp())
                WHERE connection = $2 AND about = 'templates'
                "#,
                template.id,
                template.connection.0,
                self.clock.now(),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// All languages of a name that are known and not known to be gone.
    pub async fn languages_of(
        &self,
        connection: ConnectionId,
        waba_id: &str,
        name: &str,
    ) -> Result<Vec<Template>, StoreError> {
        let filter = TemplateFilter {
            connection: Some(connection),
            name: Some(name.to_owned()),
            ..TemplateFilter::default()
        };
        /// More than there are.
        const LANGUAGES: i64 = 500;
        let mut found = self.list_templates(&filter, None, LANGUAGES).await?;
        found.retain(|template| {
            template.waba_id == waba_id
                && !matches!(template.status.as_str(), "DELETED" | "NOT_FOUND")
        });
        Ok(found)
    }

    /// The accounts of a connection's senders.
    pub async fn accounts_of(&self, connection: ConnectionId) -> Result<Vec<String>, StoreError> {
        again!(self, "accounts_of", {
            Ok(sqlx::query_scalar!(
                r#"
                -- accounts_of
                SELECT DISTINCT waba_id AS "waba_id!" FROM senders
                WHERE connection = $1 AND waba_id IS NOT NULL
                ORDER BY 1
                "#,
                connection.0,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })
    }

    /// Counts an edit of an approved template before it is made, so that two at once do not both
    /// find that there is one left; `id` is its own. `Err`: there is none, until then.
    pub async fn count_edit(
        &self,
        id: Uuid,
        template: TemplateId,
        budget: &[(u32, Duration)],
    ) -> Result<Result<(), Timestamp>, StoreError> {
        let now = self.clock.now();
        again!(self, "count_edit", {
            let mut transaction = self.begin().await?;
            sqlx::query!(
                r#"
                -- count_edit: lock
                SELECT id FROM templates WHERE id = $1 FOR NO KEY UPDATE
                "#,
                template.0,
            )
            .fetch_optional(&mut *transaction)
            .await?;
            let edits = sqlx::query_scalar!(
                r#"
                -- count_edit: known
                SELECT at FROM template_edits WHERE template = $1 AND id <> $2
                "#,
                template.0,
                id,
            )
            .fetch_all(&mut *transaction)
            .await?;
            if let Some(at) = next_edit(budget, &edits, now) {
                return Ok(Err(at));
            }
            let longest = budget
                .iter()
                .map(|(_, span)| *span)
                .max()
                .unwrap_or_default();
            sqlx::query!(
                r#"
                -- count_edit
                WITH over AS (DELETE FROM template_edits WHERE template = $2 AND at <= $4)
                INSERT INTO template_edits (id, template, at) VALUES ($1, $2, $3)
                ON CONFLICT (id) DO NOTHING
                "#,
                id,
                template.0,
                now,
                now - longest,
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(Ok(()))
        })
    }

    /// It was not made after all.
    pub async fn uncount_edit(&self, edit: Uuid) -> Result<(), StoreError> {
        again!(self, "uncount_edit", {
            sqlx::query!(
                r#"
                -- uncount_edit
                DELETE FROM template_edits WHERE id = $1
                "#,
                edit,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }
}
