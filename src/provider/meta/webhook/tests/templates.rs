//! Template events, in all the spellings of Meta's examples.

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

#[test]
fn every_documented_event_is_kept_and_known() {
    for event in [
        "APPROVED",
        "ARCHIVED",
        "DELETED",
        "DISABLED",
        "FLAGGED",
        "IN_APPEAL",
        "LIMIT_EXCEEDED",
        "LOCKED",
        "PAUSED",
        "PENDING",
        "PENDING_DELETION",
        "REINSTATED",
        "REJECTED",
        "UNARCHIVED",
        "UNLOCKED",
    ] {
        let mut value = template_event();
        value["event"] = event.to_lowercase().into();
        let (r#type, data) = golden(&field("message_template_status_update", value));
        assert_eq!(
            (r#type.as_str(), &data["event"]),
            ("template.status", &json!(event))
        );
    }
}

#[test]
fn a_rejection_and_what_is_not_known_are_kept() {
    let mut value = template_event();
    value["rejection_info"] = json!({"reason": "r", "recommendation": "s"});
    value["other_info"]["novelty"] = 1.into();
    value["disable_info"] = json!({"disable_date": [1]});
    value["novelty"] = json!({"a": 1});
    let (_, data) = golden(&field("message_template_status_update", value));
    assert_eq!(
        data["rejection_info"],
        json!({"reason": "r", "recommendation": "s"})
    );
    assert_eq!(data["other_info"], json!({"novelty": 1}));
    assert_eq!(data["disable_info"], json!({"disable_date": [1]}));
    assert_eq!(data["novelty"], json!({"a": 1}));
}

fn template_value(mut value: Value) -> Value {
    value["message_template_id"] = 1_402_993_871_104_430_u64.into();
    value["message_template_name"] = "parcel_sent".into();
    value["message_template_language"] = "en-US".into();
    value
}

#[test]
fn a_category_is_announced_and_then_changed() {
    let named = |mut shown: Value| {
        shown["template_id"] = "1402993871104430".into();
        shown["name"] = "parcel_sent".into();
        shown["language"] = "en_US".into();
        shown
    };
    let current = |body: &Value| match &only(&decoded(body)).said {
        Said::TemplateCategory(said) => said.current.clone(),
        other => panic!("not a category: {other:?}"),
    };
    // Announced, Meta's new category is the old one.
    let announced = field(
        "template_category_update",
        template_value(json!({"new_category": "utility",
        "correct_category": "MARKETING", "category_update_timestamp": 1_763_857_800})),
    );
    shows(
        &announced,
        "template.category",
        &named(
            json!({"previous": "UTILITY", "new": "MARKETING", "changes_at": "2025-11-23T00:30:00Z"}),
        ),
    );
    assert_eq!(current(&announced).as_deref(), Some("UTILITY"));
    let done = field(
        "template_category_update",
        template_value(json!({"previous_category": "UTILITY", "new_category": "MARKETING"})),
    );
    shows(
        &done,
        "template.category",
        &named(json!({"previous": "UTILITY", "new": "MARKETING"})),
    );
    assert_eq!(current(&done).as_deref(), Some("MARKETING"));
}

#[test]
fn components_are_shown_under_short_names() {
    let value = template_value(json!({"message_template_title": "Parcel on its way",
        "message_template_element": "Hello {{1}}", "message_template_footer": "Depot",
        "message_template_buttons": [
            {"message_template_button_type": "URL", "message_template_button_text": "Track",
             "message_template_button_url": "https://example.org", "novelty": 1},
            "odd"]}));
    shows(
        &field("message_template_components_update", value),
        "template.components",
        &json!({"template_id": "1402993871104430", "name": "parcel_sent", "language": "en_US",
            "title": "Parcel on its way", "element": "Hello {{1}}", "footer": "Depot",
            "buttons": [{"type": "URL", "text": "Track", "url": "https://example.org", "novelty": 1}, "odd"]}),
    );
}

#[test]
fn a_detected_category_needs_no_name() {
    let value = json!({"category": "UTILITY", "correct_category": "MARKETING"});
    let body = field(
        "template_correct_category_detection",
        template_value(value.clone()),
    );
    let (r#type, data) = golden(&body);
    assert_eq!(r#type, "template.category_detected");
    assert_eq!(
        (&data["previous"], &data["new"]),
        (&json!("UTILITY"), &json!("MARKETING"))
    );
    assert!(matches!(&only(&decoded(&body)).said, Said::TemplateNews(_)));
    let mut nameless = value;
    nameless["message_template_id"] = 7.into();
    shows(
        &field("template_correct_category_detection", nameless),
        "template.category_detected",
        &json!({"template_id": "7", "previous": "UTILITY", "new": "MARKETING"}),
    );
}
