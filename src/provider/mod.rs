//! The providers: a folder each, with the same file names in each: `webhook.rs` (whose bytes are
//! these, and what do they say), `send.rs` (message to request, answer to outcome), `manage.rs`
//! (templates, media, senders). Pure: bytes and values in, values out; `http`, `ingest` and `send`
//! do the talking, and name no provider: what they ask of all of them is asked here. What a
//! provider says about a message that was posted is an [`Answer`], whoever says it.

pub mod compare;
pub mod content;
pub mod dialog360;
pub mod flows;
#[cfg(test)]
mod golden;
pub mod infobip;
pub mod item;
pub mod lenient;
pub mod logo;
pub mod media;
pub mod meta;
pub mod operations;
pub mod profile;
pub mod proof;
pub mod reading;
pub mod refused;
pub mod registration;
pub mod remedy;
pub mod senders;
pub mod subscriptions;
pub mod templates;
pub mod welcome;

use std::time::Duration;

use serde_json::Value;

use self::content::{Fault, Faults, Place, Wrong};
use crate::model::error_class::ErrorClass;
use crate::model::fact::{Decoded, ProviderError};
use crate::model::provider::Provider;
use crate::model::recipient;

/// Reads everything that a webhook's body says.
pub fn decode(provider: Provider, body: &[u8]) -> Decoded {
    match provider {
        Provider::Meta => meta::webhook::decode(body),
        Provider::Dialog360 | Provider::Dialog360Onprem => dialog360::webhook::decode(body),
        Provider::Infobip => infobip::webhook::decode(body),
    }
}

/// The header that bears the key, and what stands before the key in it.
pub const fn authorization(provider: Provider) -> (&'static str, &'static str) {
    match provider {
        Provider::Meta => ("authorization", "Bearer "),
        Provider::Dialog360 | Provider::Dialog360Onprem => ("d360-api-key", ""),
        Provider::Infobip => ("authorization", "App "),
    }
}

/// Whether what is said of a message bears our attempt's id, so that an attempt whose answer was
/// lost is settled by evidence. Where it does not, evidence finds the attempt by the provider's id
/// alone, which the answer brings.
pub const fn correlates(provider: Provider) -> bool {
    match provider {
        Provider::Meta => meta::send::CORRELATES,
        Provider::Dialog360 => dialog360::send::CORRELATES,
        Provider::Dialog360Onprem => dialog360::send::CORRELATES_ONPREM,
        Provider::Infobip => infobip::send::CORRELATES,
    }
}

/// Whether the same POST twice, under one id of ours, is one message.
pub const fn repeats_harmlessly(provider: Provider) -> bool {
    match provider {
        // None of these has an id of ours that it looks at.
        Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => false,
        Provider::Infobip => infobip::send::REPEATS_HARMLESSLY,
    }
}

/// Everything that keeps what is said from being sent. Whether the recipient can be reached at all
/// is [`check_recipient`]'s.
pub fn check(provider: Provider, message: &Outgoing<'_>) -> Vec<Fault> {
    let faults = Faults::default();
    match (provider, message.kind) {
        (Provider::Infobip, "raw") => infobip::send::check_raw(message.content, &faults),
        (_, "raw") => meta::content::check_raw(message.content, &faults),
        (_, kind) => meta::content::check(kind, message.content, &faults),
    }
    if let Some(marketing) = message.marketing {
        let place = Place::new("marketing", Some(marketing), &faults);
        if !matches!(provider, Provider::Meta | Provider::Dialog360) {
            place.not_supported("there is no Marketing Messages API at this provider");
        } else if template(provider, message.kind, message.content).is_none() {
            place.expected("nothing here: only templates are marketing messages");
        } else if recipient::is_group(message.to) {
            place.not_supported("marketing messages go to single users alone");
        }
    }
    // What is no message cannot be translated either.
    if faults.are_of(Wrong::Malformed) {
        return faults.into_vec();
    }
    match provider {
        Provider::Meta | Provider::Dialog360 => {}
        Provider::Dialog360Onprem => dialog360::send::check_onprem(message, &faults),
        Provider::Infobip => faults.extend(infobip::send::request(message).err()),
    }
    faults.into_vec()
}

/// Why nothing is sent through a sender, if nothing is: what is said of its messages would not be
/// found to be its own.
pub fn check_sender(provider: Provider, phone_number_id: &str) -> Option<&'static str> {
    match (provider, phone_number_id.is_empty()) {
        (Provider::Dialog360Onprem, false) => Some(
            "the On-Premises API names no number in what it says of messages: send through the \
             connection's sender without `phone_number_id`",
        ),
        (Provider::Meta | Provider::Dialog360 | Provider::Infobip, true) => Some(
            "the provider names the number in what it says of messages: send through a sender \
             with a `phone_number_id`",
        ),
        _ => None,
    }
}

/// Why a provider sends nothing to this recipient, if it does not.
pub fn check_recipient(provider: Provider, to: &str) -> Option<Fault> {
    let faults = Faults::default();
    let place = Place::new("to", None, &faults);
    match provider {
        Provider::Dialog360Onprem if !recipient::is_number(to) => {
            place.not_supported("the On-Premises API sends to phone numbers alone");
        }
        Provider::Infobip if recipient::is_group(to) => {
            place.not_supported("Infobip sends to single users alone");
        }
        _ => {}
    }
    faults.into_vec().pop()
}

/// The name and language of the template that a message uses, however it is given.
pub fn template(provider: Provider, kind: &str, content: &Value) -> Option<(String, String)> {
    match (provider, kind) {
        (Provider::Infobip, "raw") => infobip::send::template_of_raw(content),
        _ => meta::content::template_of(kind, content),
    }
}

