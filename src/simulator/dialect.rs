//! The dialects: how each provider's API is spoken to and how it speaks. What becomes of a
//! message is decided by the engine, which is one; a dialect says how a request is read, how an
//! answer, an error and a webhook are written, what proves a webhook and when it comes again.
//! (`retry` has the rules, `auth` the proofs.)
//!
//! 360dialog Cloud passes Meta's requests, answers and webhooks on (`cloud`, `envelope`,
//! `graph`), and adds its own errors and events (`dialog360`).

pub mod cloud;
mod dialog360;
pub mod envelope;
mod escape;
pub mod graph;
mod infobip;
mod onprem;
pub mod submission;

use axum::http::HeaderMap;
use axum::response::Response;
use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::Target;
use super::config::Config;
use super::message::{Status, User, Wish};
use super::receive::Taken;
use super::template::Template;
use super::trouble::Trouble;
use super::update::Update;

/// Whose dialect; in JSON the provider's name, as the service's API has it.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Dialect {
    /// Meta's Cloud API.
    #[default]
    Meta,
    /// 360dialog, in front of Meta's Cloud API.
    Dialog360,
    /// 360dialog's On-Premises API.
    Dialog360Onprem,
    /// Infobip's WhatsApp API.
    Infobip,
}

use Dialect::{Dialog360, Dialog360Onprem, Infobip, Meta};

/// A POST that asks to send something, as it came.
#[derive(Debug)]
pub struct Call {
    pub dialect: Dialect,
    /// What the path names: Meta's sender, Infobip's kind of message.
    pub named: String,
    /// Whether the path is that of marketing messages, which Meta and 360dialog have.
    pub marketing: bool,
    pub key: Option<String>,
    pub body: Option<Value>,
}

impl Dialect {
    /// Each once.
    pub const ALL: [Self; 4] = [Meta, Dialog360, Dialog360Onprem, Infobip];

