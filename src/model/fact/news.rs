//! What a provider says of accounts and numbers, and of much else that is only shown: everything
//! that is neither about a message, nor a user, nor a template.

use std::borrow::Cow;

use super::NumberRef;
use crate::model::Timestamp;
use crate::model::ids::SenderId;

/// Anything that is said, shown, and at most remembered by its last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewsFact {
    /// The event's type (`model::event`).
    pub r#type: Cow<'static, str>,
    /// The sender, where it is named by its id. Management fields name it by its digits alone,
    /// which may be nobody's that we know yet: those belong to the connection.
    pub number: Option<NumberRef>,
    /// What is remembered.
    pub words: Vec<Word>,
}

/// One word on one topic. Of each topic the last word counts, by the provider's time; at the
/// same second one that stops, else the greater text: any order of facts ends in the same state.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word {
    /// Of what.
    pub about: About,
    /// Under which head.
    pub topic: Topic,
    /// Whether nothing may be posted because of it.
    pub stops: bool,
    /// As the provider says it.
    pub word: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// What words are about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// A WhatsApp Business Account, by its id: all its numbers.
    Account(String),
    /// A business phone number, by the digits that users see.
    Number(String),
    /// The same, where it was asked for by its id.
    Sender(SenderId),
}

impl About {
    /// As it is stored.
    pub fn key(&self) -> String {
        match self {
            Self::Account(id) => format!("account {id}"),
            Self::Number(digits) => format!("number {digits}"),
            Self::Sender(id) => format!("sender {}", id.0),
        }
    }
}

/// What a word is on. Each has its own last word, so that the end of one stop does not end
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Whether the account is disabled.
    Ban,
    /// Whether the account is deleted.
    Deleted,
    /// Whether the number has left the Cloud API for the Business app.
    Offboarded,
    /// Whether we are still the account's partner.
    Partner,
    /// Whether the business may begin conversations.
    Restriction,
    /// To how many users a day conversations may be opened.
    Limit,
    /// The number's quality, or whether it is flagged.
    Quality,
    /// How fast the number may send.
    Throughput,
    /// The name that users see.
    Name,
    /// What became of the name that was asked for last.
    NameDecision,
    /// What became of the review of the name that users see.
    NameStatus,
    /// What the provider says of the number as such: connected, banned, …
    State,
    /// Whether the provider sends for the number.
    Health,
}

impl Topic {
    /// Each once.
    const ALL: [Self; 13] = [
        Self::Ban,
        Self::Deleted,
        Self::Offboarded,
        Self::Partner,
        Self::Restriction,
        Self::Limit,
        Self::Quality,
        Self::Throughput,
        Self::Name,
        Self::NameDecision,
        Self::NameStatus,
        Self::State,
        Self::Health,
    ];

    /// Reads the word that is stored.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.as_str() == word)
    }

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Deleted => "deleted",
            Self::Offboarded => "offboarded",
            Self::Partner => "partner",
            Self::Restriction => "restriction",
            Self::Limit => "limit",
            Self::Quality => "quality",
            Self::Throughput => "throughput",
            Self::Name => "name",
            Self::NameDecision => "name_decision",
            Self::NameStatus => "name_status",
            Self::State => "state",
            Self::Health => "health",
        }
    }
}
