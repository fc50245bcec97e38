//! Infobip's WhatsApp API: requests by kind of message (`request`), of templates several in one;
//! answers with a status for each message; reports of deliveries and of what was seen, in two
//! dialects (`report`). Its numbers for what goes wrong are its own.

mod report;
mod request;

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::receive::Taken;
use super::super::template::Template;
use super::super::trouble::Trouble;

pub use report::body;
pub use request::wishes;

/// How long a caller is asked to wait after 429, in seconds.
const RETRY_AFTER: &str = "1";

/// The answer: of templates with all messages of the request in an array, else one object.
pub fn answer(bulk: Option<&Value>, taken: &[Taken]) -> Value {
    let mut messages = taken.iter().map(|taken| {
        let status = match &taken.rejected {
            None => status(Standing::Pending),
            Some(_) => status(Standing::Duplicate),
        };
        json!({"to": taken.message.user.input, "messageCount": 1,
            "messageId": taken.message.wamid, "status": status})
    });
    let Some(request) = bulk else {
        return messages.next().unwrap_or(Value::Null);
    };
    let mut answer = json!({"messages": messages.collect::<Vec<_>>()});
    if let Some(bulk_id) = taken.first().and_then(|t| t.message.given.bulk_id.as_ref()) {
        answer["bulkId"] = bulk_id.as_str().into();
    } else if request["messages"].as_array().is_some_and(|m| m.len() > 1) {
        answer["bulkId"] = taken[0].message.wamid.as_str().into();
    }
    answer
}

/// Where a message stands.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Pending,
    ToOperator,
    ToHandset,
    Undeliverable,
    Expired,
    Rejected,
    Duplicate,
}

/// As in answers and reports.
fn status(standing: Standing) -> Value {
    let (group, group_name, id, name, description) = match standing {
        Standing::Pending => (
            1,
            "PENDING",
            7,
            "PENDING_ENROUTE",
            "Message sent to next instance",
        ),
        Standing::ToOperator => {
            let description = "Message delivered to operator";
            (3, "DELIVERED", 2, "DELIVERED_TO_OPERATOR", description)
        }
        Standing::ToHandset => {
            let description = "Message delivered to handset";
            (3, "DELIVERED", 5, "DELIVERED_TO_HANDSET", description)
        }
        Standing::Undeliverable => {
            let description = "Message sent not delivered";
            (
                2,
                "UNDELIVERABLE",
                9,
                "UNDELIVERABLE_NOT_DELIVERED",
                description,
            )
        }
        Standing::Expired => (4, "EXPIRED", 15, "EXPIRED_EXPIRED", "Message expired"),
        Standing::Rejected => (5, "REJECTED", 6, "REJECTED_NETWORK", "Network is forbidden"),
        Standing::Duplicate => {
            let description = "Message id is used already";
            (
                5,
                "REJECTED",
                23,
                "REJECTED_DUPLICATE_MESSAGE_ID",
                description,
            )
        }
    };
    json!({"groupId": group, "groupName": group_name, "id": id, "name": name,
        "description": description})
}

/// Why a message failed, as a report's `error`.
pub fn failure(trouble: &Trouble) -> Value {
    let (id, name, description, permanent) = match trouble {
        Trouble::TemplatePaused | Trouble::TemplateDisabled | Trouble::TemplateUnknown { .. } => {
            (7009, "EC_INVALID_TEMPLATE", "Invalid template", true)
        }
        Trouble::RateLimited | Trouble::TooFast | Trouble::TooFastForUser => {
            (7017, "EC_TOO_MANY_REQUESTS", "Too many requests", false)
        }
        Trouble::Undeliverable => (7002, "EC_UNKNOWN_USER", "Unknown user", true),
        Trouble::EnoughMarketing => (7032, "EC_FREQUENCY_CAPPING", "Frequency capping", true),
        _ => (
            7050,
            "EC_PROVIDER_INTERNAL_ERROR",
            "Provider internal error",
            false,
        ),
    };
    json!({"groupId": 1, "groupName": "Client errors", "id": id, "name": name,
        "description": description, "permanent": permanent})
}

