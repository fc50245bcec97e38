//! The tail: the newest events of the feed in memory, read once for all streams and subscriptions
//! of an instance. Each of them is a [`Reader`] with a place of its own, so that nothing is kept
//! for one that is slow: whoever falls behind what is in memory reads the database from its place,
//! a few at a time. What does not match wakes no reader: thousands cost little more than looking at
//! their filters. The tail follows the feed while there is a reader.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{Event, Events, Filter, Show};
use crate::model::ids::{ConnectionId, SenderId};
use crate::signals::Signals;
use crate::store::feed::{Fact, FeedFilter, Place, Read};
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

/// How far back it begins at most: who is further behind reads the database alone.
const RECENT: Duration = Duration::from_secs(120);

/// The wait after the database failed.
const FAILED: Duration = Duration::from_millis(500);

/// How long a person who is being erased may still be read: other instances hear of it late, and it
/// takes its time.
const ERASING: Duration = Duration::from_secs(10);

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
    wanted: Notify,
    catching_up: Semaphore,
}

/// All events behind `from`, up to `to`, and who reads them.
#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    from: Place,
    to: Place,
    seats: HashMap<u64, Seat>,
    last_seat: u64,
    /// How often all of it was forgotten, because somebody was erased.
    forgotten: u64,
}

/// A reader cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum NotRead {
    /// It was slower than the feed is forgotten, and may have missed something: this is where the
    /// feed begins.
    #[error("events behind this place have been forgotten")]
    Forgotten(Place),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a reader is.
#[derive(Debug)]
struct Seat {
    filter: Arc<Filter>,
    /// All up to here was given to it, or does not match.
    place: Place,
    /// Whether there may be something for it behind its place.
    more: bool,
    woken: Arc<Notify>,
}

impl Seat {
    fn wake(&mut self) {
        self.more = true;
        self.woken.notify_one();
    }

    fn takes(&self, event: &Event) -> bool {
        let (sender, connection) = (event.sender, event.connection);
        self.filter.takes(&event.r#type, sender, connection)
    }
}

impl Ring {
    /// Begins at a place. Whoever asked before it was there is behind it now.
    fn restart(&mut self, at: Place) {
        self.events.clear();
        self.bytes = 0;
        (self.from, self.to) = (at, at);
        self.seats.values_mut().for_each(Seat::wake);
    }

    fn push(&mut self, events: Events, to: Place) {
        let to = self.to.max(to);
        for seat in self.seats.values_mut() {
            // One that has not come so far looks by itself.
            if seat.place < self.to {
                continue;
            }
            match events.iter().any(|event| seat.takes(event)) {
                true => seat.wake(),
                false => seat.place = seat.place.max(to),
            }
        }
        self.to = to;
        for event in events {
            self.bytes += event.json.len();
            self.events.push_back(event);
        }
        while self.events.len() > MOST_EVENTS || self.bytes > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.json.len();
            self.from = oldest.place;
        }
    }

