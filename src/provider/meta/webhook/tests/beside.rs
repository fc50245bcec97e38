//! What stands beside statuses: inbound messages, errors, fields that are only kept.

use super::*;

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
        data(fact),
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
    assert_eq!(data(&decoded.facts[0])["type"], "unknown");
    assert_eq!(data(&decoded.facts[1])["text"], json!([[1]]));
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
    assert_eq!(data(errors[0])["code"], 130_429);
    assert_eq!(data(errors[0])["details"], "Slow.");
    let clicks: Vec<&Fact> = decoded
        .facts
        .iter()
        .filter(|f| matches!(f.said, Said::News(_)))
        .collect();
    assert_eq!(event::of(&clicks[0].said), "user.action");
    assert_eq!(
        data(clicks[0]),
        json!({"action": "marketing_messages_link_click"})
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
    assert_eq!(data(fact)["value"]["novelty"], 1);
}

#[test]
fn a_list_of_no_objects_is_kept_as_one() {
    for list in [json!(["a", 1]), json!([[], []]), json!([null])] {
        let decoded = decoded(&in_messages(json!({"tags": list})));
        let fact = only(&decoded);
        assert!(matches!(&fact.said, Said::Other(other) if other.field == "messages.tags"));
        assert_eq!(data(fact)["value"], list);
    }
}

#[test]
fn fields_nobody_knows_are_kept_as_they_came() {
    for name in [
        "tracking_events",
        "consumer_profile",
        "campaign_status_update",
    ] {
        for value in [
            json!({"event": "X", "of": [1, 2]}),
            json!("x"),
            json!([1]),
            json!({}),
        ] {
            let decoded = decoded(&field(name, value.clone()));
            let fact = only(&decoded);
            assert!(matches!(&fact.said, Said::Other(o) if o.field == name && o.number.is_none()));
            assert_eq!(data(fact), json!({"field": name, "value": value}));
            assert_eq!(seconds(fact), Some(1_763_771_000));
        }
    }
    let value = json!({"metadata": {"phone_number_id": "31"}, "of": []});
    let decoded = decoded(&field("tracking_events", value));
    let said = &only(&decoded).said;
    assert!(
        matches!(said, Said::Other(o) if o.number.as_ref().is_some_and(|n| n.phone_number_id == "31"))
    );
}

#[test]
fn values_of_known_fields_that_are_none_are_kept_as_they_came() {
    for name in [
        "account_update",
        "calls",
        "history",
        "standby",
        "flows",
        "user_preferences",
    ] {
        for value in [json!("x"), json!([1]), json!({}), json!(7)] {
            shows(
                &field(name, value.clone()),
                "webhook.other",
                &json!({"field": name, "value": value}),
            );
        }
    }
}

#[test]
fn lists_nobody_knows_are_kept_item_by_item() {
    for name in [
        "calls",
        "user_preferences",
        "group_status_update",
        "history",
    ] {
        let items = json!([{"n": 1, "timestamp": "1763770100"}, {}]);
        let found = goldens(&with_number(name, json!({"novelties": items})));
        let field = format!("{name}.novelties");
        let expected = [
            json!({"field": field, "value": {"n": 1, "timestamp": "1763770100"}}),
            json!({"field": field, "value": {}}),
        ];
        let data: Vec<_> = found.iter().map(|(_, data)| data.clone()).collect();
        assert_eq!(data, expected);
        assert!(found.iter().all(|(r#type, _)| r#type == "webhook.other"));
    }
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
        assert_eq!(news_of(only(&decoded)).r#type, "account.update");
        assert_eq!(
            data(only(&decoded)),
            json!({"event": "PARTNER_APP_INSTALLED"})
        );
    }
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
