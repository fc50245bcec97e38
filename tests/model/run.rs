//! Runs a history over the real service, and says what was asked, done and seen.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use twotick::model::ids::{MessageId, SequenceId};
use twotick::store::CredentialsChange;
use twotick::store::feed::{FeedFilter, Place as FeedPlace};
use twotick::store::senders::SenderChange;
use uuid::Uuid;

use crate::asked::{Asked, Call, Shown, ask, new_sequence, new_steps, seconds};
use crate::history::{Ask, History, Op, Rng, TEMPLATES, What};
use crate::provider::{
    LANGUAGE, Log, Moment, Pending, Post, Said, TemplateSaid, WABA, template_name,
};
use crate::world::{NUMBER, Place, World};

/// Real time: what the service waits for an answer, and what it listens.
pub const POST_TIMEOUT: Duration = Duration::from_millis(300);
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(1000);
/// By the service's clock, which the test moves.
pub const BACKOFF: Duration = Duration::from_secs(60);
pub const UNKNOWN_AFTER: Duration = Duration::from_secs(120);
pub const MAX_ATTEMPTS: usize = 3;

/// A sequence that was made.
#[derive(Debug, Clone)]
pub struct Made {
    pub id: String,
    /// Its messages, in order: the history's step, and the message's id.
    pub messages: Vec<(usize, String)>,
}

/// What happened, beside what the provider's log says.
#[derive(Debug, Default)]
pub struct Story {
    /// By the history's number of the sequence.
    pub made: HashMap<usize, Made>,
    pub asked: Vec<Asked>,
    pub crashes: Vec<Moment>,
    /// Moments at which nothing was being posted.
    pub rests: Vec<Moment>,
    /// Facts as the follower saw them, and how often.
    pub followed: HashMap<Uuid, usize>,
    /// What went wrong on the way.
    pub troubles: Vec<String>,
}

impl Story {
    /// What happened, in order.
    pub fn told(&self, log: &Log) -> String {
        let mut lines: Vec<(Moment, String)> = Vec::new();
        for asked in &self.asked {
            let Asked {
                what,
                sequence,
                step,
                answer,
                ..
            } = asked;
            let line = format!("asked {what:?} of sequence {sequence}, step {step:?}: {answer:?}");
            lines.push((asked.begun, line));
            lines.push((asked.done, format!("  ({what:?} was answered)")));
        }
        for post in &log.posts {
            let line = format!(
                "POST of step {} as {}: {:?}, {:?}, heard {}",
                post.step, post.attempt, post.answer, post.took, post.heard
            );
            lines.push((post.arrived, line));
            let answered = format!("  ({} is answered)", post.attempt);
            lines.extend(post.answered.map(|at| (at, answered)));
        }
        for said in &log.said {
            let line = format!(
                "said {:?} of {} with our id: {}",
                said.word, said.wamid, said.callback
            );
            lines.push((said.begun, line));
            let taken = format!("  ({:?} of {} was taken)", said.word, said.wamid);
            lines.extend(said.done.map(|at| (at, taken)));
        }
        for said in &log.templates {
            lines.push((said.begun, format!("said {said:?}")));
        }
        lines.extend(self.crashes.iter().map(|at| (*at, "crash".to_owned())));
        lines.extend(self.rests.iter().map(|at| (*at, "rest".to_owned())));
        lines.sort_by_key(|(moment, _)| *moment);
        let lines = lines.into_iter();
        let told = lines.map(|(moment, line)| format!("  {} {line}\n", moment.at));
        told.collect()
    }
}

pub struct Run<'a> {
    pub world: &'a mut World,
    pub history: &'a History,
    pub place: Place,
    pub story: Story,
    rng: Rng,
    strangers: usize,
    followed_to: FeedPlace,
    /// POSTs whose late answers are known to be recorded.
    drained: usize,
}

impl<'a> Run<'a> {
    pub async fn begin(world: &'a mut World, history: &'a History) -> Self {
        let place = world.begin().await;
        world.provider.begin(place.number, history.steps.clone());
        Self {
            world,
            history,
            place,
            story: Story::default(),
            rng: Rng::new(!history.seed),
            strangers: 0,
            followed_to: FeedPlace::default(),
            drained: 0,
        }
    }

    pub async fn run(&mut self) {
        for op in &self.history.ops {
            self.step(op).await;
        }
        self.finish().await;
    }

