//! The side door under `/_control`, for scripts, tests and the demo's checker: plain JSON, no
//! authentication. It says what goes wrong from now on, makes things happen, and tells what
//! happened. What concerns templates is in `templates`, what concerns webhooks in `webhooks`.

mod templates;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::calls;
use super::config::{Delays, Faults};
use super::dialect::Dialect;
use super::log::Page;
use super::message::{Status, User};
use super::state::Simulator;
use super::update::{Inbound, Update};

/// How long `idle` waits when it is not told.
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 30_000;

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/_control/faults", get(faults).put(set_faults))
        .route("/_control/delays", get(delays).put(set_delays))
        .merge(templates::router())
        .merge(webhooks::router())
        .route("/_control/inbound", post(inbound))
        .route("/_control/messages/{wamid}/status", post(post_status))
        .route("/_control/calls", get(calls::show))
        .route("/_control/uploads", put(break_uploads))
        .route("/_control/stats", get(stats))
        .route("/_control/idle", get(idle))
        .route("/_control/log", get(log))
}

type Simulated = State<Arc<Simulator>>;

/// Why a script's request cannot be done.
struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

fn unknown(what: impl Into<String>) -> Problem {
    Problem(StatusCode::NOT_FOUND, what.into())
}

async fn faults(State(simulator): Simulated) -> Json<Faults> {
    Json(simulator.state().faults)
}

/// Sets all rates; those not named become 0.
async fn set_faults(
    State(simulator): Simulated,
    Json(faults): Json<Faults>,
) -> Result<Json<Faults>, Problem> {
    let checked = faults.check();
    checked.map_err(|why| Problem(StatusCode::BAD_REQUEST, why))?;
    simulator.state().faults = faults;
    Ok(Json(faults))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Broken {
    /// So many of the next transfers.
    times: u32,
}

/// Breaks transfers of samples off in their middle.
async fn break_uploads(State(simulator): Simulated, Json(broken): Json<Broken>) -> StatusCode {
    simulator.state().media.breaks = broken.times;
    StatusCode::NO_CONTENT
}

async fn delays(State(simulator): Simulated) -> Json<Delays> {
    Json(simulator.state().delays)
}

/// Sets all delays; those not named get their defaults.
async fn set_delays(State(simulator): Simulated, Json(delays): Json<Delays>) -> Json<Delays> {
    simulator.state().delays = delays;
    Json(delays)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInbound {
    #[serde(default)]
    provider: Dialect,
    phone_number_id: String,
    from: String,
    text: String,
}

async fn inbound(
    State(simulator): Simulated,
    Json(new): Json<NewInbound>,
) -> Result<Json<Value>, Problem> {
    let bad_number = || Problem(StatusCode::BAD_REQUEST, "from has no digit".to_owned());
    let from = User::by_number(&new.from).ok_or_else(bad_number)?;
    let wamid = simulator.next_inbound_id(new.provider, &from);
    simulator.post(Update::Inbound(Inbound {
        dialect: new.provider,
        phone_number_id: new.phone_number_id,
        wamid: wamid.clone(),
        from,
        text: new.text,
        at: simulator.clock.now().unix_timestamp(),
    }));
    Ok(Json(json!({"wamid": wamid})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewStatus {
    status: String,
    errors: Option<Vec<Value>>,
    #[serde(default)]
    without_callback: bool,
}

async fn post_status(
    State(simulator): Simulated,
    Path(wamid): Path<String>,
    Json(new): Json<NewStatus>,
) -> Result<(), Problem> {
    let message = simulator.state().message(&wamid);
    let message = message.ok_or_else(|| unknown(format!("no message {wamid}")))?;
    let errors = new.errors.or_else(|| {
        let failure = || vec![message.dialect.failure(&message.fails_with)];
        (new.status == "failed").then(failure)
    });
    simulator.post(Update::Status(Status {
        message,
        at: simulator.clock.now().unix_timestamp(),
        errors: errors.map(Value::from),
        callback: !new.without_callback,
        pricing: new.status == "delivered",
        conversation: false,
        repeated: false,
        status: new.status,
    }));
    Ok(())
}

async fn stats(State(simulator): Simulated) -> Json<Value> {
    let (pending, scheduled) = simulator.queue.pending();
    let state = simulator.state();
    let held: usize = state.templates.values().map(|t| t.held.len()).sum();
    let mut stats = json!(state.stats);
    stats["pending"] = pending.into();
    stats["scheduled"] = scheduled.into();
    stats["held"] = held.into();
    Json(stats)
}

#[derive(Deserialize)]
struct IdleQuery {
    timeout_ms: Option<u64>,
}

/// Answers once nothing is planned and every webhook is acknowledged, or the time is over.
async fn idle(State(simulator): Simulated, Query(query): Query<IdleQuery>) -> Json<Value> {
    let mut idle = simulator.queue.idle();
    let timeout = Duration::from_millis(query.timeout_ms.unwrap_or(DEFAULT_IDLE_TIMEOUT_MS));
    let reached = tokio::select! {
        reached = tokio::time::timeout(timeout, idle.wait_for(|idle| *idle)) => {
            matches!(reached, Ok(Ok(_)))
        }
        () = simulator.shutdown.cancelled() => false,
    };
    Json(json!({"idle": reached}))
}

#[derive(Deserialize)]
struct LogQuery {
    #[serde(default)]
    since_tick: u64,
}

async fn log(State(simulator): Simulated, Query(query): Query<LogQuery>) -> Json<Page> {
    Json(simulator.log.page(query.since_tick))
}
