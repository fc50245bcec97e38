//! How many signed webhooks a second the service commits, beside a plain axum handler that
//! checks the same signature and does one INSERT and commit a request: `cargo bench --bench
//! ingest`. Both get the same bodies from the same generator, on databases of one private
//! cluster, in alternating rounds of one run; only the ratios mean anything on a shared machine.
//!
//! Options, after `--`: `--seconds 4 --rounds 3 --connections 64,256 --statuses 1,100`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and may panic"
)]

mod cpu;
#[path = "../ground/mod.rs"]
mod ground;
mod load;
mod naive;
mod ours;

use std::time::Duration;

use clap::Parser;
use tokio::runtime::Handle;
use twotick::postgres::{Cluster, Options};

use crate::ground::measured::Measured;
use crate::load::Target;

#[derive(Debug, Parser)]
struct Args {
    /// Length of one round, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Rounds of each, alternating
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections of the generator
    #[arg(long, value_delimiter = ',', default_value = "64,256")]
    connections: Vec<usize>,
    /// Statuses a body
    #[arg(long, value_delimiter = ',', default_value = "1,100")]
    statuses: Vec<usize>,
    /// Cargo gives this one
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    ground::run(async |load| bench(Args::parse(), &load).await);
}

async fn bench(args: Args, load: &Handle) {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    println!("closed loop, generator, service and Postgres on one machine; naive beside ours");
    println!(
        "conns  statuses       naive/s        ours/s  ratio   naive p50/p99 ms    ours p50/p99 ms   WAL B  rows B   HOT  µs service/pg"
    );
    for &statuses in &args.statuses {
        for &connections in &args.connections {
            compare(&cluster, &args, load, connections, statuses).await;
        }
    }
    cluster.stop().await.unwrap();
}

async fn compare(
    cluster: &Cluster,
    args: &Args,
    load: &Handle,
    connections: usize,
    statuses: usize,
) {
    let seconds = Duration::from_secs(args.seconds);
    let (mut naive, mut ours) = (Vec::new(), Vec::new());
    let mut costs = ours::Costs::default();
    for round in 0..args.rounds {
        let name = format!("c{connections}s{statuses}r{round}");
        let target = naive::start(cluster, &format!("{name}_naive")).await;
        naive.push(load::run(load, &target.target, connections, statuses, seconds).await);
        target.stop().await;
        let target = ours::start(cluster, &format!("{name}_ours")).await;
        let measured = load::run(load, &target.target, connections, statuses, seconds).await;
        costs = target.costs(measured.count).await;
        target.check(measured.count * statuses as u64).await;
        ours.push(measured);
        target.stop().await;
    }
    let (naive, ours) = (Measured::all(&naive), Measured::all(&ours));
    println!(
        "{connections:5}  {statuses:8}  {:12.0}  {:12.0}  {:5.2}  {:8.1} /{:8.1}  {:8.1} /{:8.1}  {:6.0}  {:6.0}  {:4.2}  {:5.0} /{:5.0}",
        naive.per_second(),
        ours.per_second(),
        ours.per_second() / naive.per_second(),
        naive.percentile(50),
        naive.percentile(99),
        ours.percentile(50),
        ours.percentile(99),
        costs.wal_bytes,
        costs.table_bytes,
        costs.hot_share,
        costs.cpu_us[0],
        costs.cpu_us[1],
    );
}

/// The sender of every webhook.
pub const NUMBER: &str = "310022446688199";

/// What both take.
pub fn target(address: std::net::SocketAddr, path: String, messages: Vec<load::Known>) -> Target {
    Target {
        address,
        path,
        messages: messages.into(),
    }
}
