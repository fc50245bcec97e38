//! What the provider saw of each message, folded from the simulator's log, and what the
//! message's policy says of that. The policy is written down here a second time: the checker
//! must not trust the code it checks. Pure; called by `check`.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::manifest::{Manifest, Planned, Step};
use crate::model::sequence::{GateStatus, OnDeadline, OnFailure, OnUnknown};

/// A point in the simulator's order of things, and how long after its start that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Moment {
    pub tick: u64,
    pub at_us: u64,
}

impl Moment {
    /// How long after `earlier` this was.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.at_us.saturating_sub(earlier.at_us))
    }
}

/// The simulator's log, as `/_control/log` tells it.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Log {
    pub posts: Vec<Post>,
    pub statuses: Vec<Status>,
    pub next_tick: u64,
    /// When this was read, in microseconds since the simulator's start.
    #[serde(default)]
    pub now_us: u64,
}

/// A POST that reached the provider.
#[derive(Debug, Clone, Deserialize)]
pub struct Post {
    #[serde(flatten)]
    pub moment: Moment,
    pub phone_number_id: String,
    pub to: Option<String>,
    pub body: Option<Value>,
    pub outcome: String,
    pub wamid: Option<String>,
    pub code: Option<i64>,
}

/// A status, when the provider began to post it.
#[derive(Debug, Clone, Deserialize)]
pub struct Status {
    #[serde(flatten)]
    pub moment: Moment,
    pub wamid: String,
    pub status: String,
    pub code: Option<i64>,
    /// Whether it named our own id.
    pub callback: bool,
}

/// What the service was told about trying again.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Attempts of one message, all told.
    pub attempts: usize,
    /// How long evidence may settle a lost answer.
    pub unknown_after: Duration,
    /// How long a user who has had enough marketing is left alone, the first time.
    pub marketing_wait: Duration,
}

/// One POST of a message and all that was said of it.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub at: Moment,
    pub outcome: Outcome,
    pub statuses: Vec<Status>,
}

/// How the provider answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It took the message; `lost`: its answer never arrived.
    Taken { wamid: String, lost: bool },
    /// It did not.
    Refused { code: i64 },
    /// It did not, and its answer died with the process that it was for.
    Unheard,
}

/// What may happen to a message next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was not posted yet.
    Unposted,
    /// Only time or the provider's word moves it.
    Waiting,
    /// It may be posted again.
    Again,
    /// The next message may go.
    Passed,
    /// The sequence ends here.
    Ended,
    /// A person has to look.
    Held,
}

/// Every message's attempts, by sequence and step of the manifest.
#[derive(Debug)]
pub struct History {
    pub steps: Vec<Vec<Vec<Attempt>>>,
    /// POSTs that the manifest does not have, or not like this.
    pub strangers: Vec<String>,
}

impl History {
    pub fn fold(manifest: &Manifest, log: &Log) -> Self {
        let mut said: HashMap<&str, Vec<Status>> = HashMap::new();
        for status in &log.statuses {
            said.entry(&status.wamid).or_default().push(status.clone());
        }
        let mut places = HashMap::new();
        for (s, sequence) in manifest.sequences.iter().enumerate() {
            for (n, step) in sequence.steps.iter().enumerate() {
                places.insert(step.text.as_str(), (s, n));
            }
        }
        let empty = |planned: &Planned| vec![Vec::new(); planned.steps.len()];
        let mut history = Self {
            steps: manifest.sequences.iter().map(empty).collect(),
            strangers: Vec::new(),
        };
        let mut posts: Vec<&Post> = log.posts.iter().collect();
        posts.sort_by_key(|post| post.moment.tick);
        for post in posts {
            let place = post.text().and_then(|text| places.get(text));
            match place.filter(|(s, _)| manifest.sequences[*s].is_meant_by(post)) {
                Some(&(s, n)) => history.steps[s][n].push(Attempt::of(post, &said)),
                None => history.strangers.push(post.describe()),
            }
        }
        history
    }
}

impl Planned {
    fn is_meant_by(&self, post: &Post) -> bool {
        post.to.as_deref() == Some(self.to.as_str()) && post.phone_number_id == self.sender
    }
}

