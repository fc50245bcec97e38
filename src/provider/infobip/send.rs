//! Sending through Infobip: a message in Meta's vocabulary to one of its endpoints (`content/`
//! translates), its answer to an outcome. Pure; `send` posts.
//!
//! `messageId` is ours, and no two messages have the same: the same POST twice is one message, and
//! the second is refused as a duplicate, which says that the first was taken. A message that is
//! refused is answered with HTTP 200: the refusal is in its `status`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{content, manage};
use crate::model::error_class::{ErrorClass, classify, infobip};
use crate::model::fact::ProviderError;
use crate::provider::content::{Fault, Faults, Place};
use crate::provider::lenient::{self, KEY_BYTES, Members};
use crate::provider::reading::{ReadError, inside};
use crate::provider::{Answer, Outgoing, Request, Standing, meta};

/// `messageId` stands in every report.
pub const CORRELATES: bool = true;
/// By `messageId`.
pub const REPEATS_HARMLESSLY: bool = true;

/// `REJECTED_DUPLICATE_MESSAGE_ID`.
const DUPLICATE: i64 = 23;

/// The endpoint that takes several messages; all others take one.
const TEMPLATE: &str = "template";

/// A message's request, or why it cannot be sent.
pub fn request(message: &Outgoing<'_>) -> Result<Request, Vec<Fault>> {
    let faults = Faults::default();
    let translated = match message.kind {
        "raw" => raw(message.content),
        kind => {
            let place = Place::new(kind, Some(message.content), &faults);
            content::translate(kind, &place).map(|(endpoint, content)| {
                let mut body = Map::new();
                body.insert("content".into(), content);
                (endpoint.to_owned(), body)
            })
        }
    };
    let Some((endpoint, mut body)) = translated.filter(|_| faults.is_empty()) else {
        return Err(faults.into_vec());
    };
    for (name, value) in [
        ("from", message.from),
        ("to", message.to),
        ("messageId", message.id),
        ("callbackData", message.id),
    ] {
        body.insert(name.into(), value.into());
    }
    let body = Value::from(body);
    Ok(Request {
        path: format!("whatsapp/1/message/{endpoint}"),
        body: match endpoint == TEMPLATE {
            true => json!({"messages": [body]}),
            false => body,
        },
    })
}

/// What a caller wrote itself: the endpoint, and the fields of the message beside.
fn raw(raw: &Value) -> Option<(String, Map<String, Value>)> {
    let mut body = raw.as_object()?.clone();
    let endpoint = body.remove("endpoint")?.as_str()?.to_owned();
    Some((endpoint, body))
}

/// What of a message is ours to say.
const OURS: [(&str, &str); 4] = [
    ("from", "the sender's number"),
    ("to", "given with the message"),
    ("messageId", "the attempt's own id"),
    (
        "callbackData",
        "the attempt's own id: give `reference` instead",
    ),
];

/// Says what is wrong with a message that a caller wrote itself.
pub fn check_raw(raw: &Value, faults: &Faults) {
    let place = Place::new("raw", Some(raw), faults);
    for (name, why) in OURS {
        let member = place.member(name);
        if member.value().is_some() {
            member.expected(&format!("nothing here: it is {why}"));
        }
    }
    let endpoint = place.member("endpoint");
    let is_part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    if !endpoint
        .text()
        .is_none_or(|text| text.split('/').all(is_part))
    {
        endpoint.expected("what stands behind `/whatsapp/1/message/`, such as `template`");
    }
    let content = place.member("content");
    content.object();
    if raw["endpoint"] == TEMPLATE {
        content.member("templateName").key();
        content.member("language").key();
    }
}

/// The template that such a message uses.
pub fn template_of_raw(raw: &Value) -> Option<(String, String)> {
    let text = |name: &str| {
        raw["content"][name]
            .as_str()
            .filter(|text| !text.is_empty())
    };
    let (name, language) = (text("templateName")?, text("language")?.replace('-', "_"));
    (raw["endpoint"] == TEMPLATE).then(|| (name.to_owned(), language))
}

/// What an answer to a POST of [`request`] means.
pub(in crate::provider) fn answer(
    id: &str,
    status: u16,
    retry_after: Option<Duration>,
    body: &Members<'_>,
) -> Answer {
    if let Some(refused) = refusal(status, retry_after, body) {
        return refused;
    }
    let told = (200..300).contains(&status).then(|| of_message(body));
    told.flatten()
        .and_then(|message| told_of(id, retry_after, &message))
        .unwrap_or_else(|| meta::send::unexplained(status, retry_after))
}

/// The one message of the answer: templates are answered in an array.
fn of_message<'a>(body: &Members<'a>) -> Option<Members<'a>> {
    match body.get("messages") {
        Some(messages) => {
            let messages = lenient::elements(messages).ok()?;
            Members::open(messages.first()?.get()).ok()
        }
        None => Some(body.clone()),
    }
}

