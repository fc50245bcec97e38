//! When a message can have been passed, so that the next one may go.

use time::Duration;

use super::STEP;
use super::sequence::Judged;
use crate::history::{Answer, OnDeadline, What, Word};
use crate::provider::{Moment, Post};

impl Judged<'_> {
    /// When it can have been passed at the earliest, if it can have been by then.
    pub(super) fn passed(&self, at: usize, by: Moment) -> Option<Moment> {
        let step = self.seen.messages[at].step;
        let gate = self.gate(at);
        let cancelled = self.asked.iter().filter_map(|asked| {
            (asked.what == What::CancelMessage && asked.step == Some(step)).then_some(asked.begun)
        });
        // Who resumes what is held passes its head.
        let skipped = self.asked.iter().filter_map(|asked| {
            let head = usize::try_from(asked.answer.as_ref().ok()?.head).ok()?;
            (asked.what == What::Resume && head == at + 2).then_some(asked.begun)
        });
        let late = self.posts[at]
            .iter()
            .filter(|_| gate.on_deadline == OnDeadline::Skip);
        let late = late.map(|post| Moment {
            tick: post.arrived.tick,
            at: post.arrived.at + Duration::seconds(gate.deadline),
        });
        let late = late.filter(|late| late.at <= by.at + STEP);
        let opened = self.posts[at]
            .iter()
            .filter_map(|post| self.reached(post, gate.word));
        self.skipped_as_failed(at, by)
            .into_iter()
            .chain(cancelled)
            .chain(skipped)
            .chain(late)
            .chain(opened)
            .filter(|moment| moment.tick < by.tick)
            .min_by_key(|moment| moment.at)
    }

    /// When it can have been known that this POST's message has come so far: somebody must have
    /// said so, and something must have said that the provider's id is ours.
    fn reached(&self, post: &Post, word: Word) -> Option<Moment> {
        let wamid = post.took.as_deref()?;
        let said = || self.reference.said_of(wamid);
        let answered = post
            .answered
            .filter(|_| !matches!(post.answer, Answer::BadGateway { .. }));
        let linked = said().filter(|said| said.callback).map(|said| said.begun);
        let linked = linked.chain(answered).min()?;
        // What is held for its quality was accepted, and is not on its way yet.
        let needed = match post.answer {
            Answer::Holds => word.max(Word::Sent),
            _ => word,
        };
        let evidence = said().filter(|said| said.word >= Ok(needed) && said.word.is_ok());
        let accepted = answered.filter(|_| needed == Word::Accepted);
        let reached = evidence.map(|said| said.begun).chain(accepted).min()?;
        Some(linked.max(reached))
    }
}
