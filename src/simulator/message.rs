//! A message as a caller posts it to `/{phone_number_id}/messages`, and the user it is for.
//! Checked here as Meta checks it: enough that a request Meta would refuse is refused.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::error::GraphError;
use super::template::Key;

/// Meta's limit for `biz_opaque_callback_data`, in characters.
const MAX_CALLBACK: usize = 512;
const TYPES: [&str; 11] = [
    "text",
    "image",
    "audio",
    "video",
    "document",
    "sticker",
    "location",
    "contacts",
    "reaction",
    "interactive",
    "template",
];

/// An accepted message: what its webhooks repeat.
#[derive(Debug)]
pub struct Message {
    pub wamid: String,
    pub phone_number_id: String,
    pub user: User,
    pub callback: Option<String>,
    /// `pricing.category`.
    pub category: String,
    /// Told when the first attempt to post a webhook about it has ended: what a late answer
    /// waits for.
    pub first_posted: Notify,
}

/// What a caller asked for.
#[derive(Debug)]
pub struct Wish {
    pub user: User,
    pub callback: Option<String>,
    pub template: Option<Key>,
    /// A digest of what is said to whom. The caller's own id is not in it: a retry with another
    /// id has the same content.
    pub content: [u8; 32],
}

impl Wish {
    /// Reads a request's body, or says what Meta would say against it.
    pub fn parse(body: &Value) -> Result<Self, GraphError> {
        if body["messaging_product"] != "whatsapp" {
            return Err(GraphError::invalid(
                "The parameter messaging_product is required and must be whatsapp.",
            ));
        }
        let user = User::parse(body)?;
        let kind = body["type"]
            .as_str()
            .ok_or_else(|| GraphError::invalid("The parameter type is required."))?;
        if !TYPES.contains(&kind) {
            return Err(GraphError::invalid(format!(
                "Param type must be one of {TYPES:?}"
            )));
        }
        let content = &body[kind];
        if !(content.is_object() || kind == "contacts" && content.is_array()) {
            return Err(GraphError::missing(format!(
                "Parameter '{kind}' of type {kind} is missing."
            )));
        }
        if kind == "text" && content["body"].as_str().is_none_or(str::is_empty) {
            return Err(GraphError::missing(
                "The parameter text['body'] is required.",
            ));
        }
        Ok(Self {
            callback: callback(body)?,
            template: (kind == "template")
                .then(|| template(content))
                .transpose()?,
            content: Sha256::digest(format!("{}\n{kind}\n{content}", user.input)).into(),
            user,
        })
    }
}

fn callback(body: &Value) -> Result<Option<String>, GraphError> {
    match &body["biz_opaque_callback_data"] {
        Value::Null => Ok(None),
        Value::String(data) if data.chars().count() <= MAX_CALLBACK => Ok(Some(data.clone())),
        _ => Err(GraphError::invalid(
            "Param biz_opaque_callback_data must be a string of at most 512 characters.",
        )),
    }
}

fn template(content: &Value) -> Result<Key, GraphError> {
    match (
        content["name"].as_str(),
        content["language"]["code"].as_str(),
    ) {
        (Some(name), Some(language)) => Ok(Key::new(name, language)),
        (None, _) => Err(GraphError::missing("template['name'] is required.")),
        (_, None) => Err(GraphError::missing(
            "template['language']['code'] is required.",
        )),
    }
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
    /// `to`, or else `recipient`: when both are there, Meta takes `to`.
    fn parse(body: &Value) -> Result<Self, GraphError> {
        let text = |key: &str| body[key].as_str().filter(|text| !text.is_empty());
        match (text("to"), text("recipient")) {
            (Some(to), _) => Self::by_number(to)
                .ok_or_else(|| GraphError::invalid("Param to must be a phone number.")),
            (None, Some(user_id)) => Ok(Self {
                input: user_id.to_owned(),
                wa_id: None,
                user_id: user_id.to_owned(),
            }),
            (None, None) => Err(GraphError::invalid("The parameter to is required.")),
        }
    }

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

/// A message id of Meta's form. `number` must not repeat within one start of the simulator;
/// `salt` tells two starts apart, as a receiver may keep its database between them.
pub fn wamid(salt: u64, number: u64, user: &User) -> String {
    let to = user.wa_id.as_deref().unwrap_or(&user.user_id).as_bytes();
    // A wamid has at most 128 characters, whatever the caller took for an address.
    let to = &to[..to.len().min(20)];
    let mut bytes = vec![0x1c, 0x18, to.len() as u8];
    bytes.extend_from_slice(to);
    bytes.extend_from_slice(&[0x15, 0x02, 0x00, 0x11, 0x18, 0x20]);
    bytes.extend_from_slice(format!("{salt:016X}{number:016X}").as_bytes());
    bytes.push(0);
    format!("wamid.{}", data_encoding::BASE64.encode(&bytes))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code(body: Value) -> i64 {
        Wish::parse(&body).unwrap_err().code
    }

    #[test]
    fn what_meta_refuses_is_refused() {
        let whole = json!({"messaging_product": "whatsapp", "to": "+49 151 1", "type": "text",
            "text": {"body": "hi"}, "biz_opaque_callback_data": "a"});
        let wish = Wish::parse(&whole).unwrap();
        assert_eq!(wish.user.wa_id.as_deref(), Some("491511"));
        assert_eq!(wish.callback.as_deref(), Some("a"));

        for (key, value, expected) in [
            ("messaging_product", json!("sms"), 100),
            ("to", json!(null), 100),
            ("type", json!("telegram"), 100),
            ("text", json!("hi"), 131_008),
            ("text", json!({"body": ""}), 131_008),
            ("biz_opaque_callback_data", json!("x".repeat(513)), 100),
            ("type", json!("template"), 131_008),
        ] {
            let mut body = whole.clone();
            body[key] = value;
            assert_eq!(code(body), expected, "{key}");
        }
    }

    #[test]
    fn a_retry_under_another_id_has_the_same_content() {
        let body = |id: &str, text: &str| {
            json!({"messaging_product": "whatsapp", "to": "1", "type": "text",
                "text": {"body": text}, "biz_opaque_callback_data": id})
        };
        let content = |id, text| Wish::parse(&body(id, text)).unwrap().content;
        assert_eq!(content("a", "hi"), content("b", "hi"));
        assert_ne!(content("a", "hi"), content("a", "ho"));
    }

    #[test]
    fn a_wamid_is_short_enough_and_its_own() {
        let user = User::by_number("15550190044").unwrap();
        assert_ne!(wamid(1, 1, &user), wamid(1, 2, &user));
        let odd = User::by_number(&"1".repeat(300)).unwrap();
        assert!(wamid(1, 1, &odd).len() <= 128);
    }
}
