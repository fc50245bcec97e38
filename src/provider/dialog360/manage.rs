//! Reads templates and a number's health back from 360dialog. A key is a channel's: it leads to one
//! number and to the templates of its account. Quality and limits of a number are shown by the
//! partner API alone, which has other keys. Pure.

pub(in crate::provider) mod templates;

use crate::model::error_class::{ErrorClass, Scope};
use crate::model::reading::{NumberReading, TemplateReading};
use crate::provider::lenient::{self, Members};
use crate::provider::meta;
use crate::provider::meta::health;
use crate::provider::reading::{
    ReadError, TemplatePage, class_of, inside, named, page, unreadable, word,
};

/// Templates of one page. They come with all of their content.
const PAGE: usize = 100;

/// Reads a page. Offsets count templates, and `total` says how many there are; where it does not, a
/// full page is followed by another.
pub(in crate::provider) fn templates_page(body: &Members<'_>) -> Result<TemplatePage, ReadError> {
    let page = page(body, "waba_templates", template)?;
    let listed = body.get("waba_templates").map(lenient::elements);
    let listed = listed.and_then(Result::ok).unwrap_or_default().len();
    let count = |name| {
        let raw = body.get(name)?;
        usize::try_from(lenient::integer(raw)?).ok()
    };
    let end = count("offset").unwrap_or(0).saturating_add(listed);
    let more = count("total").map_or(listed >= PAGE, |total| end < total);
    Ok(TemplatePage {
        next: (more && listed > 0).then(|| end.to_string()),
        // There is more, and none of it came.
        whole: page.whole && (listed > 0 || !more),
        ..page
    })
}

/// Statuses are in lower case here and in upper case in webhooks; the id is 360dialog's own.
fn template(members: &Members<'_>) -> Option<TemplateReading> {
    Some(TemplateReading {
        provider_template_id: named(members, "external_id"),
        name: named(members, "name")?,
        language: named(members, "language")?.replace('-', "_"),
        status: word(members, "status")?,
        reason: word(members, "rejected_reason").filter(|reason| reason != "NONE"),
        pause_title: None,
        category: word(members, "category"),
        quality: None,
    })
}

/// Reads the health of the key's number. It says whose it is: a connection may have other senders,
/// which webhooks named.
pub(in crate::provider) fn number_answer(
    body: &Members<'_>,
    phone_number_id: &str,
) -> Result<Option<NumberReading>, ReadError> {
    if body.get("health_status").is_none() {
        return Err(unreadable("`health_status` is missing"));
    }
    let id = named(body, "id");
    let is_another = id.is_some_and(|id| !phone_number_id.is_empty() && id != phone_number_id);
    let mut number = NumberReading::default();
    health::read(&mut number, &health::of(body));
    Ok((!is_another).then_some(number))
}

/// 360dialog's own error, or one that it passes on from Meta. Too many requests are refused with
/// HTTP 400 and a text that says so.
pub(in crate::provider) fn refusal(body: &Members<'_>) -> Option<ReadError> {
    let own = inside(body, "meta");
    let status = own.get("http_code").and_then(lenient::integer);
    let status = status.and_then(|status| u16::try_from(status).ok());
    let Some(status) = status.filter(|status| !(200..300).contains(status)) else {
        return meta::manage::refusal(body);
    };
    let text = named(&own, "developer_message").unwrap_or_default();
    let class = match text.to_ascii_lowercase().contains("rate limit") {
        true => ErrorClass::RateLimit(Scope::App),
        false => class_of(status),
    };
    Some(ReadError::Refused {
        class,
        reason: format!("HTTP {status}: {text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> Members<'_> {
        Members::open(json).unwrap()
    }

    #[test]
    fn the_documented_list_is_read_and_goes_on_until_its_total() {
        let list = |offset: usize, total: usize| {
            format!(
                r#"{{"count": 1, "total": {total}, "limit": 1000, "offset": {offset},
                "filters": {{}}, "sort": ["business_templates.name"], "waba_templates": [{{
                "id": "GVsEkeI2PIiARwVXQEDVWT", "name": "order_ready", "language": "en_GB",
                "namespace": "092819ec_f801_461b_b975_3a2d464f50a8", "category": "UTILITY",
                "status": "approved", "rejected_reason": null,
                "components": [{{"type": "BODY", "text": "Hi {{{{1}}}}"}}],
                "partner_id": "9Mg0AiPA", "waba_account_id": "DWLgd6WA",
                "modified_at": "2026-03-02T13:39:27Z"}}]}}"#
            )
        };
        let only = templates_page(&body(&list(0, 1))).unwrap();
        let expected = TemplateReading {
            provider_template_id: None,
            name: "order_ready".into(),
            language: "en_GB".into(),
            status: "APPROVED".into(),
            reason: None,
            pause_title: None,
            category: Some("UTILITY".into()),
            quality: None,
        };
        assert_eq!(only.templates, [expected]);
        assert_eq!((only.whole, only.next), (true, None));
        let first = templates_page(&body(&list(7, 9))).unwrap();
        assert_eq!(first.next.as_deref(), Some("8"));
        let cut = templates_page(&body(r#"{"total": 5, "offset": 3, "waba_templates": []}"#));
        let cut = cut.unwrap();
        assert_eq!((cut.whole, cut.next), (false, None));
    }

    #[test]
    fn the_documented_health_is_of_the_number_that_it_names() {
        let documented = r#"{"health_status": {"can_send_message": "AVAILABLE", "entities": [
            {"entity_type": "PHONE_NUMBER", "id": "106540352242922", "can_send_message": "AVAILABLE",
             "can_receive_call_sip": "AVAILABLE"},
            {"entity_type": "WABA", "id": "102290129340398", "can_send_message": "LIMITED",
             "additional_info": ["..."]},
            {"entity_type": "BUSINESS", "id": "2729063490586005", "can_send_message": "AVAILABLE"},
            {"entity_type": "APP", "id": "670843887433847", "can_send_message": "AVAILABLE"}]},
            "id": "106540352242922"}"#;
        let documented = body(documented);
        for id in ["106540352242922", ""] {
            let read = number_answer(&documented, id).unwrap().unwrap();
            assert_eq!(read.health.as_deref(), Some("AVAILABLE"));
            assert_eq!(read.account_health.as_deref(), Some("LIMITED"));
            assert_eq!(read.waba_id.as_deref(), Some("102290129340398"));
        }
        assert_eq!(number_answer(&documented, "7").unwrap(), None);
        assert!(number_answer(&body("{}"), "").is_err());
    }

    #[test]
    fn refusals_are_told_by_what_they_say() {
        let class = |json: &str| match refusal(&body(json)) {
            Some(ReadError::Refused { class, .. }) => Some(class),
            _ => None,
        };
        let own = |code: u16, text: &str| {
            class(&format!(
                r#"{{"meta":{{"success":false,"http_code":{code},"developer_message":"{text}"}}}}"#
            ))
        };
        let too_many = "You have exceeded the endpoint rate limit.";
        assert_eq!(own(400, too_many), Some(ErrorClass::RateLimit(Scope::App)));
        assert_eq!(
            own(401, "Invalid api_key"),
            Some(ErrorClass::ConnectionStops)
        );
        assert_eq!(own(200, "done"), None);
        let passed_on = r#"{"error": {"message": "(#4) Too many calls", "code": 4}}"#;
        assert_eq!(class(passed_on), Some(ErrorClass::RateLimit(Scope::App)));
        assert_eq!(class(r#"{"waba_templates": []}"#), None);
    }
}
