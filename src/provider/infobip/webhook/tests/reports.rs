//! Delivery and seen reports, in both dialects.

use super::*;
use crate::model::error_class::{ErrorClass, classify};
use crate::model::fact::Status;

/// A report as the WhatsApp API has it.
fn delivery(group: (i64, &str), id: i64, name: &str) -> Value {
    json!({"bulkId": "run", "messageId": "ord-1", "to": USER,
        "sentAt": "2026-03-02T10:00:00.120+0000", "doneAt": "2026-03-02T10:00:02.480+0000",
        "messageCount": 1, "price": {"pricePerMessage": 0.021, "currency": "EUR"},
        "status": {"groupId": group.0, "groupName": group.1, "id": id, "name": name,
            "description": "in words"},
        "error": {"groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR",
            "description": "No Error", "permanent": false}})
}

fn results(items: &[Value]) -> Value {
    json!({"results": items})
}

fn failed(id: i64, name: &str, permanent: Option<bool>) -> Value {
    let mut item = delivery((2, "UNDELIVERABLE"), 9, "UNDELIVERABLE_NOT_DELIVERED");
    item["error"] = json!({"groupId": 1, "groupName": "Client errors", "id": id, "name": name,
        "description": "why"});
    if let Some(permanent) = permanent {
        item["error"]["permanent"] = permanent.into();
    }
    item
}

fn class_of(item: &Value) -> ErrorClass {
    let decoded = decoded(&results(std::slice::from_ref(item)));
    let status = status_of(only(&decoded));
    assert_eq!(status.status, Status::Failed, "{item}");
    classify(status.error.as_ref().unwrap().code)
}

#[test]
fn a_delivery_report_is_delivered_by_the_id_that_we_gave() {
    let mut item = delivery((3, "DELIVERED"), 5, "DELIVERED_TO_HANDSET");
    item["contact"] = json!({"name": "Ana", "phoneNumber": USER, "userId": "HR.1",
        "parentUserId": "HR.ENT.2", "username": "ana"});
    let shown = json!({"bulkId": "run", "recipient": USER, "recipient_user_id": "HR.1",
        "recipient_parent_user_id": "HR.ENT.2", "messageCount": 1, "price": item["price"],
        "sent_at": "2026-03-02T10:00:00.120Z", "done_at": "2026-03-02T10:00:02.480Z",
        "status": {"group_id": 3, "group": "DELIVERED", "id": 5, "name": "DELIVERED_TO_HANDSET",
            "description": "in words"},
        "error": {"group_id": 0, "group": "OK", "id": 0, "name": "NO_ERROR",
            "description": "No Error", "permanent": false},
        "contact": item["contact"]});
    let fact = shows(&results(&[item]), "message.delivered", &shown);
    assert_eq!(at(&fact).as_deref(), Some("2026-03-02T10:00:02.480Z"));
    assert_eq!(fact.key, "");
    let status = status_of(&fact);
    assert_eq!(status.status, Status::Delivered);
    assert_eq!(status.provider_message_id, "ord-1");
    assert_eq!(status.callback.as_deref(), Some("ord-1"));
    assert_eq!(status.recipient.as_deref(), Some(USER));
    assert!(status.number.is_unnamed());
    assert_eq!(status.error, None);
}

#[test]
fn groups_become_our_statuses_whatever_the_id() {
    for (group, id, name, word) in [
        (
            (1, "PENDING"),
            3,
            "PENDING_WAITING_DELIVERY",
            "status.pending_waiting_delivery",
        ),
        (
            (1, "PENDING"),
            7,
            "PENDING_ENROUTE",
            "status.pending_enroute",
        ),
        (
            (1, "PENDING"),
            26,
            "PENDING_ACCEPTED",
            "status.pending_accepted",
        ),
        (
            (2, "UNDELIVERABLE"),
            4,
            "UNDELIVERABLE_REJECTED_OPERATOR",
            "failed",
        ),
        ((2, "UNDELIVERABLE"), 9999, "UNDELIVERABLE_ANEW", "failed"),
        ((3, "DELIVERED"), 2, "DELIVERED_TO_OPERATOR", "sent"),
        ((3, "DELIVERED"), 5, "DELIVERED_TO_HANDSET", "delivered"),
        ((3, "DELIVERED"), 9999, "DELIVERED_ANEW", "delivered"),
        ((4, "EXPIRED"), 15, "EXPIRED_EXPIRED", "failed"),
        ((4, "EXPIRED"), 29, "EXPIRED_DLR_UNKNOWN", "failed"),
        ((5, "REJECTED"), 12, "REJECTED_NOT_ENOUGH_CREDITS", "failed"),
        (
            (6, "SOMETHING"),
            77,
            "SOMETHING_NEW",
            "status.something_new",
        ),
    ] {
        let item = delivery(group, id, name);
        let mut by_name = item.clone();
        by_name["status"].as_object_mut().unwrap().remove("groupId");
        let mut by_text = item.clone();
        by_text["status"]["groupId"] = group.0.to_string().into();
        for item in [item, by_name, by_text] {
            let decoded = decoded(&results(&[item]));
            let found = event::of(&only(&decoded).said);
            assert_eq!(found, format!("message.{word}"), "{name}");
        }
    }
}

#[test]
fn a_failure_says_why() {
    let item = failed(7032, "EC_FREQUENCY_CAPPING", Some(true));
    let decoded = decoded(&results(std::slice::from_ref(&item)));
    let fact = only(&decoded);
    assert_eq!(
        data(fact)["errors"],
        json!([{"code": 7032, "title": "EC_FREQUENCY_CAPPING", "details": "why", "permanent": true}])
    );
    assert_eq!(data(fact)["error"]["group"], "Client errors");
    let error = status_of(fact).error.as_ref().unwrap();
    assert_eq!(error.title.as_deref(), Some("EC_FREQUENCY_CAPPING"));
    assert_eq!(error.details.as_deref(), Some("why"));
}

