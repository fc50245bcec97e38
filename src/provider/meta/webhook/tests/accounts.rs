//! What is said of accounts and numbers, and what of it is remembered.

use super::*;
use crate::model::fact::{About, Topic, Word};

fn words(body: &Value) -> Vec<Word> {
    news_of(only(&decoded(body))).words.clone()
}

fn account_update(value: Value) -> Value {
    field("account_update", value)
}

fn word(about: About, topic: Topic, word: &str) -> Word {
    Word {
        about,
        topic,
        stops: false,
        word: word.into(),
        until: None,
    }
}

fn account() -> About {
    About::Account(WABA.into())
}

fn number() -> About {
    About::Number("15550142217".into())
}

#[test]
fn a_restriction_that_mutes_stops_until_it_expires() {
    let until = |kind: &str, expiration: Value| {
        let infos = json!([
            {"restriction_type": "RESTRICTED_ADD_PHONE_NUMBER_ACTION", "expiration": 1},
            {"restriction_type": kind, "expiration": expiration},
        ]);
        let words = words(&account_update(
            json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": infos}),
        ));
        words.first().map(|word| {
            assert!(word.stops);
            assert_eq!(
                (word.about.clone(), word.topic),
                (account(), Topic::Restriction)
            );
            word.until.map(Timestamp::unix_timestamp)
        })
    };
    let mute = "RESTRICTED_BIZ_INITIATED_MESSAGING";
    // An integer in one library's recordings, a text in another's.
    assert_eq!(until(mute, json!(1_764_376_600)), Some(Some(1_764_376_600)));
    assert_eq!(until(mute, json!("1764376600")), Some(Some(1_764_376_600)));
    assert_eq!(until(mute, json!(null)), Some(None), "without an end");
    assert_eq!(
        until(
            "RESTRICTED_BUSINESS_INITIATED_CALLING",
            json!(1_764_376_600)
        ),
        None
    );
    assert_eq!(
        until("RESTRICTED_UTILITY_TEMPLATES", json!(1_764_376_600)),
        None
    );
}

#[test]
fn of_several_restrictions_that_mute_the_longest_counts() {
    let mute = |expiration: Value| json!({"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING", "expiration": expiration});
    let until = |infos: Value| {
        let value = json!({"event": "ACCOUNT_RESTRICTION", "restriction_info": infos});
        words(&account_update(value))[0]
            .until
            .map(Timestamp::unix_timestamp)
    };
    assert_eq!(
        until(json!([
            mute(json!(1_764_376_600)),
            mute(json!(1_764_376_900))
        ])),
        Some(1_764_376_900)
    );
    assert_eq!(
        until(json!([mute(json!(1_764_376_600)), mute(json!("for ever"))])),
        None
    );
}

#[test]
fn bans_stop_and_reinstatements_open() {
    for (state, stops) in [
        ("DISABLE", true),
        ("SCHEDULE_FOR_DISABLE", true),
        ("REINSTATE", false),
    ] {
        let info = json!({"waba_ban_state": state, "waba_ban_date": "November 29, 2025"});
        let body = account_update(json!({"event": "DISABLED_UPDATE", "ban_info": info}));
        assert_eq!(
            words(&body),
            [Word {
                stops,
                ..word(account(), Topic::Ban, state)
            }]
        );
        shows(
            &body,
            "account.update",
            &json!({"event": "DISABLED_UPDATE", "ban_info": info}),
        );
    }
    for odd in [
        json!({"waba_ban_state": "NOVELTY"}),
        json!("DISABLE"),
        json!(null),
    ] {
        let body = account_update(json!({"event": "DISABLED_UPDATE", "ban_info": odd}));
        assert_eq!(words(&body), []);
    }
}

#[test]
fn events_about_partners_name_the_account_themselves() {
    let value = json!({"event": "PARTNER_REMOVED",
        "waba_info": {"waba_id": 77, "owner_business_id": "9"},
        "disconnection_info": {"reason": "CHANGE_NUMBER", "initiated_by": "USER"}});
    let removed = Word {
        stops: true,
        ..word(
            About::Account("77".into()),
            Topic::Partner,
            "PARTNER_REMOVED",
        )
    };
    assert_eq!(words(&account_update(value.clone())), [removed]);
    shows(&account_update(value.clone()), "account.update", &value);
}

