//! What is seen while the demo runs: in a terminal a few lines that are kept up to date, else a
//! plain line every two seconds.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::api::{Sequence, Stats};
use super::load::{self, unsettled};
use super::stage::Stage;
use crate::clock::Clock;

const IN_TERMINAL: Duration = Duration::from_millis(500);
const IN_LOG: Duration = Duration::from_secs(2);

/// What nobody has told a user of yet, in the order of a message's way.
const UNDER_WAY: [&str; 6] = ["queued", "sending", "unknown", "accepted", "held", "sent"];
/// What became of the others.
const SAID: [&str; 6] = [
    "delivered",
    "read",
    "played",
    "failed",
    "expired",
    "cancelled",
];

/// Where progress is shown.
#[derive(Debug)]
pub enum View {
    Terminal {
        bar: ProgressBar,
        lines: [ProgressBar; 4],
    },
    Plain,
}

/// What is shown of one moment.
#[derive(Debug)]
struct Snapshot {
    settled: usize,
    messages: BTreeMap<String, usize>,
    stats: Stats,
    posts_per_second: f64,
}

impl View {
    pub fn new(sequences: usize) -> anyhow::Result<Self> {
        if !(std::io::stdout().is_terminal() && std::io::stderr().is_terminal()) {
            return Ok(Self::Plain);
        }
        let screen = MultiProgress::new();
        let bar = screen.add(ProgressBar::new(sequences as u64));
        bar.set_style(ProgressStyle::with_template(
            "{bar:16.green} {pos}/{len} sequences settled  {wide_msg}",
        )?);
        let line = ProgressStyle::with_template("  {wide_msg}")?;
        let lines = [(); 4].map(|()| {
            let added = screen.add(ProgressBar::new_spinner());
            added.with_style(line.clone())
        });
        Ok(Self::Terminal { bar, lines })
    }

    /// Shows what is going on until it is dropped. An error of the service is not its business:
    /// whoever needs the answer will meet it too.
    pub async fn run(
        &self,
        stage: &Stage,
        clock: &Clock,
        phase: watch::Receiver<&'static str>,
    ) -> Infallible {
        let mut pace = interval(match self {
            Self::Terminal { .. } => IN_TERMINAL,
            Self::Plain => IN_LOG,
        });
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = (clock.monotonic(), 0);
        loop {
            pace.tick().await;
            let seen = match stage.scene.is_small {
                true => load::sequences(stage).await,
                false => Ok(Vec::new()),
            };
            let stats = stage.control.stats().await;
            if let (Ok(sequences), Ok(stats)) = (seen, stats) {
                let snapshot = Snapshot::of(&sequences, stats, clock, &mut last);
                self.show(&snapshot, *phase.borrow());
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "progress is this command's output")]
    fn show(&self, snapshot: &Snapshot, phase: &'static str) {
        let Snapshot {
            settled, messages, ..
        } = snapshot;
        // A terminal may be no wider than 80 characters.
        let (before, after) = (list(messages, &UNDER_WAY), list(messages, &SAID));
        let (traffic, faults) = (snapshot.traffic(), snapshot.faults());
        match self {
            Self::Terminal { bar, lines } => {
                bar.set_position(*settled as u64);
                bar.set_message(phase);
                for (line, text) in lines.iter().zip([before, after, traffic, faults]) {
                    line.set_message(text);
                }
            }
            Self::Plain => println!(
                "{settled} sequences settled | {before} | {after} | {traffic} | {faults} | {phase}"
            ),
        }
    }

    /// Takes the kept lines off the screen.
    pub fn clear(&self) {
        if let Self::Terminal { bar, lines } = self {
            bar.finish_and_clear();
            lines.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

impl Snapshot {
    fn of(sequences: &[Sequence], stats: Stats, clock: &Clock, last: &mut (Instant, u64)) -> Self {
        let now = clock.monotonic();
        let seconds = now.duration_since(last.0).as_secs_f64().max(0.001);
        let posts_per_second = (stats.posts - last.1) as f64 / seconds;
        *last = (now, stats.posts);
        Self {
            settled: sequences.len() - unsettled(sequences).len(),
            messages: by_status(sequences),
            stats,
            posts_per_second,
        }
    }

    fn traffic(&self) -> String {
        let Stats {
            posts, webhooks, ..
        } = self.stats;
        let rate = self.posts_per_second;
        format!("{posts} posts ({rate:.0}/s), {webhooks} webhooks")
    }

    fn faults(&self) -> String {
        let stats = &self.stats;
        let refused: u64 = stats.refused.values().sum();
        format!(
            "faults: {refused} refused, {} answers lost, {} late, {} held, {} duplicates",
            stats.lost_answers, stats.late_answers, stats.held_answers, stats.duplicates
        )
    }
}

/// How many messages have which status.
pub fn by_status(sequences: &[Sequence]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for message in sequences.iter().flat_map(|sequence| &sequence.messages) {
        *counts.entry(message.status.clone()).or_default() += 1;
    }
    counts
}

/// All counts, in the order of a message's way.
pub fn list_all(counts: &BTreeMap<String, usize>) -> String {
    let parts = [list(counts, &UNDER_WAY), list(counts, &SAID)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

fn list(counts: &BTreeMap<String, usize>, statuses: &[&str]) -> String {
    let counted = statuses.iter().filter_map(|status| {
        let n = counts.get(*status)?;
        Some(format!("{n} {status}"))
    });
    counted.collect::<Vec<_>>().join(", ")
}
