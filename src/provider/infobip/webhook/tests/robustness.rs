//! Whatever the bytes: nothing is lost that can be read, and nothing panics.

use proptest::prelude::*;

use super::*;

fn report(id: &str) -> Value {
    json!({"messageId": id, "to": USER, "doneAt": "2026-03-02T10:00:02.480+0000",
        "status": {"groupId": 3, "id": 5, "name": "DELIVERED_TO_HANDSET"}})
}

#[test]
fn a_bad_item_costs_no_sibling() {
    let long = "x".repeat(10_000);
    let bad = [
        json!(null),
        json!(17),
        json!("delivered"),
        json!([]),
        json!({"status": {"groupId": 3}}),
        json!({"messageId": "", "status": {"groupId": 3}}),
        json!({"messageId": {"a": 1}, "status": {"groupId": 3}}),
        json!({"messageId": "b", "status": {}}),
        json!({"messageId": "b", "status": 3}),
        json!({"messageId": "b", "status": {"name": long}}),
        json!({"messageId": long, "status": {"groupId": 3}}),
        json!({"messageId": "b", "event": "DELIVERY"}),
        json!({"message": {"type": "TEXT"}, "from": USER, "to": SENDER}),
        json!({"messageId": "b", "message": {"type": "TEXT"}, "from": USER}),
        json!({"messageId": "b", "message": {"type": long}, "from": USER, "to": SENDER}),
        json!({"event": long}),
    ];
    for bad in bad {
        let decoded = decoded(&json!({"results": [report("a"), bad, report("c")]}));
        let paths: Vec<&str> = decoded.problems.iter().map(|p| p.item.as_str()).collect();
        assert_eq!(paths, ["results[1]"], "{bad:.60}");
        assert!(decoded.problems[0].reason.len() < 500);
        assert_eq!(decoded.facts.len(), 2);
        assert_eq!(status_of(&decoded.facts[1]).provider_message_id, "c");
    }
}

#[test]
fn wrong_types_beside_what_is_needed_cost_nothing() {
    for (name, value) in [
        ("doneAt", json!(7)),
        ("doneAt", json!("soon")),
        ("sentAt", json!([])),
        ("contact", json!("Ana")),
        ("error", json!(17)),
        ("error", json!({"id": "x", "permanent": 3})),
        ("to", json!({})),
        ("price", json!(null)),
        ("callbackData", json!({"a": 1})),
    ] {
        let mut item = report("a");
        item[name] = value.clone();
        let decoded = decoded(&json!({"results": [item]}));
        assert_eq!(
            event::of(&only(&decoded).said),
            "message.delivered",
            "{name}: {value}"
        );
    }
    let fact = decoded(&json!({"results": [{"messageId": 17, "status": {"groupId": "3"}}]}));
    assert_eq!(status_of(only(&fact)).provider_message_id, "17");
}

#[test]
fn bad_bodies_are_problems_and_unknown_ones_are_kept() {
    for bad in [
        json!({}),
        json!({"results": 7}),
        json!({"results": {}}),
        json!({"change": {"type": "TEMPLATE_STATUS_UPDATE", "newStatus": "PAUSED"}}),
        json!({"change": 7, "messageTemplateName": "a", "messageTemplateLanguage": "en"}),
        json!({"messageTemplateName": "a", "messageTemplateLanguage": "en",
            "change": {"type": "TEMPLATE_STATUS_UPDATE"}}),
        json!({"content": 7}),
        json!({"content": {"notificationMessagesStatus": "stop"}, "from": SENDER}),
        json!({"content": {"notificationMessagesStatus": "stop", "from": USER}}),
        json!({"content": {"notificationMessagesStatus": 3.5, "from": USER}, "from": SENDER}),
        json!({"content": {"type": "user_identity_changed"}}),
    ] {
        let decoded = decoded(&bad);
        assert_eq!(
            (decoded.facts.len(), decoded.problems.len()),
            (0, 1),
            "{bad}"
        );
    }
    for garbage in [
        &b""[..],
        b"\xff\xfe",
        b"null",
        b"17",
        b"\"x\"",
        b"{\"results\":[",
        b"\\",
    ] {
        let decoded = decode(garbage);
        assert_eq!(
            (decoded.facts.len(), decoded.problems.len()),
            (0, 1),
            "{garbage:?}"
        );
    }
    for (unknown, field) in [
        (
            json!({"event": "ACCOUNT_UPDATE_NOTIFICATION", "x": 1}),
            "ACCOUNT_UPDATE_NOTIFICATION",
        ),
        (json!({"x": 1}), "unknown"),
        (json!({"results": [{"x": 1}]}), "results"),
        (json!({"results": [{"event": "CLICK"}]}), "results.CLICK"),
    ] {
        let decoded = decoded(&unknown);
        let fact = only(&decoded);
        assert_eq!(event::of(&fact.said), event::WEBHOOK_OTHER);
        assert_eq!(data(fact)["field"], field);
    }
    for empty in [&b"[]"[..], b"{\"results\":[]}"] {
        assert!(decode(empty).note.is_some());
    }
    for deep in [
        format!(
            "{{\"results\":{}{}}}",
            "[".repeat(50_000),
            "]".repeat(50_000)
        ),
        format!("{}{}", "[".repeat(50_000), "]".repeat(50_000)),
        format!(
            "{{\"content\":{}1{}}}",
            "{\"a\":".repeat(50_000),
            "}".repeat(50_000)
        ),
    ] {
        assert_eq!(decode(deep.as_bytes()).problems.len(), 1);
    }
}

