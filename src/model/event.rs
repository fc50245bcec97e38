//! The types of facts, as the feed names them. A type's first word says what its subject is:
//! `message.…`, `sequence.…`, `template.…`, `sender.…`, `connection.…`; `inbound.…` and
//! `webhook.…` have none.

use std::borrow::Cow;

use super::fact::{Said, Status};

/// The claimer took the message: it is being posted. Ours.
pub const MESSAGE_RELEASED: &str = "message.released";
/// The provider answered with a message id. Ours.
pub const MESSAGE_ACCEPTED: &str = "message.accepted";
/// The same, but it waits for Meta's quality assessment. Ours.
pub const MESSAGE_HELD: &str = "message.held";
/// The provider answered with an error: it did not take the message. Ours.
pub const MESSAGE_REFUSED: &str = "message.refused";
/// The answer was lost. Ours.
pub const MESSAGE_UNKNOWN: &str = "message.unknown";
/// A claim was given back before anything was posted. Ours.
pub const MESSAGE_RETURNED: &str = "message.returned";
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
/// The provider said that this number may not send. Ours.
pub const SENDER_BLOCKED: &str = "sender.blocked";
/// The provider refused our token: nothing is posted. Ours.
pub const CONNECTION_STOPPED: &str = "connection.stopped";
/// A person opened it again. Ours.
pub const SENDER_RESUMED: &str = "sender.resumed";
/// It has a new token. Ours.
pub const CONNECTION_RESUMED: &str = "connection.resumed";
/// A template's status: said by a webhook, by an answer, or by a read.
pub const TEMPLATE_STATUS: &str = "template.status";
/// A template's quality score.
pub const TEMPLATE_QUALITY: &str = "template.quality";

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
            Status::Failed => "message.failed".into(),
        },
        Said::Inbound(inbound) => format!("inbound.{}", inbound.kind).into(),
        Said::TemplateStatus(_) => TEMPLATE_STATUS.into(),
        Said::TemplateQuality(_) => TEMPLATE_QUALITY.into(),
        Said::SenderError(_) => "sender.error".into(),
        Said::Other(_) => "webhook.other".into(),
    }
}
