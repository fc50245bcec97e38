//! A message as the API shows it, computed from what is kept at the moment of asking.

use serde::Serialize;
use utoipa::ToSchema;

use super::moment::Moment;
use super::schema::{AttemptOutcome, MessageOrigin, WaitingReason};
use crate::model::Timestamp;
use crate::model::error_class::{ErrorClass, classify, infobip};
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::message::{MessageStatus, Outcome};
use crate::model::sequence::{RetryLimits, SequenceStatus, SequenceWork};
use crate::store::messages::{Attempt, Message, Step};

/// A message, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Message, example = json!({
    "id": "msg_…", "sender": "snd_…", "to": "447700900123", "type": "template",
    "reference": "order-1001", "origin": "ours", "status": "delivered",
    "provider_message_id": "wamid.HBgMNDQ3NzAwOTAwMTIz",
    "attempts": [{"n": 1, "provider_message_id": "wamid.HBgMNDQ3NzAwOTAwMTIz",
        "posted_at": "2026-11-05T09:30:00.120Z", "outcome": "accepted", "error": null}],
    "next_attempt_at": null, "accepted_at": "2026-11-05T09:30:00.341Z", "held_at": null,
    "sent_at": "2026-11-05T09:30:01.000Z", "delivered_at": "2026-11-05T09:30:02.000Z",
    "read_at": null, "played_at": null, "failed_at": null,
    "expires_at": "2026-12-05T09:30:00.341Z", "error": null, "waiting": null,
    "contradiction": false, "sequence": {"id": "seq_…", "position": 2},
    "created_at": "2026-11-05T09:29:58.512Z",
}))]
pub struct MessageView {
    id: MessageId,
    sender: SenderId,
    to: Option<String>,
    /// The provider's, such as `template` or `text`.
    r#type: Option<String>,
    reference: Option<String>,
    #[schema(value_type = MessageOrigin)]
    origin: String,
    #[schema(value_type = MessageStatus)]
    pub status: &'static str,
    /// Of the last attempt.
    provider_message_id: Option<String>,
    attempts: Vec<AttemptView>,
    next_attempt_at: Option<Moment>,
    accepted_at: Option<Moment>,
    held_at: Option<Moment>,
    sent_at: Option<Moment>,
    /// `null` where only `read` came: the provider leaves `delivered` out then.
    delivered_at: Option<Moment>,
    read_at: Option<Moment>,
    played_at: Option<Moment>,
    failed_at: Option<Moment>,
    /// When the provider gives up, if nothing is heard by then: of the last attempt.
    expires_at: Option<Moment>,
    error: Option<ErrorView>,
    waiting: Option<Waiting>,
    /// The provider said `failed` and also that it reached the user. The latter counts.
    contradiction: bool,
    /// `null` for a lone message.
    sequence: Option<InSequence>,
    created_at: Moment,
}

/// One POST of a message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
struct AttemptView {
    /// Counted from 1.
    n: i16,
    provider_message_id: Option<String>,
    posted_at: Option<Moment>,
    #[schema(value_type = Option<AttemptOutcome>)]
    outcome: Option<String>,
    error: Option<ErrorView>,
}

/// What the provider said of a failure.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderError)]
struct ErrorView {
    /// `null` where the provider said "failed" and nothing more.
    code: Option<i64>,
    title: Option<String>,
    details: Option<String>,
    #[schema(value_type = ErrorClass)]
    class: &'static str,
}

/// Why a queued message has not gone, and since when.
#[derive(Debug, Serialize, ToSchema)]
struct Waiting {
    #[schema(value_type = WaitingReason)]
    reason: &'static str,
    since: Moment,
    detail: Option<String>,
}

/// Where a message stands.
#[derive(Debug, Serialize, ToSchema)]
struct InSequence {
    id: SequenceId,
    /// Counted from 1.
    position: i32,
}

impl ErrorView {
    /// What ended an attempt: a refusal, which has the class that its answer had, or a failure.
    fn of(attempt: &Attempt) -> Option<Self> {
        let error = attempt.error.as_ref()?;
        let class = match attempt.said.outcome {
            Some(Outcome::Refused(class)) => class,
            _ => classify(error.code),
        };
        Some(Self {
            // What `model::evidence` writes for a failure without a code.
            code: Some(error.code)
                .filter(|code| *code != i64::MAX)
                .map(infobip::shown),
            title: error.title.clone(),
            details: error.details.clone(),
            class: class.as_str(),
        })
    }
}