#[test]
fn texts_postgres_cannot_hold_are_replaced_and_members_that_stand_twice_cost_nothing() {
    let body = r#"{"results":[{"messageId":"a\u0000b","messageId":"a\u0000c","status":{"groupId":3},"bulkId":"\ud83d"}],"results":[{"messageId":"d","status":{"groupId":3}}]}"#;
    let decoded = decode(body.as_bytes());
    assert_eq!(decoded.problems, []);
    let ids: Vec<_> = decoded
        .facts
        .iter()
        .map(|fact| &status_of(fact).provider_message_id)
        .collect();
    assert_eq!(ids, ["a\u{fffd}c", "d"]);
    assert_eq!(data(&decoded.facts[0])["bulkId"], "\u{fffd}");
}

#[test]
fn numbers_too_great_are_kept_as_texts() {
    let body = r#"{"results":[{"messageId":"a","status":{"groupId":3},"price":1e400},{"messageId":"b","status":{"groupId":3,"id":1e-4000}}]}"#;
    let decoded = decode(body.as_bytes());
    assert_eq!((decoded.facts.len(), &decoded.problems[..]), (2, &[][..]));
    assert_eq!(data(&decoded.facts[0])["price"], "1e400");
}

/// The items of all documented bodies that have several, one a body.
fn apart(bodies: &[Value]) -> Vec<Value> {
    let items = |body: &Value| match body.get("results").and_then(Value::as_array) {
        Some(items) => items
            .iter()
            .map(|item| json!({"results": [item]}))
            .collect(),
        None => vec![body.clone()],
    };
    bodies.iter().flat_map(items).collect()
}

/// What is the same of a fact wherever its item stands.
fn said(decoded: &Decoded) -> Vec<String> {
    let facts = decoded.facts.iter();
    let mut said: Vec<_> = facts
        .map(|fact| format!("{:?} {:?} {:?} {}", fact.key, fact.at, fact.said, fact.data))
        .collect();
    said.sort_unstable();
    said
}

#[test]
fn a_fact_is_the_same_in_any_split() {
    let bodies = documented_examples();
    let apart: Vec<_> = apart(&bodies).iter().map(decoded).collect();
    let results: Vec<Value> = bodies
        .iter()
        .filter_map(|body| body.get("results")?.as_array())
        .flatten()
        .cloned()
        .collect();
    let mut of_results: Vec<_> = apart
        .iter()
        .filter(|decoded| decoded.facts[0].item.starts_with("results"))
        .flat_map(said)
        .collect();
    of_results.sort_unstable();
    let together = decoded(&json!({"results": results}));
    assert_eq!(said(&together), of_results);
    let reversed: Vec<_> = results.into_iter().rev().collect();
    assert_eq!(said(&decoded(&json!({"results": reversed}))), of_results);
}

fn any_json() -> impl Strategy<Value = Value> {
    let names = [
        "results",
        "messageId",
        "status",
        "groupId",
        "id",
        "name",
        "error",
        "permanent",
        "message",
        "type",
        "from",
        "to",
        "content",
        "change",
        "seenAt",
        "doneAt",
        "event",
        "contact",
    ];
    let words = [
        "TEXT",
        "SEEN",
        "DELIVERY",
        "payment",
        "TEMPLATE_STATUS_UPDATE",
        "2026-03-02T10:00:02.480+0000",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        (0_i64..8).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z\\x00é]{0,8}".prop_map(Value::from),
        prop::sample::select(words.to_vec()).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let name = prop::sample::select(names.to_vec());
        let object = |pairs: Vec<(&str, Value)>| {
            Value::Object(pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
        };
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8).prop_map(object),
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
                prop_assert!(fact.key.len() <= 512);
            }
        }
    }
}
