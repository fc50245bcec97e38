//! Reading requests. What does not fit is refused with the name of the field and what was
//! expected there; a field nobody knows is refused too, because it was meant to do something.

use axum::extract::{FromRequest, FromRequestParts, Query as Pairs, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::body::whole_body;
use super::object::Object;
use super::problem::{ApiError, FieldError};
use super::{Api, wording};

/// A JSON body.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        json(&whole_body(request, api).await?).map(Body)
    }
}

/// Reads a JSON body.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let value = serde_json::from_slice(bytes)
        .map_err(|error| ApiError::Malformed(format!("the body is not JSON: {error}")))?;
    read(value)
}

/// The parameters behind the `?`. Each is given as text, so the types of `T` read texts.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Api) -> Result<Self, ApiError> {
        let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|error| ApiError::Malformed(error.body_text()))?;
        let pairs: Map<_, _> = pairs
            .into_iter()
            .map(|(name, value)| (name, Value::String(value)))
            .collect();
        read(Value::Object(pairs)).map(Query)
    }
}

/// An id in a path. One that is malformed names nothing.
pub fn id<T: std::str::FromStr>(text: &str, what: &'static str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound(what))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    if let Some(field) = find_nul(&value) {
        return Err(ApiError::field(
            field,
            "the character U+0000 cannot be kept",
        ));
    }
    let read = serde_path_to_error::deserialize(value);
    read.map(|Object(read)| read).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        ApiError::Invalid(vec![field_error(&path, &message)])
    })
}

/// A field that is missing or unknown is named in serde's message, not in the path.
fn field_error(path: &str, message: &str) -> FieldError {
    let path = if path == "." { "" } else { path };
    let named = ["missing field `", "unknown field `"]
        .into_iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    let said = wording::of_serde(message);
    match named {
        Some(name) if path.is_empty() => FieldError::new(name, said),
        Some(name) if path == name || path.ends_with(&format!(".{name}")) => {
            FieldError::new(path, said)
        }
        Some(name) => FieldError::new(format!("{path}.{name}"), said),
        None => FieldError::new(path, said),
    }
}

/// Where a text holds a character that Postgres cannot keep.
fn find_nul(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => items.iter().enumerate().find_map(|(at, item)| {
            let below = find_nul(item)?;
            Some(format!("[{at}]{}{below}", dot(&below)))
        }),
        Value::Object(members) => members.iter().find_map(|(name, item)| {
            if name.contains('\0') {
                return Some(name.replace('\0', "\u{fffd}"));
            }
            let below = find_nul(item)?;
            Some(format!("{name}{}{below}", dot(&below)))
        }),
        _ => None,
    }
}

fn dot(below: &str) -> &'static str {
    if below.is_empty() || below.starts_with('[') {
        ""
    } else {
        "."
    }
}
