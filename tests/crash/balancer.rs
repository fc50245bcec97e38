//! A load balancer before all instances: what comes is passed on to those that say they are
//! ready, in turn. It passes a request on again only where nothing can have been done: the
//! connection was refused, or the answer was 503.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::*;

/// How often an instance is asked whether it is ready.
const CHECK: Duration = Duration::from_millis(20);
/// How long an instance may take for anything.
const SLOW: Duration = Duration::from_secs(5);

pub struct Balancer {
    pub url: String,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    client: reqwest::Client,
    instances: Mutex<Vec<String>>,
    ready: Mutex<Vec<String>>,
    turn: AtomicUsize,
    broken: Mutex<Vec<String>>,
}

impl Balancer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            client: reqwest::Client::builder().timeout(SLOW).build().unwrap(),
            instances: Mutex::default(),
            ready: Mutex::default(),
            turn: AtomicUsize::new(0),
            broken: Mutex::default(),
        });
        let router = axum::Router::new()
            .fallback(pass_on)
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let (stopped, checked) = (stop.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            tokio::select! {
                () = stopped.cancelled() => {}
                _ = axum::serve(listener, router) => {}
                () = checked.check() => {}
            }
        });
        Self {
            url,
            shared,
            _stop: stop.drop_guard(),
        }
    }

    /// From now on these, once they say that they are ready.
    pub fn set<'a>(&self, instances: impl IntoIterator<Item = &'a Process>) {
        let instances = instances.into_iter().map(|process| process.url.clone());
        *self.shared.instances.lock().unwrap() = instances.collect();
    }

    /// Waits until as many are ready.
    pub async fn ready(&self, n: usize) {
        until("instances are ready", async || {
            (self.shared.ready.lock().unwrap().len() == n).then_some(())
        })
        .await;
    }

    /// Requests that were neither answered nor refused.
    pub fn broken(&self) -> Vec<String> {
        self.shared.broken.lock().unwrap().clone()
    }
}

impl Shared {
    async fn check(&self) {
        loop {
            let mut ready = Vec::new();
            let instances = self.instances.lock().unwrap().clone();
            for url in instances {
                let asked = self.client.get(format!("{url}/health/ready"));
                let answer = asked.timeout(Duration::from_millis(500)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    ready.push(url);
                }
            }
            *self.ready.lock().unwrap() = ready;
            tokio::time::sleep(CHECK).await;
        }
    }

    fn next(&self) -> Option<String> {
        let ready = self.ready.lock().unwrap();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        ready.get(turn.checked_rem(ready.len())?).cloned()
    }
}

async fn pass_on(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path_and_query().unwrap().as_str();
    for _ in 0..500 {
        let Some(url) = shared.next() else {
            tokio::time::sleep(CHECK).await;
            continue;
        };
        let mut asked = shared
            .client
            .request(head.method.clone(), format!("{url}{path}"));
        for name in ["authorization", "x-hub-signature-256", "content-type"] {
            if let Some(value) = head.headers.get(name) {
                asked = asked.header(name, value);
            }
        }
        match answer(asked.body(body.clone())).await {
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => {}
            Ok(answer) => return answer.into_response(),
            Err(error) if error.is_connect() => {}
            Err(error) => {
                let broken = format!("{} {path} at {url}: {error:?}", head.method);
                shared.broken.lock().unwrap().push(broken);
                return StatusCode::BAD_GATEWAY.into_response();
            }
        }
        tokio::time::sleep(CHECK).await;
    }
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}

async fn answer(asked: reqwest::RequestBuilder) -> Result<(StatusCode, Bytes), reqwest::Error> {
    let answer = asked.send().await?;
    Ok((answer.status(), answer.bytes().await?))
}
