//! Bodies in Meta's shapes, with invented values.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::fact::{ProviderError, Status, StatusFact};

const WABA: &str = "204411887755301";

fn decoded(body: &Value) -> Decoded {
    decode(body.to_string().as_bytes())
}

fn body(entry: Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [entry]})
}

fn messages(mut value: Value) -> Value {
    value["messaging_product"] = "whatsapp".into();
    value["metadata"] =
        json!({"display_phone_number": "15550142217", "phone_number_id": "310022446688199"});
    json!({"field": "messages", "value": value})
}

fn in_messages(value: Value) -> Value {
    body(json!({"id": WABA, "changes": [messages(value)]}))
}

fn field(field: &str, value: Value) -> Value {
    let change = json!({"field": field, "value": value});
    body(json!({"id": WABA, "time": 1_763_771_000, "changes": [change]}))
}

fn status(id: &str, word: &str) -> Value {
    json!({"id": id, "status": word, "timestamp": "1763769612", "recipient_id": "15550190044"})
}

fn status_of(fact: &Fact) -> &StatusFact {
    match &fact.said {
        Said::Status(status) => status,
        other => panic!("not a status: {other:?}"),
    }
}

fn only(decoded: &Decoded) -> &Fact {
    assert_eq!(decoded.problems, []);
    assert_eq!(decoded.facts.len(), 1, "{decoded:?}");
    &decoded.facts[0]
}

fn seconds(fact: &Fact) -> Option<i64> {
    fact.at.map(Timestamp::unix_timestamp)
}

#[test]
fn a_status_is_read_whole() {
    let pricing = json!({"billable": true, "pricing_model": "PMP", "category": "marketing"});
    let mut item = status("wamid.A", "delivered");
    item["recipient_user_id"] = "US.7041".into();
    item["parent_recipient_user_id"] = "US.ENT.9".into();
    item["biz_opaque_callback_data"] = "msg_x.1".into();
    item["pricing"] = pricing.clone();
    item["unheard_of"] = json!([{"deep": 1}]);
    let decoded = decoded(&in_messages(json!({"contacts": [{}], "statuses": [item]})));
    let fact = only(&decoded);
    assert_eq!(fact.item, "entry[0].changes[0].value.statuses[0]");
    assert_eq!(
        (fact.key.as_str(), seconds(fact)),
        ("", Some(1_763_769_612))
    );
    let said = status_of(fact);
    assert_eq!(said.number.waba_id.as_deref(), Some(WABA));
    assert_eq!(said.number.phone_number_id, "310022446688199");
    assert_eq!(said.status, Status::Delivered);
    assert_eq!(said.callback.as_deref(), Some("msg_x.1"));
    assert_eq!(
        Value::Object(fact.data.clone()),
        json!({
            "provider_message_id": "wamid.A", "status": "delivered", "recipient": "15550190044",
            "recipient_user_id": "US.7041", "recipient_parent_user_id": "US.ENT.9",
            "pricing": pricing, "callback_data": "msg_x.1"
        })
    );
}

#[test]
fn a_failure_keeps_its_error_wherever_the_details_stand() {
    let expected = ProviderError {
        code: 132_015,
        title: Some("Template is paused".into()),
        details: Some("low quality".into()),
    };
    for error in [
        json!({"code": 132_015, "title": "Template is paused", "message": "Template is paused",
               "error_data": {"messaging_product": "whatsapp", "details": "low quality"}}),
        json!({"code": "132015", "title": "Template is paused", "details": "low quality"}),
        json!({"code": 132_015, "message": "Template is paused", "error_data": "low quality"}),
    ] {
        for errors in [json!([error]), error] {
            let mut item = status("wamid.A", "failed");
            item["errors"] = errors;
            let decoded = decoded(&in_messages(json!({"statuses": [item]})));
            let fact = only(&decoded);
            assert_eq!(status_of(fact).error.as_ref(), Some(&expected));
            assert_eq!(
                fact.data["errors"],
                json!([{"code": 132_015, "title": "Template is paused", "details": "low quality"}])
            );
        }
    }
}

