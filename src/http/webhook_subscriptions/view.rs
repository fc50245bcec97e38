//! How what a provider has set is shown, and what is wrong with it.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::http::at_provider::ProviderError;
use crate::http::problem::ApiError;
use crate::manage::Failed;
use crate::provider::subscriptions::{Found, Level, Ours, Problem, shown};

/// The level that no key of a connection reaches.
pub(super) const PARTNER: &str = "partner";

/// What a provider has set, at one place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSubscription)]
pub(super) struct View {
    /// `app`, `account`, `number`, 360dialog's `partner`, or Infobip's `events`.
    level: &'static str,
    /// The provider's id of the app, the account, the number or the partner, where it has one.
    id: Option<String>,
    /// The account that a number is of.
    waba_id: Option<String>,
    /// Where webhooks go, if anything is set here; what stands behind a `?` is not shown.
    callback_url: Option<String>,
    /// Whether that is here; `null` where nobody said where here is.
    is_ours: Option<bool>,
    /// Whether any come.
    active: bool,
    /// What is told, where it can be chosen.
    events: Option<Vec<String>>,
    /// The provider's own object, without the secrets in it.
    provider: Value,
}

/// Something that is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookProblem)]
pub(super) struct ProblemView {
    /// Stable: `no_public_url`, `not_subscribed`, `elsewhere`, `override_elsewhere`,
    /// `blind_to_templates`, `not_active`, `missing_events`, `unproven`, `unreadable`.
    code: &'static str,
    /// `fail`: webhooks are missed. `warn`: some may be.
    severity: &'static str,
    level: Option<&'static str>,
    /// The provider's id of the app, the account or the number.
    id: Option<String>,
    detail: String,
    remedy: String,
    /// What the provider answered, where it could not be read.
    provider_error: Option<ProviderError>,
}

impl View {
    fn of(found: Found, ours: Option<&Ours>) -> Self {
        Self {
            level: found.level.as_str(),
            id: Some(found.id).filter(|id| !id.is_empty()),
            waba_id: found.waba,
            is_ours: ours.map(|ours| found.url.as_deref() == Some(ours.url.as_str())),
            callback_url: found.url.as_deref().map(shown),
            active: found.active,
            events: found.events,
            provider: found.answer,
        }
    }

    /// Where a partner of 360dialog's is told, as it was set just now.
    pub(super) fn of_partner(id: String, answer: &Value, ours: &Ours) -> Self {
        // It says back what it was told; where it does not, it said that it was done.
        let url = answer["webhook_url"].as_str().unwrap_or(&ours.url);
        Self {
            level: PARTNER,
            id: Some(id),
            waba_id: None,
            callback_url: Some(shown(url)),
            is_ours: Some(shown(url) == shown(&ours.url)),
            active: true,
            events: None,
            provider: answer.clone(),
        }
    }

    pub(super) fn all(found: Vec<Found>, ours: Option<&Ours>) -> Vec<Self> {
        let views = found.into_iter().map(|it| Self::of(it, ours));
        views.collect()
    }
}

impl From<Problem> for ProblemView {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code,
            severity: problem.severity.as_str(),
            level: problem.level.map(Level::as_str),
            id: Some(problem.id).filter(|id| !id.is_empty()),
            detail: problem.detail,
            remedy: problem.remedy,
            provider_error: None,
        }
    }
}

impl From<(Level, Failed)> for ProblemView {
    fn from((level, failed): (Level, Failed)) -> Self {
        let problem = ApiError::from(failed);
        let provider_error = match &problem {
            ApiError::AtProvider(problem) => problem.provider_error(),
            _ => None,
        };
        Self {
            code: "unreadable",
            severity: "fail",
            level: Some(level.as_str()),
            id: None,
            detail: problem.to_string(),
            remedy: "see what the provider says; the connection's key needs the permission to \
                     manage, and for Meta's app one of its app secrets"
                .to_owned(),
            provider_error,
        }
    }
}
