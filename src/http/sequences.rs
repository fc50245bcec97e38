//! `/v1/sequences`: made, shown, and steered by people.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Api;
use super::content::{
    DEFAULT_GATE, GateRequest, Span, check_group_gate, check_reference, read_content,
};
use super::messages::RecipientType;
use super::once::{OnceBody, answer};
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::request::{Query, id};
use super::sequence_view::SequenceView;
use crate::model::ids::{SenderId, SequenceId};
use crate::model::recipient;
use crate::model::sequence::{Gate, OnFailure, OnUnknown, SequenceStatus};
use crate::store::sequence_changes::SequenceChange;
use crate::store::sequence_create::{NewSequence, NewStep};
use crate::store::sequences::{SequenceFilter, SequenceRow};
use crate::store::{Once, Reply};

pub fn router() -> Router<Api> {
    Router::new()
        .route("/sequences", get(list).post(create))
        .route("/sequences/{id}", get(one))
        .route("/sequences/{id}/messages", post(append))
        .route("/sequences/{id}/pause", post(pause))
        .route("/sequences/{id}/resume", post(resume))
        .route("/sequences/{id}/cancel", post(cancel))
        .route("/sequences/{id}/retry", post(retry))
}

/// Messages in one request.
const MOST: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    sender: SenderId,
    to: String,
    recipient_type: Option<RecipientType>,
    reference: Option<String>,
    gate: Option<GateRequest>,
    on_failure: Option<OnFailure>,
    stop_on_reply: Option<bool>,
    messages: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    r#type: String,
    delay: Option<Span>,
    gate: Option<GateRequest>,
    reference: Option<String>,
    on_unknown: Option<OnUnknown>,
    /// The object under `type`; anything else is refused by name.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let new = read(new)?;
    let show = |sequence| SequenceView::of(&api, sequence);
    let reply = api.store.create_sequence(&new, &once, show).await?;
    let reply = reply.ok_or_else(|| ApiError::field("sender", "there is no such sender"))?;
    api.signals.due(new.sender);
    answer(StatusCode::ACCEPTED, reply)
}

fn read(new: Create) -> Result<NewSequence, ApiError> {
    let mut errors = Vec::new();
    let to_group = new.recipient_type == Some(RecipientType::Group);
    let to = new
        .recipient_type
        .unwrap_or_default()
        .read(&new.to, &mut errors);
    check_reference("", new.reference.as_deref(), &mut errors);
    if new.stop_on_reply == Some(true) {
        errors.push(FieldError::new("stop_on_reply", "not supported yet"));
    }
    let gate = new.gate.unwrap_or_default().over(DEFAULT_GATE);
    if to_group {
        check_group_gate(gate, "", &mut errors);
    }
    let for_steps = Defaults {
        gate,
        reference: new.reference.as_deref(),
        to_group,
    };
    let steps = read_steps(new.messages, &for_steps, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    Ok(NewSequence {
        sender: new.sender,
        recipient: to,
        reference: new.reference,
        gate,
        on_failure: new.on_failure.unwrap_or(OnFailure::Stop),
        single: false,
        at: None,
        steps,
    })
}

/// What a sequence's messages have from it.
struct Defaults<'a> {
    gate: Gate,
    reference: Option<&'a str>,
    to_group: bool,
}

fn read_steps(
    steps: Vec<Step>,
    defaults: &Defaults<'_>,
    errors: &mut Vec<FieldError>,
) -> Vec<NewStep> {
    if steps.is_empty() || steps.len() > MOST {
        errors.push(FieldError::new("messages", "expected 1 to 100 messages"));
        return Vec::new();
    }
    steps
        .into_iter()
        .enumerate()
        .filter_map(|(index, step)| read_step(index, step, defaults, errors))
        .collect()
}

