//! A service of its own for each test: its database, a simulator that accepts what is posted
//! and says nothing by itself, and a client that signs webhooks as Meta does.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{Connection as _, PgConnection};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::model::limits::Lifetimes;
use twotick::postgres::{TestDatabase, TestServer};
use twotick::seal::SealingKey;
use twotick::service::Service;
use twotick::simulator;
use twotick::store::{self, Store};

pub const SECRET: &str = "an app's secret";
pub const NUMBER: &str = "310022446688199";
pub const WABA: &str = "204411887755301";
/// A moment that statuses are dated from: seconds since 1970.
pub const T0: i64 = 1_763_769_600;

/// Longer than any test.
pub const LIFETIMES: Lifetimes = Lifetimes {
    authentication: Duration::from_secs(600),
    others: Duration::from_secs(86_400),
};

/// How long anything that must happen may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct App {
    pub url: String,
    pub simulator: String,
    pub clock: Clock,
    pub connection: String,
    pub sender: String,
    client: reqwest::Client,
    pub key: String,
    _stop: DropGuard,
    stopping: CancellationToken,
    /// To be aborted, as a crash does.
    pub instance: tokio::task::AbortHandle,
    /// What the service uses too: for what no request can bring about at will.
    pub store: Store,
    config: Config,
    sealing_key: SecretString,
    database: TestDatabase,
}

impl App {
    pub async fn start() -> Self {
        Self::start_with(|_| {}, simulator::Config::default()).await
    }

    /// With other settings, or a simulator that has faults.
    pub async fn start_with(
        settings: impl FnOnce(&mut Config),
        simulated: simulator::Config,
    ) -> Self {
        let server = TestServer::shared(|url| async move { store::migrate(&url).await });
        let database = server.await.unwrap().create_database().await.unwrap();
        let clock = Clock::system();
        let stop = CancellationToken::new();
        let mut config = Config::load(None::<&Path>).unwrap();
        config.database.max_connections = 12;
        // A busy machine is no database that is away.
        config.database.acquire_timeout = Duration::from_secs(15);
        config.ingest.deadline = Duration::from_secs(15);
        config.send.poll = Duration::from_millis(50);
        config.send.backoff = Duration::from_millis(20);
        // What only webhooks are to say must not be read meanwhile.
        config.poll.every = Duration::ZERO;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        config.http.public_url = url.clone();
        settings(&mut config);

        let simulator = spawn_simulator(simulated, &stop).await;
        let sealing_key = SealingKey::generate();
        let key = SealingKey::parse(&sealing_key).unwrap();
        let store = Store::open(&database.url, &config.database, key, clock.clone());
        let store = store.await.unwrap();
        let key = store.create_admin_key("test").await.unwrap();
        let service = Service {
            config: config.clone(),
            store: store.clone(),
            metrics: None,
        };
        let instance = tokio::spawn(service.run(listener, stop.clone())).abort_handle();

        let mut app = Self {
            url,
            simulator,
            clock,
            connection: String::new(),
            sender: String::new(),
            client: reqwest::Client::new(),
            key: key.expose_secret().to_owned(),
            stopping: stop.clone(),
            _stop: stop.drop_guard(),
            instance,
            store,
            config,
            sealing_key,
            database,
        };
        app.connection = app.connect().await;
        app.sender = app.register(NUMBER).await;
        app
    }

    /// Stops the service, as a signal does.
    pub fn stop(&self) {
        self.stopping.cancel();
    }

    /// Another instance over the same database, until the guard is dropped.
    pub async fn another_instance(&self) -> DropGuard {
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Service {
            config: self.config.clone(),
            store: self.store.clone(),
            metrics: None,
        };
        tokio::spawn(service.run(listener, stop.clone()));
        stop.drop_guard()
    }

    /// The same database, to an instance that may be stopped, and then closes its connections.
    pub async fn store_beside(&self) -> Store {
        let key = SealingKey::parse(&self.sealing_key).unwrap();
        let clock = self.clock.clone();
        let store = Store::open(&self.database.url, &self.config.database, key, clock);
        store.await.unwrap()
    }

    /// The same database, to somebody who has lost the sealing key and made another.
    pub async fn store_with_another_key(&self) -> Store {
        let session = &mut self.session().await;
        let forget = sqlx::query("TRUNCATE sealing_check").execute(session);
        forget.await.unwrap();
        let key = SealingKey::parse(&SealingKey::generate()).unwrap();
        let mut config = Config::load(None::<&Path>).unwrap();
        config.database.max_connections = 12;
        let store = Store::open(
            &self.database.url,
            &config.database,
            key,
            self.clock.clone(),
        );
        store.await.unwrap()
    }

