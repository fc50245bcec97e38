//! Reads templates and numbers back from Meta. A webhook that opens or closes a template says what
//! happened, not what is; and any webhook can be missed. Pure: fields out, answers in.

pub(in crate::provider) mod templates;

use super::graph;
use super::health;
use crate::model::reading::{NumberReading, TemplateReading};
use crate::provider::lenient::Members;
use crate::provider::reading::{ReadError, TemplatePage, inside, named, page, unreadable, word};

/// What is asked of a number, beside its limit.
const NUMBER_FIELDS: &str = "id,display_phone_number,verified_name,name_status,quality_rating,\
                             status,throughput,health_status";

/// From this version on the limit is the business portfolio's, under another name. Graph refuses
/// fields that a version does not have.
const PORTFOLIO_LIMITS: u16 = 24;

/// What is asked of a number that is shown: what readings take, and whether it is verified.
pub(in crate::provider) fn sender_fields(api_version: &str) -> String {
    let limit = limit_field(api_version);
    format!("{NUMBER_FIELDS},code_verification_status,account_mode,{limit}")
}

/// What a version calls the limit.
fn limit_field(api_version: &str) -> &'static str {
    let version = api_version.trim_start_matches('v').split('.').next();
    let version: u16 = version.and_then(|text| text.parse().ok()).unwrap_or(0);
    match version >= PORTFOLIO_LIMITS {
        true => "whatsapp_business_manager_messaging_limit",
        false => "messaging_limit_tier",
    }
}

/// Reads a page of a list.
pub(in crate::provider) fn templates_page(body: &Members<'_>) -> Result<TemplatePage, ReadError> {
    let page = page(body, "data", template)?;
    let paging = inside(body, "paging");
    // A cursor stands behind the last page as well.
    let next = paging
        .get("next")
        .and_then(|_| named(&inside(&paging, "cursors"), "after"));
    // There is more, and it is not said where.
    let whole = page.whole && (paging.get("next").is_none() || next.is_some());
    Ok(TemplatePage {
        next,
        whole,
        ..page
    })
}

/// Reads a template.
pub(in crate::provider) fn template(members: &Members<'_>) -> Option<TemplateReading> {
    // An object since 2020; plain text in some copies.
    let quality = members
        .get("quality_score")
        .and_then(|raw| match Members::open(raw.get()) {
            Ok(score) => word(&score, "score"),
            Err(_) => word(members, "quality_score"),
        });
    Some(TemplateReading {
        provider_template_id: Some(named(members, "id")?),
        name: named(members, "name")?,
        language: named(members, "language")?.replace('-', "_"),
        status: word(members, "status")?,
        reason: word(members, "rejected_reason").filter(|reason| reason != "NONE"),
        pause_title: None,
        category: word(members, "category"),
        quality,
    })
}

/// Reads the answer to a request for a number.
pub(in crate::provider) fn number_answer(body: &Members<'_>) -> Result<NumberReading, ReadError> {
    named(body, "id").ok_or_else(|| unreadable("`id` is missing"))?;
    let limit = word(body, "whatsapp_business_manager_messaging_limit");
    let mut number = NumberReading {
        display_phone_number: named(body, "display_phone_number"),
        quality: word(body, "quality_rating"),
        limit: limit.or_else(|| word(body, "messaging_limit_tier")),
        throughput: word(&inside(body, "throughput"), "level"),
        name: named(body, "verified_name"),
        name_status: word(body, "name_status"),
        state: word(body, "status"),
        ..NumberReading::default()
    };
    health::read(&mut number, &health::of(body));
    Ok(number)
}

