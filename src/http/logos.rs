//! `/v1/senders/{id}/logo`: a number's picture, at the provider.

use axum::extract::{FromRequest, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::body::held;
use super::managed::{note, refuse};
use super::once::big;
use super::problem::ApiError;
use super::request::json;
use super::sender_manage::Done;
use crate::manage::Logo;
use crate::model::ids::SenderId;
use crate::provider::logo::{Given, LARGEST, check};
use crate::provider::operations::senders::{READ_LOGO, SET_LOGO};
use crate::store::Once;

/// How to find out whether it is there.
const LOOK: &str = "look with `GET /v1/senders/{id}/logo`; the same picture again does no harm";

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(one, set))
}

/// Where a picture is, for Infobip.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LogoAddress)]
struct Address {
    /// JPEG or PNG, 192 to 640 pixels a side.
    #[schema(max_length = 2048, example = "https://alder.example/logo.png")]
    url: String,
}

/// A picture itself, or where it is, by the request's `Content-Type`; and which request it is.
#[derive(Debug)]
struct LogoBody(Once, Given);

impl FromRequest<Api> for LogoBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_picture = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"image/"));
        let (once, bytes) = big(request, api, LARGEST).await?;
        if is_picture {
            return Ok(Self(once, Given::Bytes(bytes.to_vec())));
        }
        let Address { url } = json(&bytes)?;
        Ok(Self(once, Given::Address(url)))
    }
}

/// Puts a number's picture there: a JPEG or a PNG of at most 5 MB and at least 192 pixels a side, as
/// the body itself (`Content-Type: image/…`). Infobip takes an address instead, as JSON.
#[utoipa::path(
    put,
    path = "/senders/{id}/logo",
    operation_id = "set_sender_logo",
    tag = "Senders",
    params(("id" = SenderId, Path), Once),
    request_body(content(
        (Address = "application/json"),
        (Vec<u8> = "image/jpeg"),
        (Vec<u8> = "image/png"),
    )),
    responses((status = 200, body = Done)),
)]
async fn set(
    State(api): State<Api>,
    Path(sender): Path<String>,
    LogoBody(once, given): LogoBody,
) -> Result<Response, ApiError> {
    let (sender, account) = api.sender_account(&sender, &SET_LOGO).await?;
    note(&account, &format!("number {}", sender.phone_number_id));
    refuse(check(account.connection.provider, &given))?;
    let work = async {
        api.keys_own(&account, &sender).await?;
        let done = api.manage.set_logo(&account, given).await?;
        Ok(Done::of(sender.id, done))
    };
    let done = api.once(&once, StatusCode::OK, work).await;
    done.map_err(|error| error.found_out_by(LOOK))
}

/// Shows a number's picture: itself, or with Meta and 360dialog the way to it (307), which needs no
/// key.
#[utoipa::path(
    get,
    path = "/senders/{id}/logo",
    operation_id = "get_sender_logo",
    tag = "Senders",
    params(("id" = SenderId, Path)),
    responses(
        (status = 200, content_type = "image/*", body = String),
        (status = 307, description = "It is where `Location` says."),
    ),
)]
async fn one(State(api): State<Api>, Path(sender): Path<String>) -> Result<Response, ApiError> {
    let (sender, account) = api.sender_account(&sender, &READ_LOGO).await?;
    // Before it comes: what is shown counts as what is taken does.
    let share = api.api_bytes.take(LARGEST)?;
    api.keys_own(&account, &sender).await?;
    let found = api.manage.logo(&account).await?;
    match found.ok_or_else(|| ApiError::not_there("the number has no picture"))? {
        Logo::Bytes(picture, bytes) => {
            let kind = [(header::CONTENT_TYPE, picture.content_type)];
            Ok((kind, held(bytes, share)).into_response())
        }
        Logo::At(address) => {
            let is_web = address.starts_with("https://") || address.starts_with("http://");
            let value = HeaderValue::try_from(address).ok().filter(|_| is_web);
            let place = value.ok_or_else(|| ApiError::not_there("its picture is at no address"))?;
            Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response())
        }
    }
}
