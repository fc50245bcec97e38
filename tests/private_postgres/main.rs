//! The promises of the private Postgres: it works for every user, it never meets another one, and
//! nothing of it is left, however its owner ends.

#![allow(clippy::unwrap_used)]

mod binaries;
mod databases;
mod ends;
mod owner;
mod processes;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use twotick::postgres::{Cluster, Options};

use processes::{processes_alive, processes_below};

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
async fn a_port_that_someone_else_holds_is_waited_for() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    cluster.kill().await.unwrap();
    let thief = std::net::TcpListener::bind(("127.0.0.1", cluster.port())).unwrap();
    let log = cluster.log();
    let refused = async || fs::read_to_string(&log).unwrap().contains("could not bind");
    let release = async {
        until(refused).await;
        drop(thief);
    };
    let (started, ()) = tokio::join!(cluster.start_again(), release);
    started.unwrap();
    assert_eq!(ask(&cluster, "SELECT 'answers'").await, "answers");
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

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let mut poll = tokio::time::interval(Duration::from_millis(20));
    let wait = async {
        while !condition().await {
            poll.tick().await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("in time");
}
