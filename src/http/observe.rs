//! What is true of every request: it has an id, which the answer and every log line bear, it is
//! counted and timed by its route, never by its path, so that ids make no new series, and its answer
//! is nothing for a browser to run, unless it says so.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::Label;
use tracing::Instrument;

use super::{Api, compress};

static REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Ids of callers that are longer are replaced by ours.
const LONGEST_ID: usize = 128;

tokio::task_local! {
    static REQUEST_ID: String;
}

/// The id of the request that is being answered.
pub fn request_id() -> Option<String> {
    REQUEST_ID.try_with(Clone::clone).ok()
}

/// The same request, in a task of its own.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    REQUEST_ID
        .scope(request_id().unwrap_or_default(), work)
        .in_current_span()
}

/// The outermost layer.
pub async fn observe(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = request
        .headers()
        .get(&REQUEST_ID_HEADER)
        .and_then(|id| id.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)
        .map_or_else(|| api.clock().new_id().to_string(), str::to_owned);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none".into(), |path| Arc::<str>::from(path.as_str()));
    let method = method(request.method());
    let span = tracing::info_span!("request", method, route = &*route, id);
    let began = api.clock().monotonic();

    // No layer of its own: each is a box and a copy of all below it, with every request.
    let answer = compress::compress(request, next).instrument(span);
    let mut response = REQUEST_ID.scope(id.clone(), answer).await;

    let labels = vec![
        Label::new("method", method),
        Label::new("route", route),
        Label::new("status", Arc::<str>::from(response.status().as_str())),
    ];
    metrics::counter!("twotick_http_requests_total", labels.clone()).increment(1);
    metrics::histogram!("twotick_http_request_seconds", labels)
        .record(api.clock().monotonic().duration_since(began));
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER.clone(), id);
    }
    nothing_to_run(response.headers_mut());
    response
}

fn nothing_to_run(headers: &mut HeaderMap) {
    const NOTHING: HeaderValue =
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers
        .entry(X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(NOTHING);
}

/// The method, if it is one of HTTP's: others are the client's to invent, and would be series
/// without end.
fn method(of: &Method) -> &'static str {
    match *of {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_makes_no_series_of_its_own() {
        assert_eq!(method(&Method::PATCH), "PATCH");
        for invented in ["AAAA1", "AAAA2", "get"] {
            assert_eq!(method(&invented.parse().unwrap()), "other");
        }
    }
}
