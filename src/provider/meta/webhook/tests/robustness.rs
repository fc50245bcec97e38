//! Whatever the bytes: nothing is lost that can be read, and nothing panics.

use super::*;
use crate::model::provider::Provider;
use std::sync::OnceLock;

use proptest::prelude::*;

#[test]
fn a_thousand_statuses_in_several_entries_are_all_walked() {
    let change = |from: usize| {
        let items: Vec<Value> = (from..from + 125)
            .map(|n| status(&format!("wamid.{n}"), "sent"))
            .collect();
        messages(json!({"statuses": items}))
    };
    let entry = |from| json!({"id": WABA, "changes": [change(from), change(from + 125)]});
    let entries = [entry(0), entry(250), entry(500), entry(750)];
    let decoded = decoded(&json!({"entry": entries, "object": "whatsapp_business_account"}));
    assert_eq!(decoded.problems, []);
    let ids: Vec<&str> = decoded
        .facts
        .iter()
        .map(|fact| status_of(fact).provider_message_id.as_str())
        .collect();
    let expected: Vec<String> = (0..1000).map(|n| format!("wamid.{n}")).collect();
    assert_eq!(ids, expected);
    assert_eq!(
        decoded.facts[999].item,
        "entry[3].changes[1].value.statuses[124]"
    );
}

#[test]
fn a_bad_item_costs_no_sibling() {
    let long = "x".repeat(10_000);
    let bad = [
        json!(null),
        json!(17),
        json!("sent"),
        json!([]),
        json!({}),
        json!({"status": "sent"}),
        json!({"id": "", "status": "sent"}),
        json!({"id": {"a": 1}, "status": "sent"}),
        json!({"id": "wamid.B"}),
        status(&long, "sent"),
        status("wamid.B", &long),
        json!({"id": "wamid.B", "status": "sent", "recipient_participant_id": long}),
        json!({"id": "wamid.B", "status": "sent", "type": long}),
    ];
    for bad in bad {
        let items = json!([status("wamid.A", "sent"), bad, status("wamid.C", "read")]);
        let decoded = decoded(&in_messages(json!({"statuses": items})));
        let paths: Vec<&str> = decoded.problems.iter().map(|p| p.item.as_str()).collect();
        assert_eq!(
            paths,
            ["entry[0].changes[0].value.statuses[1]"],
            "{bad:.60}"
        );
        assert!(
            decoded.problems[0].reason.len() < 500,
            "{}",
            decoded.problems[0].reason
        );
        assert_eq!(decoded.facts.len(), 2);
        assert_eq!(status_of(&decoded.facts[1]).provider_message_id, "wamid.C");
    }
}

#[test]
fn a_bad_entry_or_change_costs_no_sibling() {
    let good = messages(json!({"statuses": [status("wamid.A", "sent")]}));
    let no_number =
        json!({"field": "messages", "value": {"statuses": [status("wamid.B", "sent")]}});
    let changes = json!([
        good, 7, {}, {"value": {}}, {"field": "messages"}, {"field": {}, "value": {}},
        {"field": "messages", "value": []}, {"field": "messages", "value": {"statuses": {}}},
        no_number, good
    ]);
    let entries = json!([
        null, "x", [], {}, {"id": WABA}, {"id": WABA, "changes": {}},
        {"id": "9".repeat(513), "changes": [good]}, {"id": true, "changes": [good]},
        {"id": WABA, "changes": changes}
    ]);
    let decoded = decoded(&json!({"entry": entries}));
    let paths: Vec<&str> = decoded.problems.iter().map(|p| p.item.as_str()).collect();
    let expected = [
        "entry[0]",
        "entry[1]",
        "entry[2]",
        "entry[3]",
        "entry[4]",
        "entry[5].changes",
        "entry[6]",
        "entry[8].changes[1]",
        "entry[8].changes[2]",
        "entry[8].changes[3]",
        "entry[8].changes[4]",
        "entry[8].changes[5]",
        "entry[8].changes[6]",
        "entry[8].changes[7].value.statuses",
        "entry[8].changes[8].value.statuses[0]",
    ];
    assert_eq!(paths, expected);
    let paths: Vec<&str> = decoded
        .facts
        .iter()
        .map(|fact| fact.item.as_str())
        .collect();
    let expected = [
        "entry[7].changes[0].value.statuses[0]",
        "entry[8].changes[0].value.statuses[0]",
        "entry[8].changes[9].value.statuses[0]",
    ];
    assert_eq!(paths, expected);
}

