//! Hints within one instance, and the way hints leave for the others. A hint makes things
//! quicker and never right or wrong: whoever waits for one also looks by itself, by a period.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::model::ids::SenderId;

/// Hints for other instances that may wait to be sent. When they pile up, polling does it.
const OUTBOX: usize = 1024;

/// Who may be interested in what was just committed.
#[derive(Debug, Clone)]
pub struct Signals {
    owned: Arc<Mutex<HashMap<SenderId, Arc<Notify>>>>,
    changed: Arc<watch::Sender<u64>>,
    unowned: Arc<Notify>,
    campaigns: Arc<Notify>,
    stopping: CancellationToken,
    elsewhere: mpsc::Sender<SenderId>,
}

impl Signals {
    /// The signals of an instance, and the hints that are for other instances.
    pub fn new() -> (Self, mpsc::Receiver<SenderId>) {
        let (elsewhere, outbox) = mpsc::channel(OUTBOX);
        let signals = Self {
            owned: Arc::default(),
            changed: Arc::new(watch::Sender::new(0)),
            unowned: Arc::default(),
            campaigns: Arc::default(),
            stopping: CancellationToken::new(),
            elsewhere,
        };
        (signals, outbox)
    }

    /// Something was committed that a reader of messages or events may be waiting for.
    pub fn changed(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// For those who wait for a change: mark it seen, read, then wait.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A sequence of this sender is due now: wakes its claimer, here or elsewhere.
    pub fn due(&self, sender: SenderId) {
        if !self.due_here(sender) {
            // A full outbox means that the others are being told anyway.
            let _ = self.elsewhere.try_send(sender);
        }
    }

    /// The same, heard from another instance. `false` when the sender is not ours.
    pub fn due_here(&self, sender: SenderId) -> bool {
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned
            .get(&sender)
            .inspect(|claimer| claimer.notify_one())
            .is_some()
    }

    /// Any sender may have work: a template or a connection was opened.
    pub fn all_due_here(&self) {
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned.values().for_each(|claimer| claimer.notify_one());
    }

    /// The service is stopping: who waits for a change answers with what there is.
    pub fn stop(&self) {
        self.stopping.cancel();
        self.changed();
    }

    /// Whether it is.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// Waits for [`Signals::stop`].
    pub async fn stopped(&self) {
        self.stopping.cancelled().await;
    }

    /// There is a sender that nobody owns: it was made, or given back.
    pub fn sender_is_free(&self) {
        self.unowned.notify_one();
    }

    /// Waits for [`Signals::sender_is_free`].
    pub async fn unowned_sender(&self) {
        self.unowned.notified().await;
    }

    /// Somebody asked something of a campaign.
    pub fn campaign_changed(&self) {
        self.campaigns.notify_one();
    }

    /// Waits for [`Signals::campaign_changed`].
    pub async fn changed_campaign(&self) {
        self.campaigns.notified().await;
    }

    /// From now on this instance owns `sender`; its claimer waits on the result.
    pub fn own(&self, sender: SenderId) -> Arc<Notify> {
        let claimer = Arc::<Notify>::default();
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        owned.insert(sender, Arc::clone(&claimer));
        claimer
    }

    /// It does no longer; unless another claimer of ours has taken its place.
    pub fn disown(&self, sender: SenderId, claimer: &Arc<Notify>) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        if owned
            .get(&sender)
            .is_some_and(|owner| Arc::ptr_eq(owner, claimer))
        {
            owned.remove(&sender);
        }
    }
}
