//! The types of facts, as the feed names them. A type's first word says what its subject is:
//! `message.…`, `sequence.…`, `campaign.…`, `template.…`, `sender.…`, `connection.…`,
//! `subscription.…`; others, such as
//! `inbound.…` and `account.…`, have none.

use std::borrow::Cow;

use super::fact::{Said, Status, UserSaid};

/// The claimer took the message: it is being posted. Ours.
pub const MESSAGE_RELEASED: &str = "message.released";
/// The provider answered with a message id. Ours.
pub const MESSAGE_ACCEPTED: &str = "message.accepted";
/// The same, but it waits for Meta's quality assessment. Ours.
pub const MESSAGE_HELD: &str = "message.held";
/// The provider answered with an error: it did not take the message. Ours.
pub const MESSAGE_REFUSED: &str = "message.refused";
/// An attempt failed: the provider said so later. Ours where the answer, or a rule, was for good.
pub const MESSAGE_FAILED: &str = "message.failed";
/// The answer was lost. Ours.
pub const MESSAGE_UNKNOWN: &str = "message.unknown";
/// A claim was given back before anything was posted. Ours.
pub const MESSAGE_RETURNED: &str = "message.returned";
/// Its time was over, and nothing had been heard of delivery or failure. Ours.
pub const MESSAGE_EXPIRED: &str = "message.expired";
/// A person changed what it says, or when it goes. Ours.
pub const MESSAGE_CHANGED: &str = "message.changed";
/// A person took it out. Ours.
pub const MESSAGE_CANCELLED: &str = "message.cancelled";
/// A new attempt was decided. Ours.
pub const MESSAGE_RETRYING: &str = "message.retrying";
/// An attempt that had been taken for somebody else's turned out to be ours. Ours.
pub const MESSAGE_ADOPTED: &str = "message.adopted";
/// The head was passed: its gate opened, or a policy went on. Ours.
pub const SEQUENCE_ADVANCED: &str = "sequence.advanced";
/// The last message passed its gate. Ours.
pub const SEQUENCE_COMPLETED: &str = "sequence.completed";
/// A policy ended it. Ours.
pub const SEQUENCE_STOPPED: &str = "sequence.stopped";
/// It waits for a person, or for evidence. Ours.
pub const SEQUENCE_HELD: &str = "sequence.held";
/// A person stopped it. Ours.
pub const SEQUENCE_PAUSED: &str = "sequence.paused";
/// It goes on. Ours.
pub const SEQUENCE_RESUMED: &str = "sequence.resumed";
/// A person ended it. Ours.
pub const SEQUENCE_CANCELLED: &str = "sequence.cancelled";
/// Messages were added. Ours.
pub const SEQUENCE_APPENDED: &str = "sequence.appended";
/// A person asked for it to be sent. Ours.
pub const CAMPAIGN_ACTIVATED: &str = "campaign.activated";
/// A person stopped it. Ours.
pub const CAMPAIGN_PAUSED: &str = "campaign.paused";
/// It goes on. Ours.
pub const CAMPAIGN_RESUMED: &str = "campaign.resumed";
/// Nothing of it is left to do. Ours.
pub const CAMPAIGN_COMPLETED: &str = "campaign.completed";
/// A person ended it. Ours.
pub const CAMPAIGN_CANCELLED: &str = "campaign.cancelled";
/// The provider said that this number may not send. Ours.
pub const SENDER_BLOCKED: &str = "sender.blocked";
/// The provider refused our token: nothing is posted. Ours.
pub const CONNECTION_STOPPED: &str = "connection.stopped";
/// A person opened it again. Ours.
pub const SENDER_RESUMED: &str = "sender.resumed";
/// It has a new token. Ours.
pub const CONNECTION_RESUMED: &str = "connection.resumed";
/// Events are posted there no more: it failed for too long, or wants none. Ours.
pub const SUBSCRIPTION_DISABLED: &str = "subscription.disabled";
/// A person opened it again. Ours.
pub const SUBSCRIPTION_RESUMED: &str = "subscription.resumed";
/// It was told of nothing for so long that events were forgotten before it was. Ours.
pub const SUBSCRIPTION_EVENTS_GONE: &str = "subscription.events_gone";
/// Somebody wants to see whether an event arrives. Ours; it is in no feed.
pub const SUBSCRIPTION_PING: &str = "subscription.ping";
/// A webhook, or a part of it, could not be understood. It is in the journal. Ours.
pub const WEBHOOK_UNDECODED: &str = "webhook.undecoded";
/// What a part of a webhook says is refused by the database. It is in the journal. Ours.
pub const WEBHOOK_NOT_APPLIED: &str = "webhook.not_applied";
/// Somebody had webhooks of the journal read again. Ours.
pub const WEBHOOKS_REPLAYED: &str = "webhooks.replayed";
/// A template's status: said by a webhook, by an answer, or by a read.
pub const TEMPLATE_STATUS: &str = "template.status";
/// A template's quality score.
pub const TEMPLATE_QUALITY: &str = "template.quality";

