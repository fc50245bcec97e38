//! An owner that is to end: this test binary, started again with [`ROLE`] set, which then runs
//! [`an_owner_for_the_other_tests`] alone.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use sqlx::PgPool;
use twotick::postgres::{Cluster, Options, TestServer};

use crate::databases::migrate;
use crate::processes::{processes_alive, processes_below};
use crate::{ask, until};

const ROLE: &str = "TWOTICK_TEST_ROLE";
/// What an owner prints before each line that is meant for the test.
const MARK: &str = "owner says: ";

/// A process that owns a cluster, in a process group of its own, as a shell would start it.
pub struct Owner {
    pub child: Child,
    pub orders: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    folder: PathBuf,
    processes: HashSet<u32>,
}

impl Owner {
    /// Starts one and waits until its cluster answers.
    pub fn start(role: &str) -> Self {
        let mut owner = Self::spawn(role, |_| ());
        owner.listen();
        owner
    }

    pub fn spawn(role: &str, adapt: impl FnOnce(&mut Command)) -> Self {
        Self::spawn_binary(&std::env::current_exe().unwrap(), role, adapt)
    }

    pub fn spawn_binary(binary: &Path, role: &str, adapt: impl FnOnce(&mut Command)) -> Self {
        // Where these tests run in the background of a shell, Ctrl-C is ignored, and would be by it.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=INT")
            .arg(binary)
            .args(["--exact", "owner::an_owner_for_the_other_tests"])
            .args(["--ignored", "--nocapture"])
            .env(ROLE, role)
            .env_remove("DATABASE_URL")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        adapt(&mut command);
        let mut child = command.spawn().unwrap();
        Self {
            orders: child.stdin.take(),
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            folder: PathBuf::new(),
            processes: HashSet::new(),
        }
    }

    pub fn listen(&mut self) {
        self.folder = self.hear().into();
        let postmaster = self.hear().parse().unwrap();
        self.processes = processes_below(postmaster);
        assert!(self.folder.exists() && self.processes.len() > 2);
    }

    pub fn hear(&mut self) -> String {
        let said = self.lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix(MARK).map(str::to_owned)
        });
        said.expect("the owner ended without a word")
    }

    /// What a terminal does: the signal goes to the whole process group.
    pub fn ctrl_c(&self) {
        let group = format!("-{}", self.child.id());
        let status = Command::new("kill").args(["-INT", "--", &group]).status();
        assert!(status.unwrap().success());
    }

    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // A test that failed must not leave it behind; one that passed has seen it end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn gone(owner: &Owner) {
    until(async || !owner.folder.exists() && processes_alive(&owner.processes).is_empty()).await;
}

/// Not a test of its own: what this binary does when a test starts it as an owner.
#[tokio::test]
#[ignore = "is run by the other tests"]
async fn an_owner_for_the_other_tests() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    if role == "share" {
        return share().await;
    }
    let cluster = Cluster::start(Options::default()).await.unwrap();
    assert_eq!(ask(&cluster, "SELECT 'answers'").await, "answers");
    let mut ctrl_c = None;
    if role == "own through ctrl-c" {
        let kind = tokio::signal::unix::SignalKind::interrupt();
        ctrl_c = Some(tokio::signal::unix::signal(kind).unwrap());
    }
    say(&cluster.socket_dir().to_string_lossy());
    say(&cluster.postmaster_pid().to_string());
    if let Some(mut ctrl_c) = ctrl_c {
        ctrl_c.recv().await;
        assert_eq!(
            ask(&cluster, "SELECT 'still answers'").await,
            "still answers"
        );
        say("still answers");
    }
    // Until the test ends this process or its input.
    let wait = || std::io::stdin().lines().count();
    tokio::task::spawn_blocking(wait).await.unwrap();
    cluster.stop().await.unwrap();
}

/// Ends like every test process: with the static never dropped.
async fn share() {
    // Each test has a runtime, which ends with it. The server must not care whose it began on.
    let first_test = || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let server = TestServer::shared(migrate).await.unwrap();
            server.create_database().await.unwrap();
        });
    };
    std::thread::spawn(first_test).join().unwrap();
    let server = TestServer::shared(migrate).await.unwrap();
    let database = server.create_database().await.unwrap();
    let pool = PgPool::connect(&database.url).await.unwrap();
    let sql = "SELECT current_setting('unix_socket_directories'),
                      split_part(pg_read_file('postmaster.pid'), E'\\n', 1)";
    let row: (String, String) = sqlx::query_as(sql).fetch_one(&pool).await.unwrap();
    say(&row.0);
    say(&row.1);
    let wait = || std::io::stdin().lines().count();
    tokio::task::spawn_blocking(wait).await.unwrap();
}

fn say(line: &str) {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\n{MARK}{line}").unwrap();
    stdout.flush().unwrap();
}
