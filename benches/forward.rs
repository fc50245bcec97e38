//! How soon events arrive: `cargo bench --bench forward`. Endpoints, each with an address and a
//! subscription of its own, of which half take a connection and never answer. Shows the time from
//! an event's commit to its arrival at those that live, while the others hang. Endpoints are in
//! groups, each of which wants events of its own.
//!
//! Options, after `--`: `--endpoints 2000 --hanging 1000 --groups 20 --rate 10 --seconds 20`. Every endpoint
//! takes some file descriptors here, on both ends: `ulimit -n 16384`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and may panic"
)]

mod ground;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use clap::Parser;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use twotick::postgres::{Cluster, Options};

use crate::ground::measured::Measured;
use crate::ground::wire::{Wire, request};
use crate::ground::{database, service};

#[derive(Debug, Clone, Copy, Parser)]
struct Args {
    /// Subscriptions
    #[arg(long, default_value_t = 2_000)]
    endpoints: usize,
    /// Of them never answer
    #[arg(long, default_value_t = 1_000)]
    hanging: usize,
    /// Of which each event goes to one
    #[arg(long, default_value_t = 20)]
    groups: usize,
    /// Events a second
    #[arg(long, default_value_t = 10)]
    rate: u32,
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Cargo gives this one
    #[arg(long, hide = true)]
    bench: bool,
}

/// What arrived.
#[derive(Debug, Default)]
struct Arrived {
    /// When each event was committed, by its number.
    committed: Mutex<Vec<Instant>>,
    latencies_us: Mutex<Vec<u32>>,
    hanging: AtomicUsize,
}

fn main() {
    ground::run(async |load| bench(Args::parse(), &load).await);
}

async fn bench(args: Args, load: &Handle) {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut database = database::create(&cluster, "forward").await;
    let url = cluster.socket_url("forward");
    let mut prepared = service::prepare(&url, "http://127.0.0.1:9".to_owned()).await;
    prepared.config.forward.allow = "127.0.0.0/8".parse().unwrap();
    prepared.config.forward.allow_http = true;
    let key = prepared.store.create_admin_key("bench").await.unwrap();
    let running = prepared.run().await;
    let arrived = Arc::new(Arrived::default());
    let port = load.spawn(endpoints(Arc::clone(&arrived))).await.unwrap();
    subscribe(running.address, key.expose_secret(), port, args).await;
    println!(
        "{} endpoints in {} groups, {} of them hang; {} events/s; generator, endpoints, service and \
         Postgres on one machine",
        args.endpoints, args.groups, args.hanging, args.rate
    );
    // First to all, so that those that hang do.
    let began = Instant::now();
    let mut due = 0;
    for group in 0..args.groups {
        due += write(&mut database, &arrived, group, args).await;
    }
    until(|| arrived.latencies_us.lock().unwrap().len() >= due).await;
    print("one to each, all at once", &arrived, began);
    let began = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / args.rate);
    let mut due = 0;
    for n in 0..usize::try_from(args.rate * args.seconds).unwrap() {
        ticks.tick().await;
        due += write(&mut database, &arrived, n % args.groups, args).await;
    }
    until(|| arrived.latencies_us.lock().unwrap().len() >= due).await;
    print("the others", &arrived, began);
    let hanging = arrived.hanging.load(Ordering::Relaxed);
    println!("posts that hang or hung: {hanging}");
    running.stop().await;
    cluster.stop().await.unwrap();
}

/// All on one port, each under an address of its own, as far as the service sees.
async fn endpoints(arrived: Arc<Arrived>) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let take = async |State(arrived): State<Arc<Arrived>>,
                      Path(kind): Path<String>,
                      body: axum::body::Bytes| {
        if kind == "hang" {
            arrived.hanging.fetch_add(1, Ordering::Relaxed);
            std::future::pending::<()>().await;
        }
        let at = Instant::now();
        let event: Value = serde_json::from_slice(&body).unwrap();
        let n = usize::try_from(event["data"]["n"].as_u64().unwrap()).unwrap();
        let committed = arrived.committed.lock().unwrap()[n];
        let took = at.saturating_duration_since(committed).as_micros();
        let took = u32::try_from(took).unwrap();
        arrived.latencies_us.lock().unwrap().push(took);
        StatusCode::NO_CONTENT
    };
    let router = axum::Router::new()
        .route("/{kind}", axum::routing::post(take))
        .with_state(arrived);
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

async fn subscribe(service: SocketAddr, key: &str, port: u16, args: Args) {
    let mut api = Wire::connect(service).await;
    for n in 0..args.endpoints {
        let kind = if n < args.hanging { "hang" } else { "live" };
        let host = format!("127.1.{}.{}", n / 250, n % 250 + 1);
        let new = json!({"url": format!("http://{host}:{port}/{kind}"), "types": [format!("inbound.bench{}", n % args.groups)]});
        let new = new.to_string();
        api.ask(&request("/v1/subscriptions", Some(key), Some(&new)))
            .await;
    }
}

/// An event of no subject, for a group. Returns how many of it live.
async fn write(database: &mut PgConnection, arrived: &Arrived, group: usize, args: Args) -> usize {
    let n = arrived.committed.lock().unwrap().len();
    // From before the commit: what is shown is a little longer than it took.
    arrived.committed.lock().unwrap().push(Instant::now());
    let fact = "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
        SELECT 1, gen_random_uuid(), '00000000-0000-0000-0000-000000000000', now(), $2,
               $1::text, 'api', jsonb_build_object('n', $1::integer)";
    let n = i32::try_from(n).unwrap();
    let written = sqlx::query(fact)
        .bind(n)
        .bind(format!("inbound.bench{group}"));
    written.execute(database).await.unwrap();
    let lives = |n: &usize| n % args.groups == group;
    (args.hanging..args.endpoints).filter(lives).count()
}

async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn print(what: &str, arrived: &Arrived, began: Instant) {
    let latencies_us = std::mem::take(&mut *arrived.latencies_us.lock().unwrap());
    let count = latencies_us.len();
    let measured = Measured::all(&[Measured {
        count: count as u64,
        elapsed: began.elapsed(),
        latencies_us,
    }]);
    println!(
        "{what}: {count} deliveries, {:.0}/s, p50 {:.0} ms, p99 {:.0} ms",
        measured.per_second(),
        measured.percentile(50),
        measured.percentile(99)
    );
}
