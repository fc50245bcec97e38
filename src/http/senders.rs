//! `/v1/senders`: business phone numbers. One that a webhook made first is taken over by
//! creating it: it gets what is given and its origin becomes `api`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::moment::Moment;
use super::once::{OnceBody, answer};
use super::page::{Cursor, Limit, Page};
use super::problem::{ApiError, FieldError};
use super::request::{Body, Query, id};
use super::schema::{SenderOrigin, SenderStatus};
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::provider::Provider;
use crate::store::Once;
use crate::store::senders::{CreateSenderError, NewSender, STANDARD_RATE, Sender, SenderChange};

type Senders = Page<View, 4>;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, update))
}

/// A business phone number on a connection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSender)]
struct Create {
    connection: ConnectionId,
    /// Meta's id of the number. It is left out with 360dialog's On-Premises API, where nothing that
    /// is said of messages names one: such a connection has one number. Infobip's senders have
    /// their digits for it. A sender without it where there should be one, or with it where there
    /// should be none, sends nothing.
    #[schema(max_length = 64, example = "310022446688199")]
    phone_number_id: Option<String>,
    #[schema(example = "15550142217")]
    display_phone_number: Option<String>,
    /// Meta's id of the account: its templates are read from the provider by it. Where it is not
    /// given, it is learned from webhooks, or from the provider.
    #[schema(max_length = 64, example = "204411887755301")]
    waba_id: Option<String>,
    /// How fast it may post; 80 where nothing is said.
    #[schema(minimum = 1, maximum = 1000)]
    messages_per_second: Option<i32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct List {
    connection: Option<ConnectionId>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor<4>>,
}

/// A business phone number: the unit of rate, quality and ownership.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Sender)]
pub(super) struct View {
    id: SenderId,
    connection: ConnectionId,
    /// `null` where the provider names no number.
    phone_number_id: Option<String>,
    display_phone_number: Option<String>,
    waba_id: Option<String>,
    messages_per_second: i32,
    #[schema(value_type = SenderStatus)]
    status: String,
    /// The provider's words.
    status_reason: Option<String>,
    status_at: Option<Moment>,
    /// The provider's word, such as `GREEN`, or `FLAGGED` and `UNFLAGGED` as webhooks say it.
    quality: Option<String>,
    /// How fast the provider lets it send, in its words, such as `STANDARD`.
    throughput: Option<String>,
    /// The provider's word on the number as such: `CONNECTED`, `BANNED`, …
    state: Option<String>,
    /// Whether the provider sends for it: `AVAILABLE`, `LIMITED`, `BLOCKED`.
    health: Option<String>,
    /// To how many users a day the provider lets it open conversations, in its words.
    limit: Option<String>,
    /// The name that users see, once the provider has approved one.
    verified_name: Option<String>,
    /// What became of the review of that name, such as `APPROVED`.
    name_status: Option<String>,
    /// What became of the name that was asked for last, such as `REJECTED`.
    name_decision: Option<String>,
    #[schema(value_type = SenderOrigin)]
    origin: String,
    created_at: Moment,
    /// The provider's own object, where it was just read (`?fresh=true`); it is not kept.
    #[schema(value_type = Option<Object>)]
    provider: Option<Value>,
}

impl View {
    /// With what the provider shows of it.
    pub(super) fn with(self, provider: Value) -> Self {
        Self {
            provider: Some(provider),
            ..self
        }
    }
}

impl From<Sender> for View {
    fn from(sender: Sender) -> Self {
        Self {
            id: sender.id,
            connection: sender.connection,
            phone_number_id: Some(sender.phone_number_id).filter(|id| !id.is_empty()),
            display_phone_number: sender.display_phone_number,
            waba_id: sender.waba_id,
            messages_per_second: sender.messages_per_second,
            status: sender.status,
            status_reason: sender.status_reason,
            status_at: sender.status_at.map(Moment),
            quality: sender.quality,
            throughput: sender.throughput,
            state: sender.state,
            health: sender.health,
            limit: sender.messaging_limit,
            verified_name: sender.verified_name,
            name_status: sender.name_status,
            name_decision: sender.name_decision,
            origin: sender.origin,
            created_at: sender.created_at.into(),
            provider: None,
        }
    }
}

/// Makes a sender, or takes over one that a webhook made.
#[utoipa::path(
    post,
    path = "/senders",
    operation_id = "create_sender",
    tag = "Senders",
    params(Once),
    request_body = Create,
    responses((status = 201, body = View), (status = 409, description = "already_exists")),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let connection = api.connections.get(new.connection).await?;
    let unknown = CreateSenderError::UnknownConnection;
    let connection = connection.ok_or_else(|| ApiError::field("connection", unknown))?;
    let (phone_number_id, display_phone_number) = number(connection.provider, &new);
    let new = NewSender {
        connection: new.connection,
        phone_number_id,
        display_phone_number,
        waba_id: new.waba_id,
        messages_per_second: new.messages_per_second.unwrap_or(STANDARD_RATE),
    };
    let errors = check(connection.provider, &new);
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let created = api.store.create_sender(&new, &once, View::from).await;
    let reply = created.map_err(|error| match error {
        CreateSenderError::UnknownConnection => ApiError::field("connection", error),
        CreateSenderError::Taken => ApiError::AlreadyExists(error.to_string()),
        CreateSenderError::Store(error) => error.into(),
    })?;
    api.signals.sender_is_free();
    answer(StatusCode::CREATED, reply)
}

