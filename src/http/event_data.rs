//! What `/openapi.json` says of the `data` of events: a schema a type. Members that a provider
//! adds are kept as they came, so that none of these is closed, and whatever is absent is left out.

use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOf, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use self::Member::{Any, Boolean, Items, Text, Time, Whole};

/// The `data` of an event.
pub enum EventData {}

/// A member of `data`.
#[derive(Clone, Copy)]
enum Member {
    Text,
    Whole,
    Boolean,
    Time,
    Items,
    Any,
}

/// A type of event: what it says, and the members of its `data`.
type Kind = (
    &'static str,
    &'static str,
    &'static [(&'static str, Member)],
);

const MESSAGES: [Kind; 4] = [
    (
        "message.<status>",
        "A status of a message: `sent`, `delivered`, `read`, `played`, `failed`; \
         `message.status.<word>` for a word that is not known. Infobip's reports have a `status` \
         that is an object, `{group, id, name, …}`, an `error` beside it, and times of their own.",
        &[
            ("provider_message_id", Text),
            ("status", Any),
            ("error", Any),
            ("sent_at", Time),
            ("done_at", Time),
            ("seen_at", Time),
            ("sender_number", Text),
            ("recipient", Text),
            ("recipient_user_id", Text),
            ("recipient_parent_user_id", Text),
            ("participant", Text),
            ("errors", Items),
            ("pricing", Any),
            ("conversation", Any),
            ("callback_data", Text),
        ],
    ),
    (
        "inbound.<type>",
        "A user wrote. The content stands under its type. `standby`: another responder has the \
         conversation.",
        &[
            ("provider_message_id", Text),
            ("type", Text),
            ("from", Text),
            ("from_user_id", Text),
            ("from_parent_user_id", Text),
            ("group_id", Text),
            ("profile", Any),
            ("context", Any),
            ("referral", Any),
            ("errors", Items),
            ("standby", Boolean),
        ],
    ),
    (
        "echo.<type>",
        "A person wrote to a user in the Business app, or another responder did. The content \
         stands under its type.",
        &[
            ("provider_message_id", Text),
            ("type", Text),
            ("from", Text),
            ("recipient", Text),
            ("recipient_user_id", Text),
            ("recipient_parent_user_id", Text),
        ],
    ),
    (
        "history.message",
        "A message of before the number came to the Cloud API. `status` is as it was then.",
        &[
            ("provider_message_id", Text),
            ("type", Text),
            ("thread", Text),
            ("from", Text),
            ("recipient", Text),
            ("status", Text),
        ],
    ),
];

const TEMPLATES: [Kind; 5] = [
    (
        "template.status",
        "A template was approved, paused, disabled, … `disable_date` is text: seconds, or a date.",
        &[
            ("template_id", Text),
            ("name", Text),
            ("language", Text),
            ("event", Text),
            ("previous", Text),
            ("reason", Text),
            ("pause_title", Text),
            ("pause_description", Text),
            ("disable_date", Text),
            ("category", Text),
            ("waba_id", Text),
            ("rejection_info", Any),
        ],
    ),
    (
        "template.quality",
        "A template's quality score changed.",
        &[
            ("template_id", Text),
            ("name", Text),
            ("language", Text),
            ("previous", Text),
            ("new", Text),
        ],
    ),
    (
        "template.category",
        "A template's category changed; with `changes_at`, it is about to.",
        &[
            ("template_id", Text),
            ("name", Text),
            ("language", Text),
            ("previous", Text),
            ("new", Text),
            ("changes_at", Time),
        ],
    ),
    (
        "template.components",
        "A template was edited.",
        &[
            ("template_id", Text),
            ("name", Text),
            ("language", Text),
            ("title", Text),
            ("element", Text),
            ("footer", Text),
            ("buttons", Items),
        ],
    ),
    (
        "template.category_detected",
        "What was sent directly as `previous` was found to be `new`.",
        &[
            ("template_id", Text),
            ("name", Text),
            ("language", Text),
            ("previous", Text),
            ("new", Text),
        ],
    ),
];