#[test]
fn garbage_is_one_problem_for_the_whole() {
    let truncated = in_messages(json!({"statuses": [status("wamid.A", "sent")]})).to_string();
    let cut = &truncated.as_bytes()[..truncated.len() - 1];
    for garbage in [
        &b""[..],
        b"\xff\xfe",
        b"null",
        b"[]",
        b"17",
        b"\"x\"",
        b"{}",
        b"{\"a\":",
        b"\\",
        cut,
    ] {
        let decoded = decode(garbage);
        assert_eq!(decoded.facts, []);
        assert_eq!(decoded.problems.len(), 1, "{garbage:?}");
        assert_eq!(decoded.problems[0].item, "");
        assert_eq!(decoded.note, None);
    }
    let deep = format!("{{\"entry\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(decode(deep.as_bytes()).problems.len(), 1);
}

#[test]
fn nothing_said_is_noted() {
    for empty in [
        json!({"entry": []}),
        body(json!({"id": WABA, "changes": []})),
        in_messages(json!({"statuses": []})),
    ] {
        let decoded = decoded(&empty);
        assert_eq!((decoded.facts.len(), decoded.problems.len()), (0, 0));
        assert!(decoded.note.is_some());
    }
}

#[test]
fn an_item_has_one_key_in_any_split() {
    let change = |name: &str| json!({"field": "account_update", "value": {"event": name}});
    let entry = |changes: Value| json!({"id": WABA, "time": 1_763_771_000, "changes": changes});
    let together = decoded(&body(entry(json!([change("A"), change("B")]))));
    let apart =
        decoded(&json!({"entry": [entry(json!([change("B")])), entry(json!([change("A")]))]}));
    assert_eq!(together.facts[0].key, apart.facts[1].key);
    assert_eq!(together.facts[1].key, apart.facts[0].key);
    assert_ne!(together.facts[0].key, together.facts[1].key);
    let mut later = entry(json!([change("A")]));
    later["time"] = 1_763_771_001.into();
    assert_ne!(decoded(&body(later)).facts[0].key, together.facts[0].key);
}

#[test]
fn texts_postgres_cannot_hold_are_replaced() {
    let item = r#"{"id":"wamid.\u0000A","status":"sent","biz_opaque_callback_data":"\ud83d","pricing":{"a\u0000":"\u0000"}}"#;
    let text = in_messages(json!({"statuses": ["ITEM"]}))
        .to_string()
        .replace("\"ITEM\"", item);
    let decoded = decode(text.as_bytes());
    let fact = only(&decoded);
    assert_eq!(status_of(fact).provider_message_id, "wamid.\u{fffd}A");
    assert_eq!(data(fact)["callback_data"], "\u{fffd}");
    assert_eq!(data(fact)["pricing"], json!({"a\u{fffd}": "\u{fffd}"}));
    let text = field("x", json!({"a": "N"}))
        .to_string()
        .replace("\"N\"", "\"\\u0000\\\\u0000\"");
    assert_eq!(
        data(only(&decode(text.as_bytes())))["value"]["a"],
        "\u{fffd}\\u0000"
    );
}

#[test]
fn a_member_that_stands_twice_costs_no_sibling() {
    let good = |id: &str| status(id, "sent").to_string();
    let metadata = r#""metadata":{"phone_number_id":"1","phone_number_id":"31"}"#;
    let twice = r#"{"id":"wamid.B","id":"wamid.C","status":"sent"}"#;
    let value = format!(
        r#"{{{metadata},"statuses":[{},{twice}],"statuses":[{}],"statuses":null}}"#,
        good("wamid.A"),
        good("wamid.D"),
    );
    let entry =
        format!(r#"{{"id":"7","changes":[{{"field":"x","field":"messages","value":{value}}}]}}"#);
    let decoded = decode(format!(r#"{{"entry":[{entry}],"entry":[{entry}]}}"#).as_bytes());
    let ids: Vec<&str> = decoded
        .facts
        .iter()
        .map(|fact| status_of(fact).provider_message_id.as_str())
        .collect();
    assert_eq!(ids, ["wamid.A", "wamid.D", "wamid.A", "wamid.D"]);
    assert_eq!(status_of(&decoded.facts[0]).number.phone_number_id, "31");
    assert_eq!(decoded.problems.len(), 2);
}

#[test]
fn a_nest_too_deep_is_a_problem_of_its_item() {
    let nest = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let items =
        json!([{"id": "wamid.A", "status": "sent", "pricing": "NEST"}, status("wamid.B", "sent")]);
    let text = in_messages(json!({"statuses": items}))
        .to_string()
        .replace("\"NEST\"", &nest);
    let decoded = decode(text.as_bytes());
    assert_eq!((decoded.facts.len(), decoded.problems.len()), (1, 1));
}

/// The documented examples of every field, in one body, and what they leave out.
fn rich() -> Vec<u8> {
    static RICH: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let mut failed = status("wamid.\u{e4}\u{1f600}", "failed");
        failed["errors"] = json!([{"code": 131_026, "title": "t", "error_data": {"details": "d"}}]);
        let value = json!({
            "contacts": [{"profile": {"name": "\u{0}Ana"}, "wa_id": "1"}],
            "statuses": [status("wamid.A", "sent"), failed],
            "messages": [{"id": "wamid.I", "from": "1", "type": "interactive", "interactive":
                {"type": "nfm_reply", "nfm_reply": {"response_json": "{\"a\":1}"}}}],
            "errors": [{"code": 130_429}], "user_actions": [{"timestamp": "1763770100"}]
        });
        let mut entries = vec![json!({"id": WABA, "changes": [messages(value)]})];
        for documented in documented_examples() {
            entries.extend(documented["entry"].as_array().unwrap().iter().cloned());
        }
        json!({"entry": entries}).to_string().into_bytes()
    };
    RICH.get_or_init(make).clone()
}

#[test]
fn every_documented_example_is_understood() {
    for example in documented_examples() {
        let decoded = decoded(&example);
        assert_eq!(decoded.problems, [], "{example}");
        assert!(!decoded.facts.is_empty(), "{example}");
        for fact in &decoded.facts {
            assert!(!matches!(fact.said, Said::Other(_)), "{example}");
        }
        // A number for a text, and a text for a number, say the same.
        let other_types = swap_types(&example);
        let swapped = decode(other_types.to_string().as_bytes());
        assert_eq!(swapped.problems, [], "{other_types}");
        let types = |decoded: &Decoded| -> Vec<String> {
            let facts = decoded.facts.iter();
            facts
                .map(|fact| event::of(&fact.said).into_owned())
                .collect()
        };
        assert_eq!(types(&swapped), types(&decoded), "{other_types}");
    }
}

fn swap_types(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(swap_types).collect(),
        Value::Object(members) => {
            let swapped = members
                .iter()
                .map(|(name, value)| (name.clone(), swap_types(value)));
            Value::Object(swapped.collect())
        }
        Value::Number(number) => number.to_string().into(),
        Value::String(text) => match text.parse::<u64>() {
            Ok(number) if number.to_string() == *text => number.into(),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

#[test]
fn items_of_every_field_survive_what_is_wrong_with_their_siblings() {
    for example in documented_examples() {
        for bad in [json!(null), json!(7), json!("x"), json!([[]]), json!({})] {
            let mut body = example.clone();
            let count = decoded(&body).facts.len();
            let value = &mut body["entry"][0]["changes"][0]["value"];
            let Some(list) = value
                .as_object_mut()
                .unwrap()
                .values_mut()
                .find_map(Value::as_array_mut)
            else {
                continue;
            };
            list.insert(0, bad.clone());
            let decoded = decoded(&body);
            assert!(decoded.facts.len() >= count, "{bad} in {body}");
        }
    }
}

#[test]
fn long_ids_and_deep_nests_in_every_member_cost_only_their_item() {
    let long = "9".repeat(10_000);
    let nest = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for example in documented_examples() {
        let text = example.to_string();
        for (at, _) in text.match_indices("\":") {
            let from = at + 2;
            // Scalars alone: what stands for an object is tried by the mutations.
            if text[from..].starts_with(['{', '[']) {
                continue;
            }
            let to = text[from..]
                .find([',', '}', ']'])
                .map_or(text.len(), |n| from + n);
            for value in [format!("\"{long}\""), long.clone(), nest.clone()] {
                check(format!("{}{value}{}", &text[..from], &text[to..]).as_bytes());
            }
        }
    }
}

/// What the store relies on, whatever the bytes.
fn check(bytes: &[u8]) {
    let decoded = decode(bytes);
    let is_silent = decoded.facts.is_empty() && decoded.problems.is_empty();
    assert!(!is_silent || decoded.note.is_some());
    for fact in &decoded.facts {
        assert!(fact.key.len() <= KEY_BYTES);
        assert!(!fact.data.contains("\\u0000"));
        assert!(event::of(&fact.said).len() <= KEY_BYTES + 16);
        let data: Value = serde_json::from_str(&fact.data).unwrap();
        assert!(data.is_object());
        if let Said::News(news) = &fact.said {
            for word in &news.words {
                assert!(word.about.key().len() <= KEY_BYTES + 16);
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes);
        for provider in Provider::ALL {
            let _ = crate::provider::answer(provider, "msg_7.1", 200, None, &bytes);
        }
        let _ = verify_signature(Some(&bytes), &bytes, &["s".to_owned().into()]);
    }

    #[test]
    fn no_mutation_makes_it_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut bytes = rich();
        for (index, byte, edit) in edits {
            let at = index.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        check(&bytes);
    }

    #[test]
    fn no_swapped_value_makes_it_panic(
        index in any::<prop::sample::Index>(),
        value in prop::sample::select(vec![
            "null", "true", "0", "-1", "1e400", "99999999999999999999", "1.5", "\"\"", "\"\\u0000\"",
            "[]", "{}", "[[[]]]", "{\"a\":{}}", "[null]", "\"\\ud800\"",
        ]),
    ) {
        // Replace the value after one of the colons, up to the next comma or bracket.
        let text = String::from_utf8(rich()).unwrap();
        let colons: Vec<usize> = text.match_indices(':').map(|(at, _)| at).collect();
        let from = colons[index.index(colons.len())] + 1;
        let to = text[from..].find([',', '}', ']']).map_or(text.len(), |n| from + n);
        check(format!("{}{value}{}", &text[..from], &text[to..]).as_bytes());
    }
}
