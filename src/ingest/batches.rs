//! From the queue to the writers. What waits becomes one batch, within bounds. A batch goes as
//! soon as no other is being written: while one commits the next fills, so that one commit serves
//! many webhooks and none waits for company. Only when a batch is big does a second writer start
//! beside the first: then the database's CPU and not its round trips is what takes the time.

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Waiting;
use super::names::{HEARSAY, Hearsay, Names, listen};
use super::writer::{MAX_FACTS, Writer};
use crate::signals::Signals;
use crate::store::Store;
use crate::store::ingest::WRITERS;
use crate::store::recipients::NameSaid;

/// Webhooks in a batch: more do not make the commit cheaper, and all of them wait for it.
const MAX_WEBHOOKS: usize = 512;
/// Bytes of bodies in a batch.
const MAX_BYTES: usize = 4 << 20;
/// Facts that are worth a second writer. Two small batches take longer than one of both.
const BIG: usize = 200;

/// Takes webhooks from the queue and has them written.
#[derive(Debug)]
pub struct Batches {
    store: Store,
    signals: Signals,
    waiting: mpsc::Receiver<Waiting>,
    next: Batch,
    idle: Vec<Writer>,
    busy: JoinSet<Writer>,
    names: Names,
    hearsay: Hearsay,
    heard: Option<mpsc::Receiver<Vec<NameSaid>>>,
}

/// What goes next.
#[derive(Debug, Default)]
struct Batch {
    webhooks: Vec<Waiting>,
    facts: usize,
    bytes: usize,
    /// The one that did not fit any more.
    left: Option<Box<Waiting>>,
}

impl Batch {
    fn push(&mut self, waiting: Waiting) {
        let facts = self.facts + waiting.facts.len();
        let bytes = self.bytes + waiting.bytes();
        if !self.webhooks.is_empty() && (facts > MAX_FACTS || bytes > MAX_BYTES) {
            self.left = Some(Box::new(waiting));
        } else {
            (self.facts, self.bytes) = (facts, bytes);
            self.webhooks.push(waiting);
        }
    }

    fn is_full(&self) -> bool {
        self.left.is_some()
            || self.webhooks.len() >= MAX_WEBHOOKS
            || self.facts >= MAX_FACTS
            || self.bytes >= MAX_BYTES
    }

    fn is_big(&self) -> bool {
        self.facts >= BIG || self.is_full()
    }

    fn take(&mut self) -> Vec<Waiting> {
        let Self { webhooks, left, .. } = std::mem::take(self);
        if let Some(left) = left {
            self.push(*left);
        }
        webhooks
    }
}

impl Batches {
    pub(super) fn new(store: Store, signals: Signals, waiting: mpsc::Receiver<Waiting>) -> Self {
        let (hearsay, heard) = mpsc::channel(HEARSAY);
        Self {
            store,
            signals,
            waiting,
            next: Batch::default(),
            idle: Vec::new(),
            busy: JoinSet::new(),
            names: Names::default(),
            hearsay,
            heard: Some(heard),
        }
    }

    /// Runs until every [`super::Ingest`] is gone and all that they handed over is answered.
    pub async fn run(mut self) {
        // A set, so that it ends with this future, however that ends.
        let mut listener = JoinSet::new();
        if let Some(heard) = self.heard.take() {
            listener.spawn(listen(self.store.clone(), self.names.clone(), heard));
        }
        self.run_writers().await;
        // With the last writer nobody is left to say anything.
        drop(self);
        listener.join_all().await;
    }

    async fn run_writers(&mut self) {
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                Some(done) = self.busy.join_next() => match done {
                    Ok(writer) => self.idle.push(writer),
                    Err(error) => tracing::error!(%error, "a writer of webhooks broke down"),
                },
                waiting = self.waiting.recv(), if is_open && !self.next.is_full() => {
                    match waiting {
                        Some(waiting) => self.next.push(waiting),
                        None => is_open = false,
                    }
                }
                else => return,
            }
            while !self.next.is_full()
                && let Ok(waiting) = self.waiting.try_recv()
            {
                self.next.push(waiting);
            }
            self.start();
        }
    }

    fn start(&mut self) {
        let may_start = match self.busy.len() {
            0 => !self.next.webhooks.is_empty(),
            busy => busy < WRITERS && self.next.is_big(),
        };
        if may_start {
            let writer = self.idle.pop();
            let mut writer = writer.unwrap_or_else(|| {
                Writer::new(
                    self.store.clone(),
                    self.signals.clone(),
                    self.names.clone(),
                    self.hearsay.clone(),
                )
            });
            let batch = self.next.take();
            self.busy.spawn(async move {
                writer.write(batch).await;
                writer
            });
        }
    }
}
