//! Reads templates back from Meta. A webhook that opens or closes a template says what happened,
//! not what is; after one, `send` asks here. Pure: paths out, answers in.

use super::graph::{self, GraphError, encoded};
use crate::provider::lenient::{self, Members};

/// What is asked of a template. Graph returns little more than the id unless told.
const FIELDS: &str = "id,name,language,status,category,quality_score";

/// A name has one template a language, and WhatsApp has fewer languages than this.
const LANGUAGES: u16 = 200;

/// A template as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateState {
    /// Meta's numeric id, as text.
    pub provider_template_id: String,
    /// Unique on its WABA together with the language.
    pub name: String,
    /// Normalised: `en_US`.
    pub language: String,
    /// `APPROVED`, `PAUSED` …, in upper case.
    pub status: String,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    pub category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality: Option<String>,
}

/// Why an answer says nothing about templates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplatesError {
    /// Meta refused.
    #[error(transparent)]
    Refused(#[from] GraphError),
    /// Neither a template, nor a list of them, nor an error.
    #[error("the answer is no template: {0}")]
    Unreadable(String),
}

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

/// Reads the answer to either request. An element without id, name, language or status is left
/// out: the others are no less true.
pub fn templates_answer(body: &[u8]) -> Result<Vec<TemplateState>, TemplatesError> {
    let unreadable =
        |reason: String| TemplatesError::Unreadable(reason.chars().take(400).collect());
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    let text = lenient::storable(text);
    let body = Members::open(&text).map_err(|error| unreadable(error.to_string()))?;
    if let Some(error) = graph::error(&body) {
        return Err(error.into());
    }
    match body.get("data") {
        Some(list) => Ok(lenient::elements(list)
            .map_err(|error| unreadable(error.to_string()))?
            .into_iter()
            .filter_map(|raw| template(&Members::open(raw.get()).ok()?))
            .collect()),
        None => template(&body)
            .map(|template| vec![template])
            .ok_or_else(|| unreadable("id, name, language or status is missing".into())),
    }
}

fn template(members: &Members<'_>) -> Option<TemplateState> {
    let text = |name| members.text(name).map(|text| text.into_owned());
    // An object since 2020; plain text in some copies.
    let quality = members
        .get("quality_score")
        .and_then(|raw| match Members::open(raw.get()) {
            Ok(score) => score.text("score").map(|score| score.into_owned()),
            Err(_) => text("quality_score"),
        });
    Some(TemplateState {
        provider_template_id: text("id")?,
        name: text("name")?,
        language: text("language")?.replace('-', "_"),
        status: text("status")?.to_ascii_uppercase(),
        category: text("category"),
        quality,
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
            "v25.0/1402993871104426?fields=id,name,language,status,category,quality_score"
        );
        assert!(
            template_by_name_request("v25.0", "88", "a&limit=1/ü")
                .starts_with("v25.0/88/message_templates?name=a%26limit%3D1%2F%C3%BC&fields=")
        );
    }

    #[test]
    fn one_template_and_a_list_are_read() {
        let one = br#"{"id":"7001","name":"order_ready","language":"en-US","status":"paused",
            "category":"UTILITY","quality_score":{"score":"RED","date":1763769600}}"#;
        let ready = TemplateState {
            provider_template_id: "7001".into(),
            name: "order_ready".into(),
            language: "en_US".into(),
            status: "PAUSED".into(),
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
        let Err(TemplatesError::Refused(refused)) = templates_answer(refused) else {
            panic!("a Graph error is a refusal");
        };
        assert_eq!(refused.class, ErrorClass::ConnectionStops);
        assert_eq!(refused.error.details.as_deref(), Some("session over"));
        for noise in [
            &b"<html>"[..],
            b"",
            b"\xff",
            b"{}",
            b"[]",
            br#"{"data":{}}"#,
        ] {
            let read = templates_answer(noise);
            assert!(
                matches!(read, Err(TemplatesError::Unreadable(_))),
                "{noise:?}"
            );
        }
    }
}
