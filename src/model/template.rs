//! A template's health: a function of the set of its facts, never of the order they came in.
//! The latest word wins, by the provider's time; at the same second a stop wins, because
//! holding a message costs less than burning a template. `store` compares the same triple.

use std::time::Duration;

use super::Timestamp;

/// Our word for a template that the provider says does not exist (132001).
const NOT_FOUND: &str = "NOT_FOUND";
/// Our word for a template that the provider refuses to send for another reason.
const REFUSED: &str = "REFUSED";
/// Our word for a template nobody told us about.
pub const UNKNOWN: &str = "UNKNOWN";

/// The status that a refusal of a POST implies, by its error code.
pub fn status_of_refusal(code: i64) -> &'static str {
    match code {
        // 2061 is the on-premises API's.
        132_015 | 2061 => "PAUSED",
        132_016 | 2062 => "DISABLED",
        132_001 | 2001 => NOT_FOUND,
        _ => REFUSED,
    }
}

/// Statuses and events under which Meta does not send. Everything else is open: `UNKNOWN` is our
/// own word for a template nobody told us about (many numbers never get template webhooks);
/// `FLAGGED` is a warning, `LOCKED` forbids editing alone, `UNARCHIVED` returns to the state
/// before. A word we do not know does not close it: the provider refuses what may not go, and
/// that refusal closes the lane.
const STOPS: [&str; 11] = [
    "ARCHIVED",
    "DELETED",
    "DISABLED",
    "IN_APPEAL",
    NOT_FOUND,
    "PAUSED",
    "PENDING",
    "PENDING_DELETION",
    "PENDING_REVIEW",
    REFUSED,
    "REJECTED",
];

/// Whether a template of this status (upper case) may be sent.
pub fn is_sendable(status: &str) -> bool {
    !STOPS.contains(&status)
}

/// Statuses in which a template may be edited ("Template management": approved, rejected, paused).
/// Of one that nobody told us about the provider decides.
pub fn is_editable(status: &str) -> bool {
    matches!(
        status,
        "APPROVED" | "REJECTED" | "PAUSED" | "FLAGGED" | "REINSTATED" | UNKNOWN
    )
}

/// Whether the provider counts the edits of a template in this state, and keeps its category: it is
/// approved, though its quality be low.
pub fn is_approved(status: &str) -> bool {
    matches!(status, "APPROVED" | "FLAGGED" | "REINSTATED")
}

/// When an approved template may be edited again that was edited at these times, by a budget of so
/// many edits in a span each. `None`: now.
pub fn next_edit(
    budget: &[(u32, Duration)],
    edits: &[Timestamp],
    now: Timestamp,
) -> Option<Timestamp> {
    let mut edits = edits.to_vec();
    edits.sort_unstable_by(|a, b| b.cmp(a));
    let free_at = budget.iter().filter_map(|(most, span)| {
        let nth = usize::try_from(*most).ok()?.checked_sub(1)?;
        Some(*edits.get(nth)? + *span)
    });
    free_at.max().filter(|at| *at > now)
}

/// What is known of a template's status, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// When the provider said it, to the second.
    pub at: Timestamp,
    /// Upper case.
    pub status: String,
}

impl Health {
    /// The later word; a stop at the same second; else any fixed order.
    pub fn join(self, other: Self) -> Self {
        if other.order() > self.order() {
            other
        } else {
            self
        }
    }

    fn order(&self) -> (Timestamp, bool, &str) {
        (self.at, !is_sendable(&self.status), &self.status)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::OffsetDateTime;

    use super::*;

    fn any_health() -> impl Strategy<Value = Health> {
        let status = prop::sample::select(vec!["APPROVED", "PAUSED", "DISABLED", "FLAGGED", "X"]);
        (0_i64..3, status).prop_map(|(seconds, status)| Health {
            at: OffsetDateTime::from_unix_timestamp(seconds).unwrap(),
            status: status.to_owned(),
        })
    }

    proptest! {
        #[test]
        fn health_is_a_function_of_the_set_of_facts(
            facts in prop::collection::vec(any_health(), 1..6).prop_shuffle(),
        ) {
            let joined = |facts: &[Health]| facts.iter().cloned().reduce(Health::join).unwrap();
            let mut sorted = facts.clone();
            sorted.sort_by(|a, b| a.order().cmp(&b.order()));
            prop_assert_eq!(joined(&facts), joined(&sorted));
            let doubled = [facts.clone(), facts.clone()].concat();
            prop_assert_eq!(joined(&doubled), joined(&facts));
        }
    }

    #[test]
    fn the_narrowest_budget_says_when_the_next_edit_may_be() {
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(100);
        let ago = |hours: i64| now - time::Duration::hours(hours);
        let budget = [
            (1, Duration::from_secs(86_400)),
            (3, Duration::from_secs(30 * 86_400)),
        ];
        let next = |edits: &[Timestamp]| next_edit(&budget, edits, now);
        assert_eq!(next(&[]), None);
        assert_eq!(next(&[ago(25)]), None);
        assert_eq!(next(&[ago(23)]), Some(ago(-1)));
        let three = [ago(48), ago(300), ago(26)];
        assert_eq!(next(&three), Some(ago(300 - 30 * 24)));
        assert_eq!(next_edit(&[], &three, now), None);
    }

    #[test]
    fn a_stop_wins_a_tie() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let paused = Health {
            at,
            status: "PAUSED".into(),
        };
        let approved = Health {
            at,
            status: "APPROVED".into(),
        };
        assert_eq!(approved.clone().join(paused.clone()), paused);
        assert_eq!(paused.clone().join(approved), paused);
    }
}
