//! A simulator, and a receiver of webhooks that it posts to, which trusts nothing. Shares no code
//! with the simulator.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Response;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use twotick::clock::Clock;
use twotick::simulator::{self, Config, Delays, Dialect, Faults, Range, Target};

pub const SECRET: &str = "a secret";
pub const SENDER: &str = "310022446688199";

/// What a receiver got and how it is to answer; 200 when no other answer is left.
#[derive(Default)]
pub struct Inbox {
    bodies: Mutex<Vec<Bytes>>,
    others: Mutex<Vec<Received>>,
    pub answers: Mutex<VecDeque<u16>>,
}

/// What came from another provider than Meta: nothing is verified yet.
#[derive(Clone)]
pub struct Received {
    /// The last part of the path; the provider's name, if it is the connection's address.
    pub path: String,
    pub headers: HeaderMap,
    pub bytes: Bytes,
    pub body: Value,
}

/// An answer that never comes.
pub const SILENCE: u16 = 0;

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&body);
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if headers["x-hub-signature-256"] != format!("sha256={hex}") {
        return StatusCode::UNAUTHORIZED;
    }
    inbox.bodies.lock().unwrap().push(body);
    inbox.answer().await
}

async fn take_other(
    State(inbox): State<Arc<Inbox>>,
    Path(path): Path<String>,
    headers: HeaderMap,
    bytes: Bytes,
) -> StatusCode {
    let body = serde_json::from_slice(&bytes).unwrap();
    inbox.others.lock().unwrap().push(Received {
        path,
        headers,
        bytes,
        body,
    });
    inbox.answer().await
}

impl Inbox {
    async fn answer(&self) -> StatusCode {
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(200);
        if answer == SILENCE {
            std::future::pending::<()>().await;
        }
        StatusCode::from_u16(answer).unwrap()
    }

    /// What came to this path.
    pub fn at(&self, path: &str) -> Vec<Received> {
        let others = self.others.lock().unwrap();
        let at = others.iter().filter(|received| received.path == path);
        at.cloned().collect()
    }

    /// The items of this list of all bodies that came to a path.
    pub fn items(&self, path: &str, list: &str) -> Vec<Value> {
        let bodies = self.at(path);
        let lists = bodies.iter().filter_map(|got| got.body[list].as_array());
        lists.flatten().cloned().collect()
    }

    pub fn bodies(&self) -> Vec<Bytes> {
        self.bodies.lock().unwrap().clone()
    }

    /// The values of all changes of a field, with the time of their entry.
    pub fn changes(&self, field: &str) -> Vec<(Value, Value)> {
        let mut changes = Vec::new();
        for body in self.bodies() {
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["object"], "whatsapp_business_account");
            for entry in body["entry"].as_array().unwrap() {
                for change in entry["changes"].as_array().unwrap() {
                    if change["field"] == field {
                        changes.push((entry["time"].clone(), change["value"].clone()));
                    }
                }
            }
        }
        changes
    }

    pub fn statuses(&self) -> Vec<Value> {
        let changes = self.changes("messages");
        changes
            .iter()
            .filter_map(|(_, value)| value["statuses"].as_array())
            .flatten()
            .cloned()
            .collect()
    }

    /// What was said of each message, sorted, under the caller's own id.
    pub fn stories(&self) -> BTreeMap<String, Vec<String>> {
        let mut stories: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        for status in self.statuses() {
            let story = stories
                .entry(text(&status["biz_opaque_callback_data"]))
                .or_default();
            story.push(text(&status["status"]));
            story.sort();
        }
        stories
    }
}

/// A simulator and a receiver that it posts to.
pub struct Scene {
    pub url: String,
    /// Where webhooks go: below it each provider has a path.
    pub receiver: String,
    pub inbox: Arc<Inbox>,
    pub client: reqwest::Client,
    _stop: DropGuard,
}

/// As quick as can be, and reproducible.
pub fn config() -> Config {
    Config {
        seed: 7,
        app_secret: SECRET.to_owned(),
        delays: Delays {
            sent_ms: Range { min: 0, max: 5 },
            delivered_ms: Range { min: 0, max: 5 },
            read_ms: Range { min: 0, max: 5 },
            held_ms: 1,
            template_pause_ms: 0,
            retry_first_ms: 1,
            retry_max_ms: 4,
            ..Delays::default()
        },
        ..Config::default()
    }
}

pub fn faulty(faults: Faults) -> Config {
    Config { faults, ..config() }
}

impl Scene {
    pub async fn start(config: Config) -> Self {
        let stop = CancellationToken::new();
        let inbox = Arc::new(Inbox::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = format!("http://{}/", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/", post(take))
            .route("/{path}", post(take_other))
            .with_state(Arc::clone(&inbox));
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async {
            axum::serve(listener, app)
                .with_graceful_shutdown(stopped)
                .await
        });

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut config = Config {
            webhook_url: Some(receiver.clone()),
            ..config
        };
        for dialect in [
            Dialect::Dialog360,
            Dialect::Dialog360Onprem,
            Dialect::Infobip,
        ] {
            let target: &mut Target = config.targets.entry(dialect).or_default();
            target.url = Some(format!("{receiver}{}", dialect.name()));
        }
        tokio::spawn(simulator::run(
            listener,
            config,
            Clock::system(),
            stop.clone(),
        ));
        Self {
            url,
            receiver,
            inbox,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            _stop: stop.drop_guard(),
        }
    }

    pub async fn try_send(&self, body: &Value) -> reqwest::Result<Response> {
        let url = format!("{}/v24.0/{SENDER}/messages", self.url);
        self.client.post(url).json(body).send().await
    }

    pub async fn send(&self, body: &Value) -> (u16, Value) {
        let response = self.try_send(body).await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// POSTs to a provider's API, with a key.
    pub async fn ask(&self, dialect: Dialect, path: &str, key: &str, body: &Value) -> Response {
        let (name, value) = match dialect {
            Dialect::Meta => ("authorization", format!("Bearer {key}")),
            Dialect::Infobip => ("authorization", format!("App {key}")),
            _ => ("D360-API-KEY", key.to_owned()),
        };
        let request = self.client.post(format!("{}{path}", self.url));
        let request = request.header(name, value).json(body);
        request.send().await.unwrap()
    }

    /// The same; what is answered.
    pub async fn answer(&self, dialect: Dialect, path: &str, body: &Value) -> (u16, Value) {
        let response = self.ask(dialect, path, "key", body).await;
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.client.get(format!("{}{path}", self.url)).send().await;
        response.unwrap().json().await.unwrap()
    }

    pub async fn control(&self, method: &str, path: &str, body: &Value) -> u16 {
        let url = format!("{}/_control{path}", self.url);
        let request = self.client.request(method.parse().unwrap(), url).json(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// All attempts to post webhooks of a provider, in order.
    pub async fn attempts(&self, dialect: Dialect) -> Vec<Value> {
        let all = self.get("/_control/attempts").await;
        let all = all["attempts"].as_array().unwrap();
        let own = all.iter().filter(|one| one["provider"] == dialect.name());
        own.cloned().collect()
    }

    pub async fn idle(&self) {
        let answer = self.get("/_control/idle?timeout_ms=20000").await;
        assert_eq!(
            answer,
            json!({"idle": true}),
            "{}",
            self.get("/_control/stats").await
        );
    }
}
