//! The feed, published elsewhere: by one instance at a time, behind the commit, at least once. A
//! cursor of its own says how far it has come; it moves behind what was taken. Events of one subject
//! go in their order, whatever fails; the others in the feed's, but around failures: what stands
//! beside each other on its way is never two of one subject. While it cannot go on nothing else
//! stands still.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Forwarding;
use super::nats::{Connected, Nats, NatsError, Published};
use super::window::Window;
use crate::config;
use crate::feed::{Event, Events, Filter, NotRead, Reader, TypePattern};
use crate::store::StoreError;
use crate::store::sinks::SinkLease;

/// Its row's name.
const KIND: &str = "nats";

/// Events that were read and are not taken yet.
const IN_HAND: usize = 256;

/// How often the cursor is moved while it moves.
const CURSOR: Duration = Duration::from_millis(250);

/// The first wait after what failed. It doubles, as far as the lease allows.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// How long giving it back may take.
const LAST: Duration = Duration::from_secs(2);

/// Publishes the feed.
#[derive(Debug)]
pub struct Sink {
    forwarding: Forwarding,
    nats: Nats,
    filter: Filter,
    timeout: Duration,
    lease: Duration,
    instance: Uuid,
}

impl Sink {
    /// `None`: it is not wanted.
    pub fn new(
        forwarding: &Forwarding,
        settings: &config::Nats,
        instance: Uuid,
    ) -> Result<Option<Self>, NatsError> {
        let Some(nats) = Nats::new(settings)? else {
            return Ok(None);
        };
        let words = settings.types.split(',').map(str::trim);
        let types = words.filter(|word| !word.is_empty()).map(|word| {
            let said = |error| NatsError::Types(word.to_owned(), format!("{error}"));
            TypePattern::wanted(word).map_err(said)
        });
        Ok(Some(Self {
            forwarding: forwarding.clone(),
            nats,
            filter: Filter {
                types: types.collect::<Result<_, _>>()?,
                ..Filter::default()
            },
            timeout: settings.timeout,
            // What is on its way has ended before another begins.
            lease: forwarding.settings.lease + settings.timeout * 2,
            instance,
        }))
    }

    /// Publishes whenever it is this instance's turn, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            let store = &self.forwarding.store;
            let asked_at = store.clock().monotonic();
            match store.take_sink(KIND, self.instance, self.lease).await {
                Ok(Some(lease)) => self.own(lease, asked_at, &shutdown).await,
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "whose turn it is to publish is not known"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.lease / 6) => {}
            }
        }
    }

    async fn own(&self, lease: SinkLease, asked_at: Instant, shutdown: &CancellationToken) {
        let connected = match self.nats.connect().await {
            Ok(connected) => connected,
            Err(error) => return tracing::error!(%error, "nats cannot be connected to"),
        };
        let reader = self
            .forwarding
            .tail
            .read_from(lease.cursor, self.filter.clone());
        let mut turn = Turn {
            sink: self,
            connected,
            reader,
            window: Window::new(lease.cursor),
            in_hand: VecDeque::new(),
            lease,
            renewed_at: asked_at,
            wait: FIRST_WAIT,
            trouble: None,
        };
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = turn.run() => ended,
        };
        metrics::gauge!("twotick_nats_behind_seconds").set(0.0);
        if let Err(error) = ended {
            tracing::warn!(%error, "what was published could not be recorded: it is again");
        }
        let cursor = turn.window.cursor(turn.lease.cursor);
        let store = &self.forwarding.store;
        let released = store.release_sink(KIND, turn.lease.epoch, cursor);
        let _ = tokio::time::timeout(LAST, released).await;
    }
}

/// An ownership.
struct Turn<'a> {
    sink: &'a Sink,
    connected: Connected,
    reader: Reader,
    window: Window,
    /// Read, and not taken.
    in_hand: VecDeque<Arc<Event>>,
    /// With the cursor as it was recorded.
    lease: SinkLease,
    renewed_at: Instant,
    wait: Duration,
    /// Why nothing is taken.
    trouble: Option<String>,
}