    /// The provider's name.
    pub fn name(self) -> &'static str {
        match self {
            Meta => "meta",
            Dialog360 => "dialog360",
            Dialog360Onprem => "dialog360_onprem",
            Infobip => "infobip",
        }
    }

    /// The key that a request bears.
    pub fn key(self, headers: &HeaderMap) -> Option<&str> {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        match self {
            Meta => header("authorization")?.strip_prefix("Bearer "),
            Dialog360 | Dialog360Onprem => header("d360-api-key"),
            Infobip => header("authorization")?.strip_prefix("App "),
        }
    }

    /// As an answer.
    pub fn refuse(self, trouble: &Trouble) -> Response {
        match self {
            Meta => graph::refuse(trouble),
            Dialog360 => dialog360::refuse(trouble).unwrap_or_else(|| graph::refuse(trouble)),
            // Templates are Meta's, whichever API sends them.
            Dialog360Onprem if matches!(trouble, Trouble::Template { .. }) => {
                graph::refuse(trouble)
            }
            Dialog360Onprem => {
                dialog360::refuse(trouble).unwrap_or_else(|| onprem::refuse(trouble))
            }
            Infobip => infobip::refuse(trouble),
        }
    }

    /// The number for it, as an answer or a webhook has it.
    pub fn code(self, trouble: &Trouble) -> i64 {
        match self {
            Meta | Dialog360 => graph::code(trouble),
            Dialog360Onprem => onprem::code(trouble),
            Infobip => infobip::code(trouble),
        }
    }

    /// Why a message failed, as an element of `errors[]`; Infobip has one, called `error`.
    pub fn failure(self, trouble: &Trouble) -> Value {
        match self {
            Meta | Dialog360 => graph::in_webhook(trouble),
            Dialog360Onprem => onprem::error(trouble),
            Infobip => infobip::failure(trouble),
        }
    }

    /// Whether a template that may not be used is said by the answer; else by a webhook, after
    /// the message was accepted.
    pub fn answers_for_templates(self) -> bool {
        matches!(self, Meta | Dialog360)
    }

    /// Whether webhooks tell of this status by themselves. Infobip has no report of `sent`.
    pub fn reports(self, status: &str) -> bool {
        self != Infobip || status != "sent"
    }

    /// Whether a status can be told to be of the caller's message without the answer.
    pub fn correlates(self, status: &Status) -> bool {
        match self {
            Meta | Dialog360 => status.callback,
            // It does not repeat what the caller gave.
            Dialog360Onprem => false,
            // The message's id is the caller's.
            Infobip => true,
        }
    }

    /// An id of the provider's form. `number` must not repeat within one start; `salt` tells two
    /// starts apart, as a receiver may keep its database between them.
    pub fn id(self, salt: u64, number: u64, user: &User) -> String {
        match self {
            Meta | Dialog360 => cloud::wamid(salt, number, user),
            Dialog360Onprem => onprem::id(salt, number),
            Infobip => infobip::id(salt, number),
        }
    }

    /// A user's message has Meta's id with Infobip too.
    pub fn inbound_id(self, salt: u64, number: u64, user: &User) -> String {
        match self {
            Infobip => cloud::wamid(salt, number, user),
            _ => self.id(salt, number, user),
        }
    }

    /// Whether the provider tells of this at all.
    pub fn says(self, update: &Update) -> bool {
        match (self, update) {
            (Dialog360 | Dialog360Onprem, Update::Template(news)) => dialog360::tells_of(news),
            _ => true,
        }
    }

    /// The updates that share a body; each of the lists is one.
    pub fn split(self, updates: Vec<Update>) -> Vec<Vec<Update>> {
        let mut sheets: Vec<(Sheet, Vec<Update>)> = Vec::new();
        for update in updates {
            let sheet = self.sheet(&update);
            match sheets.iter_mut().find(|(known, _)| *known == sheet) {
                Some((_, updates)) if sheet.kind != Kind::Alone => updates.push(update),
                _ => sheets.push((sheet, vec![update])),
            }
        }
        sheets.into_iter().map(|(_, updates)| updates).collect()
    }

    fn sheet(self, update: &Update) -> Sheet {
        let kind = match (self, update) {
            (Meta, _) => Kind::Shared,
            (Infobip, Update::Template(_)) => Kind::Alone,
            (_, Update::Template(_)) => Kind::Events,
            (Dialog360, _) => Kind::Shared,
            (Infobip, Update::Status(status)) if status.status == "read" => Kind::Seen,
            (_, Update::Status(_)) => Kind::Statuses,
            (_, Update::Inbound(_)) => Kind::Inbound,
        };
        let url = update.notify_url().map(str::to_owned);
        Sheet { kind, url }
    }

    /// One body of updates that share one.
    pub fn body(
        self,
        config: &Config,
        target: &Target,
        updates: Vec<Update>,
        rng: &mut impl Rng,
    ) -> serde_json::Result<Vec<u8>> {
        let is_event = matches!(updates.first(), Some(Update::Template(_)));
        match self {
            Meta => envelope::body(&config.waba_id, updates, rng),
            Dialog360 | Dialog360Onprem if is_event => {
                serde_json::to_vec(&dialog360::events(&config.waba_id, &updates))
            }
            Dialog360 => envelope::body(&config.waba_id, updates, rng),
            Dialog360Onprem => serde_json::to_vec(&onprem::body(&updates)),
            Infobip => serde_json::to_vec(&infobip::body(&updates, target.messages_api)),
        }
    }

    /// A template as lists of them have it.
    pub fn template(self, waba_id: &str, template: &Template) -> Value {
        match self {
            Meta => template.to_json(),
            Dialog360 | Dialog360Onprem => dialog360::template(waba_id, template),
            Infobip => infobip::template(template),
        }
    }
}

/// What a body is about; updates of the same can share one.
#[derive(Debug, PartialEq, Eq)]
struct Sheet {
    kind: Kind,
    /// Where it goes, if not to the connection's address.
    url: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shared,
    Statuses,
    Seen,
    Inbound,
    Events,
    Alone,
}

impl Call {
    /// What is asked for, or what the provider says against it.
    pub fn read(&self, config: &Config) -> Result<Vec<Wish>, Trouble> {
        let body = self.body.as_ref();
        let body = body.ok_or_else(|| Trouble::invalid("body", "Invalid JSON."))?;
        match self.dialect {
            Meta | Dialog360 if self.marketing => {
                Ok(vec![cloud::marketing_wish(self.sender(config), body)?])
            }
            Meta | Dialog360 => Ok(vec![cloud::wish(self.sender(config), body)?]),
            Dialog360Onprem => Ok(vec![onprem::wish(self.sender(config), body)?]),
            Infobip => infobip::wishes(&self.named, body),
        }
    }

    /// The number that is to send; Infobip names it in the body.
    pub fn sender(&self, config: &Config) -> String {
        match self.dialect {
            Meta | Infobip => self.named.clone(),
            Dialog360 | Dialog360Onprem => {
                let channel = self.key.as_ref().and_then(|key| config.channels.get(key));
                channel.unwrap_or(&config.phone_number_id).clone()
            }
        }
    }

    /// What is answered once it is decided.
    pub fn answer(&self, taken: &[Taken]) -> Value {
        match (self.dialect, taken) {
            (Infobip, taken) => {
                let bulk = self.body.as_ref().filter(|_| self.named == "template");
                infobip::answer(bulk, taken)
            }
            (Dialog360Onprem, [one, ..]) => onprem::answer(one),
            (_, [one, ..]) => cloud::answer(one),
            (_, []) => Value::Null,
        }
    }
}
