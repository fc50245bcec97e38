//! A courier: posts the events of one subscription, in their order within each subject and beside
//! each other otherwise. An event that is not taken goes into `undelivered`, with a time for its
//! next attempt, and what comes of its subject later goes behind it; all else goes on. So nothing
//! is written for an event before it is posted, and nothing at all but the log and the cursor for
//! one that is taken. `next.rs` has what is posted next, `ended.rs` what came of it.

mod ended;
mod next;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::post::Outcome;
use super::recorder::Recorder;
use super::waiting::Waiting;
use super::window::Window;
use super::{Forwarding, Standing};
use crate::feed::{Event, Filter, Reader, Subject};
use crate::store::StoreError;
use crate::store::deliveries::{Record, Undelivered};
use crate::store::feed::Place;
use crate::store::subscription_leases::SubscriptionLease;
use crate::store::subscriptions::Subscription;

/// How often a cursor is moved that passes nothing but what does not match.
const IDLE_CURSOR: Duration = Duration::from_secs(10);

/// The wait after the database failed.
const FAILED: Duration = Duration::from_secs(1);

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
    /// That the database refuses what this is to record: whoever is next goes on from the cursor.
    refused: CancellationToken,
    /// Whether it is disabled or gone.
    over: bool,
}

/// What is posted.
enum Work {
    New(Arc<Event>),
    Again(Undelivered),
}

/// What was posted, and what came of it.
struct Posted {
    work: Work,
    subject: Subject,
    came: Came,
}

/// What came of it.
enum Came {
    /// It was posted.
    Answered(Arc<Event>, Outcome),
    /// The event is not there any more.
    Gone,
    /// It could not be read.
    NotRead(StoreError),
    /// Its subscription was another's by then, for all that is known.
    NotOurs,
}

impl Posted {
    fn of(work: Work, subject: Subject, came: Came) -> Self {
        Self {
            work,
            subject,
            came,
        }
    }
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
                .read_from(lease.cursor, Filter::of(&subscription)),
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
            refused: CancellationToken::new(),
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
        while !self.over && !stop.is_cancelled() && !self.refused.is_cancelled() {
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
                () = self.refused.cancelled() => break,
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
