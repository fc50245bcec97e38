//! `/v1/messages/lookup`: many messages at once, by our ids, the providers', and the callers' own
//! references.

use std::collections::HashMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::Ref;
use utoipa::openapi::schema::{Object, OneOf, Type};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::message_view::MessageView;
use super::permit;
use super::problem::ApiError;
use super::request::Body;
use crate::model::ids::MessageId;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(lookup))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"ids": ["msg_…", "wamid…", "order-1001"]}))]
struct Lookup {
    /// Ours (`msg_…`), the provider's, and your own references, mixed. Of several that bear a
    /// reference it is the newest.
    #[schema(max_items = 1000)]
    ids: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Found {
    #[schema(schema_with = messages_by_id)]
    data: HashMap<String, Option<MessageView>>,
}

fn messages_by_id() -> Object {
    let message = OneOf::builder()
        .item(Object::with_type(Type::Null))
        .item(Ref::from_schema_name(MessageView::name()))
        .build();
    Object::builder()
        .description(Some("Each id that was asked for, with its message."))
        .additional_properties(Some(utoipa::openapi::Schema::OneOf(message)))
        .build()
}

/// Shows many messages at once.
#[utoipa::path(
    post,
    path = "/messages/lookup",
    operation_id = "lookup_messages",
    tag = "Messages",
    request_body = Lookup,
    responses((status = 200, body = Found)),
)]
async fn lookup(
    State(api): State<Api>,
    Body(Lookup { ids }): Body<Lookup>,
) -> Result<Json<Found>, ApiError> {
    const MOST: usize = 1_000;
    if ids.len() > MOST {
        return Err(ApiError::field("ids", "expected at most 1000"));
    }
    let theirs: Vec<_> = ids
        .iter()
        .filter(|id| id.parse::<MessageId>().is_err())
        .cloned()
        .collect();
    // Each by itself: two senders' messages may bear one id.
    let callers = |(_, message): &(String, MessageId)| permit::of_sender(message.sender).is_ok();
    let mut wanted: HashMap<_, _> = ids
        .iter()
        .filter_map(|id| Some((id.clone(), id.parse().ok()?)))
        .filter(callers)
        .collect();
    if !theirs.is_empty() {
        let found = api.store.messages_of_provider_ids(&theirs).await?;
        wanted.extend(found.into_iter().filter(callers));
    }
    let references: Vec<_> = theirs
        .into_iter()
        .filter(|id| !wanted.contains_key(id))
        .collect();
    if !references.is_empty() {
        let found = api.store.messages_of_references(&references).await?;
        // The newest last, so that it is the one that stays.
        wanted.extend(found.into_iter().filter(callers));
    }
    let all: Vec<_> = wanted.values().copied().collect();
    let found: HashMap<_, _> = api.store.messages(&all).await?.into_iter().collect();
    let show = |id: String| {
        let message = wanted.get(&id).and_then(|id| found.get(id));
        let view = message.map(|message| api.show_message(message));
        (id, view)
    };
    Ok(Json(Found {
        data: ids.into_iter().map(show).collect(),
    }))
}
