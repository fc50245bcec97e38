//! What the provider knows: settings, messages, templates, who sent how fast. `Simulator` is
//! what every part shares; its lock is held for moments and never while something is awaited.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::config::{Config, Delays, Faults};
use super::error::GraphError;
use super::fate::{self, Fate, Refusal, Step};
use super::log::Log;
use super::message::{self, Message, Status, Wish};
use super::nodes::Nodes;
use super::queue::{Item, Queue};
use super::template::{Held, Key, Template};
use super::webhook::Update;
use crate::clock::Clock;

/// The oldest accepted messages are forgotten beyond this many: they can get no scripted status
/// any more.
const MAX_MESSAGES: usize = 500_000;
/// Beyond this many different contents their counts begin anew.
const MAX_CONTENTS: usize = 1_000_000;

#[derive(Debug)]
pub struct Simulator {
    pub config: Config,
    pub clock: Clock,
    pub log: Log,
    pub queue: Queue,
    pub shutdown: CancellationToken,
    /// Tells the wamids of one start from those of another.
    salt: u64,
    state: Mutex<State>,
}

/// What changes.
#[derive(Debug)]
pub struct State {
    pub faults: Faults,
    pub delays: Delays,
    pub webhook_url: Option<String>,
    pub app_secret: String,
    pub templates: BTreeMap<Key, Template>,
    pub nodes: Nodes,
    pub stats: Stats,
    messages: HashMap<String, Arc<Message>>,
    oldest: VecDeque<String>,
    wamids: u64,
    posts_of: HashMap<[u8; 32], u64>,
    buckets: HashMap<String, Bucket>,
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
    /// POSTs above `messages_per_second`.
    pub violations: u64,
    /// Bodies.
    pub webhooks: u64,
    pub webhook_attempts: u64,
    /// Statuses and bodies posted a second time on purpose.
    pub duplicates: u64,
}

/// A token bucket with a burst of one second.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// A POST that was accepted.
#[derive(Debug)]
pub struct Accepted {
    pub message: Arc<Message>,
    pub fate: Fate,
    pub is_template: bool,
    pub held: bool,
}

