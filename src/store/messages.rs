//! Messages as they are shown: one row of `messages` with its sequence and its attempts, read in
//! one statement, so that a status is never made of two moments. What is shown is computed from
//! these by `model`, here and nowhere else.

use serde::Deserialize as _;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::attempts::{UNKNOWN, outcome, refused_at, rule};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::error_class::infobip;
use crate::model::evidence::{Evidence, Failure};
use crate::model::fact::ProviderError;
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::message::{self, MessageStatus, Work};
use crate::model::sequence::{
    OnFailure, Policy, Reason, RetryLimits, Sequence, SequenceStatus, SequenceWork, work_of,
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
        again!(self, "messages", {
            let mut connection = self.pool.acquire().await?;
            read_messages(&mut connection, ids).await
        })
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

/// A row of [`read_messages`]: a message and one of its attempts.
struct Row {
    asked: Uuid,
    sender: i32,
    id: Uuid,
    origin: String,
    recipient: Option<String>,
    kind: Option<String>,
    reference: Option<String>,
    cancelled_at: Option<Timestamp>,
    created_at: Timestamp,
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
    ready_because_since: Option<Timestamp>,
    limit_users: Option<i32>,
    limit_frees_at: Option<Timestamp>,
    sender_status: Option<String>,
    sender_status_reason: Option<String>,
    sender_status_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    stopped_reason: Option<String>,
    template_status: Option<String>,
    template_status_at: Option<Timestamp>,
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
    failed_errors: Option<Value>,
}

/// See [`Store::messages`]; within the caller's transaction.
#[allow(clippy::too_many_lines, reason = "one statement")]
pub(super) async fn read_messages(
    connection: &mut PgConnection,
    ids: &[MessageId],
) -> Result<Vec<(MessageId, Message)>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        -- read_messages
        SELECT x.id AS "asked!", m.sender, m.id, m.origin, m.recipient, m.type AS kind,
               m.reference, m.cancelled_at, m.created_at, m.sequence, m.position,
               q.single AS "single?", q.head AS "head?", q.ready_at, q.ready_because,
               q.paused_at, q.deadline_at,
               q.status AS "sequence_status?", q.reason, q.work AS "work?",
               q.on_failure AS "on_failure?", q.policy AS "policy?",
               coalesce(q.set_going_at, q.created_at) AS "sequence_since?",
               CASE WHEN q.head = m.position THEN CASE q.ready_because
                   WHEN 'opted_out' THEN (
                       SELECT marketing_at FROM user_known(m.sender, q.recipient)
                   )
                   WHEN 'window_closed' THEN (
                       SELECT wrote_at FROM user_known(m.sender, q.recipient)
                   ) + interval '24 hours'
               END END AS ready_because_since,
               ml.users AS "limit_users?", ml.frees_at AS "limit_frees_at?",
               d.status AS "sender_status?", d.reason AS sender_status_reason,
               d.since AS sender_status_at, c.stopped_at, c.stopped_reason,
               t.status AS "template_status?", t.status_at AS "template_status_at?",
               a.n AS "n?", a.provider_message_id, a.posted_at, a.outcome, a.refusal,
               a.unknown_at, a.accepted_at, a.held_at, a.sent_at, a.delivered_at, a.read_at,
               a.played_at, a.failed_at, a.failed_code, a.expires_at, a.expired_at,
               -- Of a failure the attempt keeps the code alone; its texts are in the fact. What
               -- has a key was said of a member of a group.
               CASE WHEN a.failed_at IS NOT NULL THEN (
                   SELECT f.data -> 'errors'
                   FROM facts f
                   WHERE f.stream = a.sender AND f.subject = a.message AND f.n = a.n
                       AND f.type = 'message.failed' AND f.key = ''
               ) END AS failed_errors
        FROM unnest($1::integer[], $2::uuid[]) WITH ORDINALITY AS x (sender, id, place)
        JOIN messages p ON p.sender = x.sender AND p.id = x.id
        JOIN messages m ON m.sender = x.sender AND m.id = coalesce(p.adopted_by, p.id)
        JOIN senders s ON s.id = m.sender
        JOIN connections c ON c.id = s.connection
        LEFT JOIN sequences q ON q.sender = m.sender AND q.id = m.sequence
        LEFT JOIN messaging_limits ml
            ON q.ready_because = 'messaging_limit' AND q.head = m.position
            AND ml.stream = c.stream AND ml.account = coalesce(s.waba_id, 'sender ' || s.id)
        LEFT JOIN LATERAL (
            SELECT * FROM standing(s, now())
            WHERE q.head = m.position AND q.status = 'running'
        ) d ON true
        LEFT JOIN LATERAL (
            SELECT t.status, t.status_at
            FROM templates t
            WHERE NOT t.sendable AND t.connection = c.id AND t.name = m.template_name
                AND t.language = m.template_language
                AND (s.waba_id IS NULL OR t.waba_id IN (s.waba_id, ''))
                -- It matters only to a message that would be posted now.
                AND q.head = m.position AND q.status = 'running'
            LIMIT 1
        ) t ON true
        LEFT JOIN attempts a ON a.sender = m.sender AND a.message = m.id
        ORDER BY x.place, a.n
        "#,
        &ids.iter().map(|id| id.sender.0).collect::<Vec<_>>(),
        &ids.iter().map(|id| id.uuid).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    let mut messages: Vec<(MessageId, Message)> = Vec::with_capacity(ids.len());
    for row in rows {
        let asked = message_id(row.sender, row.asked);
        if messages.last().is_none_or(|(last, _)| *last != asked) {
            messages.push((asked, message(&row)?));
        }
        if let (Some((_, message)), Some(n)) = (messages.last_mut(), row.n) {
            message.attempts.push(attempt(n, row));
        }
    }
    Ok(messages)
}

fn message(row: &Row) -> Result<Message, StoreError> {
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
        closed: closed(row),
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
            ready_because_since: row.ready_because_since,
            messaging_limit: row.limit_users.zip(row.limit_frees_at),
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

fn closed(row: &Row) -> Vec<Closed> {
    let mut closed = Vec::new();
    let mut add = |reason, since: Option<Timestamp>, detail: Option<&String>| {
        closed.push(Closed {
            reason,
            since: since.unwrap_or(row.created_at),
            detail: detail.cloned(),
        });
    };
    if row.stopped_at.is_some() {
        add(
            "connection_stopped",
            row.stopped_at,
            row.stopped_reason.as_ref(),
        );
    }
    if row.sender_status.as_deref().is_some_and(|s| s != "active") {
        let detail = row.sender_status_reason.as_ref();
        let detail = detail.or(row.sender_status.as_ref());
        add("sender_blocked", row.sender_status_at, detail);
    }
    if row.template_status.is_some() {
        let since = row.template_status_at;
        add("template_paused", since, row.template_status.as_ref());
    }
    closed
}

/// What was said of a failure with this code. Of several that differ the fact has the one that
/// counts here too, unless no time was said, or before versions that saw to it: then its texts may
/// be of another.
fn said_of(code: i64, errors: Option<Value>) -> ProviderError {
    let errors = errors.as_ref().and_then(Value::as_array);
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
    let failed = row.failed_code.map(|code| said_of(code, row.failed_errors));
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