    /// The first of what matches behind a reader's place, which moves up to where that is all.
    /// `None`: what comes next is not here.
    fn read(&mut self, seat: u64, most: usize) -> Option<Events> {
        let seat = self.seats.get_mut(&seat)?;
        seat.more = false;
        if seat.place < self.from {
            return None;
        }
        let begin = self
            .events
            .partition_point(|event| event.place <= seat.place);
        let mut found = Vec::new();
        for event in self.events.range(begin..) {
            if seat.takes(event) {
                found.push(Arc::clone(event));
                if found.len() >= most {
                    seat.place = event.place;
                    seat.more = true;
                    return Some(found);
                }
            }
        }
        seat.place = seat.place.max(self.to);
        Some(found)
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
            wanted: Notify::new(),
            catching_up: Semaphore::new(CATCHING_UP),
        }))
    }

    /// A reader of what matches behind a place.
    pub fn read_from(&self, place: Place, filter: Filter) -> Reader {
        let (filter, woken) = (Arc::new(filter), Arc::<Notify>::default());
        let seat = {
            let mut ring = self.ring();
            ring.last_seat += 1;
            let seat = ring.last_seat;
            let taken = Seat {
                filter: Arc::clone(&filter),
                place,
                more: true,
                woken: Arc::clone(&woken),
            };
            ring.seats.insert(seat, taken);
            seat
        };
        self.0.wanted.notify_one();
        Reader {
            forgotten: self.ring().forgotten,
            tail: self.clone(),
            seat,
            filter,
            woken,
        }
    }

    /// The event as it is shown.
    pub fn show(&self, fact: Fact) -> Event {
        (self.0.show)(fact)
    }

    /// Keeps nothing of what it has: what is read again is without whoever has been erased.
    pub fn forget(&self) {
        let mut ring = self.ring();
        let to = ring.to;
        ring.restart(to);
        ring.forgotten += 1;
    }

    /// Whenever somebody is erased.
    async fn forget_erased(&self) {
        let mut erased = self.0.store.erased();
        while erased.changed().await.is_ok() {
            self.forget();
            tokio::time::sleep(ERASING).await;
            self.forget();
        }
        std::future::pending().await
    }

    /// Follows the feed until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let follow = async {
            loop {
                while !self.is_read() {
                    // What is in memory is too old for who comes next.
                    self.ring().restart(Place::default());
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
            () = self.forget_erased() => {}
        }
    }

    fn is_read(&self) -> bool {
        !self.ring().seats.is_empty()
    }

    /// While somebody reads.
    async fn follow(&self) -> Result<(), StoreError> {
        let mut changes = self.0.signals.changes();
        let mut to = self.beginning().await?;
        // After an error it goes on where it was.
        {
            let mut ring = self.ring();
            match ring.from == Place::default() {
                true => ring.restart(to),
                false => to = ring.to,
            }
        }
        while self.is_read() {
            changes.mark_unchanged();
            let forgotten = self.ring().forgotten;
            let Read {
                facts,
                next,
                at_end,
            } = self.0.store.feed(&FeedFilter::default(), to, PAGE).await?;
            let events = facts.into_iter().map(self.0.show).map(Arc::new).collect();
            {
                let mut ring = self.ring();
                if ring.forgotten != forgotten {
                    continue;
                }
                ring.push(events, next);
            }
            to = next;
            if at_end {
                tokio::time::sleep(GAP).await;
                let _ = tokio::time::timeout(PERIOD, changes.changed()).await;
            }
        }
        Ok(())
    }

    /// Where to begin: where its readers are, if that is not long ago, so that after a restart
    /// what all of them missed is read once.
    async fn beginning(&self) -> Result<Place, StoreError> {
        let store = &self.0.store;
        let recent = store.place_before(store.clock().now() - RECENT).await?;
        let recent = recent.max(store.feed_begin().await?);
        let end = store.feed_end().await?;
        let ring = self.ring();
        let oldest = ring.seats.values().map(|seat| seat.place).min();
        Ok(oldest.unwrap_or(end).clamp(recent.min(end), end))
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
    ) -> Result<(Events, Place), NotRead> {
        let _turn = self.0.catching_up.acquire().await;
        let everything = FeedFilter::default();
        let Read { facts, next, .. } = self.0.store.feed(&everything, after, BEHIND).await?;
        // Asked last: where it begins is committed before anything is forgotten.
        let begin = self.0.store.feed_begin().await?;
        if after < begin {
            return Err(NotRead::Forgotten(begin));
        }
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
    seat: u64,
    filter: Arc<Filter>,
    woken: Arc<Notify>,
    forgotten: u64,
}

impl Reader {
    /// Reads again what its owner has in hand, where somebody was erased since it was read. Returns
    /// the places of what is there no more.
    pub async fn refresh(
        &mut self,
        in_hand: &mut VecDeque<Arc<Event>>,
    ) -> Result<Vec<Place>, StoreError> {
        let forgotten = self.tail.ring().forgotten;
        if forgotten == self.forgotten {
            return Ok(Vec::new());
        }
        let places: Vec<_> = in_hand.iter().map(|event| event.place).collect();
        let facts = self.tail.0.store.facts_at(&places).await?;
        let events = facts.into_iter().map(|fact| self.tail.show(fact));
        let mut fresh: HashMap<_, _> = events.map(|event| (event.place, event)).collect();
        // In the order that it had.
        let there = places.iter().filter_map(|place| fresh.remove(place));
        *in_hand = there.map(Arc::new).collect();
        self.forgotten = forgotten;
        let is_gone = |place: &Place| !in_hand.iter().any(|event| event.place == *place);
        Ok(places.into_iter().filter(is_gone).collect())
    }

    /// Everything up to here has been given to it, or did not match.
    pub fn place(&self) -> Place {
        let ring = self.tail.ring();
        let seat = ring.seats.get(&self.seat);
        seat.map_or(Place::default(), |seat| seat.place)
    }

    /// What comes next, at most so much: nothing, where it is at the end; or where what it read
    /// did not match, and it is to ask again ([`Reader::has_more`]).
    pub async fn next(&mut self, most: usize) -> Result<Events, NotRead> {
        let here = self.tail.ring().read(self.seat, most);
        if let Some(events) = here {
            return Ok(events);
        }
        let read = self.tail.catch_up(self.place(), &self.filter, most).await;
        // The next look tells whether that was all.
        self.with_seat(|seat| seat.more = true);
        let (events, place) = read?;
        self.with_seat(|seat| seat.place = place);
        Ok(events)
    }

    fn with_seat(&self, change: impl FnOnce(&mut Seat)) {
        if let Some(seat) = self.tail.ring().seats.get_mut(&self.seat) {
            change(seat);
        }
    }

    /// Has it read on from another place: one that it has passed, or where the feed begins.
    pub fn go_to(&mut self, place: Place) {
        self.with_seat(|seat| (seat.place, seat.more) = (place, true));
    }

    /// Has it read something else from now on.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter = Arc::new(filter);
        self.with_seat(|seat| (seat.filter, seat.more) = (Arc::clone(&self.filter), true));
    }

    /// What it reads.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether there may be more now.
    pub fn has_more(&self) -> bool {
        let ring = self.tail.ring();
        ring.seats.get(&self.seat).is_some_and(|seat| seat.more)
    }

    /// Waits until there may be more.
    pub async fn grown(&self) {
        while !self.has_more() {
            self.woken.notified().await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tail.ring().seats.remove(&self.seat);
    }
}
