//! Sending through Infobip: a message in Meta's vocabulary to one of its endpoints (`content/`
//! translates), its answer to an outcome. Pure; `send` posts.
//!
//! `messageId` is ours, and no two messages have the same: the same POST twice is one message, and
//! the second is refused as a duplicate, which says that the first was taken. A message that is
//! refused is answered with HTTP 200: the refusal is in its `status`.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{content, manage};
use crate::model::error_class::{ErrorClass, classify, infobip};
use crate::model::fact::ProviderError;
use crate::provider::content::{Fault, Faults, Place};
use crate::provider::lenient::{self, KEY_BYTES, Members};
use crate::provider::reading::{ReadError, inside};
use crate::provider::{Answer, Answers, Outgoing, Request, Standing, meta};

/// `messageId` stands in every report.
pub const CORRELATES: bool = true;
/// By `messageId`.
pub const REPEATS_HARMLESSLY: bool = true;

/// `REJECTED_DUPLICATE_MESSAGE_ID`.
const DUPLICATE: i64 = 23;

/// The endpoint that takes several messages; all others take one.
const TEMPLATE: &str = "template";

/// Where messages are sent: an endpoint a kind.
const MESSAGES: &str = "whatsapp/1/message/";

/// Messages in one request. Infobip names no limit; this many surely are no burden.
const MOST_JOINED: usize = 100;

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
        path: format!("{MESSAGES}{endpoint}"),
        body: match endpoint == TEMPLATE {
            true => json!({"messages": [body]}),
            false => body,
        },
    })
}

/// How many requests with this path go as one.
pub(in crate::provider) fn most_joined(path: &str) -> usize {
    match path.strip_prefix(MESSAGES) {
        Some(TEMPLATE) => MOST_JOINED,
        _ => 1,
    }
}

/// The body of one request for all messages of these.
pub(in crate::provider) fn join(bodies: impl Iterator<Item = Value>) -> Value {
    let messages = |mut body: Value| match body["messages"].take() {
        Value::Array(messages) => messages,
        _ => Vec::new(),
    };
    let messages: Vec<_> = bodies.flat_map(messages).collect();
    json!({"messages": messages})
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

/// What an answer to a POST of [`join`] means. Each message is found by its id; of one that is not
/// named nobody knows. Where the request as a whole was refused for what it said, that may be the
/// fault of one.
pub(in crate::provider) fn answers(
    ids: &[String],
    status: u16,
    retry_after: Option<Duration>,
    body: &Members<'_>,
) -> Answers {
    let each = |answer: Answer| Answers::Each(vec![answer; ids.len()]);
    match refusal(status, retry_after, body) {
        Some(Answer::Refused {
            class: ErrorClass::FixRequest,
            error,
            ..
        }) => {
            return Answers::Apart {
                reason: error.title.unwrap_or_default(),
            };
        }
        Some(refused) => return each(refused),
        None => {}
    }
    let unexplained = meta::send::unexplained(status, retry_after);
    if !(200..300).contains(&status) {
        return each(unexplained);
    }
    let mut told = HashMap::new();
    for message in messages(body) {
        if let Some(id) = message.text("messageId") {
            told.entry(id.into_owned()).or_insert(message);
        }
    }
    let of = |id: &String| {
        let answer = told.get(id).map(|told| told_of(id, retry_after, told));
        answer.flatten().unwrap_or_else(|| unexplained.clone())
    };
    Answers::Each(ids.iter().map(of).collect())
}

/// The one message of the answer: templates are answered in an array.
fn of_message<'a>(body: &Members<'a>) -> Option<Members<'a>> {
    match body.get("messages") {
        Some(_) => messages(body).into_iter().next(),
        None => Some(body.clone()),
    }
}

