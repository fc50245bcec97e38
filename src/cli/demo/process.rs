//! One process of the service: this very binary, started as an operator would start it. It ends
//! with the demo, however the demo ends: its standard input is a pipe that only the demo holds.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Migrating an empty database takes a second or two.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A drain waits for POSTs under way.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How much of a log is shown when a process does not start.
const LOG_LINES: usize = 20;

/// What all processes of the service are started with.
#[derive(Debug, Clone)]
pub struct Environment {
    pub variables: Vec<(&'static str, String)>,
    /// Where logs go; `None`: to our own standard error.
    pub logs: Option<PathBuf>,
}

/// A running `twotick serve`.
#[derive(Debug)]
pub struct Process {
    pub url: String,
    name: String,
    child: Child,
}

impl Environment {
    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let binary = std::env::current_exe().context("cannot tell which binary this is")?;
        let mut command = Command::new(binary);
        // A group of its own: Ctrl-C in the terminal is for the demo, which then stops the rest.
        command
            .envs(self.variables.iter().cloned())
            .process_group(0)
            .kill_on_drop(true)
            .stdout(Stdio::piped());
        if let Some(logs) = &self.logs {
            // What was killed and started again goes on in its log.
            let mut log = OpenOptions::new();
            let log = log.create(true).append(true).open(log_file(logs, name));
            command.stderr(log?);
        }
        Ok(command)
    }

    /// Starts a process and waits until it listens; on port 0 wherever it likes.
    pub async fn serve(&self, name: &str, listen: &str) -> anyhow::Result<Process> {
        let mut child = self
            .command(name)?
            .args(["serve", "--listen", listen])
            .env("TWOTICK_EXIT_WITH_PARENT", "1")
            .stdin(Stdio::piped())
            .spawn()
            .context("cannot start `twotick serve`")?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let mut lines = BufReader::new(stdout).lines();
        match timeout(START_LIMIT, listening(&mut lines)).await {
            Ok(Ok(Some(url))) => {
                // Read to the end, or a full pipe would stop the process some day.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                let name = name.to_owned();
                Ok(Process { url, name, child })
            }
            ended => {
                let why = match ended {
                    Err(_) => "did not listen in time",
                    Ok(_) => "ended instead of listening",
                };
                bail!("`twotick serve` ({name}) {why}.{}", self.tail(name))
            }
        }
    }

    /// Makes an API key.
    pub async fn create_key(&self) -> anyhow::Result<String> {
        let output = self
            .command("keys")?
            .args(["keys", "create", "--name", "demo"])
            .stdin(Stdio::null())
            .output()
            .await?;
        let key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !output.status.success() || key.is_empty() {
            bail!("`twotick keys create` failed.{}", self.tail("keys"));
        }
        Ok(key)
    }

    fn tail(&self, name: &str) -> String {
        let Some(logs) = &self.logs else {
            return String::new();
        };
        let log = std::fs::read_to_string(log_file(logs, name)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        format!(" The end of its log:\n{tail}")
    }
}

fn log_file(logs: &Path, name: &str) -> PathBuf {
    logs.join(format!("{name}.log"))
}

async fn listening(lines: &mut Lines<BufReader<ChildStdout>>) -> std::io::Result<Option<String>> {
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.strip_prefix("listening on ") {
            return Ok(Some(url.trim().to_owned()));
        }
    }
    Ok(None)
}

impl Process {
    /// Whether it still runs. It should.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("`twotick serve` ({}) ended by itself: {status}", self.name),
        }
    }

    /// Ends it as a machine does that loses its power; what listens where it did can be started.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    /// The same again, at the same address.
    pub async fn again(&self, environment: &Environment) -> anyhow::Result<Self> {
        let address = self.url.trim_start_matches("http://");
        environment.serve(&self.name, address).await
    }

    /// Lets it drain. Taking too long is an error, and dropping it then kills it.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let ended = timeout(STOP_LIMIT, self.child.wait()).await;
        ended
            .with_context(|| format!("`twotick serve` ({}) did not drain in time", self.name))??;
        Ok(())
    }
}
