//! Which processes run, as `ps` tells: it is there on Linux and macOS alike.

use std::collections::{HashMap, HashSet};
use std::process::Command;

/// All living processes and their parents. A dead one that its parent has not buried yet does
/// not count.
fn processes() -> HashMap<u32, u32> {
    let columns = ["-A", "-o", "pid=", "-o", "ppid=", "-o", "stat="];
    let output = Command::new("ps").args(columns).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let process = |line: &str| {
        let mut words = line.split_whitespace();
        let (pid, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let alive = !words.next()?.starts_with('Z');
        alive.then_some((pid, parent))
    };
    text.lines().filter_map(process).collect()
}

/// The watcher of a postmaster and everything it runs.
pub fn processes_below(postmaster: u32) -> HashSet<u32> {
    let all = processes();
    let watcher = all[&postmaster];
    let mut found = HashSet::from([watcher]);
    loop {
        let more = all.iter().filter(|(_, parent)| found.contains(parent));
        let more: HashSet<u32> = more.map(|(pid, _)| *pid).collect();
        if more.is_subset(&found) {
            return found;
        }
        found.extend(more);
    }
}

/// Those that still live.
pub fn processes_alive(once: &HashSet<u32>) -> HashSet<u32> {
    let all = processes();
    once.iter()
        .copied()
        .filter(|pid| all.contains_key(pid))
        .collect()
}
