//! What `/openapi.json` says of the `data` of events: a schema a type. Members that a provider
//! adds are kept as they came, so that none of these is closed, and whatever is absent is left out.

use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOf, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

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

macro_rules! kinds {
    ($($type:literal $says:literal { $($member:ident: $($name:ident)+;)+ })+) => {
        /// Every type that webhooks bring.
        const KINDS: &[Kind] = &[
            $(($type, $says, &[$($((stringify!($name), Member::$member),)+)+]),)+
        ];
    };
}

kinds! {
    // -- Messages --
    "message.<status>"
        "A status of a message: `sent`, `delivered`, `read`, `played`, `failed`; \
         `message.status.<word>` for a word that is not known. Infobip's reports have a `status` \
         that is an object, `{group, id, name, …}`, an `error` beside it, and times of their own. \
         Of `failed`, `code` and `class` say what `errors` mean; without a webhook it is our own word \
         that the answer, or a rule, was for good."
    {
        Whole: code;
        Text: class provider_message_id sender_number recipient recipient_user_id
          recipient_parent_user_id participant callback_data;
        Time: sent_at done_at seen_at;
        Items: errors;
        Any: status error pricing conversation;
    }
    "inbound.<type>"
        "A user wrote. The content stands under its type. `standby`: another responder has the \
         conversation."
    {
        Text: provider_message_id type from from_user_id from_parent_user_id group_id;
        Boolean: standby;
        Items: errors;
        Any: profile context referral;
    }
    "echo.<type>"
        "A person wrote to a user in the Business app, or another responder did. The content \
         stands under its type."
    {
        Text: provider_message_id type from recipient recipient_user_id
          recipient_parent_user_id;
    }
    "history.message"
        "A message of before the number came to the Cloud API. `status` is as it was then."
    {
        Text: provider_message_id type thread from recipient status;
    }
    // -- Templates --
    "template.status"
        "A template was approved, paused, disabled, … `disable_date` is text: seconds, or a date."
    {
        Text: template_id name language event previous reason pause_title pause_description
          disable_date category waba_id;
        Any: rejection_info;
    }
    "template.quality"
        "A template's quality score changed."
    {
        Text: template_id name language previous new;
    }
    "template.category"
        "A template's category changed; with `changes_at`, it is about to."
    {
        Text: template_id name language previous new;
        Time: changes_at;
    }
    "template.components"
        "A template was edited."
    {
        Text: template_id name language title element footer;
        Items: buttons;
    }
    "template.category_detected"
        "What was sent directly as `previous` was found to be `new`."
    {
        Text: template_id name language previous new;
    }
    // -- Numbers --
    "sender.quality"
        "A number was flagged, or its limit or throughput changed."
    {
        Text: display_phone_number event limit current_limit previous_limit
          max_daily_conversations_per_business quality previous_quality throughput
          previous_throughput;
    }
    "sender.name"
        "What became of the name that was asked for."
    {
        Text: display_phone_number decision name previous_name name_status previous_name_status
          reason;
    }
    "sender.health"
        "What the provider says of a number as such has changed, or whether it sends for it. Read
         from the provider; no webhook says it."
    {
        Text: display_phone_number state previous_state health previous_health;
        Items: errors;
    }
    "sender.security"
        "A number's PIN was changed, or is to be."
    {
        Text: display_phone_number event requester;
    }
    "sender.username"
        "A number's username. Without one, it was deleted."
    {
        Text: display_phone_number username status;
    }
    "sender.settings"
        "A number's settings."
    {
        Text: type;
        Any: phone_number_settings;
    }
    "sender.error"
        "An error about a number that belongs to no message."
    {
        Text: title href;
        Whole: code;
        Any: details;
    }
    // -- Accounts --
    "account.update"
        "An account was restricted, banned, reinstated, … What belongs to the event stands under \
         the provider's name for it."
    {
        Text: event previous waba_id phone_number country;
        Any: restriction_info ban_info violation_info waba_info disconnection_info;
    }
    "account.alert"
        "The provider warns of something about an account."
    {
        Text: entity_type entity_id severity status type description;
    }
    "account.review"
        "What became of an account's review."
    {
        Text: decision;
    }
    "account.capability"
        "The limits of a business."
    {
        Text: limit max_daily_conversations_per_business max_daily_conversation_per_phone;
        Whole: max_phone_numbers_per_business max_phone_numbers_per_waba;
    }
    "flow.update"
        "A Flow's status changed, or how well it does."
    {
        Text: event flow_id message previous new alert_state warning;
        Whole: requests_count p50_latency p90_latency;
        Any: threshold error_rate availability errors;
    }
    "payment.configuration"
        "A configuration of a payment gateway."
    {
        Text: configuration_name provider_name provider_mid status;
        Time: created_at updated_at;
    }
    "partner.solution"
        "A solution of several partners."
    {
        Text: event solution_id status business_id;
    }
    // -- Users --
    "user.preference"
        "What a user wants: of `marketing_messages`, `stop`, `resume`, `signup`."
    {
        Text: user user_id parent_user_id category value detail signup_id;
    }
    "user.id"
        "A user's ids changed."
    {
        Text: user detail previous_user_id user_id previous_parent_user_id parent_user_id;
    }
    "user.identity"
        "A user's identity key changed: another device, or another person."
    {
        Text: user user_id hash detail;
    }
    "user.action"
        "Somebody clicked a link in a marketing message. It is not said who."
    {
        Text: action click_component product_id click_id tracking_token;
    }
    "automatic.event"
        "A purchase or a lead that the provider saw in a message."
    {
        Text: provider_message_id event ctwa_clid;
        Any: custom_data;
    }
    "contact.sync"
        "A contact in the Business app was added or changed (`add`), or removed."
    {
        Text: type action full_name first_name phone_number;
    }
    // -- The rest --
    "call.event"
        "A call began, ended, …"
    {
        Text: call_id event direction status from recipient callback_data;
        Whole: duration;
        Time: started_at ended_at;
        Items: errors;
        Any: session;
    }
    "call.status"
        "What became of a call that the business made."
    {
        Text: call_id status recipient recipient_user_id callback_data;
        Items: errors;
    }
    "payment.status"
        "What became of a payment."
    {
        Text: provider_message_id status recipient reference_id payment_id currency;
        Any: payment;
    }
    "group.<lifecycle | participants | settings | status>"
        "What happened to a group."
    {
        Text: group_id type request_id subject description invite_link initiated_by reason
          user user_id;
        Items: errors;
        Any: added_participants removed_participants failed_participants;
    }
    "conversation.handover"
        "Who of several responders has a conversation."
    {
        Text: type user user_id previous_owner_app_id previous_owner_role
          previous_owner_app_role new_owner_app_id new_owner_role;
        Any: recipient metadata;
    }
    "history.chunk"
        "How far the history of a number has come."
    {
        Whole: phase chunk_order progress;
    }
    "history.error"
        "The history of a number was not shared."
    {
        Text: title;
        Whole: code;
        Any: details;
    }
    "webhook.other"
        "What is not known, as it came."
    {
        Text: field;
        Any: value;
    }
}

impl Member {
    fn schema(self) -> RefOr<Schema> {
        let of = |r#type| ObjectBuilder::new().schema_type(r#type);
        match self {
            Self::Text => of(Type::String).into(),
            Self::Whole => of(Type::Integer).into(),
            Self::Boolean => of(Type::Boolean).into(),
            Self::Time => of(Type::String)
                .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(
                    utoipa::openapi::KnownFormat::DateTime,
                )))
                .into(),
            Self::Items => ArrayBuilder::new().items(any()).into(),
            Self::Any => any().into(),
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
        for (r#type, says, members) in KINDS {
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
