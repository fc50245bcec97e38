//! How fast calls may go, per connection and limit: a bucket each, full at first, in memory. What a
//! provider says of its own limits (`Retry-After`, its usage headers) empties it for so long.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::ids::ConnectionId;
use crate::provider::operations::Limit;

/// A call waits for its turn so long; one that would wait longer is told when to come again.
const PATIENCE: Duration = Duration::from_secs(1);

/// Of calls that no limit is known of: what a provider says of them is remembered as well.
const WITHOUT: &str = "";

/// Clones share one.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(Arc<Mutex<HashMap<(ConnectionId, &'static str), Bucket>>>);

#[derive(Debug)]
struct Bucket {
    /// Calls that may go now.
    tokens: f64,
    at: Instant,
    /// Nothing goes before: the provider said so.
    closed_until: Option<Instant>,
}

impl Pace {
    /// Takes the right to make a call: how long to wait before it is made, or `Err`: how long until
    /// it makes sense to ask again.
    pub(super) fn take(
        &self,
        connection: ConnectionId,
        limit: Option<Limit>,
        now: Instant,
    ) -> Result<Duration, Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((connection, class(limit))).or_insert(Bucket {
            tokens: limit.map_or(1.0, |limit| f64::from(limit.calls)),
            at: now,
            closed_until: None,
        });
        let closed = bucket
            .closed_until
            .map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        let paced = limit.map_or(Duration::ZERO, |limit| bucket.until_one(limit, now));
        let wait = closed.max(paced);
        if wait > PATIENCE {
            return Err(wait);
        }
        if limit.is_some() {
            bucket.tokens -= 1.0;
        }
        Ok(wait)
    }

    /// The provider wants nothing more of these for so long.
    pub(super) fn close(
        &self,
        connection: ConnectionId,
        limit: Option<Limit>,
        now: Instant,
        wait: Duration,
    ) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&(connection, class(limit))) {
            bucket.closed_until = bucket.closed_until.max(Some(now + wait));
        }
    }
}

fn class(limit: Option<Limit>) -> &'static str {
    limit.map_or(WITHOUT, |limit| limit.class)
}

impl Bucket {
    /// How long until there is one. Those who wait have taken theirs already.
    fn until_one(&mut self, limit: Limit, now: Instant) -> Duration {
        let most = f64::from(limit.calls);
        let rate = most / limit.per.as_secs_f64();
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(most);
        self.at = self.at.max(now);
        Duration::from_secs_f64(((1.0 - self.tokens) / rate).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn calls_beyond_a_limit_are_told_when_to_come_again() {
        let (pace, connection) = (Pace::default(), ConnectionId(Uuid::nil()));
        let limit = Some(Limit {
            class: "templates.edit",
            calls: 3,
            per: Duration::from_secs(3600),
        });
        // A test's own clock: only differences count.
        let begin = crate::clock::Clock::system().monotonic();
        for _ in 0..3 {
            assert_eq!(pace.take(connection, limit, begin), Ok(Duration::ZERO));
        }
        let wait = pace.take(connection, limit, begin).unwrap_err();
        assert_eq!(wait.as_secs(), 1200);
        assert_eq!(pace.take(connection, None, begin), Ok(Duration::ZERO));
        let later = begin + wait;
        let soon = pace.take(connection, limit, later);
        assert!(soon.unwrap() < Duration::from_millis(1));
    }

    #[test]
    fn what_a_provider_says_of_its_limits_is_obeyed() {
        let (pace, connection) = (Pace::default(), ConnectionId(Uuid::nil()));
        let now = crate::clock::Clock::system().monotonic();
        assert_eq!(pace.take(connection, None, now), Ok(Duration::ZERO));
        pace.close(connection, None, now, Duration::from_secs(30));
        pace.close(connection, None, now, Duration::from_secs(3));
        let wait = pace.take(connection, None, now).unwrap_err();
        assert_eq!(wait.as_secs(), 30);
        let after = now + wait;
        assert_eq!(pace.take(connection, None, after), Ok(Duration::ZERO));
    }
}
