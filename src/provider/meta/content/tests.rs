//! What passes, what does not, and by which name.

use serde_json::json;

use super::*;
use crate::provider::content::Wrong;

fn wrong(kind: &str, content: &Value) -> Vec<String> {
    let faults = Faults::default();
    match kind {
        "raw" => check_raw(content, &faults),
        kind => check(kind, content, &faults),
    }
    let faults = faults.into_vec();
    assert!(faults.iter().all(|fault| fault.wrong == Wrong::Malformed));
    faults.into_iter().map(|fault| fault.field).collect()
}

#[test]
fn what_no_version_could_take_is_named() {
    let component = |component: Value| json!({"name": "n", "language": {"code": "en"}, "components": [component]});
    for (kind, content, expected) in [
        ("text", json!({"body": ""}), &["text.body"][..]),
        ("text", json!({"text": "hi"}), &["text.body"]),
        ("text", json!({"body": "x".repeat(4097)}), &["text.body"]),
        ("image", json!({"url": "https://x"}), &["image"]),
        ("image", json!({"id": "1", "link": "https://x"}), &["image"]),
        ("audio", json!({"link": "ftp://x"}), &["audio.link"]),
        (
            "location",
            json!({"latitude": "x"}),
            &["location.latitude", "location.longitude"],
        ),
        (
            "contacts",
            json!([{"name": {}}]),
            &["contacts[0].name.formatted_name"],
        ),
        ("contacts", json!([]), &["contacts"]),
        (
            "reaction",
            json!({"message_id": "wamid.A"}),
            &["reaction.emoji"],
        ),
        ("interactive", json!({}), &["interactive.type"]),
        (
            "interactive",
            json!({"type": "button", "action": {"buttons": [{"reply": {"id": "a"}}]}}),
            &[
                "interactive.action.buttons[0].reply.title",
                "interactive.body.text",
            ],
        ),
        (
            "template",
            json!({}),
            &["template.name", "template.language.code"],
        ),
        (
            "template",
            component(json!({})),
            &["template.components[0].type"],
        ),
        (
            "template",
            component(json!({"type": "body", "parameters": [{"type": "text"}]})),
            &["template.components[0].parameters[0].text"],
        ),
        (
            "template",
            component(json!({"type": "button", "parameters": "x"})),
            &[
                "template.components[0].sub_type",
                "template.components[0].index",
                "template.components[0].parameters",
            ],
        ),
        (
            "template",
            component(json!({"type": "limited_time_offer", "parameters": [{
                "type": "limited_time_offer",
                "limited_time_offer": {"expiration_time_ms": 1_893_492_000}}]})),
            &["template.components[0].parameters[0].limited_time_offer.expiration_time_ms"],
        ),
        (
            "raw",
            json!({"status": "read", "message_id": "wamid.A"}),
            &["raw.type"],
        ),
        ("raw", json!({"type": "text", "to": "1"}), &["raw.to"]),
        (
            "raw",
            json!({"type": "template"}),
            &["raw.template.name", "raw.template.language.code"],
        ),
    ] {
        assert_eq!(wrong(kind, &content), expected, "{content}");
    }
}

#[test]
fn what_is_new_passes() {
    for (kind, content) in [
        ("hologram", json!({"anything": 1})),
        (
            "interactive",
            json!({"type": "hologram", "action": {"new": true}}),
        ),
        ("text", json!({"body": "hi", "new": {"a": 1}})),
        ("reaction", json!({"message_id": "wamid.A", "emoji": ""})),
        (
            "template",
            json!({"name": "n", "language": {"code": "en", "new": 1}, "new": 1, "components": [
                {"type": "tap_target_configuration", "parameters": 7},
                {"type": "BODY", "parameters": [{"type": "hologram"}]},
                {"type": "button", "sub_type": "new", "index": 0}]}),
        ),
        (
            "template",
            json!({"name": "n", "language": {"code": "en"}, "components": []}),
        ),
        ("raw", json!({"type": "hologram", "hologram": 1})),
    ] {
        assert_eq!(wrong(kind, &content), [""; 0], "{content}");
    }
}

#[test]
fn a_template_is_found_however_it_is_given() {
    let template = json!({"name": "n", "language": {"code": "en-US"}});
    let found = Some(("n".to_owned(), "en_US".to_owned()));
    assert_eq!(template_of("template", &template), found);
    let raw = json!({"type": "template", "template": template});
    assert_eq!(template_of("raw", &raw), found);
    assert_eq!(template_of("text", &template), None);
    assert_eq!(
        template_of("raw", &json!({"type": "text", "template": template})),
        None
    );
}