/// What to POST for a message, or why it cannot be sent. `api_version` is Meta's, which the
/// schema sees to it that Meta's connections have.
pub fn request(
    provider: Provider,
    api_version: Option<&str>,
    message: &Outgoing<'_>,
) -> Result<Request, Vec<Fault>> {
    match provider {
        Provider::Meta => Ok(meta::send::request(
            api_version.unwrap_or_default(),
            message,
        )),
        Provider::Dialog360 => Ok(dialog360::send::request(message)),
        Provider::Dialog360Onprem => Ok(dialog360::send::request_onprem(message)),
        Provider::Infobip => infobip::send::request(message),
    }
}

/// What the answer to the POST of a message with this id means.
pub fn answer(
    provider: Provider,
    id: &str,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Answer {
    let text = String::from_utf8_lossy(body);
    let text = lenient::storable(&text);
    let body = lenient::Members::open(&text).unwrap_or_default();
    match provider {
        Provider::Meta => meta::send::answer(status, retry_after, &body),
        Provider::Dialog360 => dialog360::send::answer(status, retry_after, &body),
        Provider::Dialog360Onprem => dialog360::send::answer_onprem(status, retry_after, &body),
        Provider::Infobip => infobip::send::answer(id, status, retry_after, &body),
    }
}

/// Whether it takes several messages in one request at all.
pub const fn joins(provider: Provider) -> bool {
    matches!(provider, Provider::Infobip)
}

/// How many requests with this path one request can stand for. 1: each goes alone.
pub fn most_joined(provider: Provider, path: &str) -> usize {
    match provider {
        Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => 1,
        Provider::Infobip => infobip::send::most_joined(path),
    }
}

/// One request for several with one path, no more of them than [`most_joined`] says.
pub fn join(provider: Provider, path: String, requests: Vec<Request>) -> Request {
    let bodies = requests.into_iter().map(|request| request.body);
    let body = match provider {
        // Nobody joins theirs.
        Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => bodies.collect(),
        Provider::Infobip => infobip::send::join(bodies),
    };
    Request { path, body }
}

/// What the answer to a request for messages with these ids means.
pub fn answers(
    provider: Provider,
    ids: &[String],
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Answers {
    if let [id] = ids {
        return Answers::Each(vec![answer(provider, id, status, retry_after, body)]);
    }
    let text = String::from_utf8_lossy(body);
    let text = lenient::storable(&text);
    let body = lenient::Members::open(&text).unwrap_or_default();
    match provider {
        // Nobody joins theirs.
        Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => Answers::Apart {
            reason: "it takes one message a request".to_owned(),
        },
        Provider::Infobip => infobip::send::answers(ids, status, retry_after, &body),
    }
}

/// The headers of answers that say how much of what the provider allows is used up.
pub const fn usage_headers(provider: Provider) -> &'static [&'static str] {
    match provider {
        Provider::Meta | Provider::Dialog360 => &[meta::usage::OF_ACCOUNT, meta::usage::OF_APP],
        Provider::Dialog360Onprem | Provider::Infobip => &[],
    }
}

/// How long nothing more is allowed by one of these headers, if all is used up: of messages, or
/// else of what is read.
pub fn usage_wait(provider: Provider, name: &str, value: &str, sends: bool) -> Option<Duration> {
    match provider {
        Provider::Meta | Provider::Dialog360 => meta::usage::wait(name, value, sends),
        Provider::Dialog360Onprem | Provider::Infobip => None,
    }
}

/// A message about to be posted.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// The sender's number as the provider knows it; empty where the key leads to it.
    pub from: &'a str,
    /// A phone number, a business-scoped user id, or a group's id.
    pub to: &'a str,
    /// The message's type: `template`, `text`, `image` … or `raw`.
    pub kind: &'a str,
    /// The object under the type, in Meta's vocabulary; of `raw` in the provider's own.
    pub content: &'a Value,
    /// What it goes out with over the Marketing Messages API, if over that.
    pub marketing: Option<&'a Value>,
    /// The attempt's id as it goes out: `AttemptId::to_callback`.
    pub id: &'a str,
}

/// What to POST. It is authorised as [`authorization`] says; the key is put in by who posts.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Below the provider's base address, without a leading slash.
    pub path: String,
    /// The JSON body.
    pub body: Value,
}

/// What the provider's answer to a POST means.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The provider has the message and gave it an id.
    Accepted {
        /// `wamid…`, or what the provider has in its place.
        provider_message_id: String,
        /// The recipient's number as the provider spells it. May differ from what was sent.
        wa_id: Option<String>,
        /// The recipient's business-scoped id, if the message was addressed to it.
        user_id: Option<String>,
        /// Whether it goes out now.
        standing: Standing,
    },
    /// The provider does not have the message and said so: another attempt cannot double it.
    Refused {
        /// What it said. Where a proxy refused without an error object, the code is the HTTP
        /// status.
        error: ProviderError,
        /// What to do.
        class: ErrorClass,
        /// The earliest time for another attempt, if it named one.
        retry_after: Option<Duration>,
    },
    /// The provider may have the message or not. Nothing may be posted again before evidence has
    /// been waited for.
    Unclear {
        /// What the answer was.
        reason: String,
    },
}

/// What the answer to a request for several messages means.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// Of each message, in the order in which they were asked about.
    Each(Vec<Answer>),
    /// None was taken, for what may be wrong with one of them: each is to be asked for alone.
    Apart {
        /// What the provider said.
        reason: String,
    },
}

/// What the provider does with a message it has accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Under way; also when the answer does not say (free-form messages).
    Accepted,
    /// Waits for the template's quality to be judged. Ends by `sent`, or by `failed` 132015.
    Held,
    /// Meta's vocabulary has `paused` here; no page says when.
    Paused,
    /// A word we do not know.
    Other(String),
}
