//! Bodies in Infobip's shapes, with invented values.

mod reports;
mod robustness;

use serde_json::{Value, json};

use super::*;
use crate::model::event;
use crate::model::fact::{InboundFact, StatusFact, UserSaid};

const SENDER: &str = "441200000001";
const USER: &str = "385910000001";

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

fn at(fact: &Fact) -> Option<String> {
    fact.at.map(crate::model::rfc3339)
}

fn status_of(fact: &Fact) -> &StatusFact {
    match &fact.said {
        Said::Status(status) => status,
        other => panic!("not a status: {other:?}"),
    }
}

/// The one fact of a body: its type and its data.
fn shows(body: &Value, r#type: &str, shown: &Value) -> Fact {
    let decoded = decoded(body);
    let fact = only(&decoded);
    let found = event::of(&fact.said);
    assert_eq!((found.as_ref(), &data(fact)), (r#type, shown));
    fact.clone()
}

/// What Infobip documents, a body a kind or more.
fn documented_examples() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../../tests/documented_infobip.json")).unwrap()
}

#[test]
fn every_documented_body_is_understood() {
    for example in documented_examples() {
        let decoded = decoded(&example);
        assert_eq!(decoded.problems, [], "{example}");
        assert!(!decoded.facts.is_empty(), "{example}");
        for fact in &decoded.facts {
            assert!(!matches!(fact.said, Said::Other(_)), "{example}");
            assert!(fact.at.is_some(), "{example}");
        }
    }
}

fn template(change: &Value) -> Value {
    json!({"messageTemplateId": "734512", "messageTemplateName": "order_ready",
        "messageTemplateLanguage": "en_GB", "timestamp": "2026-03-02T09:00:00.000+0000",
        "change": change, "entityId": 123_456, "applicationId": 1_234_567})
}

#[test]
fn a_templates_status_has_one_vocabulary() {
    for (word, event, pause_title) in [
        ("APPROVED", "APPROVED", None),
        ("FIRST_PAUSED", "PAUSED", Some("FIRST_PAUSE")),
        ("second_paused", "PAUSED", Some("SECOND_PAUSE")),
        ("DISABLED", "DISABLED", None),
        ("REINSTATED", "REINSTATED", None),
        ("NEW_WORD", "NEW_WORD", None),
    ] {
        let change = json!({"type": "TEMPLATE_STATUS_UPDATE", "newStatus": word, "reason": "NONE"});
        let mut shown = json!({"template_id": "734512", "name": "order_ready", "language": "en_GB",
            "event": event, "entityId": 123_456, "applicationId": 1_234_567});
        if let Some(title) = pause_title {
            shown["pause_title"] = title.into();
        }
        let fact = shows(&template(&change), event::TEMPLATE_STATUS, &shown);
        assert_eq!(at(&fact).as_deref(), Some("2026-03-02T09:00:00.000Z"));
        let Said::TemplateStatus(status) = fact.said else {
            panic!("{word}");
        };
        assert_eq!(status.event, event);
        assert_eq!(status.pause_title.as_deref(), pause_title);
        assert_eq!(status.reason, None);
        assert_eq!(status.template.waba_id, None);
    }
    let change =
        json!({"type": "TEMPLATE_STATUS_UPDATE", "newStatus": "REJECTED", "reason": "SCAM"});
    let decoded = decoded(&template(&change));
    let Said::TemplateStatus(status) = &only(&decoded).said else {
        panic!();
    };
    assert_eq!(status.reason.as_deref(), Some("SCAM"));
}

#[test]
fn a_templates_quality_has_metas_words() {
    for (word, score) in [
        ("HIGH", "GREEN"),
        ("MEDIUM", "YELLOW"),
        ("LOW", "RED"),
        ("UNKNOWN", "UNKNOWN"),
    ] {
        let change = json!({"type": "TEMPLATE_QUALITY_UPDATE", "previousQualityScore": "HIGH",
            "newQualityScore": word});
        let shown = json!({"template_id": "734512", "name": "order_ready", "language": "en_GB",
            "previous": "GREEN", "new": score, "entityId": 123_456, "applicationId": 1_234_567});
        shows(&template(&change), event::TEMPLATE_QUALITY, &shown);
    }
    let change = json!({"type": "TEMPLATE_CATEGORY_UPDATE", "previousCategory": "MARKETING",
        "newCategory": "UTILITY"});
    let shown = json!({"template_id": "734512", "name": "order_ready", "language": "en_GB",
        "previous": "MARKETING", "new": "UTILITY", "entityId": 123_456, "applicationId": 1_234_567});
    let fact = shows(&template(&change), event::TEMPLATE_CATEGORY, &shown);
    assert!(
        matches!(&fact.said, Said::TemplateCategory(said) if said.current.as_deref() == Some("UTILITY"))
    );
    // A number is an id as well.
    let mut numeric = template(&change);
    numeric["messageTemplateId"] = 734_512.into();
    assert_eq!(only(&decoded(&numeric)).said, fact.said);
    let change = json!({"type": "TEMPLATE_COLOUR_UPDATE", "newColour": "blue"});
    let whole = template(&change);
    let shown = json!({"field": "TEMPLATE_COLOUR_UPDATE", "value": whole.clone()});
    shows(&whole, event::WEBHOOK_OTHER, &shown);
}

fn notification(content: &Value) -> Value {
    json!({"from": SENDER, "content": content, "createdAt": "2024-01-01T01:00:00.000+0000"})
}

#[test]
fn what_a_user_wants_is_a_preference() {
    for value in ["stop", "resume"] {
        let content = json!({"sender": SENDER, "from": USER, "notificationMessagesStatus": value,
            "description": "said so"});
        let shown = json!({"user": USER, "category": "marketing_messages", "value": value,
            "detail": "said so"});
        let fact = shows(&notification(&content), event::USER_PREFERENCE, &shown);
        assert_eq!(at(&fact).as_deref(), Some("2024-01-01T01:00:00.000Z"));
        let Said::User(said) = &fact.said else {
            panic!("{fact:?}");
        };
        assert_eq!(said.number.phone_number_id, SENDER);
        assert_eq!(said.user.wa_id.as_deref(), Some(USER));
        let UserSaid::Preference {
            category,
            value: said,
        } = &said.said
        else {
            panic!("{fact:?}");
        };
        assert_eq!(
            (category.as_str(), said.as_str()),
            ("marketing_messages", value)
        );
    }
}

#[test]
fn a_users_identity_and_payments_are_shown() {
    let content = json!({"description": "Security code changed.", "hash": "eU2Fdi4EMUw=",
        "type": "user_identity_changed", "userNumber": USER, "userId": "HR.123"});
    let shown = json!({"user": USER, "user_id": "HR.123", "hash": "eU2Fdi4EMUw=",
        "detail": "Security code changed."});
    shows(&notification(&content), event::USER_IDENTITY, &shown);
    // Said to come in an array.
    shows(
        &json!([notification(&content)]),
        event::USER_IDENTITY,
        &shown,
    );
    let content = json!({"from": USER, "type": "payment", "referenceId": "72", "paymentId": "fd3",
        "paymentStatus": "CAPTURED", "currency": "INR", "totalAmountValue": 21000,
        "totalAmountOffset": 100, "transactions": [{"id": "27"}]});
    let shown = json!({"recipient": USER, "status": "CAPTURED", "reference_id": "72",
        "payment_id": "fd3", "currency": "INR", "totalAmountValue": 21000,
        "totalAmountOffset": 100, "transactions": [{"id": "27"}]});
    shows(&notification(&content), event::PAYMENT_STATUS, &shown);
    let content = json!({"type": "news", "x": 1});
    let whole = notification(&content);
    let shown = json!({"field": "news", "value": whole.clone()});
    shows(&whole, event::WEBHOOK_OTHER, &shown);
}

fn inbound(message: &Value) -> Value {
    json!({"results": [{"from": USER, "to": SENDER, "integrationType": "WHATSAPP",
        "receivedAt": "2025-01-01T10:10:00.000+0000", "messageId": "wamid.HBgL",
        "callbackData": "cb", "message": message, "price": {"pricePerMessage": 0, "currency": "EUR"},
        "contact": {"name": "Ana", "phoneNumber": USER, "userId": "HR.123",
            "parentUserId": "HR.ENT.456", "username": "ana"}}],
        "messageCount": 1, "pendingMessageCount": 0})
}

#[test]
fn what_users_write_is_inbound() {
    let shown = json!({"provider_message_id": "wamid.HBgL", "type": "text", "from": USER,
        "from_user_id": "HR.123", "from_parent_user_id": "HR.ENT.456", "callback_data": "cb",
        "text": {"text": "hi"}, "price": {"pricePerMessage": 0, "currency": "EUR"},
        "referral": {"sourceType": "AD"},
        "profile": {"name": "Ana", "phoneNumber": USER, "userId": "HR.123",
            "parentUserId": "HR.ENT.456", "username": "ana"}});
    let body = inbound(&json!({"text": "hi", "type": "TEXT", "referral": {"sourceType": "AD"}}));
    let fact = shows(&body, "inbound.text", &shown);
    assert_eq!(at(&fact).as_deref(), Some("2025-01-01T10:10:00.000Z"));
    assert_eq!(fact.key, "wamid.HBgL");
    let Said::Inbound(InboundFact {
        number,
        from,
        from_user_id,
        aliases,
        ..
    }) = fact.said
    else {
        panic!();
    };
    assert_eq!(number.phone_number_id, SENDER);
    assert_eq!(number.display_phone_number.as_deref(), Some(SENDER));
    assert_eq!(from.as_deref(), Some(USER));
    assert_eq!(from_user_id.as_deref(), Some("HR.123"));
    assert_eq!(aliases.len(), 2);
    // A type that has the name of something else.
    let said = decoded(&inbound(&json!({"type": "FROM", "x": 1})));
    let shown = data(only(&said));
    assert_eq!(
        (&shown["from"], &shown["message"]),
        (&json!(USER), &json!({"x": 1}))
    );
    let said = decoded(&inbound(&json!({})));
    assert_eq!(event::of(&only(&said).said), "inbound.unknown");
}
