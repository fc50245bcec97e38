//! What waits to be brought, each thing until its own time; and what was said so far: of each
//! status when it was first brought, and whether any webhook with it was answered 200.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::webhook::{Item, Webhook};
use crate::check::Said;

/// The most statuses of one webhook, and how often it has more than one.
const MOST: usize = 12;
const SEVERAL: f64 = 0.3;
/// How often a status comes again with others, and a whole webhook.
const AGAIN: f64 = 0.06;
/// How often something is very late, and how much later than it would be.
const LATE: f64 = 0.02;
const LATER: u64 = 10;

pub struct Sack {
    rng: Xoshiro256PlusPlus,
    waiting: BTreeMap<(Instant, usize), Parcel>,
    pushed: usize,
    under_way: usize,
    /// How many statuses were answered 200.
    pub acknowledged: usize,
    /// By provider id.
    pub said: HashMap<String, [Option<Said>; 4]>,
}

enum Parcel {
    Status(Item),
    /// To be posted as it is.
    Webhook(Webhook),
}

impl Sack {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            waiting: BTreeMap::new(),
            pushed: 0,
            under_way: 0,
            acknowledged: 0,
            said: HashMap::new(),
        }
    }

    /// How many things wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits, and nothing that was taken may come back.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.under_way == 0
    }

    /// To be brought within so many milliseconds.
    pub fn put(&mut self, now: Instant, within_ms: u64, item: Item) {
        self.push(now, within_ms, Parcel::Status(item));
    }

    fn push(&mut self, now: Instant, mut within_ms: u64, parcel: Parcel) {
        if self.rng.random_bool(LATE) {
            within_ms *= LATER;
        }
        let late = Duration::from_millis(self.rng.random_range(0..=within_ms));
        self.pushed += 1;
        self.waiting.insert((now + late, self.pushed), parcel);
    }

    /// What is due: a webhook that comes again, or one of statuses that did not come together.
    pub fn take(&mut self, now: Instant) -> Option<Webhook> {
        let most = match self.rng.random_bool(SEVERAL) {
            true => self.rng.random_range(2..=MOST),
            false => 1,
        };
        let mut items = Vec::new();
        while items.len() < most {
            let due = self.waiting.first_entry();
            let Some(due) = due.filter(|first| first.key().0 <= now) else {
                break;
            };
            match due.remove() {
                Parcel::Status(item) => items.push(item),
                Parcel::Webhook(webhook) if items.is_empty() => {
                    self.under_way += 1;
                    return Some(webhook);
                }
                again => {
                    self.push(now, 0, again);
                    break;
                }
            }
        }
        if items.is_empty() {
            return None;
        }
        self.under_way += 1;
        items.shuffle(&mut self.rng);
        for item in &items {
            self.said_of(item).begun.get_or_insert(now);
        }
        Some(Webhook::of(items))
    }

    fn said_of(&mut self, item: &Item) -> &mut Said {
        let words = self.said.entry(item.wamid.clone()).or_default();
        words[item.word as usize].get_or_insert_with(|| Said::at(item.at))
    }

    /// It was answered 200. Whether it was for the first time.
    pub fn answered(&mut self, now: Instant, mut webhook: Webhook) -> bool {
        self.under_way -= 1;
        for item in &webhook.items {
            let said = self.said_of(item);
            let is_first = !std::mem::replace(&mut said.acknowledged, true);
            self.acknowledged += usize::from(is_first);
        }
        if webhook.comes_again {
            return false;
        }
        for item in &webhook.items {
            if self.rng.random_bool(AGAIN) {
                self.put(now, 200, item.clone());
            }
        }
        if self.rng.random_bool(AGAIN) {
            webhook.comes_again = true;
            self.push(now, 200, Parcel::Webhook(webhook));
        }
        true
    }

    /// It comes again as it was, or what it says does, with other things.
    pub fn refused(&mut self, now: Instant, webhook: Webhook) {
        self.under_way -= 1;
        if webhook.comes_again || self.rng.random_bool(0.5) {
            return self.push(now, 300, Parcel::Webhook(webhook));
        }
        for item in webhook.items {
            self.put(now, 300, item);
        }
    }
}
