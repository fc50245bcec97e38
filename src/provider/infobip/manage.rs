//! Reads templates and numbers back from Infobip. Templates are listed by a number, and are those
//! of its account; webhooks name neither. Pure.

mod structure;
pub(in crate::provider) mod templates;

use super::scale;
use crate::model::error_class::{ErrorClass, Scope};
use crate::model::reading::{NumberReading, TemplateReading};
use crate::provider::lenient::{self, Members};
use crate::provider::reading::{ReadError, TemplatePage, inside, named, page, unreadable, word};

/// Reads the list.
pub(in crate::provider) fn templates_page(body: &Members<'_>) -> Result<TemplatePage, ReadError> {
    page(body, "templates", template)
}

/// Reads a template.
pub(in crate::provider) fn template(members: &Members<'_>) -> Option<TemplateReading> {
    let (status, pause_title) = scale::status(word(members, "status")?);
    Some(TemplateReading {
        provider_template_id: named(members, "id"),
        name: named(members, "name")?,
        language: named(members, "language")?.replace('-', "_"),
        status,
        // Webhooks alone have it.
        reason: None,
        pause_title,
        category: word(members, "category"),
        quality: word(members, "quality").map(scale::score),
    })
}

/// Reads a number out of those that were asked for.
pub(in crate::provider) fn number_answer(
    body: &Members<'_>,
    digits: &str,
) -> Result<Option<NumberReading>, ReadError> {
    let results = body.get("results");
    let results = results.ok_or_else(|| unreadable("`results` is missing"))?;
    let results = lenient::elements(results).map_err(|error| unreadable(&error.to_string()))?;
    let mut numbers = results
        .into_iter()
        .filter_map(|raw| Members::open(raw.get()).ok());
    let found = numbers.find(|number| named(number, "sender").as_deref() == Some(digits));
    Ok(found.map(|number| NumberReading {
        quality: word(&number, "qualityRating").map(scale::score),
        limit: word(&number, "currentLimit").map(scale::limit),
        state: word(&number, "status"),
        ..NumberReading::default()
    }))
}

/// Infobip's error, if the answer is one. What it asks of us is in the HTTP status, but for the
/// names that say it too.
pub(in crate::provider) fn refusal(body: &Members<'_>) -> Option<ReadError> {
    let error = inside(&inside(body, "requestError"), "serviceException");
    let name = named(&error, "messageId")?;
    let text = named(&error, "text").unwrap_or_default();
    Some(ReadError::Refused {
        class: match name.as_str() {
            "UNAUTHORIZED" | "FORBIDDEN" => ErrorClass::ConnectionStops,
            "TOO_MANY_REQUESTS" => ErrorClass::RateLimit(Scope::App),
            "BAD_REQUEST" | "NOT_FOUND" => ErrorClass::FixRequest,
            _ => ErrorClass::Retry,
        },
        reason: format!("{name}: {text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> Members<'_> {
        Members::open(json).unwrap()
    }

    #[test]
    fn the_documented_template_is_read_in_metas_words() {
        let list = |status: &str| {
            format!(
                r#"{{"templates": [{{
                "id": "734512", "businessAccountId": 40211, "name": "order_ready",
                "language": "en_GB", "status": "{status}", "category": "UTILITY",
                "quality": "HIGH", "structure": {{"header": {{"format": "IMAGE"}},
                "body": {{"text": "Hi {{{{1}}}}", "examples": ["Ana"]}}, "type": "MEDIA"}},
                "platform": {{"entityId": "shop-7", "applicationId": "shop"}},
                "createdAt": "2026-01-05T08:00:00.000+0000"}}]}}"#
            )
        };
        let read = |status| templates_page(&body(&list(status))).unwrap();
        let page = read("APPROVED");
        let expected = TemplateReading {
            provider_template_id: Some("734512".into()),
            name: "order_ready".into(),
            language: "en_GB".into(),
            status: "APPROVED".into(),
            reason: None,
            pause_title: None,
            category: Some("UTILITY".into()),
            quality: Some("GREEN".into()),
        };
        assert_eq!(page.templates, [expected]);
        assert_eq!((page.whole, page.next), (true, None));
        let paused = &read("SECOND_PAUSED").templates[0];
        assert_eq!(paused.status, "PAUSED");
        assert_eq!(paused.pause_title.as_deref(), Some("SECOND_PAUSE"));
        assert!(templates_page(&body("{}")).is_err());
    }

    #[test]
    fn the_documented_quality_is_read_in_metas_words() {
        let documented = r#"{"results": [{"sender": "441200000001", "qualityRating": "HIGH",
            "status": "CONNECTED", "currentLimit": "LIMIT_10K",
            "lastUpdated": "2026-02-18T08:12:26.422Z"}]}"#;
        let documented = body(documented);
        let read = number_answer(&documented, "441200000001").unwrap().unwrap();
        assert_eq!(read.quality.as_deref(), Some("GREEN"));
        assert_eq!(read.limit.as_deref(), Some("TIER_10K"));
        assert_eq!(read.state.as_deref(), Some("CONNECTED"));
        assert_eq!(number_answer(&documented, "7").unwrap(), None);
        for (theirs, ours) in [
            ("LIMIT_NA", "LIMIT_NA"),
            ("UNLIMITED", "TIER_UNLIMITED"),
            ("LIMIT_250", "TIER_250"),
        ] {
            assert_eq!(scale::limit(theirs.into()), ours);
        }
    }

    #[test]
    fn the_documented_error_is_a_refusal() {
        let error = |name: &str| {
            format!(
                r#"{{"requestError": {{"serviceException": {{"messageId": "{name}",
                "text": "Bad request"}}}}}}"#
            )
        };
        let class = |name: &str| match refusal(&body(&error(name))) {
            Some(ReadError::Refused { class, .. }) => class,
            other => panic!("{other:?}"),
        };
        assert_eq!(class("BAD_REQUEST"), ErrorClass::FixRequest);
        assert_eq!(class("UNAUTHORIZED"), ErrorClass::ConnectionStops);
        assert_eq!(refusal(&body(r#"{"templates": []}"#)), None);
    }
}