fn read_step(
    index: usize,
    step: Step,
    defaults: &Defaults<'_>,
    errors: &mut Vec<FieldError>,
) -> Option<NewStep> {
    let at = format!("messages[{index}].");
    let gate = step.gate.map(|gate| gate.over(defaults.gate));
    if let (Some(gate), true) = (gate, defaults.to_group) {
        check_group_gate(gate, &at, errors);
    }
    check_reference(&at, step.reference.as_deref(), errors);
    let content = read_content(&at, &step.r#type, step.rest, errors)?;
    let reference = step
        .reference
        .or_else(|| defaults.reference.map(str::to_owned));
    Some(NewStep {
        kind: content.kind,
        content: content.value,
        template: content.template,
        reference,
        gate,
        delay: step.delay.map_or(Duration::ZERO, |delay| delay.0),
        on_unknown: step.on_unknown.unwrap_or(OnUnknown::Hold),
    })
}

async fn find(api: &Api, id: SequenceId) -> Result<SequenceRow, ApiError> {
    let sequence = api.store.sequence(id).await?;
    sequence.ok_or(ApiError::NotFound("sequence"))
}

async fn one(
    State(api): State<Api>,
    Path(sequence): Path<String>,
) -> Result<Json<SequenceView>, ApiError> {
    let sequence = find(&api, id(&sequence, "sequence")?).await?;
    Ok(Json(SequenceView::of(&api, sequence)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    sender: Option<SenderId>,
    to: Option<String>,
    reference: Option<String>,
    status: Option<SequenceStatus>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<SequenceView>>, ApiError> {
    let filter = SequenceFilter {
        sender: asked.sender,
        recipient: asked.to.map(|to| to.trim_start_matches('+').to_owned()),
        reference: asked.reference,
        status: asked.status,
    };
    let before = asked.cursor.map(IdCursor::id);
    let limit = asked.limit;
    let found = api
        .store
        .list_sequences(&filter, before, limit.rows())
        .await?;
    let place = |sequence: &SequenceRow| sequence.id.uuid.into_bytes();
    let show = |sequence| SequenceView::of(&api, sequence);
    Ok(Json(Page::of(found, limit, place, show)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    messages: Vec<Step>,
}

async fn append(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    OnceBody(once, new): OnceBody<Append>,
) -> Result<Response, ApiError> {
    let id = id(&sequence, "sequence")?;
    // What is read here of the sequence never changes.
    let sequence = find(&api, id).await?;
    let defaults = Defaults {
        gate: sequence.gate,
        reference: sequence.reference.as_deref(),
        to_group: recipient::is_group(&sequence.recipient),
    };
    let mut errors = Vec::new();
    let steps = read_steps(new.messages, &defaults, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let reply = change(&api, id, SequenceChange::Append(&steps), &once).await?;
    answer(StatusCode::ACCEPTED, reply)
}

async fn pause(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    let id = id(&sequence, "sequence")?;
    let reply = change(&api, id, SequenceChange::Pause, &once).await?;
    answer(StatusCode::OK, reply)
}

async fn resume(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    let id = id(&sequence, "sequence")?;
    let reply = change(&api, id, SequenceChange::Resume, &once).await?;
    answer(StatusCode::OK, reply)
}

async fn cancel(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    let id = id(&sequence, "sequence")?;
    let reply = change(&api, id, SequenceChange::Cancel, &once).await?;
    answer(StatusCode::OK, reply)
}

async fn retry(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    let id = id(&sequence, "sequence")?;
    let reply = change(&api, id, SequenceChange::Retry, &once).await?;
    answer(StatusCode::OK, reply)
}

/// Makes a change, tells those who wait for one, and shows the sequence as it is then.
async fn change(
    api: &Api,
    id: SequenceId,
    change: SequenceChange<'_>,
    once: &Once,
) -> Result<Reply, ApiError> {
    let show = |sequence| SequenceView::of(api, sequence);
    let changed = api.store.change_sequence(id, change, once, show).await?;
    let reply = changed.ok_or(ApiError::NotFound("sequence"))??;
    api.changed(id.sender);
    Ok(reply)
}
