//! What becomes of a message: whether it is refused, held, or accepted, and which statuses are
//! posted when. Pure: a fate follows from the seed, what is said to whom, and how often that was
//! posted before, so it does not depend on the order in which messages arrive.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use super::config::{Delays, Faults};

/// A generator for one decision, named by what it is about. This generator's numbers are the
/// same on every machine and in every release.
pub fn generator(seed: u64, about: &[&[u8]]) -> Xoshiro256PlusPlus {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    for part in about {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    Xoshiro256PlusPlus::from_seed(hash.finalize().into())
}

/// Whether something that happens at `rate` happens now. Always draws exactly once: turning one
/// fault on leaves the fates of the others as they were.
pub fn happens(rng: &mut impl Rng, rate: f64) -> bool {
    rng.random::<f64>() < rate
}

/// All that will become of one POST.
#[derive(Debug, Clone, PartialEq)]
pub struct Fate {
    /// Not accepted at all.
    pub refusal: Option<Refusal>,
    /// Accepted, but the sender never learns it from the answer.
    pub lost_answer: bool,
    /// The answer waits for the first webhook.
    pub answer_late: bool,
    /// How long the answer takes otherwise.
    pub answer_after: Duration,
    /// Held for quality assessment, if it uses a template.
    pub held: bool,
    /// The user has had enough marketing, if it uses a template.
    pub enough_marketing: bool,
    /// What webhooks say about it, in the order in which it happens.
    pub steps: Vec<Step>,
}

/// Why a POST is refused although nothing is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    RateLimited,
    SomethingWentWrong,
    Unavailable,
}

/// One status of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub status: &'static str,
    /// When it happens, after acceptance: the webhook's timestamp.
    pub after: Duration,
    /// When it is posted, after acceptance. Later than `after` in case of disorder.
    pub posted_after: Duration,
    /// When it is posted a second time.
    pub repeated_after: Option<Duration>,
    /// Whether it carries the caller's `biz_opaque_callback_data`.
    pub callback: bool,
    /// Whether it carries `pricing`; one step of a message does.
    pub pricing: bool,
    /// Whether it carries `conversation`, which only API versions before v24 have.
    pub conversation: bool,
}

impl Fate {
    /// The same, but nothing comes of the message: it is accepted and fails.
    pub fn doomed(mut self) -> Self {
        let after = self
            .steps
            .first()
            .map_or(Duration::ZERO, |first| first.after);
        self.steps = vec![step("failed", after)];
        self.held = false;
        self
    }
}

/// The fate of a POST; see the module for what `rng` must be made of.
pub fn decide(rng: &mut impl Rng, faults: &Faults, delays: &Delays) -> Fate {
    let rate_limited = happens(rng, faults.rate_limited);
    let transient = happens(rng, faults.refuse_transient);
    let answers_500 = rng.random::<bool>();
    let refusal = match (rate_limited, transient, answers_500) {
        (true, _, _) => Some(Refusal::RateLimited),
        (_, true, true) => Some(Refusal::SomethingWentWrong),
        (_, true, false) => Some(Refusal::Unavailable),
        (_, false, _) => None,
    };
    Fate {
        refusal,
        lost_answer: happens(rng, faults.lost_answer),
        answer_late: happens(rng, faults.answer_late),
        answer_after: delays.answer_ms.draw(rng),
        held: happens(rng, faults.held),
        steps: steps(rng, faults, delays),
        enough_marketing: happens(rng, faults.enough_marketing),
    }
}

