//! `/v1/welcome_sequences`: Meta's welcome message sequences. Nothing of them is kept here: an id is
//! the provider's, and whose it is, is said with each call.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::managed::{Whose, given, note, refuse, whole};
use super::moment::Moment;
use super::problem::ApiError;
use super::request::{Body, Query};
use crate::manage::{Account, Manage};
use crate::model::ids::{ConnectionId, SenderId};
use crate::provider::operations::Operation;
use crate::provider::operations::welcome as op;
use crate::provider::welcome::{self, Welcome};

/// How to find out what became of a call whose answer was lost.
const LOOK: &str = "look with `GET /v1/welcome_sequences` before you ask again: a second one of a \
                    name may be made";

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, update, delete))
}

/// Whose sequence.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Of {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Needed where the connection's senders are of several accounts, or of none.
    waba_id: Option<String>,
}

impl From<Of> for Whose {
    fn from(of: Of) -> Self {
        Self {
            sender: of.sender,
            connection: of.connection,
            waba_id: of.waba_id,
        }
    }
}

impl Api {
    /// Whose account is meant, where its provider has such a call at all.
    async fn account_with(
        &self,
        whose: impl Into<Whose>,
        operation: &'static Operation,
    ) -> Result<Account, ApiError> {
        let account = self.account(&whose.into()).await?;
        Manage::has(&account, operation)?;
        Ok(account)
    }
}

/// A welcome message sequence, as the provider shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WelcomeSequence)]
struct View {
    /// The provider's; an ad names it as `partner_app_welcome_message_flow_id`.
    id: String,
    name: Option<String>,
    /// `text`, `autofill_message.content`, `ice_breakers[].title`.
    #[schema(value_type = Option<Object>)]
    sequence: Option<Value>,
    /// `true`: it can be neither changed nor deleted.
    is_used_in_ad: Option<bool>,
    updated_at: Option<Moment>,
    /// The provider's own object.
    provider: Value,
}

impl From<(Welcome, Value)> for View {
    fn from((welcome, provider): (Welcome, Value)) -> Self {
        Self {
            id: welcome.id,
            name: welcome.name,
            sequence: welcome.sequence,
            is_used_in_ad: welcome.is_used_in_ad,
            updated_at: welcome.updated_at.map(Moment),
            provider,
        }
    }
}

/// All sequences of an account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WelcomeSequenceList)]
struct List {
    data: Vec<View>,
}

/// What the provider answered to a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = WelcomeSequenceAnswer)]
struct Done {
    id: String,
    provider_answer: Value,
}

/// Lists welcome message sequences, from the provider: those that the connection's app made.
#[utoipa::path(
    get,
    path = "/welcome_sequences",
    operation_id = "list_welcome_sequences",
    tag = "Welcome sequences",
    params(Of),
    responses((status = 200, body = List)),
)]
async fn list(State(api): State<Api>, Query(of): Query<Of>) -> Result<Json<List>, ApiError> {
    let account = api.account_with(of, &op::LIST_WELCOME).await?;
    let found = api.manage.welcome_all(&account).await?;
    let data = found.into_iter().map(View::from).collect();
    Ok(Json(List { data }))
}

/// A new welcome message sequence.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewWelcomeSequence)]
struct Create {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Needed where the connection's senders are of several accounts, or of none.
    waba_id: Option<String>,
    /// For whoever makes ads.
    #[schema(example = "Boiler leads")]
    name: String,
    /// `text`: the greeting; `autofill_message.content`: what stands in the user's composer;
    /// `ice_breakers[].title`: questions to tap. It is passed on as it is.
    sequence: Map<String, Value>,
}

