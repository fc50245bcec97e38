//! What could not be managed at a provider, as a problem: one mapping for all of it. The provider's
//! own answer is always shown, whole, under `provider_error`.

use std::time::Duration;

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::problem::ApiError;
use crate::manage::{EditRefused, Failed, Said, Unsuccessful};
use crate::model::error_class::ErrorClass;
use crate::model::rfc3339;
use crate::provider::refused::Refused;
use crate::provider::remedy::{self, Kind, Remedy};

/// A provider's answer that is no success.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ProviderRefusal)]
pub struct ProviderError {
    /// The HTTP status that it answered.
    pub status: u16,
    /// Its own number or word: `100/2388024` is Graph's code and subcode.
    pub code: Option<String>,
    /// Its own text.
    pub message: Option<String>,
    /// All of its answer, as it came.
    pub body: Value,
    /// Why, where it has a number for it that its text does not explain.
    pub cause: Option<&'static str>,
    /// And what to do.
    pub remedy: Option<&'static str>,
}

/// What came of a call to a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has no such call.
    Lacking,
    /// It said no.
    Refused,
    /// It has no such thing.
    NotThere,
    /// It has one already.
    Taken,
    /// It is in a state in which this is not possible.
    State,
    /// It is in use, and so cannot be changed.
    InUse,
    /// Too many calls, or edits.
    TooMany,
    /// It does not take our key.
    Key,
    /// It failed, or cannot be reached: nothing was done.
    Failed,
    /// Nobody knows whether it was done.
    Unknown,
    /// Of several steps the first were done, and one was not.
    Partly,
}

/// A problem that a provider, or what is known of its limits, is the cause of.
#[derive(Debug, Clone)]
pub struct AtProvider {
    /// What came of it.
    pub outcome: Outcome,
    /// In words.
    pub detail: String,
    /// What the provider said.
    pub said: Option<Box<Said>>,
    /// When to come again.
    pub wait: Option<Duration>,
}

