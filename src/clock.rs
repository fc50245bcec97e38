//! The only place where time and randomness enter. Everything else takes a [`Clock`] or a value
//! that came from one, so that `model` stays pure and tests can move time (`clippy.toml` forbids
//! the hidden sources everywhere else).

#![allow(clippy::disallowed_methods)]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use uuid::{ContextV7, Uuid};

/// Wall-clock and monotonic time. Clones share one offset, so that a test moves all of them.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    /// Counts within a millisecond, so that ids keep their order there too.
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

    /// A fresh UUID version 7: within a process its order is the order of creation, between
    /// processes to the millisecond.
    pub fn new_id(&self) -> Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        let ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*ids, seconds, now.nanosecond()))
    }
}

/// `N` bytes from the operating system's generator, for keys and nonces.
pub fn random<const N: usize>() -> [u8; N] {
    rand::random()
}
