//! What the demo is going to ask for, decided from the seed before anything starts: the checker
//! is given this, so that nothing the service says can change what should have happened.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::model::sequence::{GateStatus, OnDeadline, OnFailure, OnUnknown};

/// The template that is paused and unpaused in mid-flight.
pub const PAUSED_TEMPLATE: &str = "spring_offer";
/// The language of all templates.
pub const LANGUAGE: &str = "en_GB";
const TEMPLATES: [&str; 5] = [
    PAUSED_TEMPLATE,
    "order_ready",
    "order_shipped",
    "visit_reminder",
    "survey_invite",
];
/// How many messages carry no template: no pause can touch them.
const WITHOUT_TEMPLATE: f64 = 0.3;
/// How many gates wait for `read`. Read receipts can be off, so those have a short deadline.
const READ_GATES: f64 = 0.15;
const DEADLINE: Duration = Duration::from_secs(24 * 3600);
/// Names that come out right only if nobody on the way takes bytes for characters.
const NAMES: [&str; 6] = [
    "Zoë",
    "Łukasz",
    "Ünal 🚀",
    "李小龙",
    "Мария",
    "नमस्ते \"Ana\"",
];

/// Everything that is going to be sent.
#[derive(Debug, Clone)]
pub struct Manifest {
    pub sequences: Vec<Planned>,
}

/// One sequence.
#[derive(Debug, Clone)]
pub struct Planned {
    pub reference: String,
    /// The sender's `phone_number_id`.
    pub sender: String,
    pub to: String,
    pub on_failure: OnFailure,
    pub steps: Vec<Step>,
}

/// One message of a sequence.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it says: no two messages say the same, so that the simulator's log tells whose a
    /// POST was.
    pub text: String,
    pub template: Option<&'static str>,
    pub gate: GateStatus,
    pub deadline: Duration,
    pub on_deadline: OnDeadline,
    pub on_unknown: OnUnknown,
}

impl Manifest {
    /// The same seed and senders give the same manifest.
    pub fn make(seed: u64, sequences: usize, senders: &[String], read_deadline: Duration) -> Self {
        let mut author = Author::new(seed, read_deadline);
        Self {
            sequences: (0..sequences).map(|_| author.plan(senders)).collect(),
        }
    }

    pub fn messages(&self) -> usize {
        self.sequences.iter().map(|s| s.steps.len()).sum()
    }
}

/// Makes up sequences, one after the other.
#[derive(Debug)]
pub struct Author {
    rng: Xoshiro256PlusPlus,
    written: usize,
    read_deadline: Duration,
}

impl Author {
    pub fn new(seed: u64, read_deadline: Duration) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            written: 0,
            read_deadline,
        }
    }

    /// The next sequence, each to a recipient of its own.
    pub fn plan(&mut self, senders: &[String]) -> Planned {
        let number = self.written;
        self.written += 1;
        let steps = self.rng.random_range(3..=5);
        Planned {
            reference: format!("demo-{number:04}"),
            sender: senders[number % senders.len()].clone(),
            to: format!("447700{}", 900_000 + number),
            on_failure: pick(
                &mut self.rng,
                &[OnFailure::Stop, OnFailure::Skip, OnFailure::Retry],
            ),
            steps: (1..=steps).map(|n| self.step(number, n)).collect(),
        }
    }

    fn step(&mut self, sequence: usize, n: usize) -> Step {
        let rng = &mut self.rng;
        let name = pick(rng, &NAMES);
        let template = pick(rng, &TEMPLATES);
        let plain = rng.random::<f64>() < WITHOUT_TEMPLATE;
        let read = rng.random::<f64>() < READ_GATES;
        let resend = rng.random::<f64>() < 0.1;
        let (gate, deadline, on_deadline) = match read {
            true => (GateStatus::Read, self.read_deadline, OnDeadline::Skip),
            false => (GateStatus::Delivered, DEADLINE, OnDeadline::Stop),
        };
        Step {
            text: format!("{name}: № {sequence:04}·{n}"),
            template: (!plain).then_some(template),
            gate,
            deadline,
            on_deadline,
            on_unknown: match resend {
                true => OnUnknown::Resend,
                false => OnUnknown::Hold,
            },
        }
    }
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    from[rng.random_range(0..from.len())]
}

/// All templates, for registering them.
pub fn templates() -> impl Iterator<Item = &'static str> {
    TEMPLATES.into_iter()
}

impl Planned {
    /// As the API takes it, through the sender of this id.
    pub fn to_json(&self, sender: &str) -> Value {
        json!({
            "sender": sender,
            "to": self.to,
            "reference": self.reference,
            "on_failure": self.on_failure,
            "messages": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
        })
    }
}

impl Step {
    fn to_json(&self) -> Value {
        let mut message = match self.template {
            Some(name) => json!({
                "type": "template",
                "template": {
                    "name": name,
                    "language": {"code": LANGUAGE},
                    "components": [{
                        "type": "body",
                        "parameters": [{"type": "text", "text": self.text}],
                    }],
                },
            }),
            None => json!({"type": "text", "text": {"body": self.text}}),
        };
        message["gate"] = json!({
            "status": self.gate,
            "deadline": format!("{}s", self.deadline.as_secs()),
            "on_deadline": self.on_deadline,
        });
        message["on_unknown"] = json!(self.on_unknown);
        message
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_messages_say_the_same_and_a_seed_tells_one_story() {
        let senders = ["1".to_owned(), "2".to_owned()];
        let make = |seed| Manifest::make(seed, 300, &senders, Duration::from_secs(4));
        let manifest = make(7);
        let texts = |m: &Manifest| -> Vec<String> {
            let steps = m.sequences.iter().flat_map(|s| &s.steps);
            steps.map(|step| step.text.clone()).collect()
        };
        let distinct: HashSet<String> = texts(&manifest).into_iter().collect();
        assert_eq!(distinct.len(), manifest.messages());
        assert_eq!(texts(&manifest), texts(&make(7)));
        assert_ne!(texts(&manifest), texts(&make(8)));
        assert!(
            manifest
                .sequences
                .iter()
                .all(|s| (3..=5).contains(&s.steps.len()))
        );
    }
}
