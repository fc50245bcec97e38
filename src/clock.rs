//! The only place where time and randomness enter. Everything else takes a [`Clock`] or a value
//! that came from one, so that `model` stays pure and tests can move time (`clippy.toml` forbids
//! the hidden sources everywhere else).

#![allow(clippy::disallowed_methods)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::{ContextV7, Uuid};

/// Wall-clock and monotonic time. Clones share what is added to the machine's time: the correction
/// to another clock, and by how far a test moved all of them.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    /// In microseconds.
    correction: Arc<AtomicI64>,
    /// By how much the machine's own clock is wrong; none is, but in tests.
    wrong_by: time::Duration,
    ids: Arc<Mutex<Ids>>,
}

/// What ids are counted by.
#[derive(Debug, Default)]
struct Ids {
    /// Counts those of one millisecond, and never goes back.
    context: ContextV7,
    /// The second of the last one.
    last: u64,
}

impl Ids {
    /// Small corrections do not cost the order of ids. After a clock that was far ahead it has to be
    /// given up: ids tell when, to the day at least.
    const MOST_AHEAD: u64 = 60;

    fn make(&mut self, now: OffsetDateTime) -> Uuid {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        if seconds + Self::MOST_AHEAD < self.last {
            self.context = ContextV7::new();
        }
        let time = uuid::Timestamp::from_unix(&self.context, seconds, now.nanosecond());
        (self.last, _) = time.to_unix();
        Uuid::new_v7(time)
    }
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// That of a machine whose own clock is wrong by this much, for tests.
    pub fn wrong_by(wrong_by: time::Duration) -> Self {
        Self {
            wrong_by,
            ..Self::default()
        }
    }

    /// Now, in UTC, cut to microseconds: what Postgres keeps, so that a value compares equal
    /// after a round trip.
    pub fn now(&self) -> OffsetDateTime {
        let now = self.machine()
            + time::Duration::microseconds(self.correction.load(Ordering::Relaxed))
            + time::Duration::milliseconds(self.offset_ms.load(Ordering::Relaxed));
        let micros = now.microsecond();
        now.replace_microsecond(micros).unwrap_or(now)
    }

    /// What the machine's own clock says, uncorrected.
    pub fn machine(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + self.wrong_by
    }

    /// Follows another clock, which said `theirs` some time between `asked`, on the machine's own
    /// clock, and the answer that came after `took`. When in between nobody knows, so that the
    /// correction changes by no more than this alone demands: it does not follow the network's
    /// moods. Returns by how much the machine is ahead of the other.
    pub fn follow(&self, asked: OffsetDateTime, took: Duration, theirs: OffsetDateTime) -> f64 {
        let most = (theirs - asked).whole_microseconds();
        let least = most - i128::try_from(took.as_micros()).unwrap_or(i128::MAX / 2);
        let known = i128::from(self.correction.load(Ordering::Relaxed));
        let correction = i64::try_from(known.clamp(least, most)).unwrap_or(0);
        self.correction.store(correction, Ordering::Relaxed);
        time::Duration::microseconds(-correction).as_seconds_f64()
    }

    /// Time that never jumps; for measuring and for limits that must hold whatever the wall
    /// clock does. Tests cannot move it.
    pub fn monotonic(&self) -> Instant {
        Instant::now()
    }

    /// Moves the wall clock of this and every cloned `Clock` forward.
    pub fn advance(&self, by: Duration) {
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// A fresh UUID version 7: among all that clones of this clock make, its order is the order of
    /// creation, unless the clock is set back by more than a minute; else to the millisecond.
    pub fn new_id(&self) -> Uuid {
        let ids = self.ids.lock();
        let mut ids = ids.unwrap_or_else(PoisonError::into_inner);
        ids.make(self.now())
    }
}

/// `N` bytes from the operating system's generator, for keys and nonces.
pub fn random<const N: usize>() -> [u8; N] {
    rand::random()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_follows_another_as_little_as_what_it_said_demands() {
        let clock = Clock::system();
        let asked = OffsetDateTime::UNIX_EPOCH;
        let follow = |theirs_ms: i64, took_ms: u64| {
            let theirs = asked + time::Duration::milliseconds(theirs_ms);
            let ahead = clock.follow(asked, Duration::from_millis(took_ms), theirs);
            (ahead * 1e3).round()
        };
        for (theirs, took, ahead) in [
            (0, 0, 0.0),
            // It said so on the way, and may have said so at any moment of it.
            (5, 8, 0.0),
            (5_000, 8, -4_992.0),
            (4_995, 8, -4_992.0),
            // Asked while the database stalled: nothing is known.
            (4_000, 6_000, -4_000.0),
            (-60_000, 10, 60_000.0),
            (1, 2, 1.0),
        ] {
            assert_eq!(follow(theirs, took), ahead, "{theirs} {took}");
        }
    }

    #[test]
    fn ids_come_back_with_a_clock_that_had_jumped_ahead() {
        let clock = Clock::system();
        let set = |ahead: time::Duration| {
            let machine = clock.machine();
            clock.follow(machine, Duration::ZERO, machine + ahead);
            let (seconds, _) = clock.new_id().get_timestamp().unwrap().to_unix();
            i64::try_from(seconds).unwrap() - machine.unix_timestamp()
        };
        let (hour, moment) = (time::Duration::HOUR, time::Duration::seconds(5));
        for ahead in [hour, time::Duration::ZERO, hour, hour - moment] {
            let of_id = set(ahead);
            assert!(
                (0..=6).contains(&(of_id - ahead.whole_seconds())),
                "{of_id}"
            );
        }
        // What is no jump does not cost the order.
        let before = clock.new_id();
        set(hour - moment * 2);
        assert!(clock.new_id() > before);
    }

    #[test]
    fn ids_are_in_the_order_in_which_they_were_made() {
        let clock = Clock::system();
        let ids: Vec<_> = (0..10_000).map(|_| clock.clone().new_id()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
