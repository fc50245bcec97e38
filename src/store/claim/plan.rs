//! What a claim will do to the rows it has locked: `model::sequence::next`, asked again and
//! again until a sequence is being posted or has to wait. No SQL here.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::super::attempts::{REFUSED_AT, RULE};
use super::super::facts::OwnFact;
use super::super::sequence_create::NewStep;
use super::ClaimRequest;
use super::due::MAX_DECISIONS;
use crate::model::campaign::{self, Variables};
use crate::model::error_class::ErrorClass;
use crate::model::ids::{AttemptId, MessageId, SenderId, SequenceId};
use crate::model::lane::Turns;
use crate::model::limits::Pairs;
use crate::model::message::{Attempt, Outcome};
use crate::model::quiet::QuietHours;
use crate::model::sequence::{
    Action, Circumstances, Content, Gate, Head, OnFailure, OnUnknown, Passed, Policy, Reason,
    Refusal, RetryLimits, Rules, Sequence, SequenceStatus, SequenceWork, User, may_post, next,
};
use crate::model::{Timestamp, event, lane, recipient};

/// The lanes that may be claimed from.
#[derive(Debug)]
pub(super) struct Lanes {
    open: Vec<String>,
    /// Those of marketing templates, open or not.
    marketing: Vec<String>,
}

impl Lanes {
    /// Nothing may be posted, but gates are decided.
    pub(super) fn decisions_only(marketing: Vec<String>) -> Self {
        Self {
            open: vec![lane::DECISION.to_owned()],
            marketing,
        }
    }

    /// These, free-form messages, and decisions.
    pub(super) fn open(mut open: Vec<String>, marketing: Vec<String>) -> Self {
        open.push(lane::DECISION.to_owned());
        open.push(lane::FREE.to_owned());
        Self { open, marketing }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.open
    }

    /// In the order in which POSTs are given to them.
    pub(super) fn take_turns(&mut self, turns: &Mutex<Turns>) {
        let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.order(&mut self.open);
    }

    fn is_open(&self, lane: &str) -> bool {
        self.open.iter().any(|open| open == lane)
    }

    fn content(&self, row: &Row, step: &Step) -> Content {
        match &step.template {
            _ if recipient::is_group(&row.recipient) => Content::Other,
            Some(_) if self.marketing.contains(&step.lane()) => Content::Marketing,
            Some(_) => Content::Template,
            None if step.raw => Content::Other,
            None => Content::FreeForm,
        }
    }
}

/// A sequence's row: as it was locked, then as it will be.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) id: Uuid,
    pub(super) status: SequenceStatus,
    pub(super) reason: Option<Reason>,
    pub(super) work: SequenceWork,
    pub(super) head: i32,
    /// The head's last attempt.
    pub(super) attempt: i16,
    pub(super) length: i32,
    /// When the head may be posted, while it is ready.
    pub(super) ready_at: Option<Timestamp>,
    pub(super) deadline_at: Option<Timestamp>,
    pub(super) on_failure: OnFailure,
    pub(super) gate: Gate,
    pub(super) policy: Policy,
    pub(super) quiet_hours: Option<QuietHours>,
    /// Since when there is something to answer.
    pub(super) since: Timestamp,
    pub(super) recipient: String,
    /// Of whose messages its own are made when they are claimed.
    pub(super) campaign: Option<Uuid>,
    pub(super) reference: Option<String>,
    pub(super) variables: Variables,
    /// What is known of the recipient.
    pub(super) user: User,
    pub(super) due_at: Option<Timestamp>,
    /// Why it is posted later, where we make it so.
    pub(super) ready_because: Option<&'static str>,
    pub(super) lane: String,
    /// The step that is claimed.
    pub(super) claim: Option<Step>,
}

/// A message of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) message: Uuid,
    /// What it is to be made of: it is one of a campaign's, and has no row yet.
    pub(super) unmade: Option<Arc<NewStep>>,
    pub(super) campaign: Option<Uuid>,
    pub(super) position: i32,
    pub(super) cancelled: bool,
    pub(super) gate: Gate,
    pub(super) delay: Duration,
    pub(super) on_unknown: OnUnknown,
    pub(super) template: Option<(String, String)>,
    /// Of which nothing is known but that the provider takes it.
    pub(super) raw: bool,
    pub(super) attempts: Vec<Attempt>,
    /// How often in a row its last attempt was refused and not counted.
    pub(super) refusals: u32,
}

