//! Sequences: made and read. What changes them later is in `sequence_changes` (people) and in
//! `claim` (the sending side).

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::messages::{Message, read_messages};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::lane;
use crate::model::sequence::{Gate, OnFailure, OnUnknown, Reason, SequenceStatus, SequenceWork};

/// What a sequence is made from.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of sequences")]
pub struct NewSequence {
    pub sender: SenderId,
    pub recipient: String,
    pub reference: Option<String>,
    pub gate: Gate,
    pub on_failure: OnFailure,
    /// A lone message.
    pub single: bool,
    /// When its first message may go; `None`: now.
    pub at: Option<Timestamp>,
    pub steps: Vec<NewStep>,
}

/// What a message of a sequence is made from.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of messages")]
pub struct NewStep {
    pub kind: String,
    /// The object under the type, as the caller gave it.
    pub content: Value,
    /// Name and language, the latter normalised.
    pub template: Option<(String, String)>,
    pub reference: Option<String>,
    pub gate: Option<Gate>,
    /// Counted from when the message before passed its gate.
    pub delay: Duration,
    pub on_unknown: OnUnknown,
}

impl NewStep {
    fn lane(&self) -> String {
        let template = self.template.as_ref();
        lane::of(template.map(|(name, language)| (name.as_str(), language.as_str())))
    }

