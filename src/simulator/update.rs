//! What a webhook can say, before a dialect has words for it.

use super::dialect::Dialect;
use super::message::{Status, User};
use super::template::Key;

/// One thing a webhook can say.
#[derive(Debug, Clone)]
pub enum Update {
    Status(Status),
    Inbound(Inbound),
    Template(News),
}

/// A user wrote to a sender.
#[derive(Debug, Clone)]
pub struct Inbound {
    pub dialect: Dialect,
    pub phone_number_id: String,
    pub wamid: String,
    pub from: User,
    pub text: String,
    /// Unix seconds.
    pub at: i64,
}

/// A template changed.
#[derive(Debug, Clone)]
pub struct News {
    /// Unix seconds.
    pub time: i64,
    pub template_id: u64,
    pub key: Key,
    pub category: String,
    pub change: Change,
}

/// In Meta's words; other dialects translate.
#[derive(Debug, Clone)]
pub enum Change {
    Status {
        event: &'static str,
        /// Why it was rejected, or `NONE`.
        reason: String,
        title: String,
        description: String,
    },
    Quality {
        previous: String,
        new: String,
    },
}

impl Update {
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Status(status) => status.message.dialect,
            Self::Inbound(inbound) => inbound.dialect,
            Self::Template(news) => news.key.dialect,
        }
    }

    /// The number it is about; a template is of the account.
    pub fn sender(&self) -> Option<&str> {
        match self {
            Self::Status(status) => Some(&status.message.phone_number_id),
            Self::Inbound(inbound) => Some(&inbound.phone_number_id),
            Self::Template(_) => None,
        }
    }

    /// The address that its message's caller wants to be told at.
    pub fn notify_url(&self) -> Option<&str> {
        match self {
            Self::Status(status) => status.message.given.notify_url.as_deref(),
            _ => None,
        }
    }
}
