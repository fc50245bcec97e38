//! Facts of our own: what we decided and did. They are written in the transaction of what they
//! tell of. Most are guarded by its compare-and-advance, so that their key is their own id. What
//! came of a claim is recorded until the database says that it has it, and so perhaps twice: its
//! key is the claim, and the second time it is there.

use serde_json::Value;
use uuid::Uuid;

use super::claim::Claim;
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
    key: Option<String>,
}

impl OwnFact {
    /// What came of a claim: of this type once a claim, however often it is written.
    pub(super) fn of_claim(claim: &Claim, r#type: &'static str, source: &'static str) -> Self {
        let at = claim.posted_at.unix_timestamp_nanos() / 1_000;
        Self {
            key: Some(format!("claim {} {at}", claim.epoch)),
            ..Self::of_attempt(claim.attempt, r#type, source)
        }
    }

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
            key: None,
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
        let keys = facts.iter().zip(&ids);
        let keys: Vec<_> = keys
            .map(|(fact, id)| fact.key.clone().unwrap_or_else(|| id.to_string()))
            .collect();
        sqlx::query!(
            r#"
            -- write_facts
            INSERT INTO facts
                (stream, subject, n, type, source, data, id, key, occurred_at, received_at)
            SELECT x.*, $9::timestamptz, $9::timestamptz
            FROM unnest($1::integer[], $2::uuid[], $3::smallint[], $4::text[], $5::text[],
                        $6::json[], $7::uuid[], $8::text[])
                AS x (stream, subject, n, type, source, data, id, key)
            ON CONFLICT (stream, subject, n, type, key) DO NOTHING
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
            &keys,
            now,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
