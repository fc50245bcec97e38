//! For whoever runs the service: is it up, can it work, what does it count. No key is needed.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::Api;
use super::problem::ApiError;

pub fn router() -> Router<Api> {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(api): State<Api>) -> Result<&'static str, ApiError> {
    if api.store.ping().await? {
        return Ok("ok\n");
    }
    Err(ApiError::Overloaded("the database is read-only".to_owned()))
}

async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    let (status, text) = match &api.metrics {
        Some(handle) => (StatusCode::OK, handle.render()),
        None => (StatusCode::NOT_FOUND, String::new()),
    };
    let text_format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (status, text_format, text)
}
