//! `/v1/welcome_sequences`: Meta's welcome message sequences. Nothing of them is kept here: an id is
//! the provider's, and whose it is, is said with each call.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::json::Json;
use super::managed::{Whose, given, note, refuse};
use super::moment::Moment;
use super::once::OnceBody;
use super::problem::ApiError;
use super::request::Query;
use crate::model::ids::{ConnectionId, SenderId};
use crate::provider::operations::welcome as op;
use crate::provider::welcome::{self, Welcome};
use crate::store::Once;

/// How to find out what became of a call whose answer was lost.
const LOOK: &str = "look with `GET /v1/welcome_sequences` before you ask again: a second one of a \
                    name may be made";

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, update, delete))
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
    params(Whose),
    responses((status = 200, body = List)),
)]
async fn list(State(api): State<Api>, Query(of): Query<Whose>) -> Result<Json<List>, ApiError> {
    let account = api.account(&of, &op::LIST_WELCOME).await?;
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
    params(Once),
    request_body = Create,
    responses((status = 201, body = Done)),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let of = Whose::of(new.sender, new.connection, new.waba_id);
    let account = api.account(&of, &op::CREATE_WELCOME).await?;
    note(&account, &format!("welcome sequence {:?}", new.name));
    let given = members(json!({"name": new.name, "sequence": new.sequence}), true)?;
    let work = async {
        let (id, provider_answer) = api.manage.create_welcome(&account, &given).await?;
        Ok(Done {
            id,
            provider_answer,
        })
    };
    let made = api.once(&once, StatusCode::CREATED, work).await;
    made.map_err(|error| error.found_out_by(LOOK))
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
    params(("id" = String, Path), Whose),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
) -> Result<Json<View>, ApiError> {
    let account = api.account(&of, &op::READ_WELCOME).await?;
    let id = known(id)?;
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
    params(("id" = String, Path), Whose, Once),
    request_body = Update,
    responses((status = 200, body = Done)),
)]
async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
    OnceBody(once, change): OnceBody<Update>,
) -> Result<Response, ApiError> {
    let account = api.account(&of, &op::UPDATE_WELCOME).await?;
    let id = known(id)?;
    note(&account, &format!("welcome sequence {id}"));
    let said = json!({"name": change.name, "sequence": change.sequence});
    let given = members(said, false)?;
    let work = async {
        let provider_answer = api.manage.update_welcome(&account, &id, &given).await?;
        Ok(Done {
            id: id.clone(),
            provider_answer,
        })
    };
    let done = api.once(&once, StatusCode::OK, work).await;
    done.map_err(|error| error.found_out_by(LOOK))
}

/// Deletes a welcome message sequence that no ad uses.
#[utoipa::path(
    delete,
    path = "/welcome_sequences/{id}",
    operation_id = "delete_welcome_sequence",
    tag = "Welcome sequences",
    params(("id" = String, Path), Whose),
    responses((status = 200, body = Done)),
)]
async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
) -> Result<Json<Done>, ApiError> {
    let account = api.account(&of, &op::DELETE_WELCOME).await?;
    let id = known(id)?;
    note(&account, &format!("welcome sequence {id}"));
    let done = api.manage.delete_welcome(&account, &id).await;
    let provider_answer = done.map_err(|error| ApiError::from(error).found_out_by(LOOK))?;
    Ok(Json(Done {
        id,
        provider_answer,
    }))
}