/// Graph's own error, if the answer is one.
pub(in crate::provider) fn refusal(body: &Members<'_>) -> Option<ReadError> {
    let error = graph::error(body)?;
    Some(ReadError::Refused {
        reason: error.to_string(),
        class: error.class,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error_class::ErrorClass;
    use crate::model::provider::Provider;
    use crate::provider::{reading, templates as wire};

    const META: Provider = Provider::Meta;

    #[test]
    fn a_versions_limit_is_asked_for_by_its_name() {
        for (version, limit) in [
            ("v25.0", "whatsapp_business_manager_messaging_limit"),
            ("v24.0", "whatsapp_business_manager_messaging_limit"),
            ("v23.0", "messaging_limit_tier"),
        ] {
            let fields = sender_fields(version);
            assert!(fields.ends_with(&format!(",{limit}")), "{fields}");
        }
    }

    #[test]
    fn one_template_and_a_list_are_read() {
        let one = br#"{"id":"7001","name":"order_ready","language":"en-US","status":"paused",
            "category":"UTILITY","quality_score":{"score":"RED","date":1763769600}}"#;
        let ready = TemplateReading {
            provider_template_id: Some("7001".into()),
            name: "order_ready".into(),
            language: "en_US".into(),
            status: "PAUSED".into(),
            reason: None,
            pause_title: None,
            category: Some("UTILITY".into()),
            quality: Some("RED".into()),
        };
        let read = |page: Result<TemplatePage, _>| page.unwrap().templates;
        assert_eq!(read(wire::one(META, one)), std::slice::from_ref(&ready));
        let list = br#"{"data":[{"id":7001,"name":"order_ready","language":"en_US",
            "status":"PAUSED","category":"UTILITY","quality_score":"RED"},{"id":"7002"},17],
            "paging":{"cursors":{}}}"#;
        assert_eq!(read(wire::listed(META, list)), [ready]);
        assert_eq!(read(wire::listed(META, br#"{"data":[]}"#)), []);
    }

    #[test]
    fn refusals_and_noise_are_told_apart() {
        let refused = br#"{"error":{"message":"Expired","code":190,"error_data":"session over"}}"#;
        let Some(ReadError::Refused { class, reason }) = reading::refusal(META, 200, refused)
        else {
            panic!("a Graph error is a refusal");
        };
        assert_eq!(class, ErrorClass::ConnectionStops);
        assert!(reason.contains("190: Expired"), "{reason}");
        for noise in [
            &b"<html>"[..],
            b"",
            b"\xff",
            b"{}",
            b"[]",
            br#"{"data":{}}"#,
        ] {
            assert_eq!(reading::refusal(META, 200, noise), None);
            let read = wire::listed(META, noise);
            assert!(matches!(read, Err(ReadError::Unreadable(_))), "{noise:?}");
        }
    }

    fn paged(json: &str) -> TemplatePage {
        templates_page(&Members::open(json).unwrap()).unwrap()
    }

    #[test]
    fn a_list_goes_on_where_there_is_a_next_page_and_is_whole_where_all_of_it_was_read() {
        let template = r#"{"id":"1","name":"n","language":"en","status":"REJECTED",
            "rejected_reason":"INVALID_FORMAT"}"#;
        let cursors = r#""cursors":{"before":"MAZDZD","after":"MjQZD"}"#;
        let last = paged(&format!(
            r#"{{"data":[{template}],"paging":{{{cursors}}}}}"#
        ));
        assert_eq!((last.whole, last.next), (true, None));
        assert_eq!(last.templates[0].reason.as_deref(), Some("INVALID_FORMAT"));
        let next = r#""next":"https://graph.facebook.com/v25.0/88/message_templates?after=MjQZD""#;
        let more = paged(&format!(
            r#"{{"data":[{template}],"paging":{{{cursors},{next}}}}}"#
        ));
        assert_eq!((more.whole, more.next.as_deref()), (true, Some("MjQZD")));
        let lost = paged(&format!(r#"{{"data":[],"paging":{{{next}}}}}"#));
        assert_eq!((lost.whole, lost.next), (false, None));
        let odd = paged(&format!(r#"{{"data":[{template},{{"id":"2"}}]}}"#));
        assert_eq!((odd.whole, odd.templates.len()), (false, 1));
    }

    #[test]
    fn a_number_is_read_with_its_health_and_its_account() {
        let body = r#"{"id":"106540352242922","display_phone_number":"+1 555-014-2217",
            "verified_name":"Shop 7","name_status":"APPROVED","quality_rating":"YELLOW",
            "status":"CONNECTED","throughput":{"level":"STANDARD"},
            "whatsapp_business_manager_messaging_limit":"TIER_2K",
            "health_status":{"can_send_message":"LIMITED","entities":[
              {"entity_type":"PHONE_NUMBER","id":"106540352242922","can_send_message":"AVAILABLE"},
              {"entity_type":"WABA","id":"102290129340398","can_send_message":"LIMITED",
               "additional_info":["The name is under review."]},
              {"entity_type":"BUSINESS","id":"2729063490586005","can_send_message":"AVAILABLE"}]}}"#;
        let read = number_answer(&Members::open(body).unwrap()).unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = NumberReading {
            display_phone_number: text("+1 555-014-2217"),
            waba_id: text("102290129340398"),
            quality: text("YELLOW"),
            limit: text("TIER_2K"),
            throughput: text("STANDARD"),
            name: text("Shop 7"),
            name_status: text("APPROVED"),
            state: text("CONNECTED"),
            health: text("LIMITED"),
            account_health: text("LIMITED"),
            errors: vec!["The name is under review.".into()],
        };
        assert_eq!(read, expected);
        let older = r#"{"id":1,"messaging_limit_tier":"TIER_1K"}"#;
        let older = number_answer(&Members::open(older).unwrap()).unwrap();
        assert_eq!(older.limit.as_deref(), Some("TIER_1K"));
        assert!(number_answer(&Members::default()).is_err());
    }
}
