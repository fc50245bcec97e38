//! `GET /v1/messages` and their counts: by whatever they are narrowed to.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::message_view::MessageView;
use super::message_wait::StatusWord;
use super::moment::Moment;
use super::page::{IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::Query;
use crate::model::ids::{CampaignId, SenderId, SequenceId};
use crate::model::message::MessageStatus;
use crate::store::message_list::MessageFilter;

type Messages = Page<MessageView>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(counts))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    sender: Option<SenderId>,
    /// The recipient.
    to: Option<String>,
    #[param(value_type = Option<MessageStatus>)]
    status: Option<StatusWord>,
    reference: Option<String>,
    provider_message_id: Option<String>,
    sequence: Option<SequenceId>,
    campaign: Option<CampaignId>,
    /// A template's name.
    template: Option<String>,
    /// Made at this time or later.
    since: Option<Moment>,
    /// Made before this time.
    until: Option<Moment>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// Lists messages, the newest first.
///
/// With `status` a page may have fewer rows than `limit`, and a `next_cursor` all the same: one
/// request looks at 20,000 messages at most.
#[utoipa::path(
    get,
    path = "/messages",
    operation_id = "list_messages",
    tag = "Messages",
    params(List),
    responses((status = 200, body = Messages)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<MessageView>>, ApiError> {
    let (limit, before) = (asked.limit.rows(), asked.cursor.map(IdCursor::id));
    let filter = MessageFilter {
        sender: asked.sender,
        recipient: asked.to.map(digits),
        status: asked.status.map(|status| status.0),
        reference: asked.reference,
        provider_message_id: asked.provider_message_id,
        sequence: asked.sequence,
        campaign: asked.campaign,
        template: asked.template,
        since: asked.since.map(|at| at.0),
        until: asked.until.map(|at| at.0),
    };
    let limits = api.config.send.retry_limits();
    let found = api.store.list_messages(&filter, before, limit, &limits);
    let (messages, next) = found.await?;
    let data = messages
        .iter()
        .map(|message| api.show_message(message))
        .collect();
    Ok(Json(Page::ending(data, next.map(uuid::Uuid::into_bytes))))
}

/// A recipient as it is kept.
fn digits(to: String) -> String {
    to.trim_start_matches('+').to_owned()
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Counted {
    sender: Option<SenderId>,
    /// The recipient.
    to: Option<String>,
    #[param(value_type = Option<MessageStatus>)]
    status: Option<StatusWord>,
    reference: Option<String>,
    sequence: Option<SequenceId>,
    campaign: Option<CampaignId>,
    /// A template's name.
    template: Option<String>,
    /// Made at this time or later.
    since: Option<Moment>,
    /// Made before this time.
    until: Option<Moment>,
}

/// How many messages there are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"data": {"queued": 12, "delivered": 340, "read": 87, "failed": 3}, "total": 442}))]
struct MessageCounts {
    /// By status. Each is there, also where there is none; with `status` that one alone.
    #[schema(schema_with = counts_by_status)]
    data: BTreeMap<&'static str, i64>,
    total: i64,
}

fn counts_by_status() -> utoipa::openapi::schema::Object {
    let count = || {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
    };
    let statuses = MessageStatus::ALL.into_iter();
    let described = ObjectBuilder::new().description(Some("By status."));
    let described = statuses.fold(described, |described, status| {
        described.property(status.as_str(), count())
    });
    described.build()
}

/// Counts messages by their status.
///
/// Each one that fits is looked at: some hundred thousand take a second. Narrow big counts by
/// `since`.
#[utoipa::path(
    get,
    path = "/messages/counts",
    operation_id = "count_messages",
    tag = "Messages",
    params(Counted),
    responses((status = 200, body = MessageCounts)),
)]
async fn counts(
    State(api): State<Api>,
    Query(asked): Query<Counted>,
) -> Result<Json<MessageCounts>, ApiError> {
    let filter = MessageFilter {
        sender: asked.sender,
        recipient: asked.to.map(digits),
        status: asked.status.map(|status| status.0),
        reference: asked.reference,
        provider_message_id: None,
        sequence: asked.sequence,
        campaign: asked.campaign,
        template: asked.template,
        since: asked.since.map(|at| at.0),
        until: asked.until.map(|at| at.0),
    };
    let limits = api.config.send.retry_limits();
    let counts = api.store.count_messages(&filter, &limits).await?;
    Ok(Json(MessageCounts {
        total: counts.values().sum(),
        data: counts
            .into_iter()
            .map(|(status, n)| (status.as_str(), n))
            .collect(),
    }))
}
