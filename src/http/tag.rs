//! What an answer of the API says of itself: a tag, by which what has not changed need not be sent
//! again, and who may keep it.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

use super::problem::ApiError;

/// How much of a hash tells two answers apart.
const LENGTH: usize = 16;

/// Of everything under `/v1`, however it is answered.
pub async fn tag<F>(request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let is_read = request.method().is_safe();
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let mut response = answer(request).await;
    let headers = response.headers_mut();
    let cache = match is_read {
        // By its caller alone, who asks each time whether it is still so.
        true => "private, no-cache",
        false => "no-store",
    };
    // Unless it says more of itself.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static(cache));
    match is_read && response.status() == StatusCode::OK && is_json(response.headers()) {
        true => tagged(response, known).await,
        false => response,
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let json = |kind: &HeaderValue| {
        let kind = kind.as_bytes();
        kind.starts_with(b"application/json") || kind.starts_with(b"application/cloudevents")
    };
    headers.get(CONTENT_TYPE).is_some_and(json)
}

async fn tagged(response: Response, known: Option<HeaderValue>) -> Response {
    let (mut parts, body) = response.into_parts();
    // Made by a handler, so it is all there.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return ApiError::Internal.into_response();
    };
    let hash = Sha256::digest(&bytes);
    let tag = format!("\"{}\"", BASE64URL_NOPAD.encode(&hash[..LENGTH]));
    let is_known = known.is_some_and(|known| names(&known, &tag));
    // Printable by how it is made.
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, value);
    }
    if is_known {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// Whether `If-None-Match` names this tag.
fn names(known: &HeaderValue, tag: &str) -> bool {
    let known = known.to_str().unwrap_or_default();
    known.split(',').map(str::trim).any(|one| {
        // A proxy that compresses makes it weak.
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_among_others_also_where_a_proxy_made_it_weak() {
        let names = |known: &'static str| names(&HeaderValue::from_static(known), "\"a\"");
        assert!(names("\"a\"") && names("\"b\", W/\"a\"") && names("*"));
        assert!(!names("\"b\"") && !names("a") && !names(""));
    }
}
