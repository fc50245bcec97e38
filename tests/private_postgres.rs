//! The promises of the private Postgres: it works for every user, it never meets another one, and
//! nothing of it is left, however its owner ends. An owner that has to die is this test binary,
//! started again with [`ROLE`] set, which runs [`an_owner_for_the_other_tests`] alone.

#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use twotick::postgres::{Binaries, Cluster, Options, Places, PostgresError, TestServer};

const ROLE: &str = "TWOTICK_TEST_ROLE";
/// What an owner prints before each line that is meant for the test.
const MARK: &str = "owner says: ";
/// Nothing here takes longer than a few seconds, but the machine may be busy.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_cluster_starts_and_answers_and_stops() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let folder = cluster.socket_dir().to_owned();
    let processes = processes_below(cluster.postmaster_pid());
    assert!(processes.len() > 2, "{processes:?}");

    let pool = PgPool::connect(&cluster.url("postgres")).await.unwrap();
    let (encoding, fsync): (String, String) =
        sqlx::query_as("SELECT current_setting('server_encoding'), current_setting('fsync')")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!((&*encoding, &*fsync), ("UTF8", "on"));

    cluster.stop().await.unwrap();
    assert!(!folder.exists());
    assert_eq!(processes_alive(&processes), HashSet::new());
}

#[tokio::test]
async fn a_stranger_without_the_password_is_refused() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let port = cluster.port();
    let url = format!("postgres://postgres:guess@127.0.0.1:{port}/postgres");
    let refused = PgConnection::connect(&url).await.unwrap_err();
    let code = refused.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("28P01"), "{refused}");

    let mode = fs::metadata(cluster.socket_dir())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_setting_reaches_the_server() {
    let settings = vec![("application_name".to_owned(), r"it's \ mine".to_owned())];
    let options = Options {
        settings,
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    assert_eq!(ask(&cluster, "SHOW application_name").await, r"it's \ mine");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_setting_that_postgres_refuses_is_named() {
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let options = Options {
        settings,
        ..Options::default()
    };
    let error = Cluster::start(options).await.unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

#[tokio::test]
async fn two_clusters_run_side_by_side() {
    let (one, two) = tokio::try_join!(
        Cluster::start(Options::default()),
        Cluster::start(Options::default())
    )
    .unwrap();
    for cluster in [&one, &two] {
        let port = ask(cluster, "SHOW port").await;
        assert_eq!(port, cluster.port().to_string());
    }
    one.stop().await.unwrap();
    assert_eq!(ask(&two, "SELECT 'alive'").await, "alive");
    two.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_committed_survives_a_kill_and_a_restart() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let mut connection = connect(&cluster).await;
    let sql = "CREATE TABLE kept AS SELECT 'kept' AS word";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let (port, first) = (cluster.port(), cluster.postmaster_pid());

    cluster.kill().await.unwrap();
    assert!(
        PgConnection::connect(&cluster.url("postgres"))
            .await
            .is_err()
    );
    cluster.start_again().await.unwrap();
    let second = cluster.postmaster_pid();
    assert_eq!(ask(&cluster, "SELECT word FROM kept").await, "kept");

    cluster.restart().await.unwrap();
    assert_eq!(ask(&cluster, "SELECT word FROM kept").await, "kept");
    assert_eq!(cluster.port(), port);
    assert_eq!(
        HashSet::from([first, second, cluster.postmaster_pid()]).len(),
        3
    );
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_cluster_can_still_be_stopped() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let folder = cluster.socket_dir().to_owned();
    cluster.kill().await.unwrap();
    cluster.stop().await.unwrap();
    assert!(!folder.exists());
}

#[tokio::test]
async fn an_owner_killed_with_9_leaves_no_process_and_no_folder() {
    let mut owner = Owner::start("own");
    owner.child.kill().unwrap();
    assert_eq!(owner.end().signal(), Some(9));
    gone(&owner).await;
}

#[tokio::test]
async fn an_owner_killed_amid_initdb_leaves_no_folder() {
    let temp = Reachable::folder();
    let mut owner = Owner::spawn("own", |command| {
        command.env("TMPDIR", &temp.0);
    });
    // The folder is there from the first moment of initdb on.
    until(|| clusters_in(&temp.0) == 1).await;
    owner.child.kill().unwrap();
    owner.end();
    until(|| clusters_in(&temp.0) == 0).await;
}

#[tokio::test]
async fn an_owner_ended_by_ctrl_c_leaves_no_process_and_no_folder() {
    let mut owner = Owner::start("own");
    owner.ctrl_c();
    assert_eq!(owner.end().signal(), Some(2));
    gone(&owner).await;
}

#[tokio::test]
async fn ctrl_c_does_not_reach_the_server_of_an_owner_that_handles_it() {
    let mut owner = Owner::start("own through ctrl-c");
    owner.ctrl_c();
    assert_eq!(owner.hear(), "still answers");
    drop(owner.orders.take());
    assert!(owner.end().success());
    gone(&owner).await;
}

#[tokio::test]
async fn a_panic_of_the_owner_leaves_no_process_and_no_folder() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        let processes = processes_below(cluster.postmaster_pid());
        tell.send((cluster.socket_dir().to_owned(), processes))
            .unwrap();
        panic!("this panic is the test");
    });
    let (folder, processes) = told.await.unwrap();
    assert!(task.await.unwrap_err().is_panic());
    until(|| !folder.exists() && processes_alive(&processes).is_empty()).await;
}

