//! Webhooks by hand: where they go and what proves them, any body at all, an example of any kind,
//! and what came of each attempt.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::auth::{Auth, Signature};
use super::super::dialect::Dialect;
use super::super::examples;
use super::super::queue::{Item, Webhook};
use super::super::state::Simulator;
use super::{Problem, Simulated, unknown};

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/_control/webhook", put(set_target))
        .route("/_control/webhooks", post(post_body))
        .route("/_control/kinds", get(kinds))
        .route("/_control/kinds/{provider}/{kind}", post(post_example))
        .route("/_control/attempts", get(attempts))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTarget {
    #[serde(default)]
    provider: Dialect,
    url: String,
    /// Meta: short for the secret of `auth.signature`.
    app_secret: Option<String>,
    /// All that proves them from now on.
    auth: Option<Auth>,
    messages_api: Option<bool>,
}

/// Sets where webhooks go; what else is not named stays as it was.
async fn set_target(State(simulator): Simulated, Json(new): Json<NewTarget>) {
    let mut state = simulator.state();
    let target = state.targets.entry(new.provider).or_default();
    target.url = Some(new.url);
    if let Some(auth) = new.auth {
        target.auth = auth;
    }
    if let Some(secret) = new.app_secret {
        target.auth.signature = Some(Signature::of(secret));
    }
    if let Some(messages_api) = new.messages_api {
        target.messages_api = messages_api;
    }
    drop(state);
    simulator.queue.wake();
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBody {
    #[serde(default)]
    provider: Dialect,
    body: Box<RawValue>,
}

/// Proves and posts these very bytes until they are answered 200.
async fn post_body(State(simulator): Simulated, Json(new): Json<NewBody>) -> Json<Value> {
    let body = Bytes::from(new.body.get().to_owned());
    Json(json!({"webhook": post_bytes(&simulator, new.provider, body)}))
}

/// Returns the webhook's number, by which `attempts` names it.
fn post_bytes(simulator: &Simulator, dialect: Dialect, body: Bytes) -> u64 {
    let number = simulator.state().next_body();
    let webhook = Webhook {
        dialect,
        body,
        number,
        url: None,
        to: None,
        attempts: 0,
        repeatable: false,
        about: Vec::new(),
    };
    let now = simulator.clock.monotonic();
    simulator.queue.push(now, Item::Webhook(webhook));
    number
}

#[derive(Deserialize)]
struct OfProvider {
    provider: Option<Dialect>,
}

/// The kinds of webhooks that there are examples of.
async fn kinds(Query(of): Query<OfProvider>) -> Result<Json<Value>, Problem> {
    let mut kinds = Vec::new();
    for dialect in Dialect::ALL {
        if of.provider.is_none_or(|wanted| wanted == dialect) {
            for (kind, _) in examples::of(dialect).map_err(broken)? {
                kinds.push(json!({"provider": dialect, "kind": kind}));
            }
        }
    }
    Ok(Json(json!({"kinds": kinds})))
}

fn broken(error: serde_json::Error) -> Problem {
    Problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

/// Posts the example of a kind; shows it.
async fn post_example(
    State(simulator): Simulated,
    Path((dialect, kind)): Path<(Dialect, String)>,
) -> Result<Json<Value>, Problem> {
    let examples = examples::of(dialect).map_err(broken)?;
    let found = examples.into_iter().find(|(known, _)| *known == kind);
    let none = || unknown(format!("no {kind} of {}", dialect.name()));
    let (_, body) = found.ok_or_else(none)?;
    let bytes = Bytes::from(body.get().to_owned());
    let number = post_bytes(&simulator, dialect, bytes);
    Ok(Json(json!({"webhook": number, "body": body})))
}

/// The latest attempts to post a webhook, in the order in which they ended.
async fn attempts(State(simulator): Simulated) -> Json<Value> {
    Json(json!({"attempts": simulator.log.attempts()}))
}
