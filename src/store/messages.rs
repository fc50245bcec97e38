//! Messages as they are shown: one row of `messages` with its sequence and its attempts, read in
//! one statement, so that a status is never made of two moments. What is shown is computed from
//! these by `model`, here and nowhere else.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::attempts::{UNKNOWN, outcome, refused_at, rule};
use super::message_reasons::{add_reasons, failure_texts};
use super::pool::is_cut;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::error_class::infobip;
use crate::model::evidence::{Evidence, Failure};
use crate::model::fact::ProviderError;
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::message::{self, MessageStatus, Work};
use crate::model::sequence::{
    Gate, OnFailure, OnUnknown, Policy, Reason, RetryLimits, Sequence, SequenceStatus,
    SequenceWork, work_of,
};

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
    /// Since when, where it is the recipient's doing.
    pub ready_because_since: Option<Timestamp>,
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

/// A row of [`read_rows`]: a message and one of its attempts.
struct Row {
    sender: i32,
    id: Uuid,
    adopted_by: Option<Uuid>,
    origin: String,
    recipient: Option<String>,
    kind: Option<String>,
    reference: Option<String>,
    cancelled_at: Option<Timestamp>,
    created_at: Timestamp,
    content: Option<Value>,
    marketing: Option<Value>,
    gate: Option<Value>,
    delay_ms: i64,
    on_unknown: String,
    sequence: Option<Uuid>,
    position: Option<i32>,
    single: Option<bool>,
    head: Option<i32>,
    ready_at: Option<Timestamp>,
    ready_because: Option<String>,
    paused_at: Option<Timestamp>,
    deadline_at: Option<Timestamp>,
    sequence_status: Option<String>,
    reason: Option<String>,
    work: Option<String>,
    on_failure: Option<String>,
    policy: Option<Value>,
    sequence_since: Option<Timestamp>,
    n: Option<i16>,
    provider_message_id: Option<String>,
    posted_at: Option<Timestamp>,
    outcome: Option<String>,
    refusal: Option<Value>,
    unknown_at: Option<Timestamp>,
    accepted_at: Option<Timestamp>,
    held_at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
    delivered_at: Option<Timestamp>,
    read_at: Option<Timestamp>,
    played_at: Option<Timestamp>,
    failed_at: Option<Timestamp>,
    failed_code: Option<i64>,
    expires_at: Option<Timestamp>,
    expired_at: Option<Timestamp>,
}

/// What of a message is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// What lists show.
    List,
    /// With what it says.
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

/// Adds messages to `found`; returns by which messages others were adopted. Each is looked up by
/// its key, and in one statement with its sequence and its attempts.
async fn read_rows(
    connection: &mut PgConnection,
    ids: &[MessageId],
    width: Width,
    found: &mut HashMap<MessageId, Message>,
) -> Result<HashMap<MessageId, MessageId>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        -- read_messages
        SELECT m.sender, m.id, m.adopted_by, m.origin, m.recipient, m.type AS kind, m.reference,
               m.cancelled_at, m.created_at, m.sequence, m.position, m.delay_ms, m.on_unknown,
               CASE WHEN $3 THEN m.content END AS content,
               CASE WHEN $3 THEN m.marketing END AS marketing,
               CASE WHEN $3 THEN coalesce(m.gate, q.gate) END AS gate,
               q.single AS "single?", q.head AS "head?", q.ready_at, q.ready_because,
               q.paused_at, q.deadline_at,
               q.status AS "sequence_status?", q.reason, q.work AS "work?",
               q.on_failure AS "on_failure?", q.policy AS "policy?",
               coalesce(q.set_going_at, q.created_at) AS "sequence_since?",
               a.n AS "n?", a.provider_message_id, a.posted_at, a.outcome, a.refusal,
               a.unknown_at, a.accepted_at, a.held_at, a.sent_at, a.delivered_at, a.read_at,
               a.played_at, a.failed_at, a.failed_code, a.expires_at, a.expired_at
        FROM unnest($1::integer[], $2::uuid[]) AS x (sender, id)
        JOIN messages m ON m.sender = x.sender AND m.id = x.id
        LEFT JOIN sequences q ON q.sender = m.sender AND q.id = m.sequence
        LEFT JOIN attempts a ON a.sender = m.sender AND a.message = m.id
        "#,
        &ids.iter().map(|id| id.sender.0).collect::<Vec<_>>(),
        &ids.iter().map(|id| id.uuid).collect::<Vec<_>>(),
        width == Width::Detail,
    )
    .fetch_all(connection)
    .await?;
    let mut adopted = HashMap::new();
    for row in rows {
        let id = message_id(row.sender, row.id);
        if let Some(by) = row.adopted_by {
            adopted.insert(id, message_id(row.sender, by));
            continue;
        }
        let message = match found.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(message(&row, width)?),
        };
        let Some(n) = row.n else { continue };
        if message.attempts.iter().all(|attempt| attempt.n != n) {
            message.attempts.push(attempt(n, row));
        }
    }
    for message in found.values_mut() {
        message.attempts.sort_unstable_by_key(|attempt| attempt.n);
    }
    Ok(adopted)
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

