//! Processes of the service, and a client that signs webhooks as Meta does.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{Connection as _, PgConnection};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::postgres::{TestDatabase, TestServer};
use twotick::seal::SealingKey;
use twotick::store::{self, Store};

pub const SECRET: &str = "an app's secret";
/// How long anything that must happen may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A database, and what processes on it share.
pub struct Ground {
    database: TestDatabase,
    sealing_key: SecretString,
    pub client: reqwest::Client,
    pub key: String,
}

/// A running `twotick serve`. Killed when dropped.
pub struct Process {
    pub url: String,
    pub id: u32,
    child: Child,
}

impl Ground {
    pub async fn prepare() -> Self {
        let server = TestServer::shared(|url| async move { store::migrate(&url).await });
        let database = server.await.unwrap().create_database().await.unwrap();
        let sealing_key = SealingKey::generate();
        let config = Config::load(None::<&Path>).unwrap();
        let key = SealingKey::parse(&sealing_key).unwrap();
        let store = Store::open(&database.url, &config.database, key, Clock::system());
        let store = store.await.unwrap();
        let key = store
            .create_admin_key("test")
            .await
            .unwrap()
            .expose_secret()
            .to_owned();
        store.close().await;
        Self {
            database,
            sealing_key,
            client: reqwest::Client::new(),
            key,
        }
    }

    /// A session of the test's own, to hold locks and to look.
    pub async fn session(&self) -> PgConnection {
        PgConnection::connect(&self.database.url).await.unwrap()
    }

    /// Starts the real binary and waits until it listens.
    pub async fn serve(&self) -> Process {
        self.serve_with(&[]).await
    }

    /// That says all it has to say, as JSON, in this file.
    pub async fn serve_logging_to(&self, file: &Path) -> Process {
        let log = std::fs::File::create(file).unwrap();
        self.spawn(&[], |command| {
            command
                .env("RUST_LOG", "info,twotick=trace")
                .env("TWOTICK_LOG_FORMAT", "json")
                .stderr(log);
        })
        .await
    }

    /// With settings, `SECTION__KEY` and value.
    pub async fn serve_with(&self, settings: &[(&str, &str)]) -> Process {
        self.spawn(settings, |_| {}).await
    }

    async fn spawn(&self, settings: &[(&str, &str)], more: impl FnOnce(&mut Command)) -> Process {
        let settings = settings
            .iter()
            .map(|(key, value)| (format!("TWOTICK__{key}"), *value));
        let mut command = Command::new(env!("CARGO_BIN_EXE_twotick"));
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("DATABASE_URL", &self.database.url)
            .env("TWOTICK_SEALING_KEY", self.sealing_key.expose_secret())
            .env("TWOTICK_EXIT_WITH_PARENT", "1")
            .env("TWOTICK__DATABASE__MAX_CONNECTIONS", "12")
            .env("TWOTICK__SEND__ANSWER_TIMEOUT_MS", "4000")
            .env("TWOTICK__SEND__UNKNOWN_AFTER_MS", "5000")
            .env("TWOTICK__HTTP__DRAIN_MS", "300")
            .env("RUST_LOG", "warn")
            .envs(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        more(&mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .unwrap();
        let url = line
            .unwrap()
            .unwrap()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        let id = child.id().unwrap();
        Process { url, id, child }
    }

    pub async fn send(&self, to: &Process, method: Method, path: &str, body: Value) -> Value {
        let request = self.client.request(method, format!("{}{path}", to.url));
        let response = request
            .bearer_auth(&self.key)
            .json(&body)
            .send()
            .await
            .unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// What `/metrics` shows.
    pub async fn metrics(&self, of: &Process) -> String {
        let answer = self.client.get(format!("{}/metrics", of.url)).send().await;
        answer.unwrap().text().await.unwrap()
    }

    pub async fn get(&self, from: &Process, path: &str) -> Value {
        let request = self
            .client
            .get(format!("{}{path}", from.url))
            .bearer_auth(&self.key);
        request.send().await.unwrap().json().await.unwrap()
    }

    /// GETs until `wanted` says yes.
    pub async fn get_until(
        &self,
        from: &Process,
        path: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = self.get(from, path).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            in_time.is_ok(),
            "GET {path} never became what was wanted: {last:#}"
        );
        last
    }

    pub async fn connect(&self, to: &Process, provider: &str) -> String {
        let connection = json!({
            "name": "shop", "provider": "meta", "base_url": provider, "api_version": "v25.0",
            "access_token": "token", "app_secrets": [SECRET], "verify_token": "verify",
        });
        let made = self
            .send(to, Method::POST, "/v1/connections", connection)
            .await;
        made["id"].as_str().unwrap().to_owned()
    }

    pub async fn register(&self, to: &Process, connection: &str, number: &str) -> String {
        let sender = json!({
            "connection": connection, "phone_number_id": number, "messages_per_second": 1000,
        });
        let made = self.send(to, Method::POST, "/v1/senders", sender).await;
        made["id"].as_str().unwrap().to_owned()
    }
}

impl Process {
    /// Kills it with -9 and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it a signal: `STOP`, `CONT`, `TERM`.
    pub async fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.id)])
            .status();
        assert!(sent.await.unwrap().success(), "kill -{name}");
    }

    /// Waits until it has ended by itself, and returns its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it never ended").unwrap().code()
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

/// Polls until `wanted` gives something.
pub async fn until<T>(what: &str, mut wanted: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = wanted().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await;
    in_time.unwrap_or_else(|_| panic!("it never came to this: {what}"))
}

/// `X-Hub-Signature-256` over these bytes.
pub fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    let hash = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    format!("sha256={hash}")
}

/// Statuses of messages that nobody here sent, in one webhook.
pub fn statuses_body(statuses: impl IntoIterator<Item = Value>) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
        "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550142217", "phone_number_id": "310022446688199"},
            "statuses": statuses.into_iter().collect::<Vec<_>>(),
        },
    }]}]})
}

/// One element of `statuses[]`.
pub fn status(wamid: &str, word: &str) -> Value {
    json!({
        "id": wamid, "status": word, "timestamp": "1763769600", "recipient_id": "447700900123",
    })
}

/// Posts a signed webhook. `None`: nobody answered.
pub async fn post_webhook(
    client: &reqwest::Client,
    url: &str,
    connection: &str,
    body: &Value,
) -> Option<StatusCode> {
    let body = serde_json::to_vec(body).unwrap();
    let request = client
        .post(format!("{url}/webhooks/{connection}"))
        .header("X-Hub-Signature-256", signature(&body))
        .body(body);
    request.send().await.ok().map(|response| response.status())
}
