//! The proof: what the simulator saw, held against the manifest. Nothing the service says counts
//! here, except where the question is whether it knows what it should know. Pure, so that its
//! tests can show that it finds each kind of violation.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use super::history::{Attempt, History, Log, Moment, Outcome, Rules, Verdict, rank, verdict};
use super::manifest::{Manifest, Planned, Step};

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

/// Holds the log against the manifest. `end` is a moment after which nothing happened.
pub fn check(
    manifest: &Manifest,
    log: &Log,
    pauses: &[Pause],
    told: &Told,
    rules: &Rules,
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
        let story = Story {
            planned,
            steps: &history.steps[s],
            rules,
            end,
        };
        for n in 0..planned.steps.len() {
            story.order(n, &mut findings.order);
            story.duplicates(n, &mut findings);
            story.latency(n, &touched, &mut findings.latencies);
        }
        let told_sequence = told.sequences.get(s).and_then(Option::as_ref);
        story.completeness(told_sequence, &mut findings.lost);
        story.knowledge(told_sequence, told, &mut findings.lost);
    }
    findings
}

/// One sequence: what was planned and what the provider saw of it.
#[derive(Debug, Clone, Copy)]
struct Story<'a> {
    planned: &'a Planned,
    steps: &'a [Vec<Attempt>],
    rules: &'a Rules,
    end: Moment,
}

