//! `/v1/messages/lookup`: many messages at once, by our ids and the providers'.

use std::collections::HashMap;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use super::Api;
use super::message_view::MessageView;
use super::problem::ApiError;
use super::request::Body;
use crate::model::ids::MessageId;

pub fn router() -> Router<Api> {
    Router::new().route("/messages/lookup", post(lookup))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lookup {
    ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Found {
    data: HashMap<String, Option<MessageView>>,
}

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
    let mut wanted: HashMap<String, MessageId> = ids
        .iter()
        .filter_map(|id| Some((id.clone(), id.parse().ok()?)))
        .collect();
    if !theirs.is_empty() {
        wanted.extend(api.store.messages_of_provider_ids(&theirs).await?);
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
