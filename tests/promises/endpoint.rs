//! An internal service that is posted events to, and answers as a test says.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::simulator;

use crate::support::*;

/// One POST that came.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub headers: HeaderMap,
    pub body: Bytes,
    pub event: Value,
    pub at: Instant,
    /// Whether it was answered with 2xx.
    pub taken: bool,
}

impl Delivery {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// What tells the facts that a test wrote apart.
    pub fn key(&self) -> &str {
        self.event["data"]["key"].as_str().unwrap_or_default()
    }
}

/// How it answers.
#[derive(Debug, Clone)]
pub enum Reply {
    Status(u16),
    /// With `Retry-After`.
    Later(u16, u64),
    /// It is somewhere else.
    Moved(String),
    Hang,
    /// Once a test says so.
    When(watch::Receiver<bool>, u16),
}

type Answers = Arc<dyn Fn(&Delivery) -> Reply + Send + Sync>;

#[derive(Clone)]
pub struct Endpoint {
    pub url: String,
    got: Arc<Mutex<Vec<Delivery>>>,
    answers: Arc<Mutex<Answers>>,
    count: watch::Sender<usize>,
}

impl Endpoint {
    /// One that takes all.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let takes_all: Answers = Arc::new(|_| Reply::Status(200));
        let endpoint = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            got: Arc::default(),
            answers: Arc::new(Mutex::new(takes_all)),
            count: watch::Sender::new(0),
        };
        let at = endpoint.clone();
        let take = async move |headers: HeaderMap, body: Bytes| at.take(headers, body).await;
        let router = axum::Router::new().fallback(take);
        tokio::spawn(async move { axum::serve(listener, router).await });
        endpoint
    }

    async fn take(&self, headers: HeaderMap, body: Bytes) -> Response {
        let mut delivery = Delivery {
            event: serde_json::from_slice(&body).unwrap(),
            headers,
            body,
            at: Clock::system().monotonic(),
            taken: false,
        };
        let answers = self.answers.lock().unwrap().clone();
        let reply = answers(&delivery);
        delivery.taken = matches!(reply, Reply::Status(status) if (200..300).contains(&status));
        self.got.lock().unwrap().push(delivery);
        self.count.send_modify(|n| *n += 1);
        let status = |status: u16| StatusCode::from_u16(status).unwrap();
        match reply {
            Reply::Status(code) => (status(code), "said the endpoint").into_response(),
            Reply::Later(code, seconds) => {
                let headers = [("retry-after", seconds.to_string())];
                (status(code), headers).into_response()
            }
            Reply::Moved(to) => (status(307), [("location", to)]).into_response(),
            Reply::When(mut said, code) => {
                said.wait_for(|said| *said).await.unwrap();
                status(code).into_response()
            }
            Reply::Hang => std::future::pending().await,
        }
    }

    pub fn answer(&self, answers: impl Fn(&Delivery) -> Reply + Send + Sync + 'static) {
        *self.answers.lock().unwrap() = Arc::new(answers);
    }

    pub fn got(&self) -> Vec<Delivery> {
        self.got.lock().unwrap().clone()
    }

    /// The keys of what it took, each once, in the order of the first time.
    pub fn taken(&self) -> Vec<String> {
        let mut seen = std::collections::HashSet::new();
        let got = self.got();
        let taken = got.iter().filter(|delivery| delivery.taken);
        let first = taken.filter(|delivery| seen.insert(delivery.header("webhook-id").to_owned()));
        first.map(|delivery| delivery.key().to_owned()).collect()
    }

    /// Waits until what came is what is wanted.
    pub async fn until(&self, what: &str, wanted: impl Fn(&[Delivery]) -> bool) {
        let mut count = self.count.subscribe();
        let waiting = async {
            while !wanted(&self.got()) {
                count.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            let got: Vec<_> = self.got().iter().map(|d| d.event.to_string()).collect();
            panic!("{what}: never\n{}", got.join("\n"));
        }
    }

    /// Waits until it has taken so many different events.
    pub async fn takes(&self, n: usize) {
        self.until(&format!("{n} events"), |_| self.taken().len() >= n)
            .await;
    }
}

/// Settings under which events are posted to this machine, and soon again.
pub fn settings(config: &mut Config) {
    config.forward.allow = "127.0.0.0/8".parse().unwrap();
    config.forward.allow_http = true;
    config.forward.lease = Duration::from_millis(1200);
    config.forward.retry = vec![Duration::from_millis(50); 40];
}

pub async fn app() -> App {
    app_with(|_| {}).await
}

pub async fn app_with(more: impl FnOnce(&mut Config)) -> App {
    let with = |config: &mut Config| {
        settings(config);
        more(config);
    };
    App::start_with(with, simulator::Config::default()).await
}

/// Makes a subscription to what tests write, and returns it.
pub async fn subscribe(app: &App, endpoint: &Endpoint) -> Value {
    let new = json!({"url": endpoint.url, "types": ["inbound.*"]});
    app.create("/v1/subscriptions", new).await
}

pub fn path(subscription: &Value) -> String {
    format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap())
}

/// Writes facts in one transaction: of these subjects (0: of none), with these keys.
pub async fn write(session: &mut sqlx::PgConnection, facts: &[(u128, &str)]) {
    for (subject, key) in facts {
        sqlx::query(
            "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
             SELECT id, gen_random_uuid(), $1, now(), 'inbound.fact', $2, 'webhook',
                    jsonb_build_object('key', $2)
             FROM senders",
        )
        .bind(uuid::Uuid::from_u128(*subject))
        .bind(key)
        .execute(&mut *session)
        .await
        .unwrap();
    }
}
