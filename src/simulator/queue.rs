//! What is due when: statuses waiting for their time, webhooks waiting for a retry, templates
//! waiting for a decision. `deliver` is the only one that takes from it. Each dialect has a lane,
//! so that one without an address does not hold up another.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::{Notify, watch};

use super::dialect::Dialect;
use super::message::Message;
use super::template::Key;
use super::update::Update;

/// Above this many waiting items new messages are refused as Meta does when it is overloaded.
const MAX_WAITING: usize = 1_000_000;
/// Of each dialect, and of what waits for no address: decisions, and what goes to one that a
/// message's caller named.
const LANES: usize = Dialect::ALL.len() + 1;
const ADDRESSED: usize = Dialect::ALL.len();

/// A body that is to be posted until it is answered 200, or given up.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub dialect: Dialect,
    pub body: Bytes,
    /// Counts the bodies.
    pub number: u64,
    /// If it does not go to the connection's address: nothing proves it then.
    pub url: Option<String>,
    /// If it goes, proved, to another address than the connection's.
    pub to: Option<String>,
    /// How often it was posted.
    pub attempts: u32,
    /// May be posted again after its 200; a scripted body and a repetition may not.
    pub repeatable: bool,
    /// Whose late answers wait for it.
    pub about: Vec<Arc<Message>>,
}

/// Something to do once its time has come.
#[derive(Debug)]
pub enum Item {
    /// Pushed one by one, taken as many as share a body.
    Updates(Vec<Update>),
    Webhook(Webhook),
    /// Release or drop what a template holds.
    Settle(Key),
    /// End the pause of this number of a template, unless it is over.
    Unpause(Key, u64),
    /// End the review of this number of a template, unless it is over.
    Review(Key, u64),
}

/// What may be taken: a lane whose webhooks have no address waits.
#[derive(Debug, Clone, Copy)]
pub struct Open([bool; LANES]);

impl Open {
    /// What goes to the addresses of the dialects that have one, and to addresses of its own.
    pub fn of(has_address: impl Fn(Dialect) -> bool) -> Self {
        let mut open = [true; LANES];
        for dialect in Dialect::ALL {
            open[dialect as usize] = has_address(dialect);
        }
        Self(open)
    }
}

impl Item {
    fn lane(&self) -> usize {
        let (dialect, waits_for_none) = match self {
            Self::Updates(updates) => match updates.first() {
                Some(update) => (update.dialect(), update.notify_url().is_some()),
                None => (Dialect::Meta, false),
            },
            Self::Webhook(webhook) => (webhook.dialect, webhook.url.is_some()),
            Self::Settle(key) | Self::Unpause(key, _) | Self::Review(key, _) => (key.dialect, true),
        };
        match waits_for_none {
            true => ADDRESSED,
            false => dialect as usize,
        }
    }
}

#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Notify,
    idle: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: [BinaryHeap<Due>; LANES],
    pushed: u64,
    /// Taken and not finished.
    working: usize,
    /// Webhooks among the waiting.
    webhooks: usize,
}

impl Queue {
    pub fn new() -> Self {
        Self {
            inner: Mutex::default(),
            changed: Notify::new(),
            idle: watch::Sender::new(true),
        }
    }

    pub fn push(&self, at: Instant, item: Item) {
        let mut inner = self.lock();
        inner.push(at, item);
        self.update_idle(&inner);
        drop(inner);
        self.changed.notify_one();
    }

    /// Takes what is due at `now`, or tells when something will be. Updates come as many as are
    /// due within `window`, `most` of them. What was taken must be given to `finish`.
    pub fn take(
        &self,
        open: Open,
        now: Instant,
        window: Duration,
        most: usize,
    ) -> Result<Item, Option<Instant>> {
        let mut inner = self.lock();
        let first = inner.first(open).ok_or(None)?;
        let Some(mut item) = inner.pop(first.lane, now) else {
            return Err(Some(first.at));
        };
        inner.working += 1;
        if let Item::Updates(updates) = &mut item {
            while updates.len() < most && inner.next_is_update(first.lane) {
                match inner.pop(first.lane, now + window) {
                    Some(Item::Updates(more)) => updates.extend(more),
                    _ => break,
                }
            }
        }
        Ok(item)
    }

    /// Ends what `take` began; `again` puts something back.
    pub fn finish(&self, again: Option<(Instant, Item)>) {
        let mut inner = self.lock();
        inner.working -= 1;
        if let Some((at, item)) = again {
            inner.push(at, item);
        }
        self.update_idle(&inner);
        drop(inner);
        self.changed.notify_one();
    }

    /// Returns when something was pushed or finished since the last call, or `wake` was called.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// True while nothing waits and nothing is under way.
    pub fn idle(&self) -> watch::Receiver<bool> {
        self.idle.subscribe()
    }

    pub fn is_full(&self) -> bool {
        self.lock().waiting() >= MAX_WAITING
    }

    /// Webhooks not yet acknowledged, and updates (or decisions) whose time has not come.
    pub fn pending(&self) -> (usize, usize) {
        let inner = self.lock();
        (
            inner.working + inner.webhooks,
            inner.waiting() - inner.webhooks,
        )
    }

    fn update_idle(&self, inner: &Inner) {
        let idle = inner.waiting() == 0 && inner.working == 0;
        self.idle
            .send_if_modified(|was| std::mem::replace(was, idle) != idle);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The earliest of an open lane.
struct First {
    lane: usize,
    at: Instant,
}

impl Inner {
    fn push(&mut self, at: Instant, item: Item) {
        self.webhooks += usize::from(matches!(item, Item::Webhook(_)));
        let number = self.pushed;
        self.pushed += 1;
        self.waiting[item.lane()].push(Due { at, number, item });
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().map(BinaryHeap::len).sum()
    }

    fn first(&self, open: Open) -> Option<First> {
        let lanes = self.waiting.iter().enumerate();
        let heads = lanes.filter_map(|(lane, waiting)| Some((lane, waiting.peek()?)));
        let open = heads.filter(|(lane, _)| open.0[*lane]);
        // The heap's greatest is the earliest.
        let (lane, due) = open.max_by(|(_, a), (_, b)| a.cmp(b))?;
        Some(First { lane, at: due.at })
    }

    fn pop(&mut self, lane: usize, until: Instant) -> Option<Item> {
        let waiting = &mut self.waiting[lane];
        waiting.peek().filter(|due| due.at <= until)?;
        let item = waiting.pop()?.item;
        self.webhooks -= usize::from(matches!(item, Item::Webhook(_)));
        Some(item)
    }

    fn next_is_update(&self, lane: usize) -> bool {
        self.waiting[lane]
            .peek()
            .is_some_and(|due| matches!(due.item, Item::Updates(_)))
    }
}

#[derive(Debug)]
struct Due {
    at: Instant,
    number: u64,
    item: Item,
}

/// Reversed, so that the heap's greatest is the earliest; among equals the first pushed.
impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
