//! The providers: a folder each, with the same file names in each: `webhook.rs` (whose bytes are
//! these, and what do they say), `send.rs` (message to request, answer to outcome), `manage.rs`
//! (templates, media, senders). Pure: bytes and values in, values out; `http`, `ingest` and `send`
//! do the talking. What a provider says about a message that was posted is an [`Answer`], whoever
//! says it.

pub mod dialog360;
pub mod infobip;
pub mod lenient;
pub mod meta;
pub mod proof;
pub mod reading;

use std::time::Duration;

use serde_json::Value;

use crate::model::error_class::ErrorClass;
use crate::model::fact::{Decoded, ProviderError};
use crate::model::provider::Provider;

/// Reads everything that a webhook's body says.
pub fn decode(provider: Provider, body: &[u8]) -> Decoded {
    match provider {
        Provider::Meta => meta::webhook::decode(body),
        Provider::Dialog360 | Provider::Dialog360Onprem => dialog360::webhook::decode(body),
        Provider::Infobip => infobip::webhook::decode(body),
    }
}

/// A message about to be posted.
#[derive(Debug, Clone)]
pub struct Outgoing<'a> {
    /// A phone number, a business-scoped user id, or a group's id.
    pub to: &'a str,
    /// Whether `to` is a group.
    pub to_group: bool,
    /// The message's type: `template`, `text`, `image` …
    pub kind: &'a str,
    /// The object under the type, in the provider's own vocabulary.
    pub content: &'a Value,
    /// The attempt's id as it goes out: `AttemptId::to_callback`.
    pub callback: String,
}

/// What to POST.
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
        /// `wamid…`
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
