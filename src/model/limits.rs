//! How fast a sender may post, to all and to each user, and how long to wait after a refusal.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::Timestamp;

/// A token bucket: `rate` a second, and a burst of half a second's worth, but of one message.
/// Providers grant a burst of one second's; the rest is for what is under way: posts that take
/// longer than others arrive together with those that came later. Time is whatever monotonic clock
/// the caller keeps, as a duration since any fixed moment.
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

    /// A full bucket.
    pub fn full(rate: u32, now: Duration) -> Self {
        let mut bucket = Self::empty(rate, now);
        bucket.tokens = bucket.most();
        bucket
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

    /// How long until as many may be posted as come in `span`, or one.
    pub fn until(&mut self, span: Duration, now: Duration) -> Duration {
        self.refill(now);
        let many = (self.rate * span.as_secs_f64()).floor().max(1.0);
        Duration::from_secs_f64(((many - self.tokens) / self.rate).max(0.0))
    }

    fn refill(&mut self, now: Duration) {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + gained).min(self.most());
        self.at = self.at.max(now);
    }

    fn most(&self) -> f64 {
        (self.rate / 2.0).max(1.0).min(self.rate)
    }
}

/// How often one user may be written to: Meta allows a message every 6 seconds, of which 45 may be
/// taken in advance (131056 beyond).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairLimit {
    /// From one message to the next.
    pub every: Duration,
    /// Messages that may go at once.
    pub burst: u32,
}

impl PairLimit {
    /// How much may be taken in advance: of the burst all but one, since posts that take longer
    /// than others arrive together with those that came later.
    fn ahead(&self) -> Duration {
        self.every.saturating_mul(self.burst.saturating_sub(2))
    }

    /// How far back posts count.
    pub fn memory(&self) -> Duration {
        self.every.saturating_mul(self.burst)
    }
}

/// What a sender's users have been written to: of each, until when what was sent reaches, at the
/// pace of the limit. Users are kept as hashes: should two meet, one waits for the other.
#[derive(Debug, Clone)]
pub struct Pairs {
    limit: PairLimit,
    reach: HashMap<u64, Timestamp>,
    /// When to forget the next time those who are free again.
    tidy_at: usize,
}

impl Pairs {
    /// Nobody has been written to.
    pub fn new(limit: PairLimit) -> Self {
        Self {
            limit,
            reach: HashMap::new(),
            tidy_at: 1024,
        }
    }

    /// From one message to the next.
    pub fn every(&self) -> Duration {
        self.limit.every
    }

    /// The user was written to so often within the limit's memory, by whom we do not know. Taken
    /// for as dense as it can have been: whoever was written to all the time stays in debt.
    pub fn remember(&mut self, user: &str, posts: u32, now: Timestamp) {
        let ahead = self.limit.every.saturating_mul(posts.saturating_sub(1));
        self.reach.insert(key(user), now + ahead);
    }

    /// From when on this user may be written to; `None`: now.
    pub fn free_at(&self, user: &str, now: Timestamp) -> Option<Timestamp> {
        let reach = *self.reach.get(&key(user))?;
        // However the clock was set meanwhile.
        let reach = reach.min(now + self.limit.memory());
        let ahead = self.limit.ahead();
        Some(reach - ahead).filter(|at| *at > now)
    }

    /// The user was written to.
    pub fn spend(&mut self, user: &str, now: Timestamp) {
        let reach = self.reach.entry(key(user)).or_insert(now);
        *reach = (*reach).max(now) + self.limit.every;
        self.tidy(now);
    }

    /// The provider said that this user was written to too often: not before then.
    pub fn block(&mut self, user: &str, until: Timestamp) {
        let ahead = self.limit.ahead();
        let reach = self.reach.entry(key(user)).or_insert(until);
        *reach = (*reach).max(until + ahead);
    }

    fn tidy(&mut self, now: Timestamp) {
        if self.reach.len() >= self.tidy_at {
            self.reach.retain(|_, reach| *reach > now);
            self.tidy_at = (2 * self.reach.len()).max(1024);
        }
    }
}

fn key(user: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    hasher.finish()
}

/// How long the provider tries to deliver a message, counted from when it took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Templates of the category AUTHENTICATION.
    pub authentication: Duration,
    /// Everything else.
    pub others: Duration,
}