fn message(row: &Row, width: Width) -> Result<Message, StoreError> {
    Ok(Message {
        id: message_id(row.sender, row.id),
        origin: row.origin.clone(),
        recipient: row.recipient.clone(),
        kind: row.kind.clone(),
        reference: row.reference.clone(),
        cancelled_at: row.cancelled_at,
        created_at: row.created_at,
        step: step(row)?,
        attempts: Vec::new(),
        closed: Vec::new(),
        asked: (width == Width::Detail).then(|| asked(row)).transpose()?,
    })
}

fn step(row: &Row) -> Result<Option<Step>, StoreError> {
    let Some(sequence) = row.sequence else {
        return Ok(None);
    };
    let read = || {
        Some(Step {
            sequence: SequenceId {
                sender: SenderId(row.sender),
                uuid: sequence,
            },
            position: row.position?,
            single: row.single?,
            head: row.head?,
            ready_because: row.ready_because.clone(),
            ready_because_since: None,
            messaging_limit: None,
            paused_at: row.paused_at,
            state: Sequence {
                status: SequenceStatus::parse(row.sequence_status.as_deref()?)?,
                reason: row.reason.as_deref().and_then(Reason::parse),
                work: SequenceWork::parse(row.work.as_deref()?)?,
                ready_at: row.ready_at,
                deadline_at: row.deadline_at,
                on_failure: OnFailure::parse(row.on_failure.as_deref()?)?,
                policy: Policy::deserialize(row.policy.as_ref()?).ok()?,
                since: row.sequence_since?,
            },
        })
    };
    let corrupt = || StoreError::Corrupt(format!("sequences: {sequence} of sender {}", row.sender));
    read().ok_or_else(corrupt).map(Some)
}

fn asked(row: &Row) -> Result<Asked, StoreError> {
    let gate = row.gate.as_ref().map(Gate::deserialize).transpose();
    let corrupt = |error| StoreError::Corrupt(format!("messages: gate of {}: {error}", row.id));
    Ok(Asked {
        content: row.content.clone(),
        marketing: row.marketing.clone(),
        gate: gate.map_err(corrupt)?,
        delay: Duration::from_millis(u64::try_from(row.delay_ms).unwrap_or(0)),
        on_unknown: OnUnknown::parse(&row.on_unknown).filter(|_| row.origin == "ours"),
    })
}

/// What was said of a failure with this code. Of several that differ the fact has the one that
/// counts here too, unless no time was said, or before versions that saw to it: then its texts may
/// be of another.
fn said_of(code: i64, errors: &Value) -> ProviderError {
    let errors = errors.as_array();
    let read = |error| ProviderError::deserialize(error).ok();
    let mut said = errors.into_iter().flatten().filter_map(read);
    // As the provider writes it, which may be another provider's code.
    let said = said.find(|said| said.code == infobip::shown(code));
    let (title, details) = said.map_or((None, None), |said| (said.title, said.details));
    ProviderError {
        code,
        title,
        details,
    }
}

fn attempt(n: i16, mut row: Row) -> Attempt {
    let is_open = row.outcome.as_deref().is_none_or(|word| word == UNKNOWN);
    let returned = row.refusal.take_if(|_| is_open);
    let read = |error: Value| serde_json::from_value::<ProviderError>(error).ok();
    let outcome = outcome(row.outcome.as_deref(), row.refusal.as_ref(), row.unknown_at);
    let failed = row.failed_code.map(|code| said_of(code, &Value::Null));
    let rule = rule(row.refusal.as_ref());
    let refused_at = row.refusal.as_ref().and_then(refused_at);
    let error = row.refusal.and_then(read).or(failed);
    Attempt {
        n,
        refused_at,
        provider_message_id: row.provider_message_id,
        posted_at: row.posted_at,
        outcome: row.outcome,
        error,
        returned: returned.map(|refusal| {
            let text = |name: &str| refusal[name].as_str().map(str::to_owned);
            let words = text("details").or_else(|| text("title"));
            (refusal["code"].as_i64(), words.unwrap_or_default())
        }),
        expires_at: row.expires_at,
        said: message::Attempt {
            outcome,
            expired_at: row.expired_at,
            rule,
            evidence: Evidence {
                accepted_at: row.accepted_at,
                held_at: row.held_at,
                sent_at: row.sent_at,
                delivered_at: row.delivered_at,
                read_at: row.read_at,
                played_at: row.played_at,
                failed: row.failed_at.map(|at| Failure {
                    at,
                    code: row.failed_code.unwrap_or(i64::MAX),
                }),
            },
            // What it decides is not shown.
            lost: 0,
        },
    }
}
