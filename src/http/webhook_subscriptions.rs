//! `/v1/connections/{id}/webhook_subscriptions`: where the provider posts webhooks, beside where it
//! should; and `/v1/connections/{id}/token`, what the provider says of the connection's key. Nothing
//! of it is kept here, and no secret is shown.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::at_provider::{AtProvider, Outcome, ProviderError};
use super::managed::whole;
use super::moment::Moment;
use super::permit;
use super::problem::ApiError;
use super::request::{Body, Query, id};
use crate::manage::{Failed, Manage, Wish};
use crate::model::ids::ConnectionId;
use crate::model::provider::Provider;
use crate::provider::subscriptions::{
    Found, LONGEST_OVERRIDE, Level, Ours, Place, Problem, Token, Wanted, hide, shown,
};
use crate::store::Connection;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(all))
        .routes(routes!(one, set, remove))
        .routes(routes!(token))
}

/// Where a provider posts webhooks, beside where it should.
#[derive(Debug, Serialize, ToSchema)]
struct WebhookSubscriptions {
    /// Where webhooks should go: `http.public_url` and the connection's path. `null`: that setting is
    /// empty.
    callback_url: Option<String>,
    data: Vec<View>,
    /// What is wrong, and how to mend it; empty: nothing is.
    problems: Vec<ProblemView>,
    /// How many seconds the provider's clock is ahead of this service's.
    provider_clock_offset_seconds: Option<i64>,
}

/// What a provider has set, at one place.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSubscription)]
struct View {
    /// `app`, `account`, `number`, or Infobip's `events`.
    level: &'static str,
    /// The provider's id of the app, the account or the number, where it has one.
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
struct ProblemView {
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

/// What is to be set.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWebhookSubscription)]
struct Change {
    /// Where webhooks are to go; else to `http.public_url` and the connection's path. What proves them
    /// is added.
    callback_url: Option<String>,
    /// What is to be told, where it can be chosen; else all that is understood here, and what is told
    /// already.
    #[schema(min_items = 1)]
    events: Option<Vec<String>>,
    /// Meta, level `account`: what is said of messages is to come here although the app's webhooks go
    /// elsewhere. Template webhooks do not follow it.
    #[serde(default)]
    r#override: bool,
    /// Meta's account; else all that are known.
    waba_id: Option<String>,
    /// Meta's id of the number, for the level `number`.
    phone_number_id: Option<String>,
}

/// Of which account, or number.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Of {
    /// Meta's account; else all that are known.
    waba_id: Option<String>,
}

/// What is not to be set any more.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Removed {
    /// Meta's account, for the level `account`.
    waba_id: Option<String>,
    /// Meta's id of the number, for the level `number`.
    phone_number_id: Option<String>,
}

/// What is set now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WebhookSubscriptionList)]
struct Listed {
    data: Vec<View>,
}

/// What is set now, and what the provider answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChangedWebhookSubscription)]
struct Changed {
    data: Vec<View>,
    provider_answers: Vec<Value>,
}

/// What the provider says of a connection's key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ConnectionToken)]
struct TokenView {
    /// Meta's id of the app that it is of.
    app_id: Option<String>,
    app_name: Option<String>,
    valid: bool,
    /// `null`: it does not expire.
    expires_at: Option<Moment>,
    permissions: Vec<String>,
    /// Those of `whatsapp_business_messaging` and `whatsapp_business_management` that it lacks.
    missing_permissions: Vec<&'static str>,
    /// The accounts that it is for; none are named where it is for all.
    waba_ids: Vec<String>,
    /// How many seconds the provider's clock is ahead of this service's.
    provider_clock_offset_seconds: Option<i64>,
    /// The provider's own answer.
    provider: Value,
}

/// Without the one nothing is sent, without the other nothing is managed.
const NEEDED: [&str; 2] = [
    "whatsapp_business_messaging",
    "whatsapp_business_management",
];

impl From<(Token, Value, Option<i64>)> for TokenView {
    fn from((token, provider, offset): (Token, Value, Option<i64>)) -> Self {
        let missing = NEEDED
            .into_iter()
            .filter(|it| !token.permissions.iter().any(|permission| permission == it));
        let at = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        Self {
            missing_permissions: missing.collect(),
            app_id: token.app_id,
            app_name: token.app,
            valid: token.is_valid,
            expires_at: token.expires_at.and_then(at).map(Moment),
            permissions: token.permissions,
            waba_ids: token.accounts,
            provider_clock_offset_seconds: offset,
            provider,
        }
    }
}

impl View {
    fn of(found: Found, ours: Option<&Ours>) -> Self {
        let mut provider = found.answer;
        hide(&mut provider);
        Self {
            level: found.level.as_str(),
            id: Some(found.id).filter(|id| !id.is_empty()),
            waba_id: found.waba,
            is_ours: ours.map(|ours| found.url.as_deref() == Some(ours.url.as_str())),
            callback_url: found.url.as_deref().map(shown),
            active: found.active,
            events: found.events,
            provider,
        }
    }

