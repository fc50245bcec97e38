//! `/v1/connections`: accounts with providers. Their secrets go in and never come out.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::moment::Moment;
use super::once::{OnceBody, answer};
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::request::{Body, Query, id};
use super::webhook_auth::WebhookAuth;
use crate::model::ids::ConnectionId;
use crate::model::provider::Provider;
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
    // Whose address it is is asked for first.
    #[serde(default)]
    #[schema(example = "https://graph.facebook.com", required = true)]
    base_url: String,
    /// Meta's.
    #[schema(example = "v25.0")]
    api_version: Option<String>,
    /// Meta's.
    access_token: Option<SecretText>,
    /// What Meta signs webhooks with. Several are valid at once, for rotation.
    #[schema(min_items = 1)]
    app_secrets: Option<Vec<SecretText>>,
    /// What Meta's handshake has to bring.
    verify_token: Option<SecretText>,
    /// 360dialog's and Infobip's.
    api_key: Option<SecretText>,
    /// How 360dialog's and Infobip's webhooks are authenticated.
    webhook_auth: Option<WebhookAuth>,
    /// Webhooks must come with a client certificate of one of these common names, too (mTLS). It is
    /// checked where TLS is terminated: `http.tls` and `http.proxy` of the settings. Meta presents
    /// `client.webhooks.fbclientcerts.com`, if its app has mTLS on.
    #[serde(default)]
    #[schema(example = json!(["client.webhooks.fbclientcerts.com"]))]
    client_certificate_names: Vec<String>,
}

/// Credentials to replace: a renewed token (which lets a stopped connection go on), rotated app
/// secrets (the old one stays in the list while the provider may still sign with it).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConnectionChange)]
struct Update {
    /// The provider's address; the key must be given with it, because it goes there.
    #[schema(example = "https://graph.facebook.com")]
    base_url: Option<String>,
    /// Lets what waits because of the old one go.
    access_token: Option<SecretText>,
    /// All of them: what is not named is not valid any more.
    #[schema(min_items = 1)]
    app_secrets: Option<Vec<SecretText>>,
    /// Another one: those that there are stay valid. Not beside `app_secrets`.
    add_app_secret: Option<SecretText>,
    verify_token: Option<SecretText>,
    api_key: Option<SecretText>,
    /// All of it: what is not named is not valid any more.
    webhook_auth: Option<WebhookAuth>,
    /// All of them. None: webhooks need no client certificate any more.
    client_certificate_names: Option<Vec<String>>,
}

