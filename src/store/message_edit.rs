//! What a message says and when it goes, changed before it is first taken to be posted. Behind the
//! lock of its sequence, which who claims it takes too: either it goes as it was, and the change is
//! refused, or as it is now.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::facts::OwnFact;
use super::messages::{Message, Step};
use super::sequence_changes::{lock, read_message};
use super::wrong_state::WrongState;
use super::{Store, StoreError, again};
use crate::model::ids::{MessageId, SequenceId};
use crate::model::message::MessageStatus;
use crate::model::sequence::{Gate, OnUnknown, RetryLimits, SequenceStatus};
use crate::model::{Timestamp, event, lane};

/// What is to be another way. What is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct MessageEdit {
    /// What it says.
    pub said: Option<NewSaid>,
    /// The caller's name for it, or none any more.
    pub reference: Option<Option<String>>,
    /// A step's own gate, or its sequence's.
    pub gate: Option<Option<Gate>>,
    /// From when the message before passed its gate.
    pub delay: Option<Duration>,
    /// A lone message's: not before; `Some(None)`: now.
    pub at: Option<Option<Timestamp>>,
    /// What a lost answer means.
    pub on_unknown: Option<OnUnknown>,
}

/// What a message says.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of messages")]
pub struct NewSaid {
    pub kind: String,
    pub content: Value,
    pub marketing: Option<Value>,
    pub template: Option<(String, String)>,
}

