//! Templates by hand: registering them, pausing and unpausing, deciding about what they hold.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::dialect::Dialect;
use super::super::hold::Judgement;
use super::super::review::Verdict;
use super::super::state::Simulator;
use super::super::template::{Key, Template};
use super::super::update::Update;
use super::{Problem, Simulated, unknown};

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/_control/templates/{name}", put(register).delete(remove))
        .route("/_control/templates/{name}/pause", post(pause))
        .route("/_control/templates/{name}/unpause", post(unpause))
        .route("/_control/templates/{name}/settle", post(settle))
        .route("/_control/templates/{name}/review", post(review))
}

/// A template as it is to be from now on. No webhook tells of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    #[serde(default)]
    provider: Dialect,
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
    let key = Key::new(wanted.provider, &name, &wanted.language);
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

/// Deletes all languages of a name. No webhook tells of it.
async fn remove(State(simulator): Simulated, Path(name): Path<String>) -> StatusCode {
    let mut state = simulator.state();
    state.templates.retain(|key, _| key.name != name);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TemplateChange {
    /// With all providers, if not given.
    provider: Option<Dialect>,
    /// All languages of the name, if not given.
    language: Option<String>,
    /// `other_info.title` of a pause.
    title: Option<String>,
    /// For `settle`; else the seed decides.
    judgement: Option<Judgement>,
    /// For `review`; else it is approved.
    verdict: Option<Verdict>,
    /// Why it is rejected.
    reason: Option<String>,
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
        let wanted = |key: &&Key| {
            let like = |language: &String| Key::new(key.dialect, name, language).language;
            let language = self.language.as_ref().map(like);
            key.name == name
                && self.provider.is_none_or(|dialect| dialect == key.dialect)
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

/// Ends a review before its time.
async fn review(
    State(simulator): Simulated,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let wanted = TemplateChange::parse(&body)?;
    let keys = wanted.keys(&simulator, &name)?;
    let verdict = wanted.verdict.unwrap_or(Verdict::Approved);
    let (reason, now) = (wanted.reason.as_deref(), simulator.clock.now());
    Ok(change(&simulator, &keys, |t| {
        t.decide(&verdict, reason, now)
    }))
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
