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
mod scene;
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
use check::{check, touched_templates, usage};
use history::Moment;
use load::Played;
use manifest::{Author, Manifest};
use scene::Scene;
use stage::Stage;
use summary::Seen;
use view::View;

/// Starting takes a few seconds; a slow machine gets more.
const START_LIMIT: Duration = Duration::from_secs(45);
/// How much of the rate a trial has to use.
const ENOUGH: f64 = 0.95;
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
    /// How many sequences, of 3 to 5 messages each; 300, or 12,500 in a trial
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    sequences: Option<u32>,
    /// The long proof: 50 senders at their limits, three processes that are killed now and then,
    /// one answer in twenty lost
    #[arg(long)]
    trial: bool,
    /// Of each sender in a trial, configured and allowed
    #[arg(long, default_value_t = 10, requires = "trial")]
    messages_per_second: u32,
    /// Decides what is sent and what goes wrong; else a random one, which is shown
    #[arg(long)]
    seed: Option<u64>,
    /// Show the service's logs
    #[arg(long)]
    verbose: bool,
}

impl DemoArgs {
    fn sequences(&self) -> usize {
        let few = if self.trial { 12_500 } else { 300 };
        self.sequences.map_or(few, |sequences| sequences as usize)
    }

    fn scene(&self) -> Scene {
        match self.trial {
            true => scene::trial(self.messages_per_second, self.sequences() * 4),
            false => scene::demo(),
        }
    }
}

/// Runs the demo until it is through (`--once`) or `shutdown`.
#[expect(clippy::print_stdout, reason = "the proof is this command's output")]
pub async fn run(args: DemoArgs, shutdown: CancellationToken) -> anyhow::Result<ExitCode> {
    let seed = args
        .seed
        .unwrap_or_else(|| u32::from_le_bytes(clock::random()).into());
    let scene = args.scene();
    println!(
        "seed {seed}: starting Postgres, the simulated provider and {} service processes",
        scene.processes
    );
    let mut stage = tokio::select! {
        stage = timeout(START_LIMIT, Stage::set(scene, seed, args.verbose)) => {
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
    format!(
        "service    {}\nAPI key    {}\nprovider   {}\ndatabase   {}",
        stage.urls.join(" and "),
        stage.key,
        stage.simulator_url,
        stage.database_url,
    )
}

/// The load, and the proof. `true`: nothing was out of order, twice or lost, or above a limit.
#[expect(clippy::print_stdout, reason = "the proof is this command's output")]
async fn play(stage: &mut Stage, args: &DemoArgs, seed: u64) -> anyhow::Result<bool> {
    let manifest = {
        let (senders, deadline) = (phone_numbers(stage), stage.scene.read_deadline);
        Manifest::make(seed, args.sequences(), &senders, deadline)
    };
    let (phase, seen) = watch::channel("sending");
    let view = View::new(manifest.sequences.len())?;
    let clock = Clock::system();
    let playing = load::play(stage, &manifest, seed, &phase);
    let played = tokio::select! {
        played = timeout(stage.scene.settle_limit, playing) => played,
        never = view.run(stage, &clock, seen) => match never {},
    };
    view.clear();
    stage.check()?;
    let sequences = load::sequences(stage).await?;
    let in_time = played.is_ok();
    let Played { pauses, kills } = match played {
        Ok(played) => played?,
        Err(_) => {
            println!("{}", summary::unsettled(&load::unsettled(&sequences)));
            Played::default()
        }
    };
    let (log, stats) = (stage.control.log().await?, stage.control.stats().await?);
    let told = load::told(stage, &manifest, &sequences, &log).await?;
    let rules = &stage.scene.rules;
    let findings = check(&manifest, &log, &pauses, &told, rules, &kills, END_OF_TIME);
    let touched = touched_templates(&log, &pauses);
    let rate = stage.scene.messages_per_second;
    let usage = (!stage.scene.is_small).then(|| usage(&manifest, &log, &touched, &kills, rate));
    let within_limits = stats.violations == 0 && stats.pair_violations == 0;
    let is_used = usage.is_none_or(|usage| usage.is_measured() && usage.share_owned() >= ENOUGH);
    let clean = findings.is_clean() && in_time && within_limits && is_used;
    if let (false, Some(logs)) = (clean, stage.logs()) {
        println!("the service's logs are kept in {}", logs.display());
    }
    let seen = Seen {
        sequences: &sequences,
        log: &log,
        stats: &stats,
        kills: kills.len(),
        usage,
    };
    println!("{}", summary::write(&seen, &findings));
    Ok(clean)
}

/// New sequences, a few a minute, for somebody who looks around.
async fn trickle(stage: &Stage, args: &DemoArgs, seed: u64) -> Infallible {
    let mut author = Author::new(seed, stage.scene.read_deadline);
    let senders = phone_numbers(stage);
    for _ in 0..args.sequences() {
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
