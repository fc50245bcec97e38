//! A request's messages, checked as Infobip's schema has them: enough that a request that it
//! would refuse is refused.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::super::message::{Given, User, Wish};
use super::super::super::trouble::Trouble;

/// Behind `/whatsapp/1/message/`, and what `content` must have there.
const KINDS: [(&str, &[&str]); 23] = [
    ("template", &["templateName", "language"]),
    ("text", &["text"]),
    ("document", &["mediaUrl"]),
    ("image", &["mediaUrl"]),
    ("audio", &["mediaUrl"]),
    ("video", &["mediaUrl"]),
    ("sticker", &["mediaUrl"]),
    ("location", &["latitude", "longitude"]),
    ("contact", &["contacts"]),
    ("interactive/buttons", &["body", "action"]),
    ("interactive/list", &["body", "action"]),
    ("interactive/media-carousel", &[]),
    ("interactive/location-request", &["body"]),
    ("interactive/product", &["action"]),
    ("interactive/multi-product", &["body", "action"]),
    ("interactive/order-details", &[]),
    ("interactive/order-status", &[]),
    ("interactive/flow", &["body", "action"]),
    ("interactive/url-button", &["body", "action"]),
    ("interactive/call-permission-request", &[]),
    ("interactive/voice-button", &["body"]),
    ("interactive/in-thread-authentication-request", &[]),
    ("interactive/request-contact-info", &["body"]),
];

/// Names of texts, and how long they may be.
const LIMITS: [(&str, usize); 6] = [
    ("messageId", 200),
    ("callbackData", 4000),
    ("notifyUrl", 2048),
    ("entityId", 255),
    ("applicationId", 255),
    ("to", 150),
];

/// The messages of a request; templates come in an array.
pub fn wishes(kind: &str, body: &Value) -> Result<Vec<Wish>, Trouble> {
    let known = KINDS.iter().find(|(known, _)| *known == kind);
    let (_, needed) = known.ok_or_else(|| Trouble::UnknownObject(kind.to_owned()))?;
    if kind != "template" {
        return Ok(vec![wish(kind, needed, body, None)?]);
    }
    let bulk_id = text(body, "bulkId", 0, 100)?;
    let messages = body["messages"].as_array().filter(|list| !list.is_empty());
    let messages = messages.ok_or_else(|| Trouble::missing("messages", "must not be empty"))?;
    let wishes = messages.iter().map(|one| wish(kind, needed, one, bulk_id));
    wishes.collect()
}

fn wish(kind: &str, needed: &[&str], body: &Value, bulk_id: Option<&str>) -> Result<Wish, Trouble> {
    for (name, longest) in LIMITS {
        text(body, name, 0, longest)?;
    }
    let given = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let blank = |name: &str| Trouble::missing(name, "must not be blank");
    let sender = text(body, "from", 1, 24)?.ok_or_else(|| blank("from"))?;
    let to = given("to").ok_or_else(|| blank("to"))?;
    let content = &body["content"];
    if !content.is_object() {
        return Err(Trouble::missing("content", "must not be null"));
    }
    for name in needed {
        if content[*name].is_null() {
            let field = format!("content.{name}");
            return Err(Trouble::missing(field, "must not be null"));
        }
    }
    check(kind, content)?;
    let template = (kind == "template")
        .then(|| template(content))
        .transpose()?;
    let owned = |name: &str| given(name).map(str::to_owned);
    Ok(Wish {
        sender: sender.to_owned(),
        // A number or, where there is a letter in it, a business-scoped user id.
        user: match to.chars().any(|c| c.is_ascii_alphabetic()) {
            true => User::by_user_id(to),
            false => User::by_number(to).ok_or_else(|| blank("to"))?,
        },
        callback: owned("callbackData"),
        template,
        content: Sha256::digest(format!("{to}\n{kind}\n{content}")).into(),
        marketing: false,
        given: Given {
            id: owned("messageId"),
            bulk_id: bulk_id.map(str::to_owned),
            notify_url: owned("notifyUrl"),
            platform: platform(body),
        },
    })
}

fn platform(body: &Value) -> Option<Value> {
    let mut platform = json!({});
    for name in ["entityId", "applicationId"] {
        if let Some(value) = body[name].as_str() {
            platform[name] = value.into();
        }
    }
    platform
        .as_object()
        .is_some_and(|p| !p.is_empty())
        .then_some(platform)
}

