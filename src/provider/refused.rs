//! A provider's refusal, whoever's: its own number or word, its own text, and what it means.

use std::collections::BTreeMap;

use super::lenient::{self, Members};
use super::reading::{self, ReadError, inside, named};
use crate::model::error_class::ErrorClass;
use crate::model::provider::Provider;

/// What an answer that is no success says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The provider's own number or word.
    pub code: Option<String>,
    /// The provider's own text.
    pub message: Option<String>,
    /// What it means.
    pub class: ErrorClass,
}

/// Graph's numbers for a name that is taken in that language, and for an object that is not there.
const TAKEN: &str = "100/2388024";
const NOT_THERE: [&str; 3] = ["803", "100/33", "100/2593002"];

impl Refused {
    /// Whether the provider says that there is one of this name already.
    pub fn is_taken(code: Option<&str>, message: Option<&str>) -> bool {
        let says = |part| message.is_some_and(|text| text.to_ascii_lowercase().contains(part));
        code == Some(TAKEN) || says("already exists")
    }

    /// Whether it says that there is no such thing.
    pub fn is_not_there(status: u16, code: Option<&str>) -> bool {
        status == 404 || code.is_some_and(|code| NOT_THERE.contains(&code))
    }
}

/// What an answer refuses, if it does.
pub fn read(provider: Provider, status: u16, body: &[u8]) -> Option<Refused> {
    let ReadError::Refused { class, reason } = reading::refusal(provider, status, body)? else {
        return None;
    };
    let text = String::from_utf8_lossy(body);
    let text = lenient::storable(&text);
    let body = Members::open(&text).unwrap_or_default();
    let (code, message) = match provider {
        Provider::Infobip => infobip(&body),
        Provider::Meta => graph(&body),
        Provider::Dialog360 | Provider::Dialog360Onprem => {
            let message = named(&inside(&body, "meta"), "developer_message");
            match message {
                Some(message) => (Some(status.to_string()), Some(message)),
                None => graph(&body),
            }
        }
    };
    Some(Refused {
        code,
        message: message.or(Some(reason)),
        class,
    })
}

/// `100`, or `100/2388024` where there is a subcode. What Graph says for users says more than its
/// message.
fn graph(body: &Members<'_>) -> (Option<String>, Option<String>) {
    let error = inside(body, "error");
    let number = |name| error.get(name).and_then(lenient::integer);
    let code = number("code").map(|code| match number("error_subcode") {
        Some(subcode) => format!("{code}/{subcode}"),
        None => code.to_string(),
    });
    let said = error
        .text("error_user_msg")
        .or_else(|| error.text("message"));
    (code, said.map(|text| text.into_owned()))
}

fn infobip(body: &Members<'_>) -> (Option<String>, Option<String>) {
    let error = inside(&inside(body, "requestError"), "serviceException");
    let word = named(&error, "messageId").or_else(|| named(body, "errorCode"));
    let text = error.text("text").or_else(|| body.text("description"));
    let text = text.map(|text| text.into_owned());
    // Its text alone says no more than "Bad request".
    let wrong = error.get("validationErrors").and_then(|raw| {
        let wrong: BTreeMap<String, Vec<String>> = serde_json::from_str(raw.get()).ok()?;
        let each = wrong
            .into_iter()
            .map(|(field, why)| format!("{field}: {}", why.join(", ")));
        Some(each.collect::<Vec<_>>().join("; "))
    });
    let said = match (text, wrong.filter(|wrong| !wrong.is_empty())) {
        (Some(text), Some(wrong)) => Some(format!("{text} ({wrong})")),
        (text, wrong) => text.or(wrong),
    };
    (word, said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_providers_own_words_are_kept() {
        let graph = br#"{"error":{"message":"Invalid parameter","code":100,"error_subcode":2388024,
            "error_user_msg":"There is already English content for this template."}}"#;
        let taken = read(Provider::Meta, 400, graph).unwrap();
        assert_eq!(taken.code.as_deref(), Some("100/2388024"));
        assert!(Refused::is_taken(taken.code.as_deref(), None));
        let own =
            br#"{"meta":{"success":false,"http_code":401,"developer_message":"Invalid api_key"}}"#;
        let own = read(Provider::Dialog360, 401, own).unwrap();
        assert_eq!(own.message.as_deref(), Some("Invalid api_key"));
        assert_eq!(own.class, ErrorClass::ConnectionStops);
        let infobip = br#"{"requestError":{"serviceException":{"messageId":"BAD_REQUEST","text":"Bad request",
            "validationErrors":{"name":["must not be blank"]}}}}"#;
        let infobip = read(Provider::Infobip, 400, infobip).unwrap();
        assert_eq!(infobip.code.as_deref(), Some("BAD_REQUEST"));
        let said = infobip.message.as_deref();
        assert_eq!(said, Some("Bad request (name: must not be blank)"));
        let proxy = read(Provider::Infobip, 502, b"<html>").unwrap();
        assert_eq!(proxy.message.as_deref(), Some("HTTP 502"));
        assert_eq!(read(Provider::Meta, 200, b"{}"), None);
    }
}
