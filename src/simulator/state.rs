//! What the provider knows: settings, messages, templates, who sent how fast. `Simulator` is
//! what every part shares; its lock is held for moments and never while something is awaited.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::auth::Target;
use super::calls::Calls;
use super::config::{Config, Delays, Faults};
use super::dialect::Dialect;
use super::fate::Step;
use super::flow::Flows;
use super::hooks::Hooks;
use super::http::{Pictures, Welcome};
use super::log::Log;
use super::media::Media;
use super::message::{Message, Status, User};
use super::nodes::Nodes;
use super::number::Numbers;
use super::queue::{Item, Queue};
use super::receive::Bucket;
use super::template::{Key, Template};
use super::update::Update;
use crate::clock::Clock;

/// The oldest accepted messages are forgotten beyond this many: they can get no scripted status
/// any more.
const MAX_MESSAGES: usize = 500_000;

#[derive(Debug)]
pub struct Simulator {
    pub config: Config,
    pub clock: Clock,
    pub log: Log,
    pub queue: Queue,
    pub shutdown: CancellationToken,
    /// Tells the ids of one start from those of another.
    pub(super) salt: u64,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub struct State {
    pub faults: Faults,
    pub delays: Delays,
    pub targets: BTreeMap<Dialect, Target>,
    pub templates: BTreeMap<Key, Template>,
    pub flows: Flows,
    pub hooks: Hooks,
    pub media: Media,
    pub nodes: Nodes,
    pub numbers: Numbers,
    pub welcome: Welcome,
    pub pictures: Pictures,
    pub calls: Calls,
    pub stats: Stats,
    pub(super) messages: HashMap<String, Arc<Message>>,
    oldest: VecDeque<String>,
    pub(super) ids: u64,
    bodies: u64,
    /// How often each content was posted.
    pub(super) posts_of: HashMap<[u8; 32], u64>,
    pub(super) buckets: HashMap<(Dialect, String), Bucket>,
    /// Of each sender and user.
    pub(super) pairs: HashMap<(Dialect, String, String), Bucket>,
}

/// Counts since the start.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Stats {
    pub posts: u64,
    pub accepted: u64,
    /// By code.
    pub refused: BTreeMap<i64, u64>,
    pub lost_answers: u64,
    /// Answers that waited for the first webhook.
    pub late_answers: u64,
    /// Answered `held_for_quality_assessment`.
    pub held_answers: u64,
    /// Calls that manage.
    pub managed: BTreeMap<Dialect, u64>,
    /// POSTs above `messages_per_second`.
    pub violations: u64,
    /// POSTs above the limit for one user.
    pub pair_violations: u64,
    /// Bodies.
    pub webhooks: u64,
    pub webhook_attempts: u64,
    /// Bodies that were posted as often as the provider does, in vain.
    pub given_up: u64,
    /// Statuses and bodies posted a second time on purpose.
    pub duplicates: u64,
}

impl Simulator {
    pub fn new(config: Config, clock: Clock, shutdown: CancellationToken) -> Self {
        let salt = clock.now().unix_timestamp_nanos() as u64;
        let state = State {
            faults: config.faults,
            delays: config.delays,
            targets: config.all_targets(),
            templates: BTreeMap::new(),
            flows: Flows::new(),
            hooks: Hooks::default(),
            media: Media::default(),
            nodes: Nodes::default(),
            numbers: Numbers::new(),
            welcome: Welcome::default(),
            pictures: Pictures::default(),
            calls: Calls::default(),
            stats: Stats::default(),
            messages: HashMap::new(),
            oldest: VecDeque::new(),
            ids: 0,
            bodies: 0,
            posts_of: HashMap::new(),
            buckets: HashMap::new(),
            pairs: HashMap::new(),
        };
        Self {
            log: Log::new(clock.clone()),
            queue: Queue::new(),
            state: Mutex::new(state),
            config,
            clock,
            shutdown,
            salt,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call that manages something.
    pub fn count_managed(&self, dialect: Dialect) {
        *self.state().stats.managed.entry(dialect).or_default() += 1;
    }

    /// The next id for a user's message.
    pub fn next_inbound_id(&self, dialect: Dialect, user: &User) -> String {
        let mut state = self.state();
        let id = dialect.inbound_id(self.salt, state.ids, user);
        state.ids += 1;
        id
    }

    /// Plans the statuses of a message, counted from now.
    pub fn schedule(&self, message: &Arc<Message>, steps: &[Step]) {
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        let dialect = message.dialect;
        for step in steps.iter().filter(|step| dialect.reports(step.status)) {
            let failed = step.status == "failed";
            let mut status = Status {
                message: Arc::clone(message),
                status: step.status.to_owned(),
                at: (wall + step.after).unix_timestamp(),
                errors: failed.then(|| vec![dialect.failure(&message.fails_with)].into()),
                callback: step.callback,
                pricing: step.pricing,
                conversation: step.conversation,
                repeated: false,
            };
            let due = now + step.posted_after;
            self.queue
                .push(due, Item::Updates(vec![Update::Status(status.clone())]));
            if let Some(again) = step.repeated_after {
                status.repeated = true;
                self.queue
                    .push(now + again, Item::Updates(vec![Update::Status(status)]));
            }
        }
    }

    /// Posts `update` as soon as possible, if the provider tells of such things.
    pub fn post(&self, update: Update) {
        if update.dialect().says(&update) {
            let now = self.clock.monotonic();
            self.queue.push(now, Item::Updates(vec![update]));
        }
    }

    pub fn after_ms(&self, ms: u64) -> Instant {
        self.clock.monotonic() + Duration::from_millis(ms)
    }
}

impl State {
    /// The next number of a webhook.
    pub fn next_body(&mut self) -> u64 {
        self.bodies += 1;
        self.bodies
    }

    pub fn message(&self, wamid: &str) -> Option<Arc<Message>> {
        self.messages.get(wamid).cloned()
    }

    pub(super) fn remember(&mut self, message: Arc<Message>) {
        self.ids += 1;
        self.oldest.push_back(message.wamid.clone());
        self.messages.insert(message.wamid.clone(), message);
        if self.oldest.len() > MAX_MESSAGES
            && let Some(wamid) = self.oldest.pop_front()
        {
            self.messages.remove(&wamid);
        }
    }
}
