//! The end of a demo: what happened, what went wrong on purpose, how quick it was, and the
//! proof, which is the last line.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::time::Duration;

use super::api::{Sequence, Stats};
use super::check::{Findings, Usage};
use super::history::{Log, rank};
use super::view::{by_status, list_all};

/// How many violations of each kind, and how many unsettled sequences, are explained.
const EXPLAINED: usize = 5;

/// What was seen of it all.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub sequences: &'a [Sequence],
    pub log: &'a Log,
    pub stats: &'a Stats,
    pub kills: usize,
    /// Of the rate, where the senders were at their limits.
    pub usage: Option<Usage>,
}

/// Everything up to the proof, and the proof.
pub fn write(seen: &Seen<'_>, findings: &Findings) -> String {
    let Seen {
        sequences,
        log,
        stats,
        ..
    } = *seen;
    let mut rows = Rows::default();
    rows.add("messages", list_all(&by_status(sequences)));
    rows.add(
        "sequences",
        list(by_outcome(sequences).iter().map(|(k, n)| (k.as_str(), *n))),
    );
    rows.add(
        "traffic",
        format!(
            "{} posts, {} accepted; {} webhooks, posted {} times",
            stats.posts, stats.accepted, stats.webhooks, stats.webhook_attempts
        ),
    );
    rows.add(
        "above the limits",
        format!(
            "{} posts above the rate, {} above the pair limit",
            stats.violations, stats.pair_violations
        ),
    );
    if let Some(usage) = seen.usage {
        rows.add("rate used", rate_used(&usage, seen.kills));
    }
    let again = stats.webhook_attempts.saturating_sub(stats.webhooks);
    rows.add(
        "duplicates absorbed",
        format!(
            "{} statuses and bodies posted twice, {again} posts of the same body",
            stats.duplicates
        ),
    );
    for (n, line) in faults(log, stats).into_iter().enumerate() {
        rows.add(if n == 0 { "faults" } else { "" }, line);
    }
    rows.add("gate to next post", latency(&findings.latencies));
    for (kind, why) in findings.explained(EXPLAINED) {
        let _ = write!(rows.0, "\n{kind}: {why}");
    }
    format!("{}\n{findings}", rows.0)
}

/// Sequences that should have come to an end and did not.
pub fn unsettled(sequences: &[&Sequence]) -> String {
    let mut text = format!("{} sequences were not settled in time:", sequences.len());
    for sequence in sequences.iter().take(EXPLAINED) {
        let head = sequence.messages.get(sequence.position.saturating_sub(1));
        let head = head.map_or("past its end".to_owned(), |message| {
            let waiting = message.waiting.as_ref();
            let waiting = waiting.map_or(String::new(), |why| format!(", waiting: {why}"));
            format!(
                "message {} is {}{waiting}",
                sequence.position, message.status
            )
        });
        let reference = sequence.reference.as_deref().unwrap_or(&sequence.id);
        let _ = write!(
            text,
            "\n  {reference} ({}) {}: {head}",
            sequence.id, sequence.status
        );
    }
    text
}

#[derive(Default)]
struct Rows(String);

impl Rows {
    fn add(&mut self, name: &str, what: String) {
        let _ = writeln!(self.0, "{name:<20} {what}");
    }
}

fn list<'a>(counts: impl Iterator<Item = (&'a str, usize)>) -> String {
    let parts: Vec<String> = counts.map(|(name, n)| format!("{n} {name}")).collect();
    parts.join(", ")
}

fn by_outcome(sequences: &[Sequence]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for sequence in sequences {
        let outcome = match &sequence.reason {
            Some(reason) => format!("{} ({reason})", sequence.status),
            None => sequence.status.clone(),
        };
        *counts.entry(outcome).or_default() += 1;
    }
    counts
}

fn faults(log: &Log, stats: &Stats) -> Vec<String> {
    let mut said: HashMap<&str, Vec<&str>> = HashMap::new();
    for status in &log.statuses {
        said.entry(&status.wamid).or_default().push(&status.status);
    }
    let stories = || said.values();
    let read_only = stories().filter(|s| s.contains(&"read") && !s.contains(&"delivered"));
    let disordered = stories().filter(|s| !s.is_sorted_by_key(|said| rank(said)));
    let failed = |code| {
        let failed = log.statuses.iter().filter(move |s| s.code == Some(code));
        failed.map(|s| &s.wamid).collect::<HashSet<_>>().len()
    };
    let nameless = log.statuses.iter().filter(|s| !s.callback).count();
    let refused = |code| stats.refused.get(&code).copied().unwrap_or(0);
    vec![
        format!(
            "{} statuses out of order, {} read without delivered, {nameless} failed without our id",
            disordered.count(),
            read_only.count(),
        ),
        format!(
            "{} answers lost, {} late; {} held for quality, {} of them dropped; {} users had \
             enough marketing",
            stats.lost_answers,
            stats.late_answers,
            stats.held_answers,
            failed(132_015),
            failed(131_049),
        ),
        format!(
            "refused: {} in passing (131000, 2), {} rate limit (130429), {} template paused (132015)",
            refused(131_000) + refused(2),
            refused(130_429),
            refused(132_015),
        ),
        format!("{} failed for good (131026)", failed(131_026)),
    ]
}

fn rate_used(usage: &Usage, kills: usize) -> String {
    format!(
        "{:.1} % while at least a second's worth waited ({} of {:.0} messages); {:.1} % without the \
         time between a kill ({kills}) and the next owner",
        usage.share() * 100.0,
        usage.posted,
        usage.allowed,
        usage.share_owned() * 100.0,
    )
}

fn latency(latencies: &[Duration]) -> String {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = |share: f64| {
        let index = (sorted.len() as f64 * share) as usize;
        let latency = sorted.get(index.min(sorted.len().saturating_sub(1)));
        latency.map_or(0.0, |latency| latency.as_secs_f64() * 1_000.0)
    };
    format!(
        "p50 {:.1} ms, p99 {:.1} ms (from the status's first post to the next message's, {} steps \
         of templates never paused)",
        at(0.5),
        at(0.99),
        sorted.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_proof() {
        let findings = Findings {
            lost: vec!["message 2 was never posted".to_owned()],
            latencies: (1..=100).map(Duration::from_millis).collect(),
            ..Findings::default()
        };
        let seen = Seen {
            sequences: &[],
            log: &Log::default(),
            stats: &Stats::default(),
            kills: 0,
            usage: None,
        };
        let text = write(&seen, &findings);
        assert!(
            text.ends_with("\norder violations: 0, duplicates: 0, lost: 1"),
            "{text}"
        );
        assert!(text.contains("lost: message 2 was never posted"), "{text}");
        assert!(text.contains("p50 51.0 ms, p99 100.0 ms"), "{text}");
    }
}
