//! What is decided about a POST: whether it is taken, and what becomes of each message in it. The
//! same for every dialect; a dialect reads the request before and writes the answer after.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;

use super::config::Pair;
use super::dialect::{Call, Dialect};
use super::fate::{self, Fate, Refusal};
use super::message::{Message, Wish};
use super::state::{Simulator, State, Stats};
use super::template::{Held, Key, Template};
use super::trouble::Trouble;

/// Beyond this many different contents their counts begin anew.
const MAX_CONTENTS: usize = 1_000_000;

/// A message of a POST that was accepted.
#[derive(Debug)]
pub struct Taken {
    pub message: Arc<Message>,
    pub fate: Fate,
    pub is_template: bool,
    pub held: bool,
    /// This message was not, though the POST was.
    pub rejected: Option<Trouble>,
}

impl Taken {
    /// Whether its answer waits for the first webhook about it.
    pub fn answers_late(&self) -> bool {
        let fate = &self.fate;
        fate.answer_late && !fate.lost_answer && !self.held && self.rejected.is_none()
    }
}

/// A token bucket, full at first.
#[derive(Debug)]
pub struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(burst: f64, now: Instant) -> Self {
        Self {
            tokens: burst,
            at: now,
        }
    }

    fn take(&mut self, rate: f64, burst: f64, now: Instant) -> bool {
        let passed = now.duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(burst);
        self.at = now;
        let takes = self.tokens >= 1.0;
        self.tokens -= f64::from(u8::from(takes));
        takes
    }
}

impl Simulator {
    /// Decides about one POST and plans what follows from it.
    pub fn receive(&self, call: &Call) -> Result<Vec<Taken>, Trouble> {
        let mut state = self.state();
        state.stats.posts += 1;
        let decided = self.decide(&mut state, call);
        match &decided {
            Ok(taken) => taken.iter().for_each(|taken| state.stats.count(taken)),
            Err(trouble) => {
                let code = call.dialect.code(trouble);
                *state.stats.refused.entry(code).or_default() += 1;
            }
        }
        decided
    }

    /// A request is taken whole or not at all; a message in it may still be rejected.
    fn decide(&self, state: &mut State, call: &Call) -> Result<Vec<Taken>, Trouble> {
        if !self.config.knows(call.key.as_deref()) {
            return Err(Trouble::BadKey);
        }
        let wishes = call.read(&self.config)?;
        for wish in &wishes {
            self.limit(state, call.dialect, wish)?;
        }
        if self.queue.is_full() {
            return Err(Trouble::Unavailable);
        }
        let mut planned = Vec::new();
        for wish in wishes {
            let doom = self.template(state, call.dialect, &wish)?;
            let fate = self.fate(state, &wish);
            match fate.refusal {
                Some(Refusal::RateLimited) => return Err(Trouble::RateLimited),
                Some(Refusal::SomethingWentWrong) => return Err(Trouble::SomethingWentWrong),
                Some(Refusal::Unavailable) => return Err(Trouble::Unavailable),
                None => planned.push((wish, fate, doom)),
            }
        }
        // One answer for all of them.
        let is_lost = planned.iter().any(|(_, fate, _)| fate.lost_answer);
        let take = |(wish, mut fate, doom): (Wish, Fate, Option<Trouble>)| {
            fate.lost_answer = is_lost;
            self.accept(state, call.dialect, wish, fate, doom)
        };
        Ok(planned.into_iter().map(take).collect())
    }