/// A template's category changed, or is about to.
pub const TEMPLATE_CATEGORY: &str = "template.category";
/// A template's text was edited.
pub const TEMPLATE_COMPONENTS: &str = "template.components";
/// A message that was sent directly was found to be of another category.
pub const TEMPLATE_CATEGORY_DETECTED: &str = "template.category_detected";
/// A number was flagged, or its limit or throughput changed.
pub const SENDER_QUALITY: &str = "sender.quality";
/// What became of a name that was asked for.
pub const SENDER_NAME: &str = "sender.name";
/// What the provider says of a number as such has changed, or whether it sends for it: read, and
/// said by no webhook.
pub const SENDER_HEALTH: &str = "sender.health";
/// A number's PIN was changed, or is to be.
pub const SENDER_SECURITY: &str = "sender.security";
/// A number's username.
pub const SENDER_USERNAME: &str = "sender.username";
/// A number's settings for calls.
pub const SENDER_SETTINGS: &str = "sender.settings";
/// An error about a sender that belongs to no message.
pub const SENDER_ERROR: &str = "sender.error";
/// An account was restricted, banned, reinstated, …
pub const ACCOUNT_UPDATE: &str = "account.update";
/// The provider warns of something about an account.
pub const ACCOUNT_ALERT: &str = "account.alert";
/// What became of an account's review.
pub const ACCOUNT_REVIEW: &str = "account.review";
/// The limits of a business.
pub const ACCOUNT_CAPABILITY: &str = "account.capability";
/// A user wants no marketing any more, or wants it again.
pub const USER_PREFERENCE: &str = "user.preference";
/// A user's ids changed.
pub const USER_ID: &str = "user.id";
/// A user's identity key changed: another device, or another person.
pub const USER_IDENTITY: &str = "user.identity";
/// A user clicked a link in a marketing message. The provider does not say who.
pub const USER_ACTION: &str = "user.action";
/// A part of the history of a number that came from the Business app.
pub const HISTORY_CHUNK: &str = "history.chunk";
/// A message of that history.
pub const HISTORY_MESSAGE: &str = "history.message";
/// That history was not shared.
pub const HISTORY_ERROR: &str = "history.error";
/// A contact in the Business app was added, changed or removed.
pub const CONTACT_SYNC: &str = "contact.sync";
/// Another responder took a conversation over.
pub const CONVERSATION_HANDOVER: &str = "conversation.handover";
/// A call began, ended, …
pub const CALL_EVENT: &str = "call.event";
/// What became of a call that the business made.
pub const CALL_STATUS: &str = "call.status";
/// What became of a payment.
pub const PAYMENT_STATUS: &str = "payment.status";
/// A configuration of a payment gateway.
pub const PAYMENT_CONFIGURATION: &str = "payment.configuration";
/// A group was made, deleted, suspended.
pub const GROUP_LIFECYCLE: &str = "group.lifecycle";
/// Who came into a group, left it, or asks to come in.
pub const GROUP_PARTICIPANTS: &str = "group.participants";
/// A group's subject, picture, description.
pub const GROUP_SETTINGS: &str = "group.settings";
/// Whether a group is suspended.
pub const GROUP_STATUS: &str = "group.status";
/// A Flow's status or health.
pub const FLOW_UPDATE: &str = "flow.update";
/// A solution of several partners.
pub const PARTNER_SOLUTION: &str = "partner.solution";
/// A purchase or a lead that the provider saw in a conversation.
pub const AUTOMATIC_EVENT: &str = "automatic.event";
/// What is not known.
pub const WEBHOOK_OTHER: &str = "webhook.other";

/// What begins so is whatever the provider calls it.
pub const OPEN: [&str; 3] = ["message.status.", "inbound.", "echo."];

