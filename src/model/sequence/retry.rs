//! When a message that failed is tried again.

use std::time::Duration;

use super::{OnFailure, OnTemplatePause, Sequence};
use crate::model::error_class::ErrorClass;
use crate::model::limits::backoff;
use crate::model::message::Attempt;

/// The configured limits of trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryLimits {
    /// Attempts of one message, all told.
    pub attempts: usize,
    /// The wait before the second attempt; four times as long with each.
    pub first_backoff: Duration,
    /// The wait after the user has had enough marketing (131049), by Meta's rule 24 hours at least.
    /// Doubles with each, seven times as long at most.
    pub marketing_wait: Duration,
    /// How long a lost answer may be settled by evidence before its policy acts.
    pub unknown_after: Duration,
}

/// How long to wait before a new attempt; `None` where the failure of the last is for good.
///
/// A refusal in the answer that may pass is always tried again: the provider did not take the
/// message. A failure that came later is tried again only where the caller chose so; but what
/// its template's pause took down has not failed, unless the caller says so.
pub fn retry_wait(
    attempts: &[Attempt],
    sequence: &Sequence,
    limits: &RetryLimits,
) -> Option<Duration> {
    let last = attempts.last()?;
    let class = last.failure()?;
    if attempts.iter().filter(|attempt| counts(attempt)).count() >= limits.attempts {
        return None;
    }
    // Doubled twice with each: a few attempts are to outlast minutes of a provider's outage.
    let soon = backoff(limits.first_backoff, 2 * attempts.len() - 1);
    let may = last.evidence.failed.is_none() || sequence.on_failure == OnFailure::Retry;
    match class {
        ErrorClass::NeverToRecipient | ErrorClass::FixRequest => None,
        ErrorClass::WaitADay => may.then(|| marketing_wait(attempts, limits)),
        ErrorClass::TemplateStops => {
            let waits = sequence.policy.on_template_pause == OnTemplatePause::Wait;
            (may || waits).then_some(soon)
        }
        // Where a lane, a sender or a connection is closed, the new attempt waits until it opens.
        ErrorClass::Retry
        | ErrorClass::RateLimit(_)
        | ErrorClass::SenderStops
        | ErrorClass::ConnectionStops => may.then_some(soon),
    }
}

/// Whether an attempt is one of those that a message has. What the provider took, and dropped for
/// a limit or a pause, burns none; what it did not take for such a reason is given back, and only
/// an attempt where that makes no sense, such as a pause without a template.
fn counts(attempt: &Attempt) -> bool {
    let passes = matches!(
        attempt.failure(),
        Some(
            ErrorClass::RateLimit(_)
                | ErrorClass::TemplateStops
                | ErrorClass::SenderStops
                | ErrorClass::ConnectionStops
        )
    );
    !(passes && attempt.evidence.failed.is_some())
}

/// The wait grows with every such failure.
fn marketing_wait(attempts: &[Attempt], limits: &RetryLimits) -> Duration {
    const MOST: u32 = 7;
    let before = attempts
        .iter()
        .filter(|attempt| attempt.failure() == Some(ErrorClass::WaitADay));
    let doublings = u32::try_from(before.count().saturating_sub(1)).unwrap_or(MOST);
    let times = 1_u32
        .checked_shl(doublings)
        .map_or(MOST, |times| times.min(MOST));
    limits.marketing_wait.saturating_mul(times)
}
