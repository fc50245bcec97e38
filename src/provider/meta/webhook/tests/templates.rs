//! Template events, in all the spellings of Meta's examples.

use serde_json::json;

use super::*;

pub(super) fn template_event() -> Value {
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
        data(fact),
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
        assert_eq!(data(fact)["disable_date"], shown);
        assert_eq!(data(fact).get("reason"), None);
    }
    let mut event = template_event();
    event["reason"] = "INCORRECT_CATEGORY".into();
    let decoded = decoded(&field("message_template_status_update", event));
    assert_eq!(data(only(&decoded))["reason"], "INCORRECT_CATEGORY");
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
        assert_eq!(data(fact)["previous"], "YELLOW");
        assert_eq!(data(fact)["new"], "RED");
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
