//! What is known of templates: joined from webhooks, answers and reads, by the same rule as
//! `model::template`: the latest word wins, a stop wins a tie.

use serde_json::json;

use super::facts::OwnFact;
use super::ingest::TemplateSaid;
use super::{Store, StoreError, again};
use crate::model::ids::{ConnectionId, TemplateId};
use crate::model::template::is_sendable;
use crate::model::{Timestamp, event};

impl Store {
    /// Joins what was said into `templates`; whatever opened or closed one is read from the
    /// provider soon (`read_due_at`), because a webhook can be late or missed for good.
    pub(super) async fn join_templates(
        &self,
        connection: &mut sqlx::PgConnection,
        templates: &[TemplateSaid],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ids: Vec<_> = templates.iter().map(|t| t.id.0).collect();
        sqlx::query!(
            r#"
            -- join_templates: made
            INSERT INTO templates (id, connection, waba_id, name, language, created_at, updated_at)
            SELECT x.*, $6::timestamptz, $6::timestamptz
            FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]) AS x
            ORDER BY 1
            ON CONFLICT DO NOTHING
            "#,
            &ids,
            &templates.iter().map(|t| t.connection.0).collect::<Vec<_>>(),
            &templates
                .iter()
                .map(|t| t.waba_id.clone())
                .collect::<Vec<_>>(),
            &templates.iter().map(|t| t.name.clone()).collect::<Vec<_>>(),
            &templates
                .iter()
                .map(|t| t.language.clone())
                .collect::<Vec<_>>(),
            now,
        )
        .execute(&mut *connection)
        .await?;
        self.join_status(connection, templates, now).await?;
        self.join_quality(connection, templates, now).await
    }

    async fn join_status(
        &self,
        connection: &mut sqlx::PgConnection,
        templates: &[TemplateSaid],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let said: Vec<_> = templates
            .iter()
            .filter_map(|template| template.status.as_ref().map(|status| (template, status)))
            .collect();
        sqlx::query!(
            r#"
            -- join_templates: status
            UPDATE templates t
            SET status = x.status, status_at = x.status_at, sendable = x.sendable,
                reason = x.reason, pause_title = x.pause_title,
                category = coalesce(x.category, t.category),
                provider_template_id = coalesce(x.provider_template_id, t.provider_template_id),
                read_due_at = $9, updated_at = $9
            FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::boolean[], $5::text[],
                        $6::text[], $7::text[], $8::text[])
                AS x (id, status, status_at, sendable, reason, pause_title, category,
                      provider_template_id)
            WHERE t.id = x.id
                AND (x.status_at, NOT x.sendable, x.status)
                    > (t.status_at, NOT t.sendable, t.status)
            "#,
            &said.iter().map(|(t, _)| t.id.0).collect::<Vec<_>>(),
            &said
                .iter()
                .map(|(_, s)| s.health.status.clone())
                .collect::<Vec<_>>(),
            &said.iter().map(|(_, s)| s.health.at).collect::<Vec<_>>(),
            &said
                .iter()
                .map(|(_, s)| is_sendable(&s.health.status))
                .collect::<Vec<_>>(),
            &said
                .iter()
                .map(|(_, s)| s.reason.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &said
                .iter()
                .map(|(_, s)| s.pause_title.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &said
                .iter()
                .map(|(t, _)| t.category.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &said
                .iter()
                .map(|(t, _)| t.provider_template_id.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            now,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn join_quality(
        &self,
        connection: &mut sqlx::PgConnection,
        templates: &[TemplateSaid],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let said: Vec<_> = templates
            .iter()
            .filter_map(|template| template.quality.as_ref().map(|quality| (template, quality)))
            .collect();
        sqlx::query!(
            r#"
            -- join_templates: quality
            UPDATE templates t
            SET quality = x.quality, quality_at = x.quality_at, updated_at = $5,
                provider_template_id = coalesce(x.provider_template_id, t.provider_template_id)
            FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[])
                AS x (id, quality, quality_at, provider_template_id)
            WHERE t.id = x.id
                AND (x.quality_at, x.quality) > (t.quality_at, coalesce(t.quality, ''))
            "#,
            &said.iter().map(|(t, _)| t.id.0).collect::<Vec<_>>(),
            &said
                .iter()
                .map(|(_, (quality, _))| quality.clone())
                .collect::<Vec<_>>(),
            &said.iter().map(|(_, (_, at))| *at).collect::<Vec<_>>(),
            &said
                .iter()
                .map(|(t, _)| t.provider_template_id.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            now,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// A template that is to be read from the provider.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of templates")]
pub struct TemplateToRead {
    pub id: TemplateId,
    pub connection: ConnectionId,
    pub waba_id: String,
    pub name: String,
    pub language: String,
    pub provider_template_id: Option<String>,
    /// When it is due again; also marks this reading.
    pub next_at: Timestamp,
}

impl Store {
    /// Takes templates whose reading is due, and puts the next reading off to `next_at`, so that
    /// no other instance reads them meanwhile.
    pub async fn take_template_reads(
        &self,
        next_at: Timestamp,
    ) -> Result<Vec<TemplateToRead>, StoreError> {
        /// Meta allows 200 management calls an hour and WABA.
        const AT_ONCE: i64 = 10;
        let rows = sqlx::query!(
            r#"
            -- take_template_reads
            UPDATE templates SET read_due_at = $2
            WHERE id IN (
                SELECT id FROM templates WHERE read_due_at <= $1
                ORDER BY read_due_at LIMIT $3
                FOR NO KEY UPDATE SKIP LOCKED
            )
            RETURNING id, connection, waba_id, name, language, provider_template_id
            "#,
            self.clock.now(),
            next_at,
            AT_ONCE,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| TemplateToRead {
                id: TemplateId(row.id),
                connection: ConnectionId(row.connection),
                waba_id: row.waba_id,
                name: row.name,
                language: row.language,
                provider_template_id: row.provider_template_id,
                next_at,
            })
            .collect())
    }

    /// Joins what a reading said. An open template is not read again until something is heard of
    /// it; a closed one is, so that it opens although a webhook was missed. Returns whether
    /// anything changed.
    pub async fn record_template_read(
        &self,
        read: &TemplateToRead,
        said: &TemplateSaid,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        again!("record_template_read", {
            let mut transaction = self.pool.begin().await?;
            let before = status_of(&mut transaction, read.id).await?;
            self.join_templates(&mut transaction, std::slice::from_ref(said), now)
                .await?;
            let after = status_of(&mut transaction, read.id).await?;
            if before != after {
                let data = json!({
                    "name": read.name, "language": read.language, "event": after,
                    "previous": before,
                });
                let stream = sqlx::query_scalar!(
                    "SELECT stream FROM connections WHERE id = $1",
                    read.connection.0
                )
                .fetch_one(&mut *transaction)
                .await?;
                let fact =
                    OwnFact::of(stream, read.id.0, event::TEMPLATE_STATUS, "poll").with(data);
                self.write_facts(&mut transaction, &[fact]).await?;
            }
            sqlx::query!(
                r#"
                -- record_template_read
                UPDATE templates
                SET read_due_at = CASE WHEN NOT sendable THEN $2::timestamptz END
                -- A webhook that came meanwhile wants a reading of its own.
                WHERE id = $1 AND (read_due_at = $2 OR $3)
                "#,
                read.id.0,
                read.next_at,
                before != after,
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(before != after)
        })
    }
}

async fn status_of(
    connection: &mut sqlx::PgConnection,
    id: TemplateId,
) -> Result<String, StoreError> {
    let status = sqlx::query_scalar!(
        "-- status_of\nSELECT status FROM templates WHERE id = $1 FOR NO KEY UPDATE",
        id.0
    )
    .fetch_one(connection)
    .await?;
    Ok(status)
}