    fn all(found: Vec<Found>, ours: Option<&Ours>) -> Vec<Self> {
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

impl Api {
    async fn connection_of(&self, connection: &str) -> Result<Arc<Connection>, ApiError> {
        let connection: ConnectionId = id(connection, "connection")?;
        let known = self.connections.get(connection).await?;
        known.ok_or(ApiError::NotFound("connection"))
    }

    /// What should be at the provider; the address is `given`, else the service's own.
    fn ours(&self, connection: &Connection, given: Option<&str>) -> Option<Ours> {
        use secrecy::ExposeSecret as _;
        let own = self.config.http.public_url.trim_end_matches('/');
        let address = match given {
            Some(address) => address.to_owned(),
            None if own.is_empty() => return None,
            None => format!("{own}/webhooks/{}", connection.id),
        };
        let credentials = &connection.credentials;
        let verify_token = credentials.verify_token.expose_secret();
        Some(Ours::new(&address, verify_token, &credentials.proofs))
    }
}

/// 360dialog's third webhook is set with a key that no connection has.
const PARTNER: &str = "360dialog's partner webhook, by which it tells of templates and channels, is \
                       set with a partner's key at its hub; a connection has the key of a number. Set \
                       it in the Partner Hub";

fn level(word: &str, connection: &Connection) -> Result<Level, ApiError> {
    let is_dialog360 = matches!(
        connection.provider,
        Provider::Dialog360 | Provider::Dialog360Onprem
    );
    if word == "partner" && is_dialog360 {
        return Err(ApiError::AtProvider(Box::new(AtProvider {
            outcome: Outcome::Lacking,
            detail: PARTNER.to_owned(),
            said: None,
            wait: None,
        })));
    }
    Level::parse(word).ok_or(ApiError::NotFound("level"))
}

/// Shows where the provider posts webhooks, beside where it should, and what is wrong.
#[utoipa::path(
    get,
    path = "/connections/{id}/webhook_subscriptions",
    operation_id = "get_webhook_subscriptions",
    tag = "Connections",
    params(("id" = ConnectionId, Path)),
    responses((status = 200, body = WebhookSubscriptions)),
)]
async fn all(
    State(api): State<Api>,
    Path(connection): Path<String>,
) -> Result<Json<WebhookSubscriptions>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let ours = api.ours(&connection, None);
    let overview = api.manage.subscriptions(&connection, ours.as_ref()).await?;
    let problems = overview.problems.into_iter().map(ProblemView::from);
    let unread = overview.unread.into_iter().map(ProblemView::from);
    Ok(Json(WebhookSubscriptions {
        callback_url: ours.as_ref().map(|ours| shown(&ours.url)),
        problems: problems.chain(unread).collect(),
        data: View::all(overview.found, ours.as_ref()),
        provider_clock_offset_seconds: overview.clock_offset,
    }))
}

/// Shows where the provider posts webhooks, at one level.
#[utoipa::path(
    get,
    path = "/connections/{id}/webhook_subscriptions/{level}",
    operation_id = "get_webhook_subscription",
    tag = "Connections",
    params(("id" = ConnectionId, Path), ("level" = String, Path, description = "`app`, `account`, `number` or `events`."), Of),
    responses((status = 200, body = Listed)),
)]
async fn one(
    State(api): State<Api>,
    Path((connection, word)): Path<(String, String)>,
    Query(of): Query<Of>,
) -> Result<Json<Listed>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let level = level(&word, &connection)?;
    let ours = api.ours(&connection, None);
    let found = api
        .manage
        .subscribed(&connection, level, of.waba_id.as_deref());
    let data = View::all(found.await?, ours.as_ref());
    Ok(Json(Listed { data }))
}

/// Lets the provider's webhooks come here, with what proves them.
#[utoipa::path(
    put,
    path = "/connections/{id}/webhook_subscriptions/{level}",
    operation_id = "set_webhook_subscription",
    tag = "Connections",
    params(("id" = ConnectionId, Path), ("level" = String, Path, description = "`app`, `account`, `number` or `events`.")),
    request_body = Change,
    responses((status = 200, body = Changed)),
)]
async fn set(
    State(api): State<Api>,
    Path((connection, word)): Path<(String, String)>,
    Body(change): Body<Change>,
) -> Result<Json<Changed>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let level = level(&word, &connection)?;
    Manage::can_set(&connection, level, false)?;
    let ours = api.ours(&connection, change.callback_url.as_deref());
    let ours = check(&connection, level, &change, ours)?;
    let places = api.places(
        &connection,
        level,
        change.waba_id.as_deref(),
        change.phone_number_id,
    );
    let places = places.await?;
    permit::note(format!(
        "webhooks of the {word} at {} go to {}",
        connection.provider.as_str(),
        shown(&ours.url)
    ));
    let wanted = Wanted {
        events: change.events,
        overriding: change.r#override,
    };
    let wish = Wish {
        level,
        ours,
        wanted,
    };
    let (manage, with) = (api.manage.clone(), Arc::clone(&connection));
    let done = whole(async move {
        let mut answers = Vec::new();
        for place in &places {
            answers.push(manage.subscribe(&with, place, &wish).await?);
        }
        Ok::<_, Failed>(answers)
    });
    // An address that was given may be anybody's.
    let ours = api.ours(&connection, None);
    changed(&api, &connection, level, done.await?, ours).await
}

