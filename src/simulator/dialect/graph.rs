//! Errors as the Graph API answers them and as `failed` webhooks carry them. Meta says to build
//! on `code` and `details`; the HTTP status is what partners report.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::super::trouble::Trouble;

struct Error {
    http: u16,
    code: i64,
    subcode: Option<i64>,
    title: &'static str,
    details: String,
}

/// Meta's number for it.
pub fn code(trouble: &Trouble) -> i64 {
    error(trouble).code
}

/// As in `statuses[].errors[]`.
pub fn in_webhook(trouble: &Trouble) -> Value {
    let error = error(trouble);
    json!({
        "code": error.code,
        "title": error.title,
        "message": error.title,
        "error_data": {"details": error.details},
        "href": "/documentation/business-messaging/whatsapp/support/error-codes",
    })
}

/// Why something could not be read.
#[derive(Debug)]
pub enum Unread {
    Trouble(Trouble),
    NoField(String),
    BadCursor,
    TooManyCalls,
}

impl From<Trouble> for Unread {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// As an answer.
pub fn refuse(trouble: &Trouble) -> Response {
    if let Trouble::Handshake(why) = trouble {
        let title = "(#2200) Callback verification failed with the following errors";
        let error = json!({"message": format!("{title}: {why}"), "type": "OAuthException",
            "code": 2200, "fbtrace_id": "AsimulatedTrace00000000"});
        return (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response();
    }
    answer(error(trouble))
}

/// As an answer to who wanted to read.
pub fn refuse_read(unread: &Unread) -> Response {
    let (http, code, title, details) = match unread {
        Unread::Trouble(trouble) => return refuse(trouble),
        Unread::NoField(field) => {
            let title = "(#100) Tried accessing nonexisting field";
            (400, 100, title, field.as_str())
        }
        Unread::BadCursor => {
            let title = "(#131059) Invalid cursor";
            (400, 131_059, title, "Start without.")
        }
        Unread::TooManyCalls => {
            let title = "(#80007) There have been too many calls to this WhatsApp Business account";
            (429, 80_007, title, "")
        }
    };
    answer(Error {
        http,
        code,
        subcode: None,
        title,
        details: details.to_owned(),
    })
}

fn answer(found: Error) -> Response {
    let mut error = json!({
        "message": found.title,
        "type": "OAuthException",
        "code": found.code,
        "fbtrace_id": "AsimulatedTrace00000000",
    });
    if let Some(subcode) = found.subcode {
        error["error_subcode"] = subcode.into();
        error["is_transient"] = false.into();
        error["error_user_title"] = "This can't be saved".into();
        let said = [found.details.as_str(), found.title];
        error["error_user_msg"] = said.into_iter().find(|text| !text.is_empty()).into();
    } else if !found.details.is_empty() {
        error["error_data"] = json!({"messaging_product": "whatsapp", "details": found.details});
    }
    let status = StatusCode::from_u16(found.http).unwrap_or(StatusCode::BAD_REQUEST);
    (status, Json(json!({"error": error}))).into_response()
}

fn error(trouble: &Trouble) -> Error {
    let (http, code, title) = named(trouble);
    let details = match trouble {
        Trouble::Invalid { message, .. } | Trouble::Missing { message, .. } => message.clone(),
        Trouble::Template { message, .. } | Trouble::Flow { message, .. } => message.clone(),
        Trouble::UnknownObject(id) => id.clone(),
        Trouble::TemplateUnknown { name, language } => {
            format!("template name ({name}) does not exist in {language}")
        }
        _ => details(trouble).to_owned(),
    };
    Error {
        http,
        code,
        subcode: match trouble {
            Trouble::Template { code, .. } => Some(*code),
            Trouble::Sequence {
                code,
                as_subcode: true,
                ..
            } => Some(*code),
            _ => None,
        },
        title,
        details,
    }
}

fn named(trouble: &Trouble) -> (u16, i64, &'static str) {
    match trouble {
        Trouble::BadKey => {
            let title = "Invalid OAuth access token - Cannot parse access token";
            (401, 190, title)
        }
        Trouble::Number {
            http,
            code,
            message,
        } => (*http, *code, *message),
        Trouble::Sequence {
            code,
            message,
            as_subcode,
        } => (400, if *as_subcode { 100 } else { *code }, *message),
        Trouble::Flow { code, .. } => (400, *code, "(#139000) Flow request failed"),
        Trouble::NotPermitted { changes: true } => {
            let title = "(#200) You do not have the necessary permissions required";
            (403, 200, title)
        }
        Trouble::NotPermitted { changes: false } => {
            let title = "(#10) Application does not have permission for this action";
            (403, 10, title)
        }
        Trouble::NoAppKey => {
            let title = "(#15) This method must be called with an app access_token.";
            (400, 15, title)
        }
        Trouble::Handshake(_) => (400, 2200, "(#2200) Callback verification failed"),
        // Meta knows no ids of callers.
        Trouble::Invalid { .. } | Trouble::Template { .. } | Trouble::DuplicateId => {
            (400, 100, "(#100) Invalid parameter")
        }
        Trouble::Missing { .. } => (400, 131_008, "(#131008) Required parameter is missing"),
        Trouble::UnknownObject(_) => {
            let title = "(#803) Some of the aliases you requested do not exist";
            (404, 803, title)
        }
        Trouble::RateLimited | Trouble::TooFast => (429, 130_429, "(#130429) Rate limit hit"),
        Trouble::TooFastForUser => (429, 131_056, "(#131056) Pair rate limit hit"),
        Trouble::SomethingWentWrong => (500, 131_000, "(#131000) Something went wrong"),
        Trouble::Unavailable => (503, 2, "(#2) Service temporarily unavailable"),
        Trouble::Undeliverable => (400, 131_026, "Message undeliverable"),
        Trouble::EnoughMarketing => (400, 131_049, "Message not delivered"),
        Trouble::TemplatePaused => (400, 132_015, "Template is paused"),
        Trouble::TemplateDisabled => (400, 132_016, "Template is disabled"),
        Trouble::TemplateUnknown { .. } => {
            let title = "(#132001) Template name does not exist in the translation";
            (404, 132_001, title)
        }
    }
}

fn details(trouble: &Trouble) -> &'static str {
    match trouble {
        Trouble::RateLimited | Trouble::TooFast => "Cloud API message throughput has been reached.",
        Trouble::TooFastForUser => "Too many messages were sent to this user in a short time.",
        Trouble::SomethingWentWrong => {
            "Message failed to send due to an unknown error. Please retry."
        }
        Trouble::Unavailable => "Temporary due to downtime or due to being overloaded.",
        Trouble::Undeliverable => {
            "Unable to deliver message. Reasons can include: the number is not a WhatsApp phone \
             number, or the user has not accepted our new Terms."
        }
        Trouble::EnoughMarketing => {
            "This message was not delivered to maintain healthy ecosystem engagement."
        }
        Trouble::TemplatePaused => {
            "Template is paused due to low quality so it cannot be sent in a template message."
        }
        Trouble::TemplateDisabled => "Template is disabled permanently due to low quality.",
        _ => "",
    }
}
