//! Messages as they are shown: one row of `messages` with its sequence and its attempts, read in
//! one statement, so that a status is never made of two moments. What is shown is computed from
//! these by `model`, here and nowhere else. How rows are read and what is made of them is in `rows`.

mod rows;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use self::rows::{read_rows, said_of};
use super::message_reasons::{add_reasons, failure_texts};
use super::pool::is_cut;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::fact::ProviderError;
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::message::{self, MessageStatus, Work};
use crate::model::quiet::QuietHours;
use crate::model::sequence::{Gate, OnUnknown, RetryLimits, Sequence, work_of};

/// A message, with all that its status is made of.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of messages")]
pub struct Message {
    pub id: MessageId,
    pub origin: String,
    pub recipient: Option<String>,
    pub kind: Option<String>,
    pub reference: Option<String>,
    pub cancelled_at: Option<Timestamp>,
    pub created_at: Timestamp,
    /// Where it stands; `None` for a message that somebody else sent.
    pub step: Option<Step>,
    pub attempts: Vec<Attempt>,
    /// What keeps its sender from posting, the worst first.
    pub closed: Vec<Closed>,
    /// What was asked for, where that was read.
    pub asked: Option<Asked>,
}

/// What a caller asked for, as it stands.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the columns of messages")]
pub struct Asked {
    pub content: Option<Value>,
    pub marketing: Option<Value>,
    /// What the next message waits for; the sequence's where the message has none of its own.
    pub gate: Option<Gate>,
    pub delay: Duration,
    pub on_unknown: Option<OnUnknown>,
    /// A lone message's: not before.
    pub at: Option<Timestamp>,
}

/// A message's place in its sequence, and how that stands.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of sequences")]
pub struct Step {
    pub sequence: SequenceId,
    pub position: i32,
    pub single: bool,
    pub head: i32,
    pub paused_at: Option<Timestamp>,
    /// Why the head is posted later, where that is neither the caller's wish nor
    /// an attempt's: `rate_limit`, `quiet_hours`, `opted_out`, `window_closed`.
    pub ready_because: Option<String>,
    /// Since when it is, or since when the provider has not taken it.
    pub ready_because_since: Option<Timestamp>,
    /// When nothing is posted to them.
    pub quiet_hours: Option<QuietHours>,
    /// To how many users the account may write first, and when to the next, where it waits for that.
    pub messaging_limit: Option<(i32, Timestamp)>,
    pub state: Sequence,
}

/// One POST of a message.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of attempts")]
pub struct Attempt {
    pub n: i16,
    pub provider_message_id: Option<String>,
    pub posted_at: Option<Timestamp>,
    pub outcome: Option<String>,
    /// When its time is over, if nothing is heard of it by then.
    pub expires_at: Option<Timestamp>,
    /// When we refused it ourselves.
    pub refused_at: Option<Timestamp>,
    /// The error it was refused with, or failed with later.
    pub error: Option<ProviderError>,
    /// Why it went back unposted: the provider's code, where it answered at all, and words.
    pub returned: Option<(Option<i64>, String)>,
    pub said: message::Attempt,
}

/// Something that closes a lane, a sender, or a connection.
#[derive(Debug, Clone)]
pub struct Closed {
    /// `connection_stopped`, `sender_blocked`, `template_paused`.
    pub reason: &'static str,
    /// Since when.
    pub since: Timestamp,
    /// In words.
    pub detail: Option<String>,
}

impl Attempt {
    /// Whether it is to be posted (again) under its number: a limit or a pause burns none.
    pub fn was_given_back(&self) -> bool {
        self.posted_at.is_none() && self.outcome.is_none() && self.said.evidence.is_empty()
    }
}

impl Message {
    /// The status that is shown.
    pub fn status(&self, limits: &RetryLimits) -> MessageStatus {
        let attempts: Vec<_> = self.attempts.iter().map(|attempt| attempt.said).collect();
        let work = match &self.step {
            Some(step) => work_of(&step.state, step.head, step.position, &attempts, limits),
            // Somebody else posted it.
            None => Work::Posted,
        };
        message::status(&attempts, self.cancelled_at.is_some(), work)
    }

    /// Whether it is the one its sequence is about.
    pub fn is_head(&self) -> bool {
        self.step
            .as_ref()
            .is_some_and(|step| step.position == step.head)
    }
}