const SENDERS: [Kind; 6] = [
    (
        "sender.quality",
        "A number was flagged, or its limit or throughput changed.",
        &[
            ("display_phone_number", Text),
            ("event", Text),
            ("limit", Text),
            ("current_limit", Text),
            ("previous_limit", Text),
            ("max_daily_conversations_per_business", Text),
        ],
    ),
    (
        "sender.name",
        "What became of the name that was asked for.",
        &[
            ("display_phone_number", Text),
            ("decision", Text),
            ("name", Text),
            ("reason", Text),
        ],
    ),
    (
        "sender.security",
        "A number's PIN was changed, or is to be.",
        &[
            ("display_phone_number", Text),
            ("event", Text),
            ("requester", Text),
        ],
    ),
    (
        "sender.username",
        "A number's username. Without one, it was deleted.",
        &[
            ("display_phone_number", Text),
            ("username", Text),
            ("status", Text),
        ],
    ),
    (
        "sender.settings",
        "A number's settings.",
        &[("type", Text), ("phone_number_settings", Any)],
    ),
    (
        "sender.error",
        "An error about a number that belongs to no message.",
        &[
            ("code", Whole),
            ("title", Text),
            ("details", Any),
            ("href", Text),
        ],
    ),
];

const ACCOUNTS: [Kind; 7] = [
    (
        "account.update",
        "An account was restricted, banned, reinstated, … What belongs to the event stands under \
         the provider's name for it.",
        &[
            ("event", Text),
            ("phone_number", Text),
            ("country", Text),
            ("restriction_info", Any),
            ("ban_info", Any),
            ("violation_info", Any),
            ("waba_info", Any),
            ("disconnection_info", Any),
        ],
    ),
    (
        "account.alert",
        "The provider warns of something about an account.",
        &[
            ("entity_type", Text),
            ("entity_id", Text),
            ("severity", Text),
            ("status", Text),
            ("type", Text),
            ("description", Text),
        ],
    ),
    (
        "account.review",
        "What became of an account's review.",
        &[("decision", Text)],
    ),
    (
        "account.capability",
        "The limits of a business.",
        &[
            ("limit", Text),
            ("max_daily_conversations_per_business", Text),
            ("max_daily_conversation_per_phone", Text),
            ("max_phone_numbers_per_business", Whole),
            ("max_phone_numbers_per_waba", Whole),
        ],
    ),
    (
        "flow.update",
        "A Flow's status changed, or how well it does.",
        &[
            ("event", Text),
            ("flow_id", Text),
            ("message", Text),
            ("previous", Text),
            ("new", Text),
            ("alert_state", Text),
            ("warning", Text),
            ("requests_count", Whole),
            ("p50_latency", Whole),
            ("p90_latency", Whole),
            ("threshold", Any),
            ("error_rate", Any),
            ("availability", Any),
            ("errors", Any),
        ],
    ),
    (
        "payment.configuration",
        "A configuration of a payment gateway.",
        &[
            ("configuration_name", Text),
            ("provider_name", Text),
            ("provider_mid", Text),
            ("status", Text),
            ("created_at", Time),
            ("updated_at", Time),
        ],
    ),
    (
        "partner.solution",
        "A solution of several partners.",
        &[
            ("event", Text),
            ("solution_id", Text),
            ("status", Text),
            ("business_id", Text),
        ],
    ),
];

const USERS: [Kind; 6] = [
    (
        "user.preference",
        "What a user wants: of `marketing_messages`, `stop`, `resume`, `signup`.",
        &[
            ("user", Text),
            ("user_id", Text),
            ("parent_user_id", Text),
            ("category", Text),
            ("value", Text),
            ("detail", Text),
            ("signup_id", Text),
        ],
    ),
    (
        "user.id",
        "A user's ids changed.",
        &[
            ("user", Text),
            ("detail", Text),
            ("previous_user_id", Text),
            ("user_id", Text),
            ("previous_parent_user_id", Text),
            ("parent_user_id", Text),
        ],
    ),
    (
        "user.identity",
        "A user's identity key changed: another device, or another person.",
        &[
            ("user", Text),
            ("user_id", Text),
            ("hash", Text),
            ("detail", Text),
        ],
    ),
    (
        "user.action",
        "Somebody clicked a link in a marketing message. It is not said who.",
        &[
            ("action", Text),
            ("click_component", Text),
            ("product_id", Text),
            ("click_id", Text),
            ("tracking_token", Text),
        ],
    ),
    (
        "automatic.event",
        "A purchase or a lead that the provider saw in a message.",
        &[
            ("provider_message_id", Text),
            ("event", Text),
            ("ctwa_clid", Text),
            ("custom_data", Any),
        ],
    ),
    (
        "contact.sync",
        "A contact in the Business app was added or changed (`add`), or removed.",
        &[
            ("type", Text),
            ("action", Text),
            ("full_name", Text),
            ("first_name", Text),
            ("phone_number", Text),
        ],
    ),
];