/// What is set now.
async fn changed(
    api: &Api,
    connection: &Connection,
    level: Level,
    mut provider_answers: Vec<Value>,
    ours: Option<Ours>,
) -> Result<Json<Changed>, ApiError> {
    provider_answers.iter_mut().for_each(hide);
    let found = api.manage.subscribed(connection, level, None).await?;
    Ok(Json(Changed {
        data: View::all(found, ours.as_ref()),
        provider_answers,
    }))
}

/// The address that is to be told, if it can be one.
fn check(
    connection: &Connection,
    level: Level,
    change: &Change,
    ours: Option<Ours>,
) -> Result<Ours, ApiError> {
    let ours = ours.ok_or_else(|| {
        ApiError::field("callback_url", "is needed: `http.public_url` is not set")
    })?;
    let is_address = reqwest::Url::parse(&ours.url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let given = change.callback_url.as_deref().unwrap_or_default();
    if !is_address || given.contains(['?', '#']) {
        let message = "expected an address such as `https://twotick.example/webhooks/con_…`, \
                       without a query";
        return Err(ApiError::field("callback_url", message));
    }
    let is_override = level == Level::Number || (level == Level::Account && change.r#override);
    let meta = connection.provider == Provider::Meta;
    if meta && is_override && ours.url.chars().count() > LONGEST_OVERRIDE {
        let message = format!("Meta takes at most {LONGEST_OVERRIDE} characters");
        return Err(ApiError::field("callback_url", message));
    }
    if change.r#override && !(meta && level == Level::Account) {
        let message = "is for the account at Meta alone";
        return Err(ApiError::field("override", message));
    }
    let chooses = (meta && level == Level::App) || level == Level::Events;
    if change.events.is_some() && !chooses {
        return Err(ApiError::field("events", "cannot be chosen here"));
    }
    if change.events.as_ref().is_some_and(Vec::is_empty) {
        return Err(ApiError::field("events", "expected at least one"));
    }
    Ok(ours)
}

impl Api {
    /// Where it is to be changed.
    async fn places(
        &self,
        connection: &Connection,
        level: Level,
        waba: Option<&str>,
        number: Option<String>,
    ) -> Result<Vec<Place>, ApiError> {
        if connection.provider == Provider::Meta && level == Level::Number {
            let is_id = |number: &String| number.bytes().all(|byte| byte.is_ascii_digit());
            let wrong = || ApiError::field("phone_number_id", "expected Meta's id of a number");
            let number = number.filter(|number| !number.is_empty() && is_id(number));
            return Ok(vec![Place {
                api_version: connection.api_version.clone().unwrap_or_default(),
                number: number.ok_or_else(wrong)?,
                ..Place::default()
            }]);
        }
        let places = self.manage.places(connection, level, waba).await?;
        match places.is_empty() {
            true => Err(ApiError::field(
                "waba_id",
                "is needed: no sender of the connection has an account, and its key names none",
            )),
            false => Ok(places),
        }
    }
}

/// Lets the provider's webhooks come no more, or where those of the level above go.
#[utoipa::path(
    delete,
    path = "/connections/{id}/webhook_subscriptions/{level}",
    operation_id = "remove_webhook_subscription",
    tag = "Connections",
    params(("id" = ConnectionId, Path), ("level" = String, Path, description = "`app`, `account`, `number` or `events`."), Removed),
    responses((status = 200, body = Changed)),
)]
async fn remove(
    State(api): State<Api>,
    Path((connection, word)): Path<(String, String)>,
    Query(of): Query<Removed>,
) -> Result<Json<Changed>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    let level = level(&word, &connection)?;
    Manage::can_set(&connection, level, true)?;
    let places = api.places(
        &connection,
        level,
        of.waba_id.as_deref(),
        of.phone_number_id,
    );
    let places = places.await?;
    permit::note(format!(
        "webhooks of the {word} at {} come no more",
        connection.provider.as_str()
    ));
    let (manage, with) = (api.manage.clone(), Arc::clone(&connection));
    let done = whole(async move {
        let mut answers = Vec::new();
        for place in &places {
            answers.push(manage.unsubscribe(&with, place, level).await?);
        }
        Ok::<_, Failed>(answers)
    });
    let ours = api.ours(&connection, None);
    changed(&api, &connection, level, done.await?, ours).await
}

/// Shows whose the connection's key is, what it may do, and until when.
#[utoipa::path(
    get,
    path = "/connections/{id}/token",
    operation_id = "get_connection_token",
    tag = "Connections",
    params(("id" = ConnectionId, Path)),
    responses((status = 200, body = TokenView)),
)]
async fn token(
    State(api): State<Api>,
    Path(connection): Path<String>,
) -> Result<Json<TokenView>, ApiError> {
    let connection = api.connection_of(&connection).await?;
    Ok(Json(api.manage.token(&connection).await?.into()))
}
