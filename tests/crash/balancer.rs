//! A load balancer before all instances: what comes is passed on to those that say they are
//! ready, in turn. What is not answered, or with 503, it passes on again: whoever asks through it
//! must be one who may ask twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use twotick::clock::Clock;

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
    broken: Mutex<Vec<Broken>>,
    clock: Clock,
}

/// A request that was neither answered nor refused.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The instance.
    pub url: String,
    /// When it was passed on.
    pub begun: Instant,
    /// What it was, and how it broke.
    pub why: String,
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
            clock: Clock::system(),
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
    pub fn broken(&self) -> Vec<Broken> {
        self.shared.broken.lock().unwrap().clone()
    }
}

impl Shared {
    async fn check(&self) {
        loop {
            let instances = self.instances.lock().unwrap().clone();
            // Side by side: a slow one must not keep the others' news waiting.
            let mut asking = JoinSet::new();
            for url in instances {
                let asked = self.client.get(format!("{url}/health/ready"));
                let asked = asked.timeout(Duration::from_millis(500)).send();
                asking.spawn(async move { (url, asked.await) });
            }
            let mut ready = Vec::new();
            while let Some(answered) = asking.join_next().await {
                let (url, answer) = answered.unwrap();
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
        for name in [
            "authorization",
            "idempotency-key",
            "x-hub-signature-256",
            "content-type",
        ] {
            if let Some(value) = head.headers.get(name) {
                asked = asked.header(name, value);
            }
        }
        let begun = shared.clock.monotonic();
        match answer(asked.body(body.clone())).await {
            Ok((StatusCode::SERVICE_UNAVAILABLE, _)) => {}
            Ok(answer) => return answer.into_response(),
            Err(error) if error.is_connect() => {}
            Err(error) => {
                let why = format!("{} {path}: {error:?}", head.method);
                let broken = Broken { url, begun, why };
                shared.broken.lock().unwrap().push(broken);
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
