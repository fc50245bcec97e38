//! A campaign's way in: `cargo bench --bench campaign`. Recipients are uploaded through HTTP in one
//! body, made as it goes, and activated. Shows how long each takes and what this process, service
//! and generator, ever took of memory. Nothing is posted: the provider refuses connections.
//!
//! Options, after `--`: `--recipients 1000000 --csv`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and may panic"
)]

mod ground;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use twotick::postgres::{Cluster, Options};

use crate::ground::wire::{Wire, request};
use crate::ground::{database, service};

#[derive(Debug, Clone, Copy, Parser)]
struct Args {
    #[arg(long, default_value_t = 1_000_000)]
    recipients: usize,
    /// CSV instead of JSON lines
    #[arg(long)]
    csv: bool,
    /// Cargo gives this one
    #[arg(long, hide = true)]
    bench: bool,
}

/// Recipients in one piece of the body.
const PIECE: usize = 1_000;

fn main() {
    ground::run(async |load| bench(Args::parse(), &load).await);
}

async fn bench(args: Args, load: &Handle) {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut database = database::create(&cluster, "campaign").await;
    let url = cluster.socket_url("campaign");
    let prepared = service::prepare(&url, "http://127.0.0.1:9".to_owned()).await;
    let connection = prepared.connection;
    let key = prepared.store.create_admin_key("bench").await.unwrap();
    let key = key.expose_secret().to_owned();
    let running = prepared.run().await;
    let mut api = Wire::connect(running.address).await;
    let sender = json!({
        "connection": connection, "phone_number_id": "310022446688199", "messages_per_second": 1,
    });
    let sender = make(&mut api, &key, "/v1/senders", &sender).await;
    let new = json!({
        "sender": sender["id"], "name": "bench",
        "messages": [{"type": "template", "template": {
            "name": "offer", "language": {"code": "en_US"},
            "components": [{"type": "body", "parameters": [
                {"type": "text", "text": "{{name}}"}]}],
        }}],
    });
    let campaign = make(&mut api, &key, "/v1/campaigns", &new).await;
    let path = format!("/v1/campaigns/{}", campaign["id"].as_str().unwrap());

    let began = Instant::now();
    let upload = upload(running.address, key.clone(), path.clone(), args);
    let (bytes, answer) = load.spawn(upload).await.unwrap();
    let took = began.elapsed();
    assert!(
        answer.contains(&format!("\"added\":{}", args.recipients)),
        "{answer}"
    );
    println!(
        "import:     {} recipients, {} MB, in {:.1} s: {:.0} a second",
        args.recipients,
        bytes / 1_000_000,
        took.as_secs_f64(),
        args.recipients as f64 / took.as_secs_f64()
    );
    println!("peak RSS:   {} MiB", most_ever_kib() / 1024);

    let began = Instant::now();
    make(&mut api, &key, &format!("{path}/activate"), &json!({})).await;
    loop {
        let shown = api.ask(&request(&path, Some(&key), None)).await;
        let shown: Value = serde_json::from_slice(shown).unwrap();
        if shown["status"] == "running" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed();
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM sequences")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(made, args.recipients as i64);
    println!(
        "activation: {:.1} s: {:.0} a second",
        took.as_secs_f64(),
        args.recipients as f64 / took.as_secs_f64()
    );
    println!("peak RSS:   {} MiB", most_ever_kib() / 1024);
    running.stop().await;
}

async fn make(api: &mut Wire, key: &str, path: &str, what: &Value) -> Value {
    let asked = request(path, Some(key), Some(&what.to_string()));
    serde_json::from_slice(api.ask(&asked).await).unwrap()
}

/// One body without a length, a piece at a time. Returns how many bytes it had, and the answer.
async fn upload(address: SocketAddr, key: String, path: String, args: Args) -> (usize, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let kind = match args.csv {
        true => "text/csv",
        false => "application/x-ndjson",
    };
    let head = format!(
        "POST {path}/recipients HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = 0;
    let mut piece = String::new();
    if args.csv {
        piece.push_str("to,reference,name\n");
    }
    for first in (0..args.recipients).step_by(PIECE) {
        for n in first..args.recipients.min(first + PIECE) {
            // In no order, as numbers come.
            let number = 447_700_000_000 + (n * 7_919) % 1_000_003;
            let line = match args.csv {
                true => format!("{number},order-{n},Name {n}"),
                false => format!(
                    r#"{{"to":"{number}","reference":"order-{n}","variables":{{"name":"Name {n}"}}}}"#
                ),
            };
            writeln!(piece, "{line}").unwrap();
        }
        bytes += piece.len();
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        piece.clear();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    (bytes, answer)
}

/// Of this process.
fn most_ever_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}