impl Step {
    pub(super) fn lane(&self) -> String {
        let template = self.template.as_ref();
        let lane = lane::of(template.map(|(name, language)| (name.as_str(), language.as_str())));
        match self.campaign {
            Some(campaign) => lane::in_campaign(campaign, &lane),
            None => lane,
        }
    }

    /// How long the provider has had the message.
    fn accepted_for(&self, now: Timestamp) -> Option<Duration> {
        let accepted_at = self.attempts.last()?.evidence.accepted_at?;
        (now - accepted_at).try_into().ok()
    }

    /// The number of the attempt that is posted now: a new one, or the last if the provider is
    /// known not to have taken it and it was not counted.
    pub(super) fn next_n(&self) -> i16 {
        let n = i16::try_from(self.attempts.len()).unwrap_or(i16::MAX);
        match self.attempts.last() {
            Some(last) if last.was_given_back() => n,
            _ => n.saturating_add(1),
        }
    }
}

/// A message that gets its row now, because an attempt of it does.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) sequence: Uuid,
    pub(super) position: i32,
    pub(super) message: Uuid,
    pub(super) campaign: Option<Uuid>,
    pub(super) recipient: String,
    pub(super) reference: Option<String>,
    /// As it is for this recipient.
    pub(super) content: Value,
    pub(super) of: Arc<NewStep>,
}

/// An attempt that nobody posts.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) sequence: Uuid,
    pub(super) position: i32,
    pub(super) attempt: AttemptId,
    pub(super) refusal: Value,
}

/// Rows as they will be, and the facts that say so.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) rows: Vec<Row>,
    pub(super) facts: Vec<OwnFact>,
    /// What is not posted at all.
    pub(super) refused: Vec<Refused>,
    /// Messages of campaigns.
    pub(super) made: Vec<Made>,
    /// Of the gates that opened: how long their messages had been accepted.
    pub(super) gate_waits: Vec<Duration>,
}

impl Plan {
    pub(super) fn make(
        request: &ClaimRequest<'_>,
        rows: Vec<Row>,
        mut steps: HashMap<Uuid, Vec<Step>>,
        lanes: &Lanes,
        now: Timestamp,
    ) -> Self {
        let mut planning = Planning {
            queues: HashMap::new(),
            pairs: request.pairs.lock().unwrap_or_else(PoisonError::into_inner),
            sender: request.lease.sender,
            limits: request.limits,
            rules: request.rules,
            posts: request.posts,
            lanes,
            now,
            facts: Vec::new(),
            refused: Vec::new(),
            made: Vec::new(),
            gate_waits: Vec::new(),
        };
        let rows = rows
            .into_iter()
            .map(|row| {
                let mut steps = steps.remove(&row.id).unwrap_or_default();
                planning.settle(row, &mut steps)
            })
            .collect();
        Self {
            rows,
            facts: planning.facts,
            refused: planning.refused,
            made: planning.made,
            gate_waits: planning.gate_waits,
        }
    }

    /// The steps that are claimed.
    pub(super) fn claimed(&self) -> impl Iterator<Item = (&Row, &Step)> {
        self.rows
            .iter()
            .filter_map(|row| row.claim.as_ref().map(|step| (row, step)))
    }

    /// Whoever is posted has had its turn.
    pub(super) fn give_turns(&self, turns: &Mutex<Turns>) {
        let mut turns = turns.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, step) in self.claimed() {
            turns.give(step.lane());
        }
    }

    pub(super) fn has_progress(&self) -> bool {
        !self.rows.is_empty()
    }

    /// Whether something may be due still: as many were taken as could be, or a sequence was
    /// decided on and not taken as far as it goes.
    pub(super) fn leaves_more(&self, posts: usize, now: Timestamp) -> bool {
        let taken = self.rows.len();
        let most = if posts == 0 {
            MAX_DECISIONS
        } else {
            posts.min(MAX_DECISIONS)
        };
        taken >= most
            || self
                .rows
                .iter()
                .any(|row| row.due_at.is_some_and(|at| at <= now))
    }

    /// When the next of the sender's rows will be due, if `others` says so of those that are not
    /// in the plan.
    pub(super) fn next_due(&self, others: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let planned = self.rows.iter().filter_map(|row| row.due_at);
        planned.filter(|at| *at > now).chain(others).min()
    }
}

