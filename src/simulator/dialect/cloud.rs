//! Meta's requests and answers, which 360dialog Cloud passes on. Checked here as Meta checks
//! them: enough that a request Meta would refuse is refused.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::message::{User, Wish};
use super::super::receive::Taken;
use super::super::trouble::Trouble;

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

/// Reads a request's body, or says what Meta would say against it.
pub fn wish(sender: String, body: &Value) -> Result<Wish, Trouble> {
    if body["messaging_product"] != "whatsapp" {
        return Err(Trouble::invalid(
            "messaging_product",
            "The parameter messaging_product is required and must be whatsapp.",
        ));
    }
    let mut wish = addressed(sender, body)?;
    wish.callback = callback(body)?;
    Ok(wish)
}

/// What Meta's Cloud API and its On-Premises API read alike.
pub fn addressed(sender: String, body: &Value) -> Result<Wish, Trouble> {
    let user = user(body)?;
    let kind = body["type"]
        .as_str()
        .ok_or_else(|| Trouble::invalid("type", "The parameter type is required."))?;
    if !TYPES.contains(&kind) {
        let message = format!("Param type must be one of {TYPES:?}");
        return Err(Trouble::invalid("type", message));
    }
    let content = &body[kind];
    if !(content.is_object() || kind == "contacts" && content.is_array()) {
        let message = format!("Parameter '{kind}' of type {kind} is missing.");
        return Err(Trouble::missing(kind, message));
    }
    if kind == "text" && content["body"].as_str().is_none_or(str::is_empty) {
        let message = "The parameter text['body'] is required.";
        return Err(Trouble::missing("text.body", message));
    }
    let template = (kind == "template")
        .then(|| template(content))
        .transpose()?;
    Ok(Wish {
        sender,
        callback: None,
        template,
        content: Sha256::digest(format!("{}\n{kind}\n{content}", user.input)).into(),
        user,
        marketing: false,
        given: Default::default(),
    })
}

/// The same of a marketing message, which only a template can be.
pub fn marketing_wish(sender: String, body: &Value) -> Result<Wish, Trouble> {
    let mut wish = wish(sender, body)?;
    if wish.template.is_none() {
        return Err(Trouble::invalid(
            "type",
            "Message must be a template message.",
        ));
    }
    if ![Value::Null, "CLOUD_API_FALLBACK".into(), "STRICT".into()]
        .contains(&body["product_policy"])
    {
        let message = "Param product_policy must be one of {CLOUD_API_FALLBACK, STRICT}";
        return Err(Trouble::invalid("product_policy", message));
    }
    let sharing = &body["message_activity_sharing"];
    if !(sharing.is_null() || sharing.is_boolean()) {
        let message = "Param message_activity_sharing must be a boolean";
        return Err(Trouble::invalid("message_activity_sharing", message));
    }
    wish.marketing = true;
    Ok(wish)
}

/// `to`, or else `recipient`: when both are there, Meta takes `to`.
fn user(body: &Value) -> Result<User, Trouble> {
    let text = |key: &str| body[key].as_str().filter(|text| !text.is_empty());
    match (text("to"), text("recipient")) {
        (Some(to), _) => User::by_number(to)
            .ok_or_else(|| Trouble::invalid("to", "Param to must be a phone number.")),
        (None, Some(user_id)) => Ok(User::by_user_id(user_id)),
        (None, None) => Err(Trouble::invalid("to", "The parameter to is required.")),
    }
}

fn callback(body: &Value) -> Result<Option<String>, Trouble> {
    match &body["biz_opaque_callback_data"] {
        Value::Null => Ok(None),
        Value::String(data) if data.chars().count() <= MAX_CALLBACK => Ok(Some(data.clone())),
        _ => Err(Trouble::invalid(
            "biz_opaque_callback_data",
            "Param biz_opaque_callback_data must be a string of at most 512 characters.",
        )),
    }
}

fn template(content: &Value) -> Result<(String, String), Trouble> {
    match (
        content["name"].as_str(),
        content["language"]["code"].as_str(),
    ) {
        (Some(name), Some(language)) => Ok((name.to_owned(), language.to_owned())),
        (None, _) => {
            let message = "template['name'] is required.";
            Err(Trouble::missing("template.name", message))
        }
        (_, None) => {
            let message = "template['language']['code'] is required.";
            Err(Trouble::missing("template.language.code", message))
        }
    }
}

/// The answer to an accepted message.
pub fn answer(taken: &Taken) -> Value {
    let mut message = json!({"id": taken.message.wamid});
    if taken.is_template {
        message["message_status"] = match taken.held {
            true => "held_for_quality_assessment".into(),
            false => "accepted".into(),
        };
    }
    json!({
        "messaging_product": "whatsapp",
        "contacts": [contact(&taken.message.user)],
        "messages": [message],
    })
}

/// Whom an answer takes the caller's address for.
pub fn contact(user: &User) -> Value {
    let mut contact = json!({"input": user.input});
    match &user.wa_id {
        Some(wa_id) => contact["wa_id"] = wa_id.as_str().into(),
        None => contact["user_id"] = user.user_id.as_str().into(),
    }
    contact
}

/// A message id of Meta's form.
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

#[cfg(test)]
mod tests {
    use super::super::graph;
    use super::*;

    fn code(body: &Value) -> i64 {
        graph::code(&wish("1".to_owned(), body).unwrap_err())
    }

    #[test]
    fn what_meta_refuses_is_refused() {
        let whole = json!({"messaging_product": "whatsapp", "to": "+49 151 1", "type": "text",
            "text": {"body": "hi"}, "biz_opaque_callback_data": "a"});
        let wish = wish("1".to_owned(), &whole).unwrap();
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
            assert_eq!(code(&body), expected, "{key}");
        }
    }

    #[test]
    fn a_retry_under_another_id_has_the_same_content() {
        let body = |id: &str, text: &str| {
            json!({"messaging_product": "whatsapp", "to": "1", "type": "text",
                "text": {"body": text}, "biz_opaque_callback_data": id})
        };
        let content = |id, text| wish("1".to_owned(), &body(id, text)).unwrap().content;
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
