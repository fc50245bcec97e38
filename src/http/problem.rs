//! Everything that the API can answer instead of what was asked for: one closed list with stable
//! codes, in the form of RFC 9457. Handlers return these; nothing else makes an error's body.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;
use utoipa::ToSchema;

use super::at_provider::{AtProvider, ProviderError};
use super::observe;
use crate::model::scope::Scope;
use crate::provider::content::{Fault, Wrong};
use crate::store::feed::Place;
use crate::store::{Left, StoreError, WrongState};

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where it stands, such as `messages[2].gate.deadline`; empty for the body as a whole.
    pub field: String,
    /// What was expected.
    pub message: String,
    /// Whether a provider could take it, and this one does not.
    #[serde(skip)]
    not_supported: bool,
}

impl FieldError {
    /// An error of one field.
    pub fn new(field: impl Into<String>, message: impl ToString) -> Self {
        Self {
            field: field.into(),
            message: message.to_string(),
            not_supported: false,
        }
    }

    /// An error of one field that the sender's provider cannot send.
    pub fn not_supported(field: impl Into<String>, message: impl ToString) -> Self {
        Self {
            not_supported: true,
            ..Self::new(field, message)
        }
    }

    /// What keeps a message from being sent; `at` is where it stands, with a dot at its end.
    pub fn of_fault(at: &str, fault: Fault) -> Self {
        Self {
            field: format!("{at}{}", fault.field),
            message: fault.reason,
            not_supported: fault.wrong == Wrong::NotSupported,
        }
    }
}

