//! `/v1/templates`: what is known of templates from webhooks, answers and reads.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::events::{EventView, HistoryPage};
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::{Query, id};
use crate::model::ids::{ConnectionId, SenderId, TemplateId};
use crate::store::templates_read::{Template, TemplateFilter};

pub fn router() -> Router<Api> {
    Router::new()
        .route("/templates", get(list))
        .route("/templates/{id}", get(one))
        .route("/templates/{id}/history", get(history))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    sender: Option<SenderId>,
    connection: Option<ConnectionId>,
    name: Option<String>,
    status: Option<String>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

#[derive(Debug, Serialize)]
struct View {
    id: TemplateId,
    connection: ConnectionId,
    waba_id: Option<String>,
    provider_template_id: Option<String>,
    name: String,
    language: String,
    category: Option<String>,
    status: String,
    sendable: bool,
    quality: Option<String>,
    pause: Option<Pause>,
    reason: Option<String>,
    updated_at: Moment,
}

#[derive(Debug, Serialize)]
struct Pause {
    title: Option<String>,
    /// Meta's webhooks do not say until when.
    until: Option<Moment>,
}

impl From<Template> for View {
    fn from(template: Template) -> Self {
        let title = template.pause_title;
        let pause = (template.status == "PAUSED").then_some(Pause { title, until: None });
        Self {
            id: TemplateId(template.id),
            connection: template.connection,
            waba_id: Some(template.waba_id).filter(|waba_id| !waba_id.is_empty()),
            provider_template_id: template.provider_template_id,
            name: template.name,
            language: template.language,
            category: template.category,
            status: template.status,
            sendable: template.sendable,
            quality: template.quality,
            pause,
            reason: template.reason,
            updated_at: template.updated_at.into(),
        }
    }
}

async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let filter = TemplateFilter {
        sender: asked.sender,
        connection: asked.connection,
        name: asked.name,
        status: asked.status.map(|status| status.to_uppercase()),
    };
    let after = asked.cursor.map(IdCursor::id);
    let limit = asked.limit;
    let found = api
        .store
        .list_templates(&filter, after, limit.rows())
        .await?;
    let place = |template: &Template| template.id.into_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}

async fn find(api: &Api, template: &str) -> Result<Template, ApiError> {
    let template = api.store.template(id(template, "template")?).await?;
    template.ok_or(ApiError::NotFound("template"))
}

async fn one(State(api): State<Api>, Path(template): Path<String>) -> Result<Json<View>, ApiError> {
    Ok(Json(find(&api, &template).await?.into()))
}

async fn history(
    State(api): State<Api>,
    Path(template): Path<String>,
    Query(HistoryPage { limit, cursor }): Query<HistoryPage>,
) -> Result<Json<Page<EventView>>, ApiError> {
    let template = find(&api, &template).await?;
    let after = cursor.map(IdCursor::id);
    let streams = api.store.template_streams(template.connection).await?;
    let facts = api
        .store
        .history(&streams, template.id, after, limit.rows());
    Ok(Json(EventView::page(facts.await?, limit)))
}
