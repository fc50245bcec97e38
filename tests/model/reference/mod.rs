//! The reference model: what may follow from what was asked, what the provider took and what it
//! said. It knows the documented rules (docs/API.md) and nothing of the service: no function of
//! `twotick::model` is used here, or both would be wrong together.
//!
//! It is a judge and not a twin. Which of two things that happen at once comes first is the
//! service's affair; so the reference says of each step that was taken whether something allowed
//! it by then, and of the end whether it is one of those that the rules leave. Time is of two
//! kinds: the order of all that the log holds (`tick`), and the service's clock (`at`).

mod attempts;
mod ends;
mod evidence;
mod failures;
mod feed;
mod order;
mod passed;
mod sequence;
mod shown;
mod templates;

use time::{Duration, OffsetDateTime};

use self::sequence::Judged;
use crate::history::History;
use crate::provider::{Log, Moment};
use crate::seen::Seen;
use crate::story::Story;

/// After everything.
const END: Moment = Moment {
    tick: u64::MAX,
    at: OffsetDateTime::new_utc(time::Date::MAX, time::Time::MIDNIGHT),
};

/// What a machine's clock may be set back by while a history runs: its own waits are seconds.
const STEP: Duration = Duration::seconds(1);

pub struct Reference<'a> {
    pub history: &'a History,
    pub log: &'a Log,
    pub story: &'a Story,
    pub seen: &'a Seen,
    pub wrong: Vec<String>,
}

impl<'a> Reference<'a> {
    /// Everything that the rules do not allow.
    pub fn judge(mut self) -> Vec<String> {
        self.wrong.extend(self.story.troubles.iter().cloned());
        self.judge_evidence();
        self.judge_feed();
        self.judge_templates();
        let mut numbers: Vec<_> = self.seen.sequences.keys().copied().collect();
        numbers.sort_unstable();
        for number in numbers {
            self.judge_sequence(number);
        }
        self.wrong
    }

    fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong.push(what());
        }
    }

    fn judge_sequence(&mut self, number: usize) {
        let judged = Judged::of(self, number);
        let wrong = judged.judge();
        let named = wrong
            .into_iter()
            .map(|what| format!("sequence {number}: {what}"));
        self.wrong.extend(named);
    }
}
