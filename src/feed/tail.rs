//! The tail: the newest events of the feed in memory, read once for all streams and subscriptions
//! of an instance. Each of them is a [`Reader`] with a place of its own, so that nothing is kept
//! for one that is slow: whoever falls behind what is in memory reads the database from its place,
//! a few at a time. The tail follows the feed while there is a reader.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::{Event, Events, Filter, Show};
use crate::model::ids::{ConnectionId, SenderId};
use crate::signals::Signals;
use crate::store::feed::{Fact, FeedFilter, Place};
use crate::store::{Store, StoreError};

/// What is kept in memory: some seconds of a busy service.
const MOST_EVENTS: usize = 8192;
const MOST_BYTES: usize = 32 << 20;

/// How many facts one statement reads, for the tail, and for one who fell behind.
const PAGE: i64 = 500;
const BEHIND: i64 = 100;

/// How often the feed is read at most, and at least: what other instances commit, and what a
/// transaction held back, gives no signal here.
const GAP: Duration = Duration::from_millis(20);
const PERIOD: Duration = Duration::from_millis(100);

/// The wait after the database failed.
const FAILED: Duration = Duration::from_millis(500);

/// How many of those that fell behind read the database at once.
const CATCHING_UP: usize = 3;

/// The newest events. Clones share them.
#[derive(Debug, Clone)]
pub struct Tail(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    signals: Signals,
    show: Show,
    ring: Mutex<Ring>,
    grown: watch::Sender<u64>,
    readers: AtomicUsize,
    wanted: Notify,
    catching_up: Semaphore,
}

/// All events behind `from`, up to `to`.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    from: Place,
    to: Place,
}

impl Ring {
    fn restart(&mut self, at: Place) {
        *self = Self {
            from: at,
            to: at,
            ..Self::default()
        };
    }

    fn push(&mut self, events: Events, to: Place) {
        for event in events {
            self.bytes += event.json.len();
            self.events.push_back(event);
        }
        self.to = self.to.max(to);
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.json.len();
            self.from = oldest.place;
        }
    }

    /// The first of what matches behind a place, and the place up to which that is all. `None`:
    /// what comes next is not here.
    fn read(&self, after: Place, filter: &Filter, most: usize) -> Option<(Events, Place)> {
        if after < self.from {
            return None;
        }
        let begin = self.events.partition_point(|event| event.place <= after);
        let mut found = Vec::new();
        for event in self.events.range(begin..) {
            if filter.takes(&event.r#type, event.sender, event.connection) {
                found.push(Arc::clone(event));
                if found.len() >= most {
                    return Some((found, event.place));
                }
            }
        }
        Some((found, after.max(self.to)))
    }
}

impl Tail {
    /// A tail that nobody reads yet.
    pub fn new(store: Store, signals: Signals, show: Show) -> Self {
        Self(Arc::new(Shared {
            store,
            signals,
            show,
            ring: Mutex::default(),
            grown: watch::Sender::new(0),
            readers: AtomicUsize::new(0),
            wanted: Notify::new(),
            catching_up: Semaphore::new(CATCHING_UP),
        }))
    }

    /// A reader of what comes behind a place.
    pub fn read_from(&self, place: Place) -> Reader {
        self.0.readers.fetch_add(1, Ordering::Relaxed);
        self.0.wanted.notify_one();
        Reader {
            grown: self.0.grown.subscribe(),
            tail: self.clone(),
            place,
        }
    }

    /// The event as it is shown.
    pub fn show(&self, fact: Fact) -> Event {
        (self.0.show)(fact)
    }

    /// Follows the feed until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let follow = async {
            loop {
                while !self.is_read() {
                    self.0.wanted.notified().await;
                }
                if let Err(error) = self.follow().await {
                    tracing::warn!(%error, "the feed could not be followed");
                    tokio::time::sleep(FAILED).await;
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = follow => {}
        }
    }

    fn is_read(&self) -> bool {
        self.0.readers.load(Ordering::Relaxed) > 0
    }

    /// While somebody reads.
    async fn follow(&self) -> Result<(), StoreError> {
        let mut changes = self.0.signals.changes();
        let mut to = self.0.store.feed_end().await?;
        // After an error it goes on where it was; after a pause what is in memory is too old.
        if self.ring().from == Place::default() {
            self.ring().restart(to);
            // Who asked before it was there is behind it now, and does not know.
            self.0.grown.send_modify(|n| *n = n.wrapping_add(1));
        } else {
            to = self.ring().to;
        }
        while self.is_read() {
            changes.mark_unchanged();
            let (facts, next) = self.0.store.feed(&FeedFilter::default(), to, PAGE).await?;
            let read = facts.len();
            let events = facts.into_iter().map(self.0.show).map(Arc::new).collect();
            self.ring().push(events, next);
            to = next;
            if read > 0 {
                self.0.grown.send_modify(|n| *n = n.wrapping_add(1));
            }
            if i64::try_from(read).is_ok_and(|read| read < PAGE) {
                tokio::time::sleep(GAP).await;
                let _ = tokio::time::timeout(PERIOD, changes.changed()).await;
            }
        }
        *self.ring() = Ring::default();
        Ok(())
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the database has behind a place.
    async fn catch_up(
        &self,
        after: Place,
        filter: &Filter,
        most: usize,
    ) -> Result<(Events, Place), StoreError> {
        let _turn = self.0.catching_up.acquire().await;
        let everything = FeedFilter::default();
        let (facts, next) = self.0.store.feed(&everything, after, BEHIND).await?;
        let mut found = Vec::new();
        for fact in facts {
            let (sender, connection) = (fact.sender, fact.connection);
            let (sender, connection) = (sender.map(SenderId), connection.map(ConnectionId));
            if !filter.takes(&fact.r#type, sender, connection) {
                continue;
            }
            let event = self.show(fact);
            let place = event.place;
            found.push(Arc::new(event));
            if found.len() >= most {
                return Ok((found, place));
            }
        }
        Ok((found, next))
    }
}

/// One who follows the feed.
#[derive(Debug)]
pub struct Reader {
    tail: Tail,
    grown: watch::Receiver<u64>,
    place: Place,
}

impl Reader {
    /// Everything up to here has been given to it, or did not match.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What comes next, at most so much: nothing, where it is at the end; or where what it read
    /// did not match, and it is to ask again ([`Reader::has_more`]).
    pub async fn next(&mut self, filter: &Filter, most: usize) -> Result<Events, StoreError> {
        self.grown.mark_unchanged();
        let here = self.tail.ring().read(self.place, filter, most);
        let (events, place) = match here {
            Some(read) => read,
            None => {
                let read = self.tail.catch_up(self.place, filter, most).await?;
                // The next look tells whether that was all.
                self.grown.mark_changed();
                read
            }
        };
        self.place = place;
        if events.len() >= most {
            self.grown.mark_changed();
        }
        Ok(events)
    }

    /// Has it read on from a place that it has passed.
    pub fn go_back(&mut self, place: Place) {
        self.place = place;
        self.grown.mark_changed();
    }

    /// Whether there may be more now.
    pub fn has_more(&self) -> bool {
        self.grown.has_changed().unwrap_or(false)
    }

    /// Waits until there may be more.
    pub async fn grown(&mut self) {
        // The tail is as old as its readers: it never ends before them.
        let _ = self.grown.changed().await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tail.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}
