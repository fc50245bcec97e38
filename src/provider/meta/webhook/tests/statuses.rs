//! What becomes of elements of `statuses[]`.

use super::*;
use crate::model::fact::{ProviderError, Status};

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
        data(fact),
        json!({
            "recipient": "15550190044", "recipient_user_id": "US.7041", "recipient_parent_user_id": "US.ENT.9",
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
                data(fact)["errors"],
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
    assert_eq!(data(fact)["errors"], shown);
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
            assert_eq!(data(fact)["participant"], member);
            assert_eq!(data(fact)["pricing"], json!({"category": "group_service"}));
            assert_eq!(data(fact)["conversation"], json!({"id": "c1"}));
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
    let mut payment = status("wamid.A", "captured");
    payment["type"] = "payment".into();
    payment["payment"] = json!({"reference_id": "r1", "amount": {"value": 5, "offset": 100}});
    let mut novelty = status("wamid.A", "delivered");
    novelty["type"] = "novelty".into();
    let mut message = status("wamid.A", "sent");
    message["type"] = "message".into();
    let body = in_messages(json!({"statuses": [call, payment, novelty, message]}));
    let found = goldens(&body);
    let shown = json!({"call_id": "wacid.A", "status": "RINGING", "recipient": "15550190044"});
    assert_eq!(found[0], ("call.status".to_owned(), shown));
    let shown = json!({
        "provider_message_id": "wamid.A", "status": "captured", "recipient": "15550190044",
        "reference_id": "r1", "payment": {"amount": {"value": 5, "offset": 100}},
    });
    assert_eq!(found[1], ("payment.status".to_owned(), shown));
    let shown = json!({"field": "messages.statuses.novelty", "value": novelty});
    assert_eq!(found[2], ("webhook.other".to_owned(), shown));
    let decoded = decoded(&body);
    assert_eq!(seconds(&decoded.facts[0]), Some(1_763_769_612));
    assert_eq!(status_of(&decoded.facts[3]).status, Status::Sent);
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
