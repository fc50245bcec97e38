//! What comes of what is posted to a subscription: every attempt, what was not taken, and how it
//! is posted again.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Api;
use super::events;
use super::json::Json;
use super::moment::Moment;
use super::page::{Cursor, IdCursor, Limit, Page};
use super::problem::ApiError;
use super::request::{Body, Query, id};
use super::schema::DeliveryState;
use crate::feed::Filter;
use crate::forward::Failure;
use crate::model::ids::{ConnectionId, EventId, SenderId, SubscriptionId};
use crate::store::deliveries::{Attempted, Undelivered};
use crate::store::delivery_log::LogFilter;
use crate::store::feed::{Fact, Place};
use crate::store::subscriptions::Subscription;

type Deliveries = Page<AttemptView>;
type AllUndelivered = Page<UndeliveredView, 24>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(ping))
        .routes(routes!(deliveries))
        .routes(routes!(undelivered))
        .routes(routes!(replay))
}

async fn find(api: &Api, subscription: &str) -> Result<Subscription, ApiError> {
    let found = api.store.subscription(id(subscription, "subscription")?);
    found.await?.ok_or(ApiError::NotFound("subscription"))
}

/// What an endpoint did with an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Ping)]
struct PingView {
    /// The `webhook-id` of what was posted: an event of type `subscription.ping`, which is in no
    /// feed.
    event: EventId,
    /// Whether it took it: answered with 2xx.
    taken: bool,
    /// Of its answer, if one came.
    status: Option<u16>,
    latency_ms: u64,
    error: Option<String>,
    /// How its answer begins.
    answer: Option<String>,
}

/// Posts a test event to a subscription, now, and says what came of it.
#[utoipa::path(
    post,
    path = "/subscriptions/{id}/ping",
    operation_id = "ping_subscription",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path)),
    responses((status = 200, body = PingView)),
)]
async fn ping(
    State(api): State<Api>,
    Path(subscription): Path<String>,
) -> Result<Json<PingView>, ApiError> {
    let subscription = find(&api, &subscription).await?;
    let poster = &api.forwarding.poster;
    let fact = Fact::ping(subscription.id, poster.new_id(), api.clock().now());
    let event = EventId {
        sender: SenderId(fact.stream),
        uuid: fact.id,
    };
    let outcome = poster.post_event(&subscription, &events::show(fact)).await;
    Ok(Json(PingView {
        event,
        taken: outcome.failure.is_none(),
        status: outcome.status.map(|status| status.as_u16()),
        latency_ms: u64::try_from(outcome.latency.as_millis()).unwrap_or(u64::MAX),
        error: outcome.failure.as_ref().map(Failure::to_string),
        answer: Some(outcome.answer).filter(|answer| !answer.is_empty()),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Log {
    /// `true`: what was not taken. `false`: what was.
    #[param(value_type = Option<bool>)]
    failed: Option<Yes>,
    event: Option<EventId>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// A truth in a query, where everything is a text.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Yes {
    True,
    False,
}

/// One POST of an event.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
struct AttemptView {
    event: EventId,
    r#type: String,
    /// 1 for the first.
    attempt: i16,
    at: Moment,
    /// Of the answer, if one came.
    status: Option<i16>,
    latency_ms: i32,
    /// Why it does not count as taken.
    error: Option<String>,
    /// How the answer begins, where it does not count as taken.
    answer: Option<String>,
}

impl From<Attempted> for AttemptView {
    fn from(row: Attempted) -> Self {
        Self {
            event: event(row.stream, row.place),
            r#type: row.r#type,
            attempt: row.attempt,
            at: row.at.into(),
            status: row.status,
            latency_ms: row.latency_ms,
            error: row.error,
            answer: row.answer,
        }
    }
}

fn event(stream: i32, place: Place) -> EventId {
    EventId {
        sender: SenderId(stream),
        uuid: place.event(),
    }
}

/// Lists what was posted to a subscription, the newest first, for some days
/// (`forward.log_days`).
#[utoipa::path(
    get,
    path = "/subscriptions/{id}/deliveries",
    operation_id = "list_deliveries",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path), Log),
    responses((status = 200, body = Deliveries)),
)]
async fn deliveries(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    Query(asked): Query<Log>,
) -> Result<Json<Page<AttemptView>>, ApiError> {
    let subscription = find(&api, &subscription).await?.id;
    let filter = LogFilter {
        failed: asked.failed.map(|failed| matches!(failed, Yes::True)),
        event: asked.event.map(|event| event.uuid),
    };
    let before = asked.cursor.map(IdCursor::id);
    let limit = asked.limit;
    let found = api
        .store
        .deliveries(subscription, &filter, before, limit.rows());
    let (rows, next) = found.await?;
    let shown = rows.into_iter().map(AttemptView::from).collect();
    Ok(Json(Page::ending(shown, next.map(Uuid::into_bytes))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Rest {
    /// `dead` where nothing is said.
    #[param(value_type = Option<DeliveryState>)]
    state: Option<RestState>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<24>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RestState {
    Waiting,
    Dead,
}

/// An event that a subscription has not taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Undelivered)]
struct UndeliveredView {
    event: EventId,
    r#type: String,
    #[schema(value_type = DeliveryState)]
    state: &'static str,
    /// 0: it waits behind an earlier event of its subject.
    attempts: i16,
    /// `null`: after the one that it waits behind.
    next_attempt_at: Option<Moment>,
    failed_at: Option<Moment>,
    /// Of the last answer, if one came.
    status: Option<i16>,
    error: Option<String>,
}

impl From<Undelivered> for UndeliveredView {
    fn from(row: Undelivered) -> Self {
        Self {
            event: event(row.stream, row.place),
            r#type: row.r#type,
            state: if row.dead { "dead" } else { "waiting" },
            attempts: row.attempts,
            next_attempt_at: row.next_at.map(Moment),
            failed_at: row.failed_at.map(Moment),
            status: row.status,
            error: row.error,
        }
    }
}

/// Lists what a subscription has not taken: given up (`dead`), or still to be tried (`waiting`).
#[utoipa::path(
    get,
    path = "/subscriptions/{id}/undelivered",
    operation_id = "list_undelivered",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path), Rest),
    responses((status = 200, body = AllUndelivered)),
)]
async fn undelivered(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    Query(asked): Query<Rest>,
) -> Result<Json<Page<UndeliveredView, 24>>, ApiError> {
    let subscription = find(&api, &subscription).await?.id;
    let state = match asked.state.unwrap_or(RestState::Dead) {
        RestState::Dead => "dead",
        RestState::Waiting => "waiting",
    };
    let after = asked.cursor.map(|cursor| Place::from_bytes(cursor.0));
    let limit = asked.limit;
    let found = api
        .store
        .undelivered(subscription, state, after, limit.rows());
    let place = |row: &Undelivered| row.place.to_bytes();
    let page = Page::of(found.await?, limit, place, UndeliveredView::from);
    Ok(Json(page))
}

