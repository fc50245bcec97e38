//! For whoever runs the service: is it up, can it work, what does it count. No key is needed.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::problem::ApiError;
use crate::store::Part;

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// Says that the process is up.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "live",
    tag = "Running",
    responses((status = 200, body = String, content_type = "text/plain")),
)]
async fn live() -> &'static str {
    "ok\n"
}

/// Says whether it can work: the database answers.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "ready",
    tag = "Running",
    responses((status = 200, body = String, content_type = "text/plain"), (status = 503, description = "overloaded")),
)]
async fn ready(State(api): State<Api>) -> Result<&'static str, ApiError> {
    if api.signals.is_stopping() {
        return Err(ApiError::Overloaded("the service is stopping".to_owned()));
    }
    // On a connection that calls cannot take: a busy API is no reason to be taken out.
    if api.store.of(Part::LookUps).ping().await? {
        return Ok("ok\n");
    }
    Err(ApiError::Overloaded("the database is read-only".to_owned()))
}

/// Shows what it counts, in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "Running",
    responses((status = 200, body = String, content_type = "text/plain")),
)]
async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    api.measure();
    let (status, text) = match &api.metrics {
        Some(handle) => (StatusCode::OK, handle.render()),
        None => (StatusCode::NOT_FOUND, String::new()),
    };
    let text_format = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (status, text_format, text)
}

impl Api {
    /// What is read at the moment of asking.
    fn measure(&self) {
        let (webhooks, bytes) = (self.ingest.waiting(), self.webhook_bytes.taken());
        metrics::gauge!("twotick_ingest_queue_webhooks").set(webhooks as f64);
        metrics::gauge!("twotick_ingest_queue_bytes").set(bytes as f64);
        let (in_use, idle) = self.store.connections_open();
        metrics::gauge!("twotick_database_connections", "state" => "in_use").set(in_use as f64);
        metrics::gauge!("twotick_database_connections", "state" => "idle").set(idle as f64);
    }
}