#[test]
fn an_error_without_a_code_is_shown_and_not_acted_on() {
    let mut item = status("wamid.A", "failed");
    item["errors"] =
        json!(["boom", {"title": "t", "href": "/x"}, {"code": 1, "error_data": {"a": 1}}]);
    let decoded = decoded(&in_messages(json!({"statuses": [item]})));
    let fact = only(&decoded);
    assert_eq!(status_of(fact).error.as_ref().map(|e| e.code), Some(1));
    let shown = json!(["boom", {"title": "t", "href": "/x"}, {"code": 1, "error_data": {"a": 1}}]);
    assert_eq!(fact.data["errors"], shown);
}

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
fn members_of_a_group_have_a_key_each() {
    for name in ["recipient_participant_id", "participant_recipient_id"] {
        let item = |participant: &str| {
            let mut item = status("wamid.A", "read");
            item["recipient_id"] = "Y2FwaV9ncm91cDox".into();
            item["recipient_type"] = "group".into();
            item[name] = participant.into();
            item["conversation"] = json!({"id": "c1", "pricing": {"category": "group_service"}});
            item
        };
        let items = json!([item("15550190044"), item("15550190051")]);
        let decoded = decoded(&in_messages(json!({"statuses": items})));
        assert_eq!(decoded.problems, []);
        for (fact, member) in decoded.facts.iter().zip(["15550190044", "15550190051"]) {
            assert_eq!(fact.key, member);
            assert_eq!(status_of(fact).participant.as_deref(), Some(member));
            assert_eq!(fact.data["participant"], member);
            assert_eq!(fact.data["pricing"], json!({"category": "group_service"}));
            assert_eq!(fact.data["conversation"], json!({"id": "c1"}));
        }
    }
}

#[test]
fn numbers_and_texts_stand_for_each_other() {
    let value = json!({
        "metadata": {"display_phone_number": 15_550_142_217_u64, "phone_number_id": 310_022_446_688_199_u64},
        "statuses": [{"id": 77, "status": "sent", "timestamp": 1_763_769_612, "recipient_id": 15_550_190_044_u64}],
        "messages": [{"id": 78, "from": 15_550_190_044_u64, "timestamp": 1_763_769_613, "type": "text", "text": {"body": "hi"}}]
    });
    let change = json!({"field": "messages", "value": value});
    let decoded = decoded(&body(
        json!({"id": 204_411_887_755_301_u64, "changes": [change]}),
    ));
    assert_eq!(decoded.problems, []);
    let said = decoded
        .facts
        .iter()
        .find_map(|fact| match &fact.said {
            Said::Status(status) => Some((status, seconds(fact))),
            _ => None,
        })
        .unwrap();
    assert_eq!(said.0.provider_message_id, "77");
    assert_eq!(said.0.recipient.as_deref(), Some("15550190044"));
    assert_eq!(said.0.number.waba_id.as_deref(), Some(WABA));
    assert_eq!(said.0.number.phone_number_id, "310022446688199");
    assert_eq!(said.1, Some(1_763_769_612));
}

#[test]
fn a_status_with_an_absurd_time_is_kept_without() {
    for absurd in [
        json!(-5),
        json!("1543000000000"),
        json!("soon"),
        json!({}),
        json!(1.5),
        json!(null),
    ] {
        let mut item = status("wamid.A", "sent");
        item["timestamp"] = absurd;
        let decoded = decoded(&in_messages(json!({"statuses": [item]})));
        assert_eq!(only(&decoded).at, None);
    }
}

