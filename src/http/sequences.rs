//! `/v1/sequences`: made, shown, and steered by people.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::carrier::{check_recipient, no_such_sender};
use super::content::{
    DEFAULT_GATE, GateRequest, Marketing, NewContent, Span, Way, check_group_gate, check_reference,
    read_content,
};
use super::json::Json;
use super::messages::RecipientType;
use super::object::Object;
use super::once::{OnceBody, answer};
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::quiet::QuietView;
use super::request::{Query, id};
use super::sequence_view::SequenceView;
use crate::model::ids::{CampaignId, SenderId, SequenceId};
use crate::model::provider::Provider;
use crate::model::recipient;
use crate::model::sequence::{
    Gate, OnFailure, OnOptOut, OnTemplatePause, OnUnknown, OutsideWindow, Policy, SequenceStatus,
};
use crate::store::sequence_changes::SequenceChange;
use crate::store::sequence_create::{NewSequence, NewStep};
use crate::store::sequences::{SequenceFilter, SequenceRow};
use crate::store::{Once, Reply};

type Sequences = Page<SequenceView>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one))
        .routes(routes!(append))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

/// Messages in one request.
const MOST: usize = 100;

/// Messages to one recipient, of which the next goes only when the one before has reached its
/// gate's status.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSequence, example = json!({
    "sender": "snd_…", "to": "447700900123", "reference": "welcome-1001",
    "gate": {"status": "delivered", "deadline": "24h", "on_deadline": "stop"},
    "on_failure": "stop",
    "messages": [
        {"type": "template", "template": {"name": "welcome", "language": {"code": "en_GB"}}},
        {"type": "text", "text": {"body": "First steps"}, "delay": "10m",
            "gate": {"status": "read"}},
    ],
}))]
struct Create {
    sender: SenderId,
    /// The recipient's number, a user id, or a group's id.
    #[schema(example = "447700900123")]
    to: String,
    /// `individual` where nothing is said.
    recipient_type: Option<RecipientType>,
    /// Your own name for it, and for its messages that have none.
    #[schema(min_length = 1, max_length = 256)]
    reference: Option<String>,
    /// What each message waits for before the next may go, where it says nothing itself.
    #[schema(value_type = Option<GateRequest>)]
    gate: Option<Object<GateRequest>>,
    /// `stop` where nothing is said.
    on_failure: Option<OnFailure>,
    /// Whether it ends when the recipient writes: `false` where nothing is said.
    stop_on_reply: Option<bool>,
    /// `stop` where nothing is said.
    on_opt_out: Option<OnOptOut>,
    /// `fail` where nothing is said.
    outside_window: Option<OutsideWindow>,
    /// `wait` where nothing is said.
    on_template_pause: Option<OnTemplatePause>,
    /// When nothing is posted.
    #[schema(value_type = Option<QuietView>)]
    quiet_hours: Option<Object<QuietView>>,
    #[schema(min_items = 1, max_items = 100)]
    messages: Vec<Step>,
}

/// A message of a sequence. Beside these fields stands what is said, under the name that `type`
/// says: an object in Meta's vocabulary, which goes out as it is, and is translated for Infobip.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewStep)]
pub struct Step {
    /// Meta's, such as `template` or `text`; the object of this name is what is said. Of `raw` it is
    /// in the provider's own vocabulary.
    #[schema(example = "text")]
    r#type: String,
    /// Between the gate of the message before and this one.
    delay: Option<Span>,
    /// When the *next* may go; what is left out is the sequence's.
    #[schema(value_type = Option<GateRequest>)]
    gate: Option<Object<GateRequest>>,
    #[schema(min_length = 1, max_length = 256)]
    reference: Option<String>,
    /// `hold` where nothing is said.
    on_unknown: Option<OnUnknown>,
    /// Over Meta's Marketing Messages API: of templates, through `meta` and `dialog360`.
    #[schema(value_type = Option<Marketing>)]
    marketing: Option<Object<Marketing>>,
    /// The object under `type`; anything else is refused by name.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Takes a sequence to be sent.
#[utoipa::path(
    post,
    path = "/sequences",
    operation_id = "create_sequence",
    tag = "Sequences",
    params(Once),
    request_body = Create,
    responses((status = 202, body = SequenceView), (status = 422, description = "not_supported_by_provider")),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let new = read(api.carrier(new.sender).await?, new)?;
    let show = |sequence| SequenceView::of(&api, sequence);
    let reply = api.store.create_sequence(&new, &once, show).await?;
    let reply = reply.ok_or_else(no_such_sender)?;
    api.signals.due(new.sender);
    answer(StatusCode::ACCEPTED, reply)
}

