//! `twotick demo`: a private Postgres, the simulated provider with all its faults, two processes
//! of the service, some hundred sequences, and a proof that none of them went wrong. The proof
//! (`check`) is made of what the provider saw and of a manifest written before the start.
//!
//! The parts: `manifest` is what will be asked for, `stage` all that runs (`process`,
//! `balancer`), `api` how the demo talks to it, `load` what it does, `view` and `summary` what is
//! seen, `history` and `check` the proof.

mod api;
mod balancer;
mod check;
mod history;
mod load;
mod manifest;
mod process;
mod stage;
mod summary;
mod view;

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::sync::watch;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock};
use check::check;
use history::Moment;
use manifest::{Author, Manifest};
use stage::{RULES, Stage};
use view::View;

/// Starting takes a few seconds; a slow machine gets more.
const START_LIMIT: Duration = Duration::from_secs(45);
/// Everything is settled by then, or the demo has failed.
const SETTLE_LIMIT: Duration = Duration::from_secs(90);
/// Two drains at once, and Postgres.
const STRIKE_LIMIT: Duration = Duration::from_secs(25);
/// Between two sequences once the load is through.
const TRICKLE: Duration = Duration::from_secs(2);
/// The simulator writes ticks from 0; nothing happens after this one.
const END_OF_TIME: Moment = Moment {
    tick: u64::MAX,
    at_us: u64::MAX,
};

/// Proves order, on this machine, in about a minute
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End after the summary, with exit code 0 if nothing was out of order, twice or lost
    #[arg(long)]
    once: bool,
    /// How many sequences, of 3 to 5 messages each
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=4_000))]
    sequences: u32,
    /// Decides what is sent and what goes wrong; else a random one, which is shown
    #[arg(long)]
    seed: Option<u64>,
    /// Show the service's logs
    #[arg(long)]
    verbose: bool,
}

/// Runs the demo until it is through (`--once`) or `shutdown`.
#[expect(clippy::print_stdout, reason = "the proof is this command's output")]
pub async fn run(args: DemoArgs, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    let seed = args
        .seed
        .unwrap_or_else(|| u32::from_le_bytes(clock::random()).into());
    println!("seed {seed}: starting Postgres, the simulated provider and two service processes");
    let mut stage = tokio::select! {
        stage = timeout(START_LIMIT, Stage::set(seed, args.verbose)) => {
            stage.context("the service did not start in time")??
        }
        () = shutdown.cancelled() => anyhow::bail!("interrupted"),
    };
    println!("{}", addresses(&stage));
    let played = tokio::select! {
        played = play(&mut stage, &args, seed) => played,
        () = shutdown.cancelled() => Err(anyhow::anyhow!("interrupted")),
    };
    let keep_logs = !matches!(played, Ok(true)) && !shutdown.is_cancelled();
    if played.is_ok() && !args.once {
        println!("\n{}", addresses(&stage));
        println!("running on, with a new sequence every {TRICKLE:?}, until Ctrl-C");
        tokio::select! {
            never = trickle(&stage, &args, seed) => match never {},
            () = shutdown.cancelled() => {}
        }
    }
    let struck = timeout(STRIKE_LIMIT, stage.strike(keep_logs)).await;
    struck.context("not everything stopped in time")??;
    played.map(|clean| match clean {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn addresses(stage: &Stage) -> String {
    let urls: Vec<&str> = stage.processes.iter().map(|p| p.url.as_str()).collect();
    format!(
        "service    {}\nAPI key    {}\nprovider   {}\ndatabase   {}",
        urls.join(" and "),
        stage.key,
        stage.simulator_url,
        stage.database_url,
    )
}

/// The load, and the proof. `true`: nothing was out of order, twice or lost.
#[expect(clippy::print_stdout, reason = "the proof is this command's output")]
async fn play(stage: &mut Stage, args: &DemoArgs, seed: u64) -> anyhow::Result<bool> {
    let manifest = Manifest::make(seed, args.sequences as usize, &phone_numbers(stage));
    let (phase, seen) = watch::channel("sending");
    let view = View::new(manifest.sequences.len())?;
    let clock = Clock::system();
    let played = tokio::select! {
        played = timeout(SETTLE_LIMIT, load::play(stage, &manifest, &phase)) => played,
        never = view.run(stage, &clock, seen) => match never {},
    };
    view.clear();
    stage.check()?;
    let sequences = load::sequences(stage).await?;
    let pauses = match played {
        Ok(pause) => vec![pause?],
        Err(_) => {
            println!("{}", summary::unsettled(&load::unsettled(&sequences)));
            Vec::new()
        }
    };
    let in_time = !pauses.is_empty();
    let (log, stats) = (stage.control.log().await?, stage.control.stats().await?);
    let told = load::told(stage, &manifest, &sequences, &log).await?;
    let findings = check(&manifest, &log, &pauses, &told, &RULES, END_OF_TIME);
    let clean = findings.is_clean() && in_time;
    if let (false, Some(logs)) = (clean, stage.logs()) {
        println!("the service's logs are kept in {}", logs.display());
    }
    println!("{}", summary::write(&sequences, &log, &stats, &findings));
    Ok(clean)
}

/// New sequences, a few a minute, for somebody who looks around.
async fn trickle(stage: &Stage, args: &DemoArgs, seed: u64) -> Infallible {
    let mut author = Author::new(seed);
    let senders = phone_numbers(stage);
    for _ in 0..args.sequences {
        author.plan(&senders);
    }
    let mut pace = interval(TRICKLE);
    loop {
        pace.tick().await;
        let planned = author.plan(&senders);
        if let Err(error) = load::ask_for(stage, &planned).await {
            eprintln!("{} cannot be asked for: {error:#}", planned.reference);
        }
    }
}

fn phone_numbers(stage: &Stage) -> Vec<String> {
    let numbers = stage.senders.iter().map(|s| s.phone_number_id.clone());
    numbers.collect()
}
