//! What is said of users.

use super::*;
use crate::model::fact::{Alias, UserFact, UserSaid};

fn user_of(body: &Value) -> UserFact {
    match &only(&decoded(body)).said {
        Said::User(user) => user.clone(),
        other => panic!("not about a user: {other:?}"),
    }
}

fn alias(alias: &str, user: &str) -> Alias {
    Alias {
        alias: alias.into(),
        user: user.into(),
    }
}

#[test]
fn a_preference_names_the_user_and_what_they_want() {
    for (value, timestamp) in [
        ("stop", json!(1_763_772_300)),
        ("resume", json!("1763772300")),
        ("signup", json!(1_763_772_300)),
    ] {
        let body = with_number(
            "user_preferences",
            json!({"user_preferences": [{
            "wa_id": 15_550_190_044_u64, "user_id": "US.7", "parent_user_id": "US.ENT.1",
            "detail": "d", "category": "marketing_messages", "value": value, "timestamp": timestamp}]}),
        );
        shows(
            &body,
            "user.preference",
            &json!({"user": "15550190044", "user_id": "US.7", "parent_user_id": "US.ENT.1",
                "detail": "d", "category": "marketing_messages", "value": value}),
        );
        assert_eq!(seconds(only(&decoded(&body))), Some(1_763_772_300));
        let user = user_of(&body);
        let said = UserSaid::Preference {
            category: "marketing_messages".into(),
            value: value.into(),
        };
        assert_eq!(user.said, said);
        assert_eq!(user.user.strongest(), Some("US.7"));
        let aliases: Vec<_> = user.user.aliases().collect();
        assert_eq!(
            aliases,
            [alias("15550190044", "US.7"), alias("US.ENT.1", "US.7")]
        );
    }
}

#[test]
fn a_preference_without_a_value_is_a_problem_of_its_own() {
    let items = json!([{"wa_id": "1"}, {"wa_id": "2", "value": "stop"}, 7]);
    let decoded = decoded(&with_number(
        "user_preferences",
        json!({"user_preferences": items}),
    ));
    let paths: Vec<_> = decoded
        .problems
        .iter()
        .map(|problem| problem.item.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "entry[0].changes[0].value.user_preferences[0]",
            "entry[0].changes[0].value.user_preferences[2]"
        ]
    );
    assert_eq!(decoded.facts.len(), 1);
}

#[test]
fn new_ids_lead_on_from_the_old() {
    let body = with_number(
        "user_id_update",
        json!({"user_id_update": [{
        "wa_id": "15550190044", "detail": "User ID changed",
        "user_id": {"previous": "US.7", "current": "US.9"},
        "parent_user_id": {"previous": "US.ENT.7", "current": "US.ENT.9"},
        "timestamp": "1763772400"}]}),
    );
    shows(
        &body,
        "user.id",
        &json!({"user": "15550190044", "detail": "User ID changed",
            "previous_user_id": "US.7", "user_id": "US.9",
            "previous_parent_user_id": "US.ENT.7", "parent_user_id": "US.ENT.9"}),
    );
    let user = user_of(&body);
    let renamed = vec![alias("US.7", "US.9"), alias("US.ENT.7", "US.ENT.9")];
    assert_eq!(user.said, UserSaid::NewIds { renamed });
    assert_eq!(user.user.strongest(), Some("US.9"));
}

#[test]
fn an_id_too_long_for_a_key_is_shown_and_not_used() {
    let long = "x".repeat(10_000);
    let item =
        json!({"wa_id": "1", "user_id": long, "category": "marketing_messages", "value": "stop"});
    let body = with_number("user_preferences", json!({"user_preferences": [item]}));
    assert_eq!(user_of(&body).user.strongest(), Some("1"));
    assert_eq!(golden(&body).1["user_id"], long);
}

#[test]
fn clicks_name_nobody() {
    let body = in_messages(json!({"user_actions": [{
        "action_type": "marketing_messages_link_click", "timestamp": "1763770100", "client_user_agent": "x",
        "marketing_messages_link_click_data": {"click_component": "cta", "product_id": "sku-77",
            "click_id": "clk-9f31", "tracking_token": "tok-1", "novelty": 1}}]}));
    shows(
        &body,
        "user.action",
        &json!({"action": "marketing_messages_link_click", "client_user_agent": "x",
            "click_component": "cta", "product_id": "sku-77", "click_id": "clk-9f31",
            "tracking_token": "tok-1", "marketing_messages_link_click_data": {"novelty": 1}}),
    );
}