struct Planning<'a> {
    /// How many wait for each user.
    queues: HashMap<String, u32>,
    pairs: MutexGuard<'a, Pairs>,
    sender: SenderId,
    limits: RetryLimits,
    rules: Rules,
    posts: usize,
    lanes: &'a Lanes,
    now: Timestamp,
    facts: Vec<OwnFact>,
    refused: Vec<Refused>,
    made: Vec<Made>,
    gate_waits: Vec<Duration>,
}

impl Planning<'_> {
    /// Takes a sequence as far as it goes now. Ends: every turn either returns, moves the head on,
    /// or has one more attempt refused that was to be posted, and steps and attempts are finite.
    fn settle(&mut self, mut row: Row, steps: &mut [Step]) -> Row {
        loop {
            let at = |position| steps.iter().position(|step| step.position == position);
            let (head, following) = (at(row.head), at(row.head + 1));
            let is_unread = |position, step: Option<_>| step.is_none() && position <= row.length;
            if is_unread(row.head, head) {
                row.due_at = Some(self.now);
                return row;
            }
            let action = self.next(&row, head.and_then(|head| steps.get(head)));
            let following = following.and_then(|following| steps.get(following));
            match (action, head.and_then(|head| steps.get(head))) {
                (Action::Advance(_), _) if following.is_none() && row.head < row.length => {
                    // So is its delay: the next transaction decides on this head again.
                    row.due_at = Some(self.now);
                    return row;
                }
                (Action::Advance(passed), Some(step)) => {
                    row = self.advance(row, step, passed);
                    if let Some(following) = following.filter(|step| !step.delay.is_zero()) {
                        let due_at = self.now + following.delay;
                        return self.ready(row, following.lane(), due_at);
                    }
                }
                (Action::Post, Some(step)) => {
                    row = match self.put_off(row, step) {
                        ControlFlow::Break(row) => return row,
                        ControlFlow::Continue(row) => row,
                    };
                    let (content, user) = (self.lanes.content(&row, step), row.user);
                    match may_post(&row.policy, content, &user, &self.rules, self.now) {
                        Action::Refuse(refusal) => {
                            let step = head.and_then(|head| steps.get_mut(head));
                            row = self.refuse(row, step, refusal);
                        }
                        Action::AwaitUser(until) => return self.await_user(row, until),
                        _ => return self.post(row, step),
                    }
                }
                (action, step) => return self.stay(row, action, step),
            }
        }
    }

    fn next(&self, row: &Row, step: Option<&Step>) -> Action {
        let head = step.map(|step| Head {
            attempts: &step.attempts,
            cancelled: step.cancelled,
            gate: step.gate,
            on_unknown: step.on_unknown,
            content: self.lanes.content(row, step),
            is_last: row.head == row.length,
        });
        let sequence = Sequence {
            status: row.status,
            reason: row.reason,
            work: row.work,
            ready_at: row.ready_at.filter(|_| row.ready_because.is_none()),
            deadline_at: row.deadline_at,
            on_failure: row.on_failure,
            policy: row.policy,
            since: row.since,
        };
        let circumstances = Circumstances {
            user: &row.user,
            now: self.now,
            limits: &self.limits,
            rules: &self.rules,
        };
        next(&sequence, head.as_ref(), &circumstances)
    }

    /// An attempt that is refused before anybody is asked.
    fn refuse(&mut self, mut row: Row, step: Option<&mut Step>, refusal: Refusal) -> Row {
        let Some(step) = step else { return row };
        self.make_row(&row, step);
        step.unmade = None;
        let n = step.next_n();
        let attempt = AttemptId {
            message: self.message(step),
            n,
        };
        let error = refusal.error();
        let class = ErrorClass::NeverToRecipient;
        let data = json!({
            "code": error.code, "title": error.title, "details": error.details,
            "class": class.as_str(), REFUSED_AT: crate::model::rfc3339(self.now), RULE: refusal,
        });
        let fact = OwnFact::of_attempt(attempt, event::MESSAGE_REFUSED, "sweep");
        self.facts.push(fact.with(data.clone()));
        self.refused.push(Refused {
            sequence: row.id,
            position: step.position,
            attempt,
            refusal: data,
        });
        step.attempts.truncate(usize::try_from(n - 1).unwrap_or(0));
        step.attempts.push(Attempt {
            outcome: Some(Outcome::Refused(class)),
            rule: Some(refusal),
            ..Attempt::default()
        });
        row.attempt = n;
        row.ready_because = None;
        row.work = SequenceWork::Waiting;
        row.ready_at = None;
        row
    }

    fn advance(&mut self, mut row: Row, step: &Step, passed: Passed) -> Row {
        if passed == Passed::Opened {
            self.gate_waits.extend(step.accepted_for(self.now));
        }
        let how = match passed {
            Passed::Opened => "opened",
            Passed::DeadlineSkipped => "deadline",
            Passed::FailureSkipped => "failure",
            Passed::Cancelled => "cancelled",
        };
        let data = json!({"position": step.position, "gate": how, "message": self.message(step)});
        self.facts
            .push(self.of_sequence(&row, event::SEQUENCE_ADVANCED).with(data));
        self.run(&mut row);
        row.ready_because = None;
        row.head += 1;
        row.attempt = 0;
        row.work = SequenceWork::Ready;
        row.ready_at = Some(self.now);
        row.deadline_at = None;
        row
    }

    /// What is ready and cannot be posted now; the others come back.
    fn put_off(&mut self, mut row: Row, step: &Step) -> ControlFlow<Row, Row> {
        let at = row.ready_at.unwrap_or(self.now);
        if at > self.now {
            return ControlFlow::Break(self.ready(row, step.lane(), at));
        }
        row.ready_because = None;
        if self.posts == 0 || !self.lanes.is_open(&step.lane()) {
            return ControlFlow::Break(self.ready(row, step.lane(), at));
        }
        let quiet = row.quiet_hours.as_ref();
        if let Some(at) = quiet.and_then(|hours| hours.end_of(&row.recipient, self.now)) {
            row.ready_because = Some("quiet_hours");
            return ControlFlow::Break(self.ready(row, step.lane(), at));
        }
        if let Some(at) = self.pairs.free_at(&row.recipient, self.now) {
            // One after the other: all at once would all be looked at again and again.
            let queue = self.queues.entry(row.recipient.clone()).or_default();
            let at = at + self.pairs.every() * *queue;
            *queue += 1;
            row.ready_because = Some("rate_limit");
            return ControlFlow::Break(self.ready(row, step.lane(), at));
        }
        ControlFlow::Continue(row)
    }

    /// What stands against it is the user's to do away with. Who learns of that makes it due; should
    /// nobody, it is looked at now and then.
    fn await_user(&mut self, mut row: Row, until: Refusal) -> Row {
        const LOOK_AGAIN: Duration = Duration::from_secs(3600);
        let reason = row.reason.filter(|_| row.status == SequenceStatus::Running);
        self.run(&mut row);
        // It says why it is posted again, if it is.
        row.reason = reason;
        row.work = SequenceWork::Ready;
        row.ready_at = Some(row.ready_at.unwrap_or(self.now));
        row.ready_because = Some(until.as_str());
        row.deadline_at = None;
        row.due_at = Some(self.now + LOOK_AGAIN);
        row.lane = lane::DECISION.to_owned();
        row
    }

    fn post(&mut self, mut row: Row, step: &Step) -> Row {
        self.pairs.spend(&row.recipient, self.now);
        self.posts -= 1;
        self.make_row(&row, step);
        let attempt = AttemptId {
            message: self.message(step),
            n: step.next_n(),
        };
        self.facts.push(OwnFact::of_attempt(
            attempt,
            event::MESSAGE_RELEASED,
            "sweep",
        ));
        // Should it come back: what it was posted again for may have gone by then.
        let because = row.reason.filter(|_| row.status == SequenceStatus::Running);
        self.run(&mut row);
        row.reason = because;
        row.work = SequenceWork::Claimed;
        row.attempt = step.next_n();
        row.due_at = None;
        row.ready_at = None;
        row.deadline_at = None;
        row.lane = lane::DECISION.to_owned();
        row.claim = Some(step.clone());
        row
    }

    /// An attempt is of a message that is there.
    fn make_row(&mut self, row: &Row, step: &Step) {
        let Some(of) = &step.unmade else { return };
        let own = of.reference.as_ref();
        let reference = own.map(|text| campaign::fill_text(text, &row.variables));
        self.made.push(Made {
            sequence: row.id,
            position: step.position,
            message: step.message,
            campaign: step.campaign,
            recipient: row.recipient.clone(),
            reference: reference.or_else(|| row.reference.clone()),
            content: campaign::fill(&of.content, &row.variables),
            of: Arc::clone(of),
        });
    }

    /// The head stays where it is.
    fn stay(&mut self, mut row: Row, action: Action, step: Option<&Step>) -> Row {
        row.ready_because = None;
        match (action, step) {
            (
                Action::Wait {
                    due_at,
                    deadline_at,
                },
                _,
            ) => {
                if row.status == SequenceStatus::Running || due_at.is_some() {
                    self.run(&mut row);
                }
                row.due_at = due_at;
                row.deadline_at = deadline_at.or(row.deadline_at);
                if row.work == SequenceWork::Ready {
                    row.work = SequenceWork::Waiting;
                    row.ready_at = None;
                }
            }
            (Action::Retry { at, because }, Some(step)) => {
                let last = AttemptId {
                    message: self.message(step),
                    n: step.next_n() - 1,
                };
                let data = json!({"next_attempt_at": crate::model::rfc3339(at)});
                let fact = OwnFact::of_attempt(last, event::MESSAGE_RETRYING, "sweep");
                self.facts.push(fact.with(data));
                self.run(&mut row);
                row.reason = Some(because);
                row.deadline_at = None;
                return self.ready(row, step.lane(), at);
            }
            (Action::AwaitUser(until), _) => return self.await_user(row, until),
            (Action::Hold(reason), _) => {
                let data = json!({"reason": reason.as_str(), "position": row.head});
                self.facts
                    .push(self.of_sequence(&row, event::SEQUENCE_HELD).with(data));
                row.status = SequenceStatus::Held;
                row.reason = Some(reason);
                row.work = SequenceWork::Waiting;
                row.due_at = None;
                row.ready_at = None;
            }
            (Action::Stop(reason), _) => {
                let data = json!({"reason": reason.as_str(), "position": row.head});
                self.facts
                    .push(self.of_sequence(&row, event::SEQUENCE_STOPPED).with(data));
                row.reason = Some(reason);
                end(&mut row, SequenceStatus::Stopped);
            }
            (Action::Complete, _) => {
                self.facts
                    .push(self.of_sequence(&row, event::SEQUENCE_COMPLETED));
                row.reason = None;
                end(&mut row, SequenceStatus::Completed);
            }
            // `next` gives these only with a head; without one there is nothing to do.
            (Action::Post | Action::Advance(_) | Action::Refuse(_) | Action::Retry { .. }, _) => {
                row.due_at = None
            }
        }
        row
    }

    /// A held sequence that goes on by itself says so.
    fn run(&mut self, row: &mut Row) {
        if row.status == SequenceStatus::Held {
            self.facts
                .push(self.of_sequence(row, event::SEQUENCE_RESUMED));
            row.status = SequenceStatus::Running;
        }
        row.reason = None;
    }

    fn ready(&self, mut row: Row, lane: String, due_at: Timestamp) -> Row {
        row.work = SequenceWork::Ready;
        row.lane = lane;
        row.due_at = Some(due_at);
        row.ready_at = Some(due_at);
        row
    }

    fn message(&self, step: &Step) -> MessageId {
        MessageId {
            sender: self.sender,
            uuid: step.message,
        }
    }

    fn of_sequence(&self, row: &Row, r#type: &'static str) -> OwnFact {
        let id = SequenceId {
            sender: self.sender,
            uuid: row.id,
        };
        OwnFact::of_sequence(id, r#type, "sweep")
    }
}

fn end(row: &mut Row, status: SequenceStatus) {
    row.status = status;
    row.work = SequenceWork::Done;
    row.due_at = None;
    row.ready_at = None;
    row.deadline_at = None;
}
