//! Sending over the Cloud API: a message to a request ([`request`]), an answer to an outcome
//! ([`answer`]). Pure; `send` posts.
//!
//! Meta has no idempotency key: the same POST twice is two messages. So an answer is
//! [`Answer::Refused`] only if it says that there is no message:
//!
//! * A Graph error object, whatever the HTTP status. This includes codes 1, 2 and 131000
//!   ("unknown", "overload", "something went wrong"): Graph itself answered, gave no id, and asks
//!   to try again. No report of a message that was delivered after one was found.
//! * A 4xx of something in between that does not speak Graph: the request did not get through.
//!   408 is left out: who gave up waiting does not know what became of the request.
//!
//! A 2xx without an id, and a 5xx without an error object (a proxy lost the answer), are
//! [`Answer::Unclear`].

use std::time::Duration;

use serde_json::{Map, Value};

use super::graph::{self, encoded};
use crate::model::error_class::{ErrorClass, Scope};
use crate::model::fact::ProviderError;
use crate::model::recipient;
use crate::provider::lenient::{self, KEY_BYTES, Members};
use crate::provider::{Answer, Outgoing, Request, Standing};

/// `biz_opaque_callback_data` comes back with statuses; Meta promises it for `sent`, `delivered`
/// and `read` and says nothing of `failed`.
pub const CORRELATES: bool = true;

/// A message's request. `api_version` is such as `v25.0`.
pub fn request(api_version: &str, message: &Outgoing<'_>) -> Request {
    Request {
        path: format!(
            "{api_version}/{}/{}",
            encoded(message.from),
            endpoint(message)
        ),
        body: body(message),
    }
}

