//! A courier: posts the events of one subscription, in their order within each subject and beside
//! each other otherwise. An event that is not taken goes into `undelivered`, with a time for its
//! next attempt, and what comes of its subject later goes behind it; all else goes on. So nothing
//! is written for an event before it is posted, and nothing at all but the log and the cursor for
//! one that is taken.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::post::{Failure, Outcome};
use super::recorder::Recorder;
use super::waiting::Waiting;
use super::window::Window;
use super::{Forwarding, Standing};
use crate::clock;
use crate::feed::{Event, Events, Filter, NotRead, Reader, Subject, TypePattern};
use crate::model::Timestamp;
use crate::store::StoreError;
use crate::store::deliveries::{Attempted, Record, Undelivered};
use crate::store::feed::Place;
use crate::store::subscription_leases::SubscriptionLease;
use crate::store::subscriptions::Subscription;

/// Events that were read and have not been posted. The rest of the feed is in nobody's memory.
const IN_HAND: usize = 64;

/// How often a cursor is moved that passes nothing but what does not match.
const IDLE_CURSOR: Duration = Duration::from_secs(10);

/// What waits is read so many rows at a time: replays may be many.
const WAITING_PAGE: i64 = 1_000;

/// The wait after the database failed.
const FAILED: Duration = Duration::from_secs(1);

/// What could go, and may not just now, is looked at again so soon.
const CROWDED: Duration = Duration::from_millis(20);

/// How long posts under way may take when the subscription is given back. What has not ended then
/// is delivered again.
const GRACE: Duration = Duration::from_secs(2);

/// Runs until it is stopped, or the subscription is disabled or gone; then gives the lease back.
pub(super) async fn run(
    forwarding: Forwarding,
    recorder: Recorder,
    lease: SubscriptionLease,
    standing: watch::Receiver<Standing>,
    stop: CancellationToken,
) {
    let prepared = tokio::select! {
        prepared = Courier::prepare(forwarding, recorder, lease, standing) => prepared,
        () = stop.cancelled() => return,
    };
    match prepared {
        Ok(Some(courier)) => courier.run(stop).await,
        Ok(None) => {}
        // Its lease ends by itself, so that one that cannot be read keeps nobody busy.
        Err(error) => tracing::warn!(%error, "a subscription could not be read"),
    }
}

struct Courier {
    forwarding: Forwarding,
    recorder: Recorder,
    standing: watch::Receiver<Standing>,
    subscription: Arc<Subscription>,
    lease: SubscriptionLease,
    reader: Reader,
    window: Window,
    /// Read, and not posted yet.
    in_hand: VecDeque<Arc<Event>>,
    waiting: Waiting,
    /// Whether the table has more of what waits.
    more_waiting: bool,
    /// Subjects of which an event is on its way.
    busy: HashSet<Subject>,
    posts: JoinSet<Posted>,
    /// Of them those that were tried before.
    again: usize,
    health: Health,
    /// What is to be recorded.
    pending: Record,
    recorded: (Place, std::time::Instant),
    /// Whether it is disabled or gone.
    over: bool,
}

/// What is posted.
enum Work {
    New(Arc<Event>),
    Again(Undelivered),
}

/// What came of it.
struct Posted {
    work: Work,
    subject: Subject,
    result: Result<Option<(Arc<Event>, Outcome)>, StoreError>,
}

impl Courier {
    async fn prepare(
        forwarding: Forwarding,
        recorder: Recorder,
        lease: SubscriptionLease,
        standing: watch::Receiver<Standing>,
    ) -> Result<Option<Self>, StoreError> {
        let found = forwarding.store.subscription(lease.subscription).await?;
        let Some(subscription) = found else {
            return Ok(None);
        };
        let now = forwarding.store.clock().monotonic();
        let mut courier = Self {
            reader: forwarding
                .tail
                .read_from(lease.cursor, filter(&subscription)),
            window: Window::new(lease.cursor),
            in_hand: VecDeque::new(),
            waiting: Waiting::default(),
            more_waiting: false,
            busy: HashSet::new(),
            posts: JoinSet::new(),
            again: 0,
            health: Health::new(forwarding.settings.in_flight, subscription.failing_since),
            pending: empty(&lease),
            recorded: (lease.cursor, now),
            over: subscription.status != "active",
            subscription: Arc::new(subscription),
            forwarding,
            recorder,
            standing,
            lease,
        };
        courier.read_waiting().await?;
        Ok(Some(courier))
    }