    fn delay_ms(&self) -> i64 {
        i64::try_from(self.delay.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A sequence as it is shown.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of sequences")]
pub struct SequenceRow {
    pub id: SequenceId,
    pub recipient: String,
    pub reference: Option<String>,
    pub gate: Gate,
    pub on_failure: OnFailure,
    pub status: SequenceStatus,
    pub reason: Option<Reason>,
    pub work: SequenceWork,
    pub head: i32,
    pub length: i32,
    pub deadline_at: Option<Timestamp>,
    pub paused_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub messages: Vec<Message>,
}

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct SequenceFilter {
    pub sender: Option<SenderId>,
    pub recipient: Option<String>,
    pub reference: Option<String>,
    pub status: Option<SequenceStatus>,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Created {
    /// The sequence.
    pub sequence: SequenceId,
    /// Its messages, in order.
    pub messages: Vec<MessageId>,
}

impl Store {
    /// Makes a sequence with its messages; `None` when there is no such sender.
    pub async fn create_sequence(&self, new: &NewSequence) -> Result<Option<Created>, StoreError> {
        let created_at = self.clock.now();
        let sequence = SequenceId {
            sender: new.sender,
            uuid: self.clock.new_id(),
        };
        let lane = new.steps.first().map(NewStep::lane).unwrap_or_default();
        let delay = new.steps.first().map_or(Duration::ZERO, |step| step.delay);
        let due_at = new.at.unwrap_or(created_at) + delay;
        again!("create_sequence", {
            let mut transaction = self.pool.begin().await?;
            let made = sqlx::query!(
                r#"
                -- create_sequence
                INSERT INTO sequences (sender, id, length, due_at, ready_at, created_at, single,
                                       status, work, lane, recipient, reference, gate, on_failure)
                SELECT s.id, $2, $3, $4, $4, $5, $6, 'running', 'ready', $7, $8, $9, $10, $11
                FROM senders s WHERE s.id = $1
                "#,
                new.sender.0,
                sequence.uuid,
                i32::try_from(new.steps.len()).unwrap_or(i32::MAX),
                due_at,
                created_at,
                new.single,
                lane,
                new.recipient,
                new.reference,
                Json(new.gate) as _,
                new.on_failure.as_str(),
            )
            .execute(&mut *transaction)
            .await?;
            if made.rows_affected() == 0 {
                return Ok(None);
            }
            let messages = self
                .insert_steps(&mut transaction, sequence, &new.recipient, 1, &new.steps)
                .await?;
            transaction.commit().await?;
            Ok(Some(Created { sequence, messages }))
        })
    }

    /// Writes the messages of a sequence, the first at position `from`, and the lanes they use.
    pub(super) async fn insert_steps(
        &self,
        connection: &mut PgConnection,
        sequence: SequenceId,
        recipient: &str,
        from: i32,
        steps: &[NewStep],
    ) -> Result<Vec<MessageId>, StoreError> {
        let ids: Vec<_> = steps.iter().map(|_| self.clock.new_id()).collect();
        let template = |part: fn(&(String, String)) -> &String| -> Vec<Option<String>> {
            let parts = steps.iter().map(|step| step.template.as_ref().map(part));
            parts.map(Option::<&String>::cloned).collect()
        };
        sqlx::query!(
            r#"
            -- insert_steps
            WITH step AS (
                SELECT * FROM unnest(
                    $6::uuid[], $7::text[], $8::jsonb[], $9::text[], $10::text[], $11::text[],
                    $12::jsonb[], $13::bigint[], $14::text[], $15::text[]
                ) WITH ORDINALITY AS x (
                    id, type, content, template_name, template_language, reference,
                    gate, delay_ms, on_unknown, lane, place
                )
            ),
            opened AS (
                INSERT INTO lanes (sender, lane, template_name, template_language)
                SELECT DISTINCT $1::integer, lane, template_name, template_language
                FROM step WHERE template_name IS NOT NULL
                ORDER BY lane
                ON CONFLICT DO NOTHING
            )
            INSERT INTO messages (sender, sequence, recipient, position, created_at, origin, id,
                                  type, content, template_name, template_language, reference,
                                  gate, delay_ms, on_unknown)
            SELECT $1, $2, $3, $4::integer + place::integer - 1, $5, 'ours', id, type, content,
                   template_name, template_language, reference, gate, delay_ms, on_unknown
            FROM step
            "#,
            sequence.sender.0,
            sequence.uuid,
            recipient,
            from,
            self.clock.now(),
            &ids,
            &steps
                .iter()
                .map(|step| step.kind.clone())
                .collect::<Vec<_>>(),
            &steps
                .iter()
                .map(|step| step.content.clone())
                .collect::<Vec<_>>(),
            &template(|(name, _)| name) as &[Option<String>],
            &template(|(_, language)| language) as &[Option<String>],
            &steps
                .iter()
                .map(|step| step.reference.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &steps
                .iter()
                .map(|step| step.gate.map(Json))
                .collect::<Vec<_>>() as &[Option<Json<Gate>>],
            &steps.iter().map(NewStep::delay_ms).collect::<Vec<_>>(),
            &steps
                .iter()
                .map(|step| step.on_unknown.as_str().to_owned())
                .collect::<Vec<_>>(),
            &steps.iter().map(NewStep::lane).collect::<Vec<_>>(),
        )
        .execute(connection)
        .await?;
        let sender = sequence.sender;
        let id = |uuid| MessageId { sender, uuid };
        Ok(ids.into_iter().map(id).collect())
    }

    /// Reads one, with its messages. Lone messages are no sequences to callers.
    pub async fn sequence(&self, id: SequenceId) -> Result<Option<SequenceRow>, StoreError> {
        let one = SequenceFilter {
            sender: Some(id.sender),
            ..SequenceFilter::default()
        };
        let found = self.read_sequences(Some(id.uuid), &one, None, 1).await?;
        Ok(found.into_iter().next())
    }

    /// A page, newest first.
    pub async fn list_sequences(
        &self,
        filter: &SequenceFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<SequenceRow>, StoreError> {
        self.read_sequences(None, filter, before, limit).await
    }

    async fn read_sequences(
        &self,
        id: Option<Uuid>,
        filter: &SequenceFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<SequenceRow>, StoreError> {
        let mut list = self.begin_list().await?;
        let rows = sqlx::query!(
            r#"
            -- read_sequences
            SELECT sender, id, recipient, reference, gate AS "gate: Json<Gate>", on_failure,
                   status, reason, work, head, length, deadline_at, paused_at, created_at
            FROM sequences
            WHERE NOT single
                AND ($1::uuid IS NULL OR id = $1)
                AND ($2::uuid IS NULL OR id < $2)
                AND ($3::integer IS NULL OR sender = $3)
                AND ($4::text IS NULL OR recipient = $4)
                AND ($5::text IS NULL OR reference = $5)
                AND ($6::text IS NULL OR status = $6)
            ORDER BY id DESC
            LIMIT $7
            "#,
            id,
            before,
            filter.sender.map(|sender| sender.0),
            filter.recipient,
            filter.reference,
            filter.status.map(SequenceStatus::as_str),
            limit,
        )
        .fetch_all(&mut *list)
        .await?;
        let mut sequences = Vec::with_capacity(rows.len());
        for row in rows {
            let corrupt =
                || StoreError::Corrupt(format!("sequences: {} of {}", row.id, row.sender));
            sequences.push(SequenceRow {
                id: SequenceId {
                    sender: SenderId(row.sender),
                    uuid: row.id,
                },
                gate: row.gate.0,
                on_failure: OnFailure::parse(&row.on_failure).ok_or_else(corrupt)?,
                status: SequenceStatus::parse(&row.status).ok_or_else(corrupt)?,
                reason: row.reason.as_deref().and_then(Reason::parse),
                work: SequenceWork::parse(&row.work).ok_or_else(corrupt)?,
                recipient: row.recipient,
                reference: row.reference,
                head: row.head,
                length: row.length,
                deadline_at: row.deadline_at,
                paused_at: row.paused_at,
                created_at: row.created_at,
                messages: Vec::new(),
            });
        }
        add_messages(&mut list, &mut sequences).await?;
        Ok(sequences)
    }
}

async fn add_messages(
    connection: &mut PgConnection,
    sequences: &mut [SequenceRow],
) -> Result<(), StoreError> {
    let ids = sqlx::query!(
        r#"
        -- messages_of_sequences
        SELECT m.sender, m.id
        FROM unnest($1::integer[], $2::uuid[]) AS x (sender, sequence)
        JOIN messages m ON m.sender = x.sender AND m.sequence = x.sequence
        ORDER BY m.sender, m.sequence, m.position
        "#,
        &sequences.iter().map(|s| s.id.sender.0).collect::<Vec<_>>(),
        &sequences.iter().map(|s| s.id.uuid).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<_> = ids
        .into_iter()
        .map(|row| MessageId {
            sender: SenderId(row.sender),
            uuid: row.id,
        })
        .collect();
    let places: HashMap<SequenceId, usize> = (sequences.iter().map(|sequence| sequence.id))
        .zip(0..)
        .collect();
    for (_, message) in read_messages(connection, &ids).await? {
        let of = message.step.as_ref().map(|step| step.sequence);
        let place = of.and_then(|of| places.get(&of));
        if let Some(sequence) = place.and_then(|place| sequences.get_mut(*place)) {
            sequence.messages.push(message);
        }
    }
    Ok(())
}