    fn limit(&self, state: &mut State, dialect: Dialect, wish: &Wish) -> Result<(), Trouble> {
        let (now, sender) = (self.clock.monotonic(), &wish.sender);
        if let Some(rate) = self.config.messages_per_second.map(f64::from) {
            // With a burst of one second.
            let key = (dialect, sender.clone());
            let bucket = state.buckets.entry(key);
            let bucket = bucket.or_insert_with(|| Bucket::full(rate, now));
            if !bucket.take(rate, rate, now) {
                state.stats.violations += 1;
                return Err(Trouble::TooFast);
            }
        }
        if let Some(Pair { every_ms, burst }) = self.config.pair {
            let (rate, burst) = (1000.0 / every_ms.max(1) as f64, f64::from(burst));
            let key = (dialect, sender.clone(), wish.user.input.clone());
            let bucket = state.pairs.entry(key);
            let bucket = bucket.or_insert_with(|| Bucket::full(burst, now));
            if !bucket.take(rate, burst, now) {
                state.stats.pair_violations += 1;
                return Err(Trouble::TooFastForUser);
            }
        }
        Ok(())
    }

    /// A template nobody knows is taken for approved on first use, unless configured otherwise.
    /// Where the answer does not say what is wrong with it, this is what the message fails with.
    fn template(
        &self,
        state: &mut State,
        dialect: Dialect,
        wish: &Wish,
    ) -> Result<Option<Trouble>, Trouble> {
        let Some((name, language)) = &wish.template else {
            return Ok(None);
        };
        let key = Key::new(dialect, name, language);
        let refusal = match state.templates.get(&key) {
            Some(template) => template.refusal(),
            None if self.config.register_templates => {
                let template = Template::new(&self.config.waba_id, key.clone());
                state.templates.insert(key, template);
                None
            }
            None => Some(key.unknown()),
        };
        match refusal {
            Some(trouble) if dialect.answers_for_templates() => Err(trouble),
            refusal => Ok(refusal),
        }
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

    fn accept(
        &self,
        state: &mut State,
        dialect: Dialect,
        wish: Wish,
        fate: Fate,
        doom: Option<Trouble>,
    ) -> Taken {
        let is_template = wish.template.is_some();
        let (fate, fails_with) = match doom {
            Some(trouble) => (fate.doomed(), trouble),
            None if is_template && fate.enough_marketing => {
                (fate.doomed(), Trouble::EnoughMarketing)
            }
            None => (fate, Trouble::Undeliverable),
        };
        let held = is_template && fate.held;
        let key = wish.template.as_ref();
        let key = key.map(|(name, language)| Key::new(dialect, name, language));
        let message = Arc::new(self.message(state, dialect, wish, key.as_ref(), fails_with));
        let id = &message.wamid;
        let rejected = state
            .messages
            .contains_key(id)
            .then_some(Trouble::DuplicateId);
        if rejected.is_none() {
            let template = key.and_then(|key| state.templates.get_mut(&key));
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
        }
        Taken {
            message,
            fate,
            is_template,
            held,
            rejected,
        }
    }

    fn message(
        &self,
        state: &State,
        dialect: Dialect,
        wish: Wish,
        template: Option<&Key>,
        fails_with: Trouble,
    ) -> Message {
        let template = template.and_then(|key| state.templates.get(key));
        let category = match template {
            // Every account here can send them: none falls back to the Cloud API.
            _ if wish.marketing => "marketing_lite".to_owned(),
            Some(template) => template.category.to_lowercase(),
            None => "service".to_owned(),
        };
        let own_id = wish.given.id.clone();
        Message {
            dialect,
            wamid: own_id.unwrap_or_else(|| dialect.id(self.salt, state.ids, &wish.user)),
            phone_number_id: wish.sender,
            user: wish.user,
            callback: wish.callback,
            category,
            accepted_at: self.clock.now().unix_timestamp(),
            given: wish.given,
            fails_with,
            first_posted: Notify::new(),
        }
    }
}

impl Stats {
    fn count(&mut self, taken: &Taken) {
        if let Some(trouble) = &taken.rejected {
            let code = taken.message.dialect.code(trouble);
            *self.refused.entry(code).or_default() += 1;
            return;
        }
        self.accepted += 1;
        self.lost_answers += u64::from(taken.fate.lost_answer);
        self.late_answers += u64::from(taken.answers_late());
        self.held_answers += u64::from(taken.held && !taken.fate.lost_answer);
    }
}
