//! A service behind a proxy: its database, the simulator, and a client.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use reqwest::{Method, RequestBuilder, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::postgres::{Cluster, TestDatabase, TestServer};
use twotick::seal::SealingKey;
use twotick::service::Service;
use twotick::simulator::{self, Delays, Faults, Range};
use twotick::store::{self, Store};

use crate::proxy::{Proxy, Upstream};

pub const SECRET: &str = "an app's secret";
/// How long anything that must happen may take before a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Ground {
    pub url: String,
    pub simulator: String,
    pub connection: String,
    pub sender: String,
    pub proxy: Proxy,
    /// Straight to the database, past the proxy.
    pub direct: Mutex<String>,
    client: reqwest::Client,
    key: SecretString,
    /// The service's own, so that its tasks can be counted.
    runtime: Option<Runtime>,
    stop: CancellationToken,
    stop_simulator: CancellationToken,
    /// Dropped with it; a cluster of the test's own needs none.
    _database: Option<TestDatabase>,
}

/// How long tests let things take.
pub fn settings() -> Config {
    let mut config = Config::load(None::<&Path>).unwrap();
    config.database.max_connections = 12;
    config.database.acquire_timeout = Duration::from_millis(1500);
    config.database.statement_timeout = Duration::from_millis(2500);
    config.ingest.deadline = Duration::from_millis(2500);
    config.send.lease = Duration::from_millis(4000);
    config.send.post_timeout = Duration::from_millis(2500);
    config.send.answer_timeout = Duration::from_secs(6);
    config.send.unknown_after = Duration::from_secs(20);
    config.send.poll = Duration::from_millis(50);
    config.send.backoff = Duration::from_millis(20);
    config.send.rate_limit_wait = Duration::from_millis(100);
    config
}

impl Ground {
    /// On a database of its own on the server that the tests share.
    pub async fn start() -> Self {
        Self::start_with(true).await
    }

    /// The same; the simulator says nothing by itself, and refuses nothing.
    pub async fn start_quiet() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(automatic: bool) -> Self {
        let server = TestServer::shared(|url| async move { store::migrate(&url).await });
        let database = server.await.unwrap().create_database().await.unwrap();
        Self::serve(database.url.clone(), Some(database), automatic).await
    }

    /// On a server of the test's own.
    pub async fn start_on(cluster: &Cluster) -> Self {
        let direct = cluster.socket_url("postgres");
        store::migrate(&direct).await.unwrap();
        Self::serve(direct, None, true).await
    }

