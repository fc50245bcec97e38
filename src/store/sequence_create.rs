//! Sequences and lone messages are made here, and messages appended. All rows of one are written
//! in one transaction.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::messages::{Message, read_messages};
use super::once::shown;
use super::sequences::{SequenceRow, read_sequence};
use super::{Once, Reply, Store, StoreError, again, plan_each};
use crate::model::Timestamp;
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::lane;
use crate::model::quiet::QuietHours;
use crate::model::sequence::{self, Gate, OnFailure, OnUnknown, Policy};

/// What a sequence is made from.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of sequences")]
pub struct NewSequence {
    pub sender: SenderId,
    pub recipient: String,
    pub reference: Option<String>,
    pub gate: Gate,
    pub on_failure: OnFailure,
    pub policy: Policy,
    pub quiet_hours: Option<QuietHours>,
    /// A lone message.
    pub single: bool,
    /// When its first message may go; `None`: now.
    pub at: Option<Timestamp>,
    pub steps: Vec<NewStep>,
}

/// What a message of a sequence is made from. Campaigns keep it as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the columns of messages")]
pub struct NewStep {
    pub kind: String,
    /// The object under the type, as the caller gave it.
    pub content: Value,
    /// What it goes out with as a marketing message, if as one.
    pub marketing: Option<Value>,
    /// Name and language, the latter normalised.
    pub template: Option<(String, String)>,
    pub reference: Option<String>,
    pub gate: Option<Gate>,
    /// Counted from when the message before passed its gate.
    #[serde(rename = "delay_ms", with = "sequence::millis")]
    pub delay: Duration,
    pub on_unknown: OnUnknown,
}

impl NewStep {
    pub(super) fn lane(&self) -> String {
        let template = self.template.as_ref();
        lane::of(template.map(|(name, language)| (name.as_str(), language.as_str())))
    }

    pub(super) fn delay_ms(&self) -> i64 {
        i64::try_from(self.delay.as_millis()).unwrap_or(i64::MAX)
    }
}

impl Store {
    /// Makes a sequence with its messages, once; `None` when there is no such sender.
    pub async fn create_sequence<V: Serialize>(
        &self,
        new: &NewSequence,
        once: &Once,
        show: impl Fn(SequenceRow) -> V + Sync,
    ) -> Result<Option<Reply>, StoreError> {
        again!(self, "create_sequence", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(reply));
            }
            let Some((id, _)) = self.insert_sequence(&mut transaction, new).await? else {
                return Ok(None);
            };
            plan_each(&mut transaction).await?;
            let made = read_sequence(&mut transaction, id).await?;
            let made = made.ok_or_else(|| StoreError::Corrupt(format!("sequences: {id}")))?;
            let answer = shown(&show(made))?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(reply))
        })
    }

    /// Makes a lone message, a sequence of one, once; `None` when there is no such sender.
    pub async fn create_message<V: Serialize>(
        &self,
        new: &NewSequence,
        once: &Once,
        show: impl Fn(Message) -> V + Sync,
    ) -> Result<Option<Reply>, StoreError> {
        again!(self, "create_message", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(reply));
            }
            let Some((id, messages)) = self.insert_sequence(&mut transaction, new).await? else {
                return Ok(None);
            };
            let made = read_messages(&mut transaction, &messages).await?;
            let made = made.into_iter().next();
            let (_, made) = made.ok_or_else(|| StoreError::Corrupt(format!("messages of {id}")))?;
            let answer = shown(&show(made))?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(reply))
        })
    }

    /// Writes a sequence and its messages.
    async fn insert_sequence(
        &self,
        connection: &mut PgConnection,
        new: &NewSequence,
    ) -> Result<Option<(SequenceId, Vec<MessageId>)>, StoreError> {
        let created_at = self.clock.now();
        let sequence = SequenceId {
            sender: new.sender,
            uuid: self.clock.new_id(),
        };
        let lane = new.steps.first().map(NewStep::lane).unwrap_or_default();
        let delay = new.steps.first().map_or(Duration::ZERO, |step| step.delay);
        let due_at = new.at.unwrap_or(created_at) + delay;
        let made = sqlx::query!(
            r#"
            -- create_sequence
            INSERT INTO sequences (sender, id, length, due_at, ready_at, created_at, single, status,
                                   work, lane, recipient, reference, gate, on_failure, policy,
                                   quiet_hours, not_before)
            SELECT s.id, $2, $3, $4, $4, $5, $6, 'running', 'ready', $7, $8, $9, $10, $11, $12, $13,
                   $14
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
            Json(new.policy) as _,
            new.quiet_hours.as_ref().map(Json) as _,
            new.at,
        )
        .execute(&mut *connection)
        .await?;
        if made.rows_affected() == 0 {
            return Ok(None);
        }
        let messages = self
            .insert_steps(connection, sequence, &new.recipient, 1, &new.steps)
            .await?;
        Ok(Some((sequence, messages)))
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
                    $12::jsonb[], $13::bigint[], $14::text[], $15::text[], $16::jsonb[]
                ) WITH ORDINALITY AS x (
                    id, type, content, template_name, template_language, reference,
                    gate, delay_ms, on_unknown, lane, marketing, place
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
                                  gate, delay_ms, on_unknown, marketing)
            SELECT $1, $2, $3, $4::integer + place::integer - 1, $5, 'ours', id, type, content,
                   template_name, template_language, reference, gate, delay_ms, on_unknown,
                   marketing
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
            &steps
                .iter()
                .map(|step| step.marketing.clone())
                .collect::<Vec<_>>() as &[Option<Value>],
        )
        .execute(connection)
        .await?;
        let sender = sequence.sender;
        let id = |uuid| MessageId { sender, uuid };
        Ok(ids.into_iter().map(id).collect())
    }
}
