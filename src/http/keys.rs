//! `/v1/keys`: the API's own keys. Making and rotating take no `Idempotency-Key`: their answers hold
//! a secret, and would have to be kept. Whose answer was lost makes another and revokes the first,
//! which the list shows as never used.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::content::Span;
use super::json::Json;
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::request::{Body, Query, id};
use crate::model::ids::{ConnectionId, KeyId, SenderId};
use crate::model::scope::Scope;
use crate::store::keys::{NewKey, ShownKey};

type Keys = Page<View>;

/// Senders, or connections, that a key may be restricted to.
const MOST: usize = 1_000;

/// How long the former text of a key stays good where nothing is said.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, revoke))
        .routes(routes!(rotate))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKey)]
struct Create {
    /// What it is for.
    #[schema(min_length = 1, max_length = 100, example = "orders")]
    name: String,
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// Leads to these senders alone, and to those of `connections`.
    #[schema(max_items = 1000)]
    senders: Option<Vec<SenderId>>,
    /// Leads to these connections alone, and to `senders`.
    #[schema(max_items = 1000)]
    connections: Option<Vec<ConnectionId>>,
    /// How many requests it may make, of each instance; else what `http.requests_per_second` says.
    #[schema(minimum = 1)]
    requests_per_second: Option<u32>,
    /// Until when it is good.
    expires_at: Option<Moment>,
}

/// An API key. What it says is shown once, when it is made or rotated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
struct View {
    id: KeyId,
    name: String,
    scopes: Vec<Scope>,
    senders: Option<Vec<SenderId>>,
    connections: Option<Vec<ConnectionId>>,
    requests_per_second: Option<i32>,
    /// How it begins.
    #[schema(example = "tt_4k2m9")]
    hint: String,
    created_at: Moment,
    expires_at: Option<Moment>,
    revoked_at: Option<Moment>,
    /// To the minute.
    last_used_at: Option<Moment>,
    /// Until when what it said before it was rotated is good as well.
    former_until: Option<Moment>,
}

/// A key, and what it says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KeyWithSecret)]
struct WithSecret {
    #[serde(flatten)]
    key: View,
    /// What goes into `Authorization: Bearer`. It cannot be shown again.
    #[schema(example = "tt_…")]
    secret: String,
}

