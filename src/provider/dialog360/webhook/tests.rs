//! Bodies in 360dialog's shapes, with invented values.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::error_class::{ErrorClass, classify};
use crate::model::event;
use crate::model::fact::{Fact, Said, Status, StatusFact};
use crate::provider::meta;

fn decoded(body: &Value) -> Decoded {
    decode(body.to_string().as_bytes())
}

fn only(decoded: &Decoded) -> &Fact {
    assert_eq!(decoded.problems, []);
    assert_eq!(decoded.facts.len(), 1, "{decoded:?}");
    &decoded.facts[0]
}

fn data(fact: &Fact) -> Value {
    serde_json::from_str(&fact.data).unwrap()
}

fn status_of(fact: &Fact) -> &StatusFact {
    match &fact.said {
        Said::Status(status) => status,
        other => panic!("not a status: {other:?}"),
    }
}

fn status(id: &str, word: &str) -> Value {
    json!({"id": id, "recipient_id": "385910000001", "status": word, "timestamp": "1772445600"})
}

/// What the page of a template's status is said to look like.
fn template_event(id: &str, status: &str) -> Value {
    json!({"id": id, "event": "waba_template_status_changed",
        "data": {"id": "2044166682970001", "template": {
            "id": "gqh7gkLf8nZPcY4EpEbmWT", "external_id": "1786649272200001",
            "name": "order_ready", "language": "en_GB", "new_status": status,
            "rejected_reason": "INVALID_FORMAT"}}})
}

#[test]
fn metas_envelope_says_what_it_says_from_meta() {
    let examples = include_str!("../../../../tests/documented.json");
    let examples: Vec<Value> = serde_json::from_str(examples).unwrap();
    for example in examples {
        let body = example.to_string();
        let said = decode(body.as_bytes());
        assert_eq!(said, meta::webhook::decode(body.as_bytes()), "{body}");
        assert_ne!(said.facts, [], "{body}");
    }
}

