//! A message and its attempts, and the one status that is shown for them.

use super::Timestamp;
use super::error_class::{ErrorClass, classify};
use super::evidence::{Evidence, Rank};
use super::sequence::Refusal;

/// One POST of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attempt {
    /// What the provider said of it.
    pub evidence: Evidence,
    /// How the POST itself ended, if it did.
    pub outcome: Option<Outcome>,
    /// Why we did not post it at all.
    pub rule: Option<Refusal>,
    /// When its time was over without a word on delivery or failure.
    pub expired_at: Option<Timestamp>,
    /// How often it was posted and the answer lost.
    pub lost: u16,
}

/// How a POST ended. What the provider says afterwards is [`Evidence`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Answered with a message id.
    Accepted,
    /// The same, `held_for_quality_assessment`.
    Held,
    /// The same, `paused`.
    Paused,
    /// Answered with an error of this class: the provider did not take the message.
    Refused(ErrorClass),
    /// The answer was lost; it may or may not have been taken.
    Unknown {
        /// When we gave up waiting for it.
        since: Timestamp,
    },
}

impl Attempt {
    /// The class of the error that ended this attempt, unless it reached the user after all. Of a
    /// refusal it is what the answer as a whole meant: the code alone may be a proxy's, or a new
    /// one that came with Graph's word that it passes.
    pub fn failure(&self) -> Option<ErrorClass> {
        if self.evidence.is_delivered() {
            return None;
        }
        match (self.evidence.failed, self.outcome) {
            (Some(failed), _) => Some(classify(failed.code)),
            (None, Some(Outcome::Refused(class))) => Some(class),
            _ => None,
        }
    }

    /// Whether nothing came of it so far: it is being posted, or was given back and is posted
    /// under the same number.
    pub fn was_given_back(&self) -> bool {
        self.outcome.is_none() && self.evidence.is_empty()
    }

    /// Whether what is posted next is this attempt again, under its number. `harmless`: the provider
    /// makes one message of it, however often it is posted.
    pub fn is_posted_again(&self, harmless: bool) -> bool {
        self.was_given_back() || (harmless && self.is_unknown())
    }

    /// Whether its time is over, and nothing was heard since.
    pub fn is_expired(&self) -> bool {
        let Some(expired_at) = self.expired_at else {
            return false;
        };
        let Evidence {
            sent_at, failed, ..
        } = self.evidence;
        failed.is_none() && sent_at.is_none_or(|sent_at| sent_at <= expired_at)
    }

    /// Whether the answer was lost and nothing has been heard since.
    pub fn is_unknown(&self) -> bool {
        matches!(self.outcome, Some(Outcome::Unknown { .. })) && self.evidence.is_empty()
    }
}

/// What we are doing with a message. It may go back (`Claimed` → `Queued`), evidence never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Not posted yet, or waiting to be posted again.
    Queued,
    /// Being posted now.
    Claimed,
    /// Posted; the provider's word decides.
    Posted,
    /// Will never be posted (again).
    Over,
}

/// The status that the API shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "the API's own words")]
pub enum MessageStatus {
    Queued,
    Sending,
    Unknown,
    Accepted,
    Held,
    Sent,
    Delivered,
    Read,
    Played,
    Failed,
    Expired,
    Cancelled,
}

impl MessageStatus {
    /// Every status, as `?status=` names them.
    pub const ALL: [Self; 12] = [
        Self::Queued,
        Self::Sending,
        Self::Unknown,
        Self::Accepted,
        Self::Held,
        Self::Sent,
        Self::Delivered,
        Self::Read,
        Self::Played,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the API's word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }

    /// Whether `self` is `wanted` or beyond it: what `?wait=` asks. `read` counts as delivered.
    pub fn has_reached(self, wanted: Self) -> bool {
        let held_yet = (self, wanted) != (Self::Accepted, Self::Held);
        self == wanted
            || matches!((self.rank(), wanted.rank()), (Some(own), Some(wanted)) if own >= wanted)
                && held_yet
    }

    /// Whether it may be `wanted` one day: what was delivered neither fails nor expires, and is not
    /// sent again.
    pub fn may_become(self, wanted: Self) -> bool {
        let is_delivered = self.has_reached(Self::Delivered);
        !self.is_final() && (!is_delivered || wanted.rank().is_some())
    }

    /// Whether nothing more can come of it, except evidence nobody expects.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Expired | Self::Cancelled | Self::Played
        )
    }

    fn rank(self) -> Option<Rank> {
        match self {
            Self::Accepted | Self::Held => Some(Rank::Accepted),
            Self::Sent => Some(Rank::Sent),
            Self::Delivered => Some(Rank::Delivered),
            Self::Read => Some(Rank::Read),
            Self::Played => Some(Rank::Played),
            _ => None,
        }
    }
}

