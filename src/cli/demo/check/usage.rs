//! How much of the rate was used while there was work. Work waits from the moment the provider
//! began to say what opened a message's gate until that message is posted. What waits for its
//! template, or is the first of its sequence (when it was asked for the provider cannot tell), does
//! not count as work, though its POST counts as use.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::super::history::{History, Log};
use super::super::manifest::Manifest;

/// Shorter than this, a stretch says more about when it began than about the rate.
const SHORTEST: Duration = Duration::from_secs(2);
/// A pause between two POSTs longer than this, with a kill in it, is one between two owners.
const OWNERLESS: Duration = Duration::from_millis(800);

/// No longer than this: what takes longer is a fault. A lease of three seconds, and a second to find
/// that it has ended.
const TAKE_OVER: Duration = Duration::from_secs(4);

/// What was used of the configured rate, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Of all stretches in which at least a second's worth of work waited.
    pub posted: u64,
    pub allowed: f64,
    /// Of these the time in which a sender had no owner, since its own was killed.
    pub ownerless: f64,
}

impl Usage {
    /// Whether it says anything.
    pub fn is_measured(&self) -> bool {
        self.allowed > 0.0
    }

    pub fn share(&self) -> f64 {
        self.posted as f64 / self.allowed.max(1.0)
    }

    /// The same, of the time in which a sender had an owner.
    pub fn share_owned(&self) -> f64 {
        self.posted as f64 / (self.allowed - self.ownerless).max(1.0)
    }
}

/// Of all senders. `kills` by the simulator's clock, in microseconds.
pub fn usage(
    manifest: &Manifest,
    log: &Log,
    touched: &HashSet<&str>,
    kills: &[u64],
    messages_per_second: u32,
) -> Usage {
    let history = History::fold(manifest, log);
    let mut posts: HashMap<&str, Vec<u64>> = HashMap::new();
    for post in &log.posts {
        let of_sender = posts.entry(&post.phone_number_id).or_default();
        of_sender.push(post.moment.at_us);
    }
    let mut waits: HashMap<&str, Vec<(u64, u64)>> = HashMap::new();
    for (planned, steps) in manifest.sequences.iter().zip(&history.steps) {
        for n in 1..steps.len() {
            let template = planned.steps[n].template;
            let gate = planned.steps[n - 1].gate;
            let opened = steps[n - 1].iter().filter_map(|a| a.reached_at(gate));
            let opened = opened.map(|moment| moment.at_us).min();
            let posted = steps[n].first().map(|attempt| attempt.at.at_us);
            if let (Some(opened), Some(posted)) = (opened, posted)
                && opened < posted
                && !template.is_some_and(|template| touched.contains(template))
            {
                let of_sender = waits.entry(&planned.sender).or_default();
                of_sender.push((opened, posted));
            }
        }
    }
    let rate = f64::from(messages_per_second);
    let mut usage = Usage::default();
    for (sender, waits) in waits {
        let mut posts = posts.remove(sender).unwrap_or_default();
        posts.sort_unstable();
        for (from, until) in stretches(&waits, messages_per_second as usize) {
            let length = Duration::from_micros(until - from);
            if length < SHORTEST {
                continue;
            }
            let within =
                posts.partition_point(|at| *at < until) - posts.partition_point(|at| *at < from);
            usage.posted += within as u64;
            usage.allowed += length.as_secs_f64() * rate;
            let gaps = posts
                .windows(2)
                .map(|gap| (gap[0].max(from), gap[1].min(until)));
            let long = gaps.filter(|(from, until)| {
                Duration::from_micros(until.saturating_sub(*from)) > OWNERLESS
            });
            let excused = long.filter_map(|(from, until)| {
                let kill = kills.iter().find(|kill| (from..until).contains(*kill))?;
                Some(Duration::from_micros(until - kill).min(TAKE_OVER))
            });
            let ownerless: Duration = excused.sum();
            usage.ownerless += ownerless.as_secs_f64() * rate;
        }
    }
    usage
}

/// When at least so many waited at once.
fn stretches(waits: &[(u64, u64)], enough: usize) -> Vec<(u64, u64)> {
    let opened = waits.iter().map(|(opened, _)| (*opened, 1_i64));
    let posted = waits.iter().map(|(_, posted)| (*posted, -1));
    let mut changes: Vec<(u64, i64)> = opened.chain(posted).collect();
    changes.sort_unstable();
    let enough = i64::try_from(enough).unwrap_or(i64::MAX).max(1);
    let (mut waiting, mut since, mut found) = (0, None, Vec::new());
    for (at, change) in changes {
        waiting += change;
        match since {
            None if waiting >= enough => since = Some(at),
            Some(from) if waiting < enough => {
                found.push((from, at));
                since = None;
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_while_enough_wait() {
        let waits = [(0, 10), (5, 20), (7, 8), (30, 31)];
        assert_eq!(stretches(&waits, 1), [(0, 20), (30, 31)]);
        assert_eq!(stretches(&waits, 2), [(5, 10)]);
        assert_eq!(stretches(&waits, 4), []);
    }

    #[test]
    fn time_without_an_owner_is_told_apart() {
        let usage = Usage {
            posted: 90,
            allowed: 100.0,
            ownerless: 10.0,
        };
        assert_eq!((usage.share(), usage.share_owned()), (0.9, 1.0));
    }
}