    /// Runs a subcommand of the real binary on this database. Returns what it printed.
    pub async fn command(&self, arguments: &[&str]) -> String {
        let ran = tokio::process::Command::new(env!("CARGO_BIN_EXE_twotick"))
            .args(arguments)
            .env("DATABASE_URL", &self.database.url)
            .env("TWOTICK_SEALING_KEY", self.sealing_key.expose_secret())
            .output();
        let ran = ran.await.unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{arguments:?}: {said}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Gives a command this database, and the key that it is sealed with.
    pub fn with_database(&self, command: &mut tokio::process::Command) {
        command
            .env("DATABASE_URL", &self.database.url)
            .env("TWOTICK_SEALING_KEY", self.sealing_key.expose_secret());
    }

    pub async fn connect(&self) -> String {
        let connection = self
            .create(
                "/v1/connections",
                json!({
                    "name": "shop", "provider": "meta", "base_url": self.simulator,
                    "api_version": "v25.0", "access_token": "token",
                    "app_secrets": [SECRET], "verify_token": "verify me",
                }),
            )
            .await;
        connection["id"].as_str().unwrap().to_owned()
    }

    pub async fn register(&self, number: &str) -> String {
        let sender = self
            .create(
                "/v1/senders",
                json!({
                    "connection": self.connection, "phone_number_id": number,
                    "display_phone_number": "15550142217", "waba_id": WABA,
                    "messages_per_second": 1000,
                }),
            )
            .await;
        sender["id"].as_str().unwrap().to_owned()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.key)
    }

    /// Sends JSON and returns the answer's status and body.
    pub async fn send(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let response = self.request(method, path).json(&body).send().await.unwrap();
        let status = response.status();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// POSTs what must be taken.
    pub async fn create(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(Method::POST, path, body).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    /// GETs what must be there.
    pub async fn get(&self, path: &str) -> Value {
        let response = self.request(Method::GET, path).send().await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert!(status.is_success(), "GET {path}: {status} {body}");
        body
    }

    /// GETs until `wanted` says yes to the answer.
    pub async fn get_until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = self.get(path).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            in_time.is_ok(),
            "GET {path} never became what was wanted: {last:#}"
        );
        last
    }

    /// The feed, once it has this many events. They come when no transaction is under way that
    /// began before them, in this database or in another of the same server.
    pub async fn events(&self, n: usize) -> Vec<Value> {
        let wanted = |answer: &Value| answer["data"].as_array().unwrap().len() >= n;
        let answer = self.get_until("/v1/events?limit=500", wanted).await;
        answer["data"].as_array().unwrap().clone()
    }