#[test]
fn a_paced_templates_drop_fails_on_the_cloud() {
    let mut dropped = status("wamid.HBgM", "failed");
    dropped["errors"] = json!([{"code": 132_015, "title": "Template is Paused",
        "message": "Template is Paused", "error_data": {"details": "paused"},
        "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"}]);
    let value = json!({"messaging_product": "whatsapp", "statuses": [dropped],
        "metadata": {"display_phone_number": "441200000001", "phone_number_id": "106540352242922"},
        "contacts": [{"wa_id": "385910000001", "profile": {"name": "Ana"}}]});
    let change = json!({"field": "messages", "value": value});
    let said = decoded(&json!({"object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [change]}]}));
    let status = status_of(only(&said));
    assert_eq!(status.number.phone_number_id, "106540352242922");
    assert_eq!(status.error.as_ref().unwrap().code, 132_015);
}

#[test]
fn on_premises_statuses_stand_at_the_top() {
    let said = decoded(&json!({"statuses": [status("gBEGkYiEB1VX", "delivered")]}));
    let fact = only(&said);
    assert_eq!(fact.item, "statuses[0]");
    assert_eq!(fact.at.unwrap().unix_timestamp(), 1_772_445_600);
    assert_eq!(data(fact), json!({"recipient": "385910000001"}));
    let status = status_of(fact);
    assert_eq!(status.status, Status::Delivered);
    assert_eq!(status.provider_message_id, "gBEGkYiEB1VX");
    assert!(status.number.is_unnamed());
}

#[test]
fn on_premises_errors_have_their_details_beside_their_code() {
    let mut dropped = status("gBEGkYiEB1VX", "failed");
    dropped["errors"] = json!([{"code": 2061, "title": "Template paused by pacing",
        "details": "low quality", "href": "https://developers.facebook.com/docs/whatsapp/api/errors/"}]);
    let said = decoded(&json!({"statuses": [dropped]}));
    let error = status_of(only(&said)).error.as_ref().unwrap();
    assert_eq!(error.code, 2061);
    assert_eq!(error.details.as_deref(), Some("low quality"));
    assert_eq!(classify(error.code), ErrorClass::TemplateStops);
    let said =
        decoded(&json!({"errors": [{"code": 1014, "title": "Internal error", "details": "x"}]}));
    let fact = only(&said);
    assert_eq!(event::of(&fact.said), "sender.error");
    assert_eq!(data(fact)["code"], 1014);
}

#[test]
fn on_premises_words_that_are_not_known_change_nothing() {
    for word in ["deleted", "warning"] {
        let said = decoded(&json!({"statuses": [status("gBEG", word)]}));
        assert_eq!(
            event::of(&only(&said).said),
            format!("message.status.{word}")
        );
    }
}

#[test]
fn on_premises_messages_come_with_their_contacts() {
    let said = decoded(&json!({
        "contacts": [{"profile": {"name": "Ana"}, "wa_id": "385910000001"}],
        "messages": [{"from": "385910000001", "id": "ABGGFlA5Fpa", "timestamp": "1772445600",
            "type": "text", "text": {"body": "hi"}}]}));
    let fact = only(&said);
    assert_eq!(event::of(&fact.said), "inbound.text");
    assert_eq!(fact.key, "ABGGFlA5Fpa");
    assert_eq!(
        data(fact),
        json!({"provider_message_id": "ABGGFlA5Fpa", "type": "text", "from": "385910000001",
            "text": {"body": "hi"}, "profile": {"name": "Ana"}})
    );
}

#[test]
fn a_templates_status_is_said_by_name_and_language() {
    let said = decoded(&template_event("evt-1", "rejected"));
    let fact = only(&said);
    assert_eq!(fact.at, None, "no time is said");
    let Said::TemplateStatus(status) = &fact.said else {
        panic!("{fact:?}");
    };
    assert_eq!(
        (status.event.as_str(), status.reason.as_deref()),
        ("REJECTED", Some("INVALID_FORMAT"))
    );
    let template = &status.template;
    assert_eq!(
        (template.name.as_str(), template.language.as_str()),
        ("order_ready", "en_GB")
    );
    assert_eq!(template.waba_id, None);
    assert_eq!(
        template.provider_template_id.as_deref(),
        Some("1786649272200001")
    );
    assert_eq!(
        data(fact),
        json!({"id": "gqh7gkLf8nZPcY4EpEbmWT", "template_id": "1786649272200001",
            "name": "order_ready", "language": "en_GB", "event": "REJECTED",
            "reason": "INVALID_FORMAT", "waba_id": "2044166682970001"})
    );
}

#[test]
fn a_templates_category_is_said_in_either_shape() {
    let partner = json!({"id": "evt-2", "event": "waba_template_category_changed", "data": {
        "template": {"name": "order_ready", "language": "en_GB", "new_category": "marketing"}}});
    let value = json!({"message_template_name": "order_ready", "message_template_language": "en_GB",
        "new_category": "MARKETING"});
    let change = json!({"field": "template_category_update", "value": value});
    let envelope = json!({"entry": [{"id": "1", "time": 1_772_445_600, "changes": [change]}]});
    for body in [partner, envelope] {
        let said = decoded(&body);
        let Said::TemplateCategory(category) = &only(&said).said else {
            panic!("{said:?}");
        };
        assert_eq!(category.current.as_deref(), Some("MARKETING"));
        assert_eq!(category.template.name, "order_ready");
    }
}

#[test]
fn partner_events_come_alone_or_in_an_array() {
    let channel = json!({"id": "evt-3", "event": "channel_running", "data": {"id": "ch"}});
    let events = [template_event("evt-1", "APPROVED"), channel.clone()];
    let together = decoded(&json!(events));
    assert_eq!(together.problems, []);
    let paths: Vec<_> = together
        .facts
        .iter()
        .map(|fact| fact.item.as_str())
        .collect();
    assert_eq!(paths, ["[0]", "[1]"]);
    for (event, fact) in events.iter().zip(&together.facts) {
        let alone = decoded(event);
        assert_eq!(only(&alone).key, fact.key, "in any company");
        assert_eq!(only(&alone).said, fact.said);
    }
    let other = &together.facts[1];
    assert_eq!(event::of(&other.said), "webhook.other");
    assert_eq!(
        data(other),
        json!({"field": "channel_running", "value": channel})
    );
}

#[test]
fn a_bad_item_costs_no_sibling() {
    let good = template_event("evt-1", "APPROVED");
    let without = |name: &str| {
        let mut event = good.clone();
        event["data"]["template"]
            .as_object_mut()
            .unwrap()
            .remove(name);
        event
    };
    let bad = [
        json!(null),
        json!(7),
        json!({}),
        json!([]),
        json!({"event": {}, "data": {}}),
        json!({"event": "waba_template_status_changed", "data": 1}),
        json!({"event": "waba_template_status_changed", "data": {"template": []}}),
        json!({"event": "x".repeat(10_000), "data": {}}),
        without("name"),
        without("language"),
        without("new_status"),
    ];
    for bad in bad {
        let said = decoded(&json!([good, bad, {"statuses": [7, status("a", "sent")]}]));
        let paths: Vec<_> = said
            .problems
            .iter()
            .map(|problem| problem.item.as_str())
            .collect();
        assert_eq!(paths, ["[1]", "[2].statuses[0]"], "{bad:.80}");
        assert_eq!(said.facts.len(), 2);
        assert_eq!(said.facts[1].item, "[2].statuses[1]");
    }
}

#[test]
fn garbage_is_one_problem_for_the_whole() {
    for garbage in [
        &b""[..],
        b"\xff\xfe",
        b"null",
        b"17",
        b"\"x\"",
        b"{}",
        b"{\"a\":",
        b"{\"meta\":{}}",
        b"\\",
    ] {
        let said = decode(garbage);
        assert_eq!(said.facts, []);
        assert_eq!(said.problems.len(), 1, "{garbage:?}");
    }
    let deep = format!(
        "{{\"statuses\":{}{}}}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    assert_eq!(decode(deep.as_bytes()).problems.len(), 1);
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(decode(deep.as_bytes()).problems.len(), 1);
    assert!(decode(b"[]").note.is_some());
    assert!(decode(b"{\"statuses\":[]}").note.is_some());
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = [
        "id", "event", "data", "template", "statuses", "messages", "entry", "name", "status",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\\x00é]{0,8}".prop_map(Value::from),
        Just(json!("waba_template_status_changed")),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let name = prop::sample::select(names.to_vec());
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6).prop_map(|pairs| Value::Object(
                pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_comes_is_a_fact_a_problem_or_a_note(body in any_json(), cut in 0_usize..400) {
        let text = body.to_string();
        for bytes in [text.as_bytes(), &text.as_bytes()[..cut.min(text.len())]] {
            let said = decode(bytes);
            prop_assert!(!said.facts.is_empty() || !said.problems.is_empty() || said.note.is_some());
            for fact in &said.facts {
                prop_assert!(data(fact).is_object());
                prop_assert!(!fact.data.contains('\0') && !fact.key.contains('\0'));
            }
        }
    }
}
