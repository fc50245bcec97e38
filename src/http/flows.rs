//! `/v1/flows`: flows at the providers that have them. Nothing of them is kept here: an id is the
//! provider's, and whose it is, is said with each call.

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::body::big_body;
use super::json::Json;
use super::managed::{Whose, given, note, refuse};
use super::moment::Moment;
use super::once::OnceBody;
use super::problem::ApiError;
use super::request::Query;
use crate::manage::Account;
use crate::model::ids::{ConnectionId, SenderId};
use crate::provider::flows::{self, Flow, FlowError, LARGEST_JSON};
use crate::provider::operations::Operation;
use crate::provider::operations::flows::{
    CREATE_FLOW, DELETE_FLOW, DEPRECATE_FLOW, LIST_FLOWS, PREVIEW_FLOW, PUBLISH_FLOW, READ_FLOW,
    READ_FLOW_JSON, UPDATE_FLOW, UPLOAD_FLOW_JSON,
};
use crate::store::Once;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, update, delete))
        .routes(routes!(publish))
        .routes(routes!(deprecate))
        .routes(routes!(json, upload))
        .routes(routes!(preview))
}

/// A flow, as the provider shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Flow)]
struct View {
    /// The provider's.
    id: String,
    name: Option<String>,
    /// `DRAFT`, `PUBLISHED`, `DEPRECATED`, `BLOCKED`, `THROTTLED`.
    status: Option<String>,
    categories: Vec<String>,
    /// What is wrong with its JSON.
    validation_errors: Vec<ErrorView>,
    /// The provider's own object.
    provider: Value,
}

/// What is wrong with a flow's JSON, in the provider's words.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlowError)]
struct ErrorView {
    error: Option<String>,
    error_type: Option<String>,
    message: Option<String>,
    line_start: Option<i64>,
    line_end: Option<i64>,
    column_start: Option<i64>,
    column_end: Option<i64>,
}

impl From<FlowError> for ErrorView {
    fn from(it: FlowError) -> Self {
        Self {
            error: it.error,
            error_type: it.error_type,
            message: it.message,
            line_start: it.line_start,
            line_end: it.line_end,
            column_start: it.column_start,
            column_end: it.column_end,
        }
    }
}

impl From<(Flow, Value)> for View {
    fn from((flow, provider): (Flow, Value)) -> Self {
        Self {
            id: flow.id,
            name: flow.name,
            status: flow.status,
            categories: flow.categories,
            validation_errors: flow.errors.into_iter().map(Into::into).collect(),
            provider,
        }
    }
}

/// All flows of an account.
#[derive(Debug, Serialize, ToSchema)]
struct FlowList {
    data: Vec<View>,
}

/// What the provider answered to a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderAnswer)]
struct Done {
    id: String,
    provider_answer: Value,
}

/// Lists flows, from the provider.
#[utoipa::path(
    get,
    path = "/flows",
    operation_id = "list_flows",
    tag = "Flows",
    params(Whose),
    responses((status = 200, body = FlowList)),
)]
async fn list(State(api): State<Api>, Query(of): Query<Whose>) -> Result<Json<FlowList>, ApiError> {
    let account = api.account(&of, &LIST_FLOWS).await?;
    let found = api.manage.flows(&account).await?;
    let data = found.into_iter().map(View::from).collect();
    Ok(Json(FlowList { data }))
}

/// A new flow.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewFlow)]
struct Create {
    /// A sender of the account: its connection and its account are meant.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// Meta's account; needed where the connection's senders are of several, or of none.
    waba_id: Option<String>,
    #[schema(min_length = 1, max_length = 200, example = "Quote form")]
    name: String,
    /// `SIGN_UP`, `SIGN_IN`, `APPOINTMENT_BOOKING`, `LEAD_GENERATION`, `CONTACT_US`,
    /// `CUSTOMER_SUPPORT`, `SURVEY`, `SHOPPING`, `OTHER`.
    #[schema(min_items = 1, example = json!(["LEAD_GENERATION"]))]
    categories: Vec<String>,
    /// The flow whose JSON it begins with.
    clone_flow_id: Option<String>,
    /// Meta's: where its data is exchanged.
    endpoint_uri: Option<String>,
}

