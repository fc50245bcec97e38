//! `/v1/messages`: lone messages are made here, and all messages shown and steered one by one.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::carrier::{check_recipient, no_such_sender};
use super::content::{
    DEFAULT_GATE, Marketing, NewContent, SINGLE_GATE, Way, check_reference, read_content,
};
use super::events::{EventView, History, HistoryPage};
use super::json::Json;
use super::message_edit::MessageDetail;
use super::message_view::MessageView;
use super::message_wait::Wait;
use super::moment::Moment;
use super::object::Object;
use super::once::{OnceBody, answer};
use super::page::Page;
use super::problem::{ApiError, FieldError};
use super::quiet::QuietView;
use super::request::{Query, id};
use crate::model::ids::{MessageId, SenderId};
use crate::model::provider::Provider;
use crate::model::recipient;
use crate::model::sequence::{
    Gate, OnDeadline, OnFailure, OnOptOut, OnTemplatePause, OnUnknown, OutsideWindow, Policy,
};
use crate::store::Once;
use crate::store::messages::Message;
use crate::store::sequence_changes::MessageChange;
use crate::store::sequence_create::{NewSequence, NewStep};

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(one))
        .routes(routes!(history))
        .routes(routes!(cancel))
        .routes(routes!(retry))
}

/// To whom a message goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RecipientType {
    #[default]
    Individual,
    Group,
}

impl RecipientType {
    /// Reads `to`.
    pub fn read(self, to: &str, errors: &mut Vec<FieldError>) -> String {
        recipient::parse(to, self == Self::Group).unwrap_or_else(|error| {
            errors.push(FieldError::new("to", error));
            String::new()
        })
    }
}

/// A message. Beside these fields stands what is said, under the name that `type` says: an object
/// in Meta's vocabulary, which goes out as it is, and is translated for Infobip.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewMessage, example = json!({
    "sender": "snd_…", "to": "447700900123", "type": "template",
    "template": {"name": "order_ready", "language": {"code": "en_GB"}, "components": []},
    "reference": "order-1001", "at": "2026-12-01T09:00:00Z", "on_unknown": "hold",
}))]
struct Create {
    sender: SenderId,
    /// The recipient's number, a user id, or a group's id.
    #[schema(example = "447700900123")]
    to: String,
    /// `individual` where nothing is said.
    recipient_type: Option<RecipientType>,
    /// Meta's, such as `template` or `text`; the object of this name is what is said. Of `raw` it is
    /// in the provider's own vocabulary.
    #[schema(example = "text")]
    r#type: String,
    /// Your own name for it: every answer and event shows it.
    #[schema(min_length = 1, max_length = 256)]
    reference: Option<String>,
    /// Not before.
    at: Option<Moment>,
    /// `hold` where nothing is said.
    on_unknown: Option<OnUnknown>,
    /// `retry` sends again what failed with an error that may pass; else it has failed.
    #[schema(value_type = Option<OnFailure>)]
    on_failure: Option<OnFailure>,
    /// `fail` where nothing is said: a lone message has nothing behind it to stop.
    on_opt_out: Option<OnOptOut>,
    /// `fail` where nothing is said.
    outside_window: Option<OutsideWindow>,
    /// `wait` where nothing is said.
    on_template_pause: Option<OnTemplatePause>,
    /// When it is not posted.
    #[schema(value_type = Option<QuietView>)]
    quiet_hours: Option<Object<QuietView>>,
    /// Over Meta's Marketing Messages API: of templates, through `meta` and `dialog360`.
    #[schema(value_type = Option<Marketing>)]
    marketing: Option<Object<Marketing>>,
    /// The object under `type`; anything else is refused by name.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Takes a message to be sent.
#[utoipa::path(
    post,
    path = "/messages",
    operation_id = "create_message",
    tag = "Messages",
    params(Once),
    request_body = Create,
    responses((status = 202, body = MessageView), (status = 422, description = "not_supported_by_provider")),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let new = read(api.carrier(new.sender).await?, new)?;
    let show = |message| api.show_message(&message);
    let reply = api.store.create_message(&new, &once, show).await?;
    let reply = reply.ok_or_else(no_such_sender)?;
    api.signals.due(new.sender);
    answer(StatusCode::ACCEPTED, reply)
}

