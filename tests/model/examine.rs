//! One run of a history, and what the reference says of it.

use std::collections::BTreeSet;
use std::fmt;

use crate::history::History;
use crate::mask::Mask;
use crate::reference::Reference;
use crate::run::Run;
use crate::seen::Seen;
use crate::world::World;

/// A run that the reference does not allow, in words.
#[derive(Debug)]
pub struct Failure {
    pub seed: u64,
    pub mask: Mask,
    wrong: Vec<String>,
    history: String,
    told: String,
}

/// Runs what the mask leaves of a history.
pub async fn examine(world: &mut World, seed: u64, mask: &Mask) -> Option<Failure> {
    let history = History::of(seed).without(mask);
    let mut run = Run::begin(world, &history).await;
    run.run().await;
    let seen = Seen::read(&mut run).await;
    let place = run.place;
    let story = std::mem::take(&mut run.story);
    let log = std::mem::take(&mut *run.world.provider.log());
    world.end(&place).await;
    let reference = Reference {
        history: &history,
        log: &log,
        story: &story,
        seen: &seen,
        wrong: Vec::new(),
    };
    let wrong = reference.judge();
    (!wrong.is_empty()).then(|| Failure {
        seed,
        mask: mask.clone(),
        wrong,
        history: history.to_string(),
        told: story.told(&log),
    })
}

impl Failure {
    /// Whether something is wrong in the same way; ids, numbers and times do not matter.
    pub fn is_like(&self, other: &Self) -> bool {
        !self.kinds().is_disjoint(&other.kinds())
    }

    fn kinds(&self) -> BTreeSet<String> {
        let words = |what: &String| {
            let words = what.split(|c: char| !c.is_alphanumeric());
            let words = words.filter(|word| word.chars().all(char::is_alphabetic));
            words.take(12).collect::<Vec<_>>().join(" ")
        };
        self.wrong.iter().map(words).collect()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seed,
            mask,
            wrong,
            history,
            told,
        } = self;
        let wrong = wrong.join("\n  ");
        writeln!(
            f,
            "seed {seed}: what the reference does not allow:\n  {wrong}\n"
        )?;
        writeln!(f, "the history:\n{history}\nwhat happened:\n{told}")?;
        write!(f, "replay: TWOTICK_SEED={seed} ")?;
        if !mask.is_empty() {
            write!(f, "TWOTICK_WITHOUT={mask} ")?;
        }
        writeln!(f, "cargo test --test model")
    }
}
