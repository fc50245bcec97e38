//! When a webhook comes again that was not answered 200 in time. Each provider has a rule of its
//! own; the waits of 360dialog and Infobip are scaled, so that a test need not take days.

use std::time::Duration;

use super::config::Delays;
use super::dialect::Dialect;

/// How long a receiver may take to answer, where the provider does not say.
const PATIENCE: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// 360dialog says "exponential" and "7 days", and not with what it begins.
const DIALOG360_FIRST: Duration = MINUTE;
const DIALOG360_LONGEST: Duration = Duration::from_secs(12 * HOUR.as_secs());
const DIALOG360_IN_ALL: Duration = Duration::from_secs(7 * DAY.as_secs());
/// Not said by Infobip in writing.
const INFOBIP_RETRIES: u32 = 20;

/// A wait before the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// As the provider has it.
    pub by_rule: Duration,
    /// As it is here.
    pub scaled: Duration,
}

/// How long a receiver may take to answer.
pub fn patience(dialect: Dialect, delays: &Delays) -> Duration {
    match dialect {
        Dialect::Dialog360 | Dialect::Dialog360Onprem => {
            Duration::from_millis(delays.dialog360_patience_ms)
        }
        Dialect::Meta | Dialect::Infobip => PATIENCE,
    }
}

/// The wait after this many attempts in vain; None: no other.
pub fn after(dialect: Dialect, attempts: u32, delays: &Delays) -> Option<Wait> {
    let by_rule = match dialect {
        Dialect::Meta => {
            let first = Duration::from_millis(delays.retry_first_ms);
            let longest = Duration::from_millis(delays.retry_max_ms);
            let by_rule = doubled(first, attempts, longest);
            // Already what it is to be here.
            return Some(Wait {
                by_rule,
                scaled: by_rule,
            });
        }
        Dialect::Dialog360 | Dialect::Dialog360Onprem => dialog360(attempts)?,
        Dialect::Infobip => infobip(attempts)?,
    };
    let scaled = by_rule.mul_f64(delays.retry_scale.clamp(0.0, 1.0));
    Some(Wait { by_rule, scaled })
}

/// `first` after one attempt, twice that after the next.
fn doubled(first: Duration, attempts: u32, longest: Duration) -> Duration {
    let doublings = attempts.saturating_sub(1).min(20);
    first.saturating_mul(1 << doublings).min(longest)
}

fn dialog360(attempts: u32) -> Option<Duration> {
    let wait = |attempts| doubled(DIALOG360_FIRST, attempts, DIALOG360_LONGEST);
    let waited: Duration = (1..=attempts).map(wait).sum();
    (waited <= DIALOG360_IN_ALL).then(|| wait(attempts))
}

/// `1 min + (1 min * n * n)`, n from 0.
fn infobip(attempts: u32) -> Option<Duration> {
    let n = attempts.saturating_sub(1);
    (n < INFOBIP_RETRIES).then(|| MINUTE + MINUTE * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(dialect: Dialect) -> Vec<u64> {
        let delays = Delays {
            retry_scale: 0.001,
            ..Delays::default()
        };
        let waits = (1..).map_while(|attempts| after(dialect, attempts, &delays));
        let waits = waits.inspect(|wait| {
            assert_eq!(wait.by_rule.as_micros(), wait.scaled.as_micros() * 1_000);
        });
        waits.map(|wait| wait.by_rule.as_secs() / 60).collect()
    }

    #[test]
    fn infobip_waits_a_minute_and_the_square_of_the_retry_and_gives_up() {
        let waits = minutes(Dialect::Infobip);
        assert_eq!(waits[..6], [1, 2, 5, 10, 17, 26]);
        assert_eq!(waits.len(), 20);
    }

    #[test]
    fn dialog360_waits_twice_as_long_each_time_for_seven_days() {
        let waits = minutes(Dialect::Dialog360);
        assert_eq!(waits[..5], [1, 2, 4, 8, 16]);
        let days = waits.iter().sum::<u64>() / (24 * 60);
        assert_eq!((days, waits.last()), (6, Some(&720)), "12 h at most");
        assert_eq!(waits, minutes(Dialect::Dialog360Onprem));
    }

    #[test]
    fn meta_doubles_what_it_is_told_and_never_gives_up() {
        let delays = Delays {
            retry_first_ms: 50,
            retry_max_ms: 300,
            ..Delays::default()
        };
        let ms = |attempts| {
            let wait = after(Dialect::Meta, attempts, &delays).unwrap();
            assert_eq!(wait.by_rule, wait.scaled);
            wait.scaled.as_millis()
        };
        assert_eq!([1, 2, 3, 4, 1_000].map(ms), [50, 100, 200, 300, 300]);
    }
}
