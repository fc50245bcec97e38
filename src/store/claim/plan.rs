//! What a claim will do to the rows it has locked: `model::sequence::next`, asked again and
//! again until a sequence is being posted or has to wait (`planning`). No SQL here.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use uuid::Uuid;

use super::super::facts::OwnFact;
use super::super::sequence_create::NewStep;
use super::ClaimRequest;
use super::due::MAX_DECISIONS;
use super::planning::Planning;
use crate::model::campaign::Variables;
use crate::model::error_class::ErrorClass;
use crate::model::ids::AttemptId;
use crate::model::lane::Turns;
use crate::model::message::Attempt;
use crate::model::quiet::QuietHours;
use crate::model::sequence::{
    Content, Gate, OnFailure, OnUnknown, Policy, Reason, SequenceStatus, SequenceWork, User,
};
use crate::model::{Timestamp, lane, recipient};

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

    pub(super) fn is_open(&self, lane: &str) -> bool {
        self.open.iter().any(|open| open == lane)
    }

    pub(super) fn content(&self, row: &Row, step: &Step) -> Content {
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
    /// Since when somebody had to look at it, as it was locked.
    pub(super) due_since: Timestamp,
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
    /// Whether its provider makes one message of an attempt that is posted again.
    pub(super) harmless: bool,
    /// What its last attempt was refused with, if it was.
    pub(super) refused: Option<Value>,
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
    pub(super) fn accepted_for(&self, now: Timestamp) -> Option<Duration> {
        let accepted_at = self.attempts.last()?.evidence.accepted_at?;
        (now - accepted_at).try_into().ok()
    }

    /// The number of the attempt that is posted now: a new one, or the last if the provider is
    /// known not to have taken it and it was not counted, or would not take it twice.
    pub(super) fn next_n(&self) -> i16 {
        let n = i16::try_from(self.attempts.len()).unwrap_or(i16::MAX);
        match self.attempts.last() {
            Some(last) if last.is_posted_again(self.harmless) => n,
            _ => n.saturating_add(1),
        }
    }

    /// Whether what is posted now was posted before, and the answer lost.
    pub(super) fn repeats(&self) -> bool {
        let last = self.attempts.last();
        self.harmless && last.is_some_and(Attempt::is_unknown)
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
    /// Users who are written to outside their windows.
    pub(super) opened: Vec<String>,
    /// Of the gates that opened: how long their messages had been accepted.
    pub(super) gate_waits: Vec<Duration>,
    /// For how long messages were put off, because their users have had too many.
    pub(super) pair_waits: Vec<Duration>,
    /// The classes of what failed for good by an answer, or by our own rules.
    pub(super) failed: Vec<ErrorClass>,
}

impl Plan {
    pub(super) fn make(
        request: &ClaimRequest<'_>,
        rows: Vec<Row>,
        mut steps: HashMap<Uuid, Vec<Step>>,
        lanes: &Lanes,
        reached: Option<HashSet<String>>,
        now: Timestamp,
    ) -> Self {
        let reach = request.reach.map(|reach| reach.lock());
        let reach = reach.map(|reach| reach.unwrap_or_else(PoisonError::into_inner));
        let mut planning = Planning {
            queues: HashMap::new(),
            pairs: request.pairs.lock().unwrap_or_else(PoisonError::into_inner),
            sender: request.lease.sender,
            limits: request.limits,
            rules: request.rules,
            posts: request.posts,
            harmless: request.repeats_harmlessly,
            lanes,
            now,
            facts: Vec::new(),
            refused: Vec::new(),
            made: Vec::new(),
            reach: reach.zip(reached),
            opened: Vec::new(),
            gate_waits: Vec::new(),
            pair_waits: Vec::new(),
            failed: Vec::new(),
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
            opened: planning.opened,
            gate_waits: planning.gate_waits,
            pair_waits: planning.pair_waits,
            failed: planning.failed,
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
