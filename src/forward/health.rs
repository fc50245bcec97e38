//! How an endpoint does, and so how many events may be on their way to it. One that takes events
//! is given more at once; one that refuses one event is given one at a time; one that took none of
//! several different ones is *down*: it is asked now and then, one event at a time, so that a
//! thousand endpoints that hang cost little more than nothing.

use std::time::{Duration, Instant};

use crate::model::Timestamp;

/// New events in a row that were not taken: from then on it is the endpoint, not the event.
const DOWN_AFTER: u32 = 3;

/// How soon an endpoint that is down is asked again: at first, and at most.
const FIRST_PROBE: Duration = Duration::from_secs(1);
const LAST_PROBE: Duration = Duration::from_secs(60);

/// How an endpoint does.
#[derive(Debug)]
pub struct Health {
    most: usize,
    allowed: usize,
    /// In a row.
    failures: u32,
    new_failures: u32,
    probe_at: Option<Instant>,
    paused_until: Option<Instant>,
    /// Since when it has taken nothing.
    pub failing_since: Option<Timestamp>,
}

impl Health {
    /// An endpoint about which nothing is known but since when it has failed. One that has is taken
    /// for down: what it refused may be due in hours only, so it is asked at once, and what waits goes
    /// as soon as it takes anything.
    pub fn new(most: usize, failing_since: Option<Timestamp>) -> Self {
        Self {
            most,
            allowed: 1,
            failures: 0,
            new_failures: failing_since.map_or(0, |_| DOWN_AFTER),
            probe_at: None,
            paused_until: None,
            failing_since,
        }
    }

    /// Whether it takes nothing at all.
    pub fn is_down(&self) -> bool {
        self.new_failures >= DOWN_AFTER
    }

    /// Whether the next probe is to be an event that it has not refused yet: every fourth.
    pub fn asks_with_new(&self) -> bool {
        const EVERY: u32 = 4;
        self.failures.is_multiple_of(EVERY)
    }

    /// How many may be on their way at once.
    pub fn allowed(&self, now: Instant) -> usize {
        match self.paused_until {
            Some(until) if now < until => 0,
            _ if self.is_down() => 1,
            _ => self.allowed,
        }
    }

    /// Whether something that is not due may go.
    pub fn takes_new(&self, now: Instant) -> bool {
        !self.is_down() || self.probe_at.is_none_or(|at| now >= at)
    }

    /// When that will be so, or a pause ends.
    pub fn next_at(&self) -> Option<Instant> {
        let probe = self.probe_at.filter(|_| self.is_down());
        probe.max(self.paused_until)
    }

    /// It took an event. Whether it was down.
    pub fn took(&mut self) -> bool {
        let was_down = self.is_down();
        self.failures = 0;
        self.new_failures = 0;
        self.probe_at = None;
        self.failing_since = None;
        self.allowed = (self.allowed * 2).min(self.most);
        was_down
    }

    /// It did not take an event: one that it was given for the first time, or one of those that it
    /// did not take before.
    pub fn failed(&mut self, is_new: bool, now: Instant, at: Timestamp, pause: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        self.new_failures += u32::from(is_new);
        self.allowed = 1;
        self.failing_since.get_or_insert(at);
        let doubled = self.failures.saturating_sub(DOWN_AFTER).min(16);
        let wait = FIRST_PROBE.saturating_mul(1 << doubled).min(LAST_PROBE);
        self.probe_at = Some(now + wait);
        if let Some(pause) = pause {
            self.paused_until = Some(now + pause);
        }
    }
}
