//! The database and the way to it.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use tokio::process::Command;
use tokio::sync::Mutex;
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::postgres::{Cluster, Options};
use twotick::seal::SealingKey;
use twotick::store::{self, Store};

use crate::progress::moment;
use crate::proxy::{Proxy, Upstream};

/// Settings of a short run, in which all that has to run out runs out soon.
const SHORT: [(&str, &str); 9] = [
    ("DATABASE__MAX_CONNECTIONS", "12"),
    ("DATABASE__ACQUIRE_TIMEOUT_MS", "1500"),
    ("DATABASE__STATEMENT_TIMEOUT_MS", "2500"),
    ("SEND__LEASE_MS", "2500"),
    ("SEND__POST_TIMEOUT_MS", "1500"),
    ("SEND__ANSWER_TIMEOUT_MS", "2500"),
    ("SEND__UNKNOWN_AFTER_MS", "3000"),
    ("SEND__BACKOFF_MS", "20"),
    ("SEND__RATE_LIMIT_WAIT_MS", "50"),
];
/// Of a long one: the defaults, but for what a person and the simulator would make long.
const LONG: [(&str, &str); 4] = [
    ("SEND__ANSWER_TIMEOUT_MS", "10000"),
    ("SEND__UNKNOWN_AFTER_MS", "12000"),
    ("SEND__BACKOFF_MS", "100"),
    ("SEND__RATE_LIMIT_WAIT_MS", "100"),
];

pub struct Ground {
    cluster: Mutex<Cluster>,
    pub proxy: Proxy,
    url: String,
    sealing_key: SecretString,
    /// An API key.
    pub key: String,
    is_long: bool,
}

impl Ground {
    pub async fn prepare(is_long: bool) -> Self {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        let direct = cluster.socket_url("postgres");
        store::migrate(&direct).await.unwrap();
        let proxy = Proxy::start(Upstream::of(&direct)).await;
        let sealing_key = SealingKey::generate();
        let config = Config::load(None::<&Path>).unwrap();
        let parsed = SealingKey::parse(&sealing_key).unwrap();
        let store = Store::open(&direct, &config.database, parsed, Clock::system());
        let store = store.await.unwrap();
        let key = store.create_admin_key("chaos").await.unwrap();
        store.close().await;
        Self {
            url: format!(
                "postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable",
                proxy.port
            ),
            cluster: Mutex::new(cluster),
            proxy,
            sealing_key,
            key: key.expose_secret().to_owned(),
            is_long,
        }
    }

    /// `twotick serve` as it would be started here.
    pub fn serve(&self) -> Command {
        let settings: &[_] = if self.is_long { &LONG } else { &SHORT };
        let settings = settings.iter();
        let mut command = Command::new(env!("CARGO_BIN_EXE_twotick"));
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("DATABASE_URL", &self.url)
            .env("TWOTICK_SEALING_KEY", self.sealing_key.expose_secret())
            .env("TWOTICK_EXIT_WITH_PARENT", "1")
            .env("TWOTICK__SEND__MAX_ATTEMPTS", "50")
            .env(
                "RUST_LOG",
                std::env::var("RUST_LOG").unwrap_or("error".into()),
            )
            .envs(settings.map(|(key, value)| (format!("TWOTICK__{key}"), *value)));
        command
    }

    /// Kills Postgres with -9 and starts it again after so long.
    pub async fn kill_postgres(&self, ms: u64) {
        let mut cluster = self.cluster.lock().await;
        cluster.kill().await.unwrap();
        moment(ms).await;
        cluster.start_again().await.unwrap();
    }
}
