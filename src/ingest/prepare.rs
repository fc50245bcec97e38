//! Verified webhooks to the rows of one batch. Statuses of one message are folded to one value
//! here, so that the statement locks and joins each attempt once.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::Webhook;
use super::names::Names;
use super::remember::Remembered;
use crate::clock::Clock;
use crate::model::evidence::Evidence;
use crate::model::fact::{Decoded, Fact, NumberRef, Problem, Said, StatusFact, TemplateRef};
use crate::model::ids::{AttemptId, ConnectionId, SenderId, TemplateId, WebhookId};
use crate::model::template::Health;
use crate::model::{Timestamp, event};
use crate::store::ingest::{
    AttemptSaid, Batch, FactRow, TemplateSaid, TemplateStatusSaid, UntimedSaid,
};
use crate::store::journal::{JournalRow, ProblemRow, State};

/// A part of a webhook: a big one is applied in chunks, and one that fails is cut until the
/// item that fails stands alone.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    pub(super) webhook: &'a Webhook,
    /// Which of the batch it belongs to.
    pub(super) of: usize,
    /// What it is called in the journal.
    pub(super) id: WebhookId,
    /// Which of its facts.
    pub(super) facts: std::ops::Range<usize>,
    /// Whether its journal row is written with this piece.
    pub(super) journal: bool,
}

impl<'a> Piece<'a> {
    /// In two, the journal row with the first.
    pub(super) fn split(self) -> (Self, Self) {
        let middle = self.facts.start + self.facts.len().div_ceil(2);
        let second = Self {
            facts: middle..self.facts.end,
            journal: false,
            ..self
        };
        let first = Self {
            facts: self.facts.start..middle,
            ..self
        };
        (first, second)
    }

    fn facts(&self) -> &'a [Fact] {
        self.webhook
            .decoded
            .facts
            .get(self.facts.clone())
            .unwrap_or_default()
    }
}

/// Senders by their number, as far as this instance has met them.
#[derive(Debug, Default)]
pub(super) struct Senders {
    by_number: HashMap<ConnectionId, HashMap<String, SenderId>>,
    /// Those that were named by the id of a message of theirs.
    by_id: HashSet<(ConnectionId, SenderId)>,
    known: usize,
}

impl Senders {
    /// How many are remembered; beyond, the memory starts anew.
    const MOST: usize = 100_000;

    fn get(&self, connection: ConnectionId, number: &NumberRef) -> Option<SenderId> {
        let senders = self.by_number.get(&connection)?;
        senders.get(&number.phone_number_id).copied()
    }

    /// Whose fact it is.
    fn of(&self, connection: ConnectionId, said: &Said) -> Option<SenderId> {
        named_by_id(said)
            .filter(|sender| self.by_id.contains(&(connection, *sender)))
            .or_else(|| self.get(connection, number_of(said)?))
    }

    pub(super) fn insert(&mut self, connection: ConnectionId, number: String, sender: SenderId) {
        let senders = self.by_number.entry(connection).or_default();
        self.known += usize::from(senders.insert(number, sender).is_none());
    }

    pub(super) fn insert_id(&mut self, connection: ConnectionId, sender: SenderId) {
        self.known += usize::from(self.by_id.insert((connection, sender)));
    }