fn read(provider: Provider, new: Create) -> Result<NewSequence, ApiError> {
    let mut errors = Vec::new();
    let to_group = new.recipient_type == Some(RecipientType::Group);
    let to = new
        .recipient_type
        .unwrap_or_default()
        .read(&new.to, &mut errors);
    check_recipient(provider, &to, &mut errors);
    check_reference("", new.reference.as_deref(), &mut errors);
    let gate = new
        .gate
        .map_or(DEFAULT_GATE, |gate| gate.0.over(DEFAULT_GATE));
    if to_group {
        check_group_gate(gate, "", &mut errors);
    }
    let for_steps = Defaults {
        way: Way { provider, to: &to },
        gate,
        reference: new.reference.as_deref(),
        to_group,
    };
    let quiet_hours = new
        .quiet_hours
        .and_then(|hours| hours.0.read("", &mut errors));
    let steps = read_steps(new.messages, MOST, &for_steps, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::of_fields(errors));
    }
    let ours = Policy::default();
    Ok(NewSequence {
        sender: new.sender,
        recipient: to,
        reference: new.reference,
        gate,
        on_failure: new.on_failure.unwrap_or(OnFailure::Stop),
        policy: Policy {
            stop_on_reply: new.stop_on_reply.unwrap_or(ours.stop_on_reply),
            on_opt_out: new.on_opt_out.unwrap_or(ours.on_opt_out),
            outside_window: new.outside_window.unwrap_or(ours.outside_window),
            on_template_pause: new.on_template_pause.unwrap_or(ours.on_template_pause),
        },
        quiet_hours,
        single: false,
        at: None,
        steps,
    })
}

/// What a sequence's messages have from it.
pub struct Defaults<'a> {
    pub way: Way<'a>,
    pub gate: Gate,
    pub reference: Option<&'a str>,
    pub to_group: bool,
}

