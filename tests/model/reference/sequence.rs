//! One sequence, with all that concerns it; the other files judge it, each by what its name says.

use super::Reference;
use crate::asked::Asked;
use crate::history::{Gate, OnFailure, Step};
use crate::provider::Post;
use crate::seen::SeenSequence;

pub(super) struct Judged<'a> {
    pub(super) reference: &'a Reference<'a>,
    pub(super) on_failure: OnFailure,
    pub(super) gate: Gate,
    pub(super) lone: bool,
    pub(super) seen: &'a SeenSequence,
    /// Of each message, in order.
    pub(super) posts: Vec<Vec<&'a Post>>,
    pub(super) asked: Vec<&'a Asked>,
}

impl<'a> Judged<'a> {
    pub(super) fn of(reference: &'a Reference<'a>, number: usize) -> Self {
        let seen = &reference.seen.sequences[&number];
        let sequence = &reference.history.sequences[number];
        let steps = seen.messages.iter().map(|message| message.step);
        let posts_of = |step: usize| {
            let posts = reference.log.posts.iter();
            posts.filter(move |post| post.step == step).collect()
        };
        Self {
            reference,
            on_failure: sequence.on_failure,
            gate: sequence.gate,
            lone: sequence.lone,
            seen,
            posts: steps.map(posts_of).collect(),
            asked: (reference.story.asked.iter())
                .filter(|asked| asked.sequence == number && asked.answer.is_ok())
                .collect(),
        }
    }

    pub(super) fn step(&self, at: usize) -> &'a Step {
        &self.reference.history.steps[self.seen.messages[at].step]
    }

    pub(super) fn gate(&self, at: usize) -> Gate {
        self.step(at).gate.unwrap_or(self.gate)
    }

    pub(super) fn judge(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (at, message) in self.seen.messages.iter().enumerate() {
            for post in &self.posts[at] {
                wrong.extend(self.judge_order(at, post));
                wrong.extend(self.judge_standstill(at, post));
            }
            wrong.extend(self.judge_attempts(at, message));
            wrong.extend(self.judge_status(at, message));
        }
        wrong.extend(self.judge_end());
        wrong
    }
}
