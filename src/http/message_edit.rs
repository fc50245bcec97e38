//! `PATCH /v1/messages/{id}`: what is not sent yet may be changed; and a message as an editor sees
//! it, with what it says.

use axum::extract::{Path, State};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::content::{
    GateRequest, Marketing, NewContent, Span, Way, check_group_gate, check_on_unknown,
    check_reference, read_content,
};
use super::json::Json;
use super::message_view::MessageView;
use super::moment::Moment;
use super::object::Object;
use super::problem::{ApiError, FieldError};
use super::quiet::QuietView;
use super::request::{Body, id};
use super::sequence_view::GateView;
use crate::model::duration;
use crate::model::ids::MessageId;
use crate::model::recipient;
use crate::model::sequence::{OnFailure, OnOptOut, OnTemplatePause, OnUnknown, OutsideWindow};
use crate::store::message_edit::{MessageEdit, NewSaid};
use crate::store::messages::{Message, Step};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(edit))
}

/// What is to be another way; what is left out stays. Beside these fields may stand what is said,
/// under the name that `type` says, and replaces what was said as a whole.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = MessageEdit, example = json!({
    "text": {"body": "Your order is ready, and the shop is open until 8."},
    "reference": "order-1001",
}))]
struct Edit {
    /// Needed where it is another than before.
    #[schema(example = "text")]
    r#type: Option<String>,
    /// `null`: none any more.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    reference: Option<Option<String>>,
    /// Of a lone message: not before. `null`: now.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Moment>)]
    at: Option<Option<Moment>>,
    /// Of a message of a sequence: counted from when the one before passed its gate.
    #[schema(value_type = Option<Span>)]
    delay: Option<Span>,
    /// Of a message of a sequence: what the next one waits for. `null`: the sequence's.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<GateRequest>)]
    gate: Option<Option<Object<GateRequest>>>,
    on_unknown: Option<OnUnknown>,
    /// With a new template: over Meta's Marketing Messages API.
    #[schema(value_type = Option<Marketing>)]
    marketing: Option<Object<Marketing>>,
    /// The object under `type`; anything else is refused by name.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// What a message is asked for with, and keeps.
const KEPT: [&str; 8] = [
    "sender",
    "to",
    "recipient_type",
    "on_failure",
    "on_opt_out",
    "outside_window",
    "on_template_pause",
    "quiet_hours",
];

/// A field that is there, `null` or not.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// A message, what became of it, and what was asked for. What is said stands under the name that
/// `type` says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MessageDetail)]
pub struct MessageDetail {
    #[serde(flatten)]
    view: MessageView,
    /// What the next message waits for; `null` for a lone message.
    gate: Option<GateView>,
    /// Counted from when the message before passed its gate; `null` for a lone message.
    #[schema(value_type = Option<Span>)]
    delay: Option<String>,
    on_unknown: Option<OnUnknown>,
    /// Of a lone message: not before.
    at: Option<Moment>,
    /// What a failure leads to. This and what follows is `null` for a message that somebody else
    /// sent; a message of a sequence has it from its sequence.
    on_failure: Option<OnFailure>,
    on_opt_out: Option<OnOptOut>,
    outside_window: Option<OutsideWindow>,
    on_template_pause: Option<OnTemplatePause>,
    /// When it is not posted.
    quiet_hours: Option<QuietView>,
    /// As a marketing message, if as one.
    #[schema(value_type = Option<Object>)]
    marketing: Option<Value>,
    #[serde(flatten)]
    said: Map<String, Value>,
}

/// Changes what a message says, or when it goes, as long as nobody has taken it to be posted.
///
/// It is posted as it was, and this answers 409; or it is posted as it is now. An event
/// `message.changed` names the fields.
#[utoipa::path(
    patch,
    path = "/messages/{id}",
    operation_id = "update_message",
    tag = "Messages",
    params(("id" = MessageId, Path)),
    request_body = Edit,
    responses((status = 200, body = MessageDetail), (status = 422, description = "not_supported_by_provider"), (status = 409, description = "already_sent, already_tried, message_cancelled, sequence_ended, part_of_campaign, recipient_erased")),
)]
async fn edit(
    State(api): State<Api>,
    Path(message): Path<String>,
    Body(new): Body<Edit>,
) -> Result<Json<MessageDetail>, ApiError> {
    let id: MessageId = id(&message, "message")?;
    // What is read of it here never changes while it can be edited, but its type.
    let before = api.find_message(id).await?;
    let edit = api.read_edit(&before, new).await?;
    let limits = api.config.send.retry_limits();
    let edited = api.store.edit_message(before.id, &edit, &limits).await?;
    let edited = edited.ok_or(ApiError::NotFound("message"))??;
    api.changed(edited.id.sender);
    api.show_detail(edited.id).await.map(Json)
}