impl Turn<'_> {
    /// Until it is lost.
    async fn run(&mut self) -> Result<(), StoreError> {
        while self.keep().await? {
            for gone in self.reader.refresh(&mut self.in_hand).await? {
                self.window.end(gone);
            }
            if self.in_hand.is_empty() {
                self.read().await?;
            }
            if self.in_hand.is_empty() {
                let _ = tokio::time::timeout(self.sink.lease / 6, self.reader.grown()).await;
                continue;
            }
            let failed = self.publish().await;
            self.measure();
            if failed.is_some() {
                tokio::time::sleep(self.wait).await;
            }
            self.wait = match failed {
                Some(_) => (self.wait * 2).min(self.sink.lease / 6),
                None => FIRST_WAIT,
            };
            self.say(failed);
        }
        tracing::warn!("another instance publishes now");
        Ok(())
    }

    /// Moves the cursor, and renews the lease. `false`: it is lost.
    async fn keep(&mut self) -> Result<bool, StoreError> {
        let store = &self.sink.forwarding.store;
        let now = store.clock().monotonic();
        let cursor = self.window.cursor(self.reader.place());
        let since = now.duration_since(self.renewed_at);
        let moved = cursor != self.lease.cursor && since >= CURSOR;
        if !moved && since < self.sink.lease / 6 {
            return Ok(true);
        }
        let lease = self.sink.lease;
        let kept = store
            .move_sink(KIND, self.lease.epoch, cursor, lease)
            .await?;
        (self.renewed_at, self.lease.cursor) = (now, cursor);
        Ok(kept)
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        match self.reader.next(IN_HAND).await {
            Ok(events) => {
                for event in events {
                    self.window.open(event.place);
                    self.in_hand.push_back(event);
                }
                Ok(())
            }
            Err(NotRead::Forgotten(begin)) => {
                tracing::error!("events were forgotten before they were published to nats");
                self.reader.go_to(begin);
                Ok(())
            }
            Err(NotRead::Store(error)) => Err(error),
        }
    }

    /// Publishes the next of each subject, and returns why some of them were not taken.
    async fn publish(&mut self) -> Option<String> {
        let mut subjects = HashSet::new();
        let next = self.in_hand.iter();
        let next = next.take_while(|event| subjects.insert(event.about));
        let events: Events = next.cloned().collect();
        let published = self.connected.publish(&events);
        let published = tokio::time::timeout(self.sink.timeout, published).await;
        let published = published.unwrap_or_else(|_| {
            let late = || Published::Failed("not acknowledged in time".to_owned());
            events.iter().map(|_| late()).collect()
        });
        let mut failed = None;
        let mut left = Vec::new();
        for (event, published) in events.into_iter().zip(published) {
            let outcome = match published {
                Published::Taken => "published",
                Published::TooBig => {
                    tracing::error!(event = event.id, "nats takes no event so big: left out");
                    "too_big"
                }
                Published::Failed(said) => {
                    failed.get_or_insert(said);
                    left.push(event);
                    metrics::counter!("twotick_nats_events_total", "outcome" => "failed")
                        .increment(1);
                    continue;
                }
            };
            metrics::counter!("twotick_nats_events_total", "outcome" => outcome).increment(1);
            self.window.end(event.place);
        }
        self.in_hand.drain(..subjects.len());
        for event in left.into_iter().rev() {
            self.in_hand.push_front(event);
        }
        failed
    }

    /// Once, until it is another.
    fn say(&mut self, failed: Option<String>) {
        match &failed {
            same if *same == self.trouble => {}
            Some(said) => tracing::warn!(said, "events could not be published to nats yet"),
            None => tracing::info!("events are published to nats again"),
        }
        self.trouble = failed;
    }

    /// How far behind it is.
    fn measure(&self) {
        let now = self.sink.forwarding.store.clock().now();
        let oldest = self.in_hand.front().map(|event| event.received_at);
        let behind = oldest.map_or(0.0, |at| (now - at).as_seconds_f64().max(0.0));
        metrics::gauge!("twotick_nats_behind_seconds").set(behind);
    }
}
