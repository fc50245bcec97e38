//! Events to internal services. Dramatis personae:
//!
//! * the **manager** (here) keeps the leases of this instance's share of the subscriptions, and a
//!   courier for each;
//! * a **courier** (`courier.rs`) follows the feed for one subscription, by the instance's tail, or
//!   from its own place in the database where it fell behind;
//! * a **post** (`post.rs`) is one attempt;
//! * the **recorder** (`recorder.rs`) writes cursors, what waits and the log for all of them;
//! * a **sink** (`sink.rs`) publishes the whole feed to NATS (`nats.rs`), where that is wanted.
//!
//! An event is delivered at least once, and those of one subject in their order: the cursor moves
//! behind what was delivered, so that who dies in between leaves it to be delivered again, under
//! the same `webhook-id`.

mod address;
mod courier;
mod health;
mod nats;
mod post;
mod recorder;
mod signature;
mod sink;
mod waiting;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::recorder::Recorder;
use crate::config;
use crate::feed::{Show, Tail};
use crate::model::ids::SubscriptionId;
use crate::signals::Signals;
use crate::store::subscription_leases::SubscriptionLease;
use crate::store::{Part, Store, StoreError};

pub use nats::NatsError;
pub use post::{Failure, Outcome, Poster};
pub use signature::new_secret;
pub use sink::Sink;

/// How many endpoints that are down are asked at once.
const PROBES: usize = 64;

/// An instance that has said nothing for so many of its leases gets no share.
const SILENT_AFTER: u32 = 2;

/// How long stopping may take, posts and records together: the database may be away.
const LAST: Duration = Duration::from_secs(4);

/// What all of forwarding shares.
#[derive(Debug, Clone)]
pub struct Forwarding {
    store: Store,
    settings: Arc<config::Forward>,
    /// The newest events.
    pub tail: Tail,
    /// What posts.
    pub poster: Poster,
    /// Posts beyond the first of each endpoint.
    more: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

impl Forwarding {
    /// Nothing runs yet.
    pub fn new(
        store: &Store,
        signals: Signals,
        settings: &config::Forward,
        show: Show,
    ) -> Result<Self, reqwest::Error> {
        let store = store.of(Part::Sending);
        Ok(Self {
            tail: Tail::new(store.clone(), signals, show),
            poster: Poster::new(settings, store.clock().clone())?,
            more: Arc::new(Semaphore::new(settings.in_flight_all)),
            probes: Arc::new(Semaphore::new(PROBES)),
            settings: Arc::new(settings.clone()),
            store,
        })
    }
}

/// A lease as it was last renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standing {
    version: i64,
    /// Until when it surely holds, by the monotonic clock: counted from before the request.
    valid_until: Instant,
}

/// A subscription that is ours, and its courier.
struct Owned {
    epoch: i64,
    courier: task::Id,
    standing: watch::Sender<Standing>,
    stop: CancellationToken,
}

/// Keeps leases and couriers until `shutdown`, then lets posts end that end soon, and gives the
/// subscriptions back. Dropping it drops all of forwarding at once, as a crash does.
pub async fn run(
    forwarding: Forwarding,
    instance: Uuid,
    alive: Duration,
    shutdown: CancellationToken,
) {
    let (recorder, recording) = Recorder::new(forwarding.store.clone());
    let mut recordings = JoinSet::new();
    recordings.spawn(recording);
    let period = forwarding.settings.lease / 6;
    let mut manager = Manager {
        instance,
        silent_after: alive * SILENT_AFTER,
        recorder,
        owned: HashMap::new(),
        couriers: JoinSet::new(),
        forwarding,
    };
    loop {
        if let Err(error) = manager.keep().await {
            tracing::warn!(%error, "the leases of subscriptions could not be kept");
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(period) => {}
        }
    }
    let ends = async {
        manager.stop().await;
        // The last who could record something has gone: it ends when all is written.
        while recordings.join_next().await.is_some() {}
    };
    // What cannot be recorded by then is delivered again.
    if tokio::time::timeout(LAST, ends).await.is_err() {
        tracing::warn!("what came of the last deliveries could not be recorded");
    }
}

struct Manager {
    forwarding: Forwarding,
    instance: Uuid,
    silent_after: Duration,
    recorder: Recorder,
    owned: HashMap<SubscriptionId, Owned>,
    couriers: JoinSet<()>,
}

impl Manager {
    async fn keep(&mut self) -> Result<(), StoreError> {
        while let Some(ended) = self.couriers.try_join_next_with_id() {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => {
                    tracing::error!(%error, "a courier broke down; its lease ends by itself");
                    error.id()
                }
            };
            self.owned.retain(|_, owned| owned.courier != id);
        }
        let store = self.forwarding.store.clone();
        let lease = self.forwarding.settings.lease;
        let asked_at = store.clock().monotonic();
        let ours: Vec<_> = self.owned.keys().copied().collect();
        let renewed = store
            .renew_subscriptions(self.instance, &ours, lease)
            .await?;
        self.renew(&renewed, asked_at, asked_at + lease);
        let silent_after = self.silent_after;
        let (share, free) = store
            .subscriptions_share(self.instance, silent_after)
            .await?;
        let missing = share - i64::try_from(self.owned.len()).unwrap_or(i64::MAX);
        if missing > 0 && free > 0 {
            let asked_at = store.clock().monotonic();
            let taken = store.acquire_subscriptions(self.instance, missing, lease);
            for taken in taken.await? {
                self.start(taken, asked_at + lease);
            }
        }
        // More than our share: others have come. What stops here is taken there.
        let surplus = usize::try_from(-missing).unwrap_or(0);
        for (_, owned) in self.owned.iter().take(surplus) {
            owned.stop.cancel();
        }
        metrics::gauge!("twotick_subscriptions_owned").set(self.owned.len() as f64);
        Ok(())
    }

    fn renew(&mut self, renewed: &[SubscriptionLease], asked_at: Instant, valid_until: Instant) {
        let renewed: HashMap<_, _> = renewed
            .iter()
            .map(|lease| ((lease.subscription, lease.epoch), lease.version))
            .collect();
        for (subscription, owned) in &self.owned {
            match renewed.get(&(*subscription, owned.epoch)) {
                Some(version) => {
                    let now = Standing {
                        version: *version,
                        valid_until,
                    };
                    // That it lasts longer is no reason to wake anybody.
                    owned.standing.send_if_modified(|standing| {
                        let before = std::mem::replace(standing, now);
                        before.version != now.version || before.valid_until < asked_at
                    });
                }
                // Lost, or deleted.
                None => owned.stop.cancel(),
            }
        }
    }

    fn start(&mut self, lease: SubscriptionLease, valid_until: Instant) {
        let (standing, renewed) = watch::channel(Standing {
            version: lease.version,
            valid_until,
        });
        let stop = CancellationToken::new();
        let forwarding = self.forwarding.clone();
        let recorder = self.recorder.clone();
        let run = courier::run(forwarding, recorder, lease, renewed, stop.clone());
        let owned = Owned {
            epoch: lease.epoch,
            courier: self.couriers.spawn(run).id(),
            standing,
            stop,
        };
        if let Some(before) = self.owned.insert(lease.subscription, owned) {
            before.stop.cancel();
        }
    }

    async fn stop(mut self) {
        for owned in self.owned.values() {
            owned.stop.cancel();
        }
        while self.couriers.join_next().await.is_some() {}
    }
}
