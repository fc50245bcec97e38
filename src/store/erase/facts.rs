//! What is told of messages: taking a person out of facts, and out of what attempts were refused with.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::StoreError;
use super::Whom;
use crate::model::erased::take_out;

/// Locks the attempts of these messages, and takes the person out of what they were refused with.
pub(super) async fn erase_refusals(
    connection: &mut PgConnection,
    sender: i32,
    messages: &[Uuid],
    whom: &Whom,
) -> Result<(), StoreError> {
    let rows = sqlx::query!(
        r#"
        -- erase: refusals
        SELECT message, n, refusal FROM attempts
        WHERE sender = $1 AND message = ANY($2)
        ORDER BY message, n
        FOR UPDATE
        "#,
        sender,
        messages,
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let Some(before) = row.refusal else { continue };
        let mut refusal = before.clone();
        take_out(&mut refusal, &|text| whom.is_called(text));
        if refusal != before {
            sqlx::query!(
                r#"
                -- erase: refusal
                UPDATE attempts SET refusal = $4 WHERE sender = $1 AND message = $2 AND n = $3
                "#,
                sender,
                row.message,
                row.n,
                refusal,
            )
            .execute(&mut *connection)
            .await?;
        }
    }
    Ok(())
}

/// Takes the person out of what is told of these messages.
pub(super) async fn erase_facts(
    connection: &mut PgConnection,
    stream: i32,
    subjects: &[Uuid],
    whom: &Whom,
) -> Result<u64, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- erase: facts of messages
        SELECT subject, n, type, key, data FROM facts
        WHERE stream = $1 AND subject = ANY($2)
        ORDER BY subject, n, type, key
        FOR UPDATE
        "#,
        stream,
        subjects,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut changed = Changed::default();
    for row in rows {
        let mut data = row.data.clone();
        take_out(&mut data, &|text| whom.is_called(text));
        if data != row.data {
            changed.add(row.subject, row.n, row.r#type, row.key, data);
        }
    }
    changed.write(connection, stream).await
}

/// Facts of one stream, with what their data is from now on.
#[derive(Debug, Default)]
pub(super) struct Changed {
    subjects: Vec<Uuid>,
    ns: Vec<i16>,
    types: Vec<String>,
    keys: Vec<String>,
    data: Vec<String>,
}

impl Changed {
    pub(super) fn add(&mut self, subject: Uuid, n: i16, r#type: String, key: String, data: Value) {
        self.subjects.push(subject);
        self.ns.push(n);
        self.types.push(r#type);
        self.keys.push(key);
        self.data.push(data.to_string());
    }

    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        stream: i32,
    ) -> Result<u64, StoreError> {
        if self.subjects.is_empty() {
            return Ok(0);
        }
        let written = sqlx::query!(
            r#"
            -- erase: write facts
            UPDATE facts f SET data = x.data::json
            FROM unnest($2::uuid[], $3::smallint[], $4::text[], $5::text[], $6::text[])
                AS x (subject, n, type, key, data)
            WHERE f.stream = $1 AND f.subject = x.subject AND f.n = x.n
                AND f.type = x.type COLLATE "C" AND f.key = x.key COLLATE "C"
            "#,
            stream,
            &self.subjects,
            &self.ns,
            &self.types,
            &self.keys,
            &self.data,
        )
        .execute(connection)
        .await?;
        Ok(written.rows_affected())
    }
}
