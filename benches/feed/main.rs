//! Whether the feed tells every event once and in order: `cargo bench --bench feed`. Writers whose
//! transactions overlap and commit late, readers by `/v1/events?after=` and by `/v1/events/stream`
//! whose connections drop, each going from one instance to the other and back. Ends with 1 if any
//! reader missed an event, had one twice, or had two in another order than the others.
//!
//! Beside them a reader follows the table alone, as one would without knowing of commits that come
//! late: what it missed shows that the writers are a trial.
//!
//! Options, after `--`: `--events 1000000 --writers 8 --pagers 2 --streams 2 --delay-ms 40`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and may panic"
)]

#[path = "../ground/mod.rs"]
mod ground;
mod readers;
mod writers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Parser;
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;
use twotick::postgres::{Cluster, Options};

use crate::ground::wire::{Wire, request};
use crate::ground::{database, service};
use crate::readers::Reading;

/// Of each reader: the numbers of events, as they came.
type Came = Vec<u32>;

#[derive(Debug, Clone, Copy, Parser)]
struct Args {
    /// Events, of all writers together
    #[arg(long, default_value_t = 1_000_000)]
    events: u32,
    #[arg(long, default_value_t = 8)]
    writers: u32,
    /// Readers of the list
    #[arg(long, default_value_t = 2)]
    pagers: usize,
    /// Readers of the stream
    #[arg(long, default_value_t = 2)]
    streams: usize,
    /// The longest that a transaction waits before it commits; one of a hundred waits ten times that
    #[arg(long, default_value_t = 40)]
    delay_ms: u64,
    /// Cargo gives this one
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    ground::run(async |load| {
        if !bench(Args::parse(), &load).await {
            std::process::exit(1);
        }
    });
}

/// Whether nothing was wrong.
async fn bench(args: Args, load: &Handle) -> bool {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut database = database::create(&cluster, "feed").await;
    let url = cluster.socket_url("feed");
    let prepared = service::prepare(&url, "http://127.0.0.1:9".to_owned()).await;
    let another = prepared.another(&url).await;
    let key = prepared.store.create_admin_key("bench").await.unwrap();
    let key = key.expose_secret().to_owned();
    let (first, second) = (prepared.run().await, another.run().await);

    let end = request("/v1/events?limit=500", Some(&key), None);
    let mut api = Wire::connect(first.address).await;
    let page: Value = serde_json::from_slice(api.ask(&end).await).unwrap();
    let written = Arc::new(AtomicBool::new(false));
    let reading = Reading {
        instances: [first.address, second.address],
        key,
        from: page["next_cursor"].as_str().unwrap().to_owned(),
        expected: args.events,
        written: Arc::clone(&written),
    };
    println!(
        "{} events of {} writers, read by {} pagers and {} streams over 2 instances",
        args.events, args.writers, args.pagers, args.streams
    );
    let began = Instant::now();
    let naive = load.spawn(readers::naive(
        url.clone(),
        args.events,
        Arc::clone(&written),
    ));
    let mut readers = Vec::new();
    for n in 0..args.pagers {
        let reading = reading.clone().list(n);
        readers.push((format!("pager {n}"), load.spawn(reading)));
    }
    for n in 0..args.streams {
        let reading = reading.clone().stream(n);
        readers.push((format!("stream {n}"), load.spawn(reading)));
    }
    let all = 0..args.writers;
    let writers: Vec<_> = all
        .map(|n| load.spawn(writers::write(url.clone(), n, args)))
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    written.store(true, Ordering::Release);
    let took = began.elapsed().as_secs_f64();
    println!(
        "written in {took:.0} s: {:.0}/s",
        f64::from(args.events) / took
    );

    let order = order(&mut database, args).await;
    let mut right = true;
    for (name, reader) in readers {
        let (came, drops) = reader.await.unwrap();
        let found = Found::of(&came, &order);
        let after = began.elapsed().as_secs_f64();
        println!(
            "{name}: {} events, {drops} answers broken off, {} missed, {} repeated, {} out of \
             order, after {after:.0} s",
            came.len(),
            found.missed,
            found.repeated,
            found.disordered
        );
        right &= found == Found::default();
    }
    let naive = Found::of(&naive.await.unwrap(), &order).missed;
    println!("a reader of the table that knows nothing of late commits: {naive} missed");
    first.stop().await;
    second.stop().await;
    database.close().await.unwrap();
    cluster.stop().await.unwrap();
    println!(
        "{}",
        if right {
            "all as promised"
        } else {
            "NOT as promised"
        }
    );
    right
}

/// What a reader did not do right.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    missed: usize,
    repeated: usize,
    disordered: usize,
}

impl Found {
    fn of(came: &Came, order: &[u32]) -> Self {
        let mut seen = vec![false; order.len()];
        let mut found = Self::default();
        let mut last = None;
        for n in came {
            let n = *n as usize;
            if std::mem::replace(&mut seen[n], true) {
                found.repeated += 1;
                continue;
            }
            let place = Some(order[n]);
            found.disordered += usize::from(place < last);
            last = place.max(last);
        }
        found.missed = seen.iter().filter(|seen| !**seen).count();
        found
    }
}

/// Where each event stands, by its number: the order that all readers must have seen. What one
/// writer wrote earlier stands before what it wrote later.
async fn order(database: &mut PgConnection, args: Args) -> Vec<u32> {
    let ordered = "SELECT (data ->> 'n')::integer FROM facts WHERE type = 'inbound.bench'
                   ORDER BY xid, id";
    let ordered: Vec<i32> = sqlx::query_scalar(ordered)
        .fetch_all(database)
        .await
        .unwrap();
    assert_eq!(ordered.len(), args.events as usize);
    let mut order = vec![0; ordered.len()];
    for (place, n) in (0..).zip(&ordered) {
        order[*n as usize] = place;
    }
    for own in order.chunks((args.events / args.writers) as usize) {
        assert!(own.is_sorted(), "one writer's events are in its order");
    }
    order
}
