//! What a sequence does next. [`next`] is the one place that decides gates, deadlines, failures
//! and lost answers; the claimer asks it under the sequence's row lock, with the evidence that
//! is committed by then, so that every gate is decided once. A new policy is a line here and
//! its test.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::evidence::Rank;
use super::limits::backoff;
use super::message::{Attempt, Outcome, Work};

/// What the next message waits for: a status of the one before, with a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// This status or a higher one opens it.
    pub status: GateStatus,
    /// Counted from acceptance, in milliseconds; stands still while held or paused.
    #[serde(rename = "deadline_ms", with = "millis")]
    pub deadline: Duration,
    /// What happens then.
    pub on_deadline: OnDeadline,
}

mod policy;
mod retry;
mod words;

pub use self::policy::{Content, Policy, Refusal, Rules, UsMarketing, User, may_post};
use self::policy::{awaits_word, end_of_failure, is_answered, is_too_late, wants_it_now};
pub use self::retry::{RetryLimits, retry_wait};
pub use self::words::{
    GateStatus, OnDeadline, OnFailure, OnOptOut, OnTemplatePause, OnUnknown, OutsideWindow, Reason,
    SequenceStatus, SequenceWork,
};

/// Spans of time in JSON: milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}

impl GateStatus {
    /// The lowest rank that opens the gate.
    pub fn rank(self) -> Rank {
        match self {
            Self::Accepted => Rank::Accepted,
            Self::Sent => Rank::Sent,
            Self::Delivered => Rank::Delivered,
            Self::Read => Rank::Read,
        }
    }
}

/// The part of a sequence that decisions are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// How it stands.
    pub status: SequenceStatus,
    /// Why, where it is held or stopped; while it runs, why its head is posted again.
    pub reason: Option<Reason>,
    /// What is being done with its head.
    pub work: SequenceWork,
    /// When the head may be posted, while it is ready and the caller or an attempt before made it
    /// wait.
    pub ready_at: Option<Timestamp>,
    /// When the head's gate is decided by time; `None` before acceptance and while held.
    pub deadline_at: Option<Timestamp>,
    /// What a failure means for the sequence.
    pub on_failure: OnFailure,
    /// What else the caller chose.
    pub policy: Policy,
    /// Since when there is something to answer: it was made, or somebody set it going again.
    pub since: Timestamp,
}

/// The message at the head of a sequence.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    /// All of its attempts, in order.
    pub attempts: &'a [Attempt],
    /// A person took it out.
    pub cancelled: bool,
    /// What the message behind it waits for.
    pub gate: Gate,
    /// What a lost answer means.
    pub on_unknown: OnUnknown,
    /// What it is.
    pub content: Content,
    /// Whether nothing comes behind it.
    pub is_last: bool,
}

/// What decisions are made by, beside the sequence itself.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// What is known of the recipient.
    pub user: &'a User,
    /// When it is decided.
    pub now: Timestamp,
    /// The limits of trying again.
    pub limits: &'a RetryLimits,
    /// What is not posted.
    pub rules: &'a Rules,
    /// Whether the same attempt, posted again, is one message to the provider.
    pub repeats_harmlessly: bool,
}

/// What is to be done with a sequence now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing, until evidence comes or the time given.
    Wait {
        /// When to ask again; `None`: only evidence or a person.
        due_at: Option<Timestamp>,
        /// The deadline of the head's gate from now on.
        deadline_at: Option<Timestamp>,
    },
    /// Post the head.
    Post,
    /// Do not post the head: the provider would refuse it.
    Refuse(Refusal),
    /// Nothing, until the user does away with what stands against it.
    AwaitUser(Refusal),
    /// The head is done with: on to the message behind it.
    Advance(Passed),
    /// A new attempt of the head, not before this time.
    Retry {
        /// When.
        at: Timestamp,
        /// What is wrong with the last one. Nothing is posted if it no longer is.
        because: Reason,
    },
    /// Wait for a person, or for evidence.
    Hold(Reason),
    /// The sequence ends here.
    Stop(Reason),
    /// The last message passed its gate.
    Complete,
}

/// How the head was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// Its gate opened.
    Opened,
    /// Its gate's deadline passed, and the policy says to go on.
    DeadlineSkipped,
    /// It failed, and the policy says to go on.
    FailureSkipped,
    /// It had been cancelled.
    Cancelled,
}

