//! Facts of our own: what we decided and did. They are written in the transaction of what they
//! tell of, and are guarded by its compare-and-advance, so that their key is their own id.

use serde_json::Value;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::model::ids::{AttemptId, MessageId, SequenceId};

/// One of our own facts.
#[derive(Debug, Clone)]
pub(super) struct OwnFact {
    stream: i32,
    subject: Uuid,
    n: i16,
    r#type: &'static str,
    source: &'static str,
    data: Value,
}

impl OwnFact {
    pub(super) fn of_attempt(id: AttemptId, r#type: &'static str, source: &'static str) -> Self {
        Self {
            n: id.n,
            ..Self::of_message(id.message, r#type, source)
        }
    }

    pub(super) fn of_message(id: MessageId, r#type: &'static str, source: &'static str) -> Self {
        Self::of(id.sender.0, id.uuid, r#type, source)
    }

    pub(super) fn of_sequence(id: SequenceId, r#type: &'static str, source: &'static str) -> Self {
        Self::of(id.sender.0, id.uuid, r#type, source)
    }

    /// A fact of any stream and subject.
    pub(super) fn of(
        stream: i32,
        subject: Uuid,
        r#type: &'static str,
        source: &'static str,
    ) -> Self {
        Self {
            stream,
            subject,
            n: 0,
            r#type,
            source,
            data: Value::Object(serde_json::Map::new()),
        }
    }

    /// With this `data`, an object.
    pub(super) fn with(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

impl Store {
    pub(super) async fn write_facts(
        &self,
        connection: &mut sqlx::PgConnection,
        facts: &[OwnFact],
    ) -> Result<(), StoreError> {
        if facts.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        let ids: Vec<_> = facts.iter().map(|_| self.clock.new_id()).collect();
        sqlx::query!(
            r#"
            -- write_facts
            INSERT INTO facts
                (stream, subject, n, type, source, data, id, key, occurred_at, received_at)
            SELECT x.*, x.id::text, $8::timestamptz, $8::timestamptz
            FROM unnest($1::integer[], $2::uuid[], $3::smallint[], $4::text[], $5::text[],
                        $6::json[], $7::uuid[]) AS x (stream, subject, n, type, source, data, id)
            "#,
            &facts.iter().map(|fact| fact.stream).collect::<Vec<_>>(),
            &facts.iter().map(|fact| fact.subject).collect::<Vec<_>>(),
            &facts.iter().map(|fact| fact.n).collect::<Vec<_>>(),
            &facts
                .iter()
                .map(|fact| fact.r#type.to_owned())
                .collect::<Vec<_>>(),
            &facts
                .iter()
                .map(|fact| fact.source.to_owned())
                .collect::<Vec<_>>(),
            &facts
                .iter()
                .map(|fact| fact.data.clone())
                .collect::<Vec<_>>(),
            &ids,
            now,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
