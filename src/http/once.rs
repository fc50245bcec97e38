//! `Idempotency-Key`, on every POST that makes or changes something: the same request again gets
//! the first answer again, marked by `Idempotency-Replayed`. Refusals are not kept, for they
//! changed nothing; what nobody knows the end of is not done again. Other requests may bear the header too: they can be made again as they are.

use axum::body::Bytes;
use axum::extract::{FromRequest, OriginalUri, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{Object, Type};

use super::Api;
use super::body::{big_body, whole_body};
use super::problem::ApiError;
use super::request::json;
use crate::model::ids::KeyId;
use crate::store::{Once, Reply};

static KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
static REPLAYED_HEADER: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key.
const LONGEST: usize = 255;

/// A JSON body, and which request it is.
#[derive(Debug)]
pub struct OnceBody<T>(pub Once, pub T);

impl<T: DeserializeOwned> FromRequest<Api> for OnceBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let (once, body) = read(request, api).await?;
        Ok(Self(once, json(&body)?))
    }
}

/// For requests that say all with their path: what else they bring counts for sameness alone.
impl FromRequest<Api> for Once {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        Ok(read(request, api).await?.0)
    }
}

/// The header, for `/openapi.json`.
impl IntoParams for Once {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let key = Object::builder()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(LONGEST));
        let says = "Names this request for 24 hours, per API key, method, path and query: the same \
                    again gets the first answer again, and does nothing. Visible ASCII.";
        let header = Parameter::builder()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some(says))
            .schema(Some(key));
        vec![header.build()]
    }
}

async fn read(request: Request, api: &Api) -> Result<(Once, Bytes), ApiError> {
    let name = Name::of(&request)?;
    let body = whole_body(request, api).await?;
    Ok((Name::with(name, &body), body))
}

/// An upload that may be bigger than other bodies, and which request it is.
pub async fn big(request: Request, api: &Api, most: usize) -> Result<(Once, Bytes), ApiError> {
    let name = Name::of(&request)?;
    let body = big_body(request, api, most).await?;
    Ok((Name::with(name, &body), body))
}

/// What a request's head says of which it is.
struct Name {
    api_key: KeyId,
    endpoint: String,
    query: Option<String>,
    key: String,
}

impl Name {
    fn of(request: &Request) -> Result<Option<Self>, ApiError> {
        let Some(key) = key(request)? else {
            return Ok(None);
        };
        let extensions = request.extensions();
        let uri = extensions.get::<OriginalUri>().ok_or(ApiError::Internal)?;
        Ok(Some(Self {
            api_key: *extensions.get::<KeyId>().ok_or(ApiError::Internal)?,
            endpoint: format!("{} {}", request.method(), uri.path()),
            query: uri.query().map(str::to_owned),
            key,
        }))
    }

    fn with(name: Option<Self>, body: &[u8]) -> Once {
        match name {
            None => Once::default(),
            Some(it) => Once::named(it.api_key, it.endpoint, it.query.as_deref(), it.key, body),
        }
    }
}

fn key(request: &Request) -> Result<Option<String>, ApiError> {
    let mut given = request.headers().get_all(&KEY_HEADER).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let is_key = |text: &&str| {
        (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match (key.to_str().ok().filter(is_key), given.next()) {
        (Some(key), None) => Ok(Some(key.to_owned())),
        _ => Err(ApiError::field(
            "Idempotency-Key",
            "expected one key of 1 to 255 visible ASCII characters",
        )),
    }
}

/// The answer to a request that is done once.
pub fn answer(status: StatusCode, reply: Reply) -> Result<Response, ApiError> {
    let (body, replayed) = match reply {
        Reply::Done(body) => (body, false),
        Reply::Replayed(body) => (body, true),
        Reply::KeyReused => return Err(ApiError::KeyReused),
        Reply::UnderWay => return Err(ApiError::UnderWay),
        Reply::Unknown => return Err(ApiError::unknown_before()),
    };
    let json = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (status, json, body).into_response();
    if replayed {
        let headers = response.headers_mut();
        headers.insert(REPLAYED_HEADER.clone(), HeaderValue::from_static("true"));
    }
    Ok(response)
}
