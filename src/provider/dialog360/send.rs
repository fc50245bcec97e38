//! Sending through 360dialog. In front of the Cloud API requests and answers are Meta's; in front
//! of the On-Premises API a template has its account's `namespace`, errors come in a list, and
//! nothing that we give comes back. 360dialog's own refusals have a body of their own (`meta`).
//! Pure; `send` posts.
//!
//! A 5xx of 360dialog's own is no refusal: it stands between, and may have passed the message on.

use std::time::Duration;

use serde_json::Value;

use super::manage;
use crate::model::error_class::{ErrorClass, classify};
use crate::model::fact::ProviderError;
use crate::provider::content::{Faults, Place};
use crate::provider::lenient::{self, Members};
use crate::provider::meta;
use crate::provider::reading::{ReadError, inside};
use crate::provider::{Answer, Outgoing, Request};

/// In front of the Cloud API `biz_opaque_callback_data` is Meta's.
pub const CORRELATES: bool = meta::send::CORRELATES;
/// An On-Premises status names the message by the API's own id alone.
pub const CORRELATES_ONPREM: bool = false;

/// A message's request to the Cloud API. The key leads to the number: the path names none.
pub fn request(message: &Outgoing<'_>) -> Request {
    Request {
        path: meta::send::endpoint(message).to_owned(),
        body: meta::send::body(message),
    }
}

/// The same to the On-Premises API, whose one policy for languages must be said.
pub fn request_onprem(message: &Outgoing<'_>) -> Request {
    let mut body = meta::send::addressed(message);
    let language = body.get_mut("template").and_then(|t| t.get_mut("language"));
    if let Some(Value::Object(language)) = language {
        language
            .entry("policy")
            .or_insert_with(|| "deterministic".into());
    }
    Request {
        path: "v1/messages".to_owned(),
        body: body.into(),
    }
}

/// Says what the On-Premises API needs beside what the Cloud API does.
pub fn check_onprem(message: &Outgoing<'_>, faults: &Faults) {
    let (kind, content) = (message.kind, message.content);
    if meta::content::template_of(kind, content).is_none() {
        return;
    }
    let template = match kind {
        "raw" => Place::new(kind, Some(content), faults).member("template"),
        _ => Place::new(kind, Some(content), faults),
    };
    let namespace = template.member("namespace");
    if namespace
        .value()
        .is_none_or(|value| value.as_str().is_none_or(str::is_empty))
    {
        namespace.not_supported(
            "missing: the On-Premises API needs the namespace of the account's templates",
        );
    }
}

/// What an answer to a POST of [`request`] means.
pub(in crate::provider) fn answer(
    status: u16,
    retry_after: Option<Duration>,
    body: &Members<'_>,
) -> Answer {
    own_refusal(retry_after, body).unwrap_or_else(|| meta::send::answer(status, retry_after, body))
}

/// What an answer to a POST of [`request_onprem`] means.
pub(in crate::provider) fn answer_onprem(
    status: u16,
    retry_after: Option<Duration>,
    body: &Members<'_>,
) -> Answer {
    meta::send::accepted(status, body)
        .or_else(|| listed_refusal(status, retry_after, body))
        .or_else(|| own_refusal(retry_after, body))
        .unwrap_or_else(|| meta::send::unexplained(status, retry_after))
}

/// The first of `errors[]`: what follows are its consequences.
///
/// Of what broke inside nobody knows how far the message had come, and a repeat would be a second
/// message.
fn listed_refusal(
    status: u16,
    retry_after: Option<Duration>,
    body: &Members<'_>,
) -> Option<Answer> {
    let errors = lenient::elements(body.get("errors")?).ok()?;
    let error = Members::open(errors.first()?.get()).ok()?;
    let code = error.get("code").and_then(lenient::integer)?;
    let text = |name| error.text(name).map(|text| text.into_owned());
    if status >= 500 {
        let reason = format!("HTTP {status} with the error {code}");
        return Some(Answer::Unclear { reason });
    }
    Some(Answer::Refused {
        class: classify(code),
        error: ProviderError {
            code,
            title: text("title"),
            details: text("details"),
        },
        retry_after,
    })
}

