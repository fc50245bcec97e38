//! `/v1/media`: media at the providers. Nothing of it is kept here: an id is the provider's, and
//! whose it is, is said with each call. Bytes are passed on as they come, and never held whole.

use axum::body::{Body, HttpBody};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::body::big_body;
use super::json::Json;
use super::managed::{Whose, note, refuse};
use super::passing::{Fate, Passing};
use super::problem::ApiError;
use super::request::Query;
use crate::manage::{Account, Kept, Parcel};
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::provider::Provider;
use crate::provider::media::{self, File, LARGEST_SAMPLE};
use crate::provider::operations::Operation;
use crate::provider::operations::media::{
    BEGIN_SAMPLE, DELETE_MEDIA, DOWNLOAD_MEDIA, READ_MEDIA, UPLOAD_MEDIA,
};

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(upload))
        .routes(routes!(sample))
        .routes(routes!(one, delete))
        .routes(routes!(content))
}

/// Whose media.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Of {
    /// The sender whose it is: needed with Meta to upload, and with Infobip where a connection has
    /// several. What is not its own is not shown.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
}

/// What is uploaded.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct New {
    /// The sender that is to send it: needed with Meta.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// The file's name.
    filename: Option<String>,
}

/// What is uploaded.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct NewSample {
    /// A sender of the account.
    sender: Option<SenderId>,
    /// Needed without `sender`.
    connection: Option<ConnectionId>,
    /// The file's name.
    filename: Option<String>,
    /// Meta's app, where it is not the one that the connection's key is of.
    app_id: Option<String>,
}

/// Media that a provider keeps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadedMedia)]
struct KeptView {
    /// The provider's: messages name it as `id`.
    id: String,
    provider_answer: Value,
}

/// A sample that a provider keeps.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadedSample)]
struct SampleView {
    /// For `example.header_handle` of a template's header.
    handle: String,
    provider_answer: Value,
}

/// What a provider tells of media.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Media)]
struct View {
    /// The provider's.
    id: String,
    #[schema(example = "image/jpeg")]
    mime_type: Option<String>,
    /// In bytes.
    size: Option<u64>,
    /// In hexadecimal.
    sha256: Option<String>,
    /// The provider's own object; `null` where it has none.
    provider: Option<Value>,
}

/// Media that is gone.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedMedia)]
struct Gone {
    id: String,
    provider_answer: Option<Value>,
}

fn some(answer: Value) -> Option<Value> {
    Some(answer).filter(|answer| !answer.is_null())
}

impl Api {
    async fn media_account(
        &self,
        sender: Option<SenderId>,
        connection: Option<ConnectionId>,
        operation: &'static Operation,
    ) -> Result<Account, ApiError> {
        let whose = Whose::of(sender, connection, None);
        self.account_of_any(&whose, operation).await
    }
}

/// What a request's headers say of the file that it brings. Its bytes are sent as they come, once:
/// there is nothing that could be answered again.
fn file(request: &Request, name: Option<String>) -> Result<File, ApiError> {
    let headers = request.headers();
    if headers.contains_key(&IDEMPOTENCY_KEY) {
        let message = "an upload is no request that is done once: it may be made again";
        return Err(ApiError::field("Idempotency-Key", message));
    }
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let length = request.body().size_hint().exact();
    let missing = || {
        ApiError::field(
            "Content-Length",
            "is needed: limits are told before a byte is sent",
        )
    };
    let name = name.unwrap_or_else(|| "file".to_owned());
    if name.is_empty() || name.len() > 240 || name.contains(char::is_control) {
        return Err(ApiError::field(
            "filename",
            "expected a name of at most 240 bytes",
        ));
    }
    Ok(File {
        kind: kind.to_owned(),
        name,
        length: length.ok_or_else(missing)?,
    })
}

