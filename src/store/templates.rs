//! What is known of templates: joined from webhooks, answers and reads, by the same rule as
//! `model::template`: the latest word wins, a stop wins a tie.

use super::ingest::TemplateSaid;
use super::{Store, StoreError};
use crate::model::Timestamp;
use crate::model::template::is_sendable;

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
