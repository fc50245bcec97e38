//! `/v1/connections`: accounts with providers. Their secrets go in and never come out.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::moment::Moment;
use super::once::{OnceBody, answer};
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::request::{Body, Query, id};
use super::schema::Provider;
use crate::model::ids::ConnectionId;
use crate::store::{Connection, Credentials, CredentialsChange, NewConnection, Once};

type Connections = Page<View>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, update))
}

/// An account with a provider, and what its webhooks are authenticated with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewConnection)]
struct Create {
    /// For people.
    #[schema(min_length = 1, example = "shop-eu")]
    name: String,
    #[schema(value_type = Provider)]
    provider: String,
    /// Where messages are posted to, without query.
    #[schema(example = "https://graph.facebook.com")]
    base_url: String,
    #[schema(example = "v25.0")]
    api_version: String,
    access_token: SecretText,
    /// What webhooks are signed with. Several are valid at once, for rotation.
    #[schema(min_items = 1)]
    app_secrets: Vec<SecretText>,
    /// What Meta's handshake has to bring.
    verify_token: SecretText,
}

/// Credentials to replace: a renewed token (which lets a stopped connection go on), rotated app
/// secrets (the old one stays in the list while the provider may still sign with it).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConnectionChange)]
struct Update {
    /// Lets what waits because of the old one go.
    access_token: Option<SecretText>,
    /// All of them: what is not named is not valid any more.
    #[schema(min_items = 1)]
    app_secrets: Option<Vec<SecretText>>,
    verify_token: Option<SecretText>,
}

/// A secret on its way in: no answer shows it.
#[derive(Deserialize, ToSchema)]
#[serde(from = "String")]
#[schema(as = Secret, value_type = String, format = Password, min_length = 1)]
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

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// An account with a provider. Its secrets are never shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
struct View {
    id: ConnectionId,
    name: String,
    #[schema(value_type = Provider)]
    provider: String,
    base_url: String,
    api_version: String,
    /// The callback URL to give to the provider, behind this service's own address.
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

/// Makes a connection.
#[utoipa::path(
    post,
    path = "/connections",
    operation_id = "create_connection",
    tag = "Connections",
    params(Once),
    request_body = Create,
    responses((status = 201, body = View), (status = 501, description = "not_supported_by_provider")),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
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
    let new = NewConnection {
        name: new.name,
        provider: new.provider,
        base_url: new.base_url.trim_end_matches('/').to_owned(),
        api_version: new.api_version,
        credentials: Credentials {
            access_token: new.access_token.0,
            app_secrets: new.app_secrets.into_iter().map(|secret| secret.0).collect(),
            verify_token: new.verify_token.0,
        },
    };
    let reply = api.store.create_connection(new, &once, View::from).await?;
    answer(StatusCode::CREATED, reply)
}

/// Replaces credentials of a connection.
#[utoipa::path(
    patch,
    path = "/connections/{id}",
    operation_id = "update_connection",
    tag = "Connections",
    params(("id" = ConnectionId, Path)),
    request_body = Update,
    responses((status = 200, body = View)),
)]
async fn update(
    State(api): State<Api>,
    Path(connection): Path<String>,
    Body(new): Body<Update>,
) -> Result<Json<View>, ApiError> {
    let connection = id(&connection, "connection")?;
    let errors = check_secrets(
        new.access_token.as_ref(),
        new.app_secrets.as_deref(),
        new.verify_token.as_ref(),
    );
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let change = CredentialsChange {
        access_token: new.access_token.map(|secret| secret.0),
        app_secrets: new
            .app_secrets
            .map(|secrets| secrets.into_iter().map(|secret| secret.0).collect()),
        verify_token: new.verify_token.map(|secret| secret.0),
    };
    let updated = api.store.update_credentials(connection, &change).await?;
    let updated = updated.ok_or(ApiError::NotFound("connection"))?;
    api.connections.forget(connection);
    api.signals.all_due_here();
    Ok(Json(updated.into()))
}

fn check(new: &Create) -> Vec<FieldError> {
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
    ];
    let secrets = check_secrets(
        Some(&new.access_token),
        Some(&new.app_secrets),
        Some(&new.verify_token),
    );
    broken(rules).chain(secrets).collect()
}

fn check_secrets(
    access_token: Option<&SecretText>,
    app_secrets: Option<&[SecretText]>,
    verify_token: Option<&SecretText>,
) -> Vec<FieldError> {
    let unusable =
        |secrets: &[SecretText]| secrets.is_empty() || secrets.iter().any(SecretText::is_empty);
    let rules = [
        (
            access_token.is_some_and(SecretText::is_empty),
            "access_token",
            "must not be empty",
        ),
        (
            app_secrets.is_some_and(unusable),
            "app_secrets",
            "at least one is needed, none may be empty: without, no webhook can be verified",
        ),
        (
            verify_token.is_some_and(SecretText::is_empty),
            "verify_token",
            "must not be empty: Meta's handshake has to bring it",
        ),
    ];
    broken(rules).collect()
}

fn broken<const N: usize>(
    rules: [(bool, &'static str, &'static str); N],
) -> impl Iterator<Item = FieldError> {
    rules
        .into_iter()
        .filter(|(broken, _, _)| *broken)
        .map(|(_, field, message)| FieldError::new(field, message))
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

/// Shows a connection.
#[utoipa::path(
    get,
    path = "/connections/{id}",
    operation_id = "get_connection",
    tag = "Connections",
    params(("id" = ConnectionId, Path)),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(connection): Path<String>,
) -> Result<Json<View>, ApiError> {
    let connection = api.store.connection(id(&connection, "connection")?).await?;
    let connection = connection.ok_or(ApiError::NotFound("connection"))?;
    Ok(Json(connection.into()))
}

/// Lists connections, the newest first.
#[utoipa::path(
    get,
    path = "/connections",
    operation_id = "list_connections",
    tag = "Connections",
    params(List),
    responses((status = 200, body = Connections)),
)]
async fn list(
    State(api): State<Api>,
    Query(List { limit, cursor }): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let before = cursor.map(IdCursor::id);
    let found = api.store.list_connections(before, limit.rows()).await?;
    let place = |connection: &Connection| connection.id.0.into_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}
