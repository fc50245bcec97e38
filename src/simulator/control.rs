//! The side door under `/_control`, for scripts, tests and the demo's checker: plain JSON, no
//! authentication. It says what goes wrong from now on, makes things happen, and tells what
//! happened.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::config::{Delays, Faults};
use super::error::GraphError;
use super::hold::Judgement;
use super::log::Page;
use super::message::{Status, User};
use super::queue::{Item, Webhook};
use super::state::Simulator;
use super::template::{Key, Template};
use super::webhook::{Inbound, Update};

/// How long `idle` waits when it is not told.
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 30_000;

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/_control/webhook", put(set_webhook))
        .route("/_control/faults", get(faults).put(set_faults))
        .route("/_control/delays", get(delays).put(set_delays))
        .route("/_control/templates/{name}", put(register))
        .route("/_control/templates/{name}/pause", post(pause))
        .route("/_control/templates/{name}/unpause", post(unpause))
        .route("/_control/templates/{name}/settle", post(settle))
        .route("/_control/inbound", post(inbound))
        .route("/_control/webhooks", post(post_body))
        .route("/_control/messages/{wamid}/status", post(post_status))
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    url: String,
    app_secret: Option<String>,
}

async fn set_webhook(State(simulator): Simulated, Json(target): Json<Target>) {
    let mut state = simulator.state();
    state.webhook_url = Some(target.url);
    if let Some(app_secret) = target.app_secret {
        state.app_secret = app_secret;
    }
    drop(state);
    simulator.queue.wake();
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

async fn delays(State(simulator): Simulated) -> Json<Delays> {
    Json(simulator.state().delays)
}

/// Sets all delays; those not named get their defaults.
async fn set_delays(State(simulator): Simulated, Json(delays): Json<Delays>) -> Json<Delays> {
    simulator.state().delays = delays;
    Json(delays)
}

/// A template as it is to be from now on. No webhook tells of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    language: String,
    status: Option<String>,
    category: Option<String>,
    quality: Option<String>,
}

async fn register(
    State(simulator): Simulated,
    Path(name): Path<String>,
    Json(wanted): Json<Registration>,
) -> Json<Value> {
    let key = Key::new(&name, &wanted.language);
    let mut state = simulator.state();
    let new = || Template::new(&simulator.config.waba_id, key.clone());
    let template = state.templates.entry(key.clone()).or_insert_with(new);
    for (field, value) in [
        (&mut template.status, wanted.status),
        (&mut template.category, wanted.category),
        (&mut template.quality, wanted.quality),
    ] {
        if let Some(value) = value {
            *field = value;
        }
    }
    Json(template.to_json())
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TemplateChange {
    /// All languages of the name, if not given.
    language: Option<String>,
    /// `other_info.title` of a pause.
    title: Option<String>,
    /// For `settle`; else the seed decides.
    judgement: Option<Judgement>,
}

impl TemplateChange {
    /// These requests may come without a body.
    fn parse(body: &[u8]) -> Result<Self, Problem> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map_err(|e| Problem(StatusCode::BAD_REQUEST, e.to_string()))
    }

    fn keys(&self, simulator: &Simulator, name: &str) -> Result<Vec<Key>, Problem> {
        let language = self.language.as_ref().map(|l| Key::new(name, l).language);
        let wanted = |key: &&Key| {
            key.name == name
                && language
                    .as_ref()
                    .is_none_or(|language| *language == key.language)
        };
        let state = simulator.state();
        let keys: Vec<Key> = state.templates.keys().filter(wanted).cloned().collect();
        match keys.is_empty() {
            true => Err(unknown(format!(
                "no template {name}; register or use it first"
            ))),
            false => Ok(keys),
        }
    }
}

/// Changes every template meant, then posts the webhooks that say so.
fn change(
    simulator: &Simulator,
    keys: &[Key],
    mut change: impl FnMut(&mut Template) -> Update,
) -> Json<Value> {
    let mut state = simulator.state();
    let mut updates = Vec::new();
    let mut templates = Vec::new();
    for key in keys {
        if let Some(template) = state.templates.get_mut(key) {
            updates.push(change(template));
            templates.push(template.to_json());
        }
    }
    drop(state);
    for update in updates {
        simulator.post(update);
    }
    Json(json!({"templates": templates}))
}

async fn pause(
    State(simulator): Simulated,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let wanted = TemplateChange::parse(&body)?;
    let keys = wanted.keys(&simulator, &name)?;
    let title = wanted.title.as_deref().unwrap_or("FIRST_PAUSE");
    let now = simulator.clock.now();
    Ok(change(&simulator, &keys, |t| t.pause(title, now)))
}

async fn unpause(
    State(simulator): Simulated,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let keys = TemplateChange::parse(&body)?.keys(&simulator, &name)?;
    let now = simulator.clock.now();
    Ok(change(&simulator, &keys, |t| t.unpause(now)))
}

/// Releases or drops held messages before their time.
async fn settle(
    State(simulator): Simulated,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<(), Problem> {
    let wanted = TemplateChange::parse(&body)?;
    for key in wanted.keys(&simulator, &name)? {
        simulator.settle(&key, wanted.judgement);
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewInbound {
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
    let wamid = simulator.next_wamid(&from);
    simulator.post(Update::Inbound(Inbound {
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
struct NewBody {
    body: Box<RawValue>,
}

/// Signs and posts these very bytes until they are answered 200.
async fn post_body(State(simulator): Simulated, Json(new): Json<NewBody>) {
    let webhook = Webhook {
        body: Bytes::from(new.body.get().to_owned()),
        attempts: 0,
        repeatable: false,
        about: Vec::new(),
    };
    let now = simulator.clock.monotonic();
    simulator.queue.push(now, Item::Webhook(webhook));
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
        (new.status == "failed").then(|| vec![GraphError::undeliverable().in_webhook()])
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
