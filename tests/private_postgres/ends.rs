//! However an owner ends, nothing is left; and what nobody could clean is cleaned by the next.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;

use twotick::postgres::{Cluster, Options};

use crate::owner::{Owner, gone};
use crate::processes::{processes_alive, processes_below};
use crate::{Reachable, ask, until};

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
    // Not the folder itself: the owner makes it a moment before there is a watcher.
    until(async || initdb_runs_in(&temp.0)).await;
    owner.child.kill().unwrap();
    owner.end();
    until(async || clusters_in(&temp.0) == 0).await;
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
    until(async || !folder.exists() && processes_alive(&processes).is_empty()).await;
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
    until(async || !dead.exists()).await;
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

#[tokio::test]
async fn the_shared_server_goes_with_its_process() {
    let mut owner = Owner::start("share");
    drop(owner.orders.take());
    assert!(owner.end().success());
    gone(&owner).await;
}

fn initdb_runs_in(folder: &Path) -> bool {
    let mut clusters = fs::read_dir(folder).unwrap().flatten();
    clusters.any(|cluster| cluster.path().join("data").exists())
}

fn clusters_in(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}