/// A secret on its way in: no answer shows it.
#[derive(Deserialize, ToSchema)]
#[serde(from = "String")]
#[schema(as = Secret, value_type = String, format = Password, min_length = 1)]
pub(super) struct SecretText(pub(super) SecretString);

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
    pub(super) fn is_empty(&self) -> bool {
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
    provider: &'static str,
    base_url: String,
    api_version: Option<String>,
    /// The callback URL to give to the provider, behind this service's own address.
    webhook_path: String,
    /// The common names that webhooks' client certificates must have; empty: they need none.
    client_certificate_names: Vec<String>,
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
            provider: connection.provider.as_str(),
            base_url: connection.base_url,
            api_version: connection.api_version,
            client_certificate_names: connection.client_certificate_names,
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
    responses((status = 201, body = View)),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let Some(provider) = Provider::parse(&new.provider) else {
        let words = Provider::ALL.map(Provider::as_str).join("`, `");
        let message = format!("expected one of `{words}`");
        return Err(ApiError::field("provider", message));
    };
    let mut errors = check(provider, &new);
    errors.extend(check_names(&new.client_certificate_names));
    let secrets = Secrets {
        access_token: new.access_token,
        app_secrets: new.app_secrets,
        verify_token: new.verify_token,
        api_key: new.api_key,
        webhook_auth: new.webhook_auth,
    };
    secrets.check_all(provider, &mut errors);
    let change = secrets.read(provider, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let new = NewConnection {
        name: new.name,
        provider,
        base_url: new.base_url.trim_end_matches('/').to_owned(),
        api_version: new.api_version,
        client_certificate_names: new.client_certificate_names,
        credentials: change.over(Credentials::default()),
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
    let known = api.store.known_connection(connection).await?;
    let known = known.ok_or(ApiError::NotFound("connection"))?;
    let secrets = Secrets {
        access_token: new.access_token,
        app_secrets: new.app_secrets,
        verify_token: new.verify_token,
        api_key: new.api_key,
        webhook_auth: new.webhook_auth,
    };
    let names = new.client_certificate_names;
    let mut errors: Vec<_> = check_names(names.as_deref().unwrap_or_default()).collect();
    let added = new.add_app_secret;
    let is_beside = secrets.app_secrets.is_some();
    errors.extend(check_added(added.as_ref(), is_beside, known.provider));
    let mut change = secrets.read(known.provider, &mut errors);
    change.added_app_secret = added.map(|secret| secret.0);
    errors.extend(check_address(
        new.base_url.as_deref(),
        change.access_token.is_some(),
    ));
    change.base_url = new.base_url.map(|url| url.trim_end_matches('/').to_owned());
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let updated = api
        .store
        .update_credentials(connection, &change, names.as_deref());
    let updated = updated.await?.ok_or(ApiError::NotFound("connection"))?;
    api.connections.forget(connection);
    api.signals.all_due_here();
    Ok(Json(updated.into()))
}

fn check(provider: Provider, new: &Create) -> Vec<FieldError> {
    let is_version = |version: &String| is_api_version(version);
    let rules = [
        (new.name.is_empty(), "name", "must not be empty"),
        (new.base_url.is_empty(), "base_url", "is missing"),
        (
            !new.base_url.is_empty() && !is_base_url(&new.base_url),
            "base_url",
            AN_ADDRESS,
        ),
        (
            provider == Provider::Meta && !new.api_version.as_ref().is_some_and(is_version),
            "api_version",
            "expected a version such as `v25.0`",
        ),
        (
            provider != Provider::Meta && new.api_version.is_some(),
            "api_version",
            "is Meta's alone",
        ),
    ];
    broken(rules).collect()
}

const AN_ADDRESS: &str = "expected an address such as `https://graph.facebook.com`, without query";

/// Whoever may change where a connection's key goes must have the key.
fn check_address(base_url: Option<&str>, has_key: bool) -> impl Iterator<Item = FieldError> {
    let rules = [
        (
            base_url.is_some_and(|url| !is_base_url(url)),
            "base_url",
            AN_ADDRESS,
        ),
        (
            base_url.is_some() && !has_key,
            "base_url",
            "needs `access_token` or `api_key` beside it: the key goes there",
        ),
    ];
    broken(rules)
}

fn check_names(names: &[String]) -> impl Iterator<Item = FieldError> {
    let is_wrong = |name: &String| name.trim() != name || name.is_empty();
    let message = "expected common names, such as `client.webhooks.fbclientcerts.com`";
    let wrong = names.iter().any(is_wrong);
    broken([(wrong, "client_certificate_names", message)])
}

/// What is given of a connection's secrets.
struct Secrets {
    access_token: Option<SecretText>,
    app_secrets: Option<Vec<SecretText>>,
    verify_token: Option<SecretText>,
    api_key: Option<SecretText>,
    webhook_auth: Option<WebhookAuth>,
}

impl Secrets {
    /// Those that a provider has.
    fn given(&self) -> [(&'static str, bool, bool); 5] {
        [
            ("access_token", true, self.access_token.is_some()),
            ("app_secrets", true, self.app_secrets.is_some()),
            ("verify_token", true, self.verify_token.is_some()),
            ("api_key", false, self.api_key.is_some()),
            ("webhook_auth", false, self.webhook_auth.is_some()),
        ]
    }

    /// A new connection needs all that its provider has.
    fn check_all(&self, provider: Provider, errors: &mut Vec<FieldError>) {
        for (name, is_metas, is_given) in self.given() {
            if is_metas == (provider == Provider::Meta) && !is_given {
                errors.push(FieldError::new(name, "is needed with this provider"));
            }
        }
    }

    /// What is given, if it is what the provider has.
    fn read(self, provider: Provider, errors: &mut Vec<FieldError>) -> CredentialsChange {
        for (name, is_metas, is_given) in self.given() {
            if is_metas != (provider == Provider::Meta) && is_given {
                errors.push(FieldError::new(name, "is not of this provider"));
            }
        }
        let token = self.access_token.as_ref();
        let (secrets, verify) = (self.app_secrets.as_deref(), self.verify_token.as_ref());
        errors.extend(check_secrets(token, secrets, verify));
        if self.api_key.as_ref().is_some_and(SecretText::is_empty) {
            errors.push(FieldError::new("api_key", "must not be empty"));
        }
        let hidden = |secrets: Vec<SecretText>| secrets.into_iter().map(|secret| secret.0);
        CredentialsChange {
            access_token: self.access_token.or(self.api_key).map(|secret| secret.0),
            app_secrets: self.app_secrets.map(|secrets| hidden(secrets).collect()),
            verify_token: self.verify_token.map(|secret| secret.0),
            proofs: self.webhook_auth.map(|auth| auth.read(provider, errors)),
            added_app_secret: None,
            base_url: None,
        }
    }
}

fn check_added(
    added: Option<&SecretText>,
    is_beside: bool,
    provider: Provider,
) -> impl Iterator<Item = FieldError> {
    let name = "add_app_secret";
    let is_given = added.is_some();
    broken([
        (
            added.is_some_and(SecretText::is_empty),
            name,
            "must not be empty",
        ),
        (
            is_given && is_beside,
            name,
            "stands beside `app_secrets`, which are all of them",
        ),
        (
            is_given && provider != Provider::Meta,
            name,
            "is not of this provider",
        ),
    ])
}

fn check_secrets(
    access_token: Option<&SecretText>,
    app_secrets: Option<&[SecretText]>,
    verify_token: Option<&SecretText>,
) -> impl Iterator<Item = FieldError> {
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
    broken(rules)
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
    let connection = id(&connection, "connection")?;
    let connection = api.store.known_connection(connection).await?;
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
