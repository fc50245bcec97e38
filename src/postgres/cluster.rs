//! One private server: made, started, asked for its address, killed and started again by crash
//! tests, stopped. What always holds: while a [`Cluster`] lives its folder and its port stay the
//! same, and when it goes, in whatever way, the server and the folder go (`watcher.sh`). Called
//! by `demo`, by tests and by `databases`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use data_encoding::HEXLOWER;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::PostgresError;
use super::account::Account;
use super::binaries::{Binaries, Places};
use super::files;
use super::folder::{Folder, write_secret};
use super::watcher::{Report, Watcher};

/// Ports are taken from here: below what Linux (32768) and macOS (49152) give to outgoing
/// connections, so that none sits on our port while the server is being started again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Ports to try. Postgres's own bind is the test, so that two processes never believe they got
/// the same one.
const PORT_ATTEMPTS: u32 = 20;
/// Between two looks at whether the server is ready, and between two attempts to start it.
const POLL: Duration = Duration::from_millis(10);
/// A start takes about 0.1 s; after a crash it first replays the log.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Postgres kills what does not obey an immediate stop after 5 s.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How to make a cluster. The default looks for binaries as the environment says.
#[derive(Debug, Clone)]
pub struct Options {
    pub places: Places,
    /// Lines for `postgresql.conf`, after ours: the last one of a name counts.
    pub settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            places: Places::from_environment(),
            settings: Vec::new(),
        }
    }
}

/// A running private server, and the only thing that keeps it running. Use it on the runtime
/// that started it; [`Cluster::url`] is good everywhere.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    password: SecretString,
    port: u16,
    postmaster: u32,
    /// Whether a postmaster was started and not yet ended by us. It may have crashed since.
    running: bool,
    watcher: Watcher,
}

/// What became of one attempt to start the postmaster.
enum Launch {
    Ready { postmaster: u32 },
    Ended { status: i32, log: String },
}

impl Cluster {
    /// Finds the binaries, makes a folder, runs initdb and starts the server: about a second.
    /// Also removes what clusters of dead owners left behind.
    pub async fn start(options: Options) -> Result<Self, PostgresError> {
        let Options { places, settings } = options;
        let prepare = move || -> Result<_, PostgresError> {
            let binaries = Binaries::find(&places)?;
            let account = Account::of_server()?;
            Ok((binaries, account, Folder::make(account)?))
        };
        let (binaries, account, folder) = tokio::task::spawn_blocking(prepare)
            .await
            .map_err(io::Error::from)
            .map_err(process("initdb"))??;
        let path = folder.path.clone();
        let password = HEXLOWER.encode(&crate::clock::random::<16>());
        write_secret(&path.join("password"), &password, account).map_err(in_folder(&path))?;
        let watcher = Watcher::spawn(folder, &binaries.folder, account).map_err(process("sh"))?;
        let mut cluster = Self {
            folder: path,
            password: password.into(),
            port: 0,
            postmaster: 0,
            running: false,
            watcher,
        };
        cluster.initialize(&settings).await?;
        cluster.start_on_some_port().await?;
        Ok(cluster)
    }

    /// Where a database of this server is, over TCP, with user and password.
    pub fn url(&self, database: &str) -> String {
        let (password, port) = (self.password.expose_secret(), self.port);
        format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
    }

