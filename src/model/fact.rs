//! What a webhook says, one item at a time, in our words. Decoders (`provider/*/webhook.rs`)
//! make these; `store` writes them. Providers' vocabularies are open: what we do not know is
//! kept as it came.

mod news;
mod user;

use std::sync::Arc;

use super::Timestamp;

pub use self::news::{About, NewsFact, Topic, Word};
pub use self::user::{Alias, UserFact, UserRef, UserSaid};

/// Where in the body an item stood, such as `entry[0].changes[1].value.statuses[3]`; empty for
/// the body as a whole.
pub type ItemPath = String;

/// All that one webhook's body held.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Decoded {
    /// Every item that could be understood, in the order of the body.
    pub facts: Vec<Fact>,
    /// Every item that could not. Its siblings are in `facts` all the same.
    pub problems: Vec<Problem>,
    /// How many more there are: a body of nothing else must not take more memory than it has bytes.
    pub more_problems: usize,
    /// Why there are no facts although nothing is wrong (the dashboard's "Test" sample).
    pub note: Option<&'static str>,
}

/// An item that could not be decoded: kept in the journal, to be replayed after an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stood.
    pub item: ItemPath,
    /// What was expected and what was there.
    pub reason: String,
}

/// One thing that happened, as a provider said it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Where in the body it stood.
    pub item: ItemPath,
    /// What tells this fact from others of its kind, however often and in whatever company it
    /// is sent again: of a status the participant (else empty; message and word are its own), of
    /// an inbound message the provider's id, of anything else the first 128 bits, in hex, of a
    /// SHA-256 over entry, entry time, field and the item's bytes. At most 512 bytes.
    pub key: String,
    /// When it happened, by the provider's word. Seconds are its resolution. `None` if not said,
    /// or beyond belief.
    pub at: Option<Timestamp>,
    /// What happened.
    pub said: Said,
    /// The `data` of the event: a JSON object, as text. What the API shows, absent values left
    /// out.
    pub data: String,
}

/// The kinds of fact a webhook brings.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// A status of a message.
    Status(StatusFact),
    /// A user wrote to a sender.
    Inbound(InboundFact),
    /// A template was approved, paused, disabled …
    TemplateStatus(TemplateStatusFact),
    /// A template's quality score changed.
    TemplateQuality(TemplateQualityFact),
    /// A template's category changed, or is about to.
    TemplateCategory(TemplateCategoryFact),
    /// Anything else about a template, which is shown and changes nothing.
    TemplateNews(TemplateNewsFact),
    /// What a user wants, or who they are.
    User(UserFact),
    /// Of accounts and numbers, calls, groups, and much that is only shown.
    News(NewsFact),
    /// An error about a sender that belongs to no message (`value.errors[]`).
    SenderError(NumberRef),
    /// Anything else: a field that is not known, kept whole in `data`.
    Other(OtherFact),
}

/// A business phone number, as `metadata` names it. Some providers' items name none: what they
/// say of a message that is ours by its id belongs to that one's sender, and the rest to the one
/// sender of the connection that has no id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NumberRef {
    /// The WhatsApp Business Account (`entry.id`).
    pub waba_id: Option<String>,
    /// Meta's id of the number, or what its provider has for one; empty where none is named.
    pub phone_number_id: String,
    /// Digits, as shown to users.
    pub display_phone_number: Option<String>,
}

/// One element of `statuses[]`.
#[derive(Debug, Clone, PartialEq)]
pub struct StatusFact {
    /// The sender it is about. Shared by all statuses that stand beside each other.
    pub number: Arc<NumberRef>,
    /// The provider's id of the message (`wamid…`). Opaque.
    pub provider_message_id: String,
    /// What became of the message.
    pub status: Status,
    /// `recipient_id`: a phone number, or a group's id.
    pub recipient: Option<String>,
    /// The recipient's business-scoped id (BSUID).
    pub user_id: Option<String>,
    /// The id that is scoped to several businesses.
    pub parent_user_id: Option<String>,
    /// Which member of a group this is about.
    pub participant: Option<String>,
    /// What may be the id of our attempt: `biz_opaque_callback_data` as it came back, or the id
    /// of the message where the provider lets us choose it.
    pub callback: Option<String>,
    /// The first error's code and texts; given with `failed`.
    pub error: Option<ProviderError>,
}

