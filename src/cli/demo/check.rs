//! The proof: what the simulator saw, held against the manifest. Nothing the service says counts
//! here, except where the question is whether it knows what it should know. Pure, so that its
//! tests can show that it finds each kind of violation.

mod story;
mod usage;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use super::history::{Attempt, History, Log, Moment, Rules};
use super::manifest::Manifest;
use story::Story;
pub use usage::{Usage, usage};

/// A time in which a template must not be used, by the simulator's ticks: from when the service
/// was seen to know of the pause until just before its end.
#[derive(Debug, Clone)]
pub struct Pause {
    pub template: String,
    pub from: u64,
    pub until: u64,
}

/// What the service says in the end.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// In the manifest's order; absent when the service does not know it.
    pub sequences: Vec<Option<ToldSequence>>,
    /// By provider id; absent when the service does not know the id.
    pub messages: HashMap<String, ToldMessage>,
}

#[derive(Debug, Clone)]
pub struct ToldSequence {
    pub id: String,
    pub status: String,
    /// Of its messages.
    pub messages: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct ToldMessage {
    /// The sequence and the position in it, from 1.
    pub place: Option<(String, usize)>,
    pub status: String,
}

/// What was found, each with its explanation.
#[derive(Debug, Default)]
pub struct Findings {
    pub order: Vec<String>,
    pub duplicates: Vec<String>,
    pub lost: Vec<String>,
    /// From the moment the provider began to say what opened a gate to the next message's POST.
    /// Without messages of templates that were paused at any time: they wait for that.
    pub latencies: Vec<Duration>,
}

impl Findings {
    pub fn is_clean(&self) -> bool {
        self.order.is_empty() && self.duplicates.is_empty() && self.lost.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.order.extend(other.order);
        self.duplicates.extend(other.duplicates);
        self.lost.extend(other.lost);
        self.latencies.extend(other.latencies);
    }

    /// The first `most` of each kind.
    pub fn explained(&self, most: usize) -> impl Iterator<Item = (&'static str, &String)> {
        let kinds = [
            ("order", &self.order),
            ("duplicate", &self.duplicates),
            ("lost", &self.lost),
        ];
        kinds
            .into_iter()
            .flat_map(move |(kind, found)| found.iter().take(most).map(move |why| (kind, why)))
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "order violations: {}, duplicates: {}, lost: {}",
            self.order.len(),
            self.duplicates.len(),
            self.lost.len()
        )
    }
}

/// Holds the log against the manifest. `kills` are when a process was killed, in microseconds since
/// the log's start; `end` is a moment after which nothing happened.
pub fn check(
    manifest: &Manifest,
    log: &Log,
    pauses: &[Pause],
    told: &Told,
    rules: &Rules,
    kills: &[u64],
    end: Moment,
) -> Findings {
    let history = History::fold(manifest, log);
    let mut findings = Findings {
        order: history.strangers.clone(),
        ..Findings::default()
    };
    findings.order.extend(posts_while_paused(log, pauses));
    let touched = touched_templates(log, pauses);
    for (s, planned) in manifest.sequences.iter().enumerate() {
        let told_sequence = told.sequences.get(s).and_then(Option::as_ref);
        let of = |steps: &[Vec<Attempt>]| {
            let story = Story {
                planned,
                steps,
                rules,
                kills,
                end,
            };
            let mut findings = Findings::default();
            for n in 0..planned.steps.len() {
                story.order(n, &mut findings.order);
                story.duplicates(n, &mut findings);
                story.latency(n, &touched, &mut findings.latencies);
            }
            story.completeness(told_sequence, &mut findings.lost);
            story.knowledge(told_sequence, told, &mut findings.lost);
            findings
        };
        let told = of(&history.steps[s]);
        let told = match told.is_clean() {
            true => told,
            false => otherwise(&history.steps[s], kills, &of).unwrap_or(told),
        };
        findings.add(told);
    }
    findings
}

/// An answer that reached a process just before it was killed may have died with it, which the
/// provider cannot tell. A story that such a loss explains is one of those that may have been.
fn otherwise(
    steps: &[Vec<Attempt>],
    kills: &[u64],
    of: &impl Fn(&[Vec<Attempt>]) -> Findings,
) -> Option<Findings> {
    // As long as an answer is listened for.
    const JUST_BEFORE: Duration = Duration::from_secs(6);
    const MOST: usize = 4;
    let died = |attempt: &Attempt| {
        kills.iter().any(|kill| {
            let before = kill.checked_sub(attempt.at.at_us);
            before.is_some_and(|before| Duration::from_micros(before) < JUST_BEFORE)
        })
    };
    let places: Vec<(usize, usize)> = steps
        .iter()
        .enumerate()
        .flat_map(|(n, attempts)| (0..attempts.len()).map(move |k| (n, k)))
        .filter(|(n, k)| died(&steps[*n][*k]))
        .take(MOST)
        .collect();
    (1..1_u32 << places.len()).find_map(|lost| {
        let mut steps = steps.to_vec();
        for (bit, (n, k)) in places.iter().enumerate() {
            if lost >> bit & 1 == 1 {
                steps[*n][*k].unheard();
            }
        }
        Some(of(&steps)).filter(Findings::is_clean)
    })
}

fn show(moment: Moment) -> String {
    let seconds = Duration::from_micros(moment.at_us).as_secs_f64();
    format!("#{} ({seconds:.3} s)", moment.tick)
}

fn posts_while_paused(log: &Log, pauses: &[Pause]) -> Vec<String> {
    let mut found = Vec::new();
    for post in &log.posts {
        let paused = pauses.iter().find(|pause| {
            post.template() == Some(pause.template.as_str())
                && (pause.from..pause.until).contains(&post.moment.tick)
        });
        if let Some(pause) = paused {
            found.push(format!(
                "{} was posted at {} with template {}, paused from #{} to #{}",
                post.text().unwrap_or("a message"),
                show(post.moment),
                pause.template,
                pause.from,
                pause.until
            ));
        }
    }
    found
}

/// Templates that were paused at any time: by hand, or because what they held was dropped.
pub fn touched_templates<'a>(log: &'a Log, pauses: &'a [Pause]) -> HashSet<&'a str> {
    const PAUSED: Option<i64> = Some(132_015);
    let failed = log.statuses.iter().filter(|status| status.code == PAUSED);
    let failed: HashSet<&str> = failed.map(|status| status.wamid.as_str()).collect();
    let posts = log.posts.iter().filter(|post| {
        let dropped = post.wamid.as_deref().is_some_and(|w| failed.contains(w));
        post.code == PAUSED || dropped
    });
    let paused = pauses.iter().map(|pause| pause.template.as_str());
    posts
        .filter_map(|post| post.template())
        .chain(paused)
        .collect()
}

#[cfg(test)]
mod tests;
