//! Templates as they are shown.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, SenderId, TemplateId};

/// What is known of a template.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of templates")]
pub struct Template {
    pub id: Uuid,
    pub connection: ConnectionId,
    pub waba_id: String,
    pub name: String,
    pub language: String,
    pub provider_template_id: Option<String>,
    pub category: Option<String>,
    pub status: String,
    pub sendable: bool,
    pub reason: Option<String>,
    pub pause_title: Option<String>,
    pub quality: Option<String>,
    pub updated_at: Timestamp,
    /// The provider's own, as it was read last.
    pub object: Option<Value>,
    pub object_at: Option<Timestamp>,
    /// What was last submitted through us, in Meta's words.
    pub submitted: Option<Value>,
    /// When it was edited while it was approved.
    pub edits: Vec<Timestamp>,
}

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct TemplateFilter {
    pub sender: Option<SenderId>,
    pub connection: Option<ConnectionId>,
    pub name: Option<String>,
    pub status: Option<String>,
    pub language: Option<String>,
    pub category: Option<String>,
}

impl Store {
    /// Reads one.
    pub async fn template(&self, id: TemplateId) -> Result<Option<Template>, StoreError> {
        let all = TemplateFilter::default();
        let found = self.read_templates(Some(id.0), &all, None, 1).await?;
        Ok(found.into_iter().next())
    }

    /// Reads many, in the order in which they are named.
    pub async fn templates(&self, ids: &[TemplateId]) -> Result<Vec<Template>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.extend(self.template(*id).await?);
        }
        Ok(found)
    }

    /// A page, in the order of their ids, which mean nothing.
    pub async fn list_templates(
        &self,
        filter: &TemplateFilter,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Template>, StoreError> {
        self.read_templates(None, filter, after, limit).await
    }

    async fn read_templates(
        &self,
        id: Option<Uuid>,
        filter: &TemplateFilter,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Template>, StoreError> {
        again!(self, "read_templates", {
            let mut pooled = self.pool.acquire().await?;
            read(&mut pooled, id, filter, after, limit).await
        })
    }

    /// Where the facts of a connection's templates are: what webhooks and reads said is in its
    /// own stream, what answers said in their sender's.
    pub async fn template_streams(&self, connection: ConnectionId) -> Result<Vec<i32>, StoreError> {
        let streams = again!(self, "template_streams", {
            Ok(sqlx::query_scalar!(
                r#"
            -- template_streams
            SELECT stream AS "stream!" FROM connections WHERE id = $1
            UNION ALL
            SELECT id FROM senders WHERE connection = $1
            "#,
                connection.0,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(streams)
    }
}

/// Reads one, or a page.
pub(super) async fn read(
    connection: &mut PgConnection,
    id: Option<Uuid>,
    filter: &TemplateFilter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Template>, StoreError> {
    Ok(sqlx::query_as!(
        Template,
        r#"
            -- read_templates
            SELECT t.id, t.connection, t.waba_id, t.name, t.language,
                   t.provider_template_id, t.category, t.status, t.sendable, t.reason,
                   t.pause_title, t.quality, t.updated_at, t.object, t.object_at, t.submitted,
                   ARRAY(SELECT e.at FROM template_edits e WHERE e.template = t.id)
                       AS "edits!"
            FROM templates t
            WHERE ($1::uuid IS NULL OR t.id = $1)
                AND ($2::uuid IS NULL OR t.id > $2)
                AND ($3::integer IS NULL OR EXISTS (
                    SELECT FROM senders s
                    WHERE s.id = $3 AND s.connection = t.connection
                        AND (s.waba_id IS NULL OR t.waba_id IN (s.waba_id, ''))
                ))
                AND ($4::uuid IS NULL OR t.connection = $4)
                AND ($5::text IS NULL OR t.name = $5)
                AND ($6::text IS NULL OR t.status = $6)
                AND ($7::text IS NULL OR t.language = $7)
                AND ($8::text IS NULL OR t.category = $8)
            ORDER BY t.id
            LIMIT $9
            "#,
        id,
        after,
        filter.sender.map(|sender| sender.0),
        filter.connection.map(|connection| connection.0),
        filter.name,
        filter.status,
        filter.language,
        filter.category,
        limit,
    )
    .fetch_all(connection)
    .await?)
}
