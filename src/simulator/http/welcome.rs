//! Meta's welcome message sequences: one address, which is told by its method and by whether it
//! names a sequence what to do. Meta describes its answers in two ways; a script says which is
//! given (`/_control/welcome`), and which sequences are in an ad.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::dialect::Dialect;
use super::super::state::Simulator;
use super::super::trouble::Trouble;
use super::Simulated;
use super::flows::form;
use super::manage::done;

/// Ids begin here.
const FIRST_ID: u64 = 612_000_000_000_001;

/// All of them, and how they are shown.
#[derive(Debug, Default)]
pub struct Welcome {
    all: BTreeMap<String, Sequence>,
    made: u64,
    /// A list of nodes with ids, as edges are; else a bare list of `sequence_id`. Errors have their
    /// number as a subcode then.
    is_edge: bool,
}

#[derive(Debug, Clone)]
struct Sequence {
    name: String,
    text: String,
    is_used_in_ad: bool,
}

pub fn router() -> Router<Arc<Simulator>> {
    let sequences = get(sequences).post(sequences).delete(sequences);
    Router::new()
        .route("/{version}/{id}/welcome_message_sequences", sequences)
        .route("/_control/welcome", put(set_shape))
        .route("/_control/welcome/{id}", put(set_used))
}

#[derive(Deserialize)]
struct Named {
    sequence_id: Option<String>,
}

async fn sequences(
    State(simulator): Simulated,
    Path((_version, waba_id)): Path<(String, String)>,
    Query(Named { sequence_id }): Query<Named>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    done(&simulator, Dialect::Meta, &headers, StatusCode::OK, || {
        if waba_id != simulator.config.waba_id {
            return Err(Trouble::UnknownObject(waba_id));
        }
        let welcome = &mut simulator.state().welcome;
        if method == Method::GET {
            return welcome.shown(sequence_id.as_deref());
        }
        if method == Method::DELETE {
            let id = sequence_id.ok_or_else(|| welcome.trouble(4_027_010, "Missing parameter"))?;
            welcome.changeable(&id)?;
            welcome.all.remove(&id);
            return Ok(json!({"success": true}));
        }
        let said = form(&body);
        match said["sequence_id"].as_str() {
            Some(id) => welcome.update(id, &said),
            None => welcome.create(&said),
        }
    })
}

impl Welcome {
    fn trouble(&self, code: i64, message: &'static str) -> Trouble {
        Trouble::Sequence {
            code,
            message,
            as_subcode: self.is_edge,
        }
    }

    fn create(&mut self, said: &Value) -> Result<Value, Trouble> {
        let missing = || self.trouble(4_027_010, "Missing parameter");
        let name = said["name"].as_str().ok_or_else(missing)?.to_owned();
        let text = said["welcome_message_sequence"]
            .as_str()
            .ok_or_else(missing)?;
        let text = self.sound(text)?;
        let id = (FIRST_ID + self.made).to_string();
        self.made += 1;
        let sequence = Sequence {
            name,
            text,
            is_used_in_ad: false,
        };
        self.all.insert(id.clone(), sequence);
        Ok(json!({"sequence_id": id}))
    }

    fn update(&mut self, id: &str, said: &Value) -> Result<Value, Trouble> {
        self.changeable(id)?;
        let text = said["welcome_message_sequence"].as_str();
        let text = text.map(|text| self.sound(text)).transpose()?;
        if let Some(sequence) = self.all.get_mut(id) {
            if let Some(name) = said["name"].as_str() {
                name.clone_into(&mut sequence.name);
            }
            sequence.text = text.unwrap_or(std::mem::take(&mut sequence.text));
        }
        Ok(json!({"success": true}))
    }

    /// A sequence is its JSON, and says something.
    fn sound(&self, text: &str) -> Result<String, Trouble> {
        let sequence: Value = serde_json::from_str(text).unwrap_or_default();
        match sequence.as_object().is_some_and(|it| !it.is_empty()) {
            true => Ok(text.to_owned()),
            false => Err(self.trouble(4_027_001, "Invalid input data")),
        }
    }

    fn changeable(&self, id: &str) -> Result<(), Trouble> {
        match self.all.get(id) {
            None => Err(self.trouble(4_027_017, "Could not load the sequence")),
            Some(sequence) if sequence.is_used_in_ad => {
                Err(self.trouble(4_027_012, "This sequence is used in an ad"))
            }
            Some(_) => Ok(()),
        }
    }

    fn shown(&self, id: Option<&str>) -> Result<Value, Trouble> {
        if id.is_some_and(|id| !self.all.contains_key(id)) {
            return Err(self.trouble(4_027_017, "Could not load the sequence"));
        }
        let wanted = self
            .all
            .iter()
            .filter(|(known, _)| id.is_none_or(|id| id == *known));
        let name = match self.is_edge {
            true => "id",
            false => "sequence_id",
        };
        let list: Vec<_> = wanted
            .map(|(id, it)| {
                json!({name: id, "name": it.name, "welcome_message_sequence": it.text,
                    "is_used_in_ad": it.is_used_in_ad})
            })
            .collect();
        Ok(match self.is_edge {
            true => json!({"data": list, "paging": {"cursors": {"before": "QV", "after": "QV"}}}),
            false => list.into(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    is_edge: bool,
}

async fn set_shape(State(simulator): Simulated, Json(shape): Json<Shape>) {
    simulator.state().welcome.is_edge = shape.is_edge;
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Used {
    is_used_in_ad: bool,
}

async fn set_used(
    State(simulator): Simulated,
    Path(id): Path<String>,
    Json(used): Json<Used>,
) -> StatusCode {
    match simulator.state().welcome.all.get_mut(&id) {
        None => StatusCode::NOT_FOUND,
        Some(sequence) => {
            sequence.is_used_in_ad = used.is_used_in_ad;
            StatusCode::NO_CONTENT
        }
    }
}
