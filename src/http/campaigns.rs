//! `/v1/campaigns`: made as drafts, shown, and steered by people. How recipients come is in
//! `recipients`.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::campaign_view::CampaignView;
use super::carrier::no_such_sender;
use super::content::{DEFAULT_GATE, GateRequest, Span, Way};
use super::json::Json;
use super::object::Object;
use super::once::{OnceBody, answer};
use super::page::{IdCursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::quiet::QuietView;
use super::request::{Query, id};
use super::sequences::{Defaults, Step, read_steps};
use crate::model::campaign::{CampaignStatus, MOST_PLACEHOLDERS, placeholders, variables_of};
use crate::model::ids::{CampaignId, SenderId};
use crate::model::provider::Provider;
use crate::model::sequence::{OnFailure, OnOptOut, OnTemplatePause, OutsideWindow, Policy};
use crate::store::campaigns::{Campaign, CampaignFilter, NewCampaign, Pace};
use crate::store::sequence_create::NewStep;
use crate::store::{CampaignChange, Once};

type Campaigns = Page<CampaignView>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one))
        .routes(routes!(activate))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(cancel))
}

/// Messages of a campaign.
const MOST: usize = 20;
/// The longest name or label, in bytes.
const LONGEST_NAME: usize = 256;

/// The same sequence for many recipients of one sender. What stands as `{{name}}` in a text of its
/// messages is the recipient's own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewCampaign, example = json!({
    "sender": "snd_…", "name": "Spring offer, United Kingdom", "label": "spring-offer",
    "messages": [
        {"type": "template", "template": {"name": "offer", "language": {"code": "en_GB"},
            "components": [{"type": "body", "parameters": [
                {"type": "text", "text": "{{name}}"}]}]}},
        {"type": "template", "template": {"name": "terms", "language": {"code": "en_GB"}},
            "delay": "10m"},
    ],
}))]
struct Create {
    sender: SenderId,
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// What campaigns of several senders have in common.
    #[schema(min_length = 1, max_length = 256)]
    label: Option<String>,
    /// What each message waits for before the next may go, where it says nothing itself.
    #[schema(value_type = Option<GateRequest>)]
    gate: Option<Object<GateRequest>>,
    /// `stop` where nothing is said.
    on_failure: Option<OnFailure>,
    /// Whether a recipient's sequence ends when they write: `false` where nothing is said.
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
    /// Some go first, and are watched before the rest goes; all at once where nothing is said.
    #[schema(value_type = Option<PaceRequest>)]
    pace: Option<Object<PaceRequest>>,
    /// Whether a recipient that comes twice has it twice: `false` where nothing is said.
    allow_repeats: Option<bool>,
    #[schema(min_items = 1, max_items = 20)]
    messages: Vec<Step>,
}

/// Some go first. If their templates may still be sent then, and their quality is not low, the rest
/// goes; else the campaign pauses itself.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewPace)]
struct PaceRequest {
    /// How many recipients.
    #[schema(minimum = 1, maximum = 1_000_000)]
    first: i64,
    /// Counted from when something has been posted to all of them.
    then_watch: Span,
}

/// Makes a draft; recipients are uploaded into it.
#[utoipa::path(
    post,
    path = "/campaigns",
    operation_id = "create_campaign",
    tag = "Campaigns",
    params(Once),
    request_body = Create,
    responses((status = 201, body = CampaignView), (status = 422, description = "not_supported_by_provider")),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let new = read(api.carrier(new.sender).await?, new)?;
    let reply = api
        .store
        .create_campaign(&new, &once, CampaignView::of)
        .await?;
    let Some(reply) = reply else {
        return Err(no_such_sender());
    };
    answer(StatusCode::CREATED, reply)
}

fn read(provider: Provider, new: Create) -> Result<NewCampaign, ApiError> {
    let mut errors = Vec::new();
    let fits = |text: &str| (1..=LONGEST_NAME).contains(&text.len());
    let mut check = |field, text: Option<&str>| {
        if !text.is_none_or(fits) {
            errors.push(FieldError::new(field, "expected 1 to 256 bytes"));
        }
    };
    check("name", Some(&new.name));
    check("label", new.label.as_deref());
    let gate = new
        .gate
        .map_or(DEFAULT_GATE, |gate| gate.0.over(DEFAULT_GATE));
    let defaults = Defaults {
        // What it may say does not depend on who it is said to: no group is among them.
        way: Way { provider, to: "" },
        gate,
        reference: None,
        to_group: false,
    };
    let steps = read_steps(new.messages, MOST, &defaults, &mut errors);
    check_lanes(&steps, &mut errors);
    if steps
        .iter()
        .map(|step| placeholders(&step.content))
        .sum::<usize>()
        > MOST_PLACEHOLDERS
    {
        let message = format!("expected at most {MOST_PLACEHOLDERS} placeholders in all of them");
        errors.push(FieldError::new("messages", message));
    }
    let quiet_hours = new
        .quiet_hours
        .and_then(|hours| hours.0.read("", &mut errors));
    let pace = new.pace.map(|Object(pace)| Pace {
        first: pace.first,
        then_watch: pace.then_watch.0,
    });
    if pace.is_some_and(|pace| !(1..=1_000_000).contains(&pace.first)) {
        errors.push(FieldError::new("pace.first", "expected 1 to 1,000,000"));
    }
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let ours = Policy::default();
    Ok(NewCampaign {
        sender: new.sender,
        name: new.name,
        label: new.label,
        gate,
        on_failure: new.on_failure.unwrap_or(OnFailure::Stop),
        policy: Policy {
            stop_on_reply: new.stop_on_reply.unwrap_or(ours.stop_on_reply),
            on_opt_out: new.on_opt_out.unwrap_or(ours.on_opt_out),
            outside_window: new.outside_window.unwrap_or(ours.outside_window),
            on_template_pause: new.on_template_pause.unwrap_or(ours.on_template_pause),
        },
        quiet_hours,
        allow_repeats: new.allow_repeats.unwrap_or(false),
        variables: variables(&steps),
        pace,
        steps,
    })
}

