//! What a sequence does next. [`next`] is the one place that decides gates, deadlines, failures
//! and lost answers; the claimer asks it under the sequence's row lock, with the evidence that
//! is committed by then, so that every gate is decided once. A new policy is a line here and
//! its test.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use super::error_class::ErrorClass;
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

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
        u64::deserialize(d).map(Duration::from_millis)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "lowercase")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word in SQL and in the API.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word back.
            pub fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(
    /// The statuses a gate can wait for.
    GateStatus {
        /// The provider took the message.
        Accepted = "accepted",
        /// On its way.
        Sent = "sent",
        /// On the device: the default.
        Delivered = "delivered",
        /// Shown to the user; may never come, read receipts can be off.
        Read = "read",
    }
);
words!(
    /// What happens when a gate's deadline passes.
    OnDeadline {
        /// The sequence ends.
        Stop = "stop",
        /// The next message goes all the same.
        Skip = "skip",
        /// It waits for a person, or for late evidence.
        Hold = "hold",
    }
);
words!(
    /// What happens when a message fails for good.
    OnFailure {
        /// The sequence ends.
        Stop = "stop",
        /// The next message goes.
        Skip = "skip",
        /// A new attempt where the error's class allows it, else the sequence ends.
        Retry = "retry",
    }
);
words!(
    /// What happens when the answer to a POST was lost and no evidence came.
    OnUnknown {
        /// It waits for a person: posting again could send the message twice.
        Hold = "hold",
        /// It is posted again: the caller said that duplicates are acceptable.
        Resend = "resend",
    }
);
words!(
    /// How a sequence stands.
    SequenceStatus {
        /// Going on by itself.
        Running = "running",
        /// Stopped by a person, until resumed.
        Paused = "paused",
        /// Waits for a person, or for evidence.
        Held = "held",
        /// The last message passed its gate.
        Completed = "completed",
        /// Ended by a policy.
        Stopped = "stopped",
        /// Ended by a person.
        Cancelled = "cancelled",
    }
);
words!(
    /// Why a sequence is held or was stopped, or why its head is posted again.
    Reason {
        /// A gate's deadline passed.
        Deadline = "deadline",
        /// A message failed for good.
        Failure = "failure",
        /// The answer to a POST was lost and no evidence came.
        Unknown = "unknown",
    }
);
words!(
    /// What is being done with a sequence's head.
    SequenceWork {
        /// To be posted when due.
        Ready = "ready",
        /// Being posted.
        Claimed = "claimed",
        /// Posted; its gate is undecided.
        Waiting = "waiting",
        /// Nothing is left to do.
        Done = "done",
    }
);

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
    /// When the head's gate is decided by time; `None` before acceptance and while held.
    pub deadline_at: Option<Timestamp>,
    /// What a failure means for the sequence.
    pub on_failure: OnFailure,
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
}

/// The configured limits of trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLimits {
    /// Attempts of one message, all told.
    pub attempts: usize,
    /// The wait before the second attempt; doubles with each.
    pub first_backoff: Duration,
    /// How long a lost answer may be settled by evidence before its policy acts.
    pub unknown_after: Duration,
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
pub fn next(
    sequence: &Sequence,
    head: Option<&Head<'_>>,
    now: Timestamp,
    limits: &RetryLimits,
) -> Action {
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
            Some(head) if has_reached(head) => Action::Advance(Passed::Opened),
            Some(head) if head.cancelled => Action::Advance(Passed::Cancelled),
            Some(head) if work == SequenceWork::Ready && !is_settled(sequence, head) => {
                Action::Post
            }
            Some(head) => wait(sequence, head, now, limits),
        },
    }
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
            Some(Reason::Deadline) | None => false,
        })
}

/// The head has been posted and its gate has not opened.
fn wait(sequence: &Sequence, head: &Head<'_>, now: Timestamp, limits: &RetryLimits) -> Action {
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
        return failed(sequence.on_failure, attempts, now, limits);
    }
    if let (Some(Outcome::Unknown { since }), true) = (last.outcome, last.is_unknown()) {
        let policy_at = since + limits.unknown_after;
        return match head.on_unknown {
            _ if held.is_some() => idle,
            _ if now < policy_at => Action::Wait {
                due_at: Some(policy_at),
                deadline_at: None,
            },
            OnUnknown::Resend if attempts.len() < limits.attempts => Action::Retry {
                at: now,
                because: Reason::Unknown,
            },
            OnUnknown::Resend | OnUnknown::Hold => Action::Hold(Reason::Unknown),
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

fn failed(
    on_failure: OnFailure,
    attempts: &[Attempt],
    now: Timestamp,
    limits: &RetryLimits,
) -> Action {
    match (retry_wait(attempts, on_failure, limits), on_failure) {
        (Some(wait), _) => Action::Retry {
            at: now + wait,
            because: Reason::Failure,
        },
        (None, OnFailure::Skip) => Action::Advance(Passed::FailureSkipped),
        (None, OnFailure::Stop | OnFailure::Retry) => Action::Stop(Reason::Failure),
    }
}

/// How long to wait before a new attempt; `None` where the failure of the last is for good.
///
/// A refusal in the answer that may pass is always tried again: the provider did not take the
/// message. A failure that came later is tried again only where the caller chose so.
pub fn retry_wait(
    attempts: &[Attempt],
    on_failure: OnFailure,
    limits: &RetryLimits,
) -> Option<Duration> {
    /// Meta's per-user marketing limit: at least 24 hours (131049).
    const A_DAY: Duration = Duration::from_secs(24 * 3600);
    let last = attempts.last()?;
    let class = last.failure()?;
    if attempts.len() >= limits.attempts {
        return None;
    }
    let soon = backoff(limits.first_backoff, attempts.len());
    let not_taken = last.evidence.failed.is_none();
    match class {
        ErrorClass::NeverToRecipient | ErrorClass::FixRequest => None,
        ErrorClass::WaitADay => (on_failure == OnFailure::Retry).then_some(A_DAY),
        // Where a lane, a sender or a connection is closed, the new attempt waits until it opens.
        ErrorClass::Retry
        | ErrorClass::RateLimit(_)
        | ErrorClass::TemplateStops
        | ErrorClass::SenderStops
        | ErrorClass::ConnectionStops => {
            (not_taken || on_failure == OnFailure::Retry).then_some(soon)
        }
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
        (_, _) => match retry_wait(attempts, sequence.on_failure, limits) {
            Some(_) => Work::Queued,
            None => Work::Posted,
        },
    }
}

#[cfg(test)]
mod tests;