    async fn run(mut self, stop: CancellationToken) {
        while !self.over && !stop.is_cancelled() {
            if let Err(error) = self.turn().await {
                tracing::warn!(%error, "a subscription waits for the database");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(FAILED) => continue,
                }
            }
            self.record(false).await;
            let wait = self.wait();
            let reads = self.wants_more();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(posted) = self.posts.join_next() => self.ended(posted).await,
                () = self.reader.grown(), if reads => {}
                _ = self.standing.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
            while let Some(posted) = self.posts.try_join_next() {
                self.ended(posted).await;
            }
        }
        self.finish().await;
    }

    /// Reads what there is and posts what may go.
    async fn turn(&mut self) -> Result<(), StoreError> {
        let version = self.standing.borrow_and_update().version;
        if version != self.lease.version || self.rows_left() {
            // The table is to be as the memory is: nothing new, until all has ended.
            if !self.posts.is_empty() {
                return Ok(());
            }
            self.read_again(version).await?;
        }
        self.put_down();
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
        self.reader.set_filter(filter(&subscription));
        if subscription.wanted.url != self.subscription.wanted.url {
            self.health = Health::new(self.forwarding.settings.in_flight, None);
        }
        self.subscription = Arc::new(subscription);
        self.read_waiting().await?;
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

    async fn read_waiting(&mut self) -> Result<(), StoreError> {
        let store = &self.forwarding.store;
        let rows = store.waiting_deliveries(self.lease.subscription, WAITING_PAGE);
        let rows = rows.await?;
        self.more_waiting = i64::try_from(rows.len()).is_ok_and(|read| read == WAITING_PAGE);
        self.waiting = Waiting::default();
        rows.into_iter().for_each(|row| self.waiting.put(row));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.waiting.live() >= self.forwarding.settings.waiting
    }

    /// How many more events may be in hand.
    fn room(&self) -> usize {
        let most = if self.health.is_down() { 1 } else { IN_HAND };
        most.saturating_sub(self.in_hand.len())
    }

    fn wants_more(&self) -> bool {
        // While the rest of the table is waited for nothing is read, or this would go round and
        // round and never let the post end that it waits for.
        let is_free = !self.is_full() && !self.rows_left();
        self.room() > 0 && is_free && self.standing_is_current()
    }

    /// Whether the table has more of what waits, and all that was read of it has ended.
    fn rows_left(&self) -> bool {
        self.more_waiting && self.waiting.len() == 0
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
                false => match Arc::clone(&self.forwarding.more).try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => return,
                },
            };
            let Some(work) = self.pick(clock.now(), clock.monotonic()) else {
                return;
            };
            self.post(work, more);
        }
    }

    /// How many events may be on their way. One that was refused before, and may be again, keeps
    /// no other from going.
    fn allowed(&self, now: std::time::Instant) -> usize {
        let allowed = self.health.allowed(now);
        allowed + allowed.min(usize::from(self.again > 0))
    }

    /// What goes next: what waited and is due, else the next event whose subject nothing waits of.
    fn pick(&mut self, now: Timestamp, instant: std::time::Instant) -> Option<Work> {
        if let Some(due) = self.waiting.take_due(now, false) {
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
        let due = probes.then(|| self.waiting.take_due(now, true));
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
        self.posts.spawn(async move {
            let _more = more;
            let _probe = match is_down {
                true => forwarding.probes.acquire().await.ok(),
                false => None,
            };
            let result = post(&forwarding, &subscription, &work).await;
            Posted {
                work,
                subject,
                result,
            }
        });
    }

    async fn ended(&mut self, posted: Result<Posted, tokio::task::JoinError>) {
        let Posted {
            work,
            subject,
            result,
        } = match posted {
            Ok(posted) => posted,
            // What it had in hand is known to nobody now; from the cursor it comes again.
            Err(error) => {
                tracing::error!(%error, "a delivery broke down");
                self.over = true;
                return;
            }
        };
        self.busy.remove(&subject);
        self.again -= usize::from(matches!(work, Work::Again(_)));
        match (result, work) {
            (Ok(Some((event, outcome))), work) => self.settle(&event, &outcome, work).await,
            // Nobody can show it any more.
            (Ok(None), Work::Again(row)) => {
                self.waiting.remove(row.place);
                self.pending.undelivered.push(Undelivered {
                    dead: true,
                    next_at: None,
                    error: Some("the event is not there any more".to_owned()),
                    ..row
                });
            }
            (Err(error), Work::Again(row)) => {
                tracing::warn!(%error, "an event could not be read");
                let next_at = self.forwarding.store.clock().now() + FAILED;
                self.waiting.put(Undelivered {
                    next_at: Some(next_at),
                    ..row
                });
            }
            (Ok(None) | Err(_), Work::New(_)) => self.over = true,
        }
    }

    async fn settle(&mut self, event: &Event, outcome: &Outcome, work: Work) {
        let (is_new, before) = match &work {
            Work::New(_) => (true, 0),
            Work::Again(row) => (row.attempts == 0, row.attempts),
        };
        self.log(event, outcome, before.saturating_add(1));
        let Some(failure) = &outcome.failure else {
            return self.taken(event, &work);
        };
        let clock = self.forwarding.store.clock().clone();
        let now = clock.now();
        if self.health.failing_since.is_none() {
            self.pending.failing_since = Some(Some(now));
        }
        let pause = outcome.retry_after;
        self.health.failed(is_new, clock.monotonic(), now, pause);
        let mut row = match work {
            Work::New(_) => row(event),
            Work::Again(row) => row,
        };
        row.attempts = before.saturating_add(1);
        row.failed_at = Some(now);
        row.status = outcome.status.and_then(|s| i16::try_from(s.as_u16()).ok());
        row.error = Some(failure.to_string());
        self.put_off(row, now, pause);
        self.window.end(event.place);
        self.give_up(failure, now).await;
    }

    fn taken(&mut self, event: &Event, work: &Work) {
        if self.health.failing_since.is_some() {
            self.pending.failing_since = Some(None);
        }
        if self.health.took() {
            self.waiting.hurry();
        }
        match work {
            Work::New(_) => self.window.end(event.place),
            Work::Again(row) => {
                self.waiting.remove(row.place);
                self.pending.settled.push(row.place);
                // A row that was put off before, in the same record, is settled by it.
                let place = row.place;
                self.pending.undelivered.retain(|row| row.place != place);
            }
        }
    }

    /// Gives an event its next time, or gives it up, where the schedule is over and the endpoint
    /// takes others.
    fn put_off(&mut self, row: Undelivered, now: Timestamp, pause: Option<Duration>) {
        let schedule = &self.forwarding.settings.retry;
        let tried = usize::try_from(row.attempts).unwrap_or(usize::MAX);
        let wait = schedule.get(tried.saturating_sub(1));
        let row = match wait.or(schedule.last().filter(|_| self.health.is_down())) {
            Some(wait) => {
                let next_at = now + jittered(*wait).max(pause.unwrap_or_default());
                let row = Undelivered {
                    next_at: Some(next_at),
                    ..row
                };
                self.waiting.put(row.clone());
                row
            }
            None => {
                self.waiting.remove(row.place);
                if self.waiting.len() == 0 && !self.more_waiting {
                    // Nothing is tried any more: how long it has failed is not known.
                    self.health.failing_since = None;
                    self.pending.failing_since = Some(None);
                }
                Undelivered {
                    dead: true,
                    next_at: None,
                    ..row
                }
            }
        };
        self.pending.settled.retain(|place| *place != row.place);
        self.pending.undelivered.push(row);
    }

    /// Disables an endpoint that wants no events, or has taken none for too long.
    async fn give_up(&mut self, failure: &Failure, now: Timestamp) {
        let after = self.forwarding.settings.disable_after;
        let since = self.health.failing_since.unwrap_or(now);
        let reason = match failure {
            Failure::Gone => failure.to_string(),
            _ if now - since >= after => format!("took nothing for too long; last it {failure}"),
            _ => return,
        };
        // It counts when all is recorded, since it ends this courier.
        let id = self.lease.subscription;
        match self
            .forwarding
            .store
            .disable_subscription(id, &reason)
            .await
        {
            Ok(()) => {
                tracing::warn!(subscription = %id, reason, "a subscription was disabled");
                self.over = true;
            }
            Err(error) => tracing::warn!(%error, "a subscription could not be disabled yet"),
        }
    }

    fn log(&mut self, event: &Event, outcome: &Outcome, attempt: i16) {
        let word = outcome.failure.as_ref().map_or("taken", Failure::word);
        metrics::counter!("twotick_deliveries_total", "outcome" => word).increment(1);
        let clock = self.forwarding.store.clock();
        if outcome.failure.is_none() && attempt == 1 {
            let took = clock.now() - event.received_at;
            metrics::histogram!("twotick_delivery_seconds").record(took.as_seconds_f64().max(0.0));
        }
        let answer = outcome.failure.is_some().then(|| outcome.answer.clone());
        self.pending.attempts.push(Attempted {
            id: clock.new_id(),
            at: clock.now(),
            place: event.place,
            stream: event.stream,
            r#type: event.r#type.clone(),
            attempt,
            status: outcome
                .status
                .and_then(|status| i16::try_from(status.as_u16()).ok()),
            latency_ms: i32::try_from(outcome.latency.as_millis()).unwrap_or(i32::MAX),
            error: outcome.failure.as_ref().map(Failure::to_string),
            answer: answer.filter(|answer| !answer.is_empty()),
        });
    }

    /// Hands over what came of deliveries, and how far they have come.
    async fn record(&mut self, release: bool) {
        let now = self.forwarding.store.clock().monotonic();
        let cursor = self.window.cursor(self.reader.place());
        let pending = &self.pending;
        let changed = !pending.attempts.is_empty()
            || !pending.undelivered.is_empty()
            || !pending.settled.is_empty()
            || pending.failing_since.is_some();
        let (recorded, at) = self.recorded;
        let idle = cursor != recorded && now.duration_since(at) >= IDLE_CURSOR;
        if !(changed || idle || release) {
            return;
        }
        let pending = std::mem::replace(&mut self.pending, empty(&self.lease));
        let record = Record {
            cursor,
            release,
            ..pending
        };
        self.recorded = (cursor, now);
        self.recorder.record(record).await;
    }

    /// How long nothing happens by itself.
    fn wait(&self) -> Duration {
        let clock = self.forwarding.store.clock();
        if self.reader.has_more() && self.wants_more() {
            return Duration::ZERO;
        }
        let due = self.waiting.next_at().map(|at| match at {
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

    /// Lets posts end that end soon, and gives the subscription back.
    async fn finish(mut self) {
        let ends = async {
            while let Some(posted) = self.posts.join_next().await {
                self.ended(posted).await;
            }
        };
        let _ = tokio::time::timeout(GRACE, ends).await;
        self.posts.shutdown().await;
        self.record(true).await;
    }
}

async fn post(
    forwarding: &Forwarding,
    subscription: &Subscription,
    work: &Work,
) -> Result<Option<(Arc<Event>, Outcome)>, StoreError> {
    let event = match work {
        Work::New(event) => Arc::clone(event),
        Work::Again(row) => {
            let found = forwarding.store.facts_at(&[row.place]).await?.pop();
            let Some(fact) = found else {
                return Ok(None);
            };
            Arc::new(forwarding.tail.show(fact))
        }
    };
    let outcome = forwarding.poster.post_event(subscription, &event).await;
    Ok(Some((event, outcome)))
}

fn filter(subscription: &Subscription) -> Filter {
    let wanted = &subscription.wanted;
    let types = wanted.types.iter();
    Filter {
        types: types
            .filter_map(|text| TypePattern::parse(text).ok())
            .collect(),
        senders: wanted.senders.clone(),
        connections: wanted.connections.clone(),
    }
}

fn empty(lease: &SubscriptionLease) -> Record {
    Record {
        subscription: lease.subscription,
        epoch: lease.epoch,
        cursor: lease.cursor,
        attempts: Vec::new(),
        undelivered: Vec::new(),
        settled: Vec::new(),
        failing_since: None,
        release: false,
    }
}

/// An event that has not been tried.
fn row(event: &Event) -> Undelivered {
    Undelivered {
        place: event.place,
        stream: event.stream,
        subject: event.about.id,
        r#type: event.r#type.clone(),
        dead: false,
        replay: false,
        attempts: 0,
        next_at: None,
        failed_at: None,
        status: None,
        error: None,
    }
}

/// A fifth longer at most, so that what failed together is not tried together for ever.
fn jittered(wait: Duration) -> Duration {
    let [random] = clock::random::<1>();
    wait + wait / 5 * u32::from(random) / 255
}
