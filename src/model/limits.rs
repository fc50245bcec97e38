//! How fast a sender may post, and how long to wait after a refusal.

use std::time::Duration;

/// A token bucket: `rate` a second, and a burst of one second's worth. Time is whatever
/// monotonic clock the caller keeps, as a duration since any fixed moment.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: f64,
    tokens: f64,
    at: Duration,
}

impl TokenBucket {
    /// An empty bucket: a new owner of a sender does not know what the one before spent.
    pub fn empty(rate: u32, now: Duration) -> Self {
        Self {
            rate: f64::from(rate),
            tokens: 0.0,
            at: now,
        }
    }

    /// Another rate from now on.
    pub fn set_rate(&mut self, rate: u32, now: Duration) {
        self.refill(now);
        self.rate = f64::from(rate);
    }

    /// How many may be posted now.
    pub fn available(&mut self, now: Duration) -> usize {
        self.refill(now);
        // The cast saturates and cuts: a fraction of a token is none.
        self.tokens as usize
    }

    /// Spends `n` tokens that [`TokenBucket::available`] showed.
    pub fn spend(&mut self, n: usize) {
        self.tokens -= n as f64;
    }

    /// Nothing may be posted for `wait`: the provider said that we are too fast.
    pub fn drain(&mut self, now: Duration, wait: Duration) {
        self.refill(now);
        // Of two waits the longer, whichever answer came last.
        self.tokens = self.tokens.min(-self.rate * wait.as_secs_f64());
    }

    /// How long until one may be posted.
    pub fn until_next(&mut self, now: Duration) -> Duration {
        self.refill(now);
        Duration::from_secs_f64(((1.0 - self.tokens) / self.rate).max(0.0))
    }

    fn refill(&mut self, now: Duration) {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + gained).min(self.rate);
        self.at = self.at.max(now);
    }
}

/// The wait before attempt `n + 1` after `n` attempts that may be repeated: `first`, then twice
/// as long each time, at most an hour.
pub fn backoff(first: Duration, n: usize) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3600);
    let doublings = u32::try_from(n.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(16);
    first.saturating_mul(1 << doublings).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_window_sees_more_than_rate_and_one_second_of_burst(
            rate in 1_u32..100, steps in prop::collection::vec(0_u64..400, 1..200),
        ) {
            let mut bucket = TokenBucket::empty(rate, Duration::ZERO);
            let (mut now, mut spent) = (Duration::ZERO, 0);
            for step in steps {
                now += Duration::from_millis(step);
                let n = bucket.available(now);
                bucket.spend(n);
                spent += n;
                prop_assert!(spent as f64 <= f64::from(rate) * now.as_secs_f64() + 1e-6);
            }
        }
    }

    #[test]
    fn a_drained_bucket_gives_nothing_until_the_wait_is_over() {
        let mut bucket = TokenBucket::empty(10, Duration::ZERO);
        assert_eq!(bucket.available(Duration::from_secs(9)), 10);
        bucket.drain(Duration::from_secs(9), Duration::from_secs(2));
        bucket.drain(Duration::from_secs(9), Duration::from_secs(1));
        assert_eq!(bucket.available(Duration::from_secs(11)), 0);
        assert_eq!(
            bucket.until_next(Duration::from_secs(11)),
            Duration::from_millis(100)
        );
    }

    #[test]
    fn backoff_doubles_and_ends_at_an_hour() {
        let first = Duration::from_secs(2);
        assert_eq!(backoff(first, 1), first);
        assert_eq!(backoff(first, 3), Duration::from_secs(8));
        assert_eq!(backoff(first, 1000), Duration::from_secs(3600));
    }
}
