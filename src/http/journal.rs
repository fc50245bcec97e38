//! `/v1/webhooks`: what providers posted, byte for byte, and what became of it.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Api;
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::{Query, id};
use crate::model::ids::{ConnectionId, WebhookId};
use crate::store::journal::{JournalFilter, State as Became, WebhookRow};

pub fn router() -> Router<Api> {
    Router::new()
        .route("/webhooks", get(list))
        .route("/webhooks/{id}", get(one))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    connection: Option<ConnectionId>,
    state: Option<JournalState>,
    since: Option<Moment>,
    until: Option<Moment>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
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

#[derive(Debug, Serialize)]
struct View {
    id: WebhookId,
    connection: ConnectionId,
    received_at: Moment,
    bytes: usize,
    state: &'static str,
    reason: Option<String>,
    events: usize,
}

#[derive(Debug, Serialize)]
struct Whole {
    #[serde(flatten)]
    view: View,
    headers: Value,
    body: String,
    /// `text`, or `base64` for what is no UTF-8.
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

async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let filter = JournalFilter {
        connection: asked.connection,
        state: asked.state.map(Became::from),
        since: asked.since.map(|at| at.0),
        until: asked.until.map(|at| at.0),
    };
    let before = asked.cursor.map(IdCursor::id);
    let limit = asked.limit;
    let found = api
        .store
        .list_webhooks(&filter, before, limit.rows())
        .await?;
    let place = |webhook: &WebhookRow| webhook.id.0.into_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}

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