/// 360dialog's own refusal, by its texts where they say more than the HTTP status.
fn own_refusal(retry_after: Option<Duration>, body: &Members<'_>) -> Option<Answer> {
    let own = inside(body, "meta");
    let code = own.get("http_code").and_then(lenient::integer)?;
    let text = own.text("developer_message");
    let Some(ReadError::Refused { class, reason }) = manage::refusal(body) else {
        return None;
    };
    if code >= 500 {
        return Some(Answer::Unclear { reason });
    }
    let words = text.as_deref().unwrap_or_default().to_ascii_lowercase();
    let stops = words.contains("has been disabled") || words.contains("lack of payment");
    Some(Answer::Refused {
        class: if stops {
            ErrorClass::SenderStops
        } else {
            class
        },
        error: ProviderError {
            code,
            title: text.map(|text| text.into_owned()),
            details: None,
        },
        retry_after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error_class::Scope;
    use crate::model::provider::Provider;
    use crate::provider::{self, Standing};

    fn class(provider: Provider, status: u16, body: &str) -> Option<(i64, ErrorClass)> {
        match provider::answer(provider, "msg_7.1", status, None, body.as_bytes()) {
            Answer::Refused { error, class, .. } => Some((error.code, class)),
            Answer::Unclear { .. } => None,
            accepted => panic!("{accepted:?}"),
        }
    }

    fn own(code: u16, text: &str) -> String {
        format!(r#"{{"meta":{{"success":false,"http_code":{code},"developer_message":"{text}"}}}}"#)
    }

    #[test]
    fn its_own_refusals_are_told_by_what_they_say() {
        use ErrorClass::*;
        for provider in [Provider::Dialog360, Provider::Dialog360Onprem] {
            for (code, text, expected) in [
                (
                    400,
                    "You have exceeded the endpoint rate limit.",
                    Some(RateLimit(Scope::App)),
                ),
                (
                    400,
                    "Your WhatsApp for Business API has been disabled",
                    Some(SenderStops),
                ),
                (
                    400,
                    "Could not send message due to lack of payment",
                    Some(SenderStops),
                ),
                (401, "Invalid api_key", Some(ConnectionStops)),
                (403, "The endpoint is blocked", Some(ConnectionStops)),
                (500, "Internal server error", None),
                (502, "WhatsApp for Business API not available", None),
            ] {
                let found = class(provider, code, &own(code, text)).map(|(_, class)| class);
                assert_eq!(found, expected, "{text}");
            }
        }
    }

    #[test]
    fn metas_refusals_are_passed_on() {
        let body = r#"{"error":{"message":"(#130429) Rate limit hit","code":130429}}"#;
        let slow = Some((130_429, ErrorClass::RateLimit(Scope::Sender)));
        assert_eq!(class(Provider::Dialog360, 400, body), slow);
    }

    #[test]
    fn the_on_premises_api_lists_its_errors_and_names_its_version_beside_an_id() {
        let onprem = Provider::Dialog360Onprem;
        let meta = r#""meta":{"api_status":"stable","version":"2.53.3"}"#;
        let error = format!(r#"{{"errors":[{{"code":1013,"title":"User is not valid"}}],{meta}}}"#);
        let expected = Some((1013, ErrorClass::NeverToRecipient));
        assert_eq!(class(onprem, 400, &error), expected);
        assert_eq!(class(onprem, 503, "<html>"), None);
        // What broke inside may have gone out all the same.
        let broke = r#"{"errors":[{"code":1014,"title":"Internal error"}]}"#;
        assert_eq!(class(onprem, 500, broke), None);
        let taken = format!(
            r#"{{"contacts":[{{"input":"385","wa_id":"385"}}],"messages":[{{"id":"gBEG"}}],{meta}}}"#
        );
        let answer = provider::answer(onprem, "msg_7.1", 201, None, taken.as_bytes());
        let Answer::Accepted {
            provider_message_id,
            wa_id,
            standing,
            ..
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert_eq!(
            (provider_message_id.as_str(), wa_id.as_deref()),
            ("gBEG", Some("385"))
        );
        assert_eq!(standing, Standing::Accepted);
    }
}