/// The array that templates are answered in. What is no message in it is left out.
fn messages<'a>(body: &Members<'a>) -> Vec<Members<'a>> {
    let messages = body.get("messages").map(lenient::elements);
    let messages = messages.and_then(Result::ok).unwrap_or_default();
    let messages = messages.into_iter();
    messages
        .filter_map(|raw| Members::open(raw.get()).ok())
        .collect()
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

    fn joined(status: u16, body: &str) -> Answers {
        let ids = ["msg_7.1", "msg_8.1", "msg_9.1"].map(str::to_owned);
        provider::answers(Provider::Infobip, &ids, status, None, body.as_bytes())
    }

    fn kinds(answers: Answers) -> Vec<&'static str> {
        let Answers::Each(answers) = answers else {
            panic!("{answers:?}");
        };
        let kind = |answer: &Answer| match answer {
            Answer::Accepted { .. } => "accepted",
            Answer::Refused { .. } => "refused",
            Answer::Unclear { .. } => "unclear",
        };
        answers.iter().map(kind).collect()
    }

    #[test]
    fn of_several_messages_each_is_told_of_by_its_id() {
        let other = |id: &str, group, code| message(group, code).replace("msg_7.1", id);
        let body = |messages: &[String]| format!(r#"{{"messages":[{}]}}"#, messages.join(","));
        let taken = message(1, 7);
        let all = [
            other("msg_9.1", 5, 12),
            taken.clone(),
            other("msg_8.1", 5, DUPLICATE),
        ];
        assert_eq!(
            kinds(joined(200, &body(&all))),
            ["accepted", "accepted", "refused"]
        );
        let missing = [taken.clone(), other("msg_4.1", 1, 7), "5".to_owned()];
        assert_eq!(
            kinds(joined(200, &body(&missing))),
            ["accepted", "unclear", "unclear"]
        );
        // The first word on a message counts, as with one that is alone.
        let twice = [taken, message(5, 12), other("msg_8.1", 9, 1)];
        assert_eq!(
            kinds(joined(200, &body(&twice))),
            ["accepted", "unclear", "unclear"]
        );
        for nothing in ["", "{}", r#"{"messages":{}}"#] {
            assert_eq!(kinds(joined(200, nothing)), ["unclear"; 3], "{nothing}");
        }
    }

    #[test]
    fn several_messages_are_refused_as_a_whole_each_or_to_be_asked_for_apart() {
        let body = |name: &str| {
            format!(r#"{{"requestError":{{"serviceException":{{"messageId":"{name}"}}}}}}"#)
        };
        for (status, name) in [
            (401, "UNAUTHORIZED"),
            (403, "FORBIDDEN"),
            (429, "TOO_MANY_REQUESTS"),
            (500, "GENERAL_ERROR"),
        ] {
            let answers = joined(status, &body(name));
            let Answers::Each(each) = &answers else {
                panic!("{name}");
            };
            let alone = answered(status, &body(name));
            assert!(each.iter().all(|answer| *answer == alone), "{each:?}");
            assert_eq!(each.len(), 3);
        }
        assert_eq!(kinds(joined(413, "too large")), ["refused"; 3]);
        assert_eq!(kinds(joined(502, "<html>")), ["unclear"; 3]);
        let reason = "BAD_REQUEST: ".to_owned();
        let bad = joined(400, &body("BAD_REQUEST"));
        assert_eq!(bad, Answers::Apart { reason });
    }

    #[test]
    fn templates_are_joined_and_nothing_else() {
        let most = |path: &str| provider::most_joined(Provider::Infobip, path);
        assert!(most("whatsapp/1/message/template") > 1);
        for other in ["whatsapp/1/message/text", "template", "v25.0/1/messages"] {
            assert_eq!(most(other), 1);
        }
        let path = "whatsapp/1/message/template".to_owned();
        let one = |id: &str| Request {
            path: path.clone(),
            body: json!({"messages": [{"messageId": id}]}),
        };
        let joined = provider::join(
            Provider::Infobip,
            path.clone(),
            vec![one("a.1"), one("b.1")],
        );
        let both = json!({"messages": [{"messageId": "a.1"}, {"messageId": "b.1"}]});
        assert_eq!((joined.path, joined.body), (path.clone(), both));
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