impl Simulator {
    pub fn new(config: Config, clock: Clock, shutdown: CancellationToken) -> Self {
        let salt = clock.now().unix_timestamp_nanos() as u64;
        let state = State {
            faults: config.faults,
            delays: config.delays,
            webhook_url: config.webhook_url.clone(),
            app_secret: config.app_secret.clone(),
            templates: BTreeMap::new(),
            nodes: Nodes::default(),
            stats: Stats::default(),
            messages: HashMap::new(),
            oldest: VecDeque::new(),
            wamids: 0,
            posts_of: HashMap::new(),
            buckets: HashMap::new(),
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

    /// Decides about one POST to `/messages` and plans what follows from it.
    pub fn receive(
        &self,
        phone_number_id: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Accepted, GraphError> {
        let mut state = self.state();
        state.stats.posts += 1;
        let decided = self.decide(&mut state, phone_number_id, bearer, body);
        match &decided {
            Ok(accepted) => {
                state.stats.accepted += 1;
                let fate = &accepted.fate;
                let late = fate.answer_late && !fate.lost_answer && !accepted.held;
                state.stats.lost_answers += u64::from(fate.lost_answer);
                state.stats.late_answers += u64::from(late);
                state.stats.held_answers += u64::from(accepted.held && !fate.lost_answer);
            }
            Err(error) => *state.stats.refused.entry(error.code).or_default() += 1,
        }
        decided
    }

    fn decide(
        &self,
        state: &mut State,
        phone_number_id: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Accepted, GraphError> {
        if self.config.access_token.is_some() && bearer != self.config.access_token.as_deref() {
            return Err(GraphError::bad_token());
        }
        let wish = Wish::parse(body.ok_or_else(|| GraphError::invalid("Invalid JSON."))?)?;
        self.limit(state, phone_number_id)?;
        if self.queue.is_full() {
            return Err(GraphError::unavailable());
        }
        if let Some(key) = &wish.template {
            self.template(state, key)?;
        }
        let fate = self.fate(state, &wish);
        match fate.refusal {
            Some(Refusal::RateLimited) => return Err(GraphError::rate_limited()),
            Some(Refusal::SomethingWentWrong) => return Err(GraphError::something_went_wrong()),
            Some(Refusal::Unavailable) => return Err(GraphError::unavailable()),
            None => {}
        }
        Ok(self.accept(state, phone_number_id, wish, fate))
    }

    fn limit(&self, state: &mut State, phone_number_id: &str) -> Result<(), GraphError> {
        let Some(rate) = self.config.messages_per_second.map(f64::from) else {
            return Ok(());
        };
        let now = self.clock.monotonic();
        let full = Bucket {
            tokens: rate,
            at: now,
        };
        let bucket = state
            .buckets
            .entry(phone_number_id.to_owned())
            .or_insert(full);
        let passed = now.duration_since(bucket.at).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed * rate).min(rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            state.stats.violations += 1;
            return Err(GraphError::rate_limited());
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// A template nobody knows is taken for approved on first use, unless configured otherwise.
    fn template(&self, state: &mut State, key: &Key) -> Result<(), GraphError> {
        if let Some(template) = state.templates.get(key) {
            return template.refusal().map_or(Ok(()), Err);
        }
        if !self.config.register_templates {
            return Err(GraphError::template_unknown(&key.name, &key.language));
        }
        let template = Template::new(&self.config.waba_id, key.clone());
        state.templates.insert(key.clone(), template);
        Ok(())
    }

    /// Counts only POSTs that nothing but fate decides about: whether a limit or a pause was hit
    /// depends on timing, and must not change what follows.
    fn fate(&self, state: &mut State, wish: &Wish) -> Fate {
        if state.posts_of.len() >= MAX_CONTENTS {
            state.posts_of.clear();
        }
        let posts = state.posts_of.entry(wish.content).or_default();
        *posts += 1;
        let about = [wish.content.as_slice(), &posts.to_le_bytes()];
        let mut rng = fate::generator(self.config.seed, &about);
        fate::decide(&mut rng, &state.faults, &state.delays)
    }

    fn accept(&self, state: &mut State, sender: &str, wish: Wish, fate: Fate) -> Accepted {
        let template = wish
            .template
            .as_ref()
            .and_then(|key| state.templates.get_mut(key));
        let category = template
            .as_ref()
            .map_or("service".to_owned(), |t| t.category.to_lowercase());
        let is_template = template.is_some();
        let held = is_template && fate.held;
        let message = Arc::new(Message {
            wamid: message::wamid(self.salt, state.wamids, &wish.user),
            phone_number_id: sender.to_owned(),
            user: wish.user,
            callback: wish.callback,
            category,
            first_posted: Notify::new(),
        });
        match template.filter(|_| held) {
            Some(template) => {
                let steps = fate.steps.clone();
                let message = Arc::clone(&message);
                self.hold(template, Held { message, steps }, state.delays.held_ms);
            }
            None if self.config.automatic => self.schedule(&message, &fate.steps),
            None => {}
        }
        state.remember(Arc::clone(&message));
        Accepted {
            message,
            fate,
            is_template,
            held,
        }
    }

    /// The next wamid, for a message of the user's.
    pub fn next_wamid(&self, user: &message::User) -> String {
        let mut state = self.state();
        state.wamids += 1;
        message::wamid(self.salt, state.wamids, user)
    }

    /// Plans the statuses of a message, counted from now.
    pub fn schedule(&self, message: &Arc<Message>, steps: &[Step]) {
        let (now, wall) = (self.clock.monotonic(), self.clock.now());
        for step in steps {
            let failed = step.status == "failed";
            let mut status = Status {
                message: Arc::clone(message),
                status: step.status.to_owned(),
                at: (wall + step.after).unix_timestamp(),
                errors: failed.then(|| vec![GraphError::undeliverable().in_webhook()].into()),
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

    /// Posts `update` as soon as possible.
    pub fn post(&self, update: Update) {
        self.queue
            .push(self.clock.monotonic(), Item::Updates(vec![update]));
    }

    pub fn after_ms(&self, ms: u64) -> Instant {
        self.clock.monotonic() + Duration::from_millis(ms)
    }
}

impl State {
    pub fn message(&self, wamid: &str) -> Option<Arc<Message>> {
        self.messages.get(wamid).cloned()
    }

    fn remember(&mut self, message: Arc<Message>) {
        self.wamids += 1;
        self.oldest.push_back(message.wamid.clone());
        self.messages.insert(message.wamid.clone(), message);
        if self.oldest.len() > MAX_MESSAGES
            && let Some(wamid) = self.oldest.pop_front()
        {
            self.messages.remove(&wamid);
        }
    }
}
