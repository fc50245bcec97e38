//! What a courier posts next: it reads the feed as far as it has room, and what waits as far as memory
//! goes, and posts what may go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::{Came, Courier, IDLE_CURSOR, Posted, Work, row};
use crate::feed::{Event, Events, Filter, NotRead, Subject};
use crate::forward::Forwarding;
use crate::forward::health::Health;
use crate::forward::waiting::Waiting;
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::deliveries::Undelivered;
use crate::store::feed::Place;

/// Events that were read and have not been posted. The rest of the feed is in nobody's memory.
const IN_HAND: usize = 64;

/// What waits is read so many rows at a time, and so many at most: replays may be many.
const WAITING_PAGE: usize = 1_000;
const MOST_WAITING: usize = 10_000;

/// What could go, and may not just now, is looked at again so soon.
const CROWDED: Duration = Duration::from_millis(20);

impl Courier {
    /// Reads what there is and posts what may go.
    pub(super) async fn turn(&mut self) -> Result<(), StoreError> {
        let version = self.standing.borrow_and_update().version;
        if version != self.lease.version || self.rows_left() {
            // The table is to be as the memory is: nothing new, until all has ended.
            if !self.posts.is_empty() {
                return Ok(());
            }
            self.read_again(version).await?;
        }
        for gone in self.reader.refresh(&mut self.in_hand).await? {
            self.window.end(gone);
        }
        self.put_down();
        self.make_room();
        if self.wants_more() {
            let room = self.room();
            match self.reader.next(room).await {
                Ok(events) => self.take(events),
                Err(NotRead::Forgotten(begin)) => self.skip_to(begin).await?,
                Err(NotRead::Store(error)) => return Err(error),
            }
        }
        self.post_all();
        Ok(())
    }

    fn take(&mut self, events: Events) {
        for event in events {
            self.window.open(event.place);
            self.in_hand.push_back(event);
        }
    }

    /// It was told of nothing for longer than events are kept: it says so, and goes on where the feed
    /// begins.
    async fn skip_to(&mut self, begin: Place) -> Result<(), StoreError> {
        let id = self.lease.subscription;
        tracing::warn!(subscription = %id, "events were forgotten before it was told of them");
        self.forwarding.store.say_events_gone(id, begin).await?;
        self.reader.go_to(begin);
        Ok(())
    }

