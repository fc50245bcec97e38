//! What is known of templates: joined from webhooks, answers and reads, by the same rule as
//! `model::template`: the latest word wins, a stop wins a tie.

use super::facts::OwnFact;
use super::ingest::Batch;
use super::template_said::{TemplateSaid, UntimedSaid};
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
        // Two batches that name the same ones in different orders must not wait for each other.
        sqlx::query!(
            r#"
            -- join_templates: lock
            SELECT id FROM templates WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE
            "#,
            &ids,
        )
        .fetch_all(&mut *connection)
        .await?;
        self.join_status(connection, templates, now).await?;
        self.join_quality(connection, templates, now).await?;
        self.join_category(connection, templates, now).await
    }

    async fn join_category(
        &self,
        connection: &mut sqlx::PgConnection,
        templates: &[TemplateSaid],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let said: Vec<_> = templates
            .iter()
            .filter_map(|template| Some((template.id.0, template.category.as_ref()?)))
            .collect();
        if said.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            r#"
            -- join_templates: category
            UPDATE templates t
            SET category = x.category, category_at = x.category_at,
                updated_at = CASE WHEN t.category = x.category THEN t.updated_at ELSE $4 END
            FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS x (id, category, category_at)
            WHERE t.id = x.id
                AND (x.category_at, x.category COLLATE "C")
                    > (t.category_at, coalesce(t.category, ''))
            "#,
            &said.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            &said
                .iter()
                .map(|(_, (category, _))| category.clone())
                .collect::<Vec<_>>(),
            &said.iter().map(|(_, (_, at))| *at).collect::<Vec<_>>(),
            now,
        )
        .execute(connection)
        .await?;
        Ok(())
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
                reason = CASE WHEN x.read AND t.status = x.status
                              THEN coalesce(x.reason, t.reason) ELSE x.reason END,
                pause_title = CASE WHEN x.read AND t.status = x.status
                                   THEN coalesce(x.pause_title, t.pause_title)
                                   ELSE x.pause_title END,
                provider_template_id = coalesce(x.provider_template_id, t.provider_template_id),
                -- A word that changes nothing asks for no reading, and a reading only for what
                -- messages may wait for: the rest is polled. Other providers than Meta have no
                -- call for one template.
                read_due_at = CASE
                    WHEN t.status = x.status THEN t.read_due_at
                    WHEN c.provider <> 'meta' THEN NULL
                    WHEN NOT x.read THEN $8
                    WHEN NOT x.sendable AND x.status <> 'DELETED' AND EXISTS (
                        SELECT FROM senders s JOIN lanes l ON l.sender = s.id
                        WHERE s.connection = t.connection
                            AND (l.template_name, l.template_language) = (t.name, t.language)
                    ) THEN $8
                END,
                updated_at = CASE WHEN t.status = x.status THEN t.updated_at ELSE $8 END
            FROM connections c, unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::boolean[], $5::text[],
                        $6::text[], $7::text[], $9::boolean[])
                AS x (id, status, status_at, sendable, reason, pause_title,
                      provider_template_id, read)
            WHERE t.id = x.id AND c.id = t.connection
                -- The order of bytes, as in Rust, whatever the database's own.
                AND (x.status_at, NOT x.sendable, x.status COLLATE "C")
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
                .map(|(t, _)| t.provider_template_id.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            now,
            &said.iter().map(|(_, s)| s.read).collect::<Vec<_>>(),
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
            SET quality = x.quality, quality_at = x.quality_at,
                updated_at = CASE WHEN t.quality = x.quality THEN t.updated_at ELSE $5 END,
                provider_template_id = coalesce(x.provider_template_id, t.provider_template_id)
            FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[])
                AS x (id, quality, quality_at, provider_template_id)
            WHERE t.id = x.id
                AND (x.quality_at, x.quality COLLATE "C")
                    > (t.quality_at, coalesce(t.quality, ''))
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

