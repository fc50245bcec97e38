//! CPU time, by who spent it: what other processes do on the machine moves rates, but hardly
//! these.

use std::fs;
use std::time::Duration;

use sqlx::PgPool;

/// CPU time since their starts, in clock ticks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// Threads of the service.
    service: u64,
    /// All processes of Postgres.
    postgres: u64,
}

/// Of these processes and threads, as Linux counts them; nothing elsewhere.
pub async fn now(pool: &PgPool) -> Cpu {
    let postmaster: i32 =
        sqlx::query_scalar("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::integer")
            .fetch_one(pool)
            .await
            .unwrap();
    let mut cpu = Cpu::default();
    for thread in folders("/proc/self/task") {
        if let Some(stat) = Stat::read(&format!("{thread}/stat"))
            && stat.name.starts_with("tokio-rt")
        {
            cpu.service += stat.own;
        }
    }
    for process in folders("/proc") {
        if let Some(stat) = Stat::read(&format!("{process}/stat")) {
            if stat.parent == postmaster {
                cpu.postgres += stat.own;
            }
            if process == format!("/proc/{postmaster}") {
                cpu.postgres += stat.own + stat.children;
            }
        }
    }
    cpu
}

impl Cpu {
    /// Microseconds a webhook that the service and Postgres took since `before`.
    pub fn per_webhook(self, before: Self, webhooks: u64) -> [f64; 2] {
        /// Linux has told all programs 100 ticks a second for decades, whatever it uses itself.
        const TICK: Duration = Duration::from_millis(10);
        [
            self.service.saturating_sub(before.service),
            self.postgres.saturating_sub(before.postgres),
        ]
        .map(|ticks| ticks as f64 * TICK.as_secs_f64() * 1e6 / webhooks as f64)
    }
}

struct Stat {
    name: String,
    parent: i32,
    own: u64,
    children: u64,
}

impl Stat {
    fn read(path: &str) -> Option<Self> {
        let stat = fs::read_to_string(path).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let number = |n: usize| fields.get(n)?.parse::<u64>().ok();
        Some(Self {
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            children: number(13)? + number(14)?,
        })
    }
}

fn folders(path: &str) -> impl Iterator<Item = String> {
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().to_str()?.to_owned()))
}
