//! How fast sequences go through their gates: `cargo bench --bench release`. A simulator of the
//! provider accepts each message and posts `sent` and `delivered` at once; the next message of
//! the sequence may go when `delivered` has come. Beside the service, in alternating rounds of
//! one run, the floor: a responder that keeps nothing and posts the next message at once.
//!
//! Latency is from the simulator beginning to post `delivered` to the next message's arrival at
//! it. Each round proves the order from what the simulator saw.
//!
//! With `--waiting 0,1000000` also while as many messages of the same senders wait behind a paused
//! template, which must change nothing.
//!
//! With `--per-second 500` at a pace instead of as fast as it goes: `delivered` comes so much later
//! that about as many gates open a second.
//!
//! Options, after `--`: `--messages 6000 --at-once 16,64,512 --senders 8 --rounds 2 --waiting 0`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark measures time, prints, and may panic"
)]

mod crowd;
mod floor;
#[path = "../ground/mod.rs"]
mod ground;
mod ours;
mod provider;

use clap::Parser;
use tokio::runtime::Handle;
use twotick::postgres::{Cluster, Options};

use crate::ground::measured::Measured;

#[derive(Debug, Parser)]
struct Args {
    /// Messages of one round
    #[arg(long, default_value_t = 6000)]
    messages: usize,
    /// Sequences that are under way at once; they share the messages evenly
    #[arg(long, value_delimiter = ',', default_value = "16,64,512")]
    at_once: Vec<usize>,
    /// Senders that share the sequences; each may post 1,000 messages a second
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Messages that wait behind a paused template meanwhile
    #[arg(long, value_delimiter = ',', default_value = "0")]
    waiting: Vec<usize>,
    /// Gates that open in a second, about; else as many as go
    #[arg(long)]
    per_second: Option<usize>,
    /// Rounds of each, alternating
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Cargo gives this one
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is sent: each sequence to a recipient of its own.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    pub sequences: usize,
    pub steps: usize,
    pub senders: usize,
    /// Messages of the same senders behind a paused template.
    pub waiting: usize,
    /// How many milliseconds behind its acceptance a message is delivered, on average.
    pub delivered_after_ms: u64,
}

/// Messages in one sequence, at most: a user may be written to 45 times at once, and after that every
/// six seconds.
const MOST_STEPS: usize = 40;

impl Work {
    /// The number that a sequence is sent from.
    pub fn number(&self, sequence: usize) -> String {
        number(sequence % self.senders)
    }
}

/// A sender's number.
pub fn number(sender: usize) -> String {
    format!("31002244668{sender:04}")
}

/// Whom a sequence is for.
pub fn recipient(sequence: usize) -> String {
    format!("44770090{sequence:04}")
}

/// What a message says, so that it can be told whose and which it is.
pub fn text(sequence: usize, step: usize) -> String {
    format!("{sequence}.{step}")
}

/// The other way round.
pub fn place(text: &str) -> (usize, usize) {
    let (sequence, step) = text.split_once('.').unwrap();
    (sequence.parse().unwrap(), step.parse().unwrap())
}

fn main() {
    ground::run(async |load| bench(Args::parse(), &load).await);
}

async fn bench(args: Args, load: &Handle) {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    println!(
        "gates a second, and ms from `delivered` to the next message; simulator, service and Postgres on one machine"
    );
    println!(
        "at once    waiting  messages       floor/s        ours/s  ratio   floor p50/p99 ms    ours p50/p99 ms"
    );
    for &at_once in &args.at_once {
        for &waiting in &args.waiting {
            let work = Work {
                sequences: at_once,
                steps: (args.messages / at_once).clamp(2, MOST_STEPS),
                senders: args.senders,
                waiting,
                delivered_after_ms: args
                    .per_second
                    .map_or(0, |rate| (at_once * 1000 / rate) as u64),
            };
            compare(&cluster, &args, load, work).await;
        }
    }
    cluster.stop().await.unwrap();
}

async fn compare(cluster: &Cluster, args: &Args, load: &Handle, work: Work) {
    let (mut floor, mut ours) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        floor.push(floor::round(load, work).await);
        let name = format!("q{}w{}r{round}", work.sequences, work.waiting);
        ours.push(ours::round(cluster, &name, load, work).await);
    }
    let (floor, ours) = (Measured::all(&floor), Measured::all(&ours));
    println!(
        "{:7}  {:9}  {:8}  {:12.0}  {:12.0}  {:5.2}  {:8.1} /{:8.1}  {:8.1} /{:8.1}",
        work.sequences,
        work.waiting,
        work.sequences * work.steps,
        floor.per_second(),
        ours.per_second(),
        ours.per_second() / floor.per_second(),
        floor.percentile(50),
        floor.percentile(99),
        ours.percentile(50),
        ours.percentile(99),
    );
}
