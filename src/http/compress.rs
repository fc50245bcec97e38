//! Answers in zstd or gzip, where the client takes them and it is worth it: JSON that is long, all of
//! it there. Never a stream of events, which has to come as it happens; nor what shows a secret or
//! repeats a request beside one, since how well it compresses would tell of it.

use std::io::Write as _;

use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::problem::ApiError;

/// A shorter answer fits into a packet or two as it is.
const SHORTEST: usize = 1024;

/// A longer one is compressed beside what else is served.
const LONG: usize = 64 << 10;

/// Whose answers may have a secret in them.
const SECRET: [&str; 3] = ["/v1/keys", "/v1/subscriptions", "/v1/connections"];

/// How a body may be coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Zstd,
    Gzip,
}

/// Streams and the script of `/docs` come as they are.
pub async fn compress(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // What is passed on is not held either.
    let is_passed = path.starts_with("/v1/media");
    let is_secret = is_passed || SECRET.iter().any(|secret| path.starts_with(secret));
    let coding = wanted(request.headers()).first().copied();
    let mut response = next.run(request).await;
    if is_secret || !is_json(response.headers()) || response.status() != StatusCode::OK {
        return response;
    }
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().insert(VARY, vary);
    let length = response.body().size_hint().exact();
    match (coding, length) {
        (Some(coding), Some(length)) if length >= SHORTEST as u64 => coded(response, coding).await,
        _ => response,
    }
}

/// What the client takes, the best first. A `q` of 0 refuses one; else they are all as good.
pub fn wanted(headers: &HeaderMap) -> Vec<Coding> {
    let given = headers.get_all(ACCEPT_ENCODING).iter();
    let given: Vec<_> = given
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|one| {
            let (name, q) = one.split_once(';').unwrap_or((one, ""));
            let q = q.trim().strip_prefix("q=").map(str::trim);
            let refused = q.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
            (!refused).then(|| name.trim().to_ascii_lowercase())
        })
        .collect();
    let takes = |name: &str| given.iter().any(|given| given == name);
    let all = [(Coding::Zstd, takes("zstd")), (Coding::Gzip, takes("gzip"))];
    let all = all.into_iter().filter(|(_, takes)| *takes);
    all.map(|(coding, _)| coding).collect()
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    kind.is_some_and(|kind| {
        kind.starts_with(b"application/json") || kind.starts_with(b"application/cloudevents")
    }) && !headers.contains_key(CONTENT_ENCODING)
}

async fn coded(response: Response, coding: Coding) -> Response {
    let (mut parts, body) = response.into_parts();
    // Made by a handler, so it is all there.
    let Ok(plain) = to_bytes(body, usize::MAX).await else {
        return ApiError::Internal.into_response();
    };
    let packed = match plain.len() < LONG {
        true => pack(&plain, coding),
        false => {
            let plain = plain.clone();
            let packing = tokio::task::spawn_blocking(move || pack(&plain, coding));
            packing.await.unwrap_or(None)
        }
    };
    let Some(packed) = packed else {
        return Response::from_parts(parts, Body::from(plain));
    };
    let headers = &mut parts.headers;
    let name = match coding {
        Coding::Zstd => "zstd",
        Coding::Gzip => "gzip",
    };
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    headers.remove(CONTENT_LENGTH);
    // The bytes are others, and say the same.
    let weak = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    let weak = weak.and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
    Response::from_parts(parts, Body::from(packed))
}

/// `None` where it fails: it goes as it is.
fn pack(plain: &Bytes, coding: Coding) -> Option<Vec<u8>> {
    match coding {
        Coding::Zstd => zstd::bulk::compress(plain, 1).ok(),
        Coding::Gzip => {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(plain).ok()?;
            gzip.finish().ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_coding_that_a_client_takes_is_taken() {
        let wanted = |given: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(given));
            wanted(&headers)
        };
        assert_eq!(
            wanted("gzip, deflate, br, zstd"),
            [Coding::Zstd, Coding::Gzip]
        );
        assert_eq!(wanted("GZIP;q=0.5"), [Coding::Gzip]);
        assert_eq!(wanted("zstd;q=0, gzip"), [Coding::Gzip]);
        assert_eq!(wanted("identity"), []);
    }
}
