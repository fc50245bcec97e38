//! `/v1/connections`: accounts with providers. Their secrets go in and never come out.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::Api;
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::request::{Body, Query, id};
use crate::model::ids::ConnectionId;
use crate::store::{Connection, Credentials, NewConnection};

pub fn router() -> Router<Api> {
    Router::new()
        .route("/connections", get(list).post(create))
        .route("/connections/{id}", get(one))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    name: String,
    provider: String,
    base_url: String,
    api_version: String,
    access_token: SecretText,
    app_secrets: Vec<SecretText>,
    verify_token: SecretText,
}

/// A secret on its way in.
#[derive(Deserialize)]
#[serde(from = "String")]
struct SecretText(SecretString);

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl std::fmt::Debug for SecretText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretText")
    }
}

impl SecretText {
    fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

#[derive(Debug, Serialize)]
struct View {
    id: ConnectionId,
    name: String,
    provider: String,
    base_url: String,
    api_version: String,
    webhook_path: String,
    /// Set while nothing is posted because the provider refused our token.
    stopped_at: Option<Moment>,
    stopped_reason: Option<String>,
    created_at: Moment,
}

impl From<Connection> for View {
    fn from(connection: Connection) -> Self {
        let (stopped_at, stopped_reason) = connection.stopped.unzip();
        Self {
            id: connection.id,
            webhook_path: format!("/webhooks/{}", connection.id),
            name: connection.name,
            provider: connection.provider,
            base_url: connection.base_url,
            api_version: connection.api_version,
            stopped_at: stopped_at.map(Moment),
            stopped_reason,
            created_at: connection.created_at.into(),
        }
    }
}

async fn create(
    State(api): State<Api>,
    Body(new): Body<Create>,
) -> Result<(StatusCode, Json<View>), ApiError> {
    match new.provider.as_str() {
        "meta" => {}
        "dialog360" | "dialog360_onprem" | "infobip" => {
            let detail = format!(
                "connections of provider `{}` cannot be made yet",
                new.provider
            );
            return Err(ApiError::NotSupportedByProvider(detail));
        }
        _ => return Err(ApiError::field("provider", "expected `meta`")),
    }
    let errors = check(&new);
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let connection = api
        .store
        .create_connection(NewConnection {
            name: new.name,
            provider: new.provider,
            base_url: new.base_url.trim_end_matches('/').to_owned(),
            api_version: new.api_version,
            credentials: Credentials {
                access_token: new.access_token.0,
                app_secrets: new.app_secrets.into_iter().map(|secret| secret.0).collect(),
                verify_token: new.verify_token.0,
            },
        })
        .await?;
    Ok((StatusCode::CREATED, Json(connection.into())))
}

fn check(new: &Create) -> Vec<FieldError> {
    let secrets_are_empty =
        new.app_secrets.is_empty() || new.app_secrets.iter().any(SecretText::is_empty);
    let rules = [
        (new.name.is_empty(), "name", "must not be empty"),
        (
            !is_base_url(&new.base_url),
            "base_url",
            "expected an address such as `https://graph.facebook.com`, without query",
        ),
        (
            !is_api_version(&new.api_version),
            "api_version",
            "expected a version such as `v25.0`",
        ),
        (
            new.access_token.is_empty(),
            "access_token",
            "must not be empty",
        ),
        (
            secrets_are_empty,
            "app_secrets",
            "at least one is needed, none may be empty: without, no webhook can be verified",
        ),
        (
            new.verify_token.is_empty(),
            "verify_token",
            "must not be empty: Meta's handshake has to bring it",
        ),
    ];
    rules
        .into_iter()
        .filter(|(broken, _, _)| *broken)
        .map(|(_, field, message)| FieldError::new(field, message))
        .collect()
}

fn is_base_url(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    })
}

fn is_api_version(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.strip_prefix('v')
        .and_then(|numbers| numbers.split_once('.'))
        .is_some_and(|(major, minor)| digits(major) && digits(minor))
}

async fn one(
    State(api): State<Api>,
    Path(connection): Path<String>,
) -> Result<Json<View>, ApiError> {
    let connection = api.store.connection(id(&connection, "connection")?).await?;
    let connection = connection.ok_or(ApiError::NotFound("connection"))?;
    Ok(Json(connection.into()))
}

async fn list(
    State(api): State<Api>,
    Query(List { limit, cursor }): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let before = cursor.map(IdCursor::id);
    let found = api.store.list_connections(before, limit.rows()).await?;
    let place = |connection: &Connection| connection.id.0.into_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}