impl Store {
    /// Messages by id, in the order asked for; what is not there is left out. An external
    /// message that turned out to be ours is read as the message it went into.
    pub async fn messages(
        &self,
        ids: &[MessageId],
    ) -> Result<Vec<(MessageId, Message)>, StoreError> {
        self.read_anywhere(ids, Width::List).await
    }

    /// One of them, with what was asked for.
    pub async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        let found = self.read_anywhere(&[id], Width::Detail).await?;
        Ok(found.into_iter().next().map(|(_, message)| message))
    }

    /// Where a connection is cut off it is read again on another one.
    async fn read_anywhere(
        &self,
        ids: &[MessageId],
        width: Width,
    ) -> Result<Vec<(MessageId, Message)>, StoreError> {
        let found = again!(self, "messages", {
            read_wide(&mut *self.pool.lend().await?, ids, width).await
        });
        match found {
            Err(StoreError::Database(error)) if is_cut(&error) => again!(self, "messages", {
                read_wide(&mut *self.pool.acquire().await?, ids, width).await
            }),
            found => found,
        }
    }

    /// The messages that attempts of these provider ids belong to.
    pub async fn messages_of_provider_ids(
        &self,
        ids: &[String],
    ) -> Result<Vec<(String, MessageId)>, StoreError> {
        let rows = again!(self, "messages_of_provider_ids", {
            Ok(sqlx::query!(
                r#"
            -- messages_of_provider_ids
            SELECT provider_message_id AS "provider_message_id!", sender, message
            FROM attempts
            WHERE provider_message_id = ANY($1)
            ORDER BY provider_message_id, sender
            "#,
                ids,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(rows
            .into_iter()
            .map(|row| (row.provider_message_id, message_id(row.sender, row.message)))
            .collect())
    }
}

fn message_id(sender: i32, uuid: Uuid) -> MessageId {
    MessageId {
        sender: SenderId(sender),
        uuid,
    }
}

/// What of a message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// What lists show.
    List,
    /// With what it says, of one message.
    Detail,
}

/// See [`Store::messages`]; within the caller's transaction.
pub(super) async fn read_messages(
    connection: &mut PgConnection,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, Message)>, StoreError> {
    read_wide(connection, ids, Width::List).await
}

async fn read_wide(
    connection: &mut PgConnection,
    ids: &[MessageId],
    width: Width,
) -> Result<Vec<(MessageId, Message)>, StoreError> {
    let mut found = HashMap::with_capacity(ids.len());
    let adopted = read_rows(connection, ids, width, &mut found).await?;
    if !adopted.is_empty() {
        // What is there already is of an earlier moment, and stays whole.
        let by = adopted.values().filter(|by| !found.contains_key(by));
        let by: Vec<_> = by.copied().collect();
        read_rows(connection, &by, width, &mut found).await?;
    }
    let failed: Vec<_> = found.values().flat_map(failures).collect();
    let texts = failure_texts(connection, &failed).await?;
    add_texts(&mut found, &texts);
    add_reasons(connection, found.values_mut()).await?;
    let mut shown: Vec<(MessageId, Message)> = Vec::with_capacity(ids.len());
    for id in ids {
        let by = adopted.get(id).unwrap_or(id);
        // Asked for twice, or as itself and as what it adopted, it is there twice.
        let again = || shown.iter().find(|(_, shown)| shown.id == *by);
        let message = found
            .remove(by)
            .or_else(|| again().map(|(_, shown)| shown.clone()));
        shown.extend(message.map(|message| (*id, message)));
    }
    Ok(shown)
}

/// The attempts that failed by a webhook, whose texts are elsewhere.
fn failures(message: &Message) -> impl Iterator<Item = (MessageId, i16)> {
    message
        .attempts
        .iter()
        .filter(|attempt| attempt.said.evidence.failed.is_some())
        .map(|attempt| (message.id, attempt.n))
}

fn add_texts(found: &mut HashMap<MessageId, Message>, texts: &HashMap<(Uuid, i16), Value>) {
    if texts.is_empty() {
        return;
    }
    for message in found.values_mut() {
        for attempt in &mut message.attempts {
            if let Some(texts) = texts.get(&(message.id.uuid, attempt.n))
                && attempt.said.evidence.failed.is_some()
                // One that was refused too shows why.
                && let Some(error) = attempt.error.as_mut().filter(|error| error.title.is_none())
            {
                *error = said_of(error.code, texts);
            }
        }
    }
}