impl Api {
    async fn read_edit(&self, before: &Message, mut new: Edit) -> Result<MessageEdit, ApiError> {
        let mut errors = Vec::new();
        check_kept(&mut new.rest, &mut errors);
        check_reference(
            "",
            new.reference.as_ref().and_then(|text| text.as_deref()),
            &mut errors,
        );
        let to = before.recipient.clone().unwrap_or_default();
        let gate = self.read_gate(before, new.gate, recipient::is_group(&to), &mut errors);
        let gate = gate.await?;
        check_place(
            before.step.as_ref(),
            new.at.is_some(),
            new.delay.is_some(),
            &mut errors,
        );
        let on_unknown = new.on_unknown;
        let said = if new.r#type.is_some() || !new.rest.is_empty() || new.marketing.is_some() {
            let content = NewContent {
                kind: new.r#type.or(before.kind.clone()).unwrap_or_default(),
                marketing: new.marketing,
                on_unknown,
                rest: new.rest,
            };
            let provider = self.carrier(before.id.sender).await?;
            let content = read_content("", Way { provider, to: &to }, content, &mut errors);
            content.map(|content| NewSaid {
                kind: content.kind,
                content: content.value,
                marketing: content.marketing,
                template: content.template,
            })
        } else {
            if let Some(on_unknown) = on_unknown {
                let provider = self.carrier(before.id.sender).await?;
                check_on_unknown("", provider, on_unknown, &mut errors);
            }
            None
        };
        if !errors.is_empty() {
            return Err(ApiError::of_fields(errors));
        }
        Ok(MessageEdit {
            said,
            reference: new.reference,
            gate,
            delay: new.delay.map(|delay| delay.0),
            at: new.at.map(|at| at.map(|at| at.0)),
            on_unknown,
        })
    }

    /// What it leaves out it has from its sequence.
    async fn read_gate(
        &self,
        before: &Message,
        gate: Option<Option<Object<GateRequest>>>,
        to_group: bool,
        errors: &mut Vec<FieldError>,
    ) -> Result<Option<Option<crate::model::sequence::Gate>>, ApiError> {
        let step = before.step.as_ref().filter(|step| !step.single);
        let (Some(step), Some(Some(gate))) = (step, &gate) else {
            if gate.is_some() && step.is_none() {
                let message = "only a message of a sequence has a gate: nobody waits for this one";
                errors.push(FieldError::new("gate", message));
            }
            return Ok(gate.map(|_| None));
        };
        let sequence = self.store.sequence(step.sequence).await?;
        let base = sequence.ok_or(ApiError::NotFound("message"))?.gate;
        let gate = gate.0.over(base);
        if to_group {
            check_group_gate(gate, "", errors);
        }
        Ok(Some(Some(gate)))
    }

    /// With what it says.
    pub(super) async fn show_detail(&self, id: MessageId) -> Result<MessageDetail, ApiError> {
        let message = self.store.message(id).await?;
        let message = message.ok_or(ApiError::NotFound("message"))?;
        Ok(MessageDetail::of(self.show_message(&message), message))
    }
}

impl MessageDetail {
    fn of(view: MessageView, message: Message) -> Self {
        let in_sequence = message.step.as_ref().is_some_and(|step| !step.single);
        let asked = message.asked.unwrap_or_default();
        let step = message.step.as_ref();
        let policy = step.map(|step| step.state.policy);
        Self {
            at: asked.at.map(Moment),
            on_failure: step.map(|step| step.state.on_failure),
            on_opt_out: policy.map(|policy| policy.on_opt_out),
            outside_window: policy.map(|policy| policy.outside_window),
            on_template_pause: policy.map(|policy| policy.on_template_pause),
            quiet_hours: step
                .and_then(|step| step.quiet_hours.clone())
                .map(QuietView::from),
            view,
            gate: asked.gate.filter(|_| in_sequence).map(GateView::from),
            delay: in_sequence.then(|| duration::show(asked.delay)),
            on_unknown: asked.on_unknown,
            marketing: asked.marketing,
            said: message.kind.zip(asked.content).into_iter().collect(),
        }
    }
}

/// Refuses by name what can only be asked for with a new message.
fn check_kept(rest: &mut Map<String, Value>, errors: &mut Vec<FieldError>) {
    let kept = KEPT.iter().filter(|name| rest.remove(**name).is_some());
    let said = "cannot be changed; what is said can, and `reference`, `at` or `delay`, `gate`, \
                `on_unknown`. Cancel the message and make another";
    errors.extend(kept.map(|name| FieldError::new(*name, said)));
}

/// `at` is a lone message's, `delay` one of a sequence's.
fn check_place(step: Option<&Step>, at: bool, delay: bool, errors: &mut Vec<FieldError>) {
    let is_single = step.is_none_or(|step| step.single);
    if at && !is_single {
        let message = "only a lone message has it: a message of a sequence has a `delay`";
        errors.push(FieldError::new("at", message));
    }
    if delay && is_single {
        let message = "only a message of a sequence has it: a lone one has `at`";
        errors.push(FieldError::new("delay", message));
    }
}
