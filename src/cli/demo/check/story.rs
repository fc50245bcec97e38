//! The questions asked of one sequence: was every step due when it was posted, was any posted
//! again without need, did all that should go, and does the service know it.

use std::collections::HashSet;
use std::time::Duration;

use super::super::history::{Attempt, Moment, Outcome, Rules, Verdict, rank, verdict};
use super::super::manifest::{Planned, Step};
use super::{Findings, Told, ToldMessage, ToldSequence, show};

/// The rank of `delivered`.
const DELIVERED: u8 = 3;

/// One sequence: what was planned and what the provider saw of it.
#[derive(Debug, Clone, Copy)]
pub struct Story<'a> {
    pub planned: &'a Planned,
    pub steps: &'a [Vec<Attempt>],
    pub rules: &'a Rules,
    pub kills: &'a [u64],
    pub end: Moment,
}

impl Story<'_> {
    fn step(&self, n: usize) -> &Step {
        &self.planned.steps[n]
    }

    fn verdict(&self, n: usize, now: Moment) -> Verdict {
        verdict(self.planned, self.step(n), &self.steps[n], now, self.rules)
    }

    /// No step before the one in front of it has passed its gate, or its policy let it by.
    pub fn order(&self, n: usize, found: &mut Vec<String>) {
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
    pub fn duplicates(&self, n: usize, findings: &mut Findings) {
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
    pub fn completeness(&self, told: Option<&ToldSequence>, found: &mut Vec<String>) {
        let stuck = (0..self.steps.len())
            .map(|n| (n, self.verdict(n, self.end)))
            .find(|(_, verdict)| *verdict != Verdict::Passed);
        let expected = match stuck {
            None => "completed",
            Some((n, Verdict::Unposted)) if self.died_claimed(n, told) => return,
            Some((n, Verdict::Unposted)) => {
                let before = n.checked_sub(1).map(|n| self.tell(n)).unwrap_or_default();
                return found.push(format!(
                    "{} message {} was never posted, though all before it passed (last: \
                     {before}); the sequence is {:?}",
                    self.name(),
                    n + 1,
                    told.map(|told| &told.status),
                ));
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

    /// A process that was killed may have taken a step and not posted it yet. Nobody else can know
    /// that it did not: the step is unknown, and held for a person.
    fn died_claimed(&self, n: usize, told: Option<&ToldSequence>) -> bool {
        let is_held = told.is_some_and(|told| {
            let message = told.messages.get(n).map(String::as_str);
            told.status == "held" && message == Some("unknown")
        });
        let before = n.checked_sub(1).and_then(|n| self.steps[n].last());
        let since = before.map_or(0, |attempt| attempt.at.at_us);
        is_held && self.kills.iter().any(|kill| *kill > since)
    }

    /// The service knows every message that the provider took, as the step it is, and at least
    /// what the provider said of it last.
    pub fn knowledge(&self, sequence: Option<&ToldSequence>, told: &Told, found: &mut Vec<String>) {
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

    pub fn latency(&self, n: usize, touched: &HashSet<&str>, latencies: &mut Vec<Duration>) {
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
                Outcome::Unheard => "refused, answer lost".to_owned(),
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
