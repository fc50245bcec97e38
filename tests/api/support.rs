//! One service a test: the router on a port of its own, over a database of its own.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::forward::Forwarding;
use twotick::http::{self, Api};
use twotick::ingest;
use twotick::manage::Manage;
use twotick::postgres::{TestDatabase, TestServer};
use twotick::seal::SealingKey;
use twotick::signals::Signals;
use twotick::store::{self, ConnectionCache, Store};

use crate::document;

pub const SECRET: &str = "an app secret";

/// A service under test.
pub struct App {
    pub base: String,
    pub pool: PgPool,
    pub store: Store,
    pub signals: Signals,
    pub clock: Clock,
    pub key: String,
    client: reqwest::Client,
    database: TestDatabase,
    sealing_key: SecretString,
}

async fn open(url: &str, config: &Config, key: &SecretString, clock: &Clock) -> Store {
    let key = SealingKey::parse(key).unwrap();
    let store = Store::open(url, &config.database, key, clock.clone());
    store.await.unwrap()
}

/// An answer: its status and its body, if that is JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.body
    }

    /// Whether it is this problem.
    #[track_caller]
    pub fn is(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.body["code"], code, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
    }

    /// Whether it is an invalid request because of this field.
    #[track_caller]
    pub fn names(&self, field: &str) {
        self.is(422, "invalid_request");
        let errors = self.body["errors"].as_array().unwrap();
        assert!(
            errors.iter().any(|error| error["field"] == field),
            "{field}: {self:?}"
        );
    }
}