impl Story<'_> {
    fn step(&self, n: usize) -> &Step {
        &self.planned.steps[n]
    }

    fn verdict(&self, n: usize, now: Moment) -> Verdict {
        verdict(self.planned, self.step(n), &self.steps[n], now, self.rules)
    }

    /// No step before the one in front of it has passed its gate, or its policy let it by.
    fn order(&self, n: usize, found: &mut Vec<String>) {
        let Some(before) = n.checked_sub(1) else {
            return;
        };
        for attempt in &self.steps[n] {
            let verdict = self.verdict(before, attempt.at);
            if verdict != Verdict::Passed {
                found.push(format!(
                    "{} message {} was posted at {} while message {before_n} was {verdict:?} \
                     (gate `{}`): {}",
                    self.name(),
                    n + 1,
                    show(attempt.at),
                    self.step(before).gate.as_str(),
                    self.tell(before),
                    before_n = before + 1,
                ));
            }
        }
    }

    /// No new attempt that the policy does not ask for. One after a message that was taken may
    /// reach the user twice; one after a refusal is only against the rules.
    fn duplicates(&self, n: usize, findings: &mut Findings) {
        for (k, attempt) in self.steps[n].iter().enumerate().skip(1) {
            let verdict = self.verdict(n, attempt.at);
            if verdict == Verdict::Again {
                continue;
            }
            let taken = self.steps[n][..k].iter().any(Attempt::is_taken);
            let found = match taken {
                true => &mut findings.duplicates,
                false => &mut findings.order,
            };
            found.push(format!(
                "{} message {} was posted again at {} while it was {verdict:?}: {}",
                self.name(),
                n + 1,
                show(attempt.at),
                self.tell(n),
            ));
        }
    }

    /// Every step that should have been posted was, and the service drew the same conclusion.
    fn completeness(&self, told: Option<&ToldSequence>, found: &mut Vec<String>) {
        let stuck = (0..self.steps.len())
            .map(|n| (n, self.verdict(n, self.end)))
            .find(|(_, verdict)| *verdict != Verdict::Passed);
        let expected = match stuck {
            None => "completed",
            Some((n, Verdict::Unposted)) => {
                let why = format!("{} message {} was never posted", self.name(), n + 1);
                return found.push(format!("{why}, though all before it passed"));
            }
            Some((n, Verdict::Again)) => {
                return found.push(format!(
                    "{} message {} was never posted again: {}",
                    self.name(),
                    n + 1,
                    self.tell(n)
                ));
            }
            Some((_, Verdict::Ended)) => "stopped",
            Some((_, Verdict::Held)) => "held",
            Some((_, Verdict::Waiting | Verdict::Passed)) => "running",
        };
        let status = told.map_or("unknown", |told| told.status.as_str());
        if status != expected {
            let at = stuck.map_or(self.steps.len() - 1, |(n, _)| n);
            found.push(format!(
                "{} is `{status}` and should be `{expected}`; message {}: {}",
                self.name(),
                at + 1,
                self.tell(at)
            ));
        }
    }

    /// The service knows every message that the provider took, as the step it is, and at least
    /// what the provider said of it last.
    fn knowledge(&self, sequence: Option<&ToldSequence>, told: &Told, found: &mut Vec<String>) {
        for (n, attempts) in self.steps.iter().enumerate() {
            for (k, attempt) in attempts.iter().enumerate() {
                let Outcome::Taken { wamid, .. } = &attempt.outcome else {
                    continue;
                };
                let is_last = k + 1 == attempts.len();
                let missing = match told.messages.get(wamid) {
                    None => Some("the service does not know it".to_owned()),
                    // Nothing the provider said names the attempt: it can only be a stranger.
                    Some(_) if attempt.is_silent(self.end) => None,
                    Some(message) => self.gap(n, attempt, is_last, sequence, message),
                };
                if let Some(missing) = missing {
                    found.push(format!(
                        "{} message {}, {wamid}: {missing}; {}",
                        self.name(),
                        n + 1,
                        self.tell(n)
                    ));
                }
            }
        }
    }

    fn gap(
        &self,
        n: usize,
        attempt: &Attempt,
        is_last: bool,
        sequence: Option<&ToldSequence>,
        message: &ToldMessage,
    ) -> Option<String> {
        let place = sequence.map(|sequence| (sequence.id.clone(), n + 1));
        if message.place != place {
            let shown = message.place.as_ref();
            return Some(match shown {
                Some((id, position)) => format!("shown as message {position} of {id}"),
                None => "shown as a stranger's".to_owned(),
            });
        }
        let (said, shown) = (attempt.rank(self.end), rank(&message.status).unwrap_or(0));
        let too_low = match (attempt.failure(self.end), is_last) {
            (Some(_), true) => message.status != "failed" && shown < DELIVERED,
            // What was only sent may have been followed by another attempt.
            (Some(_), false) => false,
            (None, false) => said >= DELIVERED && shown < said,
            (None, true) => shown < said,
        };
        too_low.then(|| format!("shown as `{}`", message.status))
    }

    fn latency(&self, n: usize, touched: &HashSet<&str>, latencies: &mut Vec<Duration>) {
        let waits_for_template = self.step(n).template.is_some_and(|t| touched.contains(t));
        let (Some(before), false) = (n.checked_sub(1), waits_for_template) else {
            return;
        };
        let gate = self.step(before).gate;
        let opened = self.steps[before].iter().filter_map(|a| a.reached_at(gate));
        let opened = opened.min_by_key(|moment| moment.tick);
        if let (Some(opened), Some(posted)) = (opened, self.steps[n].first())
            && opened.tick < posted.at.tick
        {
            latencies.push(posted.at.since(opened));
        }
    }

    fn name(&self) -> String {
        format!("{} (to {})", self.planned.reference, self.planned.to)
    }

    /// What the provider saw of a step, in one line.
    fn tell(&self, n: usize) -> String {
        let attempts = self.steps[n].iter().map(|attempt| {
            let outcome = match &attempt.outcome {
                Outcome::Taken { lost: false, .. } => "accepted".to_owned(),
                Outcome::Taken { lost: true, .. } => "accepted, answer lost".to_owned(),
                Outcome::Refused { code } => format!("refused {code}"),
            };
            let said = attempt.statuses.iter().map(|said| {
                let code = said.code.map(|code| format!(" {code}")).unwrap_or_default();
                format!(", {}{code} at {}", said.status, show(said.moment))
            });
            let said: String = said.collect();
            format!("{outcome} at {}{said}", show(attempt.at))
        });
        let attempts: Vec<String> = attempts.collect();
        match attempts.is_empty() {
            true => "never posted".to_owned(),
            false => attempts.join("; "),
        }
    }
}

const DELIVERED: u8 = 3;

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
fn touched_templates<'a>(log: &'a Log, pauses: &'a [Pause]) -> HashSet<&'a str> {
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
