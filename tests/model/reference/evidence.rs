//! Evidence is the join of all that was said, in any order and however often; every fact is there
//! once; and what must be known to be ours is.

use super::Reference;
use crate::history::{What, Word};
use crate::provider::{Moment, Post, Said};
use crate::seen::Row;

impl<'a> Reference<'a> {
    pub(super) fn said_of<'b>(
        &self,
        wamid: &'b str,
    ) -> impl Iterator<Item = &'a Said> + use<'a, 'b> {
        self.log.said.iter().filter(move |said| said.wamid == wamid)
    }

    /// The join of all that was said, in any order and however often: the first time of each.
    pub(super) fn join(&self, wamid: &str) -> Row {
        let first = |word: Word| {
            let said = self.said_of(wamid).filter(|said| said.word == Ok(word));
            said.map(|said| said.dated).min()
        };
        let failed = self
            .said_of(wamid)
            .filter_map(|said| Some((said.dated, said.word.err()?)))
            .min();
        Row {
            external: false,
            times: [
                first(Word::Sent),
                first(Word::Delivered),
                first(Word::Read),
                first(Word::Played),
                failed.map(|(at, _)| at),
            ],
            failed_code: failed.map(|(_, code)| code),
        }
    }

    pub(super) fn judge_evidence(&mut self) {
        let mut wamids: Vec<&str> = self.log.said.iter().map(|s| s.wamid.as_str()).collect();
        wamids.sort_unstable();
        wamids.dedup();
        for wamid in wamids {
            let expected = self.join(wamid);
            let rows = self.seen.evidence.get(wamid).map_or(&[][..], Vec::as_slice);
            self.check(
                matches!(rows, [row] if row.times == expected.times
                    && row.failed_code == expected.failed_code),
                || format!("evidence of {wamid}: expected {expected:?}, seen {rows:?}"),
            );
            let post = self
                .log
                .posts
                .iter()
                .find(|p| p.took.as_deref() == Some(wamid));
            let ours = post.is_some_and(|post| self.must_be_known(post));
            self.check(!ours || rows.iter().all(|row| !row.external), || {
                format!("{wamid} is ours, and is shown as somebody else's")
            });
            self.judge_facts(wamid);
        }
        let twice = self.seen.decided_twice.join(", ");
        self.check(twice.is_empty(), || {
            format!("decided more than once: {twice}")
        });
    }

    fn judge_facts(&mut self, wamid: &str) {
        let mut words: Vec<String> = self
            .said_of(wamid)
            .map(|said| match said.word {
                Ok(word) => format!("message.{word:?}").to_lowercase(),
                Err(_) => "message.failed".to_owned(),
            })
            .collect();
        words.sort_unstable();
        words.dedup();
        for word in words {
            let key = (wamid.to_owned(), word);
            let n = self.seen.said.get(&key).copied().unwrap_or(0);
            self.check(n == 1, || format!("{key:?} is there {n} times"));
        }
    }

    /// Whether the service cannot but know that the provider's id is this attempt's.
    fn must_be_known(&self, post: &Post) -> bool {
        let wamid = post.took.as_deref().unwrap_or_default();
        self.said_of(wamid).any(|said| said.callback) || self.surely_heard(post)
    }

    /// Whether the answer came to somebody who lived to record it.
    pub(super) fn surely_heard(&self, post: &Post) -> bool {
        let Some(answered) = post.answered.filter(|_| post.heard) else {
            return false;
        };
        // What a dead instance had sent may still arrive; not after a rest.
        let rested = |from: Moment, to: Moment| {
            let mut rests = self.story.rests.iter();
            rests.any(|rest| from < *rest && *rest < to)
        };
        // Nobody waits for what is on its way when its sequence ends, not even a rest.
        let ended = self.story.asked.iter().any(|asked| {
            let shown = asked.answer.as_ref();
            matches!(asked.what, What::Cancel | What::CancelMessage)
                && shown.is_ok_and(|shown| shown.in_flight.contains(&post.attempt))
        });
        let mut crashes = self.story.crashes.iter();
        crashes.all(|crash| {
            (!post.is_late() && !ended && rested(answered, *crash)) || rested(*crash, post.arrived)
        })
    }
}

/// The highest of `sent`, `delivered`, `read`, `played` that was said.
pub(super) fn highest(row: &Row) -> Option<Word> {
    [Word::Played, Word::Read, Word::Delivered, Word::Sent]
        .into_iter()
        .zip([3, 2, 1, 0])
        .find_map(|(word, at)| row.times[at].map(|_| word))
}
