//! Everything that runs during a demo: a private Postgres (or a database of its own on the server
//! that `DATABASE_URL` names), the simulator, the processes of the service and a load balancer
//! before them. Taken down in the reverse order; whatever drops it on the way ends its processes
//! too.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use data_encoding::HEXLOWER;
use secrecy::ExposeSecret as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::api::{Control, Service, http_client};
use super::balancer;
use super::manifest::{self, LANGUAGE};
use super::process::{Environment, Process};
use super::scene::Scene;
use crate::clock::{self, Clock};
use crate::postgres::{Cluster, Options, Scratch};
use crate::seal::SealingKey;
use crate::simulator::{self, Config};

const WABA_ID: &str = "204411887755301";
/// Between the end of a process and the start of the next in its place.
const REPLACED_AFTER: Duration = Duration::from_secs(2);

/// A sender: its id with the provider and ours.
#[derive(Debug, Clone)]
pub struct Sender {
    pub phone_number_id: String,
    pub id: String,
}

/// Everything that runs.
#[derive(Debug)]
pub struct Stage {
    pub scene: Scene,
    pub service: Arc<Service>,
    pub control: Control,
    pub connection: String,
    pub senders: Vec<Sender>,
    pub key: String,
    pub simulator_url: String,
    pub database_url: String,
    /// Of the processes.
    pub urls: Vec<String>,
    processes: Mutex<Vec<Process>>,
    environment: Environment,
    logs: Option<Logs>,
    home: Home,
    shutdown: CancellationToken,
    tasks: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Stage {
    /// Starts everything and makes a connection with its senders.
    pub async fn set(scene: Scene, seed: u64, verbose: bool) -> anyhow::Result<Self> {
        let logs = match verbose {
            true => None,
            false => Some(Logs::make()?),
        };
        let folder = logs.as_ref().map(|logs| logs.0.clone());
        match Self::set_with(scene, seed, folder).await {
            Ok(stage) => Ok(Self { logs, ..stage }),
            Err(error) => Err(error.context(match logs.map(Logs::keep) {
                Some(logs) => format!("the demo cannot start (logs: {})", logs.display()),
                None => "the demo cannot start".to_owned(),
            })),
        }
    }

    /// Where the service's logs are, if they were not shown.
    pub fn logs(&self) -> Option<&Path> {
        self.logs.as_ref().map(|logs| logs.0.as_path())
    }

    async fn set_with(scene: Scene, seed: u64, logs: Option<PathBuf>) -> anyhow::Result<Self> {
        let home = Home::find().await?;
        let database_url = home.url();
        let environment = Environment {
            variables: settings(&scene, &database_url),
            logs,
        };
        let mut processes = Vec::new();
        // The first one migrates.
        for n in 1..=scene.processes {
            let name = format!("service-{n}");
            processes.push(environment.serve(&name, "127.0.0.1:0").await?);
        }
        let key = environment.create_key().await?;
        let urls: Vec<String> = processes.iter().map(|p| p.url.clone()).collect();

        let http = http_client()?;
        let shutdown = CancellationToken::new();
        let secrets = Secrets::make();
        let (simulator_url, simulating) = simulate(&scene, seed, &secrets, &shutdown).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let balancer_url = format!("http://{}", listener.local_addr()?);
        let balancing = balancer::run(listener, http.clone(), urls.clone(), shutdown.clone());

        let mut stage = Self {
            scene,
            service: Arc::new(Service::new(http.clone(), urls.clone(), key.clone())),
            control: Control::new(http, simulator_url.clone()),
            connection: String::new(),
            senders: Vec::new(),
            key,
            simulator_url,
            database_url,
            urls,
            processes: Mutex::new(processes),
            environment,
            logs: None,
            home,
            shutdown,
            tasks: vec![simulating, tokio::spawn(balancing)],
        };
        stage.connect(&secrets, &balancer_url).await?;
        Ok(stage)
    }

    async fn connect(&mut self, secrets: &Secrets, balancer_url: &str) -> anyhow::Result<()> {
        let name = format!("demo-{}", HEXLOWER.encode(&clock::random::<4>()));
        let connection = self
            .service
            .create_connection(&json!({
                "name": name,
                "provider": "meta",
                "base_url": self.simulator_url,
                "api_version": "v25.0",
                "access_token": secrets.access_token,
                "app_secrets": [secrets.app_secret],
                "verify_token": secrets.verify_token,
            }))
            .await?;
        for n in 0..self.scene.senders {
            let phone_number_id = format!("3100224466{n:05}");
            let sender = json!({
                "connection": connection.id,
                "phone_number_id": phone_number_id,
                "display_phone_number": format!("1555014{n:04}"),
                "waba_id": WABA_ID,
                "messages_per_second": self.scene.messages_per_second,
            });
            let id = self.service.create_sender(&sender).await?;
            self.senders.push(Sender {
                phone_number_id,
                id,
            });
        }
        for template in manifest::templates() {
            self.control.register(template, LANGUAGE).await?;
        }
        let url = format!("{balancer_url}{}", connection.webhook_path);
        self.control.post_webhooks_to(&url).await?;
        self.connection = connection.id;
        Ok(())
    }

    /// No process ended by itself.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.processes
            .get_mut()
            .iter_mut()
            .try_for_each(Process::check)
    }

