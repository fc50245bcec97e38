//! The questions asked of one sequence: was each message due when it was posted, was any posted
//! again after the provider had taken it, did all go that should, and does the service know.

use std::collections::HashMap;
use std::time::Instant;

use super::{Findings, Said, Seen, ToldMessage, ToldSequence, Word, evidence_of};
use crate::plan::{OnFailure, Planned};
use crate::provider::Post;

/// One sequence, and what the provider saw of it.
struct Story<'a> {
    seen: &'a Seen,
    planned: &'a Planned,
    /// How many of its messages were promised.
    promised: usize,
    /// The POSTs of each message.
    posts: Vec<Vec<&'a Post>>,
}

/// What has become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Delivered,
    Failed,
    /// The provider never took it, or never said what became of it.
    Open,
}

pub fn all(seen: &Seen, found: &mut Findings) {
    let mut posts: HashMap<&str, Vec<&Post>> = HashMap::new();
    for post in &seen.posts {
        posts.entry(&post.name).or_default().push(post);
    }
    for (planned, promised) in seen.sequences.iter().zip(&seen.promised) {
        let name = &planned.name;
        let of_step = |n| posts.remove(format!("{name}/{n}").as_str());
        let story = Story {
            seen,
            planned,
            promised: *promised,
            posts: (0..*promised)
                .map(of_step)
                .map(Option::unwrap_or_default)
                .collect(),
        };
        story.order(found);
        story.once(found);
        story.end(found);
    }
    for name in posts.keys() {
        found
            .order
            .push(format!("{name} was posted, and nobody asked for it"));
    }
}

impl Story<'_> {
    fn taken(&self, n: usize) -> impl Iterator<Item = &str> {
        self.posts[n]
            .iter()
            .filter_map(|post| post.wamid.as_deref())
    }

    /// What was said of a message by whichever POST of it was taken.
    fn said(&self, n: usize, word: Word) -> impl Iterator<Item = &Said> {
        let said = self.taken(n).filter_map(|wamid| self.seen.said.get(wamid));
        said.filter_map(move |said| said[word as usize].as_ref())
    }

    /// Whether the service could know by then that the next message may go.
    fn had_passed(&self, n: usize, by: Instant) -> bool {
        let begun = |word| {
            self.said(n, word)
                .any(|said| said.begun.is_some_and(|at| at <= by))
        };
        let skipped = self.planned.on_failure == OnFailure::Skip && begun(Word::Failed);
        begun(Word::Delivered) || begun(Word::Read) || skipped
    }

    fn order(&self, found: &mut Findings) {
        for n in 1..self.promised {
            for post in &self.posts[n] {
                if !self.had_passed(n - 1, post.at) {
                    let why = format!("{} went before the one before it had passed", post.name);
                    found.order.push(why);
                }
            }
        }
    }

    /// Nothing is posted again that the provider took: no policy of these sequences asks for it.
    fn once(&self, found: &mut Findings) {
        for posts in &self.posts {
            let first = posts.iter().position(|post| post.wamid.is_some());
            let after = first.map_or(&[][..], |first| &posts[first + 1..]);
            for post in after {
                let ended = match &post.wamid {
                    Some(wamid) => format!("taken again as {wamid}"),
                    None => "refused".to_owned(),
                };
                let why = format!(
                    "{} was posted after it had been taken, and {ended}",
                    post.name
                );
                found.doubled.push(why);
            }
        }
    }

    fn end_of(&self, n: usize) -> End {
        let was = |word| self.said(n, word).next().is_some();
        match () {
            () if was(Word::Delivered) || was(Word::Read) => End::Delivered,
            () if was(Word::Failed) => End::Failed,
            () => End::Open,
        }
    }

    /// The first message that does not let the next one go.
    fn stuck(&self) -> Option<(usize, End)> {
        let ends = (0..self.promised).map(|n| (n, self.end_of(n)));
        let mut stuck = ends.filter(|(_, end)| match end {
            End::Delivered => false,
            End::Failed => self.planned.on_failure != OnFailure::Skip,
            End::Open => true,
        });
        stuck.next()
    }

    fn end(&self, found: &mut Findings) {
        let name = &self.planned.name;
        let told = self
            .seen
            .told
            .sequences
            .get(name)
            .map_or(&[][..], Vec::as_slice);
        let [told] = told else {
            let why = format!("{name} was promised once and is there {} times", told.len());
            return match told.len() {
                0 => found.lost.push(why),
                _ => found.doubled.push(why),
            };
        };
        let status = &told.status;
        match self.stuck() {
            Some((n, End::Open)) => {
                let posts = self.posts[n].len();
                let why = format!("{name} is {status}; {name}/{n} ended nowhere in {posts} POSTs");
                return found.wedged.push(why);
            }
            Some(_) if status != "stopped" => {
                found
                    .wedged
                    .push(format!("{name} is {status} and should be stopped"));
            }
            None if status != "completed" => {
                found
                    .wedged
                    .push(format!("{name} is {status} and should be completed"));
            }
            _ => {}
        }
        self.messages(told, found);
    }

    /// The service knows of each message what was said of it.
    fn messages(&self, told: &ToldSequence, found: &mut Findings) {
        let (name, is) = (&self.planned.name, told.messages.len());
        if is != self.promised {
            let promised = self.promised;
            let why = format!("{name} was promised {promised} messages and has {is}");
            return found.lost.push(why);
        }
        for (n, message) in told.messages.iter().enumerate() {
            if let Some(gap) = self.gap(n, message) {
                found.lost.push(format!("{name}/{n}: {gap}"));
            }
        }
    }

    fn gap(&self, n: usize, told: &ToldMessage) -> Option<String> {
        let (end, status) = (self.end_of(n), &told.status);
        let right = match end {
            End::Delivered if self.said(n, Word::Read).next().is_some() => "read",
            End::Delivered => "delivered",
            End::Failed => "failed",
            End::Open => "cancelled",
        };
        let Some(wamid) = self.taken(n).next() else {
            return (status != right).then(|| format!("never went, and is {status}"));
        };
        let said = self
            .seen
            .said
            .get(wamid)
            .map(evidence_of)
            .unwrap_or_default();
        let name = format!("{}/{n}", self.planned.name);
        let holds = told.name == name
            && status == right
            && told.wamid.as_deref() == Some(wamid)
            && told.evidence == said;
        (!holds).then(|| format!("{wamid} {said:?} was said, and this is known: {told:?}"))
    }
}