impl AtProvider {
    /// Status, stable code, title.
    pub fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self.outcome {
            Outcome::Lacking => (
                S::NOT_IMPLEMENTED,
                "not_supported_by_provider",
                "Not supported by the provider",
            ),
            Outcome::Refused => (
                S::UNPROCESSABLE_ENTITY,
                "provider_refused",
                "Refused by the provider",
            ),
            Outcome::NotThere => (
                S::NOT_FOUND,
                "not_found_at_provider",
                "Not found at the provider",
            ),
            Outcome::Taken => (S::CONFLICT, "already_exists", "Already exists"),
            Outcome::State => (
                S::CONFLICT,
                "wrong_template_state",
                "Not possible in this state",
            ),
            Outcome::InUse => (S::CONFLICT, "in_use", "In use"),
            Outcome::TooMany => (
                S::TOO_MANY_REQUESTS,
                "provider_limit",
                "Limit of the provider",
            ),
            Outcome::Key => (
                S::BAD_GATEWAY,
                "provider_key",
                "The provider does not take our key",
            ),
            Outcome::Failed => (S::BAD_GATEWAY, "provider_failed", "The provider failed"),
            Outcome::Unknown => (
                S::GATEWAY_TIMEOUT,
                "outcome_unknown",
                "Nobody knows whether it was done",
            ),
            Outcome::Partly => (S::BAD_GATEWAY, "partly_done", "Partly done"),
        }
    }

    /// What the provider said, as it is shown.
    pub fn provider_error(&self) -> Option<ProviderError> {
        let said = self.said.as_ref()?;
        let known = said.code.as_deref().and_then(remedy::of);
        Some(ProviderError {
            cause: known.map(|known| known.cause),
            remedy: known.map(|known| known.remedy),
            status: said.status,
            code: said.code.clone(),
            message: said.message.clone(),
            body: said.body.clone(),
        })
    }

    fn of(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self {
            outcome,
            detail: detail.into(),
            said: None,
            wait: None,
        }
    }

    /// What was asked for is not shown by the provider.
    pub fn not_there() -> Self {
        Self::of(Outcome::NotThere, "the provider does not show it")
    }

    fn saying(self, said: Option<Box<Said>>) -> Self {
        Self {
            wait: said.as_ref().and_then(|said| said.wait).or(self.wait),
            said,
            ..self
        }
    }

    /// One of each, for `/openapi.json`.
    pub fn examples() -> impl Iterator<Item = Self> {
        let said = Some(Box::new(Said {
            status: 400,
            code: Some("100/2388024".to_owned()),
            message: Some("There is already English content for this template.".to_owned()),
            body: serde_json::json!({"error": {"code": 100, "error_subcode": 2_388_024}}),
            wait: None,
            class: ErrorClass::FixRequest,
        }));
        let all = [
            (
                Outcome::Lacking,
                "dialog360 has no call for it: Edit a template",
            ),
            (
                Outcome::Refused,
                "the provider refused it: Invalid parameter",
            ),
            (Outcome::NotThere, "the provider has no such thing"),
            (Outcome::Taken, "the provider has one already"),
            (
                Outcome::State,
                "it is PENDING: only templates that are approved, rejected or paused can be edited",
            ),
            (
                Outcome::InUse,
                "the provider refused it: the sequence is used in an ad",
            ),
            (
                Outcome::TooMany,
                "the provider's limit for such calls is reached",
            ),
            (
                Outcome::Key,
                "the provider does not take the connection's key",
            ),
            (
                Outcome::Failed,
                "the provider did not do it: it answered 503",
            ),
            (
                Outcome::Unknown,
                "nobody knows whether the provider did it: the call failed: operation timed out",
            ),
            (
                Outcome::Partly,
                "done: account 204411887755301; not done: account 204411887755302: the provider \
                 refused it: Invalid parameter",
            ),
        ];
        all.into_iter().map(move |(outcome, detail)| {
            let has_said = matches!(outcome, Outcome::Refused | Outcome::Taken | Outcome::Partly);
            Self::of(outcome, detail).saying(said.clone().filter(|_| has_said))
        })
    }
}

fn refused(said: Box<Said>) -> AtProvider {
    let (code, message) = (said.code.as_deref(), said.message.as_deref());
    let text = message.unwrap_or("it does not say why").to_owned();
    if let Some(known) = code.and_then(remedy::of) {
        let outcome = match known.kind {
            Kind::Wrong => Outcome::Refused,
            Kind::Key => Outcome::Key,
            Kind::Later => Outcome::Failed,
            Kind::TooOften => Outcome::TooMany,
            Kind::InUse => Outcome::InUse,
            Kind::NotThere => Outcome::NotThere,
        };
        let Remedy { cause, remedy, .. } = known;
        let detail = format!("the provider refused it: {text}; {cause}: {remedy}");
        return AtProvider::of(outcome, detail).saying(Some(said));
    }
    let (outcome, detail) = match said.class {
        _ if Refused::is_taken(code, message) => (
            Outcome::Taken,
            format!("the provider has one already: {text}"),
        ),
        ErrorClass::ConnectionStops => (
            Outcome::Key,
            format!(
                "the provider does not take the connection's key, or it may not do this: {text}"
            ),
        ),
        ErrorClass::RateLimit(_) => (
            Outcome::TooMany,
            format!("the provider's limit for such calls is reached: {text}"),
        ),
        ErrorClass::Retry => (
            Outcome::Failed,
            format!("the provider did not do it, and may when it is asked again: {text}"),
        ),
        _ if Refused::is_not_there(said.status, code) => (
            Outcome::NotThere,
            format!("the provider has no such thing: {text}"),
        ),
        _ => (Outcome::Refused, format!("the provider refused it: {text}")),
    };
    AtProvider::of(outcome, detail).saying(Some(said))
}

/// How to find out what nobody knows.
const FIND_OUT: &str = "whatever became of it shows by a webhook, or when it is asked for: \
                        `POST /v1/templates/sync`. Asking again does it twice at worst where the \
                        provider takes it twice; a template's name it takes once";