/// Answers have no number but HTTP's; what an answer does not say has the report's.
pub fn code(trouble: &Trouble) -> i64 {
    match trouble {
        Trouble::DuplicateId => 23,
        trouble => match refusal(trouble) {
            Some((http, ..)) => http.as_u16().into(),
            None => failure(trouble)["id"].as_i64().unwrap_or_default(),
        },
    }
}

fn refusal(trouble: &Trouble) -> Option<(StatusCode, &'static str, &'static str)> {
    let no = |http, name, text| Some((http, name, text));
    match trouble {
        Trouble::BadKey => no(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Unauthorized"),
        Trouble::Invalid { .. }
        | Trouble::Missing { .. }
        | Trouble::Template { .. }
        | Trouble::Number { .. }
        | Trouble::Sequence { .. }
        | Trouble::Flow { .. } => no(StatusCode::BAD_REQUEST, "BAD_REQUEST", "Bad request"),
        Trouble::UnknownObject(_) => no(StatusCode::NOT_FOUND, "NOT_FOUND", "Not found"),
        Trouble::RateLimited | Trouble::TooFast | Trouble::TooFastForUser => {
            let http = StatusCode::TOO_MANY_REQUESTS;
            no(http, "TOO_MANY_REQUESTS", "Too many requests")
        }
        Trouble::SomethingWentWrong => {
            let text = "Something went wrong. Please contact support.";
            no(StatusCode::INTERNAL_SERVER_ERROR, "GENERAL_ERROR", text)
        }
        Trouble::Unavailable => {
            let http = StatusCode::SERVICE_UNAVAILABLE;
            no(http, "SERVICE_UNAVAILABLE", "Service unavailable")
        }
        _ => None,
    }
}

/// An answer that says no, for the whole request.
pub fn refuse(trouble: &Trouble) -> Response {
    let general = (StatusCode::INTERNAL_SERVER_ERROR, "GENERAL_ERROR", "");
    let (http, name, text) = refusal(trouble).unwrap_or(general);
    let mut exception = json!({"messageId": name, "text": text});
    if let Trouble::Invalid { field, message } | Trouble::Missing { field, message } = trouble {
        exception["validationErrors"] = json!({field: [message]});
    }
    if let Trouble::Template { message, .. } | Trouble::Flow { message, .. } = trouble {
        exception["validationErrors"] = json!({"template": [message]});
    }
    if let Trouble::Number { message, .. } = trouble {
        exception["validationErrors"] = json!({"sender": [message]});
    }
    let body = Json(json!({"requestError": {"serviceException": exception}}));
    let mut response = (http, body).into_response();
    if http == StatusCode::TOO_MANY_REQUESTS {
        let wait = header::HeaderValue::from_static(RETRY_AFTER);
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

/// An id for a message that was given none.
pub fn id(salt: u64, number: u64) -> String {
    let (high, low) = (salt >> 32, salt & 0xffff_ffff);
    format!(
        "{high:08x}-{:04x}-{:04x}-{number:020x}",
        low >> 16,
        low & 0xffff
    )
}

/// Quality in Infobip's words.
fn quality(score: &str) -> &'static str {
    match score {
        "GREEN" => "HIGH",
        "YELLOW" => "MEDIUM",
        "RED" => "LOW",
        _ => "UNKNOWN",
    }
}

/// A status in Infobip's words: it counts the pauses.
fn template_status<'a>(status: &'a str, pause: &str) -> &'a str {
    match (status, pause) {
        ("PAUSED", "SECOND_PAUSE") => "SECOND_PAUSED",
        ("PAUSED", _) => "FIRST_PAUSED",
        (status, _) => status,
    }
}

/// As in `templates[]`.
pub fn template(template: &Template) -> Value {
    let mut shown = json!({
        "id": template.id.to_string(),
        "businessAccountId": 40211,
        "name": template.key.name,
        "language": template.key.language,
        "status": template_status(&template.status, &template.pause_title),
        "category": template.category,
        "quality": quality(&template.quality),
        "structure": {"body": {"text": "Hi {{1}}"}, "type": "TEXT"},
    });
    for (name, value) in &template.content {
        shown[name.as_str()] = value.clone();
    }
    shown
}