impl Post {
    /// What the message says.
    pub fn text(&self) -> Option<&str> {
        let body = self.body.as_ref()?;
        let parameter = &body["template"]["components"][0]["parameters"][0]["text"];
        parameter.as_str().or(body["text"]["body"].as_str())
    }

    /// Which template it uses.
    pub fn template(&self) -> Option<&str> {
        self.body.as_ref()?["template"]["name"].as_str()
    }

    fn describe(&self) -> String {
        let (to, text) = (self.to.as_deref(), self.text());
        format!(
            "a message to {} that says {} was posted by {} at tick {}: nobody asked for it",
            to.unwrap_or("nobody"),
            text.unwrap_or("nothing"),
            self.phone_number_id,
            self.moment.tick,
        )
    }
}

impl Attempt {
    fn of(post: &Post, said: &HashMap<&str, Vec<Status>>) -> Self {
        let wamid = post.wamid.as_deref();
        Self {
            at: post.moment,
            outcome: match wamid {
                Some(wamid) => Outcome::Taken {
                    wamid: wamid.to_owned(),
                    lost: post.outcome == "lost_answer",
                },
                None => Outcome::Refused {
                    code: post.code.unwrap_or(0),
                },
            },
            statuses: wamid
                .and_then(|wamid| said.get(wamid))
                .cloned()
                .unwrap_or_default(),
        }
    }

    fn said_before(&self, now: Moment) -> impl Iterator<Item = &Status> {
        self.statuses
            .iter()
            .filter(move |status| status.moment.tick < now.tick)
    }

    /// Whether the provider took the message.
    pub fn is_taken(&self) -> bool {
        matches!(self.outcome, Outcome::Taken { .. })
    }

    /// Its answer never arrived.
    pub fn unheard(&mut self) {
        match &mut self.outcome {
            Outcome::Taken { lost, .. } => *lost = true,
            Outcome::Refused { .. } | Outcome::Unheard => self.outcome = Outcome::Unheard,
        }
    }

    /// The highest rank that was said of it by `now`.
    pub fn rank(&self, now: Moment) -> u8 {
        let said = self.said_before(now).filter_map(|said| rank(&said.status));
        said.max().unwrap_or(u8::from(self.is_taken()))
    }

    /// When the provider began to say that it had come this far.
    pub fn reached_at(&self, gate: GateStatus) -> Option<Moment> {
        if gate == GateStatus::Accepted && self.is_taken() {
            return Some(self.at);
        }
        let far = |said: &&Status| rank(&said.status) >= rank(gate.as_str());
        let reached = self.statuses.iter().filter(far).map(|said| said.moment);
        reached.min_by_key(|moment| moment.tick)
    }

    /// Whether nobody but the provider can know by `now` whether it was taken: its answer was
    /// lost, and nothing that was said of it names our id.
    pub fn is_silent(&self, now: Moment) -> bool {
        matches!(
            self.outcome,
            Outcome::Taken { lost: true, .. } | Outcome::Unheard
        ) && !self.said_before(now).any(|said| said.callback)
    }

    /// When the provider began to say that it had failed.
    fn failed_at(&self, now: Moment) -> Option<Moment> {
        let mut failed = self.said_before(now).filter(|said| said.status == "failed");
        failed.next().map(|said| said.moment)
    }

    /// The code it failed with, as far as the service can know.
    pub fn failure(&self, now: Moment) -> Option<i64> {
        if let Outcome::Refused { code } = self.outcome {
            return Some(code);
        }
        let mut failed = self.said_before(now).filter(|said| said.status == "failed");
        let code = failed.next()?.code.unwrap_or(0);
        (!self.is_silent(now)).then_some(code)
    }
}

/// A status's place in the order of evidence; `failed` stands beside it.
pub fn rank(status: &str) -> Option<u8> {
    match status {
        "accepted" | "held" => Some(1),
        "sent" => Some(2),
        "delivered" => Some(3),
        "read" => Some(4),
        "played" => Some(5),
        _ => None,
    }
}

