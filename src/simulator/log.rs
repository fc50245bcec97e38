//! What happened, in one numbering: every POST when it arrived and every status when it was
//! first posted. From this a checker proves that no step went before the second tick of the one
//! before it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use super::dialect::Dialect;
use crate::clock::Clock;

/// The oldest entries of a kind are forgotten beyond this many, so that a benchmark that runs
/// for hours does not fill the memory.
const MAX_ENTRIES: usize = 1_000_000;
/// The same, of attempts to post a webhook.
const MAX_ATTEMPTS: usize = 10_000;

#[derive(Debug)]
pub struct Log {
    clock: Clock,
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// Requests that have arrived and are not logged yet.
    open: BTreeSet<u64>,
    /// By tick; several messages may have come in one request.
    posts: BTreeMap<(u64, usize), Post>,
    statuses: BTreeMap<u64, Status>,
    attempts: VecDeque<Attempt>,
}

/// A point in the one order of things.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Moment {
    pub tick: u64,
    /// Microseconds since the start.
    pub at_us: u64,
}

/// A message that a caller posted.
#[derive(Debug, Clone, Serialize)]
pub struct Post {
    #[serde(flatten)]
    pub moment: Moment,
    pub provider: Dialect,
    pub phone_number_id: String,
    pub to: Option<String>,
    pub callback: Option<String>,
    /// As received, if it was JSON.
    pub body: Option<Box<RawValue>>,
    /// `accepted`, `refused`, `lost_answer`.
    pub outcome: &'static str,
    pub wamid: Option<String>,
    pub code: Option<i64>,
}

/// A status, at the moment its first webhook began to be posted.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    #[serde(flatten)]
    pub moment: Moment,
    pub wamid: String,
    pub status: String,
    pub code: Option<i64>,
    /// Whether it carries the caller's `biz_opaque_callback_data`: without it and without an
    /// answer, nobody can tell whose it is.
    pub callback: bool,
}

/// A webhook that was posted once, and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Attempt {
    /// When it began: microseconds since the start.
    pub at_us: u64,
    pub provider: Dialect,
    /// The same for all attempts to post one body.
    pub webhook: u64,
    /// From 1.
    pub attempt: u32,
    /// The HTTP status; none if none came in time.
    pub answer: Option<u16>,
    /// How long the provider would wait before the next attempt, unscaled; none if there is no
    /// other.
    pub again_after_ms: Option<u64>,
}

/// A part of the log, in order.
#[derive(Debug, Serialize)]
pub struct Page {
    pub posts: Vec<Post>,
    pub statuses: Vec<Status>,
    /// Where the next page begins. Nothing before it is missing: a page ends where the oldest
    /// request begins whose outcome is not known yet.
    pub next_tick: u64,
    /// Microseconds since the start.
    pub now_us: u64,
}

impl Log {
    pub fn new(clock: Clock) -> Self {
        Self {
            start: clock.monotonic(),
            clock,
            inner: Mutex::default(),
        }
    }

    /// A request has arrived; its outcome follows.
    pub fn arrive(&self) -> Arrival<'_> {
        let mut inner = self.lock();
        let moment = self.moment(&mut inner);
        inner.open.insert(moment.tick);
        Arrival { log: self, moment }
    }

    /// A status is about to be posted.
    pub fn status(&self, wamid: &str, status: &str, code: Option<i64>, callback: bool) {
        let mut inner = self.lock();
        let moment = self.moment(&mut inner);
        let entry = Status {
            moment,
            wamid: wamid.to_owned(),
            status: status.to_owned(),
            code,
            callback,
        };
        insert(&mut inner.statuses, moment.tick, entry);
    }

    /// Whoever asked has gone before it was answered: what was taken there was taken unheard.
    pub fn unheard(&self, tick: u64) {
        let mut inner = self.lock();
        let taken = inner.posts.range_mut((tick, 0)..=(tick, usize::MAX));
        for (_, post) in taken.filter(|(_, post)| post.outcome == "accepted") {
            post.outcome = "lost_answer";
        }
    }

    /// Everything from `since` on that is settled.
    pub fn page(&self, since: u64) -> Page {
        let inner = self.lock();
        let next_tick = inner.open.first().copied().unwrap_or(inner.next);
        let range = since.min(next_tick)..next_tick;
        Page {
            posts: inner
                .posts
                .range((range.start, 0)..(range.end, 0))
                .map(|(_, p)| p.clone())
                .collect(),
            statuses: inner
                .statuses
                .range(range)
                .map(|(_, s)| s.clone())
                .collect(),
            next_tick,
            now_us: self.now_us(),
        }
    }

    /// Microseconds since the start.
    pub fn now_us(&self) -> u64 {
        let since_start = self.clock.monotonic().duration_since(self.start);
        u64::try_from(since_start.as_micros()).unwrap_or(u64::MAX)
    }

    /// An attempt to post a webhook has ended.
    pub fn attempt(&self, attempt: Attempt) {
        let mut inner = self.lock();
        inner.attempts.push_back(attempt);
        if inner.attempts.len() > MAX_ATTEMPTS {
            inner.attempts.pop_front();
        }
    }

    /// The latest attempts, in the order in which they ended.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.lock().attempts.iter().cloned().collect()
    }

    fn moment(&self, inner: &mut Inner) -> Moment {
        let tick = inner.next;
        inner.next += 1;
        Moment {
            tick,
            at_us: self.now_us(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn insert<K: Ord, T>(entries: &mut BTreeMap<K, T>, key: K, entry: T) {
    entries.insert(key, entry);
    if entries.len() > MAX_ENTRIES {
        entries.pop_first();
    }
}

/// A request under way. Dropped without an outcome (its client is gone), it leaves no entry.
#[derive(Debug)]
pub struct Arrival<'a> {
    log: &'a Log,
    pub moment: Moment,
}

impl Arrival<'_> {
    /// What came of it, a message an entry.
    pub fn settle(self, posts: Vec<Post>) {
        let mut inner = self.log.lock();
        for (n, post) in posts.into_iter().enumerate() {
            insert(&mut inner.posts, (self.moment.tick, n), post);
        }
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.log.lock().open.remove(&self.moment.tick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(moment: Moment) -> Post {
        Post {
            moment,
            provider: Dialect::Meta,
            phone_number_id: "1".to_owned(),
            to: None,
            callback: None,
            body: None,
            outcome: "accepted",
            wamid: None,
            code: None,
        }
    }

    #[test]
    fn a_page_ends_before_a_request_whose_outcome_is_open() {
        let log = Log::new(Clock::system());
        let first = log.arrive();
        log.status("wamid.a", "sent", None, true);
        assert_eq!(log.page(0).next_tick, 0);
        assert!(log.page(0).statuses.is_empty());

        let moment = first.moment;
        first.settle(vec![post(moment)]);
        drop(log.arrive());
        let page = log.page(0);
        assert_eq!((page.posts.len(), page.statuses.len()), (1, 1));
        assert_eq!(page.next_tick, 3);
        assert!(page.posts[0].moment.tick < page.statuses[0].moment.tick);
        assert!(log.page(page.next_tick).posts.is_empty());
    }
}
