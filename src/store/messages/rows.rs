//! Messages out of their rows: one statement, and what it says in the words of the model.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::super::StoreError;
use super::super::attempts::{UNKNOWN, outcome, refused_at, rule};
use super::{Asked, Attempt, Message, Step, Width, message_id};
use crate::model::Timestamp;
use crate::model::error_class::infobip;
use crate::model::evidence::{Evidence, Failure};
use crate::model::fact::ProviderError;
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::message;
use crate::model::quiet::QuietHours;
use crate::model::sequence::{
    Gate, OnFailure, OnUnknown, Policy, Reason, Sequence, SequenceStatus, SequenceWork,
};

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
    gate: Option<Json<Gate>>,
    delay_ms: i64,
    on_unknown: String,
    sequence: Option<Uuid>,
    position: Option<i32>,
    single: Option<bool>,
    head: Option<i32>,
    ready_at: Option<Timestamp>,
    ready_because: Option<String>,
    put_off_at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    quiet_hours: Option<Json<QuietHours>>,
    paused_at: Option<Timestamp>,
    deadline_at: Option<Timestamp>,
    sequence_status: Option<String>,
    reason: Option<String>,
    work: Option<String>,
    on_failure: Option<String>,
    policy: Option<Json<Policy>>,
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

/// The rows of the messages that are found so, with their sequences and attempts; `$wide`: with what
/// only one that is looked at by itself shows.
macro_rules! rows {
    ($wide:literal, $from:literal, $which:literal, $($argument:expr),* $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"
        -- read_messages
        SELECT m.sender, m.id, m.adopted_by, m.origin, m.recipient, m.type AS kind, m.reference,
               m.cancelled_at, m.created_at, m.sequence, m.position, m.delay_ms, m.on_unknown,
        "#
                + $wide
                + r#"
               q.single AS "single?", q.head AS "head?", q.ready_at, q.ready_because,
               q.put_off_at, q.not_before,
               q.quiet_hours AS "quiet_hours: Json<QuietHours>", q.paused_at, q.deadline_at,
               q.status AS "sequence_status?", q.reason, q.work AS "work?",
               q.on_failure AS "on_failure?", q.policy AS "policy?: Json<Policy>",
               coalesce(q.set_going_at, q.created_at) AS "sequence_since?",
               a.n AS "n?", a.provider_message_id, a.posted_at, a.outcome, a.refusal,
               a.unknown_at, a.accepted_at, a.held_at, a.sent_at, a.delivered_at, a.read_at,
               a.played_at, a.failed_at, a.failed_code, a.expires_at, a.expired_at
        "#
                + $from
                + r#"
        LEFT JOIN sequences q ON q.sender = m.sender AND q.id = m.sequence
        LEFT JOIN attempts a ON a.sender = m.sender AND a.message = m.id
        "#
                + $which,
            $($argument),*
        )
    };
}

/// Adds messages to `found`; returns by which messages others were adopted. Each is looked up by
/// its key, and in one statement with its sequence and its attempts.
pub(super) async fn read_rows(
    connection: &mut PgConnection,
    ids: &[MessageId],
    width: Width,
    found: &mut HashMap<MessageId, Message>,
) -> Result<HashMap<MessageId, MessageId>, StoreError> {
    let rows = match (width, ids) {
        // What is asked for most.
        (Width::Detail, [id]) => {
            rows!(
                "m.content, m.marketing, coalesce(m.gate, q.gate) AS \"gate: Json<Gate>\",",
                "FROM messages m",
                "WHERE m.sender = $1 AND m.id = $2",
                id.sender.0,
                id.uuid,
            )
            .fetch_all(connection)
            .await?
        }
        (_, ids) => {
            rows!(
                "NULL::jsonb AS content, NULL::jsonb AS marketing, NULL::jsonb AS \"gate: Json<Gate>\",",
                "FROM unnest($1::integer[], $2::uuid[]) AS x (sender, id)
             JOIN messages m ON m.sender = x.sender AND m.id = x.id",
                "",
                &ids.iter().map(|id| id.sender.0).collect::<Vec<_>>(),
                &ids.iter().map(|id| id.uuid).collect::<Vec<_>>(),
            )
            .fetch_all(connection)
            .await?
        }
    };
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
        asked: (width == Width::Detail).then(|| asked(row)),
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
            ready_because_since: row.put_off_at,
            quiet_hours: row.quiet_hours.as_deref().cloned(),
            messaging_limit: None,
            paused_at: row.paused_at,
            state: Sequence {
                status: SequenceStatus::parse(row.sequence_status.as_deref()?)?,
                reason: row.reason.as_deref().and_then(Reason::parse),
                work: SequenceWork::parse(row.work.as_deref()?)?,
                ready_at: row.ready_at,
                deadline_at: row.deadline_at,
                on_failure: OnFailure::parse(row.on_failure.as_deref()?)?,
                policy: row.policy.as_deref().copied()?,
                since: row.sequence_since?,
            },
        })
    };
    let corrupt = || StoreError::Corrupt(format!("sequences: {sequence} of sender {}", row.sender));
    read().ok_or_else(corrupt).map(Some)
}

fn asked(row: &Row) -> Asked {
    Asked {
        content: row.content.clone(),
        marketing: row.marketing.clone(),
        gate: row.gate.as_deref().copied(),
        delay: Duration::from_millis(u64::try_from(row.delay_ms).unwrap_or(0)),
        on_unknown: OnUnknown::parse(&row.on_unknown).filter(|_| row.origin == "ours"),
        at: row.not_before.filter(|_| row.single == Some(true)),
    }
}

/// What was said of a failure with this code. Of several that differ the fact has the one that
/// counts here too, unless no time was said, or before versions that saw to it: then its texts may
/// be of another.
pub(super) fn said_of(code: i64, errors: &Value) -> ProviderError {
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