/// Whether Meta may take the same message later: overload, rate limits, paused templates.
fn may_pass(code: i64) -> bool {
    matches!(code, 1 | 2 | 131_000 | 131_016 | 130_429 | 132_015 | ENOUGH)
}

/// The user has had enough marketing: not before a day has passed, then two, four, seven.
const ENOUGH: i64 = 131_049;

/// How far the clocks of two processes may be apart: each follows the database's by what a round
/// trip tells.
const CLOCKS: Duration = Duration::from_millis(100);

/// Whether this is too soon for a user who has had enough.
fn is_too_soon(attempts: &[Attempt], now: Moment, rules: &Rules) -> bool {
    let enough = |attempt: &&Attempt| attempt.failure(now) == Some(ENOUGH);
    let times = attempts.iter().filter(enough).count();
    let wait = match times {
        0 => return false,
        1..=3 => rules.marketing_wait * (1 << (times - 1)),
        _ => rules.marketing_wait * 7,
    };
    let failed = attempts.last().and_then(|last| last.failed_at(now));
    failed.is_some_and(|failed| now.since(failed) + CLOCKS < wait)
}

/// Whether its template's pause took it down: that is no failure, and it goes again.
fn is_dropped(attempt: &Attempt, now: Moment) -> bool {
    attempt.is_taken() && attempt.failure(now) == Some(132_015)
}

/// What the policy of `step` says just before `now`.
pub fn verdict(
    planned: &Planned,
    step: &Step,
    attempts: &[Attempt],
    now: Moment,
    rules: &Rules,
) -> Verdict {
    let before = attempts.partition_point(|attempt| attempt.at.tick < now.tick);
    let attempts = &attempts[..before];
    let Some(last) = attempts.last() else {
        return Verdict::Unposted;
    };
    let opened = |attempt: &Attempt| {
        let reached = attempt.reached_at(step.gate);
        reached.is_some_and(|reached| reached.tick < now.tick)
    };
    let burned = attempts.iter().filter(|attempt| !is_dropped(attempt, now));
    let more = burned.count() < rules.attempts;
    if attempts.iter().any(opened) {
        Verdict::Passed
    } else if let Some(code) = last.failure(now)
        && !was_overdue(step, attempts, now)
    {
        let again =
            !last.is_taken() || is_dropped(last, now) || planned.on_failure == OnFailure::Retry;
        match planned.on_failure {
            _ if again && code == ENOUGH && more && is_too_soon(attempts, now, rules) => {
                Verdict::Waiting
            }
            _ if again && may_pass(code) && more => Verdict::Again,
            OnFailure::Skip => Verdict::Passed,
            OnFailure::Stop | OnFailure::Retry => Verdict::Ended,
        }
    } else if last.is_silent(now) {
        match step.on_unknown {
            _ if now.since(last.at) < rules.unknown_after => Verdict::Waiting,
            OnUnknown::Resend if more => Verdict::Again,
            OnUnknown::Resend | OnUnknown::Hold => Verdict::Held,
        }
    } else if running_for(attempts, now) >= step.deadline {
        match step.on_deadline {
            OnDeadline::Skip => Verdict::Passed,
            OnDeadline::Stop => Verdict::Ended,
            OnDeadline::Hold => Verdict::Held,
        }
    } else {
        Verdict::Waiting
    }
}

/// Whether the deadline had passed when the last attempt failed: a gate is decided once.
fn was_overdue(step: &Step, attempts: &[Attempt], now: Moment) -> bool {
    let failed = attempts.last().and_then(|last| last.failed_at(now));
    failed.is_some_and(|failed| running_for(attempts, failed) >= step.deadline)
}

/// For how long the gate has been waited for: from each acceptance to the failure that followed
/// it, if one did. The service begins later, when it has the answer; so this is never too short.
fn running_for(attempts: &[Attempt], now: Moment) -> Duration {
    let taken = attempts.iter().filter(|attempt| attempt.is_taken());
    taken
        .map(|attempt| {
            let mut said = attempt.said_before(now);
            let failed = said.find(|said| said.status == "failed");
            failed.map_or(now, |said| said.moment).since(attempt.at)
        })
        .sum()
}
