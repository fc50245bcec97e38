//! Statuses as the provider writes them, and webhooks that are made of them anew and signed.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;

use crate::check::Word;
use crate::provider::SECRET;

/// Of so many messages' `sent`, one does not say whose it is. What follows it always does.
const NAMELESS_IN: usize = 8;
/// Of so many messages, one has a slow second tick.
const SLOW_IN: usize = 6;

/// A status as the provider says it.
#[derive(Clone)]
pub struct Item {
    /// The sender's `phone_number_id`.
    pub number: Arc<str>,
    pub wamid: String,
    pub word: Word,
    /// Unix seconds.
    pub at: i64,
    pub json: String,
}

#[derive(Clone)]
pub struct Webhook {
    pub items: Vec<Item>,
    pub body: Vec<u8>,
    /// After a 200.
    pub comes_again: bool,
}

/// All statuses of a webhook.
pub fn items(webhook: &Value) -> Vec<Item> {
    let mut items = Vec::new();
    for entry in webhook["entry"].as_array().unwrap() {
        for change in entry["changes"].as_array().unwrap() {
            let value = &change["value"];
            let number: Arc<str> = value["metadata"]["phone_number_id"]
                .as_str()
                .unwrap()
                .into();
            let statuses = value["statuses"].as_array().unwrap();
            items.extend(
                statuses
                    .iter()
                    .map(|status| Item::read(&number, status.clone())),
            );
        }
    }
    items
}

impl Item {
    /// Whether it is a second tick that takes its time.
    pub fn is_slow(&self) -> bool {
        self.word != Word::Sent && sum(&self.wamid).is_multiple_of(SLOW_IN)
    }

    fn read(number: &Arc<str>, mut status: Value) -> Self {
        let wamid = status["id"].as_str().unwrap().to_owned();
        let word = Word::parse(status["status"].as_str().unwrap()).unwrap();
        let at = status["timestamp"].as_str().unwrap().parse().unwrap();
        if word == Word::Sent && sum(&wamid).is_multiple_of(NAMELESS_IN) {
            let members = status.as_object_mut().unwrap();
            members.remove("biz_opaque_callback_data");
        }
        Self {
            number: Arc::clone(number),
            wamid,
            word,
            at,
            json: status.to_string(),
        }
    }
}

/// Some number that is a message's own.
fn sum(wamid: &str) -> usize {
    wamid.bytes().map(usize::from).sum()
}

impl Webhook {
    /// As Meta writes it: an entry, and a change for those in a row that are of one number.
    pub fn of(items: Vec<Item>) -> Self {
        let changes = items.chunk_by(|a, b| a.number == b.number).map(change);
        let changes: Vec<String> = changes.collect();
        let body = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"204411887755301","changes":[{}]}}]}}"#,
            changes.join(",")
        );
        Self {
            items,
            body: body.into_bytes(),
            comes_again: false,
        }
    }

    /// `X-Hub-Signature-256`.
    pub fn signature(&self) -> String {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&self.body);
        let hash = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
        format!("sha256={hash}")
    }
}

/// What is said of one number.
fn change(items: &[Item]) -> String {
    let number = &items[0].number;
    let statuses: Vec<&str> = items.iter().map(|item| item.json.as_str()).collect();
    format!(
        r#"{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550142217","phone_number_id":"{number}"}},"statuses":[{}]}}}}"#,
        statuses.join(",")
    )
}