/// What is to be changed of a draft.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FlowChange)]
struct Update {
    name: Option<String>,
    categories: Option<Vec<String>>,
    /// Meta's: where its data is exchanged.
    endpoint_uri: Option<String>,
}

fn members<const N: usize>(all: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let named = all
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.unwrap_or_default()));
    given(named.collect())
}

/// Makes a flow: a draft.
#[utoipa::path(
    post,
    path = "/flows",
    operation_id = "create_flow",
    tag = "Flows",
    params(Once),
    request_body = Create,
    responses((status = 201, body = View)),
)]
async fn create(
    State(api): State<Api>,
    OnceBody(once, new): OnceBody<Create>,
) -> Result<Response, ApiError> {
    let whose = Whose::of(new.sender, new.connection, new.waba_id);
    let account = api.account(&whose, &CREATE_FLOW).await?;
    note(&account, &format!("flow {:?}", new.name));
    let given = members([
        ("name", Some(new.name.into())),
        ("categories", Some(new.categories.into())),
        ("clone_flow_id", new.clone_flow_id.map(Value::from)),
        ("endpoint_uri", new.endpoint_uri.map(Value::from)),
    ]);
    let provider = account.connection.provider;
    refuse(flows::check(provider, &Value::Object(given.clone()), true))?;
    let work = async { Ok(View::from(api.manage.create_flow(&account, &given).await?)) };
    api.once(&once, StatusCode::CREATED, work).await
}

/// Shows a flow, from the provider.
#[utoipa::path(
    get,
    path = "/flows/{id}",
    operation_id = "get_flow",
    tag = "Flows",
    params(("id" = String, Path), Whose),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
) -> Result<Json<View>, ApiError> {
    let account = account(&api, of, &id, &READ_FLOW).await?;
    let found = api.manage.flow(&account, &id).await?;
    Ok(Json(found.ok_or(ApiError::NotFound("flow"))?.into()))
}

/// Whose flow it is, by an id that can be one.
async fn account(
    api: &Api,
    of: Whose,
    id: &str,
    operation: &'static Operation,
) -> Result<Account, ApiError> {
    // First, whether its provider has flows at all.
    let account = api.account_of_any(&of, operation).await?;
    match !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) {
        true => Ok(account),
        false => Err(ApiError::NotFound("flow")),
    }
}

/// Changes a draft's name, categories or endpoint.
#[utoipa::path(
    patch,
    path = "/flows/{id}",
    operation_id = "update_flow",
    tag = "Flows",
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
    let account = account(&api, of, &id, &UPDATE_FLOW).await?;
    note(&account, &format!("flow {id}"));
    let given = members([
        ("name", change.name.map(Value::from)),
        ("categories", change.categories.map(Value::from)),
        ("endpoint_uri", change.endpoint_uri.map(Value::from)),
    ]);
    if given.is_empty() {
        return Err(ApiError::field("", "expected something to change"));
    }
    let provider = account.connection.provider;
    refuse(flows::check(provider, &Value::Object(given.clone()), false))?;
    let work = async {
        let done = api.manage.update_flow(&account, &id, &given).await?;
        Done::of(&id, done)
    };
    api.once(&once, StatusCode::OK, work).await
}

impl Done {
    /// `None`: what has this id is no flow.
    fn of(id: &str, answer: Option<Value>) -> Result<Self, ApiError> {
        Ok(Self {
            id: id.to_owned(),
            provider_answer: answer.ok_or(ApiError::NotFound("flow"))?,
        })
    }
}

async fn moved(
    api: &Api,
    of: Whose,
    id: String,
    once: &Once,
    operation: &'static Operation,
) -> Result<Response, ApiError> {
    let account = account(api, of, &id, operation).await?;
    note(&account, &format!("flow {id}"));
    let work = async {
        let done = api.manage.move_flow(&account, operation, &id).await?;
        Done::of(&id, done)
    };
    api.once(once, StatusCode::OK, work).await
}

/// Deletes a draft.
#[utoipa::path(
    delete,
    path = "/flows/{id}",
    operation_id = "delete_flow",
    tag = "Flows",
    params(("id" = String, Path), Whose),
    responses((status = 200, body = Done)),
)]
async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
) -> Result<Response, ApiError> {
    moved(&api, of, id, &Once::default(), &DELETE_FLOW).await
}