/// Reads the messages, at most so many.
pub fn read_steps(
    steps: Vec<Step>,
    most: usize,
    defaults: &Defaults<'_>,
    errors: &mut Vec<FieldError>,
) -> Vec<NewStep> {
    if steps.is_empty() || steps.len() > most {
        let message = format!("expected 1 to {most} messages");
        errors.push(FieldError::new("messages", message));
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
    let gate = step.gate.map(|gate| gate.0.over(defaults.gate));
    if let (Some(gate), true) = (gate, defaults.to_group) {
        check_group_gate(gate, &at, errors);
    }
    check_reference(&at, step.reference.as_deref(), errors);
    let content = NewContent {
        kind: step.r#type,
        marketing: step.marketing,
        on_unknown: step.on_unknown,
        rest: step.rest,
    };
    let content = read_content(&at, defaults.way, content, errors)?;
    let reference = step
        .reference
        .or_else(|| defaults.reference.map(str::to_owned));
    Some(NewStep {
        kind: content.kind,
        content: content.value,
        marketing: content.marketing,
        template: content.template,
        reference,
        gate,
        delay: step.delay.map_or(Duration::ZERO, |delay| delay.0),
        on_unknown: content.on_unknown,
    })
}

async fn find(api: &Api, id: SequenceId) -> Result<SequenceRow, ApiError> {
    let sequence = api.store.sequence(id).await?;
    sequence.ok_or(ApiError::NotFound("sequence"))
}

/// Shows a sequence with its messages.
#[utoipa::path(
    get,
    path = "/sequences/{id}",
    operation_id = "get_sequence",
    tag = "Sequences",
    params(("id" = SequenceId, Path)),
    responses((status = 200, body = SequenceView)),
)]
async fn one(
    State(api): State<Api>,
    Path(sequence): Path<String>,
) -> Result<Json<SequenceView>, ApiError> {
    let sequence = find(&api, id(&sequence, "sequence")?).await?;
    Ok(Json(SequenceView::of(&api, sequence)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    sender: Option<SenderId>,
    /// The recipient.
    to: Option<String>,
    reference: Option<String>,
    status: Option<SequenceStatus>,
    campaign: Option<CampaignId>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// Lists sequences, the newest first.
#[utoipa::path(
    get,
    path = "/sequences",
    operation_id = "list_sequences",
    tag = "Sequences",
    params(List),
    responses((status = 200, body = Sequences)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<SequenceView>>, ApiError> {
    let filter = SequenceFilter {
        sender: asked.sender,
        recipient: asked.to.map(|to| to.trim_start_matches('+').to_owned()),
        reference: asked.reference,
        status: asked.status,
        campaign: asked.campaign,
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

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSteps)]
struct Append {
    #[schema(min_items = 1, max_items = 100)]
    messages: Vec<Step>,
}

/// Appends messages; a completed sequence runs again.
#[utoipa::path(
    post,
    path = "/sequences/{id}/messages",
    operation_id = "append_to_sequence",
    tag = "Sequences",
    params(("id" = SequenceId, Path), Once),
    request_body = Append,
    responses((status = 202, body = SequenceView), (status = 422, description = "not_supported_by_provider"), (status = 409, description = "sequence_ended, sequence_too_long, part_of_campaign, recipient_erased")),
)]
async fn append(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    OnceBody(once, new): OnceBody<Append>,
) -> Result<Response, ApiError> {
    let id = id(&sequence, "sequence")?;
    // What is read here of the sequence never changes.
    let sequence = find(&api, id).await?;
    let defaults = Defaults {
        way: Way {
            provider: api.carrier(id.sender).await?,
            to: &sequence.recipient,
        },
        gate: sequence.gate,
        reference: sequence.reference.as_deref(),
        to_group: recipient::is_group(&sequence.recipient),
    };
    let mut errors = Vec::new();
    let steps = read_steps(new.messages, MOST, &defaults, &mut errors);
    if !errors.is_empty() {
        return Err(ApiError::of_fields(errors));
    }
    let reply = change(&api, id, SequenceChange::Append(&steps), &once).await?;
    answer(StatusCode::ACCEPTED, reply)
}

/// Pauses a sequence: nothing of it is posted until it is resumed.
#[utoipa::path(
    post,
    path = "/sequences/{id}/pause",
    operation_id = "pause_sequence",
    tag = "Sequences",
    params(("id" = SequenceId, Path), Once),
    responses((status = 200, body = SequenceView), (status = 409, description = "not_running, sequence_ended, recipient_erased")),
)]
async fn pause(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    steer(&api, &sequence, SequenceChange::Pause, &once).await
}

/// Lets a paused sequence go on, and a held one behind the message it is held at.
#[utoipa::path(
    post,
    path = "/sequences/{id}/resume",
    operation_id = "resume_sequence",
    tag = "Sequences",
    params(("id" = SequenceId, Path), Once),
    responses((status = 200, body = SequenceView), (status = 409, description = "not_held, sequence_ended, recipient_erased")),
)]
async fn resume(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    steer(&api, &sequence, SequenceChange::Resume, &once).await
}

/// Ends a sequence. What was posted stays posted.
#[utoipa::path(
    post,
    path = "/sequences/{id}/cancel",
    operation_id = "cancel_sequence",
    tag = "Sequences",
    params(("id" = SequenceId, Path), Once),
    responses((status = 200, body = SequenceView), (status = 409, description = "sequence_ended, recipient_erased")),
)]
async fn cancel(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    steer(&api, &sequence, SequenceChange::Cancel, &once).await
}

/// Posts the message again that a sequence is held or stopped at.
#[utoipa::path(
    post,
    path = "/sequences/{id}/retry",
    operation_id = "retry_sequence",
    tag = "Sequences",
    params(("id" = SequenceId, Path), Once),
    responses((status = 200, body = SequenceView), (status = 409, description = "not_held, not_failed, sequence_ended, campaign_ended, recipient_erased")),
)]
async fn retry(
    State(api): State<Api>,
    Path(sequence): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    steer(&api, &sequence, SequenceChange::Retry, &once).await
}

async fn steer(
    api: &Api,
    sequence: &str,
    change_to: SequenceChange<'_>,
    once: &Once,
) -> Result<Response, ApiError> {
    let reply = change(api, id(sequence, "sequence")?, change_to, once).await?;
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