/// A status as a provider names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// On its way.
    Sent,
    /// On the user's device: the second tick.
    Delivered,
    /// Shown to the user. Meta leaves `delivered` out when both happen at once.
    Read,
    /// A voice message was played.
    Played,
    /// Could not be sent or delivered.
    Failed,
    /// A word we do not know, such as `deleted` or `warning`. Kept, changes nothing.
    Other(String),
}

impl NumberRef {
    /// The number of an item that names none.
    pub fn unnamed() -> Self {
        Self {
            waba_id: None,
            phone_number_id: String::new(),
            display_phone_number: None,
        }
    }

    /// Whether the item named no number.
    pub fn is_unnamed(&self) -> bool {
        self.phone_number_id.is_empty()
    }
}

impl Status {
    /// The provider's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Played => "played",
            Self::Failed => "failed",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for Status {
    fn from(word: &str) -> Self {
        match word {
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            "played" => Self::Played,
            "failed" => Self::Failed,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// An error as a provider reports it. Build on `code`, never on texts: Meta changes these.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ProviderError {
    /// Meta's number; see `model::error_class`.
    pub code: i64,
    /// Short text.
    pub title: Option<String>,
    /// Long text (`error_data.details`).
    pub details: Option<String>,
}

/// One element of `messages[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundFact {
    /// The sender that was written to.
    pub number: NumberRef,
    /// The provider's id of the inbound message.
    pub provider_message_id: String,
    /// `text`, `button`, `reaction` … as it came.
    pub kind: String,
    /// The user's phone number, when Meta shares it.
    pub from: Option<String>,
    /// The user's business-scoped id (BSUID).
    pub from_user_id: Option<String>,
    /// Whether it was written in a group.
    pub in_group: bool,
    /// Names of the user that belong together, and new ones for old.
    pub aliases: Vec<Alias>,
}

impl InboundFact {
    /// Whether the user wrote this to the business, and to nobody else: not what WhatsApp says of
    /// the user (`system`).
    pub fn is_written_to_us(&self) -> bool {
        !self.in_group && self.kind != "system"
    }
}

/// Which template a template event is about. Name and language are its key: the numeric id
/// is not known to those who send.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TemplateRef {
    /// The WhatsApp Business Account (`entry.id`).
    pub waba_id: Option<String>,
    /// Meta's numeric id, as text.
    pub provider_template_id: Option<String>,
    /// As in the template.
    pub name: String,
    /// Normalised: `en_US`, never `en-US` (Meta's own examples have both).
    pub language: String,
}

/// `message_template_status_update`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateStatusFact {
    /// The template.
    pub template: TemplateRef,
    /// `APPROVED`, `PAUSED` …, in upper case (Meta's pacing page writes `paused`).
    pub event: String,
    /// `reason`, unless it is null or `NONE`.
    pub reason: Option<String>,
    /// `other_info.title`: `FIRST_PAUSE`, `UNPAUSE` …
    pub pause_title: Option<String>,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`, where given.
    pub category: Option<String>,
}

/// `message_template_quality_update`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateQualityFact {
    /// The template.
    pub template: TemplateRef,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub new: String,
}

/// `template_category_update`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateCategoryFact {
    /// The template.
    pub template: TemplateRef,
    /// What it is in now, in upper case. Not what it will be in, where a change is announced.
    pub current: Option<String>,
}

/// Something about a template that changes nothing of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateNewsFact {
    /// The template.
    pub template: TemplateRef,
    /// The event's type (`model::event`).
    pub r#type: &'static str,
}

/// A webhook field, or an array inside one, that we do not know, and keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherFact {
    /// The field's name (`tracking_events` …), with the list's where it is an element of one.
    pub field: String,
    /// The sender, where the value names one.
    pub number: Option<NumberRef>,
}