/// The wait after the `n`th refusal in a row for writing to one user too often: Meta asks for 4^n
/// times `first`, counted from 0. At most an hour.
pub fn pair_backoff(first: Duration, n: u32) -> Duration {
    first.saturating_mul(4_u32.saturating_pow(n)).min(LONGEST)
}

/// The longest wait after a refusal.
const LONGEST: Duration = Duration::from_secs(3600);

/// The wait before attempt `n + 1` after `n` attempts that may be repeated: `first`, then twice
/// as long each time, at most an hour.
pub fn backoff(first: Duration, n: usize) -> Duration {
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
        fn no_window_sees_more_than_rate_and_half_a_second_of_burst(
            rate in 1_u32..100, steps in prop::collection::vec(0_u64..400, 1..200),
        ) {
            let mut bucket = TokenBucket::empty(rate, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut posts: Vec<(Duration, usize)> = Vec::new();
            let burst = (f64::from(rate) / 2.0).max(1.0);
            for step in steps {
                now += Duration::from_millis(step);
                let n = bucket.available(now);
                bucket.spend(n);
                posts.push((now, n));
            }
            for (i, (since, _)) in posts.iter().enumerate() {
                let mut sent = 0;
                for (at, n) in &posts[i..] {
                    sent += n;
                    let window = (*at - *since).as_secs_f64();
                    prop_assert!(sent as f64 <= f64::from(rate) * window + burst + 1e-6);
                }
            }
        }

        #[test]
        fn no_user_is_written_to_more_often_than_pace_and_burst_allow(
            burst in 1_u32..8, steps in prop::collection::vec(0_i64..9_000, 1..200),
        ) {
            let every = Duration::from_secs(6);
            let mut pairs = Pairs::new(PairLimit { every, burst });
            let mut now = Timestamp::UNIX_EPOCH;
            let mut posts = Vec::new();
            for step in steps {
                now += time::Duration::milliseconds(step);
                match pairs.free_at("user", now) {
                    Some(at) => prop_assert!(at > now),
                    None => {
                        pairs.spend("user", now);
                        posts.push(now);
                    }
                }
            }
            for (i, since) in posts.iter().enumerate() {
                for (j, at) in posts.iter().enumerate().skip(i) {
                    let burst = burst.saturating_sub(1).max(1);
                    let allowed = (*at - *since).as_seconds_f64() / 6.0 + f64::from(burst);
                    prop_assert!((j - i + 1) as f64 <= allowed + 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_drained_bucket_gives_nothing_until_the_wait_is_over() {
        let mut bucket = TokenBucket::empty(10, Duration::ZERO);
        assert_eq!(bucket.available(Duration::from_secs(9)), 5);
        bucket.drain(Duration::from_secs(9), Duration::from_secs(2));
        bucket.drain(Duration::from_secs(9), Duration::from_secs(1));
        assert_eq!(bucket.available(Duration::from_secs(11)), 0);
        assert_eq!(
            bucket.until(Duration::ZERO, Duration::from_secs(11)),
            Duration::from_millis(100)
        );
        assert_eq!(
            bucket.until(Duration::from_millis(450), Duration::from_secs(11)),
            Duration::from_millis(400)
        );
    }

    #[test]
    fn who_is_free_again_at_the_time_named_is_free_then() {
        let limit = PairLimit {
            every: Duration::from_secs(6),
            burst: 3,
        };
        let (mut pairs, now) = (Pairs::new(limit), Timestamp::UNIX_EPOCH);
        assert_eq!(pairs.free_at("a", now), None);
        pairs.spend("a", now);
        pairs.spend("a", now);
        let at = now + Duration::from_secs(6);
        assert_eq!(pairs.free_at("a", now), Some(at));
        assert_eq!(pairs.free_at("a", at), None);
        assert_eq!(pairs.free_at("b", now), None);
        pairs.block("b", at);
        assert_eq!(pairs.free_at("b", now), Some(at));
        assert_eq!(
            pair_backoff(Duration::from_secs(1), 3),
            Duration::from_secs(64)
        );
        assert_eq!(pair_backoff(Duration::from_secs(1), 99), LONGEST);
    }

    #[test]
    fn backoff_doubles_and_ends_at_an_hour() {
        let first = Duration::from_secs(2);
        assert_eq!(backoff(first, 1), first);
        assert_eq!(backoff(first, 3), Duration::from_secs(8));
        assert_eq!(backoff(first, 1000), Duration::from_secs(3600));
    }
}
