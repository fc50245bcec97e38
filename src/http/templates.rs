//! `/v1/templates`: what is known of templates from webhooks, answers and reads. What changes them
//! is in `template_manage`.

use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::events::{EventView, History, HistoryPage};
use super::json::Json;
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::{Query, id};
use crate::config::EditBudget;
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, SenderId, TemplateId};
use crate::model::template::next_edit;
use crate::store::templates_read::{Template, TemplateFilter};

type Templates = Page<View>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(history))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    sender: Option<SenderId>,
    connection: Option<ConnectionId>,
    name: Option<String>,
    /// The provider's word, in any case, such as `PAUSED`.
    status: Option<String>,
    language: Option<String>,
    /// The provider's word, in any case, such as `UTILITY`.
    category: Option<String>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// A template, as far as webhooks, answers and reads told of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Template)]
pub(super) struct View {
    id: TemplateId,
    connection: ConnectionId,
    /// With Meta: elsewhere all of a connection's templates are of one account.
    waba_id: Option<String>,
    provider_template_id: Option<String>,
    name: String,
    language: String,
    category: Option<String>,
    /// The provider's word, such as `APPROVED`; `UNKNOWN` where nobody told us. It may be sent.
    status: String,
    /// Whether messages that use it go.
    sendable: bool,
    /// The provider's word, such as `GREEN`.
    quality: Option<String>,
    pause: Option<Pause>,
    reason: Option<String>,
    updated_at: Moment,
    /// What was last submitted through this service, in Meta's words.
    submitted: Option<Value>,
    /// An approved template that was edited as often as `manage.template_edits` of the settings
    /// allows: when it may be edited again.
    next_edit_at: Option<Moment>,
    /// The provider's own object, as it was last read by a call that manages templates.
    provider: Option<Value>,
    /// When that was.
    provider_read_at: Option<Moment>,
}

/// The provider paused a template.
#[derive(Debug, Serialize, ToSchema)]
struct Pause {
    /// The provider's word, such as `FIRST_PAUSE`.
    title: Option<String>,
    /// Meta's webhooks do not say until when.
    until: Option<Moment>,
}

impl Api {
    /// Shows a template as it is now.
    pub(super) fn show_template(&self, template: Template) -> View {
        View::of(
            template,
            &self.config.manage.template_edits,
            self.clock().now(),
        )
    }
}

impl View {
    pub(super) fn of(template: Template, budget: &EditBudget, now: Timestamp) -> Self {
        let next_edit = next_edit(&budget.0, &template.edits, now);
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
            submitted: template.submitted,
            next_edit_at: next_edit.map(Moment),
            provider: template.object,
            provider_read_at: template.object_at.map(Moment),
        }
    }
}

/// Lists templates.
#[utoipa::path(
    get,
    path = "/templates",
    operation_id = "list_templates",
    tag = "Templates",
    params(List),
    responses((status = 200, body = Templates)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View>>, ApiError> {
    let filter = TemplateFilter {
        sender: asked.sender,
        connection: asked.connection,
        name: asked.name,
        status: asked.status.map(|status| status.to_uppercase()),
        language: asked.language,
        category: asked.category.map(|category| category.to_uppercase()),
    };
    let after = asked.cursor.map(IdCursor::id);
    let limit = asked.limit;
    let found = api
        .store
        .list_templates(&filter, after, limit.rows())
        .await?;
    let place = |template: &Template| template.id.into_bytes();
    let show = |template| api.show_template(template);
    Ok(Json(Page::of(found, limit, place, show)))
}

pub(super) async fn find(api: &Api, template: &str) -> Result<Template, ApiError> {
    let template = api.store.template(id(template, "template")?).await?;
    template.ok_or(ApiError::NotFound("template"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Fresh {
    /// `true`: read it from the provider first.
    #[param(value_type = Option<bool>)]
    fresh: Option<String>,
}

/// Shows a template; fresh from the provider, where that is asked for.
#[utoipa::path(
    get,
    path = "/templates/{id}",
    operation_id = "get_template",
    tag = "Templates",
    params(("id" = TemplateId, Path), Fresh),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(template): Path<String>,
    Query(Fresh { fresh }): Query<Fresh>,
) -> Result<Json<View>, ApiError> {
    let found = find(&api, &template).await?;
    match fresh.as_deref() {
        None | Some("false") => Ok(Json(api.show_template(found))),
        Some("true") => Ok(Json(api.show_template(api.read_template(found).await?))),
        Some(_) => Err(ApiError::field("fresh", "expected `true` or `false`")),
    }
}

/// Lists every fact of a template, the oldest first.
#[utoipa::path(
    get,
    path = "/templates/{id}/history",
    operation_id = "get_template_history",
    tag = "Templates",
    params(("id" = TemplateId, Path), HistoryPage),
    responses((status = 200, body = History)),
)]
async fn history(
    State(api): State<Api>,
    Path(template): Path<String>,
    Query(asked): Query<HistoryPage>,
) -> Result<Json<Page<EventView>>, ApiError> {
    let template = find(&api, &template).await?;
    let streams = api.store.template_streams(template.connection).await?;
    api.history(&streams, template.id, asked).await.map(Json)
}