    /// Where a database of this server is, over the Unix socket, for this process's user and the
    /// server's. Needs no password, since nobody else can reach the socket.
    pub fn socket_url(&self, database: &str) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        format!("postgres://postgres@localhost:{port}/{database}?host={folder}")
    }

    /// The folder with the server's Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.folder
    }

    /// The server's data folder. Only the server's user and root can look into it.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The port on 127.0.0.1; the same for the cluster's whole life.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server's first process; another one after each start.
    pub fn postmaster_pid(&self) -> u32 {
        self.postmaster
    }

    /// Kills the postmaster with SIGKILL and returns when it is dead. Its backends notice by
    /// themselves, most at once, one amid a computation at its end. Does nothing to a killed one.
    pub async fn kill(&mut self) -> Result<(), PostgresError> {
        self.end_postmaster("KILL").await
    }

    /// Stops the server in an orderly way, which cuts all connections; folder and port stay.
    pub async fn halt(&mut self) -> Result<(), PostgresError> {
        self.end_postmaster("INT").await
    }

    /// Starts the server after [`Cluster::kill`] or [`Cluster::halt`], on the same data and port.
    /// Waits for backends that a killed one left.
    pub async fn start_again(&mut self) -> Result<(), PostgresError> {
        self.kill().await?;
        let mut poll = polling();
        let retry = async {
            loop {
                poll.tick().await;
                match self.launch(self.port).await? {
                    Launch::Ready { postmaster } => {
                        self.postmaster = postmaster;
                        return Ok(());
                    }
                    Launch::Ended { log, .. }
                        if files::port_taken(&log) || files::backends_left(&log) => {}
                    Launch::Ended { status, log } => {
                        return Err(PostgresError::Start { status, log });
                    }
                }
            }
        };
        match timeout(START_LIMIT, retry).await {
            Ok(result) => result,
            Err(_) => Err(self.start_too_slow()),
        }
    }

    /// Stops the server in an orderly way, which cuts all connections, and starts it again.
    pub async fn restart(&mut self) -> Result<(), PostgresError> {
        self.halt().await?;
        self.start_again().await
    }

    /// Stops the server at once and returns when its processes and its folder are gone. Dropping
    /// does the same in the background.
    pub async fn stop(self) -> Result<(), PostgresError> {
        match timeout(STOP_LIMIT, self.watcher.finish()).await {
            Ok(Ok(())) if !self.folder.exists() => Ok(()),
            Ok(Err(source)) => Err(process("sh")(source)),
            _ => Err(stop_too_slow(&self.folder)),
        }
    }

    /// Waits for initdb and writes the settings.
    async fn initialize(&mut self, settings: &[(String, String)]) -> Result<(), PostgresError> {
        let Ok(report) = timeout(START_LIMIT, self.watcher.report()).await else {
            return Err(self.start_too_slow());
        };
        let report = report.map_err(process("initdb"))?;
        if let Report::Initialized(status) = report
            && status != 0
        {
            let log = files::log_since(&self.log(), 0);
            return Err(PostgresError::Initdb { status, log });
        }
        let conf = self.data_dir().join("postgresql.conf");
        files::configure(&conf, &self.folder, settings).map_err(in_folder(&conf))
    }

    async fn start_on_some_port(&mut self) -> Result<(), PostgresError> {
        let mut attempts = 0;
        loop {
            let random = u16::from_le_bytes(crate::clock::random());
            let port = PORTS.start + random % (PORTS.end - PORTS.start);
            attempts += 1;
            let Ok(launch) = timeout(START_LIMIT, self.launch(port)).await else {
                return Err(self.start_too_slow());
            };
            match launch? {
                Launch::Ready { postmaster } => {
                    (self.port, self.postmaster) = (port, postmaster);
                    return Ok(());
                }
                Launch::Ended { log, .. }
                    if files::port_taken(&log) && attempts < PORT_ATTEMPTS => {}
                Launch::Ended { status, log } => return Err(PostgresError::Start { status, log }),
            }
        }
    }

    /// One attempt: until the server takes connections, or has ended.
    async fn launch(&mut self, port: u16) -> Result<Launch, PostgresError> {
        let log_before = fs::metadata(self.log()).map_or(0, |log| log.len());
        let order = self.watcher.start(port).await;
        order.map_err(process("postgres"))?;
        self.running = true;
        let mut started = None;
        let mut poll = polling();
        loop {
            tokio::select! {
                report = self.watcher.report() => match report.map_err(process("postgres"))? {
                    Report::Started(postmaster) => started = Some(postmaster),
                    Report::Ended(status) => {
                        self.running = false;
                        let log = files::log_since(&self.log(), log_before);
                        return Ok(Launch::Ended { status, log });
                    }
                    Report::Initialized(_) => {}
                },
                _ = poll.tick() => if let Some(postmaster) = started
                    && files::is_ready(&self.data_dir(), postmaster)
                {
                    return Ok(Launch::Ready { postmaster });
                },
            }
        }
    }

    async fn end_postmaster(&mut self, signal: &str) -> Result<(), PostgresError> {
        if !self.running {
            return Ok(());
        }
        let end = async {
            self.watcher.signal(signal).await?;
            while !matches!(self.watcher.report().await?, Report::Ended(_)) {}
            Ok(())
        };
        match timeout(STOP_LIMIT, end).await {
            Ok(result) => result.map_err(process("postgres"))?,
            Err(_) => return Err(stop_too_slow(&self.folder)),
        }
        self.running = false;
        Ok(())
    }

    fn start_too_slow(&self) -> PostgresError {
        PostgresError::StartTooSlow {
            seconds: START_LIMIT.as_secs(),
            log: files::log_since(&self.log(), 0),
        }
    }
}

fn stop_too_slow(folder: &Path) -> PostgresError {
    PostgresError::StopTooSlow {
        seconds: STOP_LIMIT.as_secs(),
        folder: folder.to_owned(),
    }
}

fn polling() -> tokio::time::Interval {
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

fn process(program: &'static str) -> impl FnOnce(io::Error) -> PostgresError {
    move |source| PostgresError::Process { program, source }
}

fn in_folder(path: &Path) -> impl FnOnce(io::Error) -> PostgresError {
    move |source| PostgresError::Folder {
        path: path.to_owned(),
        source,
    }
}