/// What a sequence does next. `head` is `None` behind the last message.
pub fn next(sequence: &Sequence, head: Option<&Head<'_>>, at: &Circumstances<'_>) -> Action {
    use SequenceStatus::{Cancelled, Completed, Held, Paused, Running, Stopped};
    const IDLE: Action = Action::Wait {
        due_at: None,
        deadline_at: None,
    };
    match (sequence.status, sequence.work) {
        (Paused | Completed | Stopped | Cancelled, _)
        | (_, SequenceWork::Claimed | SequenceWork::Done) => IDLE,
        (Running | Held, work) => match head {
            None => Action::Complete,
            Some(head)
                if is_answered(sequence, at.user) && !(head.is_last && has_reached(head)) =>
            {
                Action::Stop(Reason::Reply)
            }
            Some(head) if has_reached(head) => Action::Advance(Passed::Opened),
            Some(head) if head.cancelled => Action::Advance(Passed::Cancelled),
            Some(head) if work == SequenceWork::Ready && !is_settled(sequence, head) => {
                ready(sequence, head, at)
            }
            Some(head) => wait(sequence, head, at),
        },
    }
}

/// The head is to be posted, now or later. What the user brought about need not wait.
fn ready(sequence: &Sequence, head: &Head<'_>, at: &Circumstances<'_>) -> Action {
    let last = tried(head.attempts).last();
    if last.is_some_and(|last| awaits_word(sequence, head.content, last, at.user)) {
        return Action::AwaitUser(Refusal::WindowClosed);
    }
    if sequence.reason == Some(Reason::Unknown)
        && at.repeats_harmlessly
        && is_forgotten(sequence, last, at)
    {
        return Action::Hold(Reason::Unknown);
    }
    let waits = sequence.ready_at > Some(at.now);
    if waits && last.is_some_and(|last| wants_it_now(last, at.user)) {
        return Action::Retry {
            at: at.now,
            because: Reason::Failure,
        };
    }
    Action::Post
}

/// Whether an attempt that did not fail has come as far as the gate asks. An old attempt counts:
/// what was delivered once must not be sent again. What is held for its quality was accepted,
/// but is not on its way yet.
fn has_reached(head: &Head<'_>) -> bool {
    head.attempts.iter().any(|attempt| {
        attempt.failure().is_none()
            && !attempt.evidence.is_held()
            && attempt.evidence.rank() >= Some(head.gate.status.rank())
    })
}

/// The attempts of which something came, or may still come. The last may have been given back; it
/// is to be posted again under its number, for what became of the one before. So may that one have
/// been, long after it was taken for lost.
fn tried(attempts: &[Attempt]) -> &[Attempt] {
    let came_back = attempts.iter().rev();
    let came_back = came_back.take_while(|attempt| attempt.was_given_back());
    &attempts[..attempts.len() - came_back.count()]
}

/// Whether the reason to post the message again has gone while it waited to be: evidence or a
/// late answer came. A person who posts again what is only late needs no such reason.
fn is_settled(sequence: &Sequence, head: &Head<'_>) -> bool {
    tried(head.attempts)
        .last()
        .is_some_and(|last| match sequence.reason {
            Some(Reason::Unknown) => !last.is_unknown(),
            Some(Reason::Failure) => last.failure().is_none(),
            _ => false,
        })
}

/// The head has been posted and its gate has not opened.
fn wait(sequence: &Sequence, head: &Head<'_>, at: &Circumstances<'_>) -> Action {
    let now = at.now;
    let held = (sequence.status == SequenceStatus::Held)
        .then_some(sequence.reason)
        .flatten();
    let idle = Action::Wait {
        due_at: None,
        deadline_at: None,
    };
    let attempts = tried(head.attempts);
    let Some(last) = attempts.last().or(head.attempts.last()) else {
        return Action::Post;
    };
    if last.failure().is_some() {
        return failed(sequence, head, attempts, at);
    }
    if let (Some(Outcome::Unknown { since }), true) = (last.outcome, last.is_unknown()) {
        return match held {
            Some(_) => idle,
            None => lost(head, attempts, since, at),
        };
    }
    if last.evidence.is_held() || held == Some(Reason::Deadline) {
        return idle;
    }
    let deadline_at = sequence.deadline_at.unwrap_or(now + head.gate.deadline);
    if now < deadline_at {
        return Action::Wait {
            due_at: Some(deadline_at),
            deadline_at: Some(deadline_at),
        };
    }
    match head.gate.on_deadline {
        OnDeadline::Stop => Action::Stop(Reason::Deadline),
        OnDeadline::Skip => Action::Advance(Passed::DeadlineSkipped),
        OnDeadline::Hold => Action::Hold(Reason::Deadline),
    }
}