/// Publishes a draft: it cannot be changed any more.
#[utoipa::path(
    post,
    path = "/flows/{id}/publish",
    operation_id = "publish_flow",
    tag = "Flows",
    params(("id" = String, Path), Whose, Once),
    responses((status = 200, body = Done)),
)]
async fn publish(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
    once: Once,
) -> Result<Response, ApiError> {
    moved(&api, of, id, &once, &PUBLISH_FLOW).await
}

/// Deprecates a published flow: it cannot be sent any more.
#[utoipa::path(
    post,
    path = "/flows/{id}/deprecate",
    operation_id = "deprecate_flow",
    tag = "Flows",
    params(("id" = String, Path), Whose, Once),
    responses((status = 200, body = Done)),
)]
async fn deprecate(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
    once: Once,
) -> Result<Response, ApiError> {
    moved(&api, of, id, &once, &DEPRECATE_FLOW).await
}

/// Where a flow's JSON is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlowJson)]
struct JsonView {
    /// Without a key, for as long as the provider lets it.
    download_url: String,
    provider_answer: Value,
}

/// Tells where a flow's JSON can be downloaded.
#[utoipa::path(
    get,
    path = "/flows/{id}/json",
    operation_id = "get_flow_json",
    tag = "Flows",
    params(("id" = String, Path), Whose),
    responses((status = 200, body = JsonView)),
)]
async fn json(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
) -> Result<Json<JsonView>, ApiError> {
    let account = account(&api, of, &id, &READ_FLOW_JSON).await?;
    let (download_url, provider_answer) = api.manage.flow_json(&account, &id).await?;
    Ok(Json(JsonView {
        download_url,
        provider_answer,
    }))
}

/// What came of an upload.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlowUpload)]
struct UploadView {
    /// Whether nothing is wrong with it: the provider takes it all the same.
    valid: bool,
    validation_errors: Vec<ErrorView>,
    provider_answer: Value,
}

/// The JSON of a flow, as it came.
#[derive(Debug)]
struct FlowBody(axum::body::Bytes);

impl FromRequest<Api> for FlowBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        big_body(request, api, LARGEST_JSON).await.map(Self)
    }
}

/// Uploads a draft's JSON, of at most 10 MB. What is wrong with it is told although the provider
/// takes it.
#[utoipa::path(
    put,
    path = "/flows/{id}/json",
    operation_id = "upload_flow_json",
    tag = "Flows",
    params(("id" = String, Path), Whose),
    request_body = Object,
    responses((status = 200, body = UploadView)),
)]
async fn upload(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
    FlowBody(bytes): FlowBody,
) -> Result<Json<UploadView>, ApiError> {
    let account = account(&api, of, &id, &UPLOAD_FLOW_JSON).await?;
    note(&account, &format!("flow {id}"));
    let malformed = |why: &str| ApiError::Malformed(format!("the body is no flow's JSON: {why}"));
    // Looked through, and not held a second time.
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| malformed(&error.to_string()))?;
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(malformed("it is no object"));
    }
    if !flows::is_uploadable(&bytes) {
        return Err(ApiError::field("", "holds what ends the upload"));
    }
    let done = api.manage.upload_flow(&account, &id, bytes).await?;
    let done = done.ok_or(ApiError::NotFound("flow"))?;
    Ok(Json(UploadView {
        valid: done.errors.is_empty(),
        validation_errors: done.errors.into_iter().map(Into::into).collect(),
        provider_answer: done.answer,
    }))
}

/// Where a flow can be looked at.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlowPreview)]
struct PreviewView {
    preview_url: String,
    expires_at: Option<Moment>,
    provider_answer: Value,
}

/// Tells where a flow can be looked at, and until when.
#[utoipa::path(
    get,
    path = "/flows/{id}/preview",
    operation_id = "preview_flow",
    tag = "Flows",
    params(("id" = String, Path), Whose),
    responses((status = 200, body = PreviewView)),
)]
async fn preview(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Whose>,
) -> Result<Json<PreviewView>, ApiError> {
    let account = account(&api, of, &id, &PREVIEW_FLOW).await?;
    let (preview_url, expires_at, provider_answer) = api.manage.preview_flow(&account, &id).await?;
    Ok(Json(PreviewView {
        preview_url,
        expires_at: expires_at.map(Moment),
        provider_answer,
    }))
}
