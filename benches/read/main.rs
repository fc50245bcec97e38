//! What reading costs: `cargo bench --bench read`. A database of 150,000 messages with their
//! statuses and facts; a closed loop of each call that services make often. Beside one message,
//! in alternating rounds of one run, a plain axum handler that SELECTs one row by its key.
//!
//! Options, after `--`: `--seconds 2 --rounds 2 --connections 64`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and may panic"
)]

mod calls;
mod data;
#[path = "../ground/mod.rs"]
mod ground;
mod plain;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;
use twotick::postgres::{Cluster, Options};

use crate::calls::{Call, Reader};
use crate::data::Known;
use crate::ground::measured::Measured;
use crate::ground::service;

#[derive(Debug, Parser)]
struct Args {
    /// Length of one round, in seconds
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Rounds of each, alternating
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Connections of the generator
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Cargo gives this one
    #[arg(long, hide = true)]
    bench: bool,
}

/// Whom to ask, and about what.
#[derive(Debug, Clone)]
pub struct Target {
    address: SocketAddr,
    key: Arc<str>,
    known: Arc<[Known]>,
}

fn main() {
    ground::run(async |load| bench(Args::parse(), &load).await);
}

async fn bench(args: Args, load: &Handle) {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let url = cluster.socket_url("reading");
    let known: Arc<[Known]> = data::create(&cluster, "reading").await.into();
    let prepared = service::prepare(&url, "http://127.0.0.1:9".to_owned()).await;
    data::own_by_nobody(&url, prepared.connection).await;
    let key = prepared.store.create_admin_key("bench").await.unwrap();
    let running = prepared.run().await;
    let ours = Target {
        address: running.address,
        key: key.expose_secret().into(),
        known: Arc::clone(&known),
    };
    let plain = plain::start(&url).await;
    let floor = Target {
        address: plain.address,
        ..ours.clone()
    };
    println!(
        "{} connections, closed loop; generator, service and Postgres on one machine",
        args.connections
    );
    println!(
        "call                          plain/s     ours/s  ratio   plain p50/p99 ms    ours p50/p99 ms"
    );
    for call in Call::ALL {
        let (mut of_plain, mut of_ours) = (Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            if call == Call::One {
                of_plain.push(round(&args, load, &floor, Call::Plain).await);
            }
            of_ours.push(round(&args, load, &ours, call).await);
        }
        print(call, &Measured::all(&of_plain), &Measured::all(&of_ours));
    }
    plain.stop().await;
    running.stop().await;
    cluster.stop().await.unwrap();
}

async fn round(args: &Args, load: &Handle, target: &Target, call: Call) -> Measured {
    let started = Instant::now();
    let until = started + Duration::from_secs(args.seconds);
    // More of these at once are refused: they wait too long for a connection to the database.
    let most = if call == Call::OfStatus {
        4
    } else {
        args.connections
    };
    let readers: Vec<_> = (0..args.connections.min(most))
        .map(|_| {
            let target = target.clone();
            load.spawn(async move { Reader::new(target, call).await.run(until).await })
        })
        .collect();
    let mut measured = Measured::default();
    for reader in readers {
        measured.latencies_us.extend(reader.await.unwrap());
    }
    measured.count = measured.latencies_us.len() as u64;
    measured.elapsed = started.elapsed();
    measured
}

fn print(call: Call, plain: &Measured, ours: &Measured) {
    let beside = if plain.count > 0 {
        (
            format!("{:.0}", plain.per_second()),
            format!("{:.2}", ours.per_second() / plain.per_second()),
            format!("{:.1} / {:.1}", plain.percentile(50), plain.percentile(99)),
        )
    } else {
        Default::default()
    };
    println!(
        "{:26}  {:>9}  {:9.0}  {:>5}  {:>17}  {:8.1} /{:8.1}",
        call.name(),
        beside.0,
        ours.per_second(),
        beside.1,
        beside.2,
        ours.percentile(50),
        ours.percentile(99),
    );
}