impl Store {
    /// Of what bears no time, that which was not heard before. Its facts are written first, and
    /// whose fact is new is news: so of two that say the same at once, here or at another
    /// instance, one waits for the other and is none.
    pub(super) async fn hear_untimed<'a>(
        &self,
        connection: &mut sqlx::PgConnection,
        batch: &'a Batch<'_>,
    ) -> Result<impl Iterator<Item = &'a TemplateSaid>, StoreError> {
        let facts = batch.untimed.iter().map(|said| batch.facts.get(said.fact));
        let facts: Vec<_> = facts.flatten().collect();
        let mut news = Vec::new();
        if !facts.is_empty() {
            news = sqlx::query_scalar!(
                r#"
                -- hear_untimed
                INSERT INTO facts (stream, subject, id, type, key, received_at, webhook, item,
                                   source, data)
                SELECT y.stream, y.subject, y.id, y.type, y.key, y.received_at, y.webhook, y.item,
                       'webhook', y.data::json
                FROM unnest($1::integer[], $2::uuid[], $3::uuid[], $4::text[], $5::text[],
                            $6::timestamptz[], $7::uuid[], $8::smallint[], $9::text[])
                    WITH ORDINALITY
                    AS y (stream, subject, id, type, key, received_at, webhook, item, data, place)
                -- In the order of the key; of one that is said twice, the first.
                ORDER BY y.stream, y.subject, y.type, y.key, y.place
                ON CONFLICT (stream, subject, n, type, key) DO NOTHING
                RETURNING id
                "#,
                &facts.iter().map(|fact| fact.stream).collect::<Vec<_>>(),
                &facts.iter().map(|fact| fact.subject).collect::<Vec<_>>(),
                &facts.iter().map(|fact| fact.id).collect::<Vec<_>>(),
                &facts
                    .iter()
                    .map(|fact| fact.r#type.as_ref())
                    .collect::<Vec<_>>() as &[&str],
                &facts.iter().map(|fact| fact.key).collect::<Vec<_>>() as &[&str],
                &facts
                    .iter()
                    .map(|fact| fact.received_at)
                    .collect::<Vec<_>>(),
                &facts.iter().map(|fact| fact.webhook).collect::<Vec<_>>(),
                &facts.iter().map(|fact| fact.item).collect::<Vec<_>>(),
                &facts.iter().map(|fact| fact.data).collect::<Vec<_>>() as &[&str],
            )
            .fetch_all(connection)
            .await?;
        }
        let is_news = move |said: &&UntimedSaid| {
            let fact = batch.facts.get(said.fact);
            fact.is_some_and(|fact| news.contains(&fact.id))
        };
        Ok(batch.untimed.iter().filter(is_news).map(|said| &said.said))
    }

    /// A refusal said that it may not be sent. Returns the fact that says so, if that is news.
    pub(super) async fn close_template(
        &self,
        connection: &mut sqlx::PgConnection,
        said: &TemplateSaid,
        reason: &str,
        source: &'static str,
    ) -> Result<Option<OwnFact>, StoreError> {
        let changes = self
            .join_changing(connection, std::slice::from_ref(said))
            .await?;
        Ok(changes.first().and_then(|change| {
            let members = [("event", Some(change.status()?)), ("reason", Some(reason))];
            Some(change.fact(event::TEMPLATE_STATUS, source, &members))
        }))
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
        let rows = again!(self, "take_template_reads", {
            Ok(sqlx::query!(
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
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
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

    /// The provider does not show it: it is read again when something is heard of it.
    pub async fn forget_template_read(&self, read: &TemplateToRead) -> Result<(), StoreError> {
        again!(self, "forget_template_read", {
            sqlx::query!(
                r#"
                -- forget_template_read
                UPDATE templates SET read_due_at = NULL WHERE id = $1 AND read_due_at = $2
                "#,
                read.id.0,
                read.next_at,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Joins what a reading said. An open template is not read again until something is heard of
    /// it; a closed one that is not deleted is, so that it opens although a webhook was missed.
    /// Returns whether anything changed.
    pub async fn record_template_read(
        &self,
        read: &TemplateToRead,
        said: &TemplateSaid,
    ) -> Result<bool, StoreError> {
        again!(self, "record_template_read", {
            let mut transaction = self.begin().await?;
            let said = std::slice::from_ref(said);
            let changes = self.join_changing(&mut transaction, said).await?;
            let changed = changes.iter().any(|change| change.status().is_some());
            let facts: Vec<_> = changes
                .iter()
                .flat_map(|change| change.found("poll"))
                .collect();
            self.write_facts(&mut transaction, &facts).await?;
            sqlx::query!(
                r#"
                -- record_template_read
                UPDATE templates t
                SET read_due_at = CASE
                    -- Also where no lane uses it: one that begins to asks for no reading.
                    WHEN NOT t.sendable AND t.status <> 'DELETED' THEN $2::timestamptz
                END
                -- A webhook that came meanwhile wants a reading of its own.
                WHERE t.id = $1 AND (t.read_due_at = $2 OR $3)
                "#,
                read.id.0,
                read.next_at,
                changed,
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(changed)
        })
    }
}