/// The API's errors.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is no JSON, or was cut off.
    #[error("{0}")]
    Malformed(String),
    /// The request says something that cannot be: each field by name.
    #[error("{}", in_words(.0))]
    Invalid(Vec<FieldError>),
    /// Lines of an upload that are no recipients: how many, and the first of them by number.
    #[error("{invalid} lines are no recipients, and nothing was taken: {}", in_words(.first))]
    InvalidLines {
        /// All.
        invalid: u64,
        /// What is wrong with the first of them.
        first: Vec<FieldError>,
    },
    /// No API key, or none that is valid.
    #[error("give a valid API key as `Authorization: Bearer <key>`")]
    Unauthorized,
    /// A webhook that its provider did not sign.
    #[error("{0}")]
    BadSignature(String),
    /// The key does not have a scope that is needed: any of these.
    #[error("this needs an API key with the scope {}", quoted(.0))]
    MissingScope(&'static [Scope]),
    /// The key is restricted to others.
    #[error("{0}")]
    OutOfReach(String),
    /// The key has made too many requests.
    #[error("this API key may make {} requests a second", .0.limit)]
    TooManyRequests(Left),
    /// A handshake with the wrong token.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// What follows this place has been forgotten, some of it at least.
    #[error("events behind this cursor have been forgotten; the feed begins at `{0}`")]
    Forgotten(String),
    /// There is, but not by this method.
    #[error("{0}")]
    MethodNotAllowed(String),
    /// What was asked for is not possible any more, or not yet.
    #[error("{0}")]
    WrongState(#[from] WrongState),
    /// What is to be made is there already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The request's `Idempotency-Key` belongs to another request.
    #[error("this Idempotency-Key was used in the last 24 hours for a request with another body")]
    KeyReused,
    /// Another request with the same `Idempotency-Key` is being done, and is not done yet.
    #[error("a request with this Idempotency-Key is being done; ask again for its answer")]
    UnderWay,
    /// The sender's provider cannot send this: each field by name.
    #[error("{}", in_words(.0))]
    NotSupportedByProvider(Vec<FieldError>),
    /// A provider, or what is known of its limits, does not let it be done.
    #[error("{}", .0.detail)]
    AtProvider(Box<AtProvider>),
    /// The body did not come in time.
    #[error("the body did not come in time")]
    TooSlow,
    /// The body is bigger than `http.max_body_bytes`, or than a file may be.
    #[error("the body is larger than {most} bytes")]
    TooLarge { field: &'static str, most: usize },
    /// Nothing is wrong with the request; it may be made again.
    #[error("{0}")]
    Overloaded(String),
    /// The same, where the bodies of requests take all the memory that they may.
    #[error("too many bodies are being read")]
    TooManyBodies,
    /// A fault of ours; the log has the details under the request's id.
    #[error("the service failed; its log says why")]
    Internal,
}

impl ApiError {
    /// The feed begins behind the cursor that was given.
    pub fn forgotten(begin: Place) -> Self {
        Self::Forgotten(BASE64URL_NOPAD.encode(&begin.to_bytes()))
    }

    /// One wrong field.
    pub fn field(field: impl Into<String>, message: impl ToString) -> Self {
        Self::Invalid(vec![FieldError::new(field, message)])
    }

    /// Several wrong fields, of which the provider may be all that is wrong.
    pub fn of_fields(errors: Vec<FieldError>) -> Self {
        match errors.iter().all(|error| error.not_supported) {
            true => Self::NotSupportedByProvider(errors),
            false => Self::Invalid(errors),
        }
    }

    /// The error's body.
    pub fn problem(&self) -> Problem {
        let (status, code, title) = self.kind();
        Problem {
            r#type: format!("urn:twotick:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: self.to_string(),
            code,
            errors: match self {
                Self::Invalid(errors)
                | Self::InvalidLines { first: errors, .. }
                | Self::NotSupportedByProvider(errors) => errors.clone(),
                Self::TooLarge { field, most } => {
                    vec![FieldError::new(
                        *field,
                        format!("expected at most {most} bytes"),
                    )]
                }
                _ => Vec::new(),
            },
            provider_error: match self {
                Self::AtProvider(problem) => problem.provider_error(),
                _ => None,
            },
            request_id: observe::request_id(),
            oldest_cursor: match self {
                Self::Forgotten(oldest) => Some(oldest.clone()),
                _ => None,
            },
        }
    }

    /// One of each, for `/openapi.json`.
    pub fn examples() -> Vec<Self> {
        use WrongState as W;
        let states = [
            W::Ended,
            W::NotRunning,
            W::NotHeld,
            W::NotFailed,
            W::AlreadySent,
            W::AlreadyTried,
            W::Cancelled,
            W::TooLong,
            W::OfCampaign,
            W::NotDraft,
            W::Uploading,
            W::UploadGivenUp,
            W::NoRecipients,
            W::CampaignNotPaused,
            W::CampaignEnded,
            W::Erased,
        ];
        let others = [
            Self::Malformed("the body is not JSON: EOF while parsing an object".to_owned()),
            Self::field("to", "expected a phone number"),
            Self::Unauthorized,
            Self::Forbidden("the verify token is another".to_owned()),
            Self::MissingScope(&[Scope::MessagesWrite]),
            Self::TooManyRequests(Left {
                limit: 100,
                remaining: 0,
                wait: Duration::from_millis(10),
            }),
            Self::NotFound("message"),
            Self::Forgotten("AAAAAAAAA-gAAAAAAAAAAAAAAAAAAAAA".to_owned()),
            Self::MethodNotAllowed("this address takes `GET`, `POST`, and not `PUT`".to_owned()),
            Self::AlreadyExists("this number is a sender of the connection already".to_owned()),
            Self::KeyReused,
            Self::UnderWay,
            Self::of_fields(vec![FieldError::not_supported(
                "template.components[0].parameters[0].parameter_name",
                "Infobip takes parameters by their place alone, not by name",
            )]),
            Self::TooLarge {
                field: "",
                most: 4_194_304,
            },
            Self::TooSlow,
            Self::Overloaded("the database does not answer; try again".to_owned()),
            Self::Internal,
        ];
        let at_provider = AtProvider::examples().map(|problem| Self::AtProvider(Box::new(problem)));
        let others = others.into_iter().chain(states.map(Self::from));
        others.chain(at_provider).collect()
    }

    /// Status, stable code, title.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Malformed(_) => (S::BAD_REQUEST, "invalid_request", "Malformed request"),
            Self::Invalid(_) | Self::InvalidLines { .. } => (
                S::UNPROCESSABLE_ENTITY,
                "invalid_request",
                "Invalid request",
            ),
            Self::Unauthorized | Self::BadSignature(_) => {
                (S::UNAUTHORIZED, "unauthorized", "Unauthorized")
            }
            Self::Forbidden(_) | Self::OutOfReach(_) => (S::FORBIDDEN, "forbidden", "Forbidden"),
            Self::MissingScope(_) => (S::FORBIDDEN, "missing_scope", "Scope missing"),
            Self::TooManyRequests(_) => (
                S::TOO_MANY_REQUESTS,
                "too_many_requests",
                "Too many requests",
            ),
            Self::NotFound(_) => (S::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed(_) => (
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Method not allowed",
            ),
            Self::Forgotten(_) => (S::GONE, "cursor_expired", "Cursor expired"),
            Self::WrongState(state) => (S::CONFLICT, state.code(), "Not possible in this state"),
            Self::AlreadyExists(_) => (S::CONFLICT, "already_exists", "Already exists"),
            Self::KeyReused => (
                S::CONFLICT,
                "idempotency_conflict",
                "Idempotency-Key used before",
            ),
            Self::UnderWay => (S::CONFLICT, "under_way", "Being done"),
            Self::NotSupportedByProvider(_) => (
                S::UNPROCESSABLE_ENTITY,
                "not_supported_by_provider",
                "Not supported by the provider",
            ),
            Self::AtProvider(problem) => problem.kind(),
            Self::TooSlow => (S::REQUEST_TIMEOUT, "request_timeout", "Request too slow"),
            Self::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "payload_too_large", "Body too large"),
            Self::Overloaded(_) | Self::TooManyBodies => {
                (S::SERVICE_UNAVAILABLE, "overloaded", "Try again later")
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
        }
    }
}

fn quoted(scopes: &[Scope]) -> String {
    let scopes: Vec<_> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
    scopes.join(" or ")
}

fn in_words(errors: &[FieldError]) -> String {
    let errors: Vec<_> = errors
        .iter()
        // Each stands among the errors.
        .take(10)
        .map(|error| match error.field.as_str() {
            "" => error.message.clone(),
            field => format!("`{field}`: {}", error.message),
        })
        .collect();
    errors.join("; ")
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.may_pass() {
            tracing::warn!(%error, "the database is away");
            return Self::Overloaded("the database does not answer; try again".to_owned());
        }
        tracing::error!(%error, "a request failed");
        Self::Internal
    }
}

