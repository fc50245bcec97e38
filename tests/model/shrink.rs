//! Makes the history of a failure smaller, as long as it fails in the same way: halves of what
//! happens are left out, then quarters, at last single messages and fates. No run of a history is
//! like another, so each is given several.

use std::time::{Duration, Instant};

use crate::examine::{Failure, examine};
use crate::history::History;
use crate::mask::{Mask, Part};
use crate::world::World;

/// How long this may take; what is reached by then is shown.
const LIMIT: Duration = Duration::from_secs(90);
/// How often the whole history is run to see that it fails again.
const TRIES: u32 = 20;
/// Beyond it a failure that comes seldom takes too long.
const MOST_RUNS: u32 = 12;
/// What one that is not coming to rest is waited for meanwhile.
const PATIENCE: Duration = Duration::from_secs(4);

/// The smallest history that was found to fail as this one did.
pub async fn shrink(world: &mut World, failure: Failure) -> Failure {
    let patience = std::mem::replace(&mut world.patience, PATIENCE);
    let mut shrinking = Shrinking {
        until: world.clock.monotonic() + LIMIT,
        world,
        smallest: failure,
        runs: 0,
    };
    shrinking.run().await;
    let Shrinking {
        world, smallest, ..
    } = shrinking;
    world.patience = patience;
    smallest
}

struct Shrinking<'a> {
    world: &'a mut World,
    until: Instant,
    smallest: Failure,
    /// How often one that does not fail is run.
    runs: u32,
}

impl Shrinking<'_> {
    async fn run(&mut self) {
        let mask = self.smallest.mask.clone();
        let Some(took) = self.fails(&mask, TRIES).await else {
            eprintln!("seed {}: it did not fail again", self.smallest.seed);
            return;
        };
        self.runs = (3 * took).min(MOST_RUNS);
        let mut left = History::of(self.smallest.seed).parts();
        left.retain(|part| mask.and(&[*part]) != mask);
        let mut size = left.len().div_ceil(2);
        loop {
            let before = left.len();
            self.pass(&mut left, size).await;
            let is_done = size == 1 && left.len() == before;
            if is_done || self.is_over() {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    /// Tries to do without each so many parts in turn, the last first: what comes after the failure
    /// is easily missed.
    async fn pass(&mut self, left: &mut Vec<Part>, size: usize) {
        let mut end = left.len();
        while end > 0 && !self.is_over() {
            let begin = end.saturating_sub(size);
            let mask = self.smallest.mask.and(&left[begin..end]);
            if self.fails(&mask, self.runs).await.is_some() {
                left.drain(begin..end);
            }
            end = begin;
        }
    }

    /// After how many runs it failed in the same way, if it did.
    async fn fails(&mut self, mask: &Mask, runs: u32) -> Option<u32> {
        for run in 1..=runs {
            if let Some(failure) = examine(self.world, self.smallest.seed, mask).await
                && failure.is_like(&self.smallest)
            {
                self.smallest = failure;
                return Some(run);
            }
            if self.is_over() {
                return None;
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        self.world.clock.monotonic() > self.until
    }
}