#[test]
fn every_documented_event_of_an_account_is_kept_whole() {
    for value in [
        json!({"event": "ACCOUNT_DELETED"}),
        json!({"event": "ACCOUNT_OFFBOARDED"}),
        json!({"event": "ACCOUNT_RECONNECTED"}),
        json!({"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM", "remediation": "appeal"}}),
        json!({"event": "PARTNER_ADDED", "waba_info": {"waba_id": "7"}}),
        json!({"event": "PARTNER_APP_INSTALLED", "waba_info": {"partner_app_id": "8"}}),
        json!({"event": "PARTNER_APP_UNINSTALLED", "waba_info": {"partner_app_id": "8"}}),
        json!({"event": "PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE",
            "partner_client_certification_info": {"client_business_id": "1", "status": "FAILED", "rejection_reasons": ["X"]}}),
        json!({"event": "PARTNER_CLIENT_CERTIFICATION_NEEDED",
            "partner_client_certification_needed_info": {"client_business_id": "1"}}),
        json!({"event": "AD_ACCOUNT_LINKED", "waba_info": {"ad_account_linked": "3"}}),
        json!({"event": "MM_LITE_TERMS_SIGNED", "waba_info": {"ad_account_id": "3"}}),
        json!({"event": "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE", "auth_international_rate_eligibility":
            {"start_time": 1, "exception_countries": [{"country_code": "IN", "start_time": 2}]}}),
        json!({"event": "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE", "country": "PT"}),
        json!({"event": "VOLUME_BASED_PRICING_TIER_UPDATE", "volume_tier_info":
            {"tier_update_time": 1, "pricing_category": "UTILITY", "tier": "0:1000", "effective_month": "2026-11", "region": "PT"}}),
        json!({"event": "VERIFIED_ACCOUNT", "phone_number": "15550142217"}),
        json!({"event": "NOVELTY", "anything": [1]}),
    ] {
        shows(&account_update(value.clone()), "account.update", &value);
    }
}

#[test]
fn alerts_have_one_shape_whichever_they_came_in() {
    let shown = json!({"entity_type": "BUSINESS", "entity_id": "590011223344556",
        "severity": "WARNING", "status": "ACTIVE", "type": "OBA_REJECTED", "description": "No."});
    let alert = json!({"alert_severity": "WARNING", "alert_status": "ACTIVE",
        "alert_type": "OBA_REJECTED", "alert_description": "No."});
    let nested = json!({"entity_type": "BUSINESS", "entity_id": 590_011_223_344_556_u64, "alert_info": alert});
    let mut flat = alert;
    flat["entity_type"] = "BUSINESS".into();
    flat["entity_id"] = "590011223344556".into();
    for value in [nested, flat] {
        shows(&field("account_alerts", value), "account.alert", &shown);
    }
}

#[test]
fn limits_are_tiers_or_numbers() {
    for (limit, said) in [
        (json!("TIER_10K"), "TIER_10K"),
        (json!(2000), "2000"),
        (json!("2000"), "2000"),
        (json!(-1), "TIER_UNLIMITED"),
    ] {
        let body = field(
            "business_capability_update",
            json!({"max_daily_conversations_per_business": limit, "max_phone_numbers_per_waba": "25"}),
        );
        assert_eq!(words(&body), [word(account(), Topic::Limit, said)]);
        let (r#type, data) = golden(&body);
        assert_eq!(
            (r#type.as_str(), &data["limit"]),
            ("account.capability", &json!(said))
        );
        assert_eq!(data["max_phone_numbers_per_waba"], 25);
    }
    let old = field(
        "business_capability_update",
        json!({"max_daily_conversation_per_phone": 250}),
    );
    assert_eq!(words(&old), [word(account(), Topic::Limit, "250")]);
}

#[test]
fn a_number_is_flagged_and_its_limit_is_set() {
    let quality = |value: Value| field("phone_number_quality_update", value);
    let flagged = quality(
        json!({"display_phone_number": "+1 555-014-2217", "event": "flagged",
        "current_limit": "TIER_1K", "old_limit": "TIER_10K"}),
    );
    assert_eq!(
        words(&flagged),
        [
            word(number(), Topic::Quality, "FLAGGED"),
            word(number(), Topic::Limit, "TIER_1K")
        ]
    );
    shows(
        &flagged,
        "sender.quality",
        &json!({"display_phone_number": "+1 555-014-2217", "event": "FLAGGED", "limit": "TIER_1K",
            "current_limit": "TIER_1K", "previous_limit": "TIER_10K"}),
    );
    let faster = quality(
        json!({"display_phone_number": "15550142217", "event": "THROUGHPUT_UPGRADE",
        "max_daily_conversations_per_business": "TIER_UNLIMITED"}),
    );
    assert_eq!(words(&faster), [], "here the tier means throughput");
    let nameless = quality(json!({"event": "ONBOARDING", "current_limit": "TIER_250"}));
    assert_eq!(words(&nameless), []);
}

#[test]
fn a_name_counts_once_it_is_approved() {
    let name = |decision: &str| {
        field(
            "phone_number_name_update",
            json!({"display_phone_number": 15_550_142_217_u64,
            "decision": decision, "requested_verified_name": "Example Depot",
            "rejection_reason": "NAME_NOT_CONSISTENT"}),
        )
    };
    assert_eq!(
        words(&name("REJECTED")),
        [word(number(), Topic::NameDecision, "REJECTED")]
    );
    assert_eq!(
        words(&name("APPROVED")),
        [
            word(number(), Topic::Name, "Example Depot"),
            word(number(), Topic::NameDecision, "APPROVED")
        ]
    );
    shows(
        &name("REJECTED"),
        "sender.name",
        &json!({"display_phone_number": "15550142217", "decision": "REJECTED", "name": "Example Depot",
            "reason": "NAME_NOT_CONSISTENT"}),
    );
}