/// All recipients use the same templates: one that is paused stops all of them.
fn check_lanes(steps: &[NewStep], errors: &mut Vec<FieldError>) {
    for (index, step) in steps.iter().enumerate() {
        let Some((name, language)) = &step.template else {
            continue;
        };
        for (field, text) in [("name", name), ("language.code", language)] {
            let mut found = BTreeSet::new();
            variables_of(&text.as_str().into(), &mut found);
            if !found.is_empty() {
                let field = format!("messages[{index}].template.{field}");
                errors.push(FieldError::new(field, "is the same for all recipients"));
            }
        }
    }
}

fn variables(steps: &[NewStep]) -> Vec<String> {
    let mut found = BTreeSet::new();
    for step in steps {
        variables_of(&step.content, &mut found);
        if let Some(reference) = &step.reference {
            variables_of(&reference.as_str().into(), &mut found);
        }
    }
    found.into_iter().collect()
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    sender: Option<SenderId>,
    label: Option<String>,
    status: Option<CampaignStatus>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<IdCursor>,
}

/// Lists campaigns, the newest first.
#[utoipa::path(
    get,
    path = "/campaigns",
    operation_id = "list_campaigns",
    tag = "Campaigns",
    params(List),
    responses((status = 200, body = Campaigns)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<CampaignView>>, ApiError> {
    let filter = CampaignFilter {
        sender: asked.sender,
        label: asked.label,
        status: asked.status,
    };
    let before = asked.cursor.map(IdCursor::id);
    let found = api
        .store
        .list_campaigns(&filter, before, asked.limit.rows())
        .await?;
    let place = |campaign: &Campaign| campaign.id.uuid.into_bytes();
    Ok(Json(Page::of(
        found,
        asked.limit,
        place,
        CampaignView::in_list,
    )))
}

/// Shows a campaign and how far it is.
#[utoipa::path(
    get,
    path = "/campaigns/{id}",
    operation_id = "get_campaign",
    tag = "Campaigns",
    params(("id" = CampaignId, Path)),
    responses((status = 200, body = CampaignView)),
)]
async fn one(
    State(api): State<Api>,
    Path(campaign): Path<String>,
) -> Result<Json<CampaignView>, ApiError> {
    let found = api.store.campaign(id(&campaign, "campaign")?).await?;
    let found = found.ok_or(ApiError::NotFound("campaign"))?;
    Ok(Json(CampaignView::of(found)))
}

/// Lets a draft go: from now on no recipients are added.
#[utoipa::path(
    post,
    path = "/campaigns/{id}/activate",
    operation_id = "activate_campaign",
    tag = "Campaigns",
    params(("id" = CampaignId, Path), Once),
    responses((status = 200, body = CampaignView), (status = 409, description = "not_draft, upload_under_way, no_recipients")),
)]
async fn activate(
    State(api): State<Api>,
    Path(campaign): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    change(&api, &campaign, CampaignChange::Activate, &once).await
}

/// Pauses a campaign: nothing more of it is posted until it is resumed.
#[utoipa::path(
    post,
    path = "/campaigns/{id}/pause",
    operation_id = "pause_campaign",
    tag = "Campaigns",
    params(("id" = CampaignId, Path), Once),
    responses((status = 200, body = CampaignView), (status = 409, description = "not_running")),
)]
async fn pause(
    State(api): State<Api>,
    Path(campaign): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    change(&api, &campaign, CampaignChange::Pause, &once).await
}

/// Lets a paused campaign go on.
#[utoipa::path(
    post,
    path = "/campaigns/{id}/resume",
    operation_id = "resume_campaign",
    tag = "Campaigns",
    params(("id" = CampaignId, Path), Once),
    responses((status = 200, body = CampaignView), (status = 409, description = "not_paused")),
)]
async fn resume(
    State(api): State<Api>,
    Path(campaign): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    change(&api, &campaign, CampaignChange::Resume, &once).await
}

/// Ends a campaign: nothing more of it is posted. Its sequences end soon after.
#[utoipa::path(
    post,
    path = "/campaigns/{id}/cancel",
    operation_id = "cancel_campaign",
    tag = "Campaigns",
    params(("id" = CampaignId, Path), Once),
    responses((status = 200, body = CampaignView), (status = 409, description = "campaign_ended")),
)]
async fn cancel(
    State(api): State<Api>,
    Path(campaign): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    change(&api, &campaign, CampaignChange::Cancel, &once).await
}

async fn change(
    api: &Api,
    campaign: &str,
    change: CampaignChange,
    once: &Once,
) -> Result<Response, ApiError> {
    let id: CampaignId = id(campaign, "campaign")?;
    let changed = api
        .store
        .change_campaign(id, change, once, CampaignView::in_list)
        .await?;
    let reply = changed.ok_or(ApiError::NotFound("campaign"))??;
    api.signals.campaign_changed();
    api.changed(id.sender);
    answer(StatusCode::OK, reply)
}
