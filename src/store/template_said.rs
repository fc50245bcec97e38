//! What webhooks, answers and readings say of templates, before it is joined into their rows. It is
//! a join here too: of each of the words the latest.

use std::collections::BTreeMap;

use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, TemplateId};
use crate::model::template::{Health, status_of_refusal};

/// What is said of one template.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of templates")]
pub struct TemplateSaid {
    pub id: TemplateId,
    pub connection: ConnectionId,
    pub waba_id: String,
    pub name: String,
    pub language: String,
    pub provider_template_id: Option<String>,
    /// The category, and when it was said.
    pub category: Option<(String, Timestamp)>,
    pub status: Option<TemplateStatusSaid>,
    /// The score, and when it was said.
    pub quality: Option<(String, Timestamp)>,
}

/// What a fact says of a template that bears no time. It is as of when it was first heard: a
/// repetition must not make it newer than what was said since.
#[derive(Debug)]
pub struct UntimedSaid {
    /// Position of the fact in [`Batch::facts`](super::ingest::Batch::facts).
    pub fact: usize,
    /// Dated to when its webhook came.
    pub said: TemplateSaid,
}

/// The latest word on a template's status.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of templates")]
pub struct TemplateStatusSaid {
    pub health: Health,
    pub reason: Option<String>,
    pub pause_title: Option<String>,
    /// Read from the provider, which does not show all that a webhook says: what is known of why
    /// stays while the status does. And a reading asks for no other.
    pub read: bool,
}

impl TemplateSaid {
    /// What it says of a template that a message of it is refused or dropped with this code.
    pub fn refused(
        connection: ConnectionId,
        waba_id: &str,
        name: &str,
        language: &str,
        code: i64,
        at: Timestamp,
    ) -> Self {
        let health = Health {
            // To the second, as webhooks are: a later word must not lose to it.
            at: at.replace_nanosecond(0).unwrap_or(at),
            status: status_of_refusal(code).to_owned(),
        };
        Self {
            id: TemplateId::of(connection, waba_id, name, language),
            connection,
            waba_id: waba_id.to_owned(),
            name: name.to_owned(),
            language: language.to_owned(),
            provider_template_id: None,
            category: None,
            status: Some(TemplateStatusSaid {
                health,
                reason: Some(code.to_string()),
                pause_title: None,
                read: false,
            }),
            quality: None,
        }
    }

    /// Joins what else is said of the same template.
    pub fn join(&mut self, other: &Self) {
        join_word(&mut self.category, other.category.as_ref());
        join_word(&mut self.quality, other.quality.as_ref());
        join_status(&mut self.status, other.status.as_ref());
        if self.provider_template_id.is_none() {
            self.provider_template_id = other.provider_template_id.clone();
        }
    }

    /// One value a template.
    pub(super) fn join_all<'a>(said: impl Iterator<Item = &'a Self>) -> Vec<Self> {
        let mut templates: BTreeMap<_, Self> = BTreeMap::new();
        for said in said {
            let known = templates.entry(said.id.0).or_insert_with(|| said.clone());
            known.join(said);
        }
        templates.into_values().collect()
    }
}

/// The latest word, and any fixed one of the same second.
fn join_word(known: &mut Option<(String, Timestamp)>, said: Option<&(String, Timestamp)>) {
    fn order((word, at): &(String, Timestamp)) -> (Timestamp, &str) {
        (*at, word)
    }
    if said.map(order) > known.as_ref().map(order) {
        *known = said.cloned();
    }
}

fn join_status(known: &mut Option<TemplateStatusSaid>, said: Option<&TemplateStatusSaid>) {
    let Some(said) = said else {
        return;
    };
    let is_newer = known
        .as_ref()
        .is_none_or(|known| known.health.clone().join(said.health.clone()) != known.health);
    if is_newer {
        *known = Some(said.clone());
    }
}