impl MessageView {
    /// How it looks now.
    pub fn of(message: &Message, limits: &RetryLimits, now: Timestamp) -> Self {
        let status = message.status(limits);
        let last = message.attempts.last();
        let failed = last.filter(|last| last.said.failure().is_some());
        // The attempt that the status speaks of: one that reached the user, else the last.
        let shown = message
            .attempts
            .iter()
            .filter(|attempt| attempt.said.evidence.is_delivered())
            .max_by_key(|attempt| attempt.said.evidence.rank())
            .or(last);
        let evidence = shown
            .map(|attempt| attempt.said.evidence)
            .unwrap_or_default();
        let queued = status == MessageStatus::Queued;
        // A lost answer is asked for again by posting the same once more.
        let step = message.step.as_ref();
        let repeated = status == MessageStatus::Unknown
            && message.is_head()
            && step.is_some_and(|step| step.state.work == SequenceWork::Ready);
        let to_go = queued || repeated;
        Self {
            id: message.id,
            sender: message.id.sender,
            to: message.recipient.clone(),
            r#type: message.kind.clone(),
            reference: message.reference.clone(),
            origin: message.origin.clone(),
            status: status.as_str(),
            provider_message_id: last.and_then(|last| last.provider_message_id.clone()),
            attempts: message
                .attempts
                .iter()
                .filter(|attempt| !attempt.was_given_back())
                .map(AttemptView::from)
                .collect(),
            next_attempt_at: match to_go {
                true => next_attempt_at(message, now).map(Moment),
                false => None,
            },
            accepted_at: evidence.accepted_at.map(Moment),
            held_at: evidence.held_at.map(Moment),
            sent_at: evidence.sent_at.map(Moment),
            delivered_at: evidence.delivered_at.map(Moment),
            read_at: evidence.read_at.map(Moment),
            played_at: evidence.played_at.map(Moment),
            failed_at: failed.or(shown).and_then(failed_at).map(Moment),
            expires_at: last.and_then(|last| last.expires_at).map(Moment),
            error: failed.and_then(ErrorView::of),
            waiting: to_go.then(|| waiting(message, now)).flatten(),
            contradiction: message
                .attempts
                .iter()
                .any(|attempt| attempt.said.evidence.is_contradiction()),
            sequence: message
                .step
                .as_ref()
                .filter(|step| !step.single)
                .map(|step| InSequence {
                    id: step.sequence,
                    position: step.position,
                }),
            created_at: message.created_at.into(),
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            n: attempt.n,
            provider_message_id: attempt.provider_message_id.clone(),
            posted_at: attempt.posted_at.map(Moment),
            outcome: attempt.outcome.clone(),
            error: ErrorView::of(attempt),
        }
    }
}

/// When it failed: by the provider's word, or with the answer to its POST.
fn failed_at(attempt: &Attempt) -> Option<Timestamp> {
    match attempt.said.evidence.failed {
        Some(failed) => Some(failed.at),
        None => attempt
            .posted_at
            .or(attempt.refused_at)
            .filter(|_| attempt.said.failure().is_some()),
    }
}

fn next_attempt_at(message: &Message, now: Timestamp) -> Option<Timestamp> {
    let step = message.step.as_ref().filter(|_| message.is_head())?;
    let at = step.state.ready_at?;
    Some(quiet_until(message, step, at.max(now)).unwrap_or(at))
}

/// When it ends to be quiet where the recipient is, if it is at that time.
fn quiet_until(message: &Message, step: &Step, at: Timestamp) -> Option<Timestamp> {
    let hours = step.quiet_hours.as_ref()?;
    hours.end_of(message.recipient.as_deref()?, at)
}

/// Why a queued message has not gone; `None` when it is about to.
fn waiting(message: &Message, now: Timestamp) -> Option<Waiting> {
    let step = message.step.as_ref()?;
    let because = |reason, since: Option<Timestamp>, detail: Option<String>| Waiting {
        reason,
        since: since.unwrap_or(message.created_at).into(),
        detail,
    };
    if step.state.status == SequenceStatus::Paused {
        return Some(because("paused", step.paused_at, None));
    }
    if !message.is_head() {
        return Some(because("gate", None, Some(gate_detail(step))));
    }
    let not_yet = step.state.ready_at.is_some_and(|ready_at| ready_at > now);
    let closed = message.closed.first();
    let closed =
        closed.map(|closed| because(closed.reason, Some(closed.since), closed.detail.clone()));
    let since = step.ready_because_since;
    match step.ready_because.as_deref() {
        Some("opted_out") => return Some(because("opted_out", since, None)),
        Some("window_closed") => return Some(because("window_closed", since, None)),
        // What is closed is what somebody has to act on.
        Some("quiet_hours") if not_yet => {
            return closed.or_else(|| Some(because("quiet_hours", since, None)));
        }
        Some("messaging_limit") if not_yet => {
            let detail = step.messaging_limit.map(limit_detail);
            return closed.or_else(|| Some(because("messaging_limit", since, detail)));
        }
        Some(_) if not_yet => {
            return closed.or_else(|| Some(because("rate_limit", since, None)));
        }
        _ => {}
    }
    // Nobody has looked at it yet.
    let quiet = || {
        quiet_until(message, step, now)?;
        Some(because("quiet_hours", step.state.ready_at, None))
    };
    match message.attempts.last() {
        None if not_yet => Some(because("schedule", None, None)),
        None => closed.or_else(quiet),
        // The provider took nothing; a pause says so by itself.
        Some(last) if last.was_given_back() => {
            let (reason, detail) = match &last.returned {
                Some((Some(code), words)) => ("rate_limit", Some(format!("{code}: {words}"))),
                Some((None, words)) => ("retry", Some(words.clone())),
                None => ("retry", None),
            };
            let waits = || not_yet.then(|| because(reason, since, detail));
            closed.or_else(waits).or_else(quiet)
        }
        Some(last) if not_yet || step.state.work != SequenceWork::Ready => {
            Some(because("retry", failed_at(last), None))
        }
        Some(_) => closed,
    }
}

fn limit_detail((users, frees_at): (i32, Timestamp)) -> String {
    let frees_at = crate::model::rfc3339(frees_at);
    format!("the account may write to {users} users in 24 hours first; to the next at {frees_at}")
}

fn gate_detail(step: &Step) -> String {
    match step.state.status {
        SequenceStatus::Held => format!("the sequence is held at position {}", step.head),
        _ => format!("position {} has not passed its gate", step.head),
    }
}