/// The status of a message, by this table, first line that holds:
///
/// | what holds                                        | status                        |
/// |---------------------------------------------------|-------------------------------|
/// | any attempt was played, read or delivered         | `played`, `read`, `delivered` |
/// | it was cancelled                                  | `cancelled`                   |
/// | the last attempt failed and none will follow      | `failed`                      |
/// | its time is over and nothing was heard since      | `expired`                     |
/// | the last attempt did not fail: its evidence       | `sent`, `held`, `accepted`    |
/// | the answer to the last attempt was lost           | `unknown`                     |
/// | it is being posted                                | `sending`                     |
/// | it waits to be posted (again)                     | `queued`                      |
/// | it will never be posted                           | `cancelled`                   |
pub fn status(attempts: &[Attempt], cancelled: bool, work: Work) -> MessageStatus {
    let best = attempts
        .iter()
        .filter_map(|attempt| attempt.evidence.rank())
        .max();
    match best {
        Some(Rank::Played) => return MessageStatus::Played,
        Some(Rank::Read) => return MessageStatus::Read,
        Some(Rank::Delivered) => return MessageStatus::Delivered,
        _ => {}
    }
    if cancelled {
        return MessageStatus::Cancelled;
    }
    let by_work = match work {
        Work::Queued => MessageStatus::Queued,
        Work::Claimed => MessageStatus::Sending,
        Work::Posted if attempts.is_empty() => MessageStatus::Queued,
        Work::Posted => MessageStatus::Sending,
        Work::Over => MessageStatus::Cancelled,
    };
    let Some(last) = attempts.last() else {
        return by_work;
    };
    if last.failure().is_some() {
        return match work {
            Work::Queued => by_work,
            Work::Claimed | Work::Posted | Work::Over => MessageStatus::Failed,
        };
    }
    if last.is_expired() {
        return MessageStatus::Expired;
    }
    match last.evidence.rank() {
        _ if last.evidence.is_held() => MessageStatus::Held,
        Some(Rank::Sent) => MessageStatus::Sent,
        Some(_) => MessageStatus::Accepted,
        None if last.outcome.is_some() => MessageStatus::Unknown,
        None => by_work,
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::model::evidence::Failure;

    const T: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn attempt(outcome: Option<Outcome>, evidence: Evidence) -> Attempt {
        Attempt {
            evidence,
            outcome,
            ..Attempt::default()
        }
    }

    fn failed() -> Option<Failure> {
        Some(Failure {
            at: T,
            code: 131026,
        })
    }

    #[test]
    fn delivery_evidence_of_any_attempt_wins_over_everything() {
        let late = Evidence {
            delivered_at: Some(T),
            failed: failed(),
            ..Evidence::default()
        };
        let attempts = [
            attempt(Some(Outcome::Accepted), late),
            attempt(
                Some(Outcome::Refused(ErrorClass::NeverToRecipient)),
                Evidence::default(),
            ),
        ];
        for work in [Work::Queued, Work::Claimed, Work::Posted, Work::Over] {
            assert_eq!(status(&attempts, true, work), MessageStatus::Delivered);
        }
    }

    #[test]
    fn a_failure_that_will_be_tried_again_is_queued_and_not_failed() {
        let evidence = Evidence {
            sent_at: Some(T),
            failed: failed(),
            ..Evidence::default()
        };
        let attempts = [attempt(Some(Outcome::Accepted), evidence)];
        assert_eq!(
            status(&attempts, false, Work::Queued),
            MessageStatus::Queued
        );
        assert_eq!(
            status(&attempts, false, Work::Posted),
            MessageStatus::Failed
        );
        assert_eq!(
            status(&attempts, true, Work::Queued),
            MessageStatus::Cancelled
        );
    }

    #[test]
    fn an_answer_that_was_lost_is_unknown_until_evidence_comes() {
        let lost = attempt(Some(Outcome::Unknown { since: T }), Evidence::default());
        assert_eq!(status(&[lost], false, Work::Posted), MessageStatus::Unknown);
        let settled = Evidence {
            sent_at: Some(T),
            ..Evidence::default()
        };
        let settled = attempt(Some(Outcome::Unknown { since: T }), settled);
        assert_eq!(status(&[settled], false, Work::Posted), MessageStatus::Sent);
    }

    #[test]
    fn a_late_status_undoes_that_it_expired() {
        let sent = Evidence {
            accepted_at: Some(T),
            sent_at: Some(T),
            ..Evidence::default()
        };
        let expired = |evidence| Attempt {
            expired_at: Some(T + time::Duration::HOUR),
            ..attempt(Some(Outcome::Accepted), evidence)
        };
        let shown = |evidence| status(&[expired(evidence)], false, Work::Over);
        assert_eq!(shown(sent), MessageStatus::Expired);
        let late = Some(T + time::Duration::DAY);
        let resent = Evidence {
            sent_at: late,
            ..sent
        };
        assert_eq!(shown(resent), MessageStatus::Sent);
        let delivered = Evidence {
            delivered_at: late,
            ..sent
        };
        assert_eq!(shown(delivered), MessageStatus::Delivered);
        let failed = Evidence {
            failed: failed(),
            ..sent
        };
        assert_eq!(shown(failed), MessageStatus::Failed);
    }

    #[test]
    fn what_will_never_be_posted_is_cancelled() {
        assert_eq!(status(&[], false, Work::Over), MessageStatus::Cancelled);
        assert_eq!(status(&[], false, Work::Queued), MessageStatus::Queued);
    }

    #[test]
    fn waiting_for_delivered_is_satisfied_by_read() {
        assert!(MessageStatus::Read.has_reached(MessageStatus::Delivered));
        assert!(!MessageStatus::Sent.has_reached(MessageStatus::Delivered));
        assert!(MessageStatus::Failed.has_reached(MessageStatus::Failed));
        assert!(!MessageStatus::Failed.has_reached(MessageStatus::Sent));
    }
}
