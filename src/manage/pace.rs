//! How fast calls may go, per connection and limit: never more than the limit within any span of its
//! length, wherever that begins; in memory. What a provider says of its own limits (`Retry-After`,
//! its usage headers, a refusal for its rate) stops all for so long.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::ids::ConnectionId;
use crate::provider::operations::Limit;

/// A call waits for its turn so long; one that would wait longer is told when to come again.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Of calls that no limit is known of: what a provider says of them is remembered as well.
const WITHOUT: &str = "";

/// Clones share one.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(Arc<Mutex<HashMap<(ConnectionId, &'static str), Line>>>);

/// Calls that share a limit.
#[derive(Debug, Default)]
struct Line {
    /// When the last ones went, or go: as many as the limit has at most, 16 bytes each.
    went: VecDeque<Instant>,
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
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry((connection, class(limit))).or_default();
        let open = line.closed_until.map_or(now, |until| until.max(now));
        let goes = limit.map_or(open, |limit| line.next(limit, now).max(open));
        let wait = goes.saturating_duration_since(now);
        if wait > PATIENCE {
            return Err(wait);
        }
        if limit.is_some() {
            line.went.push_back(goes);
        }
        Ok(wait)
    }

    /// How long it is until one more of what has happened may happen; `None`: it may.
    pub(super) fn spent(
        &self,
        connection: ConnectionId,
        limit: Limit,
        now: Instant,
    ) -> Option<Duration> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.get_mut(&(connection, limit.class))?;
        let next = line.next(limit, now);
        Some(next.saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// It has happened once more.
    pub(super) fn spend(&self, connection: ConnectionId, limit: Limit, now: Instant) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry((connection, limit.class)).or_default();
        line.went.push_back(now);
    }

    /// The provider wants nothing more of these for so long.
    pub(super) fn close(
        &self,
        connection: ConnectionId,
        limit: Option<Limit>,
        now: Instant,
        wait: Duration,
    ) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry((connection, class(limit))).or_default();
        line.closed_until = line.closed_until.max(Some(now + wait));
    }
}

fn class(limit: Option<Limit>) -> &'static str {
    limit.map_or(WITHOUT, |limit| limit.class)
}

impl Line {
    /// When the next may go. Those who wait have their place already.
    fn next(&mut self, limit: Limit, now: Instant) -> Instant {
        while self.went.front().is_some_and(|at| *at + limit.per <= now) {
            self.went.pop_front();
        }
        let most = usize::try_from(limit.calls).unwrap_or(usize::MAX).max(1);
        match self.went.len().checked_sub(most) {
            Some(n) => self.went.get(n).map_or(now, |at| *at + limit.per),
            None => now,
        }
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
        assert_eq!(wait.as_secs(), 3600);
        assert_eq!(pace.take(connection, None, begin), Ok(Duration::ZERO));
        let later = begin + wait;
        assert_eq!(pace.take(connection, limit, later), Ok(Duration::ZERO));
    }

    #[test]
    fn no_span_of_the_limits_length_has_more_calls_than_it() {
        let (pace, connection) = (Pace::default(), ConnectionId(Uuid::nil()));
        let per = Duration::from_secs(10);
        let limit = Some(Limit {
            class: "x",
            calls: 20,
            per,
        });
        let begin = crate::clock::Clock::system().monotonic();
        let mut went = Vec::new();
        // Somebody calls as often as may be, after a while in which nobody did.
        for n in 0..600 {
            let now = begin + per + Duration::from_millis(100) * n;
            if let Ok(wait) = pace.take(connection, limit, now) {
                went.push(now + wait);
            }
        }
        assert!(went.len() >= 100, "as much as may be goes: {}", went.len());
        for at in &went {
            let within = went.iter().filter(|it| *it >= at && **it < *at + per);
            assert!(within.count() <= 20);
        }
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
