//! The only place where time and randomness enter. Everything else takes a [`Clock`] or a value
//! that came from one, so that `model` stays pure and tests can move time (`clippy.toml` forbids
//! the hidden sources everywhere else).

#![allow(clippy::disallowed_methods)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::{ContextV7, Uuid};

/// Wall-clock and monotonic time. Clones share one offset, so that a test moves all of them.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    /// Counts the ids of one millisecond.
    ids: Arc<Mutex<ContextV7>>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// Now, in UTC, cut to microseconds: what Postgres keeps, so that a value compares equal
    /// after a round trip.
    pub fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc()
            + time::Duration::milliseconds(self.offset_ms.load(Ordering::Relaxed));
        let micros = now.microsecond();
        now.replace_microsecond(micros).unwrap_or(now)
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
    /// creation; else to the millisecond.
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        Uuid::new_v7(uuid::Timestamp::from_unix(
            &*self.ids,
            seconds,
            now.nanosecond(),
        ))
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
    fn ids_are_in_the_order_in_which_they_were_made() {
        let clock = Clock::system();
        let ids: Vec<_> = (0..10_000).map(|_| clock.clone().new_id()).collect();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
