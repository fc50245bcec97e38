//! What a message says: the object under its type. Ids are texts whatever they came as, so that
//! nobody has to ask; what is JSON inside a text is opened; the rest is kept as it came.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Unreadable;
use super::shown::Shown;
use crate::provider::lenient::{self, Members};

/// The word for a message whose `type` is missing; Meta uses it for what it cannot name itself.
pub(super) const UNKNOWN: &str = "unknown";

/// Shows the content of a message of this type, if it is there and of the documented shape.
/// Otherwise it stays what it is.
pub(super) fn show(
    kind: &str,
    message: &Members<'_>,
    shown: &mut Shown<'_, '_>,
) -> Result<(), Unreadable> {
    let Some((name, texts)) = texts_of(kind) else {
        return Ok(());
    };
    let opened = message.get(name).map(|raw| Members::open(raw.get()));
    let Some(Ok(content)) = opened else {
        return Ok(());
    };
    let mut inner = Shown::of(&content);
    inner.texts(texts);
    match name {
        "interactive" => interactive(&content, &mut inner)?,
        "reaction" => {
            // Without an emoji, or with an empty one, it was taken back.
            inner.put("removed", Some(content.text("emoji").is_none()));
        }
        "order" => products(&content, &mut inner)?,
        "edit" => edited(&content, &mut inner)?,
        _ => {}
    }
    inner.errors("errors")?;
    let content = inner.whole()?;
    shown.without(name);
    shown.put(name, Some(Value::Object(content)));
    Ok(())
}

/// The member under which the content stands, and what of it is text.
fn texts_of(kind: &str) -> Option<(&'static str, &'static [&'static str])> {
    const MEDIA: &[&str] = &["id", "mime_type", "sha256", "caption", "filename", "url"];
    Some(match kind {
        "text" => ("text", &["body"]),
        "image" => ("image", MEDIA),
        "video" => ("video", MEDIA),
        "audio" => ("audio", MEDIA),
        "voice" => ("voice", MEDIA),
        "document" => ("document", MEDIA),
        "sticker" => ("sticker", MEDIA),
        "location" => ("location", &["name", "address", "url"]),
        "interactive" => ("interactive", &["type"]),
        "button" => ("button", &["payload", "text"]),
        "order" => ("order", &["catalog_id", "text"]),
        "reaction" => ("reaction", &["message_id", "emoji"]),
        "system" => (
            "system",
            &[
                "body",
                "wa_id",
                "user_id",
                "parent_user_id",
                "type",
                "identity",
                "customer",
            ],
        ),
        "unsupported" => ("unsupported", &["type"]),
        "edit" => ("edit", &["original_message_id"]),
        "revoke" => ("revoke", &["original_message_id"]),
        _ => return None,
    })
}

/// A reply has an object under its own type.
fn interactive(content: &Members<'_>, shown: &mut Shown<'_, '_>) -> Result<(), Unreadable> {
    for reply in [
        "button_reply",
        "list_reply",
        "nfm_reply",
        "call_permission_reply",
    ] {
        let opened = content.get(reply).map(|raw| Members::open(raw.get()));
        let Some(Ok(members)) = opened else {
            continue;
        };
        let mut inner = Shown::of(&members);
        inner.texts(&[
            "id",
            "title",
            "description",
            "name",
            "body",
            "response",
            "response_source",
        ]);
        // What a Flow answers is JSON inside a text.
        if let Some(json) = members.text("response_json")
            && let Ok(raw) = serde_json::from_str::<&RawValue>(&json)
            && let Ok(response) = lenient::tree(raw)
        {
            inner.put("response", Some(response));
        }
        inner.time_shown("expiration_timestamp", "expires_at");
        let inner = inner.whole()?;
        shown.without(reply);
        shown.put(reply, Some(Value::Object(inner)));
    }
    Ok(())
}

fn products(content: &Members<'_>, shown: &mut Shown<'_, '_>) -> Result<(), Unreadable> {
    let items = content
        .get("product_items")
        .and_then(|raw| lenient::elements(raw).ok());
    let Some(items) = items else {
        return Ok(());
    };
    let products: Result<Vec<_>, _> = items.into_iter().map(product).collect();
    shown.without("product_items");
    shown.put("product_items", Some(Value::Array(products?)));
    Ok(())
}

fn product(raw: &RawValue) -> Result<Value, Unreadable> {
    let Ok(item) = Members::open(raw.get()) else {
        return Ok(lenient::tree(raw)?);
    };
    let mut shown = Shown::of(&item);
    shown.texts(&["product_retailer_id", "currency"]);
    shown.integers(&["quantity"]);
    Ok(Value::Object(shown.whole()?))
}

/// The message as it is after the edit, in the shape of any message.
fn edited(content: &Members<'_>, shown: &mut Shown<'_, '_>) -> Result<(), Unreadable> {
    let opened = content.get("message").map(|raw| Members::open(raw.get()));
    let Some(Ok(message)) = opened else {
        return Ok(());
    };
    let mut inner = Shown::of(&message);
    inner.texts(&["type"]);
    // An edit of an edit would have no end; it stays as it came.
    if let Some(kind) = message.text("type").filter(|kind| kind != "edit") {
        show(&kind, &message, &mut inner)?;
    }
    let inner: Map<String, Value> = inner.whole()?;
    shown.without("message");
    shown.put("message", Some(Value::Object(inner)));
    Ok(())
}