/// What is answered instead of what was asked for: RFC 9457.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:twotick:problem:` and the code.
    r#type: String,
    title: &'static str,
    pub status: u16,
    /// What is wrong, for people.
    detail: String,
    /// Which problem it is. Stable.
    pub code: &'static str,
    /// What is wrong with each field; empty where it is not about fields.
    errors: Vec<FieldError>,
    /// What a provider answered, where it did.
    provider_error: Option<ProviderError>,
    /// The answer's `X-Request-Id`, under which the log has more.
    request_id: Option<String>,
    /// With `cursor_expired` the oldest cursor that the feed can be followed from.
    oldest_cursor: Option<String>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.kind().0.into_response();
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        match &self {
            Self::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::Overloaded(_)
            | Self::TooManyBodies
            | Self::TooManyRequests(_)
            | Self::UnderWay => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::AtProvider(problem) => {
                if let Some(wait) = problem.wait {
                    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
                }
            }
            _ => {}
        }
        // The rest of its body is not read.
        if matches!(
            self,
            Self::TooLarge { .. } | Self::TooSlow | Self::TooManyBodies
        ) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // Texts and numbers alone: this cannot fail, and an error has no better answer.
        *response.body_mut() = serde_json::to_vec(&self.problem())
            .unwrap_or_default()
            .into();
        response
    }
}