#[test]
fn permanent_is_respected() {
    use ErrorClass::*;
    for (id, permanent, class) in [
        (7032, None, WaitADay),
        (7032, Some(true), NeverToRecipient),
        (7032, Some(false), WaitADay),
        (7050, None, Retry),
        (7050, Some(true), FixRequest),
        (7009, Some(false), TemplateStops),
        (7009, Some(true), TemplateStops),
        (12_345, None, FixRequest),
        (12_345, Some(true), FixRequest),
        (12_345, Some(false), Retry),
    ] {
        assert_eq!(
            class_of(&failed(id, "EC", permanent)),
            class,
            "{id} {permanent:?}"
        );
    }
    let mut text = failed(7050, "EC", None);
    text["error"]["permanent"] = "true".into();
    assert_eq!(class_of(&text), FixRequest);
}

#[test]
fn where_there_is_no_error_the_status_says_why() {
    for (group, id, name, class) in [
        (
            (5, "REJECTED"),
            12,
            "REJECTED_NOT_ENOUGH_CREDITS",
            ErrorClass::SenderStops,
        ),
        (
            (5, "REJECTED"),
            21,
            "REJECTED_SYSTEM_ERROR",
            ErrorClass::Retry,
        ),
        (
            (4, "EXPIRED"),
            15,
            "EXPIRED_EXPIRED",
            ErrorClass::NeverToRecipient,
        ),
    ] {
        let mut item = delivery(group, id, name);
        assert_eq!(class_of(&item), class, "{name}");
        item.as_object_mut().unwrap().remove("error");
        assert_eq!(class_of(&item), class, "{name}");
        let decoded = decoded(&results(&[item]));
        assert_eq!(
            data(only(&decoded))["errors"],
            json!([{"code": id, "title": name, "details": "in words"}])
        );
    }
    let mut item = delivery((2, "UNDELIVERABLE"), 9, "x");
    item["status"] = json!({"groupId": 2});
    item.as_object_mut().unwrap().remove("error");
    let decoded = decoded(&results(&[item]));
    assert_eq!(status_of(only(&decoded)).error, None);
}

#[test]
fn a_seen_report_is_from_the_user() {
    let item = json!({"messageId": "ord-1", "from": USER, "to": SENDER,
        "sentAt": "2026-03-02T10:00:00.120+0000", "seenAt": "2026-03-02T10:05:11.000+0000",
        "applicationId": "shop", "entityId": "shop-7",
        "contact": {"name": "Ana", "phoneNumber": USER, "userId": "HR.1"}});
    let shown = json!({"recipient": USER, "recipient_user_id": "HR.1", "sender_number": SENDER,
        "sent_at": "2026-03-02T10:00:00.120Z", "seen_at": "2026-03-02T10:05:11.000Z",
        "applicationId": "shop", "entityId": "shop-7", "contact": item["contact"]});
    let fact = shows(&results(&[item]), "message.read", &shown);
    assert_eq!(at(&fact).as_deref(), Some("2026-03-02T10:05:11.000Z"));
    let status = status_of(&fact);
    assert_eq!(status.recipient.as_deref(), Some(USER));
    assert!(
        status.number.is_unnamed(),
        "as of the delivery report of the same message"
    );
}

#[test]
fn the_messages_api_says_the_same_in_its_dialect() {
    let mut item = delivery((3, "DELIVERED"), 5, "DELIVERED_TO_HANDSET");
    let plain = decoded(&results(&[item.clone()]));
    item.as_object_mut().unwrap().remove("to");
    item["event"] = "DELIVERY".into();
    item["channel"] = "WHATSAPP".into();
    item["sender"] = SENDER.into();
    item["destination"] = USER.into();
    item["callbackData"] = "tenant=7".into();
    item["platform"] = json!({"entityId": "shop-7", "applicationId": "shop"});
    let dialect = decoded(&results(&[item]));
    let (plain, dialect) = (only(&plain), only(&dialect));
    assert_eq!(plain.said, dialect.said);
    assert_eq!((plain.at, &plain.key), (dialect.at, &dialect.key));
    assert_eq!(data(dialect)["callback_data"], "tenant=7");
    assert_eq!(data(dialect)["recipient"], USER);

    let seen = json!({"event": "SEEN", "channel": "WHATSAPP", "sender": SENDER, "destination": USER,
        "sentAt": "2026-03-02T10:00:00.120+0000", "seenAt": "2026-03-02T10:05:11.000+0000",
        "bulkId": "run", "messageId": "ord-1", "callbackData": "tenant=7", "platform": {}});
    let shown = json!({"recipient": USER, "sender_number": SENDER, "bulkId": "run",
        "sent_at": "2026-03-02T10:00:00.120Z", "seen_at": "2026-03-02T10:05:11.000Z",
        "callback_data": "tenant=7", "platform": {}});
    shows(&results(&[seen]), "message.read", &shown);
}

#[test]
fn a_text_message_that_went_instead_is_no_delivery_on_whatsapp() {
    let mut item = delivery((3, "DELIVERED"), 5, "DELIVERED_TO_HANDSET");
    item["event"] = "DELIVERY".into();
    item["channel"] = "SMS".into();
    let shown = json!({"field": "results.SMS", "value": item.clone()});
    shows(&results(&[item]), event::WEBHOOK_OTHER, &shown);
}