impl ApiError {
    /// Says how to find out what nobody knows, where it is not by asking for templates.
    pub fn found_out_by(mut self, how: &str) -> Self {
        if let Self::AtProvider(problem) = &mut self {
            problem.detail = problem.detail.replace(FIND_OUT, how);
        }
        self
    }

    /// A request of this name went out before.
    pub fn unknown_before() -> Self {
        let detail = format!(
            "a request with this Idempotency-Key went out to the provider before, and nobody knows \
             what became of it; it is not done again under this key: {FIND_OUT}"
        );
        Self::AtProvider(Box::new(AtProvider::of(Outcome::Unknown, detail)))
    }

    /// The provider's answer has nothing of what was asked for.
    pub fn not_there(detail: &str) -> Self {
        Self::AtProvider(Box::new(AtProvider::of(Outcome::NotThere, detail)))
    }
}

impl Unsuccessful for ApiError {
    fn may_be_done(&self) -> bool {
        match self {
            Self::AtProvider(it) => matches!(it.outcome, Outcome::Unknown | Outcome::Partly),
            _ => false,
        }
    }
}

/// What was done before a step that was not: of that, all else is told as of any.
fn partly(done: &[String], left: &[String], failed: Failed) -> ApiError {
    let of = |steps: &[String]| steps.join(", ");
    let before = format!("done: {}; not done: {}", of(done), of(left));
    match ApiError::from(failed) {
        ApiError::AtProvider(mut problem) => {
            problem.detail = format!("{before}: {}", problem.detail);
            if problem.outcome != Outcome::Unknown {
                problem.outcome = Outcome::Partly;
            }
            ApiError::AtProvider(problem)
        }
        other => {
            let detail = format!("{before}: {other}");
            ApiError::AtProvider(Box::new(AtProvider::of(Outcome::Partly, detail)))
        }
    }
}

impl From<Failed> for ApiError {
    fn from(failed: Failed) -> Self {
        let detail = failed.to_string();
        Self::AtProvider(Box::new(match failed {
            Failed::Store(error) => return error.into(),
            Failed::Partly { done, left, failed } => return partly(&done, &left, *failed),
            Failed::Lacking { .. } => AtProvider::of(Outcome::Lacking, detail),
            Failed::NoKey => AtProvider::of(Outcome::Key, detail),
            Failed::TooMany { wait } => AtProvider {
                wait: Some(wait),
                ..AtProvider::of(Outcome::TooMany, detail)
            },
            Failed::Refused(said) => refused(said),
            Failed::Unreachable { said, .. } => {
                AtProvider::of(Outcome::Failed, detail).saying(said)
            }
            Failed::Unknown { said, .. } => {
                AtProvider::of(Outcome::Unknown, format!("{detail}; {FIND_OUT}")).saying(said)
            }
            Failed::Unreadable { said, .. } => {
                AtProvider::of(Outcome::Unknown, format!("{detail}; {FIND_OUT}")).saying(Some(said))
            }
            Failed::Unrecorded { said, error } => {
                tracing::error!(%error, "what a provider did could not be written down");
                let detail = "the provider did it, as `provider_error` shows, and it could not be \
                              written down here";
                AtProvider::of(Outcome::Unknown, format!("{detail}; {FIND_OUT}")).saying(Some(said))
            }
        }))
    }
}

impl From<EditRefused> for ApiError {
    fn from(refused: EditRefused) -> Self {
        let detail = refused.to_string();
        Self::AtProvider(Box::new(match refused {
            EditRefused::Failed(failed) => return failed.into(),
            EditRefused::Category => return Self::field("category", detail),
            EditRefused::State(_) | EditRefused::NoId => AtProvider::of(Outcome::State, detail),
            EditRefused::TooMany { at, wait } => {
                let detail = format!("{detail}: from {} on", rfc3339(at));
                AtProvider {
                    wait: Some(wait),
                    ..AtProvider::of(Outcome::TooMany, detail)
                }
            }
        }))
    }
}