    /// Kills a process, and starts it again after a while. When it was killed, in microseconds since
    /// the simulator's start.
    pub async fn kill(&self, n: usize) -> anyhow::Result<u64> {
        let mut processes = self.processes.lock().await;
        processes[n].kill().await?;
        let killed_at = self.control.now_us().await?;
        tokio::time::sleep(REPLACED_AFTER).await;
        processes[n] = processes[n].again(&self.environment).await?;
        Ok(killed_at)
    }

    /// Stops everything. Logs are removed unless somebody will want them.
    pub async fn strike(self, keep_logs: bool) -> anyhow::Result<()> {
        let stopping = self.processes.into_inner().into_iter().map(Process::stop);
        let stopping: Vec<_> = stopping.map(tokio::spawn).collect();
        for stopped in stopping {
            stopped.await??;
        }
        self.shutdown.cancel();
        for task in self.tasks {
            task.await??;
        }
        self.home.leave().await?;
        if let Some(logs) = self.logs.filter(|_| keep_logs) {
            logs.keep();
        }
        Ok(())
    }
}

/// Where the demo's database is.
#[derive(Debug)]
enum Home {
    Private(Cluster),
    /// On the server that `DATABASE_URL` names, beside the database it names.
    Beside(Scratch),
}

impl Home {
    async fn find() -> anyhow::Result<Self> {
        Ok(match std::env::var("DATABASE_URL") {
            Ok(url) => Self::Beside(Scratch::create(&url).await.context(
                "DATABASE_URL is set, so the demo makes a database of its own on that server, \
                 and could not; without it, it brings its own server",
            )?),
            Err(_) => Self::Private(Cluster::start(Options::default()).await?),
        })
    }

    fn url(&self) -> String {
        match self {
            Self::Private(cluster) => cluster.url("postgres"),
            Self::Beside(scratch) => scratch.url.clone(),
        }
    }

    async fn leave(self) -> anyhow::Result<()> {
        match self {
            Self::Private(cluster) => cluster.stop().await?,
            Self::Beside(scratch) => scratch.remove().await?,
        }
        Ok(())
    }
}

/// A folder for the service's logs, removed when nobody keeps it, whatever ends the demo.
#[derive(Debug)]
struct Logs(PathBuf);

impl Logs {
    fn make() -> anyhow::Result<Self> {
        let name = format!("twotick-demo-{}", HEXLOWER.encode(&clock::random::<4>()));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder)
            .with_context(|| format!("cannot make {}; set TMPDIR", folder.display()))?;
        Ok(Self(folder))
    }

    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // Nothing can be done about a folder that will not go, and nothing depends on it.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

struct Secrets {
    access_token: String,
    app_secret: String,
    verify_token: String,
}

impl Secrets {
    fn make() -> Self {
        let secret = || HEXLOWER.encode(&clock::random::<16>());
        Self {
            access_token: secret(),
            app_secret: secret(),
            verify_token: secret(),
        }
    }
}

/// Starts the simulator in this process; its address.
async fn simulate(
    scene: &Scene,
    seed: u64,
    secrets: &Secrets,
    shutdown: &CancellationToken,
) -> anyhow::Result<(String, JoinHandle<std::io::Result<()>>)> {
    let config = Config {
        seed,
        app_secret: secrets.app_secret.clone(),
        access_token: Some(secrets.access_token.clone()),
        waba_id: WABA_ID.to_owned(),
        faults: scene.faults,
        delays: scene.delays,
        messages_per_second: Some(scene.messages_per_second),
        pair: scene.pair,
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let simulator = simulator::run(listener, config, Clock::system(), shutdown.clone());
    Ok((url, tokio::spawn(simulator)))
}

/// What the service's processes are told: impatient, so that the demo is short.
fn settings(scene: &Scene, database_url: &str) -> Vec<(&'static str, String)> {
    let rules = &scene.rules;
    let unknown_after = rules.unknown_after.as_millis().to_string();
    let marketing_wait = rules.marketing_wait.as_millis().to_string();
    let mut settings = vec![
        ("DATABASE_URL", database_url.to_owned()),
        (
            "TWOTICK_SEALING_KEY",
            SealingKey::generate().expose_secret().to_owned(),
        ),
        ("TWOTICK__SEND__MAX_ATTEMPTS", rules.attempts.to_string()),
        ("TWOTICK__SEND__UNKNOWN_AFTER_MS", unknown_after),
        ("TWOTICK__SEND__MARKETING_WAIT_MS", marketing_wait),
        ("TWOTICK__SEND__POST_TIMEOUT_MS", "1500".to_owned()),
        ("TWOTICK__SEND__ANSWER_TIMEOUT_MS", "5000".to_owned()),
        ("TWOTICK__SEND__LEASE_MS", "3000".to_owned()),
        ("TWOTICK__SEND__BACKOFF_MS", "200".to_owned()),
        ("TWOTICK__SEND__RATE_LIMIT_WAIT_MS", "300".to_owned()),
        ("TWOTICK__SEND__TEMPLATE_READ_MS", "1000".to_owned()),
    ];
    if let Some(pair) = scene.pair {
        settings.extend([
            ("TWOTICK__SEND__PAIR_EVERY_MS", pair.every_ms.to_string()),
            ("TWOTICK__SEND__PAIR_BURST", pair.burst.to_string()),
        ]);
    }
    settings
}