#[tokio::test]
async fn a_folder_of_a_dead_owner_is_removed_at_the_next_start_and_no_other() {
    let living = Cluster::start(Options::default()).await.unwrap();
    let owner = fs::metadata(living.socket_dir()).unwrap();
    let base = living.socket_dir().parent().unwrap();
    // As after a power cut. The process id of the server is somebody else's by now.
    let left = |name: &str, log: &str, uid| {
        let folder = base.join(format!("twotick-pg-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(folder.join("log"), log).unwrap();
        let pid = std::process::id().to_string();
        fs::write(folder.join("data/postmaster.pid"), pid).unwrap();
        chown(&folder, Some(uid), None).unwrap();
        folder
    };
    let dead = left("dead", "made by process 1", owner.uid());
    let being_made = left("being-made", "", owner.uid());
    // Only root can make a folder that belongs to someone else.
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    let foreign = is_root.then(|| left("foreign", "made by process 1", 12_345));

    let next = Cluster::start(Options::default()).await.unwrap();
    // Another test's start may be the one that removes it.
    until(|| !dead.exists()).await;
    assert_eq!(ask(&living, "SELECT 'alive'").await, "alive");
    for kept in foreign.iter().chain([&being_made]) {
        assert!(kept.join("data/postmaster.pid").exists());
        fs::remove_dir_all(kept).unwrap();
    }
    next.stop().await.unwrap();
    living.stop().await.unwrap();
}

#[tokio::test]
async fn an_ordinary_user_can_own_a_cluster() {
    let temp = Reachable::folder();
    let binary = temp.0.join("private_postgres");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    let mut owner = Owner::spawn_binary(&binary, "own", |command| {
        if fs::metadata(&binary).unwrap().uid() == 0 {
            command.uid(65_534).gid(65_534);
        }
    });
    owner.listen();
    drop(owner.orders.take());
    assert!(owner.end().success());
    gone(&owner).await;
}

#[test]
fn without_binaries_the_message_names_what_to_install() {
    let empty = Reachable::folder();
    for bin_dir in [None, Some(empty.0.clone())] {
        let places = Places {
            bin_dir,
            path: Some("".into()),
            installed: vec![(empty.0.clone(), String::new())],
        };
        let error = Binaries::find(&places).unwrap_err();
        assert!(matches!(error, PostgresError::NotFound { .. }), "{error}");
        let message = error.to_string();
        let looked = empty.0.to_string_lossy();
        for part in [
            "apt-get install postgresql",
            "dnf install postgresql-server",
            "brew install postgresql",
            "PG_BIN_DIR",
            "DATABASE_URL",
            &looked,
        ] {
            assert!(message.contains(part), "{part} is missing in: {message}");
        }
    }
}

#[test]
fn the_highest_version_is_taken_and_one_too_old_is_refused() {
    let base = Reachable::folder();
    let install = |version: u32| {
        let bin = base.0.join(format!("pg-{version}/bin"));
        fs::create_dir_all(&bin).unwrap();
        for program in ["initdb", "postgres"] {
            let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}.1'\n");
            fs::write(bin.join(program), script).unwrap();
            let executable = fs::Permissions::from_mode(0o755);
            fs::set_permissions(bin.join(program), executable).unwrap();
        }
        bin
    };
    let mut places = Places {
        installed: vec![(base.0.clone(), "pg-".to_owned())],
        ..Places::default()
    };

    let old = install(14);
    let error = Binaries::find(&places).unwrap_err();
    assert!(
        matches!(error, PostgresError::TooOld { version: 14, .. }),
        "{error}"
    );

    let (folder, _) = (install(17), install(9));
    assert_eq!(Binaries::find(&places).unwrap().folder, folder);
    places.path = Some(old.into());
    assert_eq!(Binaries::find(&places).unwrap().version, 17);
}

#[tokio::test]
async fn every_test_gets_a_migrated_database_of_its_own() {
    let server = TestServer::private(Options::default(), migrate).await;
    let server = server.unwrap();
    check_test_server(&server).await;
}

#[tokio::test]
async fn a_given_server_is_used_and_left_clean() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut connection = connect(&cluster).await;
    for left in ["twotick_test_0123456789ab_7", "someone_elses"] {
        let sql = format!("CREATE DATABASE {left}");
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let kept = vec!["postgres".to_owned(), "someone_elses".to_owned()];
    let url = cluster.url("postgres");
    let living = TestServer::given(&url, migrate).await.unwrap();
    let used = living.create_database().await.unwrap();

    let server = TestServer::given(&url, migrate).await.unwrap();
    check_test_server(&server).await;
    drop(server);
    let pool = PgPool::connect(&used.url).await.unwrap();
    let query = sqlx::query_scalar("SELECT count(*) FROM migrated");
    let rows: i64 = query.fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 1);

    drop((living, used));
    let mut poll = tokio::time::interval(Duration::from_millis(20));
    let clean = async {
        while databases(&mut connection).await != kept {
            poll.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, clean).await.expect("in time");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_migration_that_fails_says_why() {
    let fail = |_| async { Err("the disk is on fire") };
    let error = TestServer::private(Options::default(), fail)
        .await
        .unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the disk is on fire");
}

#[tokio::test]
async fn the_shared_server_goes_with_its_process() {
    let mut owner = Owner::start("share");
    drop(owner.orders.take());
    assert!(owner.end().success());
    gone(&owner).await;
}

/// Leaves a connection behind, as a careless migration would.
async fn migrate(url: String) -> Result<(), sqlx::Error> {
    let pool = PgPool::connect(&url).await?;
    pool.execute("CREATE TABLE migrated AS SELECT 1 AS one")
        .await?;
    std::mem::forget(pool);
    Ok(())
}

async fn check_test_server(server: &TestServer) {
    let (one, two, three) = tokio::try_join!(
        server.create_database(),
        server.create_database(),
        server.create_database()
    )
    .unwrap();
    let names = HashSet::from([&one.name, &two.name, &three.name]);
    assert_eq!(names.len(), 3);
    let pool = PgPool::connect(&one.url).await.unwrap();
    pool.execute("DELETE FROM migrated").await.unwrap();
    let other = PgPool::connect(&two.url).await.unwrap();
    let count = "SELECT count(*) FROM migrated";
    let rows: i64 = sqlx::query_scalar(count).fetch_one(&other).await.unwrap();
    assert_eq!(rows, 1);

    let gone = one.name.clone();
    drop(one);
    let mut poll = tokio::time::interval(Duration::from_millis(20));
    let dropped = async {
        loop {
            let mut connection = other.acquire().await.unwrap();
            if !databases(&mut connection).await.contains(&gone) {
                return;
            }
            poll.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, dropped).await.expect("in time");
}

async fn databases(connection: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database
               WHERE datname NOT LIKE 'template_' ORDER BY datname";
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}

/// Not a test of its own: what this binary does when a test starts it as an owner.
#[tokio::test]
#[ignore = "is run by the other tests"]
async fn an_owner_for_the_other_tests() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
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

/// A process that owns a cluster, in a process group of its own, as a shell would start it.
struct Owner {
    child: Child,
    orders: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    folder: PathBuf,
    processes: HashMap<u32, String>,
}

impl Owner {
    /// Starts one and waits until its cluster answers.
    fn start(role: &str) -> Self {
        let mut owner = Self::spawn(role, |_| ());
        owner.listen();
        owner
    }

    fn spawn(role: &str, adapt: impl FnOnce(&mut Command)) -> Self {
        Self::spawn_binary(&std::env::current_exe().unwrap(), role, adapt)
    }

    fn spawn_binary(binary: &Path, role: &str, adapt: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(binary);
        command
            .args(["--exact", "an_owner_for_the_other_tests"])
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
            processes: HashMap::new(),
        }
    }

    fn listen(&mut self) {
        self.folder = self.hear().into();
        let postmaster = self.hear().parse().unwrap();
        self.processes = processes_below(postmaster);
        assert!(self.folder.exists() && self.processes.len() > 2);
    }

    fn hear(&mut self) -> String {
        let said = self.lines.find_map(|line| {
            let line = line.unwrap();
            line.strip_prefix(MARK).map(str::to_owned)
        });
        said.expect("the owner ended without a word")
    }

    /// What a terminal does: the signal goes to the whole process group.
    fn ctrl_c(&self) {
        let group = format!("-{}", self.child.id());
        let status = Command::new("kill").args(["-INT", "--", &group]).status();
        assert!(status.unwrap().success());
    }

    fn end(&mut self) -> ExitStatus {
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

async fn gone(owner: &Owner) {
    until(|| !owner.folder.exists() && processes_alive(&owner.processes).is_empty()).await;
}

/// A folder that every user can come into.
struct Reachable(PathBuf);

impl Reachable {
    fn folder() -> Self {
        let unique = u64::from_le_bytes(twotick::clock::random());
        let path = Path::new("/tmp").join(format!("twotick-test-{unique:x}"));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }
}

impl Drop for Reachable {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn clusters_in(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

async fn connect(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url("postgres"))
        .await
        .unwrap()
}

async fn ask(cluster: &Cluster, sql: &'static str) -> String {
    let mut connection = connect(cluster).await;
    let answer = sqlx::query_scalar(sql).fetch_one(&mut connection).await;
    answer.unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    let mut poll = tokio::time::interval(Duration::from_millis(20));
    let wait = async {
        while !condition() {
            poll.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("in time");
}

/// All living processes: their parents and what they are. A dead one that its parent has not
/// buried yet does not count.
fn processes() -> HashMap<u32, (u32, String)> {
    let arguments = [
        "-A", "-o", "pid=", "-o", "ppid=", "-o", "stat=", "-o", "command=",
    ];
    let output = Command::new("ps").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let process = |line: &str| {
        let mut words = line.split_whitespace();
        let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let alive = !words.next()?.starts_with('Z');
        alive.then(|| (pid, (parent, words.collect::<Vec<_>>().join(" "))))
    };
    text.lines().filter_map(process).collect()
}

/// The watcher of a postmaster and everything it runs.
fn processes_below(postmaster: u32) -> HashMap<u32, String> {
    let all = processes();
    let (watcher, _) = all[&postmaster];
    let mut found = HashSet::from([watcher]);
    loop {
        let more = all.iter().filter(|(_, (parent, _))| found.contains(parent));
        let more: HashSet<u32> = more.map(|(pid, _)| *pid).collect();
        if more.is_subset(&found) {
            let name = |pid: u32| (pid, all[&pid].1.clone());
            return found.into_iter().map(name).collect();
        }
        found.extend(more);
    }
}

/// Those that still live, by process id.
fn processes_alive(processes_once: &HashMap<u32, String>) -> HashSet<u32> {
    let all = processes();
    let once = processes_once.keys().copied();
    once.filter(|pid| all.contains_key(pid)).collect()
}