/// The provider's id of the number, empty where it has none; and the number as users see it.
fn number(provider: Provider, new: &Create) -> (String, Option<String>) {
    let (id, display) = (&new.phone_number_id, &new.display_phone_number);
    if provider != Provider::Infobip {
        return (id.clone().unwrap_or_default(), display.clone());
    }
    let digits = |text: &String| {
        text.chars()
            .filter(char::is_ascii_digit)
            .collect::<String>()
    };
    let id = id.clone().or(display.as_ref().map(digits));
    let id = id.unwrap_or_default();
    let display = display.clone().or(Some(id.clone()));
    (id, display)
}

fn check(provider: Provider, new: &NewSender) -> Vec<FieldError> {
    let has_id = is_provider_id(&new.phone_number_id);
    let id = new.phone_number_id.as_str();
    let wrong = match provider {
        Provider::Meta => (!has_id).then_some("expected Meta's id of the number"),
        Provider::Dialog360 | Provider::Dialog360Onprem => {
            (!has_id && !id.is_empty()).then_some("expected Meta's id of the number, or none")
        }
        Provider::Infobip => (!has_id || !id.bytes().all(|byte| byte.is_ascii_digit()))
            .then_some("expected the number of the sender, in digits"),
    };
    let number = wrong.map(|message| FieldError::new("phone_number_id", message));
    [
        number,
        check_waba_id(new.waba_id.as_deref()),
        check_rate(new.messages_per_second),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn check_waba_id(waba_id: Option<&str>) -> Option<FieldError> {
    let wrong = waba_id.is_some_and(|waba_id| !is_provider_id(waba_id));
    wrong.then(|| FieldError::new("waba_id", "expected Meta's id of the account"))
}

fn check_rate(messages_per_second: i32) -> Option<FieldError> {
    let wrong = !(1..=1000).contains(&messages_per_second);
    wrong.then(|| FieldError::new("messages_per_second", "expected a number from 1 to 1000"))
}

fn is_provider_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What may be changed. `status` takes `active` alone: whatever blocked the sender was put right.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SenderChange)]
struct Update {
    display_phone_number: Option<String>,
    #[schema(max_length = 64)]
    waba_id: Option<String>,
    #[schema(minimum = 1, maximum = 1000)]
    messages_per_second: Option<i32>,
    status: Option<Active>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Active {
    Active,
}

/// Changes a sender, or opens one that was blocked.
#[utoipa::path(
    patch,
    path = "/senders/{id}",
    operation_id = "update_sender",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    request_body = Update,
    responses((status = 200, body = View)),
)]
async fn update(
    State(api): State<Api>,
    Path(sender): Path<String>,
    Body(new): Body<Update>,
) -> Result<Json<View>, ApiError> {
    let sender = id(&sender, "sender")?;
    let errors: Vec<_> = [
        check_waba_id(new.waba_id.as_deref()),
        new.messages_per_second.and_then(check_rate),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !errors.is_empty() {
        return Err(ApiError::Invalid(errors));
    }
    let change = SenderChange {
        display_phone_number: new.display_phone_number,
        waba_id: new.waba_id,
        messages_per_second: new.messages_per_second,
        resume: matches!(new.status, Some(Active::Active)),
    };
    if !api.store.update_sender(sender, &change).await? {
        return Err(ApiError::NotFound("sender"));
    }
    api.signals.due(sender);
    read(&api, sender).await.map(Json)
}

pub(super) async fn read(api: &Api, sender: SenderId) -> Result<View, ApiError> {
    let sender = api.store.sender(sender).await?;
    sender.map(View::from).ok_or(ApiError::NotFound("sender"))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Fresh {
    /// `true`: read it from the provider first; `provider` has what that shows.
    #[param(value_type = Option<bool>)]
    fresh: Option<String>,
}

/// Shows a sender.
#[utoipa::path(
    get,
    path = "/senders/{id}",
    operation_id = "get_sender",
    tag = "Senders",
    params(("id" = SenderId, Path), Fresh),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(sender): Path<String>,
    Query(Fresh { fresh }): Query<Fresh>,
) -> Result<Json<View>, ApiError> {
    let sender = id(&sender, "sender")?;
    match fresh.as_deref() {
        None | Some("false") => read(&api, sender).await.map(Json),
        Some("true") => api.fresh_sender(sender).await.map(Json),
        Some(_) => Err(ApiError::field("fresh", "expected `true` or `false`")),
    }
}

/// Lists senders, the newest first.
#[utoipa::path(
    get,
    path = "/senders",
    operation_id = "list_senders",
    tag = "Senders",
    params(List),
    responses((status = 200, body = Senders)),
)]
async fn list(
    State(api): State<Api>,
    Query(asked): Query<List>,
) -> Result<Json<Page<View, 4>>, ApiError> {
    let before = asked
        .cursor
        .map(|cursor| SenderId(i32::from_be_bytes(cursor.0)));
    let limit = asked.limit;
    let found = api
        .store
        .list_senders(asked.connection, before, limit.rows())
        .await?;
    let place = |sender: &Sender| sender.id.0.to_be_bytes();
    Ok(Json(Page::of(found, limit, place, View::from)))
}