fn check(kind: &str, content: &Value) -> Result<(), Trouble> {
    let at = |name: &str| format!("content.{name}");
    if kind == "text" {
        let found = text(content, "text", 1, 4096);
        return found
            .map(|_| ())
            .map_err(|trouble| within("content", trouble));
    }
    if let Some(url) = content.get("mediaUrl") {
        let is_url = |url: &&str| url.starts_with("http://") || url.starts_with("https://");
        let url = url.as_str().filter(is_url).filter(|url| url.len() <= 2048);
        url.ok_or_else(|| Trouble::invalid(at("mediaUrl"), "is not a valid url"))?;
    }
    if kind == "location" && !(content["latitude"].is_number() && content["longitude"].is_number())
    {
        return Err(Trouble::invalid(at("latitude"), "must be a number"));
    }
    if kind == "contact" && content["contacts"].as_array().is_none_or(Vec::is_empty) {
        return Err(Trouble::missing(at("contacts"), "must not be empty"));
    }
    Ok(())
}

/// Name and language; all placeholders must say something.
fn template(content: &Value) -> Result<(String, String), Trouble> {
    let inside = |trouble| within("content", trouble);
    let name = text(content, "templateName", 1, 512).map_err(inside)?;
    let language = text(content, "language", 1, 64).map_err(inside)?;
    let field = "content.templateData.body.placeholders";
    let placeholders = content["templateData"]["body"]["placeholders"].as_array();
    let placeholders = placeholders.ok_or_else(|| Trouble::missing(field, "must not be null"))?;
    let is_blank = |value: &Value| value.as_str().is_none_or(str::is_empty);
    if placeholders.iter().any(is_blank) {
        return Err(Trouble::invalid(field, "must not be blank"));
    }
    match (name, language) {
        (Some(name), Some(language)) => Ok((name.to_owned(), language.to_owned())),
        _ => Err(Trouble::missing(
            "content.templateName",
            "must not be blank",
        )),
    }
}

/// A text that may be missing, but not of another type, nor too short or too long.
fn text<'a>(
    of: &'a Value,
    name: &str,
    least: usize,
    most: usize,
) -> Result<Option<&'a str>, Trouble> {
    match &of[name] {
        Value::Null => Ok(None),
        Value::String(text) if (least..=most).contains(&text.chars().count()) => Ok(Some(text)),
        _ => {
            let message = format!("size must be between {least} and {most}");
            Err(Trouble::invalid(name, message))
        }
    }
}

fn within(place: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Invalid { field, message } => {
            Trouble::invalid(format!("{place}.{field}"), message)
        }
        trouble => trouble,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: &str, body: &Value) -> String {
        match wishes(kind, body).unwrap_err() {
            Trouble::Invalid { field, .. } | Trouble::Missing { field, .. } => field,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_infobip_refuses_is_refused() {
        let whole = json!({"from": "441200000001", "to": "385910000001", "messageId": "a.1",
            "content": {"text": "hi"}, "callbackData": "mine"});
        let wish = wishes("text", &whole).unwrap().remove(0);
        assert_eq!(wish.given.id.as_deref(), Some("a.1"));
        assert_eq!(wish.callback.as_deref(), Some("mine"));
        for (name, value, expected) in [
            ("from", json!(null), "from"),
            ("from", json!("1".repeat(25)), "from"),
            ("to", json!(""), "to"),
            ("messageId", json!("x".repeat(201)), "messageId"),
            ("callbackData", json!(7), "callbackData"),
            ("content", json!("hi"), "content"),
            ("content", json!({}), "content.text"),
            ("content", json!({"text": ""}), "content.text"),
        ] {
            let mut body = whole.clone();
            body[name] = value;
            assert_eq!(field("text", &body), expected, "{body}");
        }
        let picture = json!({"from": "1", "to": "2", "content": {"mediaUrl": "ftp://x"}});
        assert_eq!(field("image", &picture), "content.mediaUrl");
        assert!(matches!(
            wishes("song", &whole),
            Err(Trouble::UnknownObject(_))
        ));
    }

    #[test]
    fn templates_come_in_an_array_and_every_placeholder_says_something() {
        let one = |placeholders: Value| {
            json!({"messages": [{"from": "1", "to": "US.abc", "content": {"templateName": "n",
                "language": "en", "templateData": {"body": {"placeholders": placeholders}}}}],
                "bulkId": "b"})
        };
        let wish = wishes("template", &one(json!([]))).unwrap().remove(0);
        assert_eq!(wish.user.wa_id, None, "a letter makes it a user id");
        assert_eq!(wish.given.bulk_id.as_deref(), Some("b"));
        assert_eq!(wish.template, Some(("n".to_owned(), "en".to_owned())));
        let placeholders = "content.templateData.body.placeholders";
        for wrong in [json!([""]), json!([null]), json!(null)] {
            assert_eq!(field("template", &one(wrong)), placeholders);
        }
        assert_eq!(field("template", &json!({"messages": []})), "messages");
    }
}
