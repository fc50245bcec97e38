//! Errors as the Graph API answers them and as `failed` webhooks carry them. Meta says to build
//! on `code` and `details`; the HTTP status is what partners report.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// One of Meta's errors.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphError {
    http: u16,
    /// Meta's number for it.
    pub code: i64,
    title: &'static str,
    details: String,
}

impl GraphError {
    fn new(http: u16, code: i64, title: &'static str, details: impl Into<String>) -> Self {
        let details = details.into();
        Self {
            http,
            code,
            title,
            details,
        }
    }

    pub fn bad_token() -> Self {
        let title = "Invalid OAuth access token - Cannot parse access token";
        Self::new(401, 190, title, "")
    }

    pub fn invalid(details: impl Into<String>) -> Self {
        Self::new(400, 100, "(#100) Invalid parameter", details)
    }

    pub fn missing(details: impl Into<String>) -> Self {
        let title = "(#131008) Required parameter is missing";
        Self::new(400, 131_008, title, details)
    }

    pub fn unknown_object(id: &str) -> Self {
        let title = "(#803) Some of the aliases you requested do not exist";
        Self::new(404, 803, title, id)
    }

    pub fn no_field(field: &str) -> Self {
        let title = "(#100) Tried accessing nonexisting field";
        Self::new(400, 100, title, field)
    }

    pub fn bad_cursor() -> Self {
        Self::new(400, 131_059, "(#131059) Invalid cursor", "Start without.")
    }

    pub fn too_many_calls() -> Self {
        let title = "(#80007) There have been too many calls to this WhatsApp Business account";
        Self::new(429, 80_007, title, "")
    }

    pub fn rate_limited() -> Self {
        let details = "Cloud API message throughput has been reached.";
        Self::new(429, 130_429, "(#130429) Rate limit hit", details)
    }

    pub fn something_went_wrong() -> Self {
        let details = "Message failed to send due to an unknown error. Please retry.";
        Self::new(500, 131_000, "(#131000) Something went wrong", details)
    }

    pub fn unavailable() -> Self {
        let details = "Temporary due to downtime or due to being overloaded.";
        Self::new(503, 2, "(#2) Service temporarily unavailable", details)
    }

    pub fn undeliverable() -> Self {
        let details = "Unable to deliver message. Reasons can include: the number is not a \
                       WhatsApp phone number, or the user has not accepted our new Terms.";
        Self::new(400, 131_026, "Message undeliverable", details)
    }

    pub fn template_paused() -> Self {
        let details =
            "Template is paused due to low quality so it cannot be sent in a template message.";
        Self::new(400, 132_015, "Template is paused", details)
    }

    pub fn template_disabled() -> Self {
        let details = "Template is disabled permanently due to low quality.";
        Self::new(400, 132_016, "Template is disabled", details)
    }

    pub fn template_unknown(name: &str, language: &str) -> Self {
        let details = format!("template name ({name}) does not exist in {language}");
        Self::new(
            404,
            132_001,
            "(#132001) Template name does not exist in the translation",
            details,
        )
    }

    /// As in `statuses[].errors[]`.
    pub fn in_webhook(&self) -> Value {
        json!({
            "code": self.code,
            "title": self.title,
            "message": self.title,
            "error_data": {"details": self.details},
            "href": "/documentation/business-messaging/whatsapp/support/error-codes",
        })
    }
}

impl IntoResponse for GraphError {
    fn into_response(self) -> Response {
        let mut error = json!({
            "message": self.title,
            "type": "OAuthException",
            "code": self.code,
            "fbtrace_id": "AsimulatedTrace00000000",
        });
        if !self.details.is_empty() {
            error["error_data"] = json!({"messaging_product": "whatsapp", "details": self.details});
        }
        let status = StatusCode::from_u16(self.http).unwrap_or(StatusCode::BAD_REQUEST);
        (status, Json(json!({"error": error}))).into_response()
    }
}