#[test]
fn statuses_of_calls_and_payments_move_no_message() {
    let mut call = status("wacid.A", "RINGING");
    call["type"] = "call".into();
    let mut message = status("wamid.A", "sent");
    message["type"] = "message".into();
    let decoded = decoded(&in_messages(json!({"statuses": [call, message]})));
    assert_eq!(decoded.problems, []);
    let Said::Other(other) = &decoded.facts[0].said else {
        panic!("a call's status is no message's");
    };
    assert_eq!(other.field, "messages.statuses.call");
    assert_eq!(seconds(&decoded.facts[0]), Some(1_763_769_612));
    assert_eq!(decoded.facts[0].data["value"], call);
    assert_eq!(status_of(&decoded.facts[1]).status, Status::Sent);
}

#[test]
fn words_we_do_not_know_are_kept() {
    let decoded = decoded(&in_messages(
        json!({"statuses": [status("wamid.A", "deleted")]}),
    ));
    assert_eq!(
        status_of(only(&decoded)).status,
        Status::Other("deleted".into())
    );
}

#[test]
fn an_inbound_message_is_kept_as_it_was_sent() {
    let value = json!({
        "contacts": [
            {"profile": {"name": "Bo"}, "wa_id": "1"},
            {"profile": {"name": "Ana", "username": "ana.p"}, "wa_id": "15550190044", "user_id": "US.7"}
        ],
        "messages": [{
            "from": "15550190044", "from_user_id": "US.7", "id": "wamid.I", "timestamp": "1763770222",
            "type": "button", "context": {"from": "15550142217", "id": "wamid.A"},
            "button": {"payload": "STOP", "text": "Stop"}
        }]
    });
    let decoded = decoded(&in_messages(value));
    let fact = only(&decoded);
    assert_eq!(
        (fact.key.as_str(), seconds(fact)),
        ("wamid.I", Some(1_763_770_222))
    );
    let Said::Inbound(inbound) = &fact.said else {
        panic!("not inbound: {fact:?}");
    };
    assert_eq!(inbound.kind, "button");
    assert_eq!(inbound.from_user_id.as_deref(), Some("US.7"));
    assert_eq!(
        Value::Object(fact.data.clone()),
        json!({
            "provider_message_id": "wamid.I", "from": "15550190044", "from_user_id": "US.7",
            "type": "button", "button": {"payload": "STOP", "text": "Stop"},
            "context": {"from": "15550142217", "id": "wamid.A"},
            "profile": {"name": "Ana", "username": "ana.p"}
        })
    );
}

#[test]
fn an_inbound_message_without_id_is_a_problem_and_without_type_is_not() {
    let items = json!([{"type": "text"}, {"id": "wamid.I"}, {"id": "wamid.J", "text": [[1]]}]);
    let decoded = decoded(&in_messages(json!({"messages": items})));
    assert_eq!(decoded.problems.len(), 1);
    assert_eq!(decoded.facts.len(), 2);
    assert_eq!(decoded.facts[0].data["type"], "unknown");
}

#[test]
fn errors_and_arrays_beside_the_messages_are_facts() {
    let click = json!({"action_type": "marketing_messages_link_click", "timestamp": "1763770100"});
    let decoded = decoded(&in_messages(json!({
        "errors": [{"code": 130_429, "title": "Rate limit hit", "error_data": {"details": "Slow."}}],
        "user_actions": [click, click, {"action_type": "landing_page_view"}],
        "contacts": [{"wa_id": "1"}], "novelty": {"not": "a list"}
    })));
    assert_eq!(decoded.problems, []);
    assert_eq!(decoded.facts.len(), 4);
    let errors: Vec<&Fact> = decoded
        .facts
        .iter()
        .filter(|f| matches!(f.said, Said::SenderError(_)))
        .collect();
    assert_eq!(errors[0].data["code"], 130_429);
    assert_eq!(errors[0].data["details"], "Slow.");
    let clicks: Vec<&Fact> = decoded
        .facts
        .iter()
        .filter(|f| matches!(f.said, Said::Other(_)))
        .collect();
    assert_eq!(
        clicks[0].data,
        *json!({"field": "messages.user_actions", "value": click})
            .as_object()
            .unwrap()
    );
    assert_eq!(seconds(clicks[0]), Some(1_763_770_100));
    assert_eq!(clicks[0].key, clicks[1].key, "the same item again");
    assert_ne!(clicks[0].key, clicks[2].key);
    assert_eq!(clicks[0].key.len(), 32);
}