/// What is to be posted again: one event, what was given up, or what was written between two
/// moments.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeliveryReplay)]
struct Replay {
    /// One event, whether the subscription wants its like or not.
    event: Option<EventId>,
    /// `true`: all that was given up.
    dead: Option<bool>,
    /// What was written from then on, of what the subscription wants, taken or not; a page of it.
    since: Option<Moment>,
    /// And before then: now.
    until: Option<Moment>,
    /// The `next_cursor` of the answer before, with the same `since` and `until`.
    cursor: Option<Cursor<24>>,
}

/// What is posted again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryReplayed)]
struct Replayed {
    /// How many events were added to those that wait.
    replayed: u64,
    /// There may be more: ask again with it.
    next_cursor: Option<Cursor<24>>,
}

/// Posts events to a subscription again, under the `webhook-id` that they had.
#[utoipa::path(
    post,
    path = "/subscriptions/{id}/replay",
    operation_id = "replay_deliveries",
    tag = "Subscriptions",
    params(("id" = SubscriptionId, Path)),
    request_body = Replay,
    responses((status = 202, description = "They wait to be posted.", body = Replayed)),
)]
async fn replay(
    State(api): State<Api>,
    Path(subscription): Path<String>,
    Body(asked): Body<Replay>,
) -> Result<(StatusCode, Json<Replayed>), ApiError> {
    let subscription = find(&api, &subscription).await?;
    let store = &api.store;
    let mut next_cursor = None;
    let replayed = match (asked.event, asked.dead, asked.since) {
        (Some(event), None, None) => {
            let fact = store.fact(event).await?;
            let fact = fact.ok_or_else(|| ApiError::field("event", "there is no such event"))?;
            store.replay_facts(subscription.id, &[fact]).await?
        }
        (None, Some(true), None) => store.revive_dead(subscription.id).await?,
        (None, None, Some(since)) => {
            let until = asked.until.map_or(api.clock().now(), |until| until.0);
            let after = asked.cursor.map(|cursor| Place::from_bytes(cursor.0));
            let (mut facts, next) = store.facts_between(since.0, until, after).await?;
            let wanted = Filter::of(&subscription);
            facts.retain(|fact| {
                let connection = fact.connection.map(ConnectionId);
                wanted.takes(&fact.r#type, fact.sender.map(SenderId), connection)
            });
            next_cursor = next.map(|place| Cursor(place.to_bytes()));
            store.replay_facts(subscription.id, &facts).await?
        }
        _ => {
            let said = "expected one of `event`, `dead` and `since`";
            return Err(ApiError::field("", said));
        }
    };
    let replayed = Replayed {
        replayed,
        next_cursor,
    };
    Ok((StatusCode::ACCEPTED, Json(replayed)))
}
