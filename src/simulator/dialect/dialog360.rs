//! What is 360dialog's own: the errors that it answers itself, its partner events, its list of
//! templates. All else is passed on from Meta's APIs.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::super::message::number_of;
use super::super::template::Template;
use super::super::trouble::Trouble;
use super::super::update::{Change, News, Update};

/// What 360dialog answers itself. It says its own rate limit with 400, not 429.
pub fn refuse(trouble: &Trouble) -> Option<Response> {
    let (http, message) = match trouble {
        Trouble::BadKey => (401, "Invalid api_key"),
        Trouble::TooFast => (400, "You have exceeded the endpoint rate limit."),
        Trouble::Unavailable => (502, "WhatsApp for Business API not available"),
        _ => return None,
    };
    let meta = json!({"success": false, "http_code": http, "developer_message": message});
    let http = StatusCode::from_u16(http).unwrap_or(StatusCode::BAD_REQUEST);
    Some((http, Json(json!({"meta": meta}))).into_response())
}

/// No event for a template's quality is documented.
pub fn tells_of(news: &News) -> bool {
    matches!(news.change, Change::Status { .. })
}

/// One event, or an array of several. They bear no time.
pub fn events(waba_id: &str, updates: &[Update]) -> Value {
    let events = updates.iter().filter_map(|update| match update {
        Update::Template(news) => event(waba_id, news),
        _ => None,
    });
    let mut events: Vec<Value> = events.collect();
    match events.len() {
        1 => events.remove(0),
        _ => events.into(),
    }
}

fn event(waba_id: &str, news: &News) -> Option<Value> {
    let Change::Status { event, reason, .. } = &news.change else {
        return None;
    };
    let key = &news.key;
    let id = format!("{}\n{}\n{event}", news.template_id, news.time);
    Some(json!({
        "id": own_id(&id),
        "event": "waba_template_status_changed",
        "data": {"id": waba_id, "template": {
            "id": own_id(&news.template_id.to_string()),
            "external_id": news.template_id.to_string(),
            "name": key.name, "language": key.language,
            "new_status": event, "rejected_reason": reason,
        }},
    }))
}

/// An id of 360dialog's form: 22 characters.
fn own_id(of: &str) -> String {
    let halves = [number_of(of), number_of(&format!("{of} "))];
    let bytes = halves.map(u64::to_be_bytes).concat();
    BASE64URL_NOPAD.encode(&bytes)
}

/// As in `waba_templates[]`: the status is in lower case there.
pub fn template(waba_id: &str, template: &Template) -> Value {
    let rejected = template.status == "REJECTED";
    let rejected_reason = rejected.then_some(template.rejected_reason.as_str());
    let components = template.content.get("components").cloned();
    json!({
        "id": own_id(&template.id.to_string()),
        "external_id": template.id.to_string(),
        "name": template.key.name,
        "language": template.key.language,
        "namespace": "092819ec_f801_461b_b975_3a2d464f50a8",
        "category": template.category,
        "status": template.status.to_lowercase(),
        "rejected_reason": rejected_reason,
        "components": components.unwrap_or_else(|| json!([])),
        "partner_id": "9Mg0AiPA",
        "waba_account_id": waba_id,
    })
}
