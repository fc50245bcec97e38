//! Reads templates and numbers back from Meta. A webhook that opens or closes a template says what
//! happened, not what is; and any webhook can be missed. Pure: paths out, answers in.

pub(in crate::provider) mod templates;

use super::graph::{self, encoded};
use super::health;
use crate::model::reading::{NumberReading, TemplateReading};
use crate::provider::lenient::{self, Members};
use crate::provider::reading::{ReadError, TemplatePage, inside, named, page, unreadable, word};

/// What is asked of a template. Graph returns little more than the id unless told.
const FIELDS: &str = "id,name,language,status,category,quality_score,rejected_reason";

/// A name has one template a language, and WhatsApp has fewer languages than this.
const LANGUAGES: u16 = 200;

/// Templates of one page.
const PAGE: u16 = 100;

/// What is asked of a number, beside its limit.
const NUMBER_FIELDS: &str = "id,display_phone_number,verified_name,name_status,quality_rating,\
                             status,throughput,health_status";

/// From this version on the limit is the business portfolio's, under another name. Graph refuses
/// fields that a version does not have.
const PORTFOLIO_LIMITS: u16 = 24;

/// The path to GET for one template, by Meta's id.
pub fn template_by_id_request(api_version: &str, id: &str) -> String {
    format!("{api_version}/{}?fields={FIELDS}", encoded(id))
}

/// The path to GET for all languages of a name. Meta also returns other names that contain it.
pub fn template_by_name_request(api_version: &str, waba_id: &str, name: &str) -> String {
    format!(
        "{api_version}/{}/message_templates?name={}&fields={FIELDS}&limit={LANGUAGES}",
        encoded(waba_id),
        encoded(name)
    )
}

/// The path to GET for a page of all templates of an account.
pub fn templates_request(api_version: &str, waba_id: &str, after: Option<&str>) -> String {
    let mut path = format!(
        "{api_version}/{}/message_templates?fields={FIELDS}&limit={PAGE}",
        encoded(waba_id)
    );
    if let Some(after) = after {
        path.push_str("&after=");
        path.push_str(&encoded(after));
    }
    path
}

/// The path to GET for a number.
pub fn number_request(api_version: &str, phone_number_id: &str) -> String {
    format!(
        "{api_version}/{}?fields={NUMBER_FIELDS},{}",
        encoded(phone_number_id),
        limit_field(api_version)
    )
}

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

/// Reads the answer to a request for one template, or for those of a name.
pub fn templates_answer(body: &[u8]) -> Result<Vec<TemplateReading>, ReadError> {
    let text = std::str::from_utf8(body).map_err(|error| unreadable(&error.to_string()))?;
    let text = lenient::storable(text);
    let body = Members::open(&text).map_err(|error| unreadable(&error.to_string()))?;
    if let Some(refused) = refusal(&body) {
        return Err(refused);
    }
    if body.get("data").is_some() {
        return templates_page(&body).map(|page| page.templates);
    }
    let one = template(&body);
    let one = one.ok_or_else(|| unreadable("id, name, language or status is missing"));
    one.map(|template| vec![template])
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

    #[test]
    fn paths_keep_their_parts_apart() {
        assert_eq!(
            template_by_id_request("v25.0", "1402993871104426"),
            "v25.0/1402993871104426?fields=id,name,language,status,category,quality_score,\
             rejected_reason"
        );
        assert!(
            template_by_name_request("v25.0", "88", "a&limit=1/ü")
                .starts_with("v25.0/88/message_templates?name=a%26limit%3D1%2F%C3%BC&fields=")
        );
        let page = templates_request("v25.0", "88", Some("MjQZD=="));
        assert!(page.starts_with("v25.0/88/message_templates?fields=id,"));
        assert!(page.ends_with("&limit=100&after=MjQZD%3D%3D"), "{page}");
        for (version, limit) in [
            ("v25.0", "whatsapp_business_manager_messaging_limit"),
            ("v24.0", "whatsapp_business_manager_messaging_limit"),
            ("v23.0", "messaging_limit_tier"),
        ] {
            let path = number_request(version, "310022446688199");
            assert!(path.ends_with(&format!(",{limit}")), "{path}");
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
        assert_eq!(templates_answer(one), Ok(vec![ready.clone()]));
        let list = br#"{"data":[{"id":7001,"name":"order_ready","language":"en_US",
            "status":"PAUSED","category":"UTILITY","quality_score":"RED"},{"id":"7002"},17],
            "paging":{"cursors":{}}}"#;
        assert_eq!(templates_answer(list), Ok(vec![ready]));
        assert_eq!(templates_answer(br#"{"data":[]}"#), Ok(vec![]));
    }

    #[test]
    fn refusals_and_noise_are_told_apart() {
        let refused = br#"{"error":{"message":"Expired","code":190,"error_data":"session over"}}"#;
        let Err(ReadError::Refused { class, reason }) = templates_answer(refused) else {
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
            let read = templates_answer(noise);
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
