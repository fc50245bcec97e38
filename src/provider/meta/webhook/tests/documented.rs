//! Fields of one plain shape, as Meta documents them.

use super::*;

#[test]
fn flows() {
    shows(
        &field(
            "flows",
            json!({"event": "FLOW_STATUS_CHANGE", "message": "m", "flow_id": 772_200_113_344_u64,
            "old_status": "PUBLISHED", "new_status": "THROTTLED"}),
        ),
        "flow.update",
        &json!({"event": "FLOW_STATUS_CHANGE", "message": "m", "flow_id": "772200113344",
            "previous": "PUBLISHED", "new": "THROTTLED"}),
    );
    let errors = json!([{"error_type": "TIMEOUT", "error_rate": 66.66, "error_count": 2}]);
    shows(
        &field(
            "flows",
            json!({"event": "ENDPOINT_ERROR_RATE", "flow_id": "7", "threshold": 10,
            "alert_state": "ACTIVATED", "requests_count": "34", "error_rate": 14.28,
            "p90_latency": 900, "availability": 75, "errors": errors, "warning": "w"}),
        ),
        "flow.update",
        &json!({"event": "ENDPOINT_ERROR_RATE", "flow_id": "7", "threshold": 10,
            "alert_state": "ACTIVATED", "requests_count": 34, "error_rate": 14.28,
            "p90_latency": 900, "availability": 75, "errors": errors, "warning": "w"}),
    );
}

#[test]
fn payment_configurations() {
    shows(
        &field(
            "payment_configuration_update",
            json!({"configuration_name": "shop-live",
            "provider_name": "payu", "provider_mid": "acc_77x", "status": "Needs Testing",
            "created_timestamp": 1_763_700_000, "updated_timestamp": 1_763_773_200}),
        ),
        "payment.configuration",
        &json!({"configuration_name": "shop-live", "provider_name": "payu",
            "provider_mid": "acc_77x", "status": "Needs Testing",
            "created_at": "2025-11-21T04:40:00Z", "updated_at": "2025-11-22T01:00:00Z"}),
    );
}

#[test]
fn partner_solutions_name_a_business() {
    shows(
        &field(
            "partner_solutions",
            json!({"event": "SOLUTION_CREATED", "solution_id": "8", "solution_status": "INITIATED"}),
        ),
        "partner.solution",
        &json!({"event": "SOLUTION_CREATED", "solution_id": "8", "status": "INITIATED", "business_id": WABA}),
    );
}

#[test]
fn automatic_events() {
    let body = with_number(
        "automatic_events",
        json!({"automatic_events": [
        {"id": "wamid.A", "event_name": "Purchase", "timestamp": 1_763_773_400, "ctwa_clid": "Af",
         "custom_data": {"currency": "EUR", "value": 19900}}]}),
    );
    shows(
        &body,
        "automatic.event",
        &json!({"provider_message_id": "wamid.A", "event": "Purchase", "ctwa_clid": "Af",
            "custom_data": {"currency": "EUR", "value": 19900}}),
    );
    let decoded = decoded(&body);
    assert_eq!(seconds(only(&decoded)), Some(1_763_773_400));
    assert!(news_of(only(&decoded)).number.is_some());
}

#[test]
fn reviews() {
    shows(
        &field("account_review_update", json!({"decision": "APPROVED"})),
        "account.review",
        &json!({"decision": "APPROVED"}),
    );
}

#[test]
fn security() {
    shows(
        &field(
            "security",
            json!({"display_phone_number": "15550142217", "event": "PIN_RESET_REQUEST", "requester": 61_500_011_122_233_u64}),
        ),
        "sender.security",
        &json!({"display_phone_number": "15550142217", "event": "PIN_RESET_REQUEST", "requester": "61500011122233"}),
    );
}

#[test]
fn usernames() {
    shows(
        &field(
            "business_username_updates",
            json!({"display_phone_number": "15550142217", "username": "exampledepot", "status": "reserved"}),
        ),
        "sender.username",
        &json!({"display_phone_number": "15550142217", "username": "exampledepot", "status": "reserved"}),
    );
}

#[test]
fn account_settings_are_of_a_number() {
    for calling in ["calling", "callings"] {
        let settings =
            json!({"phone_number_id": "310022446688199", calling: {"status": "ENABLED"}});
        let body = field(
            "account_settings_update",
            json!({"messaging_product": "whatsapp",
            "timestamp": "1763773000", "type": "PHONE_NUMBER_SETTINGS", "phone_number_settings": settings}),
        );
        shows(
            &body,
            "sender.settings",
            &json!({"type": "PHONE_NUMBER_SETTINGS", "phone_number_settings": settings}),
        );
        let decoded = decoded(&body);
        assert_eq!(seconds(only(&decoded)), Some(1_763_773_000));
        let number = news_of(only(&decoded)).number.as_ref();
        assert_eq!(
            number.map(|number| number.phone_number_id.as_str()),
            Some("310022446688199")
        );
    }
}

#[test]
fn handovers() {
    let passed = json!({"previous_owner_role": "ai_agent", "new_owner_role": "customer_service",
        "metadata": "needs a person", "conversation_context": {"summary": "x"}});
    let body = field(
        "messaging_handovers",
        json!({"messaging_product": "whatsapp",
        "sender": {"phone_number": "15550190044"},
        "recipient": {"phone_number_id": "310022446688199", "display_phone_number": "15550142217"},
        "type": "control_passed", "timestamp": "1763772800", "control_passed": passed}),
    );
    shows(
        &body,
        "conversation.handover",
        &json!({"type": "control_passed", "user": "15550190044",
            "recipient": {"phone_number_id": "310022446688199", "display_phone_number": "15550142217"},
            "previous_owner_role": "ai_agent", "new_owner_role": "customer_service",
            "metadata": "needs a person", "control_passed": {"conversation_context": {"summary": "x"}}}),
    );
    let decoded = decoded(&body);
    assert_eq!(seconds(only(&decoded)), Some(1_763_772_800));
    assert!(news_of(only(&decoded)).number.is_some());
}

#[test]
fn on_standby_statuses_are_evidence_and_messages_are_marked() {
    let value = json!({"standby": {
        "contacts": [{"wa_id": "15550190044", "profile": {"name": "Ana"}}],
        "statuses": [status("wamid.A", "delivered")],
        "messages": [{"id": "wamid.I", "from": "15550190044", "type": "text", "text": {"body": "hi"}}],
        "message_echoes": [{"id": "wamid.E", "timestamp": "1763772810",
            "message": {"to": "15550190044", "type": "template", "template": {"name": "t"}}}]}});
    let found = goldens(&with_number("standby", value));
    let types: Vec<_> = found.iter().map(|(r#type, _)| r#type.as_str()).collect();
    assert_eq!(
        types,
        ["echo.template", "inbound.text", "message.delivered"]
    );
    assert_eq!(found[1].1["standby"], true);
    assert_eq!(found[1].1["profile"]["name"], "Ana");
    assert_eq!(
        found[0].1,
        json!({"provider_message_id": "wamid.E", "type": "template",
            "message": {"to": "15550190044", "type": "template", "template": {"name": "t"}}})
    );
}