/// Every type of the feed but those of [`OPEN`].
pub const KNOWN: &[&str] = &[
    "message.sent",
    "message.delivered",
    "message.read",
    "message.played",
    MESSAGE_RELEASED,
    MESSAGE_ACCEPTED,
    MESSAGE_HELD,
    MESSAGE_REFUSED,
    MESSAGE_FAILED,
    MESSAGE_UNKNOWN,
    MESSAGE_RETURNED,
    MESSAGE_EXPIRED,
    MESSAGE_CHANGED,
    MESSAGE_CANCELLED,
    MESSAGE_RETRYING,
    MESSAGE_ADOPTED,
    SEQUENCE_ADVANCED,
    SEQUENCE_COMPLETED,
    SEQUENCE_STOPPED,
    SEQUENCE_HELD,
    SEQUENCE_PAUSED,
    SEQUENCE_RESUMED,
    SEQUENCE_CANCELLED,
    SEQUENCE_APPENDED,
    CAMPAIGN_ACTIVATED,
    CAMPAIGN_PAUSED,
    CAMPAIGN_RESUMED,
    CAMPAIGN_COMPLETED,
    CAMPAIGN_CANCELLED,
    SENDER_BLOCKED,
    CONNECTION_STOPPED,
    SENDER_RESUMED,
    CONNECTION_RESUMED,
    SUBSCRIPTION_DISABLED,
    SUBSCRIPTION_RESUMED,
    SUBSCRIPTION_EVENTS_GONE,
    WEBHOOK_UNDECODED,
    WEBHOOK_NOT_APPLIED,
    WEBHOOKS_REPLAYED,
    TEMPLATE_STATUS,
    TEMPLATE_QUALITY,
    TEMPLATE_CATEGORY,
    TEMPLATE_COMPONENTS,
    TEMPLATE_CATEGORY_DETECTED,
    SENDER_QUALITY,
    SENDER_NAME,
    SENDER_HEALTH,
    SENDER_SECURITY,
    SENDER_USERNAME,
    SENDER_SETTINGS,
    SENDER_ERROR,
    ACCOUNT_UPDATE,
    ACCOUNT_ALERT,
    ACCOUNT_REVIEW,
    ACCOUNT_CAPABILITY,
    USER_PREFERENCE,
    USER_ID,
    USER_IDENTITY,
    USER_ACTION,
    HISTORY_CHUNK,
    HISTORY_MESSAGE,
    HISTORY_ERROR,
    CONTACT_SYNC,
    CONVERSATION_HANDOVER,
    CALL_EVENT,
    CALL_STATUS,
    PAYMENT_STATUS,
    PAYMENT_CONFIGURATION,
    GROUP_LIFECYCLE,
    GROUP_PARTICIPANTS,
    GROUP_SETTINGS,
    GROUP_STATUS,
    FLOW_UPDATE,
    PARTNER_SOLUTION,
    AUTOMATIC_EVENT,
    WEBHOOK_OTHER,
];

/// The type of a fact that a webhook said.
pub fn of(said: &Said) -> Cow<'static, str> {
    match said {
        Said::Status(status) => match &status.status {
            // `message.other` would hide the word; a word of theirs could be one of ours.
            Status::Other(word) => format!("message.status.{word}").into(),
            Status::Sent => "message.sent".into(),
            Status::Delivered => "message.delivered".into(),
            Status::Read => "message.read".into(),
            Status::Played => "message.played".into(),
            Status::Failed => MESSAGE_FAILED.into(),
        },
        Said::Inbound(inbound) => format!("inbound.{}", inbound.kind).into(),
        Said::TemplateStatus(_) => TEMPLATE_STATUS.into(),
        Said::TemplateQuality(_) => TEMPLATE_QUALITY.into(),
        Said::TemplateCategory(_) => TEMPLATE_CATEGORY.into(),
        Said::TemplateNews(news) => news.r#type.into(),
        Said::User(user) => match user.said {
            UserSaid::Preference { .. } => USER_PREFERENCE.into(),
            UserSaid::NewIds { .. } => USER_ID.into(),
        },
        Said::News(news) => news.r#type.clone(),
        Said::SenderError(_) => SENDER_ERROR.into(),
        Said::Other(_) => WEBHOOK_OTHER.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_known() {
        let source = include_str!("event.rs");
        let types = source.lines().filter_map(|line| {
            let (_, text) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
            text.strip_suffix("\";")
        });
        for r#type in types.filter(|text| *text != SUBSCRIPTION_PING) {
            assert!(KNOWN.contains(&r#type), "{type} is missing in KNOWN");
        }
    }
}