    /// The senders that these pieces name by the id of a message alone, and that are not known yet
    /// as the connection's. They may be nobody's, or another's: the id is the provider's to give.
    pub(super) fn unknown_ids(
        &mut self,
        pieces: &[Piece<'_>],
    ) -> HashMap<ConnectionId, Vec<SenderId>> {
        if self.known > Self::MOST {
            *self = Self::default();
        }
        let mut unknown: HashMap<ConnectionId, Vec<SenderId>> = HashMap::new();
        for piece in pieces {
            let connection = piece.webhook.connection;
            let senders = piece.facts().iter().map(|fact| &fact.said);
            for sender in senders.filter_map(named_by_id) {
                let senders = unknown.entry(connection).or_default();
                if !self.by_id.contains(&(connection, sender)) && !senders.contains(&sender) {
                    senders.push(sender);
                }
            }
        }
        unknown.retain(|_, senders| !senders.is_empty());
        unknown
    }

    /// The numbers of these pieces that are not known yet.
    pub(super) fn unknown(&self, pieces: &[Piece<'_>]) -> HashMap<ConnectionId, Vec<NumberRef>> {
        let mut unknown: HashMap<ConnectionId, Vec<NumberRef>> = HashMap::new();
        for piece in pieces {
            let connection = piece.webhook.connection;
            let facts = piece.facts().iter().map(|fact| &fact.said);
            let facts = facts.filter(|said| self.of(connection, said).is_none());
            for number in facts.filter_map(number_of) {
                let numbers = unknown.entry(connection).or_default();
                if !numbers.contains(number) {
                    numbers.push(number.clone());
                }
            }
        }
        unknown
    }
}

/// The sender of a status that names no number, by the id of our attempt that it bears.
fn named_by_id(said: &Said) -> Option<SenderId> {
    let Said::Status(status) = said else {
        return None;
    };
    let callback = status.callback.as_deref();
    let callback = callback.filter(|_| status.number.is_unnamed())?;
    Some(AttemptId::from_callback(callback)?.message.sender)
}

fn number_of(said: &Said) -> Option<&NumberRef> {
    match said {
        Said::Status(status) => Some(&status.number),
        Said::Inbound(inbound) => Some(&inbound.number),
        Said::SenderError(number) => Some(number),
        Said::User(user) => Some(&user.number),
        Said::News(news) => news.number.as_ref(),
        Said::Other(other) => other.number.as_ref(),
        Said::TemplateStatus(_)
        | Said::TemplateQuality(_)
        | Said::TemplateCategory(_)
        | Said::TemplateNews(_) => None,
    }
}

/// Collects the rows of a batch.
struct Preparation<'a> {
    senders: &'a Senders,
    ids: Ids,
    batch: Batch<'a>,
    journal: Vec<JournalRow<'a>>,
    attempts: HashMap<(SenderId, &'a str), usize>,
    by_our_id: HashMap<AttemptId, usize>,
    templates: HashMap<TemplateId, usize>,
    names: &'a Names,
    remembered: Remembered,
}

/// Ids for the rows of one batch: one is made, and the rest count on from it.
struct Ids {
    first: u128,
    made: u128,
}

impl Ids {
    fn new(clock: &Clock) -> Self {
        /// What is counted in: more than rows of a batch.
        const COUNTER: u128 = 0xffff;
        Self {
            first: clock.new_id().as_u128() & !COUNTER,
            made: 0,
        }
    }

    fn next(&mut self) -> Uuid {
        let id = Uuid::from_u128(self.first | self.made);
        self.made += 1;
        id
    }
}

/// The rows of these pieces, and of their journal. Every number in them is in `senders`.
pub(super) fn prepare<'a>(
    pieces: &[Piece<'a>],
    senders: &'a Senders,
    names: &'a Names,
    clock: &Clock,
) -> (Batch<'a>, Vec<JournalRow<'a>>) {
    let mut preparation = Preparation {
        senders,
        ids: Ids::new(clock),
        batch: Batch::default(),
        journal: Vec::new(),
        attempts: HashMap::new(),
        by_our_id: HashMap::new(),
        templates: HashMap::new(),
        names,
        remembered: Remembered::default(),
    };
    for piece in pieces {
        if piece.journal {
            preparation.keep(piece);
        }
        for (index, fact) in piece.facts.clone().zip(piece.facts()) {
            preparation.add(piece, index, fact);
        }
    }
    preparation.finish()
}

impl<'a> Preparation<'a> {
    fn keep(&mut self, piece: &Piece<'a>) {
        let webhook = piece.webhook;
        let Decoded {
            facts,
            problems,
            more_problems,
            note,
        } = &webhook.decoded;
        self.journal.push(JournalRow {
            id: piece.id,
            connection: webhook.connection,
            received_at: webhook.received_at,
            facts: facts.len(),
            note: *note,
            headers: &webhook.headers,
            body: &webhook.body,
        });
        if !problems.is_empty() {
            self.batch.problems.push(ProblemRow {
                webhook: piece.id,
                connection: webhook.connection,
                stream: webhook.stream,
                state: State::Undecoded,
                reason: reason(problems, *more_problems),
            });
        }
    }

    fn add(&mut self, piece: &Piece<'a>, index: usize, fact: &'a Fact) {
        let webhook = piece.webhook;
        let sender = self.senders.of(webhook.connection, &fact.said);
        let attempt = match (&fact.said, sender) {
            (Said::Status(status), Some(sender)) => Some(self.join(webhook, sender, fact, status)),
            _ => None,
        };
        let subject = match &fact.said {
            Said::TemplateStatus(said) => {
                self.template(webhook, index, fact, &said.template, |template, at| {
                    template.category = said.category.clone().map(|category| (category, at));
                    let status = said.event.clone();
                    template.status = Some(TemplateStatusSaid {
                        health: Health { at, status },
                        reason: said.reason.clone(),
                        pause_title: said.pause_title.clone(),
                        read: false,
                    });
                })
            }
            Said::TemplateQuality(said) => {
                self.template(webhook, index, fact, &said.template, |template, at| {
                    template.quality = Some((said.new.clone(), at));
                })
            }
            Said::TemplateCategory(said) => {
                self.template(webhook, index, fact, &said.template, |template, at| {
                    template.category = said.current.clone().map(|current| (current, at));
                })
            }
            Said::TemplateNews(said) => {
                self.template(webhook, index, fact, &said.template, |_, _| {})
            }
            _ => Uuid::nil(),
        };
        self.remembered
            .add(webhook.stream, sender, fact, self.names);
        self.batch.facts.push(FactRow {
            stream: sender.map_or(webhook.stream, |sender| sender.0),
            attempt,
            subject,
            id: self.ids.next(),
            r#type: event::of(&fact.said),
            key: &fact.key,
            occurred_at: fact.at,
            received_at: webhook.received_at,
            webhook: piece.id.0,
            item: i16::try_from(index).unwrap_or(i16::MAX),
            data: &fact.data,
        });
    }

    /// Folds a status into the value of its attempt: the statement writes each attempt once, so
    /// each must stand in the batch once, by whichever of its ids it is named.
    fn join(
        &mut self,
        webhook: &Webhook,
        sender: SenderId,
        fact: &'a Fact,
        status: &'a StatusFact,
    ) -> usize {
        let ours = status
            .callback
            .as_deref()
            .and_then(AttemptId::from_callback)
            // Another connection's ids must not be touched by this one's webhooks.
            .filter(|id| id.message.sender == sender);
        let evidence = Evidence::of(status, fact.at, webhook.received_at);
        let key = (sender, status.provider_message_id.as_str());
        let by_our_id = ours.and_then(|ours| self.by_our_id.get(&ours).copied());
        let attempts = &mut self.batch.attempts;
        let ids = &mut self.ids;
        let at = *self.attempts.entry(key).or_insert_with(|| {
            by_our_id.unwrap_or_else(|| {
                attempts.push(AttemptSaid {
                    sender,
                    ours: None,
                    provider_message_id: &status.provider_message_id,
                    recipient: status.recipient.as_deref(),
                    stranger: ids.next(),
                    evidence: Evidence::default(),
                });
                attempts.len() - 1
            })
        });
        if let Some(said) = attempts.get_mut(at) {
            said.evidence = said.evidence.join(evidence);
            // Whoever has it already stays the only one.
            if let Some(ours) = ours.filter(|_| said.ours.is_none() && by_our_id.is_none()) {
                said.ours = Some((ours.message.uuid, ours.n));
                self.by_our_id.insert(ours, at);
            }
        }
        at
    }

    /// Folds what was said of a template into its value. What bears no time is as of when it was
    /// first heard, which `store` knows: it stands apart. Those of one webhook count in their
    /// order, a microsecond apart, as they would had each a webhook of its own.
    fn template(
        &mut self,
        webhook: &Webhook,
        index: usize,
        fact: &'a Fact,
        template: &TemplateRef,
        say: impl FnOnce(&mut TemplateSaid, Timestamp),
    ) -> Uuid {
        let mut said = nothing_of(webhook, template);
        let id = said.id;
        let Some(at) = fact.at else {
            let after = time::Duration::microseconds(i64::try_from(index).unwrap_or(0));
            say(&mut said, webhook.received_at + after);
            let fact = self.batch.facts.len();
            self.batch.untimed.push(UntimedSaid { fact, said });
            return id.0;
        };
        say(&mut said, at);
        let templates = &mut self.batch.templates;
        match self
            .templates
            .get(&id)
            .and_then(|at| templates.get_mut(*at))
        {
            Some(known) => known.join(&said),
            None => {
                self.templates.insert(id, templates.len());
                templates.push(said);
            }
        }
        id.0
    }

    /// Attempts in the order in which every writer locks them.
    fn finish(self) -> (Batch<'a>, Vec<JournalRow<'a>>) {
        let mut batch = self.batch;
        let mut attempts: Vec<_> = batch.attempts.into_iter().enumerate().collect();
        attempts.sort_unstable_by_key(|(_, a)| (a.sender, a.ours, a.provider_message_id));
        let mut places = vec![(0, Uuid::nil()); attempts.len()];
        for (place, (met, said)) in attempts.iter().enumerate() {
            if let Some(of_met) = places.get_mut(*met) {
                *of_met = (place, said.stranger);
            }
        }
        for fact in &mut batch.facts {
            if let Some((place, stranger)) = fact.attempt.and_then(|met| places.get(met)) {
                (fact.attempt, fact.subject) = (Some(*place), *stranger);
            }
        }
        batch.attempts = attempts.into_iter().map(|(_, said)| said).collect();
        self.remembered.finish(&mut batch);
        (batch, self.journal)
    }
}

fn nothing_of(webhook: &Webhook, template: &TemplateRef) -> TemplateSaid {
    let connection = webhook.connection;
    let waba_id = template.waba_id.as_deref();
    let waba_id = webhook.provider.account_of_templates(waba_id);
    let (name, language) = (template.name.clone(), template.language.clone());
    TemplateSaid {
        id: TemplateId::of(connection, waba_id, &name, &language),
        connection,
        waba_id: waba_id.to_owned(),
        name,
        language,
        provider_template_id: template.provider_template_id.clone(),
        category: None,
        status: None,
        quality: None,
    }
}

pub(super) fn reason(problems: &[Problem], more: usize) -> String {
    /// A body of nothing but bad items must not make a reason as long as itself.
    const SHOWN: usize = 10;
    let mut reason: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(|problem| match problem.item.as_str() {
            "" => problem.reason.clone(),
            item => format!("{item}: {}", problem.reason),
        })
        .collect();
    if problems.len() > SHOWN {
        let more = problems.len() - SHOWN + more;
        reason.push(format!("and {more} more"));
    }
    reason.join("; ")
}