    /// Reads the subscription and what waits again.
    async fn read_again(&mut self, version: i64) -> Result<(), StoreError> {
        self.record(false).await;
        self.recorder.flush().await;
        let store = &self.forwarding.store;
        let found = store.subscription(self.lease.subscription).await?;
        let Some(subscription) = found.filter(|found| found.status == "active") else {
            self.over = true;
            return Ok(());
        };
        self.reader.set_filter(Filter::of(&subscription));
        let moved = subscription.wanted.url != self.subscription.wanted.url;
        self.subscription = Arc::new(subscription);
        self.read_waiting().await?;
        if moved {
            // What the old endpoint did says nothing of this one; some of it was recorded after the
            // change.
            self.health = Health::new(self.forwarding.settings.in_flight, None);
            self.pending.failing_since = Some(None);
            self.waiting.hurry();
        }
        self.lease.version = version;
        let (filter, window) = (self.reader.filter(), &mut self.window);
        self.in_hand.retain(|event| {
            let takes = filter.takes(&event.r#type, event.sender, event.connection);
            if !takes {
                window.end(event.place);
            }
            takes
        });
        Ok(())
    }

    pub(super) async fn read_waiting(&mut self) -> Result<(), StoreError> {
        let most = (self.waiting.len() + WAITING_PAGE).min(MOST_WAITING);
        let store = &self.forwarding.store;
        let limit = i64::try_from(most).unwrap_or(i64::MAX);
        let rows = store.waiting_deliveries(self.lease.subscription, limit);
        let rows = rows.await?;
        self.more_waiting = rows.len() == most;
        self.waiting = Waiting::default();
        rows.into_iter().for_each(|row| self.waiting.put(row));
        Ok(())
    }

    /// What is refused again and again keeps its subject back, and nothing else: where as much waits as
    /// may, nothing of it is due, and the endpoint takes other events, the oldest are given up.
    fn make_room(&mut self) {
        let now = self.forwarding.store.clock().now();
        while self.is_full() && !self.health.is_down() && !self.more_waiting {
            let next = self.waiting.next_at(&self.busy);
            let is_due = next.flatten().is_none_or(|at| at <= now);
            let Some(row) = self.waiting.oldest_refused(&self.busy).filter(|_| !is_due) else {
                return;
            };
            let said = row.error.as_deref().unwrap_or_default();
            let error = format!("{said}; given up, because too many wait");
            self.pending.undelivered.push(Undelivered {
                dead: true,
                next_at: None,
                error: Some(error),
                ..row.clone()
            });
            self.waiting.remove(row.place);
        }
    }

    /// Whether no more may wait. An endpoint that is down may refuse what it was asked with, and nothing
    /// else: now and then it is asked with a new event though as many wait as may.
    fn is_full(&self) -> bool {
        let live = self.waiting.live();
        let asks_with_new = self.health.is_down() && self.health.asks_with_new();
        live >= MOST_WAITING || live >= self.forwarding.settings.waiting && !asks_with_new
    }

    /// How many more events may be in hand.
    fn room(&self) -> usize {
        let most = if self.health.is_down() { 1 } else { IN_HAND };
        most.saturating_sub(self.in_hand.len())
    }

    pub(super) fn wants_more(&self) -> bool {
        // While the rest of the table is waited for nothing is read, or this would go round and
        // round and never let the post end that it waits for.
        let is_free = !self.is_full() && !self.rows_left();
        self.room() > 0 && is_free && self.standing_is_current()
    }

    /// Whether the table has more of what waits, and of what was read of it nothing may go now: what
    /// is refused again and again keeps nothing else from being read.
    fn rows_left(&self) -> bool {
        if !self.more_waiting || self.waiting.len() == 0 {
            return self.more_waiting;
        }
        let now = self.forwarding.store.clock().now();
        let next = self.waiting.next_at(&self.busy);
        let later = next.is_none_or(|at| at.is_some_and(|at| at > now));
        later && !self.health.is_down() && self.waiting.len() < MOST_WAITING
    }

    /// An endpoint that takes nothing must not take memory: what is in hand is read again when it
    /// takes something.
    fn put_down(&mut self) {
        let is_out = |event: &Arc<Event>| self.busy.contains(&event.about);
        if self.health.is_down() && self.posts.is_empty() && self.in_hand.len() > 1 {
            debug_assert!(!self.in_hand.iter().any(is_out));
            let first = self.in_hand.front().map(|event| event.place);
            self.in_hand.clear();
            // What was opened before and has not ended is what is in hand: nothing is on its way.
            let cursor = self.window.close();
            debug_assert!(first.is_none_or(|first| cursor < first));
            self.reader.go_to(cursor);
        }
    }

    fn standing_is_current(&self) -> bool {
        self.standing.borrow().version == self.lease.version
    }

    fn post_all(&mut self) {
        let clock = self.forwarding.store.clock().clone();
        let standing = *self.standing.borrow();
        if standing.version != self.lease.version || clock.monotonic() >= standing.valid_until {
            return;
        }
        while self.posts.len() < self.allowed(clock.monotonic()) {
            // The first of each endpoint waits for no other.
            let more = match self.posts.is_empty() {
                true => None,
                false => match self.another() {
                    Some(permit) => Some(permit),
                    None => return,
                },
            };
            let Some(work) = self.pick(clock.now(), clock.monotonic()) else {
                return;
            };
            self.post(work, more);
        }
    }

    /// A place beside the first, of those that all endpoints share: as long as there are more free
    /// ones than this has, so that those that answer slowly do not take them all.
    fn another(&self) -> Option<OwnedSemaphorePermit> {
        let places = &self.forwarding.more;
        let own = self.posts.len() - 1;
        let is_fair = own < places.available_permits();
        is_fair.then(|| Arc::clone(places).try_acquire_owned().ok())?
    }

    /// How many events may be on their way. One that was refused before, and may be again, keeps
    /// no other from going; but an endpoint that is down is asked with one, which may wait for its
    /// turn among those that are.
    fn allowed(&self, now: Instant) -> usize {
        let allowed = self.health.allowed(now);
        match self.health.is_down() {
            true => allowed,
            false => allowed + allowed.min(usize::from(self.again > 0)),
        }
    }

    /// What goes next: what waited and is due, else the next event whose subject nothing waits of.
    fn pick(&mut self, now: Timestamp, instant: Instant) -> Option<Work> {
        // However many are due again, what is new has half the places.
        if self.again < self.health.allowed(instant)
            && let Some(due) = self.waiting.take_due(now, false, &self.busy)
        {
            return Some(Work::Again(due));
        }
        if !self.health.takes_new(instant) {
            return None;
        }
        let mut at = 0;
        while let Some(event) = self.in_hand.get(at) {
            if self.is_full() {
                break;
            }
            if self.waiting.blocks(event.about) {
                let event = self.in_hand.remove(at)?;
                self.put_behind(&event);
            } else if self.busy.contains(&event.about) {
                at += 1;
            } else {
                return self.in_hand.remove(at).map(Work::New);
            }
        }
        // One that takes nothing is asked with what it has refused, where nothing else may go.
        let probes = self.health.is_down() && self.posts.is_empty();
        let due = probes.then(|| self.waiting.take_due(now, true, &self.busy));
        due.flatten().map(Work::Again)
    }

    fn put_behind(&mut self, event: &Event) {
        // Read from the feed again, by who owns this since: it waits already, as often refused as
        // it was.
        if self.waiting.has(event.place) {
            self.window.end(event.place);
            return;
        }
        let row = row(event);
        self.pending.undelivered.push(row.clone());
        self.waiting.put(row);
        self.window.end(event.place);
    }

    fn post(&mut self, work: Work, more: Option<OwnedSemaphorePermit>) {
        let subject = match &work {
            Work::New(event) => event.about,
            Work::Again(row) => Subject::of(row.stream, row.subject, row.place.event()),
        };
        self.busy.insert(subject);
        self.again += usize::from(matches!(work, Work::Again(_)));
        let forwarding = self.forwarding.clone();
        let subscription = Arc::clone(&self.subscription);
        let is_down = self.health.is_down();
        let standing = self.standing.clone();
        self.posts.spawn(async move {
            let _more = more;
            let _probe = match is_down {
                true => forwarding.probes.acquire().await.ok(),
                false => None,
            };
            let event = match event(&forwarding, &work).await {
                Ok(Some(event)) => event,
                Ok(None) => return Posted::of(work, subject, Came::Gone),
                Err(error) => return Posted::of(work, subject, Came::NotRead(error)),
            };
            // Probes wait for their turn, and reading takes its time: what was ours may be another's.
            if forwarding.store.clock().monotonic() >= standing.borrow().valid_until {
                return Posted::of(work, subject, Came::NotOurs);
            }
            let outcome = forwarding.poster.post_event(&subscription, &event).await;
            Posted::of(work, subject, Came::Answered(event, outcome))
        });
    }

    /// How long nothing happens by itself.
    pub(super) fn wait(&self) -> Duration {
        let clock = self.forwarding.store.clock();
        if self.reader.has_more() && self.wants_more() {
            return Duration::ZERO;
        }
        let due = self.waiting.next_at(&self.busy).map(|at| match at {
            Some(at) => (at - clock.now()).try_into().unwrap_or_default(),
            None => Duration::ZERO,
        });
        let now = clock.monotonic();
        let next = self.health.next_at();
        let health = next.map(|at| at.saturating_duration_since(now));
        let free = self.posts.len() < self.allowed(now);
        // What is due waits for a post to end, which wakes by itself, or for another's.
        let due = due.filter(|_| free).map(|due| due.max(CROWDED));
        let health = health.filter(|wait| !wait.is_zero());
        let soonest = due.into_iter().chain(health).min();
        soonest.unwrap_or(IDLE_CURSOR).min(IDLE_CURSOR)
    }
}

/// What is posted; `None`: nobody can show it any more.
async fn event(forwarding: &Forwarding, work: &Work) -> Result<Option<Arc<Event>>, StoreError> {
    let row = match work {
        Work::New(event) => return Ok(Some(Arc::clone(event))),
        Work::Again(row) => row,
    };
    let fact = forwarding.store.facts_at(&[row.place]).await?.pop();
    Ok(fact.map(|fact| Arc::new(forwarding.tail.show(fact))))
}
