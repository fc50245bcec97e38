//! The processes of the service. Each has a supervisor that starts another when it has died.

use std::process::Stdio;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::ground::Ground;
use crate::progress::{Progress, moment};

const INSTANCES: usize = 3;
/// Starting may take so long; a database that hangs is waited for.
const START: Duration = Duration::from_secs(20);
/// Between a death and the next start.
const RESTART_MS: u64 = 150;
/// Between two looks at a process's memory.
const SAMPLE_MS: u64 = 250;

pub struct Instances {
    slots: Vec<Arc<Slot>>,
    turn: AtomicUsize,
    _stop: DropGuard,
}

#[derive(Default)]
struct Slot {
    /// Of the one that listens, or has just died.
    url: Mutex<Option<String>>,
    kill: Notify,
    /// Of the process; 0 while there is none.
    id: AtomicU32,
    deaths: AtomicUsize,
    /// Ended although nobody killed it.
    gave_up: AtomicUsize,
    most_kib: AtomicUsize,
    /// What it called an error.
    errors: Mutex<Vec<String>>,
}

impl Instances {
    pub fn start(ground: &Arc<Ground>) -> Self {
        let stop = CancellationToken::new();
        let slots: Vec<Arc<Slot>> = (0..INSTANCES).map(|_| Arc::default()).collect();
        for slot in &slots {
            let keeping = keep(Arc::clone(slot), Arc::clone(ground));
            tokio::spawn(stop.clone().run_until_cancelled_owned(keeping));
        }
        Self {
            slots,
            turn: AtomicUsize::new(0),
            _stop: stop.drop_guard(),
        }
    }

    /// One of them, in turn.
    pub fn any(&self) -> Option<String> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.slots.len();
        (turn..turn + count).find_map(|n| self.slots[n % count].url.lock().unwrap().clone())
    }

    pub fn kill(&self, which: usize) {
        self.slots[which % self.slots.len()].kill.notify_one();
    }

    /// Lets it stand still for so long; it does not know.
    pub fn freeze(&self, which: usize, ms: u64) {
        let id = self.slots[which % self.slots.len()]
            .id
            .load(Ordering::Relaxed);
        if id == 0 {
            return;
        }
        tokio::spawn(async move {
            signal("STOP", id).await;
            moment(ms).await;
            signal("CONT", id).await;
        });
    }

    pub fn deaths(&self) -> usize {
        self.sum(|slot| &slot.deaths)
    }

    /// How many ended although nobody killed them.
    pub fn gave_up(&self) -> usize {
        self.sum(|slot| &slot.gave_up)
    }

    /// What they called errors: a fault of the service, and not of what lies around it.
    pub fn errors(&self) -> Vec<String> {
        let errors = self.slots.iter().map(|slot| slot.errors.lock().unwrap());
        errors.flat_map(|errors| errors.clone()).collect()
    }

    /// The most memory that any of them ever had, in KiB.
    pub fn most_kib(&self) -> usize {
        let most = self.slots.iter().map(|slot| Progress::get(&slot.most_kib));
        most.max().unwrap_or(0)
    }

    fn sum(&self, count: impl Fn(&Slot) -> &AtomicUsize) -> usize {
        let counts = self.slots.iter().map(|slot| Progress::get(count(slot)));
        counts.sum()
    }
}

async fn keep(slot: Arc<Slot>, ground: Arc<Ground>) {
    loop {
        if let Some((mut child, _stdin, url)) = start(&slot, &ground).await {
            *slot.url.lock().unwrap() = Some(url);
            slot.id.store(child.id().unwrap_or(0), Ordering::Relaxed);
            live(&slot, &mut child).await;
            slot.id.store(0, Ordering::Relaxed);
            *slot.url.lock().unwrap() = None;
        }
        moment(RESTART_MS).await;
    }
}

/// Until it listens. `None`: the database was not there. It runs while its standard input is open,
/// which to wait for it would close.
async fn start(slot: &Arc<Slot>, ground: &Ground) -> Option<(Child, ChildStdin, String)> {
    let mut command = ground.serve();
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    tokio::spawn(listen(Arc::clone(slot), child.stderr.take()?));
    let stdin = child.stdin.take()?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(START, lines.next_line()).await;
    let line = line.ok()?.ok()??;
    Some((child, stdin, line.strip_prefix("listening on ")?.to_owned()))
}

/// Until it says no more.
async fn listen(slot: Arc<Slot>, stderr: ChildStderr) {
    let is_asked_for = std::env::var_os("RUST_LOG").is_some();
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if is_asked_for {
            eprintln!("{line}");
        }
        if line.contains("ERROR") {
            slot.errors.lock().unwrap().push(line);
        }
    }
}

/// Until it is dead.
async fn live(slot: &Slot, child: &mut Child) {
    loop {
        if let Some(kib) = child.id().and_then(resident_kib) {
            slot.most_kib.fetch_max(kib, Ordering::Relaxed);
        }
        tokio::select! {
            _ = child.wait() => return Progress::add(&slot.gave_up, 1),
            () = slot.kill.notified() => {
                child.kill().await.unwrap();
                return Progress::add(&slot.deaths, 1);
            }
            () = moment(SAMPLE_MS) => {}
        }
    }
}

/// To one that may have died.
async fn signal(name: &str, id: u32) {
    let kill = format!("kill -{name} {id}");
    let mut command = Command::new("sh");
    command.args(["-c", &kill]).stderr(Stdio::null());
    command.status().await.unwrap();
}

fn resident_kib(id: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