/// Makes a welcome message sequence.
#[utoipa::path(
    post,
    path = "/welcome_sequences",
    operation_id = "create_welcome_sequence",
    tag = "Welcome sequences",
    request_body = Create,
    responses((status = 201, body = Done)),
)]
async fn create(
    State(api): State<Api>,
    Body(new): Body<Create>,
) -> Result<(StatusCode, Json<Done>), ApiError> {
    let of = Of {
        sender: new.sender,
        connection: new.connection,
        waba_id: new.waba_id,
    };
    let account = api.account_with(of, &op::CREATE_WELCOME).await?;
    note(&account, &format!("welcome sequence {:?}", new.name));
    let given = members(json!({"name": new.name, "sequence": new.sequence}), true)?;
    let manage = api.manage.clone();
    let made = whole(async move { manage.create_welcome(&account, &given).await }).await;
    let (id, provider_answer) = made.map_err(|error| error.found_out_by(LOOK))?;
    let done = Done {
        id,
        provider_answer,
    };
    Ok((StatusCode::CREATED, Json(done)))
}

/// What is said of a sequence, if nothing is wrong with it.
fn members(said: Value, is_new: bool) -> Result<Map<String, Value>, ApiError> {
    let Value::Object(said) = said else {
        return Err(ApiError::Internal);
    };
    let said = given(said);
    if said.is_empty() {
        return Err(ApiError::field("", "expected something to change"));
    }
    refuse(welcome::check(&Value::Object(said.clone()), is_new))?;
    Ok(said)
}

/// An id that can be one.
fn known(id: String) -> Result<String, ApiError> {
    match !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(id),
        false => Err(ApiError::NotFound("welcome sequence")),
    }
}

/// Shows a welcome message sequence, from the provider.
#[utoipa::path(
    get,
    path = "/welcome_sequences/{id}",
    operation_id = "get_welcome_sequence",
    tag = "Welcome sequences",
    params(("id" = String, Path), Of),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Json<View>, ApiError> {
    let id = known(id)?;
    let account = api.account_with(of, &op::READ_WELCOME).await?;
    let found = api.manage.welcome(&account, &id).await?;
    let found = found.ok_or(ApiError::NotFound("welcome sequence"))?;
    Ok(Json(found.into()))
}

/// What is to be changed of a sequence.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WelcomeSequenceChange)]
struct Update {
    name: Option<String>,
    /// All of it.
    sequence: Option<Map<String, Value>>,
}

/// Changes a welcome message sequence that no ad uses: what is not named stays.
#[utoipa::path(
    patch,
    path = "/welcome_sequences/{id}",
    operation_id = "update_welcome_sequence",
    tag = "Welcome sequences",
    params(("id" = String, Path), Of),
    request_body = Update,
    responses((status = 200, body = Done)),
)]
async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
    Body(change): Body<Update>,
) -> Result<Json<Done>, ApiError> {
    let id = known(id)?;
    let account = api.account_with(of, &op::UPDATE_WELCOME).await?;
    note(&account, &format!("welcome sequence {id}"));
    let said = json!({"name": change.name, "sequence": change.sequence});
    let given = members(said, false)?;
    let (manage, of) = (api.manage.clone(), id.clone());
    let done = whole(async move { manage.update_welcome(&account, &of, &given).await }).await;
    let provider_answer = done.map_err(|error| error.found_out_by(LOOK))?;
    Ok(Json(Done {
        id,
        provider_answer,
    }))
}

/// Deletes a welcome message sequence that no ad uses.
#[utoipa::path(
    delete,
    path = "/welcome_sequences/{id}",
    operation_id = "delete_welcome_sequence",
    tag = "Welcome sequences",
    params(("id" = String, Path), Of),
    responses((status = 200, body = Done)),
)]
async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Json<Done>, ApiError> {
    let id = known(id)?;
    let account = api.account_with(of, &op::DELETE_WELCOME).await?;
    note(&account, &format!("welcome sequence {id}"));
    let (manage, of) = (api.manage.clone(), id.clone());
    let done = whole(async move { manage.delete_welcome(&account, &of).await }).await;
    let provider_answer = done.map_err(|error| error.found_out_by(LOOK))?;
    Ok(Json(Done {
        id,
        provider_answer,
    }))
}
