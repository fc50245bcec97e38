//! What the provider said of one attempt. Evidence only grows: it is a join-semilattice, so
//! that the order in which webhooks come, and how often, cannot matter. `store::ingest` joins
//! in SQL with `LEAST`; a property test holds the two together.

use super::Timestamp;
use super::fact::{Status, StatusFact};

/// How far a message has come. Rank decides, never time: providers' timestamps have a
/// resolution of one second, and `sent` and `delivered` often share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Rank {
    /// The provider took it.
    Accepted = 0,
    /// On its way.
    Sent = 1,
    /// On the user's device.
    Delivered = 2,
    /// Shown to the user.
    Read = 3,
    /// A voice message was played.
    Played = 4,
}

/// `failed`, with the error it came with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// When, by the provider's word.
    pub at: Timestamp,
    /// The error's code; `i64::MAX` when none was given, so that a copy with a code wins. The
    /// schema's `failed_code` reads it from the fact: which copy of that counts is decided alike.
    pub code: i64,
}

/// The first time of everything that was said of an attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The POST was answered with a message id; our clock.
    pub accepted_at: Option<Timestamp>,
    /// The answer was `held_for_quality_assessment`; our clock.
    pub held_at: Option<Timestamp>,
    /// `sent`.
    pub sent_at: Option<Timestamp>,
    /// `delivered`, said so: not implied by `read`.
    pub delivered_at: Option<Timestamp>,
    /// `read`.
    pub read_at: Option<Timestamp>,
    /// `played`.
    pub played_at: Option<Timestamp>,
    /// `failed`. Beside the others, not after them: delivery may have happened all the same.
    pub failed: Option<Failure>,
}

/// The earlier of two, where `None` is "not yet": SQL's `LEAST`, which ignores NULL.
fn least<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Evidence {
    /// What one status alone says. A status we do not know says nothing, nor does the failure of
    /// one member of a group: the message may have reached the others. `received_at` stands in
    /// where the provider's timestamp could not be used.
    pub fn of(fact: &StatusFact, at: Option<Timestamp>, received_at: Timestamp) -> Self {
        let at = Some(at.unwrap_or(received_at));
        let mut evidence = Self::default();
        match fact.status {
            Status::Sent => evidence.sent_at = at,
            Status::Delivered => evidence.delivered_at = at,
            Status::Read => evidence.read_at = at,
            Status::Played => evidence.played_at = at,
            Status::Failed if fact.participant.is_some() => {}
            Status::Failed => {
                let code = fact.error.as_ref().map_or(i64::MAX, |error| error.code);
                evidence.failed = at.map(|at| Failure { at, code });
            }
            Status::Other(_) => {}
        }
        evidence
    }

    /// Both together: commutative, associative, idempotent.
    pub fn join(self, other: Self) -> Self {
        Self {
            accepted_at: least(self.accepted_at, other.accepted_at),
            held_at: least(self.held_at, other.held_at),
            sent_at: least(self.sent_at, other.sent_at),
            delivered_at: least(self.delivered_at, other.delivered_at),
            read_at: least(self.read_at, other.read_at),
            played_at: least(self.played_at, other.played_at),
            failed: least(self.failed, other.failed),
        }
    }

    /// The highest rank that anything was said of.
    pub fn rank(&self) -> Option<Rank> {
        [
            (self.played_at, Rank::Played),
            (self.read_at, Rank::Read),
            (self.delivered_at, Rank::Delivered),
            (self.sent_at, Rank::Sent),
            (self.accepted_at, Rank::Accepted),
        ]
        .into_iter()
        .find_map(|(at, rank)| at.map(|_| rank))
    }

    /// Whether the message reached the user: `read` and `played` imply `delivered`, which Meta
    /// leaves out when both happen at once.
    pub fn is_delivered(&self) -> bool {
        self.rank() >= Some(Rank::Delivered)
    }

    /// Waiting for Meta's quality assessment. `sent` ends it, and so does its drop (`failed`).
    pub fn is_held(&self) -> bool {
        self.held_at.is_some() && self.rank() < Some(Rank::Sent) && self.failed.is_none()
    }

    /// Nothing was said at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both "delivered" and "failed": shown as it is, delivery wins.
    pub fn is_contradiction(&self) -> bool {
        self.failed.is_some() && self.is_delivered()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;

    fn at(seconds: i64) -> Option<Timestamp> {
        OffsetDateTime::from_unix_timestamp(seconds).ok()
    }

    fn any_time() -> impl Strategy<Value = Option<Timestamp>> {
        proptest::option::of(0_i64..4).prop_map(|seconds| seconds.and_then(at))
    }

    prop_compose! {
        fn any_evidence()(
            accepted_at in any_time(), held_at in any_time(), sent_at in any_time(),
            delivered_at in any_time(), read_at in any_time(), played_at in any_time(),
            failed in proptest::option::of((0_i64..4, 0_i64..3)),
        ) -> Evidence {
            let failed = failed.and_then(|(s, code)| at(s).map(|at| Failure { at, code }));
            Evidence { accepted_at, held_at, sent_at, delivered_at, read_at, played_at, failed }
        }
    }

    proptest! {
        #[test]
        fn order_and_repetition_do_not_matter(
            a in any_evidence(), b in any_evidence(), c in any_evidence(),
        ) {
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
            prop_assert_eq!(a.join(a), a);
            prop_assert!(a.join(b).rank() >= a.rank(), "evidence only grows");
        }
    }

    #[test]
    fn read_without_delivered_is_delivered() {
        let evidence = Evidence {
            read_at: at(1),
            ..Evidence::default()
        };
        assert!(evidence.is_delivered());
        assert_eq!(evidence.delivered_at, None);
    }
}