fn steps(rng: &mut impl Rng, faults: &Faults, delays: &Delays) -> Vec<Step> {
    let fails = happens(rng, faults.fail_permanent);
    let callback_on_failed = !happens(rng, faults.drop_callback_on_failed);
    let read_at_once = happens(rng, faults.read_without_delivered);
    let never_read = happens(rng, faults.no_read);
    let sent = delays.sent_ms.draw(rng);
    let delivered = sent + delays.delivered_ms.draw(rng);
    let read = delivered + delays.read_ms.draw(rng);

    let mut steps = if fails {
        vec![step("failed", sent)]
    } else if read_at_once {
        vec![step("sent", sent), step("read", delivered)]
    } else if never_read {
        vec![step("sent", sent), step("delivered", delivered)]
    } else {
        vec![
            step("sent", sent),
            step("delivered", delivered),
            step("read", read),
        ]
    };
    let has_conversation = happens(rng, 0.2);
    let priced = usize::from(rng.random::<bool>());
    if fails {
        steps[0].callback = callback_on_failed;
    } else {
        steps[0].conversation = has_conversation;
        steps[priced].pricing = true;
    }
    disorder(rng, faults, &mut steps);
    for step in &mut steps {
        let repeats = happens(rng, faults.duplicate);
        let after = step.posted_after + jitter(rng);
        step.repeated_after = repeats.then_some(after);
    }
    steps
}

fn step(status: &'static str, after: Duration) -> Step {
    Step {
        status,
        after,
        posted_after: after,
        repeated_after: None,
        callback: true,
        pricing: false,
        conversation: false,
    }
}

/// Posts one status after the one that follows it. It keeps its timestamp: Meta's lateness is on
/// the way to us, not in what happened.
fn disorder(rng: &mut impl Rng, faults: &Faults, steps: &mut [Step]) {
    let happens = happens(rng, faults.disorder);
    let which = rng.random::<bool>();
    let late = jitter(rng);
    if happens && steps.len() > 1 {
        let first = if which { 0 } else { steps.len() - 2 };
        steps[first].posted_after = steps[first + 1].posted_after + late;
    }
}

/// Long enough to end up in another body often, short enough not to delay a run.
fn jitter(rng: &mut impl Rng) -> Duration {
    Duration::from_millis(rng.random_range(1..=60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate_of(seed: u64, content: &str, faults: &Faults) -> Fate {
        let mut rng = generator(seed, &[content.as_bytes()]);
        decide(&mut rng, faults, &Delays::default())
    }

    fn said(fate: &Fate) -> Vec<&'static str> {
        let mut steps: Vec<&Step> = fate.steps.iter().collect();
        steps.sort_by_key(|s| s.posted_after);
        steps.iter().map(|s| s.status).collect()
    }

    #[test]
    fn the_same_seed_and_content_have_the_same_fate_and_others_do_not() {
        let faults = Faults {
            fail_permanent: 0.5,
            disorder: 0.5,
            ..Faults::default()
        };
        let fates = |seed| -> Vec<Fate> {
            (0..100)
                .map(|n| fate_of(seed, &n.to_string(), &faults))
                .collect()
        };
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
        let failed = fates(7)
            .iter()
            .filter(|f| f.steps[0].status == "failed")
            .count();
        assert!((30..70).contains(&failed), "{failed}");
    }

    #[test]
    fn turning_one_fault_on_leaves_the_rest_of_a_fate_as_it_was() {
        let calm = fate_of(1, "a", &Faults::default());
        let repeated = fate_of(
            1,
            "a",
            &Faults {
                duplicate: 1.0,
                ..Faults::default()
            },
        );
        assert_eq!(said(&calm), ["sent", "delivered", "read"]);
        for (step, other) in calm.steps.iter().zip(&repeated.steps) {
            assert_eq!(step.posted_after, other.posted_after);
            assert!(other.repeated_after > Some(other.posted_after));
        }
    }

    #[test]
    fn disorder_posts_late_what_happened_early() {
        let faults = Faults {
            disorder: 1.0,
            ..Faults::default()
        };
        for n in 0..50 {
            let fate = fate_of(3, &n.to_string(), &faults);
            assert_ne!(said(&fate), ["sent", "delivered", "read"]);
            assert!(fate.steps.is_sorted_by_key(|s| s.after));
        }
    }

    #[test]
    fn exactly_one_status_is_priced_and_none_that_failed() {
        for n in 0..50 {
            let fate = fate_of(4, &n.to_string(), &Faults::default());
            assert_eq!(fate.steps.iter().filter(|s| s.pricing).count(), 1);
        }
        let fails = Faults {
            fail_permanent: 1.0,
            ..Faults::default()
        };
        let fate = fate_of(4, "x", &fails);
        assert_eq!(said(&fate), ["failed"]);
        assert!(!fate.steps[0].pricing);
    }
}
