//! Sending. Dramatis personae:
//!
//! * the **manager** (here) keeps the leases of this instance's share of the senders, and a
//!   claimer for each;
//! * a **claimer** (`claimer.rs`) takes what may be posted now, within the sender's rate and the
//!   connection's slots, and decides gates on the way;
//! * a **post** (`post.rs`) is one attempt: it asks the provider and records what came of it;
//! * **bulk** (`bulk.rs`) joins posts of one claim to one request, where the provider takes several;
//! * the **recorder** (`recorder.rs`) writes what was accepted for all posts of the instance;
//! * the **keeper of campaigns** (`campaigns.rs`) makes their recipients into sequences, ends those
//!   of cancelled ones, and notices when all is done.
//!
//! All are reconcilers: woken by a signal and by a period, and right whenever they run.

pub(crate) mod answer;
pub mod ask;
mod bulk;
mod call;
mod campaigns;
mod claimer;
mod hints;
mod last_look;
mod post;
mod recorder;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::claimer::Claimer;
use self::recorder::Recorder;
use crate::clock::Clock;
use crate::config;
use crate::model::ids::{ConnectionId, SenderId};
use crate::signals::Signals;
use crate::store::leases::Lease;
use crate::store::{ConnectionCache, Part, Store, StoreError};

pub use campaigns::keep_campaigns;
pub use hints::{listen, send_hints};

/// How long after the end of another's lease it is looked whether its sender is free.
const PAST_END: Duration = Duration::from_millis(10);

/// What all of sending shares.
#[derive(Debug, Clone)]
pub struct Sending {
    /// Where everything is kept.
    pub store: Store,
    /// Where credentials come from.
    pub connections: ConnectionCache,
    /// Who wakes claimers.
    pub signals: Signals,
    /// `[send]`.
    pub settings: Arc<config::Send>,
    /// For the providers.
    pub client: reqwest::Client,
    /// Who we are, among the instances.
    pub instance: Uuid,
}

/// Slots for POSTs under way, per connection: a slow provider must not take all of ours.
#[derive(Debug, Clone, Default)]
struct Slots(Arc<Mutex<HashMap<ConnectionId, Arc<Semaphore>>>>);

impl Slots {
    fn of(&self, connection: ConnectionId, size: usize) -> Arc<Semaphore> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore = slots
            .entry(connection)
            .or_insert_with(|| Arc::new(Semaphore::new(size)));
        Arc::clone(semaphore)
    }
}

/// A sender that is ours, and its claimer.
struct Owned {
    epoch: i64,
    claimer: task::Id,
    /// What renewals say.
    standing: watch::Sender<Standing>,
    stop: CancellationToken,
}

/// A lease as it was last renewed.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// Until when it surely holds, by the monotonic clock: counted from before the request.
    valid_until: Instant,
    /// The sender's rate.
    messages_per_second: u32,
    /// Whether the provider says that its quality is low.
    is_red: bool,
}

/// Keeps leases and claimers until `shutdown`, then lets the posts under way end and gives the
/// senders back. Dropping it drops all of sending at once, as a crash does: no claimer and no post
/// goes on behind its owner's back.
pub async fn run(sending: Sending, shutdown: CancellationToken) {
    let (recorder, recording) = Recorder::new(sending.store.clone(), sending.settings.lifetimes());
    let mut recordings = JoinSet::new();
    recordings.spawn(recording);
    let mut manager = Manager {
        recorder,
        leases: sending.store.of(Part::Leases),
        slots: Slots::default(),
        owned: HashMap::new(),
        claimers: JoinSet::new(),
        sending,
    };
    let period = manager.sending.settings.lease / 4;
    loop {
        let wait = manager.keep_leases().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "leases could not be kept");
            None
        });
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = manager.sending.signals.unowned_sender() => {}
            () = tokio::time::sleep(wait.map_or(period, |wait| wait.min(period))) => {}
        }
    }
    manager.stop().await;
}

struct Manager {
    sending: Sending,
    recorder: Recorder,
    /// On a connection of its own: a renewal must not wait for claims.
    leases: Store,
    slots: Slots,
    owned: HashMap<SenderId, Owned>,
    claimers: JoinSet<()>,
}