impl MessageEdit {
    /// The fields that are given.
    fn fields(&self) -> Vec<&str> {
        [
            ("content", self.said.is_some()),
            ("reference", self.reference.is_some()),
            ("gate", self.gate.is_some()),
            ("delay", self.delay.is_some()),
            ("at", self.at.is_some()),
            ("on_unknown", self.on_unknown.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
        .collect()
    }
}

impl Store {
    /// Changes a message that nobody has taken to be posted yet; `None` when there is none.
    pub async fn edit_message(
        &self,
        id: MessageId,
        edit: &MessageEdit,
        limits: &RetryLimits,
    ) -> Result<Option<Result<Message, WrongState>>, StoreError> {
        again!(self, "edit_message", {
            let mut transaction = self.begin().await?;
            let Some(before) = read_message(&mut transaction, id).await? else {
                return Ok(None);
            };
            // Without a sequence it is somebody else's.
            let Some(step) = before.step else {
                return Ok(Some(Err(WrongState::AlreadySent)));
            };
            let row = lock(&mut transaction, step.sequence).await?;
            let message = read_message(&mut transaction, before.id).await?;
            let (Some(row), Some(message)) = (row, message) else {
                return Ok(None);
            };
            if row.is_erased() {
                return Ok(Some(Err(WrongState::Erased)));
            }
            if let Some(refused) = refusal(&message, row.campaign.is_some(), limits) {
                return Ok(Some(Err(refused)));
            }
            if let Some(step) = &message.step {
                self.write_edit(&mut transaction, &message, step, edit)
                    .await?;
            }
            let fact = OwnFact::of_message(message.id, event::MESSAGE_CHANGED, "api")
                .with(json!({"fields": edit.fields()}));
            self.write_facts(&mut transaction, &[fact]).await?;
            let changed = read_message(&mut transaction, message.id).await?;
            transaction.commit().await?;
            Ok(changed.map(Ok))
        })
    }

    async fn write_edit(
        &self,
        connection: &mut PgConnection,
        message: &Message,
        step: &Step,
        edit: &MessageEdit,
    ) -> Result<(), StoreError> {
        let head = message.is_head().then_some(step);
        // The delay counts from when the gate before it opened, which only `ready_at` remembers; not
        // where something else has put the head off since.
        let delayed = edit.delay.filter(|_| step.ready_because.is_none());
        let delayed = head
            .and(delayed)
            .and_then(|delay| Some((delay, step.state.ready_at?)));
        let ready_at = match (edit.at, delayed) {
            (Some(at), _) if head.is_some() => Some(at.unwrap_or(self.clock.now())),
            (_, Some((delay, ready_at))) => {
                let before = self.delay_of(connection, message.id).await?;
                Some(ready_at - before + delay)
            }
            _ => None,
        };
        write_message(connection, message.id, edit).await?;
        if let (Some(said), true) = (&edit.said, message.step.is_some()) {
            write_said(connection, message.id, said).await?;
        }
        if head.is_some() {
            let is_running = step.state.status == SequenceStatus::Running;
            let look_at = is_running.then(|| self.clock.now());
            look_again(connection, step.sequence, ready_at, look_at).await?;
        }
        if let Some(at) = edit.at {
            write_at(connection, step.sequence, at).await?;
        }
        Ok(())
    }

    async fn delay_of(
        &self,
        connection: &mut PgConnection,
        id: MessageId,
    ) -> Result<Duration, StoreError> {
        let delay = sqlx::query_scalar!(
            "-- delay_of\nSELECT delay_ms FROM messages WHERE sender = $1 AND id = $2",
            id.sender.0,
            id.uuid,
        );
        let delay = delay.fetch_one(connection).await?;
        Ok(Duration::from_millis(u64::try_from(delay).unwrap_or(0)))
    }
}

/// Why it cannot be changed. What has an attempt may be with the provider, or go there again under
/// the same id.
fn refusal(message: &Message, of_campaign: bool, limits: &RetryLimits) -> Option<WrongState> {
    match message.status(limits) {
        _ if of_campaign => Some(WrongState::OfCampaign),
        MessageStatus::Queued if message.attempts.is_empty() => None,
        MessageStatus::Queued => Some(WrongState::AlreadyTried),
        MessageStatus::Cancelled if message.cancelled_at.is_some() => Some(WrongState::Cancelled),
        MessageStatus::Cancelled => Some(WrongState::Ended),
        _ => Some(WrongState::AlreadySent),
    }
}

async fn write_message(
    connection: &mut PgConnection,
    id: MessageId,
    edit: &MessageEdit,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        -- edit_message
        UPDATE messages
        SET reference = CASE WHEN $3 THEN $4 ELSE reference END,
            gate = CASE WHEN $5 THEN $6 ELSE gate END,
            delay_ms = coalesce($7, delay_ms), on_unknown = coalesce($8, on_unknown)
        WHERE sender = $1 AND id = $2
        "#,
        id.sender.0,
        id.uuid,
        edit.reference.is_some(),
        edit.reference.clone().flatten(),
        edit.gate.is_some(),
        edit.gate.flatten().map(Json) as _,
        edit.delay
            .map(|delay| i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)),
        edit.on_unknown.map(OnUnknown::as_str),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What it says, and the lane that it then uses.
async fn write_said(
    connection: &mut PgConnection,
    id: MessageId,
    said: &NewSaid,
) -> Result<(), StoreError> {
    let (name, language) = said.template.clone().unzip();
    let template = said.template.as_ref();
    let lane = lane::of(template.map(|(name, language)| (name.as_str(), language.as_str())));
    sqlx::query!(
        r#"
        -- edit_message: said
        WITH opened AS (
            INSERT INTO lanes (sender, lane, template_name, template_language)
            SELECT $1, $8::text, $6, $7 WHERE $6::text IS NOT NULL
            ON CONFLICT DO NOTHING
        )
        UPDATE messages
        SET type = $3, content = $4, marketing = $5, template_name = $6, template_language = $7
        WHERE sender = $1 AND id = $2
        "#,
        id.sender.0,
        id.uuid,
        said.kind,
        said.content,
        said.marketing,
        name,
        language,
        lane,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What the caller said of when it goes, to be read back.
async fn write_at(
    connection: &mut PgConnection,
    id: SequenceId,
    at: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "-- edit_message: at\nUPDATE sequences SET not_before = $3 WHERE sender = $1 AND id = $2",
        id.sender.0,
        id.uuid,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A head that is ready: its claimer finds its lane, and when it may go, anew. One that is paused is
/// looked at when it goes on.
async fn look_again(
    connection: &mut PgConnection,
    id: SequenceId,
    ready_at: Option<Timestamp>,
    look_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        -- edit_message: look again
        UPDATE sequences
        SET ready_at = coalesce($3, ready_at),
            ready_because = CASE WHEN $3 IS NULL THEN ready_because END,
            due_at = coalesce($4, due_at), lane = CASE WHEN $4 IS NULL THEN lane ELSE '' END
        WHERE sender = $1 AND id = $2 AND work = 'ready'
        "#,
        id.sender.0,
        id.uuid,
        ready_at,
        look_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
