//! The judge. It knows what the provider saw (what it was asked to send, what it took), what was
//! said to the service and answered 200, and what was promised to callers with a 202; and holds
//! against it what the service says in the end. It uses nothing of the service, and is pure, so
//! that its tests can show that it finds each kind of wrong.

mod sequence;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use crate::feed::Events;
use crate::plan::Planned;
use crate::provider::Post;

/// A status, in the provider's words; also its place in an array of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Sent,
    Delivered,
    Read,
    Failed,
}

/// A status that was said.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// By the provider's clock, in Unix seconds.
    pub at: i64,
    /// When the first webhook with it began to be posted.
    pub begun: Option<Instant>,
    /// Whether a webhook with it was answered 200.
    pub acknowledged: bool,
}

/// When each status happened, in Unix seconds.
pub type Evidence = [Option<i64>; 4];

/// What the service says.
#[derive(Debug, Default)]
pub struct Told {
    /// By reference; more than one is one too many.
    pub sequences: HashMap<String, Vec<ToldSequence>>,
    /// Messages that nobody here asked for, by provider id.
    pub strangers: HashMap<String, Evidence>,
}

#[derive(Debug)]
pub struct ToldSequence {
    pub status: String,
    pub messages: Vec<ToldMessage>,
}

#[derive(Debug)]
pub struct ToldMessage {
    pub name: String,
    pub status: String,
    pub wamid: Option<String>,
    pub evidence: Evidence,
}

/// Everything that is known of a run.
#[derive(Debug)]
pub struct Seen {
    pub sequences: Vec<Planned>,
    /// How many messages of each were answered 202.
    pub promised: Vec<usize>,
    /// In the order in which they came.
    pub posts: Vec<Post>,
    /// What was said, by provider id.
    pub said: HashMap<String, [Option<Said>; 4]>,
    /// What the follower of the feed was told, by provider id.
    pub events: Events,
    pub told: Told,
}

/// What is wrong, each with its explanation.
#[derive(Debug, Default)]
pub struct Findings {
    /// What was acknowledged, and is not there.
    pub lost: Vec<String>,
    /// A message taken twice, or a fact that is there twice, or that nobody stated.
    pub doubled: Vec<String>,
    /// A message that went before the one before it had passed, or that nobody asked for.
    pub order: Vec<String>,
    /// What should have gone on, and did not.
    pub wedged: Vec<String>,
    /// What no part of a run may do.
    pub odd: Vec<String>,
}

impl Word {
    pub const ALL: [Self; 4] = [Self::Sent, Self::Delivered, Self::Read, Self::Failed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
        }
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == word)
    }
}

impl Said {
    pub fn at(at: i64) -> Self {
        Self {
            at,
            begun: None,
            acknowledged: false,
        }
    }
}

impl Findings {
    fn kinds(&self) -> [(&'static str, &Vec<String>); 5] {
        [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("out of order", &self.order),
            ("wedged", &self.wedged),
            ("odd", &self.odd),
        ]
    }

    pub fn is_clean(&self) -> bool {
        self.kinds().iter().all(|(_, found)| found.is_empty())
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, found) in self.kinds() {
            writeln!(f, "{kind}: {}", found.len())?;
            for why in found.iter().take(10) {
                writeln!(f, "    {why}")?;
            }
        }
        Ok(())
    }
}

/// Holds the one against the other.
pub fn check(seen: &Seen) -> Findings {
    let mut found = Findings::default();
    statuses(seen, &mut found);
    strangers(seen, &mut found);
    sequence::all(seen, &mut found);
    found
}

/// The provider ids of messages that nobody here asked for.
pub fn strange<'a>(
    said: &'a HashMap<String, [Option<Said>; 4]>,
    posts: &'a [Post],
) -> impl Iterator<Item = &'a String> {
    let ours: HashSet<&str> = posts
        .iter()
        .filter_map(|post| post.wamid.as_deref())
        .collect();
    said.keys()
        .filter(move |wamid| !ours.contains(wamid.as_str()))
}

/// What was said of a message, as evidence.
fn evidence_of(said: &[Option<Said>; 4]) -> Evidence {
    said.map(|said| said.map(|said| said.at))
}

/// Each status that was answered 200 is one event, and nothing else is.
fn statuses(seen: &Seen, found: &mut Findings) {
    const NOTHING: [u16; 4] = [0; 4];
    for (wamid, said) in &seen.said {
        let events = seen.events.get(wamid).unwrap_or(&NOTHING);
        for word in Word::ALL {
            let (name, times) = (word.as_str(), events[word as usize]);
            match said[word as usize] {
                None if times > 0 => {
                    let why = format!("{wamid} {name} is an event, and nobody said it");
                    found.doubled.push(why);
                }
                Some(said) if !said.acknowledged => {
                    let why = format!("{wamid} {name} was never answered 200");
                    found.wedged.push(why);
                }
                Some(_) if times == 0 => {
                    let why = format!("{wamid} {name} was answered 200 and is no event");
                    found.lost.push(why);
                }
                Some(_) if times > 1 => {
                    found
                        .doubled
                        .push(format!("{wamid} {name} is {times} events"));
                }
                _ => {}
            }
        }
    }
    let unsaid = seen.events.keys().filter(|id| !seen.said.contains_key(*id));
    for wamid in unsaid {
        let why = format!("{wamid} has events, and nobody said anything of it");
        found.doubled.push(why);
    }
}

/// What was said of strangers' messages stands in their evidence, and nothing else does.
fn strangers(seen: &Seen, found: &mut Findings) {
    for wamid in strange(&seen.said, &seen.posts) {
        let said = evidence_of(&seen.said[wamid]);
        match seen.told.strangers.get(wamid) {
            None => found.lost.push(format!("{wamid} is not known")),
            Some(told) if *told != said => {
                let why = format!("{wamid}: {said:?} was said, and {told:?} is known");
                found.lost.push(why);
            }
            Some(_) => {}
        }
    }
}
