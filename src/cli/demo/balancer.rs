//! A load balancer as stands before any real installation: webhooks go to the service's
//! processes in turn, bytes and headers untouched, and to another one when one does not listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Meta posts up to 3 MB.
const MAX_BODY: usize = 4 * 1024 * 1024;

#[derive(Debug)]
struct Balancer {
    http: reqwest::Client,
    targets: Vec<String>,
    next: AtomicUsize,
}

/// Serves until `shutdown`.
pub async fn run(
    listener: TcpListener,
    http: reqwest::Client,
    targets: Vec<String>,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let balancer = Balancer {
        http,
        targets,
        next: AtomicUsize::new(0),
    };
    let app = Router::new()
        .fallback(forward)
        .layer(axum::extract::DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(balancer));
    tokio::select! {
        served = axum::serve(listener, app) => served,
        () = shutdown.cancelled() => Ok(()),
    }
}

async fn forward(
    State(balancer): State<Arc<Balancer>>,
    method: Method,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response {
    for hop in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(hop);
    }
    let first = balancer.next.fetch_add(1, Ordering::Relaxed);
    for n in 0..balancer.targets.len() {
        let target = &balancer.targets[(first + n) % balancer.targets.len()];
        let request = balancer
            .http
            .request(method.clone(), format!("{target}{uri}"))
            .headers(headers.clone())
            .body(body.clone());
        match request.send().await {
            Ok(response) => return pass_on(response).await,
            // It does not listen, so it has not read anything.
            Err(error) if error.is_connect() => {}
            Err(_) => break,
        }
    }
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

async fn pass_on(response: reqwest::Response) -> Response {
    let status = response.status();
    match response.bytes().await {
        Ok(body) => (status, body).into_response(),
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
