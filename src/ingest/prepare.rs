//! Verified webhooks to the rows of one batch. Statuses of one message are folded to one value
//! here, so that the statement locks and joins each attempt once.

use std::collections::HashMap;

use uuid::Uuid;

use super::Webhook;
use crate::clock::Clock;
use crate::model::event;
use crate::model::evidence::Evidence;
use crate::model::fact::{Decoded, Fact, NumberRef, Said, StatusFact, TemplateRef};
use crate::model::ids::{AttemptId, ConnectionId, SenderId, TemplateId};
use crate::model::template::Health;
use crate::store::ingest::{
    AttemptSaid, Batch, FactRow, JournalRow, TemplateSaid, TemplateStatusSaid,
};

/// A part of a webhook: a big one is applied in chunks, and one that fails is cut until the
/// item that fails stands alone.
#[derive(Debug, Clone)]
pub(super) struct Piece<'a> {
    pub(super) webhook: &'a Webhook,
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
pub(super) type Senders = HashMap<(ConnectionId, String), SenderId>;

/// The numbers of these pieces that are not in `known` yet.
pub(super) fn unknown_numbers(
    pieces: &[Piece<'_>],
    known: &Senders,
) -> HashMap<ConnectionId, Vec<NumberRef>> {
    let mut unknown: HashMap<ConnectionId, Vec<NumberRef>> = HashMap::new();
    for piece in pieces {
        for number in piece
            .facts()
            .iter()
            .filter_map(|fact| number_of(&fact.said))
        {
            let key = (piece.webhook.connection, number.phone_number_id.clone());
            if !known.contains_key(&key) {
                let numbers = unknown.entry(piece.webhook.connection).or_default();
                if !numbers.contains(number) {
                    numbers.push(number.clone());
                }
            }
        }
    }
    unknown
}

fn number_of(said: &Said) -> Option<&NumberRef> {
    match said {
        Said::Status(status) => Some(&status.number),
        Said::Inbound(inbound) => Some(&inbound.number),
        Said::SenderError(number) => Some(number),
        Said::Other(other) => other.number.as_ref(),
        Said::TemplateStatus(_) | Said::TemplateQuality(_) => None,
    }
}

/// Collects the rows of a batch.
struct Preparation<'a> {
    clock: &'a Clock,
    senders: &'a Senders,
    batch: Batch,
    attempts: HashMap<(SenderId, &'a str), usize>,
    templates: HashMap<TemplateId, usize>,
}

/// The rows of these pieces. Every number in them is in `senders`.
pub(super) fn prepare(pieces: &[Piece<'_>], senders: &Senders, clock: &Clock) -> Batch {
    let mut preparation = Preparation {
        clock,
        senders,
        batch: Batch::default(),
        attempts: HashMap::new(),
        templates: HashMap::new(),
    };
    for piece in pieces {
        if piece.journal {
            preparation.batch.journal.push(journal_row(piece.webhook));
        }
        for (index, fact) in piece.facts.clone().zip(piece.facts()) {
            preparation.add(piece.webhook, index, fact);
        }
    }
    preparation.batch
}

fn journal_row(webhook: &Webhook) -> JournalRow {
    let Decoded {
        facts,
        problems,
        more_problems,
        note,
    } = &webhook.decoded;
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
        let more = problems.len() - SHOWN + more_problems;
        reason.push(format!("and {more} more"));
    }
    reason.extend(note.map(str::to_owned));
    JournalRow {
        id: webhook.id.0,
        connection: webhook.connection,
        received_at: webhook.received_at,
        facts: i32::try_from(facts.len()).unwrap_or(i32::MAX),
        state: if problems.is_empty() {
            "applied"
        } else {
            "undecoded"
        },
        reason: (!reason.is_empty()).then(|| reason.join("; ")),
        headers: webhook.headers.clone(),
        body: webhook.body.clone(),
    }
}

impl<'a> Preparation<'a> {
    fn add(&mut self, webhook: &Webhook, index: usize, fact: &'a Fact) {
        let sender = number_of(&fact.said).and_then(|number| {
            let key = (webhook.connection, number.phone_number_id.clone());
            self.senders.get(&key).copied()
        });
        let attempt = match (&fact.said, sender) {
            (Said::Status(status), Some(sender)) => Some(self.join(webhook, sender, fact, status)),
            _ => None,
        };
        let subject = match &fact.said {
            Said::TemplateStatus(said) => self.template(webhook, &said.template, |template| {
                let at = fact.at.unwrap_or(webhook.received_at);
                let status = said.event.clone();
                let said = TemplateStatusSaid {
                    health: Health { at, status },
                    reason: said.reason.clone(),
                    pause_title: said.pause_title.clone(),
                };
                join_status(&mut template.status, said);
            }),
            Said::TemplateQuality(said) => self.template(webhook, &said.template, |template| {
                let at = fact.at.unwrap_or(webhook.received_at);
                let newer = (said.new.clone(), at);
                if template
                    .quality
                    .as_ref()
                    .is_none_or(|(score, when)| (at, &said.new) > (*when, score))
                {
                    template.quality = Some(newer);
                }
            }),
            _ => Uuid::nil(),
        };
        self.batch.facts.push(FactRow {
            stream: sender.map_or(webhook.stream, |sender| sender.0),
            attempt,
            subject,
            id: self.clock.new_id(),
            r#type: event::of(&fact.said),
            key: fact.key.clone(),
            occurred_at: fact.at,
            received_at: webhook.received_at,
            webhook: webhook.id.0,
            item: i16::try_from(index).unwrap_or(i16::MAX),
            data: fact.data.clone(),
        });
    }

    /// Folds a status into the value of its attempt. One provider id is one attempt.
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
            .filter(|id| id.message.sender == sender)
            .map(|id| (id.message.uuid, id.n));
        let evidence = Evidence::of(status, fact.at, webhook.received_at);
        let attempts = &mut self.batch.attempts;
        let key = (sender, status.provider_message_id.as_str());
        let at = *self.attempts.entry(key).or_insert_with(|| {
            attempts.push(AttemptSaid {
                sender,
                ours,
                provider_message_id: status.provider_message_id.clone(),
                recipient: status.recipient.clone(),
                stranger: self.clock.new_id(),
                evidence: Evidence::default(),
            });
            attempts.len() - 1
        });
        if let Some(said) = attempts.get_mut(at) {
            said.evidence = said.evidence.join(evidence);
            said.ours = said.ours.or(ours);
        }
        at
    }

    fn template(
        &mut self,
        webhook: &Webhook,
        template: &TemplateRef,
        join: impl FnOnce(&mut TemplateSaid),
    ) -> Uuid {
        let waba_id = template.waba_id.clone().unwrap_or_default();
        let (name, language) = (template.name.clone(), template.language.clone());
        let id = TemplateId::of(webhook.connection, &waba_id, &name, &language);
        let templates = &mut self.batch.templates;
        let at = *self.templates.entry(id).or_insert_with(|| {
            templates.push(TemplateSaid {
                id,
                connection: webhook.connection,
                waba_id,
                name,
                language,
                provider_template_id: template.provider_template_id.clone(),
                category: None,
                status: None,
                quality: None,
            });
            templates.len() - 1
        });
        if let Some(said) = templates.get_mut(at) {
            join(said);
        }
        id.0
    }
}

fn join_status(status: &mut Option<TemplateStatusSaid>, said: TemplateStatusSaid) {
    let newer = match status {
        Some(known) => known.health.clone().join(said.health.clone()) != known.health,
        None => true,
    };
    if newer {
        *status = Some(said);
    }
}