fn told_of(id: &str, retry_after: Option<Duration>, message: &Members<'_>) -> Option<Answer> {
    let status = Members::open(message.get("status")?.get()).ok()?;
    let integer = |name| status.get(name).and_then(lenient::integer);
    let text = |name| status.text(name).map(|text| text.into_owned());
    let named = message.text("messageId");
    let named = named.filter(|named| !named.is_empty() && named.len() <= KEY_BYTES);
    let accepted = || Answer::Accepted {
        provider_message_id: named.as_deref().unwrap_or(id).to_owned(),
        // It repeats what was given; how the number is spelt is in reports.
        wa_id: None,
        user_id: None,
        standing: Standing::Accepted,
    };
    match (integer("groupId")?, integer("id")) {
        (_, Some(DUPLICATE)) => Some(accepted()),
        (1 | 3, _) => Some(accepted()),
        (2 | 4 | 5, code) => {
            let code = code.and_then(infobip::status);
            Some(Answer::Refused {
                class: code.map_or(ErrorClass::FixRequest, classify),
                error: ProviderError {
                    code: code.unwrap_or(0),
                    title: text("name"),
                    details: text("description"),
                },
                retry_after,
            })
        }
        _ => None,
    }
}

/// A refusal of the request as a whole.
fn refusal(status: u16, retry_after: Option<Duration>, body: &Members<'_>) -> Option<Answer> {
    let Some(ReadError::Refused { class, reason }) = manage::refusal(body) else {
        return None;
    };
    let error = inside(&inside(body, "requestError"), "serviceException");
    let details = error
        .get("validationErrors")
        .map(|raw| raw.get().to_owned());
    Some(Answer::Refused {
        class,
        error: ProviderError {
            code: status.into(),
            title: Some(reason),
            details,
        },
        retry_after,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::error_class::Scope;
    use crate::model::provider::Provider;
    use crate::provider;

    fn answered(status: u16, body: &str) -> Answer {
        provider::answer(Provider::Infobip, "msg_7.1", status, None, body.as_bytes())
    }

    fn message(group: i64, id: i64) -> String {
        format!(
            r#"{{"to":"385","messageCount":1,"messageId":"msg_7.1","status":{{"groupId":{group},
            "groupName":"G","id":{id},"name":"NAME","description":"words"}}}}"#
        )
    }

    #[test]
    fn the_status_of_the_message_says_whether_it_was_taken() {
        for (group, id) in [(1, 7), (1, 26), (3, 5), (5, DUPLICATE)] {
            let alone = message(group, id);
            for body in [alone.clone(), format!(r#"{{"messages":[{alone}]}}"#)] {
                let Answer::Accepted {
                    provider_message_id,
                    ..
                } = answered(200, &body)
                else {
                    panic!("{body}");
                };
                assert_eq!(provider_message_id, "msg_7.1");
            }
        }
        for (id, class) in [
            (12, ErrorClass::SenderStops),
            (14, ErrorClass::NeverToRecipient),
            (21, ErrorClass::Retry),
            (4711, ErrorClass::FixRequest),
        ] {
            let Answer::Refused {
                error,
                class: found,
                ..
            } = answered(200, &message(5, id))
            else {
                panic!("{id}");
            };
            assert_eq!((infobip::shown(error.code), found), (id, class));
            assert_eq!(error.title.as_deref(), Some("NAME"));
        }
    }

    #[test]
    fn a_request_that_is_refused_as_a_whole_says_why() {
        let body = |name: &str| {
            format!(
                r#"{{"requestError":{{"serviceException":{{"messageId":"{name}","text":"no",
                "validationErrors":{{"content.text":["must not be blank"]}}}}}}}}"#
            )
        };
        for (status, name, class) in [
            (400, "BAD_REQUEST", ErrorClass::FixRequest),
            (401, "UNAUTHORIZED", ErrorClass::ConnectionStops),
            (429, "TOO_MANY_REQUESTS", ErrorClass::RateLimit(Scope::App)),
            (500, "GENERAL_ERROR", ErrorClass::Retry),
        ] {
            let Answer::Refused {
                error,
                class: found,
                ..
            } = answered(status, &body(name))
            else {
                panic!("{name}");
            };
            assert_eq!((error.code, found), (status.into(), class));
            assert!(error.details.unwrap().contains("must not be blank"));
        }
    }

    #[test]
    fn what_says_neither_is_unclear() {
        for (status, body) in [
            (200, ""),
            (200, "{}"),
            (200, r#"{"messageId":"msg_7.1"}"#),
            (200, r#"{"messages":[]}"#),
            (502, "<html>"),
            (408, ""),
        ] {
            let unclear = matches!(answered(status, body), Answer::Unclear { .. });
            assert!(unclear, "{status} {body}");
        }
    }

    #[test]
    fn what_is_ours_cannot_be_written_by_the_caller() {
        let faults = Faults::default();
        let raw = json!({"endpoint": "../1/events", "from": "1", "to": "2", "messageId": "3",
            "callbackData": "4", "content": 5});
        check_raw(&raw, &faults);
        let fields: Vec<_> = faults.into_vec().into_iter().map(|f| f.field).collect();
        let expected = [
            "from",
            "to",
            "messageId",
            "callbackData",
            "endpoint",
            "content",
        ]
        .map(|n| format!("raw.{n}"));
        assert_eq!(fields, expected);
        let template = json!({"endpoint": "template",
            "content": {"templateName": "n", "language": "en-GB"}});
        assert_eq!(
            template_of_raw(&template),
            Some(("n".into(), "en_GB".into()))
        );
        let text = json!({"endpoint": "text", "content": template["content"]});
        assert_eq!(template_of_raw(&text), None);
    }
}