/// How often an attempt is posted again for a lost answer: by the waits between, for ten minutes or
/// so. What is lost for longer somebody has to look at.
const REPEATS: u16 = 8;

/// How long a provider may be trusted to know an id still.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// Whether what is to be asked for again has waited, for a pause or the like, until the provider may
/// take it for new. Since a person who says so all the same has said it, it counts anew.
fn is_forgotten(sequence: &Sequence, last: Option<&Attempt>, at: &Circumstances<'_>) -> bool {
    let lost = last.and_then(|last| match last.outcome {
        Some(Outcome::Unknown { since }) => Some(since),
        _ => None,
    });
    lost.is_some_and(|since| at.now >= since.max(sequence.since) + REMEMBERED)
}

/// The answer to the last attempt was lost, and nothing was heard since. Where a repeat is harmless
/// its answer will tell; no other attempt is ever made then, which could double the message.
fn lost(head: &Head<'_>, attempts: &[Attempt], since: Timestamp, at: &Circumstances<'_>) -> Action {
    let Circumstances { now, limits, .. } = *at;
    let lost = attempts.last().map_or(0, |last| last.lost);
    let policy_at = since + limits.unknown_after;
    let because = Reason::Unknown;
    match head.on_unknown {
        _ if at.repeats_harmlessly && lost <= REPEATS => Action::Retry {
            at: now + backoff(limits.first_backoff, lost.into()),
            because,
        },
        _ if now < policy_at => Action::Wait {
            due_at: Some(policy_at),
            deadline_at: None,
        },
        OnUnknown::Resend if !at.repeats_harmlessly && attempts.len() < limits.attempts => {
            Action::Retry { at: now, because }
        }
        OnUnknown::Resend | OnUnknown::Hold => Action::Hold(because),
    }
}

fn failed(
    sequence: &Sequence,
    head: &Head<'_>,
    attempts: &[Attempt],
    at: &Circumstances<'_>,
) -> Action {
    let Some(last) = attempts.last() else {
        return Action::Post;
    };
    if awaits_word(sequence, head.content, last, at.user) {
        return Action::AwaitUser(Refusal::WindowClosed);
    }
    if is_too_late(sequence, head.content, last) {
        // They wrote since.
        return Action::Retry {
            at: at.now,
            because: Reason::Failure,
        };
    }
    if let Some(wait) = retry_wait(attempts, sequence, at.limits) {
        let now = wants_it_now(last, at.user);
        return Action::Retry {
            at: if now { at.now } else { at.now + wait },
            because: Reason::Failure,
        };
    }
    match end_of_failure(sequence, last, at.rules) {
        Some(reason) => Action::Stop(reason),
        None => Action::Advance(Passed::FailureSkipped),
    }
}

/// What we are doing with the message at `position`, for its status.
pub fn work_of(
    sequence: &Sequence,
    head: i32,
    position: i32,
    attempts: &[Attempt],
    limits: &RetryLimits,
) -> Work {
    use SequenceStatus::{Cancelled, Completed, Stopped};
    let over = matches!(sequence.status, Completed | Stopped | Cancelled);
    match (position.cmp(&head), sequence.work) {
        _ if over => Work::Over,
        (std::cmp::Ordering::Less, _) => Work::Over,
        (std::cmp::Ordering::Greater, _) | (_, SequenceWork::Ready) => Work::Queued,
        (_, SequenceWork::Claimed)
            if attempts.last().is_none_or(|last| last.failure().is_none()) =>
        {
            Work::Claimed
        }
        // The claimer has not looked yet: what it will decide is known all the same.
        (_, _) => match retry_wait(attempts, sequence, limits) {
            Some(_) => Work::Queued,
            None => Work::Posted,
        },
    }
}

#[cfg(test)]
mod tests;