/// A lone message is a sequence of one.
fn read(provider: Provider, new: Create) -> Result<NewSequence, ApiError> {
    let mut errors = Vec::new();
    let to = new
        .recipient_type
        .unwrap_or_default()
        .read(&new.to, &mut errors);
    check_recipient(provider, &to, &mut errors);
    check_reference("", new.reference.as_deref(), &mut errors);
    let quiet_hours = new
        .quiet_hours
        .and_then(|hours| hours.0.read("", &mut errors));
    let on_failure = new.on_failure.unwrap_or(OnFailure::Stop);
    let ours = Policy::default();
    let policy = Policy {
        on_opt_out: new.on_opt_out.unwrap_or(OnOptOut::Fail),
        outside_window: new.outside_window.unwrap_or(ours.outside_window),
        on_template_pause: new.on_template_pause.unwrap_or(ours.on_template_pause),
        ..ours
    };
    let content = NewContent {
        kind: new.r#type,
        marketing: new.marketing,
        on_unknown: new.on_unknown,
        rest: new.rest,
    };
    let way = Way { provider, to: &to };
    match read_content("", way, content, &mut errors) {
        Some(content) if errors.is_empty() => Ok(NewSequence {
            sender: new.sender,
            recipient: to,
            reference: new.reference.clone(),
            gate: single_gate(on_failure),
            on_failure,
            policy,
            quiet_hours,
            single: true,
            at: new.at.map(|at| at.0),
            steps: vec![NewStep {
                kind: content.kind,
                content: content.value,
                marketing: content.marketing,
                template: content.template,
                reference: new.reference,
                gate: None,
                delay: Duration::ZERO,
                on_unknown: content.on_unknown,
            }],
        }),
        _ => Err(ApiError::of_fields(errors)),
    }
}

/// What a lone message's sequence waits for: it is done with the provider's answer, unless a later
/// failure is to be followed by another attempt.
fn single_gate(on_failure: OnFailure) -> Gate {
    match on_failure {
        OnFailure::Retry => Gate {
            on_deadline: OnDeadline::Skip,
            ..DEFAULT_GATE
        },
        OnFailure::Stop | OnFailure::Skip => SINGLE_GATE,
    }
}

/// Shows a message with what it says, or waits for a status of it.
#[utoipa::path(
    get,
    path = "/messages/{id}",
    operation_id = "get_message",
    tag = "Messages",
    params(("id" = MessageId, Path), Wait),
    responses((status = 200, body = MessageDetail)),
)]
async fn one(
    State(api): State<Api>,
    Path(message): Path<String>,
    Query(asked): Query<Wait>,
) -> Result<Json<MessageDetail>, ApiError> {
    let message = id(&message, "message")?;
    asked.until_reached(&api, message).await?;
    api.show_detail(message).await.map(Json)
}

/// Lists every fact of a message, the oldest first.
#[utoipa::path(
    get,
    path = "/messages/{id}/history",
    operation_id = "get_message_history",
    tag = "Messages",
    params(("id" = MessageId, Path), HistoryPage),
    responses((status = 200, body = History)),
)]
async fn history(
    State(api): State<Api>,
    Path(message): Path<String>,
    Query(asked): Query<HistoryPage>,
) -> Result<Json<Page<EventView>>, ApiError> {
    let id = api.find_message(id(&message, "message")?).await?.id;
    let page = api.history(&[id.sender.0], id.uuid, asked).await?;
    Ok(Json(page))
}

/// Cancels a message that has not been posted.
#[utoipa::path(
    post,
    path = "/messages/{id}/cancel",
    operation_id = "cancel_message",
    tag = "Messages",
    params(("id" = MessageId, Path), Once),
    responses((status = 200, body = MessageView), (status = 409, description = "already_sent, sequence_ended, recipient_erased")),
)]
async fn cancel(
    State(api): State<Api>,
    Path(message): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    change(&api, &message, MessageChange::Cancel, &once).await
}

/// Posts a message again that failed, or whose fate is unknown.
#[utoipa::path(
    post,
    path = "/messages/{id}/retry",
    operation_id = "retry_message",
    tag = "Messages",
    params(("id" = MessageId, Path), Once),
    responses((status = 200, body = MessageView), (status = 409, description = "not_failed, sequence_ended, campaign_ended, recipient_erased")),
)]
async fn retry(
    State(api): State<Api>,
    Path(message): Path<String>,
    once: Once,
) -> Result<Response, ApiError> {
    change(&api, &message, MessageChange::Retry, &once).await
}

async fn change(
    api: &Api,
    message: &str,
    change: MessageChange,
    once: &Once,
) -> Result<Response, ApiError> {
    let message: MessageId = id(message, "message")?;
    let limits = api.config.send.retry_limits();
    let show = |message| api.show_message(&message);
    let changed = api
        .store
        .change_message(message, change, &limits, once, show)
        .await?;
    let reply = changed.ok_or(ApiError::NotFound("message"))??;
    api.changed(message.sender);
    answer(StatusCode::OK, reply)
}

impl Api {
    pub(super) async fn find_message(&self, id: MessageId) -> Result<Message, ApiError> {
        let found = self.store.messages(&[id]).await?;
        let message = found.into_iter().next().map(|(_, message)| message);
        message.ok_or(ApiError::NotFound("message"))
    }

    pub(super) fn show_message(&self, message: &Message) -> MessageView {
        MessageView::of(
            message,
            &self.config.send.retry_limits(),
            self.clock().now(),
        )
    }

    /// A person changed something of this sender's.
    pub(super) fn changed(&self, sender: SenderId) {
        self.signals.due(sender);
        self.signals.changed();
    }
}
