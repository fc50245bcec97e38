//! How far a run is, for those who wait for it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Progress {
    /// Webhooks that were answered 200, each counted once.
    pub webhooks: AtomicUsize,
    /// All that were posted, also in vain and again.
    pub posted: AtomicUsize,
    /// Messages that were asked for, with a 202.
    pub asked: AtomicUsize,
    /// POSTs that the provider took.
    pub accepted: AtomicUsize,
    /// Sequences that the person posted again.
    pub retried: AtomicUsize,
    /// Everything is asked for.
    pub all_asked: AtomicBool,
    /// Everything has happened: whoever follows may end.
    pub over: AtomicBool,
}

impl Progress {
    pub fn add(count: &AtomicUsize, n: usize) {
        count.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(count: &AtomicUsize) -> usize {
        count.load(Ordering::Relaxed)
    }

    pub fn is(flag: &AtomicBool) -> bool {
        flag.load(Ordering::Relaxed)
    }

    /// The part that is done, of so many messages and webhooks.
    pub fn part(&self, messages: usize, webhooks: usize) -> f64 {
        let part = |count: &AtomicUsize, of: usize| Self::get(count).min(of) as f64 / of as f64;
        f64::midpoint(
            part(&self.accepted, messages),
            part(&self.webhooks, webhooks),
        )
    }
}

/// Between two looks at something.
pub async fn moment(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