/// Uploads media to send: the body is the file, `Content-Type` its type. It is passed on to the
/// provider as it comes.
#[utoipa::path(
    post,
    path = "/media",
    operation_id = "upload_media",
    tag = "Media",
    params(New),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = KeptView)),
)]
async fn upload(
    State(api): State<Api>,
    Query(new): Query<New>,
    request: Request,
) -> Result<(StatusCode, Json<KeptView>), ApiError> {
    let account = api.media_account(new.sender, new.connection, &UPLOAD_MEDIA);
    let account = account.await?;
    let file = file(&request, new.filename)?;
    let provider = account.connection.provider;
    if provider == Provider::Meta && account.number.is_empty() {
        return Err(ApiError::field("sender", "is needed: media is a number's"));
    }
    refuse(media::check(provider, &file))?;
    note(&account, &format!("a file of {}", file.kind));
    let boundary = format!("twotick-{}", api.clock().new_id().simple());
    let (head, tail, kind) = media::frame(provider, &file, &boundary);
    let (fate, patience) = (Fate::default(), api.config.http.body_timeout);
    let passing = Passing::new(request.into_body(), file.length, patience, fate.clone());
    let parcel = Parcel {
        kind,
        body: reqwest::Body::wrap(passing.within(head, tail)),
    };
    let kept = api.manage.upload_media(&account, parcel).await;
    let Kept { id, answer } = match (kept, fate.fault()) {
        // Where the caller's bytes end, so does what the provider gets.
        (Err(_), Some(fault)) => return Err(fault),
        (kept, _) => kept?,
    };
    note(&account, &format!("media {id}"));
    let view = KeptView {
        id,
        provider_answer: answer,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Uploads a sample of a template's header, at most 16 MB: the body is the file, `Content-Type` its
/// type. Where the connection to the provider breaks it goes on from there.
#[utoipa::path(
    post,
    path = "/media/samples",
    operation_id = "upload_sample",
    tag = "Media",
    params(NewSample),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 201, body = SampleView)),
)]
async fn sample(
    State(api): State<Api>,
    Query(new): Query<NewSample>,
    request: Request,
) -> Result<(StatusCode, Json<SampleView>), ApiError> {
    let account = api.media_account(new.sender, new.connection, &BEGIN_SAMPLE);
    let account = account.await?;
    let app = new.app_id.as_deref();
    let is_id = |app: &str| !app.is_empty() && app.bytes().all(|byte| byte.is_ascii_digit());
    if app.is_some_and(|app| !is_id(app)) {
        return Err(ApiError::field(
            "app_id",
            "expected an id of Meta's: digits",
        ));
    }
    let file = file(&request, new.filename)?;
    refuse(media::check_sample(&file))?;
    note(&account, &format!("sample {:?}", file.name));
    let most = usize::try_from(LARGEST_SAMPLE).unwrap_or(usize::MAX);
    let bytes = big_body(request, &api, most).await?;
    let kept = api
        .manage
        .upload_sample(&account, app, &file, bytes)
        .await?;
    let view = SampleView {
        handle: kept.id,
        provider_answer: kept.answer,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

async fn account(
    api: &Api,
    of: Of,
    id: &str,
    operation: &'static Operation,
) -> Result<Account, ApiError> {
    let account = api.media_account(of.sender, of.connection, operation);
    let account = account.await?;
    match media::is_id(account.connection.provider, id) {
        true => Ok(account),
        false => Err(ApiError::NotFound("media")),
    }
}

/// Tells what media is.
#[utoipa::path(
    get,
    path = "/media/{id}",
    operation_id = "get_media",
    tag = "Media",
    params(("id" = String, Path), Of),
    responses((status = 200, body = View)),
)]
async fn one(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Json<View>, ApiError> {
    let account = account(&api, of, &id, &READ_MEDIA).await?;
    let found = api.manage.media(&account, &id).await?;
    let (media, answer) = found.ok_or(ApiError::NotFound("media"))?;
    Ok(Json(View {
        id,
        mime_type: media.mime_type,
        size: media.size,
        sha256: media.sha256,
        provider: some(answer),
    }))
}

/// Downloads media, such as what a user sent: passed on from the provider as it comes.
#[utoipa::path(
    get,
    path = "/media/{id}/content",
    operation_id = "download_media",
    tag = "Media",
    params(("id" = String, Path), Of),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")),
)]
async fn content(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Response, ApiError> {
    let account = account(&api, of, &id, &DOWNLOAD_MEDIA).await?;
    let found = api.manage.media_content(&account, &id).await?;
    let content = found.ok_or(ApiError::NotFound("media"))?;
    let kind = content
        .kind
        .and_then(|kind| HeaderValue::from_str(&kind).ok());
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let body = axum::http::Response::from(content.response).into_body();
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind);
    // What strangers sent must not run where the API is.
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let attachment = HeaderValue::from_static("attachment");
    headers.insert(header::CONTENT_DISPOSITION, attachment);
    if let Some(length) = content.length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}

/// Deletes media.
#[utoipa::path(
    delete,
    path = "/media/{id}",
    operation_id = "delete_media",
    tag = "Media",
    params(("id" = String, Path), Of),
    responses((status = 200, body = Gone)),
)]
async fn delete(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Json<Gone>, ApiError> {
    let account = account(&api, of, &id, &DELETE_MEDIA).await?;
    note(&account, &format!("media {id}"));
    let answer = api.manage.delete_media(&account, &id).await?;
    let answer = answer.ok_or(ApiError::NotFound("media"))?;
    Ok(Json(Gone {
        id,
        provider_answer: some(answer),
    }))
}
