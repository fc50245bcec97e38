//! Facts of our own: what we decided and did. They are written in the transaction of what they
//! tell of. Most are guarded by its compare-and-advance, so that their key is their own id. What
//! came of a claim is recorded until the database says that it has it, and so perhaps twice: its
//! key is the claim, and the second time it is there.

use serde_json::{Value, json};
use uuid::Uuid;

use super::claim::Claim;
use super::{Store, StoreError};
use crate::model::event;
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

    /// An attempt's refusal made its message fail for good. Of the key that the provider's own word
    /// of the attempt's failure would have, so that whichever way it failed is told once.
    pub(super) fn of_failure(id: AttemptId, refusal: &Value, source: &'static str) -> Self {
        let of = |name: &str| refusal.get(name).cloned().unwrap_or_default();
        let (code, class) = (of("code"), of("class"));
        let error = json!({"code": code, "title": of("title"), "details": of("details")});
        Self {
            key: Some(String::new()),
            ..Self::of_attempt(id, event::MESSAGE_FAILED, source)
        }
        .with(json!({"code": code, "class": class, "errors": [error]}))
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

    /// The same of this key is told once.
    pub(super) fn once(self, key: String) -> Self {
        let key = Some(key);
        Self { key, ..self }
    }

    /// With this `data`, an object.
    pub(super) fn with(self, data: Value) -> Self {
        Self { data, ..self }
    }
}

/// Facts as the arrays of their columns, for `unnest`.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) streams: Vec<i32>,
    pub(super) subjects: Vec<Uuid>,
    pub(super) ns: Vec<i16>,
    pub(super) types: Vec<&'static str>,
    pub(super) sources: Vec<&'static str>,
    pub(super) data: Vec<Value>,
    pub(super) ids: Vec<Uuid>,
    pub(super) keys: Vec<String>,
}

impl Store {
    /// For a statement that writes facts beside other rows.
    pub(super) fn columns(&self, facts: &[OwnFact]) -> Columns {
        let mut columns = Columns::default();
        for fact in facts {
            let id = self.clock.new_id();
            let key = fact.key.clone().unwrap_or_else(|| id.to_string());
            columns.streams.push(fact.stream);
            columns.subjects.push(fact.subject);
            columns.ns.push(fact.n);
            columns.types.push(fact.r#type);
            columns.sources.push(fact.source);
            columns.data.push(fact.data.clone());
            columns.ids.push(id);
            columns.keys.push(key);
        }
        columns
    }

    pub(super) async fn write_facts(
        &self,
        connection: &mut sqlx::PgConnection,
        facts: &[OwnFact],
    ) -> Result<(), StoreError> {
        if facts.is_empty() {
            return Ok(());
        }
        let facts = self.columns(facts);
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
            &facts.streams,
            &facts.subjects,
            &facts.ns,
            &facts.types as &[&str],
            &facts.sources as &[&str],
            &facts.data,
            &facts.ids,
            &facts.keys,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