#[test]
fn a_messages_value_without_lists_is_kept_whole() {
    let decoded = decoded(&in_messages(json!({"novelty": 1})));
    let fact = only(&decoded);
    assert!(
        matches!(&fact.said, Said::Other(other) if other.field == "messages" && other.number.is_some())
    );
    assert_eq!(fact.data["value"]["novelty"], 1);
}

fn template_event() -> Value {
    json!({
        "event": "paused", "message_template_id": 1_402_993_871_104_426_u64,
        "message_template_name": "winter_offer", "message_template_language": "en-US",
        "message_template_category": "MARKETING", "reason": "NONE",
        "other_info": {"title": "FIRST_PAUSE", "description": "until Nov 22"}
    })
}

#[test]
fn a_template_status_is_read_whole() {
    let decoded = decoded(&field("message_template_status_update", template_event()));
    let fact = only(&decoded);
    assert_eq!(seconds(fact), Some(1_763_771_000));
    let Said::TemplateStatus(said) = &fact.said else {
        panic!("not a template status: {fact:?}");
    };
    assert_eq!(
        (said.event.as_str(), said.reason.as_deref()),
        ("PAUSED", None)
    );
    assert_eq!(said.template.language, "en_US");
    assert_eq!(said.template.waba_id.as_deref(), Some(WABA));
    assert_eq!(
        Value::Object(fact.data.clone()),
        json!({
            "template_id": "1402993871104426", "name": "winter_offer", "language": "en_US",
            "event": "PAUSED", "pause_title": "FIRST_PAUSE", "pause_description": "until Nov 22",
            "category": "MARKETING"
        })
    );
}

#[test]
fn disable_dates_come_in_three_forms_and_reasons_may_be_null() {
    for (date, shown) in [
        (json!(1_763_990_400), "1763990400"),
        (json!("1763990400"), "1763990400"),
        (json!("January 31, 2021"), "January 31, 2021"),
    ] {
        let mut event = template_event();
        event["reason"] = json!(null);
        event["disable_info"] = json!({"disable_date": date});
        event["other_info"] = json!("not an object");
        let decoded = decoded(&field("message_template_status_update", event));
        let fact = only(&decoded);
        assert_eq!(fact.data["disable_date"], shown);
        assert_eq!(fact.data.get("reason"), None);
    }
    let mut event = template_event();
    event["reason"] = "INCORRECT_CATEGORY".into();
    let decoded = decoded(&field("message_template_status_update", event));
    assert_eq!(only(&decoded).data["reason"], "INCORRECT_CATEGORY");
}

#[test]
fn a_quality_update_is_known_by_its_score_whatever_the_field_says() {
    let value = json!({
        "previous_quality_score": "YELLOW", "new_quality_score": "red", "message_template_id": 7,
        "message_template_name": "winter_offer", "message_template_language": "en_US"
    });
    for name in [
        "message_template_quality_update",
        "message_template_status_update",
    ] {
        let decoded = decoded(&field(name, value.clone()));
        let fact = only(&decoded);
        assert!(matches!(&fact.said, Said::TemplateQuality(said) if said.new == "RED"));
        assert_eq!(fact.data["previous"], "YELLOW");
        assert_eq!(fact.data["new"], "RED");
    }
}

#[test]
fn a_template_event_without_a_template_is_a_problem() {
    for name in [
        "message_template_status_update",
        "message_template_quality_update",
    ] {
        for value in [json!({}), json!("x"), json!({"event": "APPROVED"})] {
            let decoded = decoded(&field(name, value));
            assert_eq!((decoded.facts.len(), decoded.problems.len()), (0, 1));
            assert_eq!(decoded.problems[0].item, "entry[0].changes[0]");
        }
    }
}

