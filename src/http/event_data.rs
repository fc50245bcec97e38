//! What `/openapi.json` says of the `data` of events: a schema a type. Members that a provider
//! adds are kept as they came, so that none of these is closed, and whatever is absent is left out.

use serde_json::json;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOf, ArrayBuilder, Object, ObjectBuilder, SchemaType, Type,
};
use utoipa::openapi::{KnownFormat, RefOr, Schema, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// The `data` of an event.
pub enum EventData {}

/// A member of `data`.
#[derive(Clone, Copy)]
enum Member {
    Text,
    MaybeText,
    Whole,
    MaybeWhole,
    Boolean,
    Time,
    MaybeTime,
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
    ($($type:literal $says:literal { $($member:ident: $($name:ident)+;)* })+) => {
        /// Every type of event.
        const KINDS: &[Kind] = &[
            $(($type, $says, &[$($((stringify!($name), Member::$member),)+)*]),)+
        ];
    };
}

kinds! {
    // -- What the service itself decided or did with a message --
    "message.released"
        "Claimed: it is about to be posted."
    {}
    "message.accepted"
        "The provider took it: its answer to the POST. `recipient` is the user's id as the answer \
         gives it."
    {
        Text: provider_message_id;
        MaybeText: recipient;
    }
    "message.held"
        "The provider took it, and holds it until its quality has been assessed."
    {
        Text: provider_message_id;
        MaybeText: recipient;
    }
    "message.refused"
        "The provider's answer was a refusal, or a rule refused it before (`refused_at` and `rule` \
         then). With `next_attempt_at`, it waits until then and burns no attempt."
    {
        MaybeWhole: code;
        Text: class;
        MaybeText: title details;
        MaybeTime: next_attempt_at;
        Time: refused_at;
        Any: rule;
    }
    "message.unknown"
        "Nobody knows whether the provider took it: its answer was lost."
    {
        Text: reason;
    }
    "message.returned"
        "It was not posted after all, and waits again."
    {
        Text: reason;
    }
    "message.retrying"
        "It is tried again: as its policy says, from `next_attempt_at` on, or as a person said."
    {
        Time: next_attempt_at;
    }
    "message.expired"
        "Its time to live ran out, and no status says that it came. A late one undoes it."
    {}
    "message.changed"
        "A person changed what was not sent yet: these `fields`."
    {
        Items: fields;
    }
    "message.cancelled"
        "A person ended it before it was sent."
    {}
    "message.adopted"
        "What looked like somebody else's message turned out to be this one; `alias` is the id it \
         was shown under."
    {
        Text: provider_message_id alias;
    }
    // -- Sequences and campaigns --
    "sequence.advanced"
        "The gate behind the `message` at `position` has passed, as `gate` says; the next may go."
    {
        Whole: position;
        Text: gate message;
    }
    "sequence.completed"
        "All of it was sent, and its last gate has passed."
    {}
    "sequence.stopped"
        "It ended before its end, at `position`, for this `reason`."
    {
        Whole: position;
        Text: reason;
    }
    "sequence.held"
        "It waits at `position` for a person, or for evidence."
    {
        Whole: position;
        Text: reason;
    }
    "sequence.paused"
        "A person stopped it, before `position`."
    {
        Whole: position;
    }
    "sequence.resumed"
        "It goes on with `position`. `from`: what it was before. Empty where evidence came that it \
         was held for."
    {
        Whole: position;
        Text: from;
    }
    "sequence.cancelled"
        "A person ended it, at `position`."
    {
        Whole: position;
    }
    "sequence.appended"
        "So many `messages` were added to it, from `position` on."
    {
        Whole: position messages;
    }
    "campaign.activated"
        "A person asked for it to be sent."
    {
        Whole: recipients;
    }
    "campaign.paused"
        "A person stopped it; or, with `reason`, its watch over what came of the first."
    {
        Whole: recipients;
        Text: reason;
        Any: template;
    }
    "campaign.resumed"
        "It goes on."
    {
        Whole: recipients;
    }
    "campaign.completed"
        "Nothing of it is left to do."
    {
        Whole: recipients;
    }
    "campaign.cancelled"
        "A person ended it."
    {
        Whole: recipients;
    }
    // -- Alarms --
    "sender.blocked"
        "The provider said that this number may not send: its messages wait."
    {
        MaybeWhole: code;
        Text: reason;
    }
    "sender.resumed"
        "A person opened it again."
    {}
    "connection.stopped"
        "The provider refused our token: nothing is posted there until it has another."
    {
        MaybeWhole: code;
        Text: reason;
    }
    "connection.resumed"
        "It has a new token."
    {}
    "subscription.disabled"
        "Events are posted there no more."
    {
        Text: reason;
    }
    "subscription.resumed"
        "Events are posted there again. `events_gone`: some were forgotten meanwhile."
    {
        Boolean: events_gone;
    }
    "subscription.events_gone"
        "It was told of nothing for so long that events were forgotten before it was."
    {}
    "subscription.ping"
        "Somebody wants to see whether an event arrives. It is in no feed."
    {}
    "webhook.undecoded"
        "A webhook, or a part of it, could not be understood. It is kept, byte for byte."
    {
        Text: webhook reason;
    }
    "webhook.not_applied"
        "What a part of a webhook says could not be stored. It is kept, byte for byte."
    {
        Text: webhook reason;
    }
    "webhooks.replayed"
        "Somebody (`by`) had `webhooks` read again."
    {
        Text: by;
        Items: webhooks;
    }
    // -- What providers say of messages --
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
        let of = |r#type: SchemaType| ObjectBuilder::new().schema_type(r#type);
        let maybe = |r#type| SchemaType::from_iter([r#type, Type::Null]);
        let time = SchemaFormat::KnownFormat(KnownFormat::DateTime);
        match self {
            Self::Text => of(Type::String.into()).into(),
            Self::MaybeText => of(maybe(Type::String)).into(),
            Self::Whole => of(Type::Integer.into()).into(),
            Self::MaybeWhole => of(maybe(Type::Integer)).into(),
            Self::Boolean => of(Type::Boolean.into()).into(),
            Self::Time => of(Type::String.into()).format(Some(time)).into(),
            Self::MaybeTime => of(maybe(Type::String)).format(Some(time)).into(),
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
        let others = "Types that are newer than this document.";
        all.item(open().title(Some("others")).description(Some(others)))
            .examples([json!({"name": "offer", "language": "en_US", "event": "PAUSED"})])
            .into()
    }
}

impl ToSchema for EventData {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{KNOWN, OPEN, SUBSCRIPTION_PING};

    #[test]
    fn every_type_is_described() {
        let described = |wanted: &str| {
            KINDS
                .iter()
                .any(|(r#type, ..)| match r#type.split_once('<') {
                    Some((prefix, _)) => wanted.starts_with(prefix),
                    None => wanted == *r#type,
                })
        };
        for r#type in KNOWN.iter().chain(&OPEN).chain(&[SUBSCRIPTION_PING]) {
            assert!(described(r#type), "{type}");
        }
    }

    #[test]
    fn what_is_described_is_known() {
        for (r#type, ..) in KINDS.iter().filter(|(r#type, ..)| !r#type.contains('<')) {
            let known = KNOWN.contains(r#type) || *r#type == SUBSCRIPTION_PING;
            assert!(known, "{type}");
        }
    }
}
