//! A primary dies for good and its synchronous standby takes its place.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use twotick::postgres::{Binaries, Cluster, Options, Places};
use twotick::store::OpenError;

use crate::ground::{Ground, run, until};
use crate::load::Load;
use crate::proxy::Upstream;
use crate::start::open;

#[tokio::test]
async fn a_failover_to_a_synchronous_standby_loses_nothing_and_doubles_nothing() {
    let mut primary = Cluster::start(Options::default()).await.unwrap();
    let mut standby = standby_of(&primary).await;
    let standby_url = standby.socket_url("postgres");
    let ground = Ground::start_on(&primary).await;
    run(&ground, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    run(&ground, "SELECT pg_reload_conf()").await;
    until("the standby is synchronous", || async {
        ground
            .count("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
            .await
            == 1
    })
    .await;
    what_starts(&primary.socket_url("postgres"), &standby_url).await;

    let load = Load::begin(ground, 30).await;
    load.goes_on(30).await;
    // Nobody is told 200 for what only one of the two has.
    standby.halt().await.unwrap();
    load.is_refused(6).await;
    let taken = load.taken();
    load.is_refused(6).await;
    assert_eq!(load.taken(), taken);
    standby.start_again().await.unwrap();
    load.goes_on(30).await;
    primary.kill().await.unwrap();
    *load.ground().direct.lock().unwrap() = standby_url.clone();
    run(load.ground(), "SELECT pg_promote()").await;
    load.ground().proxy.lead_to(Upstream::of(&standby_url));
    load.goes_on(30).await;
    load.end().await;
    standby.stop().await.unwrap();
    primary.stop().await.unwrap();
}

/// Nobody starts on the standby, nor on a primary that does not wait for it.
async fn what_starts(primary: &str, standby: &str) {
    let refused = open(standby).await;
    assert!(matches!(refused, Err(OpenError::Standby)), "{refused:?}");
    let early = format!("{primary}&options=-csynchronous_commit=local");
    let refused = open(&early).await;
    assert!(
        matches!(refused, Err(OpenError::NotReplicated)),
        "{refused:?}"
    );
}

/// A second server that follows the first.
async fn standby_of(primary: &Cluster) -> Cluster {
    let mut standby = Cluster::start(Options::default()).await.unwrap();
    standby.halt().await.unwrap();
    let data = standby.data_dir();
    let owner = fs::metadata(&data).unwrap();
    fs::remove_dir_all(&data).unwrap();
    // Beside the real server: what was found may be a link to it.
    let binaries = Binaries::find(&Places::from_environment()).unwrap();
    let postgres = fs::canonicalize(binaries.folder.join("postgres")).unwrap();
    let copied = Command::new(postgres.with_file_name("pg_basebackup"))
        .args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
            "--pgdata",
        ])
        .arg(&data)
        .args(["--dbname", &primary.url("postgres")])
        .current_dir("/")
        .uid(owner.uid())
        .gid(owner.gid())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&copied.stderr);
    assert!(copied.status.success(), "pg_basebackup: {said}");
    // The primary's folder is not the standby's.
    let conf = data.join("postgresql.auto.conf");
    let mut settings = fs::read_to_string(&conf).unwrap();
    settings += &format!(
        "unix_socket_directories = '{}'\n",
        standby.socket_dir().display()
    );
    fs::write(&conf, settings).unwrap();
    standby.start_again().await.unwrap();
    standby
}