const OTHERS: [Kind; 8] = [
    (
        "call.event",
        "A call began, ended, …",
        &[
            ("call_id", Text),
            ("event", Text),
            ("direction", Text),
            ("status", Text),
            ("from", Text),
            ("recipient", Text),
            ("callback_data", Text),
            ("started_at", Time),
            ("ended_at", Time),
            ("duration", Whole),
            ("session", Any),
            ("errors", Items),
        ],
    ),
    (
        "call.status",
        "What became of a call that the business made.",
        &[
            ("call_id", Text),
            ("status", Text),
            ("recipient", Text),
            ("recipient_user_id", Text),
            ("callback_data", Text),
            ("errors", Items),
        ],
    ),
    (
        "payment.status",
        "What became of a payment.",
        &[
            ("provider_message_id", Text),
            ("status", Text),
            ("recipient", Text),
            ("reference_id", Text),
            ("payment_id", Text),
            ("currency", Text),
            ("payment", Any),
        ],
    ),
    (
        "group.<lifecycle | participants | settings | status>",
        "What happened to a group.",
        &[
            ("group_id", Text),
            ("type", Text),
            ("request_id", Text),
            ("subject", Text),
            ("description", Text),
            ("invite_link", Text),
            ("initiated_by", Text),
            ("reason", Text),
            ("user", Text),
            ("user_id", Text),
            ("added_participants", Any),
            ("removed_participants", Any),
            ("failed_participants", Any),
            ("errors", Items),
        ],
    ),
    (
        "conversation.handover",
        "Who of several responders has a conversation.",
        &[
            ("type", Text),
            ("user", Text),
            ("user_id", Text),
            ("recipient", Any),
            ("previous_owner_app_id", Text),
            ("previous_owner_role", Text),
            ("previous_owner_app_role", Text),
            ("new_owner_app_id", Text),
            ("new_owner_role", Text),
            ("metadata", Any),
        ],
    ),
    (
        "history.chunk",
        "How far the history of a number has come.",
        &[
            ("phase", Whole),
            ("chunk_order", Whole),
            ("progress", Whole),
        ],
    ),
    (
        "history.error",
        "The history of a number was not shared.",
        &[("code", Whole), ("title", Text), ("details", Any)],
    ),
    (
        "webhook.other",
        "What is not known, as it came.",
        &[("field", Text), ("value", Any)],
    ),
];

/// Every type that webhooks bring.
fn kinds() -> impl Iterator<Item = &'static Kind> {
    let families: [&'static [Kind]; 6] =
        [&MESSAGES, &TEMPLATES, &SENDERS, &ACCOUNTS, &USERS, &OTHERS];
    families.into_iter().flatten()
}

impl Member {
    fn schema(self) -> RefOr<Schema> {
        let of = |r#type| ObjectBuilder::new().schema_type(r#type);
        match self {
            Text => of(Type::String).into(),
            Whole => of(Type::Integer).into(),
            Boolean => of(Type::Boolean).into(),
            Time => of(Type::String)
                .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                    utoipa::openapi::KnownFormat::DateTime,
                )))
                .into(),
            Items => ArrayBuilder::new().items(any()).into(),
            Any => any().into(),
        }
    }
}

fn any() -> Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .build()
}

fn open() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
}

impl PartialSchema for EventData {
    fn schema() -> RefOr<Schema> {
        let mut all = AnyOf::builder().description(Some(
            "What the event says. Each schema bears in its title the types it is for. Members \
             that the provider adds are kept as they came; what is absent is left out.",
        ));
        for (r#type, says, members) in kinds() {
            let object = open().title(Some(*r#type)).description(Some(*says));
            let object = members.iter().fold(object, |object, (name, member)| {
                object.property(*name, member.schema())
            });
            all = all.item(object);
        }
        let ours = "Decisions of the service itself, such as `sequence.completed`.";
        all.item(open().title(Some("others")).description(Some(ours)))
            .examples([json!({"name": "offer", "language": "en_US", "event": "PAUSED"})])
            .into()
    }
}

impl ToSchema for EventData {}