impl Manager {
    /// Returns when to look again at the latest: when a lease of another would end.
    async fn keep_leases(&mut self) -> Result<Option<Duration>, StoreError> {
        let Sending {
            settings, instance, ..
        } = self.sending.clone();
        while let Some(ended) = self.claimers.try_join_next() {
            if let Err(error) = ended {
                self.mourn(&error);
            }
        }
        let store = self.leases.clone();
        let share = store.report_instance(instance, settings.lease).await?;
        self.renew().await?;
        let free = share - i64::try_from(self.owned.len()).unwrap_or(i64::MAX);
        if free > 0 {
            let asked_at = self.now();
            for lease in store.acquire_leases(instance, free, settings.lease).await? {
                self.start_claimer(lease, asked_at);
            }
        }
        // More than our share: others have come. What stops here is taken there.
        let surplus = usize::try_from(-free).unwrap_or(0);
        for sender in self.owned.keys().take(surplus).copied().collect::<Vec<_>>() {
            self.drop_sender(sender);
        }
        metrics::gauge!("twotick_senders_owned").set(self.owned.len() as f64);
        let end = store.next_lease_end(instance, settings.lease).await?;
        Ok(end.map(|end| end + PAST_END))
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        let Sending {
            settings, instance, ..
        } = &self.sending;
        let senders: Vec<_> = self.owned.keys().copied().collect();
        let asked_at = self.now();
        let renewed = self
            .leases
            .renew_leases(*instance, &senders, settings.lease)
            .await?;
        let valid_until = asked_at + settings.lease;
        let mut lost: Vec<_> = senders;
        for lease in renewed {
            if let Some(owned) = self.owned.get(&lease.sender)
                && owned.epoch == lease.epoch
            {
                let messages_per_second = lease.messages_per_second;
                let is_red = lease.is_red;
                owned.standing.send_replace(Standing {
                    valid_until,
                    messages_per_second,
                    is_red,
                });
                lost.retain(|sender| *sender != lease.sender);
            }
        }
        for sender in lost {
            tracing::warn!(%sender, "the lease was lost, or its rate has changed");
            self.drop_sender(sender);
        }
        Ok(())
    }

    fn start_claimer(&mut self, lease: Lease, asked_at: Instant) {
        let (standing, renewed) = watch::channel(Standing {
            valid_until: asked_at + self.sending.settings.lease,
            messages_per_second: lease.messages_per_second,
            is_red: lease.is_red,
        });
        let stop = CancellationToken::new();
        let in_flight = self.sending.settings.in_flight;
        let claimer = Claimer::new(
            self.sending.clone(),
            lease,
            renewed,
            self.slots.of(lease.connection, in_flight),
            self.recorder.clone(),
            stop.clone(),
        );
        let claimer = self.claimers.spawn(claimer.run()).id();
        let owned = Owned {
            epoch: lease.epoch,
            claimer,
            standing,
            stop,
        };
        if let Some(before) = self.owned.insert(lease.sender, owned) {
            before.stop.cancel();
        }
    }

    /// The claimer ends its posts and gives the lease back by itself.
    fn drop_sender(&mut self, sender: SenderId) {
        if let Some(owned) = self.owned.remove(&sender) {
            owned.stop.cancel();
        }
    }

    /// A claimer broke down. Its sender is renewed no more: when the lease has run out somebody
    /// takes it again, not at once, lest a sender that breaks every claimer keeps all busy.
    fn mourn(&mut self, error: &JoinError) {
        tracing::error!(%error, "a claimer broke down; its sender is taken again when its lease ends");
        self.owned.retain(|_, owned| owned.claimer != error.id());
    }

    async fn stop(mut self) {
        let Sending {
            instance, settings, ..
        } = &self.sending;
        // First, so that the others' shares are larger by the time that senders become free.
        if let Err(error) = self.leases.remove_instance(*instance).await {
            tracing::warn!(%error, "this instance could not sign off");
        }
        for owned in self.owned.values() {
            owned.stop.cancel();
        }
        // A claimer waits for its posts; their answers are bounded, the database is not.
        let claimers = &mut self.claimers;
        let ended = async { while claimers.join_next().await.is_some() {} };
        if tokio::time::timeout(settings.lease, ended).await.is_err() {
            tracing::warn!("posts are still under way; the next owner settles them");
        }
    }

    fn now(&self) -> Instant {
        self.sending.clock().monotonic()
    }
}

impl Sending {
    fn clock(&self) -> &Clock {
        self.store.clock()
    }
}
