//! What `/openapi.json` says of the small types that are a text in JSON: ids, times, spans,
//! places in lists, and words of closed lists. Types with fields derive their own.

use std::borrow::Cow;

use serde_json::json;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::content::Span;
use super::moment::Moment;
use super::page::{Cursor, Limit};
use crate::model::error_class::ErrorClass;
use crate::model::ids::{
    CampaignId, ConnectionId, EventId, KeyId, MessageId, SenderId, SequenceId, SubscriptionId,
    TemplateId, WebhookId,
};
use crate::model::message::MessageStatus;
use crate::model::proof::Hash;
use crate::model::provider::Provider;

fn text(says: &str, example: &str) -> ObjectBuilder {
    Object::builder()
        .schema_type(Type::String)
        .description(Some(says))
        .examples([json!(example)])
}

fn words(says: &str, words: &[&str]) -> RefOr<Schema> {
    let object = Object::builder()
        .schema_type(Type::String)
        .description(Some(says))
        .enum_values(Some(words.to_vec()));
    object.into()
}

macro_rules! ids {
    ($($name:ident $what:literal;)+) => {$(
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let example = format!("{}…", $name::PREFIX);
                let says = format!("The id of {}. Opaque; it starts with `{}`.", $what, $name::PREFIX);
                text(&says, &example)
                    .pattern(Some(format!("^{}[0-9a-v]+$", $name::PREFIX)))
                    .into()
            }
        }

        impl ToSchema for $name {}
    )+};
}

ids! {
    ConnectionId "a connection: an account with a provider";
    SenderId "a sender: a business phone number on a connection";
    MessageId "a message";
    SequenceId "a sequence";
    CampaignId "a campaign";
    KeyId "an API key";
    TemplateId "a template";
    EventId "an event";
    SubscriptionId "a subscription: where an internal service wants events posted";
    WebhookId "a webhook: one request that a provider posted to us";
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let says = "A time: RFC 3339. Answers are in UTC and have milliseconds.";
        text(says, "2026-11-05T09:30:00.000Z")
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                utoipa::openapi::KnownFormat::DateTime,
            )))
            .into()
    }
}

impl ToSchema for Moment {}

impl PartialSchema for Span {
    fn schema() -> RefOr<Schema> {
        let says = "A span of time: a whole number and a unit, `s`, `m`, `h` or `d`; at most \
                    `366d`.";
        text(says, "24h")
            .pattern(Some("^[0-9]+[smhd]$".to_owned()))
            .into()
    }
}

impl ToSchema for Span {}

impl<const N: usize> PartialSchema for Cursor<N> {
    fn schema() -> RefOr<Schema> {
        let says = "A place in a list: the `next_cursor` of the page before. Opaque.";
        text(says, "AZr0Ys5fcD2W").into()
    }
}

impl<const N: usize> ToSchema for Cursor<N> {
    fn name() -> Cow<'static, str> {
        "Cursor".into()
    }
}

impl PartialSchema for Limit {
    fn schema() -> RefOr<Schema> {
        Object::builder()
            .schema_type(Type::Integer)
            .description(Some("How many a page has at most."))
            .minimum(Some(1))
            .maximum(Some(Self::LARGEST))
            .default(Some(json!(Self::default().0)))
            .into()
    }
}

impl ToSchema for Limit {}

impl PartialSchema for MessageStatus {
    fn schema() -> RefOr<Schema> {
        let says = "The first that holds: `played`, `read`, `delivered` (of any attempt), \
                    `cancelled`, `failed` (for good), `sent`, `held` (Meta assesses the \
                    template's quality), `accepted`, `unknown` (the answer to the POST was lost; \
                    evidence may still settle it), `sending`, `queued`.";
        words(says, &Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for MessageStatus {}

impl PartialSchema for ErrorClass {
    fn schema() -> RefOr<Schema> {
        let says = "What an error means for what is done next.";
        words(says, &Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for ErrorClass {}

impl PartialSchema for Hash {
    fn schema() -> RefOr<Schema> {
        let says = "The hash function of an HMAC, as Infobip offers them.";
        words(says, &Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for Hash {
    fn name() -> Cow<'static, str> {
        "HashFunction".into()
    }
}

impl PartialSchema for Provider {
    fn schema() -> RefOr<Schema> {
        let says = "Who carries the messages.";
        words(says, &Self::ALL.map(Self::as_str))
    }
}

impl ToSchema for Provider {}

/// Words that are kept as texts: the schema forbids others (`CHECK`), answers show them as they
/// are. The types are named in `value_type` alone.
macro_rules! kept_words {
    ($($name:ident $says:literal [$($word:literal),+];)+) => {$(
        pub enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                words($says, &[$($word),+])
            }
        }

        impl ToSchema for $name {}
    )+};
}

kept_words! {
    SenderStatus "`blocked`: the provider said so, and messages wait. `unregistered`: it has no such number."
        ["active", "blocked", "unregistered"];
    SenderOrigin "`webhook`: a webhook named a number that nobody had made."
        ["api", "webhook"];
    MessageOrigin "`external`: another program posted it, and the provider told us of it."
        ["ours", "external"];
    AttemptOutcome "What the provider answered. `unknown`: its answer was lost."
        ["accepted", "held", "paused", "refused", "unknown"];
    EventSource "Where a fact comes from: a webhook, the answer to a POST, a look at the provider, the service itself (`sweep`), or a caller."
        ["webhook", "answer", "poll", "sweep", "api"];
    WaitingReason "Why a queued message has not gone."
        ["gate", "schedule", "quiet_hours", "retry", "rate_limit", "messaging_limit", "template_paused", "sender_blocked",
         "connection_stopped", "paused", "opted_out", "window_closed"];
    SubscriptionStatus "`disabled`: nothing is posted there; `disabled_reason` says why."
        ["active", "disabled"];
    SubscriptionFormat "`event`: as `GET /v1/events` shows it. `cloudevents`: CloudEvents 1.0, structured."
        ["event", "cloudevents"];
    DeliveryState "`waiting`: it was refused, or waits behind one that was. `dead`: it was given up."
        ["waiting", "dead"];
    TemplateStep "What has to be done so that a template is as it is defined."
        ["none", "create", "edit", "wait", "impossible", "invalid"];
    BodyEncoding "`base64` for what is no UTF-8."
        ["text", "base64"];
}