impl From<ShownKey> for View {
    fn from(key: ShownKey) -> Self {
        Self {
            id: key.id,
            name: key.name,
            scopes: key.scopes,
            senders: key.senders,
            connections: key.connections,
            requests_per_second: key.requests_per_second,
            hint: key.hint,
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(Moment::from),
            revoked_at: key.revoked_at.map(Moment::from),
            last_used_at: key.last_used_at.map(Moment::from),
            former_until: key.former_until.map(Moment::from),
        }
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

/// Lists API keys, also those that are good for nothing any more, the newest first.
#[utoipa::path(
    get,
    path = "/keys",
    operation_id = "list_keys",
    tag = "Keys",
    params(List),
    responses((status = 200, body = Keys)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let (before, limit) = (asked.cursor.map(IdCursor::id), asked.limit);
    let found = api.store.list_keys(before, limit.rows()).await?;
    let place = |key: &ShownKey| key.id.0.into_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}

/// Makes an API key.
#[utoipa::path(
    post,
    path = "/keys",
    operation_id = "create_key",
    tag = "Keys",
    request_body = Create,
    responses((status = 201, body = WithSecret)),
)]
async fn create(
    State(api): State<Api>,
    Body(asked): Body<Create>,
) -> Result<(StatusCode, Json<WithSecret>), ApiError> {
    let new = read(&api, asked).await?;
    let (id, secret) = api.store.create_key(&new).await?;
    let made = with_secret(&api, id, secret.expose_secret()).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

async fn with_secret(api: &Api, id: KeyId, secret: &str) -> Result<WithSecret, ApiError> {
    let key = api.store.key(id).await?.ok_or(ApiError::NotFound("key"))?;
    Ok(WithSecret {
        key: key.into(),
        secret: secret.to_owned(),
    })
}

async fn read(api: &Api, asked: Create) -> Result<NewKey, ApiError> {
    let mut errors = Vec::new();
    if !(1..=100).contains(&asked.name.trim().chars().count()) {
        errors.push(FieldError::new("name", "expected 1 to 100 characters"));
    }
    if asked.scopes.is_empty() {
        errors.push(FieldError::new("scopes", "expected at least one scope"));
    }
    let is_restricted = asked.senders.is_some() || asked.connections.is_some();
    if is_restricted && asked.scopes.contains(&Scope::Admin) {
        let expected = "expected other scopes: `admin` leads everywhere and cannot be restricted";
        errors.push(FieldError::new("scopes", expected));
    }
    for (name, given) in [
        ("senders", asked.senders.as_ref().map_or(0, Vec::len)),
        (
            "connections",
            asked.connections.as_ref().map_or(0, Vec::len),
        ),
    ] {
        if given > MOST {
            return Err(ApiError::field(name, "expected at most 1000"));
        }
    }
    if asked.requests_per_second == Some(0) {
        let expected = "expected at least 1; leave it out for no limit of its own";
        errors.push(FieldError::new("requests_per_second", expected));
    }
    let expires_at = asked.expires_at.map(|moment| moment.0);
    if expires_at.is_some_and(|at| at <= api.clock().now()) {
        errors.push(FieldError::new("expires_at", "expected a time to come"));
    }
    for (n, sender) in asked.senders.iter().flatten().enumerate() {
        if api.store.sender(*sender).await?.is_none() {
            errors.push(FieldError::new(
                format!("senders[{n}]"),
                "there is no such sender",
            ));
        }
    }
    for (n, connection) in asked.connections.iter().flatten().enumerate() {
        if api.connections.get(*connection).await?.is_none() {
            let field = format!("connections[{n}]");
            errors.push(FieldError::new(field, "there is no such connection"));
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    Ok(NewKey {
        name: asked.name,
        scopes: asked.scopes,
        senders: asked.senders,
        connections: asked.connections,
        requests_per_second: asked.requests_per_second,
        expires_at,
    })
}

/// Shows an API key.
#[utoipa::path(
    get,
    path = "/keys/{id}",
    operation_id = "get_key",
    tag = "Keys",
    params(("id" = KeyId, Path)),
    responses((status = 200, body = View)),
)]
async fn one(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<View>, ApiError> {
    let found = api.store.key(id(&key, "key")?).await?;
    Ok(Json(found.ok_or(ApiError::NotFound("key"))?.into()))
}

/// Revokes an API key. Instances take it for five seconds more at most.
#[utoipa::path(
    delete,
    path = "/keys/{id}",
    operation_id = "revoke_key",
    tag = "Keys",
    params(("id" = KeyId, Path)),
    responses((status = 200, body = View)),
)]
async fn revoke(State(api): State<Api>, Path(key): Path<String>) -> Result<Json<View>, ApiError> {
    let key = id(&key, "key")?;
    if !api.store.revoke_key(key).await? {
        return Err(ApiError::NotFound("key"));
    }
    let found = api.store.key(key).await?;
    Ok(Json(found.ok_or(ApiError::NotFound("key"))?.into()))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRotation)]
struct Rotation {
    /// How long what the key said before stays good; `24h` where nothing is said.
    #[schema(example = "24h")]
    overlap: Option<Span>,
}

/// Gives an API key another secret: it stays the same key, with its scopes and its name.
#[utoipa::path(
    post,
    path = "/keys/{id}/rotate",
    operation_id = "rotate_key",
    tag = "Keys",
    params(("id" = KeyId, Path)),
    request_body = Rotation,
    responses((status = 200, body = WithSecret)),
)]
async fn rotate(
    State(api): State<Api>,
    Path(key): Path<String>,
    Body(asked): Body<Rotation>,
) -> Result<Json<WithSecret>, ApiError> {
    let key = id(&key, "key")?;
    let overlap = asked.overlap.map_or(OVERLAP, |span| span.0);
    let rotated = api.store.rotate_key(key, overlap).await?;
    let secret = rotated.ok_or(ApiError::NotFound("key"))?;
    Ok(Json(with_secret(&api, key, secret.expose_secret()).await?))
}