#[test]
fn other_fields_are_kept_as_they_came() {
    for value in [
        json!({"event": "DISABLED_UPDATE", "ban_info": {"x": [1, 2]}}),
        json!("x"),
        json!([1]),
    ] {
        let decoded = decoded(&field("account_update", value.clone()));
        let fact = only(&decoded);
        assert!(
            matches!(&fact.said, Said::Other(o) if o.field == "account_update" && o.number.is_none())
        );
        assert_eq!(
            fact.data,
            *json!({"field": "account_update", "value": value})
                .as_object()
                .unwrap()
        );
        assert_eq!(seconds(fact), Some(1_763_771_000));
    }
    let calls = json!({"metadata": {"phone_number_id": "31"}, "calls": []});
    let decoded = decoded(&field("calls", calls));
    let said = &only(&decoded).said;
    assert!(
        matches!(said, Said::Other(o) if o.number.as_ref().is_some_and(|n| n.phone_number_id == "31"))
    );
}

#[test]
fn a_field_name_is_found_where_metas_examples_put_it() {
    let value = json!({"event": "PARTNER_APP_INSTALLED"});
    let in_entry =
        body(json!({"id": WABA, "changes": [{"value": value}], "field": "account_update"}));
    let mut value = value;
    value["field"] = "account_update".into();
    let in_value = body(json!({"id": WABA, "changes": [{"value": value}]}));
    for body in [in_entry, in_value] {
        let decoded = decoded(&body);
        assert!(matches!(&only(&decoded).said, Said::Other(o) if o.field == "account_update"));
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
fn the_dashboards_test_sample_is_noted_and_ignored() {
    let value = json!({
        "metadata": {"display_phone_number": "16505551111", "phone_number_id": "123456123"},
        "messages": [{"from": "16315551181", "id": "ABGGFlA5Fpa", "type": "text", "text": {"body": "x"}}]
    });
    let sample = json!({"id": "0", "changes": [{"field": "messages", "value": value}]});
    let decoded = decoded(&body(sample));
    assert_eq!((decoded.facts.len(), decoded.problems.len()), (0, 0));
    assert!(decoded.note.unwrap().contains("Test"));
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
    assert_eq!(fact.data["callback_data"], "\u{fffd}");
    assert_eq!(fact.data["pricing"], json!({"a\u{fffd}": "\u{fffd}"}));
    let text = field("x", json!({"a": "N"}))
        .to_string()
        .replace("\"N\"", "\"\\u0000\\\\u0000\"");
    assert_eq!(
        only(&decode(text.as_bytes())).data["value"]["a"],
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

/// A body with everything in it, for mutations.
fn rich() -> Vec<u8> {
    let mut failed = status("wamid.\u{e4}\u{1f600}", "failed");
    failed["errors"] = json!([{"code": 131_026, "title": "t", "error_data": {"details": "d"}}]);
    let value = json!({
        "contacts": [{"profile": {"name": "\u{0}Ana"}, "wa_id": "1"}],
        "statuses": [status("wamid.A", "sent"), failed],
        "messages": [{"id": "wamid.I", "from": "1", "type": "text", "text": {"body": "hi"}}],
        "errors": [{"code": 130_429}], "user_actions": [{"timestamp": "1763770100"}]
    });
    let changes = json!([
        messages(value),
        {"field": "message_template_status_update", "value": template_event()},
        {"field": "account_update", "value": {"event": "X"}}
    ]);
    body(json!({"id": WABA, "time": 1, "changes": changes}))
        .to_string()
        .into_bytes()
}

/// What the store relies on, whatever the bytes.
fn check(bytes: &[u8]) {
    let decoded = decode(bytes);
    let is_silent = decoded.facts.is_empty() && decoded.problems.is_empty();
    assert!(!is_silent || decoded.note.is_some());
    for fact in &decoded.facts {
        assert!(fact.key.len() <= KEY_BYTES);
        assert!(
            !serde_json::to_string(&fact.data)
                .unwrap()
                .contains("\\u0000")
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        check(&bytes);
        let _ = crate::provider::meta::send::answer(200, None, &bytes);
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
