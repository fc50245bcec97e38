//! How a claim goes through its rows, one after the other: what `model` says is done to each, and
//! what keeps a head that is ready from being posted now.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::attempts::{REFUSED_AT, RULE};
use super::super::facts::OwnFact;
use super::plan::{Lanes, Made, Refused, Row, Step};
use crate::model::campaign;
use crate::model::error_class::ErrorClass;
use crate::model::ids::{AttemptId, MessageId, SenderId, SequenceId};
use crate::model::limits::Pairs;
use crate::model::message::{Attempt, Outcome};
use crate::model::reach::Reach;
use crate::model::sequence::{
    Action, Circumstances, Content, Head, Passed, Refusal, RetryLimits, Rules, Sequence,
    SequenceStatus, SequenceWork, may_post, next,
};
use crate::model::{Timestamp, event, lane};

/// Why a head waits whose account may write to no more users.
pub(super) const MESSAGING_LIMIT: &str = "messaging_limit";

/// What the rows of one claim have in common, and what becomes of them.
pub(super) struct Planning<'a> {
    /// How many wait for each user.
    pub(super) queues: HashMap<String, u32>,
    pub(super) pairs: MutexGuard<'a, Pairs>,
    pub(super) sender: SenderId,
    pub(super) limits: RetryLimits,
    pub(super) rules: Rules,
    pub(super) posts: usize,
    pub(super) harmless: bool,
    pub(super) lanes: &'a Lanes,
    pub(super) now: Timestamp,
    pub(super) facts: Vec<OwnFact>,
    pub(super) refused: Vec<Refused>,
    pub(super) made: Vec<Made>,
    /// What is left of the account's limit, and whom it counts already; `None`: nobody waits.
    pub(super) reach: Option<(MutexGuard<'a, Reach>, HashSet<String>)>,
    pub(super) opened: Vec<String>,
    pub(super) gate_waits: Vec<Duration>,
    pub(super) pair_waits: Vec<Duration>,
    pub(super) failed: Vec<ErrorClass>,
}

impl Planning<'_> {
    /// Takes a sequence as far as it goes now. Ends: every turn either returns, moves the head on,
    /// or has one more attempt refused that was to be posted, and steps and attempts are finite.
    pub(super) fn settle(&mut self, mut row: Row, steps: &mut [Step]) -> Row {
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
                    let policy = &row.policy;
                    let repeats = step.repeats();
                    match may_post(policy, content, &user, &self.rules, self.now, repeats) {
                        Action::Refuse(refusal) => {
                            let step = head.and_then(|head| steps.get_mut(head));
                            row = self.refuse(row, step, refusal);
                        }
                        Action::AwaitUser(until) => return self.await_user(row, until),
                        hold @ Action::Hold(_) => return self.stay(row, hold, Some(step)),
                        _ => {
                            if let Err(at) = self.open(&row, content) {
                                row.ready_because = Some(MESSAGING_LIMIT);
                                return self.ready(row, step.lane(), at);
                            }
                            return self.post(row, step);
                        }
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
            repeats_harmlessly: self.harmless,
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
            refusal: data.clone(),
        });
        step.refused = Some(data);
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
        if passed == Passed::FailureSkipped {
            self.tell_failure(step);
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

    /// It failed for good, and nobody has said so yet: what the provider says later, ingest tells.
    fn tell_failure(&mut self, step: &Step) {
        let Some(last) = step.attempts.last() else {
            return;
        };
        let reached = |attempt: &Attempt| attempt.evidence.is_delivered();
        let Some(Outcome::Refused(class)) = last.outcome else {
            return;
        };
        if step.cancelled || last.evidence.failed.is_some() || step.attempts.iter().any(reached) {
            return;
        }
        let attempt = AttemptId {
            message: self.message(step),
            n: i16::try_from(step.attempts.len()).unwrap_or(i16::MAX),
        };
        let refusal = step.refused.as_ref().unwrap_or(&Value::Null);
        self.facts
            .push(OwnFact::of_failure(attempt, refusal, "sweep"));
        self.failed.push(class);
    }

    /// What is ready and cannot be posted now; the others come back.
    fn put_off(&mut self, mut row: Row, step: &Step) -> ControlFlow<Row, Row> {
        let at = row.ready_at.unwrap_or(self.now);
        // Their own word opens what the account may not.
        let may = row.ready_because == Some(MESSAGING_LIMIT) && row.user.has_window(self.now);
        if at > self.now && !may {
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
            self.pair_waits.extend(Duration::try_from(at - self.now));
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

    /// A template to a user whose window is closed: they count against what the account may, once.
    /// An error is when to come again.
    fn open(&mut self, row: &Row, content: Content) -> Result<(), Timestamp> {
        let counts = matches!(content, Content::Template | Content::Marketing);
        let Some((reach, known)) = self.reach.as_mut() else {
            return Ok(());
        };
        if !counts || row.user.has_window(self.now) {
            return Ok(());
        }
        if !known.contains(&row.recipient) {
            reach.take(self.now)?;
            known.insert(row.recipient.clone());
        }
        self.opened.push(row.recipient.clone());
        Ok(())
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
        let reference = own.map(|text| campaign::fill_reference(text, &row.variables));
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
                    n: step.next_n() - i16::from(!step.repeats()),
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
            (Action::Stop(reason), step) => {
                step.into_iter().for_each(|step| self.tell_failure(step));
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