    async fn step(&mut self, op: &Op) {
        match op {
            Op::Create(number) => self.create(*number).await,
            Op::Append(number, steps) => self.append(*number, steps).await,
            Op::Ask(asked) => self.ask(asked).await,
            Op::Say { statuses, webhooks } => self.say(*statuses, *webhooks).await,
            Op::SayAndLose { statuses } => self.say_and_lose(*statuses).await,
            Op::Stranger(kind) => self.meet_stranger(*kind),
            Op::Template { template, paused } => {
                self.world.provider.set_template(*template, *paused);
            }
            Op::SayTemplates => self.say_templates().await,
            Op::Unblock => self.unblock().await,
            Op::Crash { restart } => self.crash(*restart).await,
            Op::Stop => self.world.stop().await,
            Op::Start => self.world.start(),
            Op::ExpireLease => self.world.expire_lease(&self.place).await,
            Op::Pass(secs) => self.pass(seconds(*secs)),
            Op::Settle => self.settle(false).await,
            Op::Breathe(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Op::Follow => self.follow().await,
        }
    }

    fn moment(&self) -> Moment {
        self.world.provider.moment()
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.world.provider.log()
    }

    fn pass(&self, by: Duration) {
        self.world.clock.advance(by);
        self.world.poke(self.place.sender);
    }

    async fn settle(&mut self, exchanges: bool) {
        if !self.world.is_served() {
            return;
        }
        match self.world.settle(&self.place, exchanges).await {
            true => {
                let moment = self.moment();
                self.story.rests.push(moment);
            }
            false => self
                .story
                .troubles
                .push("it never came to rest: something stays due or claimed".to_owned()),
        }
    }

    async fn crash(&mut self, restart: bool) {
        let moment = self.moment();
        self.story.crashes.push(moment);
        let which = self.rng.below(2);
        self.world.crash(which, &self.place).await;
        if restart {
            self.world.start();
        }
    }

    // -- what people ask ------------------------------------------------------------------------

    async fn call(
        &mut self,
        call: &Call,
        what: What,
        sequence: usize,
        step: Option<usize>,
        cut: Option<u64>,
    ) -> Option<Shown> {
        let begun = self.moment();
        let name = format!("{}.{}", self.place.number, begun.tick);
        let limits = self.world.config.send.retry_limits();
        let answer = ask(&self.world.store, call, limits, cut, name).await;
        self.world.poke(self.place.sender);
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let trouble = format!("{what:?} of sequence {sequence}: {error}");
                self.story.troubles.push(trouble);
                return None;
            }
        };
        let done = self.moment();
        self.story.asked.push(Asked {
            what,
            sequence,
            step,
            begun,
            done,
            answer: answer.clone(),
        });
        answer.ok()
    }

    async fn create(&mut self, number: usize) {
        let sequence = &self.history.sequences[number];
        let call = Call::Create(new_sequence(self.history, sequence, self.place.sender));
        let cut = self.rng.chance(10).then(|| self.rng.next() % 8);
        let shown = self.call(&call, What::Create, number, None, cut).await;
        let shown = shown.expect("nothing stands against making it");
        let messages = sequence.steps.iter().copied().zip(shown.messages);
        let made = Made {
            id: shown.id,
            messages: messages.collect(),
        };
        self.story.made.insert(number, made);
    }

    async fn append(&mut self, number: usize, steps: &[usize]) {
        let Some(id) = self.sequence_id(number) else {
            return;
        };
        let call = Call::Append(id, new_steps(self.history, steps));
        let cut = self.rng.chance(10).then(|| self.rng.next() % 8);
        let step = steps.first().copied();
        let shown = self.call(&call, What::Append, number, step, cut).await;
        let made = self.story.made.get_mut(&number);
        if let (Some(shown), Some(made)) = (shown, made) {
            let ids = shown.messages.into_iter().skip(made.messages.len());
            made.messages.extend(steps.iter().copied().zip(ids));
        }
    }

    fn sequence_id(&self, number: usize) -> Option<SequenceId> {
        self.story.made.get(&number)?.id.parse().ok()
    }

    async fn ask(&mut self, asked: &Ask) {
        let Some(made) = self.story.made.get(&asked.sequence) else {
            return;
        };
        let (step, message) = made.messages[asked.step.min(made.messages.len() - 1)].clone();
        let (call, step) = match asked.what {
            What::CancelMessage | What::RetryMessage => {
                let id: MessageId = message.parse().unwrap();
                (Call::Message(id, asked.what), Some(step))
            }
            what => (Call::Sequence(made.id.parse().unwrap(), what), None),
        };
        self.call(&call, asked.what, asked.sequence, step, asked.cut)
            .await;
    }

    async fn unblock(&mut self) {
        let change = SenderChange {
            resume: true,
            ..SenderChange::default()
        };
        let store = self.world.store.clone();
        store
            .update_sender(self.place.sender, &change)
            .await
            .unwrap();
        let token = CredentialsChange {
            access_token: Some("token".into()),
            ..CredentialsChange::default()
        };
        store
            .update_credentials(self.place.connection, &token)
            .await
            .unwrap();
        self.world.poke(self.place.sender);
    }

    // -- what the provider says -----------------------------------------------------------------

    /// Statuses of a message that nobody here posted, with somebody else's callback data.
    fn meet_stranger(&mut self, kind: usize) {
        self.strangers += 1;
        let wamid = format!("wamid.{}.x{}", self.place.number, self.strangers);
        let says = crate::history::stranger(kind);
        let mut log = self.log();
        let since = log.since;
        log.pending
            .extend(says.into_iter().enumerate().map(|(at, word)| Pending {
                wamid: wamid.clone(),
                callback: (kind == 1).then(|| "campaign=81".to_owned()),
                word,
                dated: since + i64::try_from(at).unwrap(),
                copies: 1 + kind % 2,
            }));
    }

    /// Takes so many statuses from those that are to be said, in no order.
    fn take_pending(&mut self, n: usize) -> Vec<Pending> {
        let mut log = self.world.provider.log();
        self.rng.shuffle(&mut log.pending);
        let from = log.pending.len().saturating_sub(n);
        log.pending.split_off(from)
    }

    /// Writes down that these are being said; which entries.
    fn say_begins(&self, statuses: &[Pending]) -> Vec<usize> {
        let begun = self.moment();
        let mut log = self.log();
        let entries = statuses.iter().map(|status| {
            log.said.push(Said {
                wamid: status.wamid.clone(),
                word: status.word,
                dated: status.dated,
                callback: status.callback.is_some(),
                begun,
                done: None,
            });
            log.said.len() - 1
        });
        entries.collect()
    }

    async fn say(&mut self, n: usize, webhooks: usize) {
        if !self.world.is_served() {
            return;
        }
        let statuses = self.take_pending(n);
        let mut posting = JoinSet::new();
        for part in statuses.chunks(statuses.len().div_ceil(webhooks).max(1)) {
            let part = part.to_vec();
            let entries = self.say_begins(&part);
            let which = self.rng.below(2);
            let body = statuses_body(&part);
            let committing = self.world.webhook(&self.place, &body, which);
            posting.spawn(async move {
                let committed = match committing {
                    Some(committing) => committing.await,
                    None => false,
                };
                (part, entries, committed)
            });
        }
        while let Some(posted) = posting.join_next().await {
            let (part, entries, committed) = posted.unwrap();
            let done = self.moment();
            let mut log = self.log();
            for (mut status, entry) in part.into_iter().zip(entries) {
                if committed {
                    log.said[entry].done = Some(done);
                    status.copies -= 1;
                }
                if status.copies > 0 {
                    log.pending.push(status);
                }
            }
        }
    }

    async fn say_and_lose(&mut self, n: usize) {
        let statuses = self.take_pending(n);
        let body = statuses_body(&statuses);
        if let Some(committing) = self.world.webhook(&self.place, &body, 0) {
            self.say_begins(&statuses);
            let posting = tokio::spawn(committing);
            tokio::time::sleep(Duration::from_millis(self.rng.next() % 5)).await;
            posting.abort();
            let _ = posting.await;
        }
        self.log().pending.extend(statuses);
    }

    async fn say_templates(&mut self) {
        let mut waiting = std::mem::take(&mut self.log().pending_templates);
        self.rng.shuffle(&mut waiting);
        for (template, paused, dated) in waiting {
            let body = template_body(template, paused, dated);
            let begun = self.moment();
            let entry = {
                let mut log = self.log();
                log.templates.push(TemplateSaid {
                    template,
                    paused,
                    dated,
                    begun,
                    done: None,
                });
                log.templates.len() - 1
            };
            let committed = match self.world.webhook(&self.place, &body, 0) {
                Some(committing) => committing.await,
                None => false,
            };
            let done = self.moment();
            let mut log = self.log();
            match committed {
                true => log.templates[entry].done = Some(done),
                false => log.pending_templates.push((template, paused, dated)),
            }
        }
    }

    // -- the end --------------------------------------------------------------------------------

    /// All that is to be said is said, whatever closed something opens it, and time passes until
    /// nothing is due.
    async fn finish(&mut self) {
        /// Each turn posts, says or decides something; a history has no more of these.
        const TURNS: usize = 400;
        self.world.start();
        for template in 0..TEMPLATES {
            self.world.provider.set_template(template, false);
        }
        for _ in 0..TURNS {
            self.unblock().await;
            self.say_templates().await;
            let n = self.log().pending.len();
            if n > 0 {
                let statuses = if self.rng.chance(50) { n } else { 1 + n / 2 };
                self.say(statuses, 2).await;
            }
            self.settle(true).await;
            if !self.story.troubles.is_empty() {
                return;
            }
            if !self.log().pending.is_empty() {
                continue;
            }
            match self.world.next_due(&self.place).await {
                Some(at) => {
                    let wait = at - self.world.clock.now();
                    let wait = Duration::try_from(wait).unwrap_or_default();
                    self.pass(wait + Duration::from_millis(1));
                }
                // What was due meanwhile, or was closed by a refusal, is for another turn.
                None if self.is_closed().await || self.world.is_busy(&self.place).await => {}
                None if self.has_late_answers() => {
                    self.world.drain().await;
                    self.world.drain().await;
                    self.world.start();
                    self.settle(true).await;
                }
                None => return self.catch_up().await,
            }
        }
        self.story
            .troubles
            .push("it never ends: something is always due".to_owned());
    }

    /// Whether answers came so late that nothing waits for them but the posts themselves: only
    /// their end shows that these are recorded. Once for every POST.
    fn has_late_answers(&mut self) -> bool {
        let posts = self.log().posts.len();
        let new = std::mem::replace(&mut self.drained, posts);
        self.log().posts[new..].iter().any(Post::is_late)
    }

    /// Sender or connection: a refusal may have closed it since they were opened.
    async fn is_closed(&self) -> bool {
        let store = &self.world.store;
        let sender = store.sender(self.place.sender).await.unwrap().unwrap();
        let connection = store.connection(self.place.connection).await.unwrap();
        sender.status != "active" || connection.unwrap().stopped.is_some()
    }

    /// The follower reads on to the end of what is there.
    async fn catch_up(&mut self) {
        let until = self.world.clock.monotonic() + Duration::from_secs(8);
        let mut all = self.world.facts_of(self.place.sender.0).await;
        all.extend(self.world.facts_of(self.place.stream).await);
        loop {
            self.follow().await;
            if all.iter().all(|id| self.story.followed.contains_key(id)) {
                return;
            }
            if self.world.clock.monotonic() > until {
                let open = self.world.open_transactions().await;
                self.story
                    .troubles
                    .push(format!("the feed never showed every fact; open: {open:?}"));
                return;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }

    async fn follow(&mut self) {
        const PAGE: i64 = 20;
        let filter = FeedFilter {
            connection: Some(self.place.connection),
            ..FeedFilter::default()
        };
        loop {
            let read = self.world.store.feed(&filter, self.followed_to, PAGE);
            let (facts, next) = read.await.unwrap();
            self.followed_to = next;
            let n = facts.len();
            for fact in facts {
                *self.story.followed.entry(fact.id).or_default() += 1;
            }
            if i64::try_from(n).unwrap() < PAGE {
                return;
            }
        }
    }
}

fn statuses_body(statuses: &[Pending]) -> Value {
    let statuses: Vec<_> = statuses
        .iter()
        .map(|status| {
            let mut said = json!({
                "id": status.wamid, "timestamp": status.dated.to_string(),
                "recipient_id": "447700900123",
                "status": match status.word {
                    Ok(word) => format!("{word:?}").to_lowercase(),
                    Err(_) => "failed".to_owned(),
                },
            });
            if let Err(code) = status.word {
                said["errors"] = json!([{"code": code, "title": "no"}]);
            }
            if let Some(callback) = &status.callback {
                said["biz_opaque_callback_data"] = callback.as_str().into();
            }
            said
        })
        .collect();
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550142217", "phone_number_id": NUMBER},
        "statuses": statuses,
    });
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA, "changes": [{"field": "messages", "value": value}]}],
    })
}

fn template_body(template: usize, paused: bool, dated: i64) -> Value {
    let value = json!({
        "event": if paused { "PAUSED" } else { "APPROVED" },
        "message_template_id": template,
        "message_template_name": template_name(template),
        "message_template_language": LANGUAGE,
        "reason": "NONE",
    });
    let change = json!({"field": "message_template_status_update", "value": value});
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA, "time": dated, "changes": [change]}],
    })
}
