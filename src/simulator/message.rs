//! A message as a caller wants it, as it is once it was accepted, and the user it is for: in no
//! dialect yet, or no more.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::dialect::Dialect;
use super::trouble::Trouble;

/// An accepted message: what its webhooks repeat.
#[derive(Debug)]
pub struct Message {
    pub dialect: Dialect,
    /// The provider's id of it, of whatever form.
    pub wamid: String,
    /// The sender; a number's digits where the dialect has no ids for numbers.
    pub phone_number_id: String,
    pub user: User,
    /// What the caller wants repeated: `biz_opaque_callback_data`, or `callbackData`.
    pub callback: Option<String>,
    /// `pricing.category`.
    pub category: String,
    /// Unix seconds.
    pub accepted_at: i64,
    pub given: Given,
    /// What it fails with, if it does.
    pub fails_with: Trouble,
    /// Told when the first attempt to post a webhook about it has ended: what a late answer
    /// waits for.
    pub first_posted: Notify,
}

/// What a caller of Infobip may give beside the message.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The message's id.
    pub id: Option<String>,
    pub bulk_id: Option<String>,
    /// Where this message's reports go.
    pub notify_url: Option<String>,
    /// `entityId` and `applicationId`.
    pub platform: Option<Value>,
}

/// What a caller asked for.
#[derive(Debug)]
pub struct Wish {
    /// The number that is to send.
    pub sender: String,
    pub user: User,
    pub callback: Option<String>,
    /// Name and language.
    pub template: Option<(String, String)>,
    /// A digest of what is said to whom. The caller's own id is not in it: a retry with another
    /// id has the same content.
    pub content: [u8; 32],
    /// Over the API for marketing messages.
    pub marketing: bool,
    pub given: Given,
}

/// Someone who has WhatsApp.
#[derive(Debug, Clone)]
pub struct User {
    /// The address as the caller gave it.
    pub input: String,
    /// The phone number; unknown when addressed by business-scoped id.
    pub wa_id: Option<String>,
    /// The business-scoped user id (BSUID).
    pub user_id: String,
}

impl User {
    /// The user of a phone number, however it is punctuated. Always the same user id.
    pub fn by_number(input: &str) -> Option<Self> {
        let wa_id: String = input.chars().filter(char::is_ascii_digit).collect();
        let user_id = format!("US.{:020}", number_of(&wa_id));
        (!wa_id.is_empty()).then(|| Self {
            input: input.to_owned(),
            wa_id: Some(wa_id),
            user_id,
        })
    }

    /// A user who is known by the business-scoped id alone.
    pub fn by_user_id(user_id: &str) -> Self {
        Self {
            input: user_id.to_owned(),
            wa_id: None,
            user_id: user_id.to_owned(),
        }
    }

    /// Names that a receiver only gets right if it verifies the bytes it received.
    pub fn name(&self) -> &'static str {
        const NAMES: [&str; 5] = [
            "José Ünal 🚀",
            "Ana Prieto",
            "Zoë Ångström / Núñez",
            "李小龙",
            "Мария \"Маша\" Ivanova",
        ];
        NAMES[(number_of(&self.user_id) % NAMES.len() as u64) as usize]
    }
}

/// A number that is always the same for the same text.
pub fn number_of(text: &str) -> u64 {
    let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
    digest[..8]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// One status that a webhook says of a message.
#[derive(Debug, Clone)]
pub struct Status {
    pub message: Arc<Message>,
    pub status: String,
    /// Unix seconds.
    pub at: i64,
    /// `errors[]`, with `failed`.
    pub errors: Option<Value>,
    pub callback: bool,
    pub pricing: bool,
    pub conversation: bool,
    /// It was posted before: it is not logged again.
    pub repeated: bool,
}