/// Behind the number: marketing messages have an endpoint of their own.
pub(in crate::provider) fn endpoint(message: &Outgoing<'_>) -> &'static str {
    match message.marketing {
        Some(_) => "marketing_messages",
        None => "messages",
    }
}

/// Meta's envelope around the caller's object.
pub(in crate::provider) fn body(message: &Outgoing<'_>) -> Value {
    let mut body = addressed(message);
    body.insert("messaging_product".into(), "whatsapp".into());
    body.insert("biz_opaque_callback_data".into(), message.id.into());
    if let Some(Value::Object(marketing)) = message.marketing {
        body.extend(marketing.clone());
    }
    body.into()
}

/// The caller's object, and whom it goes to.
pub(in crate::provider) fn addressed(message: &Outgoing<'_>) -> Map<String, Value> {
    // What is ours comes after the caller's, so that nothing can stand in its place.
    let mut body = match (message.kind, message.content) {
        ("raw", Value::Object(raw)) => raw.clone(),
        (kind, content) => {
            let mut body = Map::new();
            body.insert(kind.into(), content.clone());
            body.insert("type".into(), kind.into());
            body
        }
    };
    let to_group = recipient::is_group(message.to);
    let recipient_type = if to_group { "group" } else { "individual" };
    body.insert("recipient_type".into(), recipient_type.into());
    let addressed_by = match recipient::is_user_id(message.to) {
        true => "recipient",
        false => "to",
    };
    body.insert(addressed_by.into(), message.to.into());
    body
}

/// What an answer to a POST of [`request`] means.
pub(in crate::provider) fn answer(
    status: u16,
    retry_after: Option<Duration>,
    body: &Members<'_>,
) -> Answer {
    if let Some(accepted) = accepted(status, body) {
        return accepted;
    }
    if let Some(refused) = graph::error(body) {
        return Answer::Refused {
            error: refused.error,
            class: refused.class,
            retry_after,
        };
    }
    unexplained(status, retry_after)
}

/// What an answer means that has neither a message's id nor an error that we can read.
pub(in crate::provider) fn unexplained(status: u16, retry_after: Option<Duration>) -> Answer {
    let reason = format!("HTTP {status} with neither a message id nor an error of the provider's");
    match status {
        408 => Answer::Unclear { reason },
        400..=499 => Answer::Refused {
            class: if status == 429 {
                ErrorClass::RateLimit(Scope::Sender)
            } else {
                ErrorClass::Retry
            },
            error: ProviderError {
                code: status.into(),
                title: Some(reason),
                details: None,
            },
            retry_after,
        },
        _ => Answer::Unclear { reason },
    }
}

/// The acceptance that an answer is, if it has a message's id.
pub(in crate::provider) fn accepted(status: u16, body: &Members<'_>) -> Option<Answer> {
    if !(200..300).contains(&status) {
        return None;
    }
    let message = first(body, "messages")?;
    let contact = first(body, "contacts").unwrap_or_default();
    let text = |members: &Members<'_>, name| members.text(name).map(|text| text.into_owned());
    Some(Answer::Accepted {
        provider_message_id: text(&message, "id").filter(|id| id.len() <= KEY_BYTES)?,
        wa_id: text(&contact, "wa_id").filter(|id| id.len() <= KEY_BYTES),
        user_id: text(&contact, "user_id").filter(|id| id.len() <= KEY_BYTES),
        standing: match message.text("message_status").as_deref() {
            // Answers to free-form messages were seen without it.
            None | Some("accepted") => Standing::Accepted,
            Some("held_for_quality_assessment") => Standing::Held,
            Some("paused") => Standing::Paused,
            Some(word) => Standing::Other(word.to_owned()),
        },
    })
}

fn first<'a>(body: &Members<'a>, list: &str) -> Option<Members<'a>> {
    let elements = lenient::elements(body.get(list)?).ok()?;
    Members::open(elements.first()?.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    use crate::model::provider::Provider;
    use crate::provider;

    fn answer(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Answer {
        provider::answer(Provider::Meta, "msg_7.1", status, retry_after, body)
    }

    #[test]
    fn no_content_can_replace_the_envelope() {
        let raw = json!({"type": "text", "to": "4478", "messaging_product": "sms",
            "recipient_type": "group", "biz_opaque_callback_data": "mine"});
        for (kind, content) in [("to", &json!("4478")), ("raw", &raw)] {
            let sent = request(
                "v25.0",
                &Outgoing {
                    from: "71/../9?x",
                    to: "4477",
                    kind,
                    content,
                    marketing: None,
                    id: "msg_7.1",
                },
            );
            assert_eq!(sent.body["to"], "4477");
            assert_eq!(sent.body["messaging_product"], "whatsapp");
            assert_eq!(sent.body["recipient_type"], "individual");
            assert_eq!(sent.body["biz_opaque_callback_data"], "msg_7.1");
            assert_eq!(sent.path, "v25.0/71%2F..%2F9%3Fx/messages");
        }
    }

    fn standing(message: &str) -> Option<Standing> {
        let body = format!(
            r#"{{"messaging_product":"whatsapp","contacts":[{{"input":"+44","wa_id":"44"}}],"messages":[{message}]}}"#
        );
        match answer(200, None, body.as_bytes()) {
            Answer::Accepted {
                provider_message_id,
                wa_id,
                standing,
                ..
            } => {
                assert_eq!(provider_message_id, "wamid.A");
                assert_eq!(wa_id.as_deref(), Some("44"));
                Some(standing)
            }
            _ => None,
        }
    }

    #[test]
    fn an_id_is_an_acceptance() {
        assert_eq!(standing(r#"{"id":"wamid.A"}"#), Some(Standing::Accepted));
        for (word, expected) in [
            ("accepted", Standing::Accepted),
            ("held_for_quality_assessment", Standing::Held),
            ("paused", Standing::Paused),
            ("queued", Standing::Other("queued".into())),
        ] {
            let message = format!(r#"{{"id":"wamid.A","message_status":"{word}"}}"#);
            assert_eq!(standing(&message), Some(expected));
        }
    }

    fn refusal(status: u16, body: &str) -> Option<(i64, ErrorClass)> {
        match answer(status, Some(Duration::from_secs(3)), body.as_bytes()) {
            Answer::Refused {
                error,
                class,
                retry_after,
            } => {
                assert_eq!(retry_after, Some(Duration::from_secs(3)));
                Some((error.code, class))
            }
            _ => None,
        }
    }

    #[test]
    fn a_graph_error_is_a_refusal_whatever_the_http_status() {
        for status in [200, 400, 401, 404, 429, 500, 502, 503] {
            let body = r#"{"error":{"message":"(#131056) Pair rate limit hit","type":"OAuthException",
                "code":131056,"error_data":{"messaging_product":"whatsapp","details":"Too many."}}}"#;
            let pair = ErrorClass::RateLimit(Scope::Pair);
            assert_eq!(refusal(status, body), Some((131_056, pair)));
        }
        for code in ["1", "2", "131000", "\"2\""] {
            let body = format!(r#"{{"error":{{"message":"later","code":{code}}}}}"#);
            assert_eq!(refusal(500, &body).map(|r| r.1), Some(ErrorClass::Retry));
        }
        let unlisted = r#"{"error":{"message":"new","code":987654,"is_transient":true}}"#;
        assert_eq!(refusal(500, unlisted), Some((987_654, ErrorClass::Retry)));
        let unlisted = r#"{"error":{"message":"new","code":987654,"is_transient":false}}"#;
        assert_eq!(
            refusal(400, unlisted),
            Some((987_654, ErrorClass::FixRequest))
        );
    }

    #[test]
    fn details_are_found_where_meta_puts_them() {
        for data in [r#"{"details":"why"}"#, r#""why""#] {
            let body = format!(r#"{{"error":{{"message":"m","code":100,"error_data":{data}}}}}"#);
            let Answer::Refused { error, .. } = answer(400, None, body.as_bytes()) else {
                panic!("a Graph error is a refusal");
            };
            assert_eq!(error.title.as_deref(), Some("m"));
            assert_eq!(error.details.as_deref(), Some("why"));
        }
    }

    #[test]
    fn what_may_have_been_accepted_is_unclear() {
        let long = format!(r#"{{"messages":[{{"id":"{}"}}]}}"#, "x".repeat(10_000));
        for (status, body) in [
            (200, ""),
            (200, "{}"),
            (200, "not json"),
            (200, r#"{"messages":[]}"#),
            (200, r#"{"messages":[{"id":""}]}"#),
            (200, &long),
            (500, ""),
            (502, "<html>Bad gateway</html>"),
            (503, "upstream connect error"),
            (504, r#"{"error":"timeout"}"#),
            (504, r#"{"error":{"message":"no code"}}"#),
            (408, ""),
            (302, ""),
        ] {
            let unclear = matches!(
                answer(status, None, body.as_bytes()),
                Answer::Unclear { .. }
            );
            assert!(unclear, "{status} {body:.40}");
        }
    }

    #[test]
    fn a_4xx_of_a_proxy_is_a_refusal_that_passes() {
        assert_eq!(refusal(403, "<html>"), Some((403, ErrorClass::Retry)));
        let slow = ErrorClass::RateLimit(Scope::Sender);
        assert_eq!(refusal(429, ""), Some((429, slow)));
    }
}