impl App {
    /// The page of events at this address, once it is wanted: transactions of other tests, in other
    /// databases of the server, may keep events back for a while.
    pub async fn events_page(&self, path: &str, wanted: impl Fn(&[Value]) -> bool) -> Value {
        let coming = async {
            loop {
                let page = self.get(path).await.ok();
                if wanted(page["data"].as_array().unwrap()) {
                    return page;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), coming).await;
        in_time.unwrap_or_else(|_| panic!("never came: {path}"))
    }

    /// Its events.
    pub async fn events_until(&self, path: &str, wanted: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let page = self.events_page(path, wanted).await;
        page["data"].as_array().unwrap().clone()
    }

    pub async fn start() -> Self {
        let server = TestServer::shared(|url| async move { store::migrate(&url).await });
        let server = server.await.unwrap();
        let database = server.create_database().await.unwrap();
        let mut config = Config::load(None).unwrap();
        config.database.max_connections = 12;
        // A busy machine is no database that is away.
        config.database.acquire_timeout = Duration::from_secs(15);
        let config = Arc::new(config);
        let clock = Clock::system();
        let sealing_key = SealingKey::generate();
        let store = open(&database.url, &config, &sealing_key, &clock).await;
        let (signals, _) = Signals::new();
        let (ingest, writer) = ingest::start(store.clone(), signals.clone(), &config.ingest);
        tokio::spawn(writer.run());
        let connections = ConnectionCache::new(store.clone());
        let (show, settings) = (http::show_event, &config.forward);
        let forwarding = Forwarding::new(&store, signals.clone(), settings, show).unwrap();
        tokio::spawn(forwarding.tail.clone().run(CancellationToken::new()));
        let manage = Manage::new(
            store.clone(),
            connections.clone(),
            reqwest::Client::new(),
            config.manage.clone(),
        );
        let api = Api::new(
            store.clone(),
            connections,
            ingest,
            signals.clone(),
            forwarding,
            manage,
            config,
            None,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, http::router(api)).await });
        let key = store.create_admin_key("tests").await.unwrap();
        Self {
            base,
            pool: PgPool::connect(&database.url).await.unwrap(),
            store,
            signals,
            clock,
            key: key.expose_secret().to_owned(),
            client: reqwest::Client::new(),
            database,
            sealing_key,
        }
    }

    /// What the start of another instance does to the database.
    pub async fn start_another(&self) {
        let config = Config::load(None).unwrap();
        let store = open(&self.database.url, &config, &self.sealing_key, &self.clock);
        store.await.close().await;
    }

    /// The same, in another role.
    pub async fn start_another_as(&self, role: &str) {
        let config = Config::load(None).unwrap();
        let url = &self.database.url;
        let more = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{more}options[role]={role}");
        let store = open(&url, &config, &self.sealing_key, &self.clock);
        store.await.close().await;
    }

    /// A request without a key.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path).bearer_auth(&self.key)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let request = self.request(Method::POST, path).bearer_auth(&self.key);
        send(request.json(&body)).await
    }

    /// A POST that bears an `Idempotency-Key`.
    pub fn once(&self, key: &str, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self.request(Method::POST, path).bearer_auth(&self.key);
        request.header("idempotency-key", key).json(body)
    }

    /// A POST that says all with its path.
    pub async fn act(&self, path: &str) -> Answer {
        send(self.request(Method::POST, path).bearer_auth(&self.key)).await
    }

    pub async fn connection(&self) -> String {
        let made = self.post("/v1/connections", connection()).await.ok();
        made["id"].as_str().unwrap().to_owned()
    }

    /// A sender on a connection of its own.
    pub async fn sender(&self) -> String {
        let connection = self.connection().await;
        let new = json!({"connection": connection, "phone_number_id": "310022446688199"});
        let made = self.post("/v1/senders", new).await.ok();
        made["id"].as_str().unwrap().to_owned()
    }

    /// A sequence of so many texts.
    pub async fn sequence(&self, sender: &str, messages: usize) -> Value {
        let messages: Vec<_> = (0..messages).map(|n| text(&format!("{n}"))).collect();
        let new = json!({"sender": sender, "to": "447700900123", "messages": messages});
        self.post("/v1/sequences", new).await.ok()
    }

    /// Brings the rows of a sequence into a state.
    pub async fn set(&self, sequence: &Value, columns: &str) {
        let sql = format!("UPDATE sequences SET {columns} WHERE id = $1");
        let id = uuid(&sequence["id"]);
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id);
        assert_eq!(query.execute(&self.pool).await.unwrap().rows_affected(), 1);
    }

    /// Writes the next attempt of a message.
    pub async fn attempt(&self, message: &Value, columns: &str, values: &str) {
        let sql = format!(
            "INSERT INTO attempts (sender, message, sequence, position, n, {columns})
             SELECT m.sender, m.id, m.sequence, m.position,
                    1 + (SELECT count(*) FROM attempts a WHERE a.message = m.id), {values}
             FROM messages m WHERE m.id = $1"
        );
        let id = uuid(&message["id"]);
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id);
        assert_eq!(query.execute(&self.pool).await.unwrap().rows_affected(), 1);
    }

    /// The types of a subject's facts, in order.
    pub async fn facts_of(&self, thing: &Value) -> Vec<String> {
        sqlx::query_scalar("SELECT type FROM facts WHERE subject = $1 ORDER BY id")
            .bind(uuid(&thing["id"]))
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// Posts a webhook as Meta does.
    pub async fn webhook(&self, connection: &str, body: &str, signature: &str) -> Answer {
        let request = self.request(Method::POST, &format!("/webhooks/{connection}"));
        let request = request
            .header("x-hub-signature-256", signature)
            .header("content-type", "application/json");
        send(request.body(body.to_owned())).await
    }
}

pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, url) = (request.method().clone(), request.url().clone());
    let asked = request.body().and_then(|body| body.as_bytes());
    let asked = asked.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let response = client.execute(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let answer = Answer {
        status,
        headers,
        body,
    };
    // Whatever a test is about: what is described is what is answered.
    document::of(&url)
        .await
        .check(&method, url.path(), asked, &answer);
    answer
}

pub fn sign(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256={hex}")
}

pub fn connection() -> Value {
    json!({
        "name": "shop-eu", "provider": "meta", "base_url": "https://graph.facebook.com/",
        "api_version": "v25.0", "access_token": "a token", "app_secrets": [SECRET],
        "verify_token": "a verify token",
    })
}

pub fn text(body: &str) -> Value {
    json!({"type": "text", "text": {"body": body}})
}

/// The part of an id that is the row's own.
pub fn uuid(id: &Value) -> uuid::Uuid {
    let (_, text) = id.as_str().unwrap().split_once('_').unwrap();
    let bytes = data_encoding::BASE32_DNSSEC
        .decode(text.as_bytes())
        .unwrap();
    uuid::Uuid::from_slice(&bytes[bytes.len() - 16..]).unwrap()
}
