//! 360dialog's On-Premises API: requests without `messaging_product`, answers with `meta`, errors
//! in an array, and webhooks that are what stands in a `value` of Meta's envelope, without the
//! envelope. It names no number and repeats nothing that the caller gave.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::super::message::{Status, Wish};
use super::super::receive::Taken;
use super::super::trouble::Trouble;
use super::super::update::{Inbound, Update};
use super::cloud;

/// Reads a request's body, or says what is wrong with it. A template has a namespace here.
pub fn wish(sender: String, body: &Value) -> Result<Wish, Trouble> {
    if !body["to"].is_string() {
        return Err(Trouble::missing("to", "Parameter 'to' is mandatory"));
    }
    let wish = cloud::addressed(sender, body)?;
    let template = &body["template"];
    if wish.template.is_some() {
        if template["namespace"].as_str().is_none_or(str::is_empty) {
            let message = "Parameter 'namespace' is mandatory for type 'template'";
            return Err(Trouble::missing("template.namespace", message));
        }
        if template["language"]["policy"] != "deterministic" {
            let message = "Parameter 'policy' must be 'deterministic'";
            return Err(Trouble::invalid("template.language.policy", message));
        }
    }
    Ok(wish)
}

/// The answer to an accepted message.
pub fn answer(taken: &Taken) -> Value {
    json!({
        "contacts": [cloud::contact(&taken.message.user)],
        "messages": [{"id": taken.message.wamid}],
        "meta": meta(),
    })
}

fn meta() -> Value {
    json!({"api_status": "stable", "version": "2.53.3"})
}

/// An answer that says no.
pub fn refuse(trouble: &Trouble) -> Response {
    let http = match trouble {
        Trouble::RateLimited | Trouble::TooFast | Trouble::TooFastForUser => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Trouble::SomethingWentWrong => StatusCode::INTERNAL_SERVER_ERROR,
        Trouble::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Trouble::UnknownObject(_) => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = json!({"errors": [error(trouble)], "meta": meta()});
    (http, Json(body)).into_response()
}

/// The On-Premises API's number for it.
pub fn code(trouble: &Trouble) -> i64 {
    named(trouble).0
}

/// An element of `errors[]`, of an answer and of a status alike.
pub fn error(trouble: &Trouble) -> Value {
    let (code, title, details) = named(trouble);
    let details = match trouble {
        Trouble::Invalid { message, .. } | Trouble::Missing { message, .. } => message,
        _ => details,
    };
    json!({"code": code, "title": title, "details": details,
        "href": "https://developers.facebook.com/docs/whatsapp/api/errors/"})
}

fn named(trouble: &Trouble) -> (i64, &'static str, &'static str) {
    match trouble {
        Trouble::BadKey => (1005, "Access denied", "Invalid credentials."),
        Trouble::Invalid { .. }
        | Trouble::Template { .. }
        | Trouble::Flow { .. }
        | Trouble::Number { .. }
        | Trouble::Sequence { .. }
        | Trouble::NotPermitted { .. }
        | Trouble::NoAppKey
        | Trouble::Handshake(_)
        | Trouble::DuplicateId => (1009, "Parameter value is not valid", ""),
        Trouble::Missing { .. } => (1008, "Required parameter is missing", ""),
        Trouble::UnknownObject(_) => (1006, "Resource not found", "There is none of this id."),
        Trouble::RateLimited | Trouble::TooFast | Trouble::TooFastForUser => {
            (1015, "Too many requests", "Slow down, then try again.")
        }
        Trouble::SomethingWentWrong => (1014, "Internal error", "Try again."),
        Trouble::Unavailable => (1011, "Service not ready", "Try again."),
        Trouble::Undeliverable | Trouble::EnoughMarketing => {
            (1013, "User is not valid", "The number has no WhatsApp.")
        }
        Trouble::TemplatePaused => (2061, "Template is paused", "Its quality is low."),
        Trouble::TemplateDisabled => (2062, "Template is disabled", "Its quality is low."),
        Trouble::TemplateUnknown { .. } => (
            2001,
            "Template missing",
            "It does not exist in this language.",
        ),
    }
}

/// An id of a message.
pub fn id(salt: u64, number: u64) -> String {
    let bytes = [salt.to_be_bytes(), number.to_be_bytes()].concat();
    format!("gBEG{}", BASE64URL_NOPAD.encode(&bytes))
}

/// One body of statuses, or of users' messages.
pub fn body(updates: &[Update]) -> Value {
    let mut body = json!({});
    for update in updates {
        match update {
            Update::Status(status) => push(&mut body, "statuses", status_json(status)),
            Update::Inbound(inbound) => {
                let name = inbound.from.name();
                let contact = json!({"profile": {"name": name}, "wa_id": inbound.from.wa_id});
                push(&mut body, "contacts", contact);
                push(&mut body, "messages", inbound_json(inbound));
            }
            Update::Template(_) => {}
        }
    }
    body
}

fn push(body: &mut Value, list: &str, item: Value) {
    match body[list].as_array_mut() {
        Some(items) => items.push(item),
        None => body[list] = json!([item]),
    }
}

fn status_json(status: &Status) -> Value {
    let message = &status.message;
    let mut item = json!({
        "id": message.wamid,
        "recipient_id": message.user.wa_id,
        "status": status.status,
        "timestamp": status.at.to_string(),
        "message": {"recipient_id": message.user.wa_id},
        "type": "message",
    });
    if status.pricing {
        item["pricing"] = json!({"billable": true, "pricing_model": "CBP",
            "category": message.category});
    }
    if let Some(errors) = &status.errors {
        item["errors"] = errors.clone();
    }
    item
}

fn inbound_json(inbound: &Inbound) -> Value {
    json!({
        "from": inbound.from.wa_id,
        "id": inbound.wamid,
        "timestamp": inbound.at.to_string(),
        "type": "text",
        "text": {"body": inbound.text},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_needs_its_namespace() {
        let whole = json!({"to": "385910000001", "type": "template", "template": {
            "namespace": "ns", "name": "n",
            "language": {"policy": "deterministic", "code": "en"}}});
        let read = |body: &Value| wish("1".to_owned(), body);
        assert!(read(&whole).unwrap().template.is_some());
        let mut without = whole.clone();
        without["template"]["namespace"] = Value::Null;
        assert_eq!(code(&read(&without).unwrap_err()), 1008);
        let mut otherwise = whole.clone();
        otherwise["template"]["language"]["policy"] = "fallback".into();
        assert_eq!(code(&read(&otherwise).unwrap_err()), 1009);
    }
}
