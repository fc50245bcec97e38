//! The owner's side of the watcher (`watcher.sh`). What always holds: the write end of the
//! watcher's standard input is held by this process alone (std opens pipes close-on-exec), so
//! that the watcher learns of every kind of end, and it sits in a process group of its own, so
//! that Ctrl-C in a terminal reaches the owner only. Called by `cluster`.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::account::Account;
use super::folder::Folder;

/// What the watcher tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// initdb has ended with this status.
    Initialized(i32),
    /// The postmaster runs with this process id; it is not ready yet.
    Started(u32),
    /// The postmaster has ended with this status.
    Ended(i32),
}

/// Dropping it ends the server and the folder, in the background.
#[derive(Debug)]
pub(super) struct Watcher {
    child: Child,
    orders: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
}

impl Watcher {
    /// Starts the watcher, and with it initdb, in a folder that holds the `password` file.
    pub fn spawn(folder: Folder, binaries: &Path, account: Account) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", include_str!("watcher.sh"), "twotick-postgres-watcher"])
            .args([&folder.path, binaries])
            // A folder that every user can be in: initdb and postgres look at where they are.
            .current_dir("/")
            // With another locale macOS makes the postmaster multithreaded, which it refuses.
            .env("LC_ALL", "C")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(folder.log);
        if let Some(gid) = account.lent_gid {
            command.uid(account.uid).gid(gid);
        }
        let mut child = command.spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(orders), Some(reports)) => Ok(Self {
                child,
                orders,
                reports: BufReader::new(reports).lines(),
            }),
            _ => Err(io::Error::other("expected pipes to the watcher")),
        }
    }

    /// Orders a postmaster on this port; only while none runs.
    pub async fn start(&mut self, port: u16) -> io::Result<()> {
        self.order(&format!("start {port}\n")).await
    }

    /// Sends a signal to the postmaster, if one runs.
    pub async fn signal(&mut self, name: &str) -> io::Result<()> {
        self.order(&format!("signal {name}\n")).await
    }

    async fn order(&mut self, line: &str) -> io::Result<()> {
        self.orders.write_all(line.as_bytes()).await?;
        self.orders.flush().await
    }

    /// The next report. May be cancelled without losing one.
    pub async fn report(&mut self) -> io::Result<Report> {
        let line = self.reports.next_line().await?.unwrap_or_default();
        let (word, number) = line.split_once(' ').unwrap_or_default();
        let report = match (word, number.parse(), number.parse()) {
            ("initialized", Ok(status), _) => Report::Initialized(status),
            ("ended", Ok(status), _) => Report::Ended(status),
            ("started", _, Ok(pid)) => Report::Started(pid),
            _ => {
                let text = format!("expected a report of the watcher, got {line:?}");
                return Err(io::Error::other(text));
            }
        };
        Ok(report)
    }

    /// Ends the server and the folder and waits for the watcher, which ends last.
    pub async fn finish(mut self) -> io::Result<()> {
        drop(self.orders);
        self.child.wait().await?;
        Ok(())
    }
}
