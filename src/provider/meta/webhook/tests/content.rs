//! What messages say, type by type.

use super::*;
use crate::model::fact::Alias;

fn inbound(mut message: Value) -> Value {
    message["id"] = "wamid.I".into();
    message["from"] = "15550190044".into();
    in_messages(json!({"messages": [message]}))
}

/// What is shown of a content under its type.
fn content(kind: &str, content: Value) -> Value {
    let (r#type, mut data) = golden(&inbound(json!({"type": kind, kind: content})));
    assert_eq!(r#type, format!("inbound.{kind}"));
    data[kind].take()
}

#[test]
fn contents_of_the_documented_shape_stay_as_they_are() {
    for (kind, value) in [
        ("text", json!({"body": "hi"})),
        (
            "image",
            json!({"id": "7", "mime_type": "image/jpeg", "sha256": "x", "caption": "c", "url": "https://x"}),
        ),
        ("video", json!({"id": "7"})),
        ("audio", json!({"id": "7", "voice": true})),
        ("document", json!({"id": "7", "filename": "f"})),
        ("sticker", json!({"id": "7", "animated": false})),
        (
            "location",
            json!({"latitude": 38.7, "longitude": -9.1, "name": "n", "address": "a"}),
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "x"}, "origin": "o"}]),
        ),
        (
            "button",
            json!({"payload": "STOP", "text": "Stop promotions"}),
        ),
        (
            "interactive",
            json!({"type": "button_reply", "button_reply": {"id": "1", "title": "t"}}),
        ),
        (
            "interactive",
            json!({"type": "list_reply", "list_reply": {"id": "1", "title": "t", "description": "d"}}),
        ),
        (
            "order",
            json!({"catalog_id": "c", "text": "t", "product_items":
            [{"product_retailer_id": "p", "quantity": 2, "item_price": 7.5, "currency": "EUR"}]}),
        ),
        (
            "system",
            json!({"body": "b", "wa_id": "1", "type": "user_changed_number"}),
        ),
        ("revoke", json!({"original_message_id": "wamid.O"})),
        (
            "edit",
            json!({"original_message_id": "wamid.O", "message": {"type": "text", "text": {"body": "x"}}}),
        ),
        ("unsupported", json!({"type": "poll"})),
        ("media_placeholder", json!({"x": 1})),
        ("request_welcome", json!({"x": [1]})),
        ("ephemeral", json!("odd")),
        ("text", json!(["odd"])),
    ] {
        assert_eq!(content(kind, value.clone()), value, "{kind}");
    }
}

#[test]
fn ids_are_texts_whatever_they_came_as() {
    assert_eq!(content("image", json!({"id": 77}))["id"], "77");
    let items = json!([{"product_retailer_id": 5, "quantity": "2", "item_price": "7"}, 9]);
    assert_eq!(
        content("order", json!({"catalog_id": 8, "product_items": items})),
        json!({"catalog_id": "8", "product_items":
            [{"product_retailer_id": "5", "quantity": 2, "item_price": "7"}, 9]})
    );
}

#[test]
fn a_reaction_says_whether_it_was_taken_back() {
    let removed = |reaction: Value| content("reaction", reaction)["removed"].clone();
    assert_eq!(
        removed(json!({"message_id": "wamid.A", "emoji": "\u{1f600}"})),
        false
    );
    assert_eq!(removed(json!({"message_id": "wamid.A", "emoji": ""})), true);
    assert_eq!(removed(json!({"message_id": "wamid.A"})), true);
}

#[test]
fn what_a_flow_answers_is_opened() {
    let reply = |json: &str| {
        let reply = json!({"name": "flow", "body": "Sent", "response_json": json});
        content(
            "interactive",
            json!({"type": "nfm_reply", "nfm_reply": reply}),
        )["nfm_reply"]
            .take()
    };
    assert_eq!(
        reply(r#"{"flow_token":"t","n":1}"#),
        json!({"name": "flow", "body": "Sent", "response_json": r#"{"flow_token":"t","n":1}"#,
            "response": {"flow_token": "t", "n": 1}})
    );
    assert_eq!(reply("{not json").get("response"), None);
    assert_eq!(reply(&"[".repeat(5_000)).get("response"), None);
    let permission = json!({"response": "accept", "expiration_timestamp": 1_763_773_200});
    let shown = content(
        "interactive",
        json!({"type": "call_permission_reply", "call_permission_reply": permission}),
    );
    assert_eq!(
        shown["call_permission_reply"],
        json!({"response": "accept", "expires_at": "2025-11-22T01:00:00Z"})
    );
}

#[test]
fn an_unsupported_message_has_its_error() {
    let errors = json!([{"code": 131_051, "title": "t", "error_data": {"details": "d"}}]);
    let (_, data) = golden(&inbound(json!({"type": "unsupported", "errors": errors})));
    assert_eq!(
        data["errors"],
        json!([{"code": 131_051, "title": "t", "details": "d"}])
    );
}

#[test]
fn names_of_a_user_belong_together_and_new_ones_lead_on() {
    let aliases = |mut message: Value| {
        message["from_user_id"] = "US.7".into();
        match &only(&decoded(&inbound(message))).said {
            Said::Inbound(inbound) => inbound.aliases.clone(),
            other => panic!("not inbound: {other:?}"),
        }
    };
    let alias = |alias: &str, user: &str| Alias {
        alias: alias.into(),
        user: user.into(),
    };
    assert_eq!(
        aliases(json!({"type": "text"})),
        [alias("15550190044", "US.7")]
    );
    let moved =
        json!({"type": "system", "system": {"type": "user_changed_number", "wa_id": "447"}});
    assert_eq!(aliases(moved), [alias("15550190044", "447")]);
    let renamed = json!({"type": "system", "system":
        {"type": "user_changed_user_id", "wa_id": "15550190044", "user_id": "US.9"}});
    assert_eq!(
        aliases(renamed),
        [alias("US.7", "US.9"), alias("15550190044", "US.9")]
    );
    let long = json!({"type": "system", "system": {"user_id": "x".repeat(600)}});
    assert_eq!(aliases(long), []);
}
