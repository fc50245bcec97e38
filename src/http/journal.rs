//! `/v1/webhooks`: what providers posted, byte for byte, and what became of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::{Query, id};
use super::schema::BodyEncoding;
use crate::ingest::{NotReplayed, Replayer};
use crate::model::ids::{ConnectionId, WebhookId};
use crate::store::journal::{JournalFilter, State as Became, WebhookRow};
use crate::store::keys::Key;

type Webhooks = Page<View>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(replay_one))
        .routes(routes!(replay))
}

/// Which webhooks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    connection: Option<ConnectionId>,
    state: Option<JournalState>,
    /// Received at this time or later.
    since: Option<Moment>,
    /// Received before this time.
    until: Option<Moment>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

impl List {
    fn filter(&self) -> JournalFilter {
        JournalFilter {
            connection: self.connection,
            state: self.state.map(Became::from),
            since: self.since.map(|at| at.0),
            until: self.until.map(|at| at.0),
        }
    }
}

/// What became of a webhook. `undecoded`: it could not be understood. `not_applied`: the database
/// refused what it says. Both are kept, with a reason.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = WebhookState)]
enum JournalState {
    Applied,
    Undecoded,
    NotApplied,
}

impl From<JournalState> for Became {
    fn from(state: JournalState) -> Self {
        match state {
            JournalState::Applied => Self::Applied,
            JournalState::Undecoded => Self::Undecoded,
            JournalState::NotApplied => Self::NotApplied,
        }
    }
}

/// One request that a provider posted to us.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
struct View {
    id: WebhookId,
    connection: ConnectionId,
    received_at: Moment,
    bytes: usize,
    #[schema(value_type = JournalState)]
    state: &'static str,
    reason: Option<String>,
    /// How many things it says.
    events: usize,
}

/// A webhook, byte for byte.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WholeWebhook)]
struct Whole {
    #[serde(flatten)]
    view: View,
    /// Those that matter.
    #[schema(value_type = HashMap<String, String>)]
    headers: Value,
    body: String,
    #[schema(value_type = BodyEncoding)]
    body_encoding: &'static str,
}

impl From<WebhookRow> for View {
    fn from(webhook: WebhookRow) -> Self {
        Self {
            id: webhook.id,
            connection: webhook.connection,
            received_at: webhook.received_at.into(),
            bytes: webhook.bytes,
            state: webhook.state.as_str(),
            reason: webhook.reason,
            events: webhook.facts,
        }
    }
}

/// Lists what providers posted, the newest first.
#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "list_webhooks",
    tag = "Webhooks",
    params(List),
    responses((status = 200, body = Webhooks)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let (before, limit) = (asked.cursor.map(IdCursor::id), asked.limit);
    let found = api
        .store
        .list_webhooks(&asked.filter(), before, limit.rows())
        .await?;
    Ok(Json(Page::of(found, limit, place, View::from)))
}

fn place(webhook: &WebhookRow) -> [u8; 16] {
    webhook.id.0.into_bytes()
}

/// Shows a webhook with its headers and body.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    operation_id = "get_webhook",
    tag = "Webhooks",
    params(("id" = WebhookId, Path)),
    responses((status = 200, body = Whole)),
)]
async fn one(State(api): State<Api>, Path(webhook): Path<String>) -> Result<Json<Whole>, ApiError> {
    let found = api.store.webhook(id(&webhook, "webhook")?).await?;
    let (webhook, headers, body) = found.ok_or(ApiError::NotFound("webhook"))?;
    let (body, body_encoding) = match String::from_utf8(body) {
        Ok(text) => (text, "text"),
        Err(bytes) => (BASE64.encode(bytes.as_bytes()), "base64"),
    };
    Ok(Json(Whole {
        view: webhook.into(),
        headers,
        body,
        body_encoding,
    }))
}

/// Reads a webhook again, with the decoder of today.
///
/// What was applied before changes nothing, and no message is sent again. An event
/// `webhooks.replayed` says who asked.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/replay",
    operation_id = "replay_webhook",
    tag = "Webhooks",
    params(("id" = WebhookId, Path)),
    responses((status = 200, body = View, description = "What became of it."), (status = 503, description = "overloaded")),
)]
async fn replay_one(
    State(api): State<Api>,
    Extension(key): Extension<Arc<Key>>,
    Path(webhook): Path<String>,
) -> Result<Json<View>, ApiError> {
    let webhook = id(&webhook, "webhook")?;
    let replayed = replayer(&api).one(webhook, &by(&key)).await?;
    let webhook = replayed.ok_or(ApiError::NotFound("webhook"))?;
    Ok(Json(webhook.into()))
}

/// Reads a page of webhooks again, the newest first: those that a list with the same parameters
/// shows.
///
/// Follow `next_cursor` to read all of them. A page that fails can be asked for once more.
#[utoipa::path(
    post,
    path = "/webhooks/replay",
    operation_id = "replay_webhooks",
    tag = "Webhooks",
    params(List),
    responses((status = 200, body = Webhooks, description = "What became of them."), (status = 503, description = "overloaded")),
)]
async fn replay(
    State(api): State<Api>,
    Extension(key): Extension<Arc<Key>>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let (before, limit) = (asked.cursor.map(IdCursor::id), asked.limit);
    let replayed = replayer(&api)
        .page(&asked.filter(), before, limit.rows(), &by(&key))
        .await?;
    Ok(Json(Page::of(replayed, limit, place, View::from)))
}

fn replayer(api: &Api) -> Replayer {
    Replayer {
        store: api.store.clone(),
        connections: api.connections.clone(),
        ingest: api.ingest.clone(),
    }
}

fn by(key: &Key) -> String {
    format!("API key {} ({})", key.id, key.name)
}

impl From<NotReplayed> for ApiError {
    fn from(error: NotReplayed) -> Self {
        match error {
            NotReplayed::NotCommitted(error) => Self::Overloaded(error.to_string()),
            NotReplayed::Store(error) => error.into(),
            NotReplayed::Broken => Self::Internal,
        }
    }
}