    /// A session of the test's own, to hold locks and to look.
    pub async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.database.url).await.unwrap()
    }

    /// Waits until this many sessions of this database wait for a lock.
    pub async fn waiting_for_locks(&self, n: i64) {
        let mut session = self.session().await;
        let waiting = async {
            loop {
                let count: i64 = sqlx::query_scalar(
                    "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'",
                )
                .fetch_one(&mut session)
                .await
                .unwrap();
                if count >= n {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(in_time.is_ok(), "{n} sessions never waited for a lock");
    }

    /// Posts a webhook, signed.
    pub async fn webhook(&self, body: &Value) -> StatusCode {
        let body = serde_json::to_vec(body).unwrap();
        self.webhook_bytes(&body, Some(&signature(SECRET, &body)))
            .await
    }

    /// Posts any bytes with any signature.
    pub async fn webhook_bytes(&self, body: &[u8], signature: Option<&str>) -> StatusCode {
        let url = format!("{}/webhooks/{}", self.url, self.connection);
        let mut request = self
            .client
            .post(url)
            .header("Content-Type", "application/json");
        if let Some(signature) = signature {
            request = request.header("X-Hub-Signature-256", signature);
        }
        let response = request.body(body.to_vec()).send().await.unwrap();
        let status = response.status();
        if status == StatusCode::OK {
            assert!(
                response.bytes().await.unwrap().is_empty(),
                "200 has an empty body"
            );
        }
        status
    }

    /// Says statuses of messages, in one webhook.
    pub async fn say(&self, statuses: &[Value]) {
        assert_eq!(self.webhook(&statuses_body(statuses)).await, StatusCode::OK);
    }

    /// What the simulator was asked to send, in order.
    pub async fn posts(&self) -> Vec<Value> {
        let log: Value = self.control("log").await;
        log["posts"].as_array().unwrap().clone()
    }

    /// Waits until the simulator has been asked to send this often.
    pub async fn posts_until(&self, n: usize) -> Vec<Value> {
        let waiting = async {
            loop {
                let posts = self.posts().await;
                if posts.len() >= n {
                    return posts;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let posts = tokio::time::timeout(PATIENCE, waiting).await;
        posts.unwrap_or_else(|_| panic!("there never were {n} posts"))
    }

    /// GETs from the simulator's control API.
    pub async fn control(&self, path: &str) -> Value {
        let url = format!("{}/_control/{path}", self.simulator);
        self.client
            .get(url)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap()
    }

    /// Tells the simulator something.
    pub async fn control_send(&self, method: Method, path: &str, body: Value) {
        let url = format!("{}/_control/{path}", self.simulator);
        let response = self
            .client
            .request(method, url)
            .json(&body)
            .send()
            .await
            .unwrap();
        assert!(
            response.status().is_success(),
            "{path}: {}",
            response.text().await.unwrap()
        );
    }

    /// Waits until the claimer of this test's sender has looked at everything that was due before.
    pub async fn fence(&self) {
        self.fence_of(&self.sender).await;
    }

    /// The same of another sender: a fresh message of it is posted only after what was due before.
    pub async fn fence_of(&self, sender: &str) {
        let message = self
            .create("/v1/messages", text(sender, "15550009999", "fence"))
            .await;
        self.accepted(message["id"].as_str().unwrap()).await;
    }

    /// Waits until a message has a provider's id and returns it.
    pub async fn accepted(&self, message: &str) -> String {
        let path = format!("/v1/messages/{message}");
        let message = self
            .get_until(&path, |message| {
                message["provider_message_id"].is_string() && message["accepted_at"].is_string()
            })
            .await;
        message["provider_message_id"].as_str().unwrap().to_owned()
    }

    /// The ids of a sequence's messages.
    pub async fn sequence(&self, body: Value) -> (String, Vec<String>) {
        let sequence = self.create("/v1/sequences", body).await;
        let messages = sequence["messages"].as_array().unwrap();
        let ids = messages
            .iter()
            .map(|message| message["id"].as_str().unwrap().to_owned());
        (sequence["id"].as_str().unwrap().to_owned(), ids.collect())
    }
}

/// Another instance, as long as the guard is there.
pub async fn beside(store: &Store, settings: impl FnOnce(&mut Config)) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Config::load(None).unwrap();
    settings(&mut config);
    let service = Service {
        config,
        store: store.clone(),
        metrics: None,
    };
    let stop = CancellationToken::new();
    tokio::spawn(service.run(listener, stop.clone()));
    (address, stop.drop_guard())
}

async fn spawn_simulator(config: simulator::Config, stop: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = simulator::Config {
        automatic: false,
        waba_id: WABA.to_owned(),
        ..config
    };
    tokio::spawn(simulator::run(
        listener,
        config,
        Clock::system(),
        stop.clone(),
    ));
    url
}

/// `X-Hub-Signature-256` over these bytes.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    format!(
        "sha256={}",
        data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
    )
}

/// A message of free text.
pub fn text(sender: &str, to: &str, body: &str) -> Value {
    json!({"sender": sender, "to": to, "type": "text", "text": {"body": body}})
}

/// A step of a sequence.
pub fn step(body: &str) -> Value {
    json!({"type": "text", "text": {"body": body}})
}

/// A step of a sequence that uses a template.
pub fn template_step(name: &str, marker: &str) -> Value {
    json!({"type": "template", "template": {
        "name": name, "language": {"code": "en_US"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": marker}]}],
    }})
}

/// One element of `statuses[]`, dated `T0 + at`.
pub fn status(wamid: &str, word: &str, at: i64) -> Value {
    let mut status = json!({
        "id": wamid, "status": word, "timestamp": (T0 + at).to_string(),
        "recipient_id": "447700900123",
    });
    if word == "failed" {
        status["errors"] = json!([{
            "code": 131_026, "title": "Message undeliverable",
            "error_data": {"details": "not on WhatsApp"},
        }]);
    }
    status
}

/// One change of the field `messages`.
pub fn change(value: Value) -> Value {
    let mut value = value;
    value["messaging_product"] = "whatsapp".into();
    value["metadata"] = json!({"display_phone_number": "15550142217", "phone_number_id": NUMBER});
    json!({"field": "messages", "value": value})
}

/// A body with these changes in one entry.
pub fn body(changes: &[Value]) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA, "changes": changes}],
    })
}

/// A body with these statuses in one change.
pub fn statuses_body(statuses: &[Value]) -> Value {
    body(&[change(json!({"statuses": statuses}))])
}

/// A body with one change of a management field.
pub fn management_body(field: &str, time: i64, value: Value) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{"id": WABA, "time": time, "changes": [{"field": field, "value": value}]}],
    })
}

/// The texts that were posted, in order.
pub fn posted_texts(posts: &[Value]) -> Vec<String> {
    posts
        .iter()
        .map(|post| {
            let body = &post["body"];
            let text = &body["text"]["body"];
            let parameter = &body["template"]["components"][0]["parameters"][0]["text"];
            text.as_str()
                .or(parameter.as_str())
                .unwrap_or_default()
                .to_owned()
        })
        .filter(|text| text != "fence")
        .collect()
}
