//! What a run does: sizes out of the environment, everything else out of a seed.

use std::fmt::Debug;
use std::str::FromStr;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};

/// CI's sizes.
const MESSAGES: usize = 150;
const WEBHOOKS: usize = 1_500;
/// From so many messages on it is a long run, with settings as in production.
const LONG: usize = 5_000;
/// The longest sequence.
const STEPS: usize = 9;
/// The part of a run in which trouble begins.
const TROUBLED: std::ops::Range<f64> = 0.03..0.85;

#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    /// How many signed webhooks are to be answered 200, each a body of its own.
    pub webhooks: usize,
    pub messages: usize,
    pub senders: usize,
    pub sequences: Vec<Planned>,
    /// In order.
    pub troubles: Vec<Trouble>,
}

/// A sequence that is asked for.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Its reference. Its messages are `name/0`, `name/1`, …
    pub name: String,
    pub sender: usize,
    pub steps: usize,
    /// With how many of them it is made; the others are appended.
    pub first: usize,
    pub on_failure: OnFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    Stop,
    Skip,
    Retry,
}

impl OnFailure {
    pub fn word(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
            Self::Retry => "retry",
        }
    }
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// When: the part of the run that is done by then.
    pub at: f64,
    pub kind: Kind,
    /// Which one, of several.
    pub which: usize,
    /// How long it lasts.
    pub ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An instance dies by `kill -9`; its supervisor starts another.
    KillInstance,
    /// An instance stands still for longer than its leases hold, and goes on.
    Freeze,
    /// Postgres dies by `kill -9`, and is started again.
    KillPostgres,
    /// A connection to Postgres is cut in the middle of whatever it does.
    Cut,
    /// All are.
    CutAll,
    /// Nothing comes through for a while.
    Stall,
    /// Connections that are open hear nothing any more.
    Silence,
    /// A commit stands, and who made it does not hear of it.
    LoseCommit,
}

fn setting<T: FromStr<Err: Debug>>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |value| value.parse().expect(name))
}

impl Plan {
    pub fn from_environment() -> Self {
        let messages = setting("TWOTICK_CHAOS_MESSAGES", MESSAGES);
        let webhooks = setting("TWOTICK_CHAOS_WEBHOOKS", WEBHOOKS);
        let random = u32::from_le_bytes(twotick::clock::random());
        Self::make(
            setting("TWOTICK_CHAOS_SEED", random.into()),
            messages,
            webhooks,
        )
    }

    fn make(seed: u64, messages: usize, webhooks: usize) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let senders = if messages < LONG { 6 } else { 12 };
        let (mut sequences, mut planned) = (Vec::new(), 0);
        while planned < messages {
            let steps = rng.random_range(1..=STEPS).min(messages - planned);
            planned += steps;
            let policies = [OnFailure::Stop, OnFailure::Skip, OnFailure::Retry];
            sequences.push(Planned {
                name: format!("s{}", sequences.len()),
                sender: rng.random_range(0..senders),
                steps,
                first: rng.random_range(1..=steps),
                on_failure: *policies.choose(&mut rng).unwrap(),
            });
        }
        Self {
            seed,
            webhooks,
            messages,
            senders,
            sequences,
            troubles: troubles(&mut rng, webhooks),
        }
    }

    pub fn is_long(&self) -> bool {
        self.messages >= LONG
    }

    /// Webhooks under way at once: group commit makes many of them cheap.
    pub fn posters(&self) -> usize {
        if self.is_long() { 384 } else { 48 }
    }

    /// How long one stands still that is frozen.
    pub fn freeze_ms(&self) -> u64 {
        if self.is_long() { 6_000 } else { 3_500 }
    }

    /// The command that runs it again.
    pub fn replay(&self) -> String {
        format!(
            "TWOTICK_CHAOS_SEED={} TWOTICK_CHAOS_MESSAGES={} TWOTICK_CHAOS_WEBHOOKS={} \
             cargo test --test chaos",
            self.seed, self.messages, self.webhooks
        )
    }
}

fn troubles(rng: &mut Xoshiro256PlusPlus, webhooks: usize) -> Vec<Trouble> {
    let times = |least: usize, one_in: usize| least.max(webhooks / one_in);
    let kinds = [
        (Kind::KillInstance, times(5, 12_500)),
        (Kind::Freeze, times(1, 25_000)),
        (Kind::KillPostgres, times(5, 25_000)),
        (Kind::Cut, times(10, 5_000)),
        (Kind::CutAll, times(1, 50_000)),
        (Kind::Stall, times(1, 50_000)),
        (Kind::Silence, times(1, 100_000)),
        (Kind::LoseCommit, times(5, 10_000)),
    ];
    let mut troubles = Vec::new();
    for (kind, times) in kinds {
        for _ in 0..times {
            troubles.push(Trouble {
                at: rng.random_range(TROUBLED),
                kind,
                which: rng.random_range(0..1_000),
                ms: rng.random_range(0..600),
            });
        }
    }
    troubles.shuffle(rng);
    troubles.sort_by(|a, b| a.at.total_cmp(&b.at));
    troubles
}
