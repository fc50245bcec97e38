//! Runs a history over the real service. What people ask is here; what the provider says, and how
//! a history ends, are in `says.rs` and `finish.rs`.

use std::time::Duration;

use twotick::model::ids::{MessageId, SequenceId};
use twotick::store::CredentialsChange;
use twotick::store::feed::Place as FeedPlace;
use twotick::store::senders::SenderChange;

use crate::asked::{Asked, Call, Shown, ask, new_sequence, new_steps, seconds};
use crate::history::{Ask, History, Op, What};
use crate::provider::{Log, Moment};
use crate::rng::Rng;
use crate::story::{Made, Story};
use crate::world::{Agenda, Place, World};

/// Real time: what the service waits for an answer, and what it listens.
pub const POST_TIMEOUT: Duration = Duration::from_millis(300);
pub const ANSWER_TIMEOUT: Duration = Duration::from_millis(1000);
/// By the service's clock, which the test moves.
pub const BACKOFF: Duration = Duration::from_secs(60);
pub const UNKNOWN_AFTER: Duration = Duration::from_secs(120);
pub const MAX_ATTEMPTS: usize = 3;

pub struct Run<'a> {
    pub world: &'a mut World,
    pub history: &'a History,
    pub place: Place,
    pub story: Story,
    pub rng: Rng,
    pub strangers: usize,
    pub followed_to: FeedPlace,
    /// How many POSTs have had their answers recorded by now, however late, and of how many askings
    /// whatever they met on its way.
    pub drained: (usize, usize),
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
            drained: (0, 0),
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
            Op::Settle => {
                self.settle(false).await;
            }
            Op::Breathe(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Op::Follow => self.follow().await,
        }
    }

    pub fn moment(&self) -> Moment {
        self.world.provider.moment()
    }

    pub fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.world.provider.log()
    }

    pub fn pass(&self, by: Duration) {
        self.world.clock.advance(by);
        self.world.poke(self.place.sender);
    }

    /// Until the service has done what it can do now; what there is to do then.
    pub async fn settle(&mut self, exchanges: bool) -> Option<Agenda> {
        if !self.world.is_served() {
            return None;
        }
        let agenda = self.world.settle(&self.place, exchanges).await;
        if agenda.is_some() {
            let moment = self.moment();
            self.story.rests.push(moment);
        } else {
            let trouble = "it never came to rest: something stays due or claimed";
            self.story.troubles.push(trouble.to_owned());
        }
        agenda
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

    pub async fn unblock(&mut self) {
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
            .update_credentials(self.place.connection, &token, None)
            .await
            .unwrap();
        self.world.poke(self.place.sender);
    }
}