    async fn serve(direct: String, database: Option<TestDatabase>, automatic: bool) -> Self {
        let proxy = Proxy::start(Upstream::of(&direct)).await;
        let url = through(&direct, proxy.port);
        let (stop, stop_simulator) = (CancellationToken::new(), CancellationToken::new());
        let simulator = simulate(&stop_simulator, automatic).await;
        log();
        let test = std::thread::current().name().unwrap_or("").to_owned();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(test)
            .enable_all()
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let listener = listener.into_std().unwrap();
        let shutdown = stop.clone();
        let (tell, key) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let config = settings();
            let store = open(&url, &config).await;
            tell.send(store.create_admin_key("test").await.unwrap())
                .unwrap();
            let service = Service {
                config,
                store,
                metrics: Some(metrics().clone()),
            };
            let listener = TcpListener::from_std(listener).unwrap();
            service.run(listener, shutdown).await.unwrap();
        });
        let mut ground = Self {
            url: address,
            simulator,
            connection: String::new(),
            sender: String::new(),
            proxy,
            direct: Mutex::new(direct),
            // Idle connections would be counted as tasks of the service.
            client: reqwest::Client::builder()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            key: key.await.unwrap(),
            runtime: Some(runtime),
            stop,
            stop_simulator,
            _database: database,
        };
        ground.connect().await;
        ground
    }

    async fn connect(&mut self) {
        let connection = json!({
            "name": "shop", "provider": "meta", "base_url": self.simulator,
            "api_version": "v25.0", "access_token": "token", "app_secrets": [SECRET],
            "verify_token": "verify",
        });
        let made = self.create("/v1/connections", connection).await;
        self.connection = made["id"].as_str().unwrap().to_owned();
        self.sender = self.register("310022446688199").await;
        let url = format!("{}/webhooks/{}", self.url, self.connection);
        let put = self
            .client
            .put(format!("{}/_control/webhook", self.simulator))
            .json(&json!({"url": url}));
        assert!(put.send().await.unwrap().status().is_success());
    }

    pub async fn register(&self, number: &str) -> String {
        let sender = json!({
            "connection": self.connection, "phone_number_id": number, "messages_per_second": 1000,
        });
        let made = self.create("/v1/senders", sender).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// What the service answers; 503 must say when to come again.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(self.request(method, path).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(self.key.expose_secret())
    }

    async fn ask(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let response = request.send().await.unwrap();
        let status = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert!(
                response.headers().contains_key("retry-after"),
                "503 says when to come again"
            );
        }
        let bytes = response.bytes().await.unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// Makes something, once, however often it takes.
    pub async fn create(&self, path: &str, body: Value) -> Value {
        let key = Clock::system().new_id().to_string();
        loop {
            let request = self.request(Method::POST, path).json(&body);
            let (status, answer) = self.ask(request.header("Idempotency-Key", &key)).await;
            if status != StatusCode::SERVICE_UNAVAILABLE {
                assert!(status.is_success(), "POST {path}: {status} {answer}");
                return answer;
            }
        }
    }

    /// The status of a GET.
    pub async fn status(&self, path: &str) -> StatusCode {
        self.send(Method::GET, path, &Value::Null).await.0
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.send(Method::GET, path, &Value::Null).await;
        assert!(status.is_success(), "GET {path}: {status} {answer}");
        answer
    }

    /// Posts a signed webhook. Whatever is not 200 is 503, and says why.
    pub async fn webhook(&self, body: &Value) -> Result<(), String> {
        use hmac::{Hmac, KeyInit, Mac};
        let body = serde_json::to_vec(body).unwrap();
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(&body);
        let signature = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
        let request = self
            .client
            .post(format!("{}/webhooks/{}", self.url, self.connection))
            .header("X-Hub-Signature-256", format!("sha256={signature}"))
            .body(body);
        match self.ask(request).await {
            (StatusCode::OK, _) => Ok(()),
            (StatusCode::SERVICE_UNAVAILABLE, why) => Err(why["detail"].to_string()),
            (other, why) => panic!("a webhook was answered {other}: {why}"),
        }
    }

    /// What the simulator was asked to send.
    pub async fn posts(&self) -> Vec<Value> {
        let log = self.client.get(format!("{}/_control/log", self.simulator));
        let log: Value = log.send().await.unwrap().json().await.unwrap();
        log["posts"].as_array().unwrap().clone()
    }

    /// A session of the test's own, past the proxy.
    pub async fn session(&self) -> PgConnection {
        let direct = self.direct.lock().unwrap().clone();
        PgConnection::connect(&direct).await.unwrap()
    }

    /// A number that the database says.
    pub async fn count(&self, sql: &'static str) -> i64 {
        let mut session = self.session().await;
        sqlx::query_scalar(sql)
            .fetch_one(&mut session)
            .await
            .unwrap()
    }

    /// How many tasks the service has.
    pub fn tasks(&self) -> usize {
        let runtime = self.runtime.as_ref().unwrap();
        runtime.metrics().num_alive_tasks()
    }

    pub fn stop_simulator(&self) {
        self.stop_simulator.cancel();
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_simulator.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// As a supervisor does, again where a busy machine took longer than one may wait for a connection.
async fn open(url: &str, config: &Config) -> Store {
    let sealing_key = SealingKey::generate();
    let opening = async {
        loop {
            let key = SealingKey::parse(&sealing_key).unwrap();
            let store = Store::open(url, &config.database, key, Clock::system());
            if let Ok(store) = store.await {
                return store;
            }
        }
    };
    let opened = tokio::time::timeout(PATIENCE, opening).await;
    opened.expect("the database was never reached")
}

/// A database's address through a proxy on this port.
fn through(url: &str, proxy: u16) -> String {
    let options = PgConnectOptions::from_str(url).unwrap();
    if options.get_socket().is_some() {
        let (user, database) = (options.get_username(), options.get_database().unwrap());
        return format!("postgres://{user}@127.0.0.1:{proxy}/{database}?sslmode=disable");
    }
    url.replacen(
        &format!(":{}/", options.get_port()),
        &format!(":{proxy}/"),
        1,
    )
}

async fn simulate(stop: &CancellationToken, automatic: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = simulator::Config {
        app_secret: SECRET.to_owned(),
        delays: Delays {
            answer_ms: Range { min: 1, max: 30 },
            sent_ms: Range { min: 0, max: 10 },
            delivered_ms: Range { min: 5, max: 30 },
            retry_max_ms: 400,
            ..Delays::default()
        },
        faults: Faults {
            refuse_transient: if automatic { 0.1 } else { 0.0 },
            rate_limited: if automatic { 0.05 } else { 0.0 },
            ..Faults::default()
        },
        automatic,
        ..simulator::Config::default()
    };
    tokio::spawn(simulator::run(
        listener,
        config,
        Clock::system(),
        stop.clone(),
    ));
    url
}

/// Polls until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(in_time.is_ok(), "never: {what}");
}

/// What the services say, each on a thread that bears its test's name, where `RUST_LOG` asks for it.
fn log() {
    if std::env::var_os("RUST_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_thread_names(true);
        // Another test may have been first.
        let _ = log.with_writer(std::io::stderr).try_init();
    }
}

/// What all services of this process count.
pub fn metrics() -> &'static PrometheusHandle {
    static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();
    METRICS.get_or_init(|| PrometheusBuilder::new().install_recorder().unwrap())
}

/// Runs statements in a session of the test's own, again where they deadlock with the service.
pub async fn run(ground: &Ground, sql: &'static str) {
    let mut session = ground.session().await;
    while let Err(error) = sqlx::raw_sql(sql).execute(&mut session).await {
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("40P01"), "{error}");
    }
}
