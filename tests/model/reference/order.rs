//! Promise 8: nothing goes before its turn, nor after somebody has stopped it.

use time::Duration;

use super::STEP;
use super::sequence::Judged;
use crate::history::What;
use crate::provider::Post;

impl Judged<'_> {
    /// Promise 8: a message goes only when all before it have been passed.
    pub(super) fn judge_order(&self, at: usize, post: &Post) -> Vec<String> {
        let mut wrong = Vec::new();
        for before in 0..at {
            match self.passed(before, post.arrived) {
                None => wrong.push(format!(
                    "message {at} was posted ({}) before message {before} was passed",
                    post.attempt
                )),
                Some(passed) if before + 1 == at => {
                    let delay = Duration::seconds(self.step(at).delay);
                    if post.arrived.at + STEP < passed.at + delay {
                        wrong.push(format!("message {at} was posted before its delay was over"));
                    }
                }
                Some(_) => {}
            }
        }
        wrong
    }

    /// Nothing is posted after a pause or a cancellation was answered but what was on its way.
    pub(super) fn judge_standstill(&self, at: usize, post: &Post) -> Vec<String> {
        let step = self.seen.messages[at].step;
        let mut wrong = Vec::new();
        for asked in self.asked.iter().filter(|asked| asked.done < post.arrived) {
            let stands = match asked.what {
                What::Pause => !self.asked.iter().any(|later| {
                    matches!(later.what, What::Resume | What::Cancel)
                        && later.done > asked.done
                        && later.begun < post.arrived
                }),
                What::Cancel => true,
                What::CancelMessage => asked.step == Some(step),
                _ => false,
            };
            let shown = asked.answer.as_ref().ok();
            let on_its_way = shown.is_some_and(|shown| shown.in_flight.contains(&post.attempt))
                // Once: what came back is not posted again.
                && self.posts[at].iter().all(|other| {
                    other.arrived >= post.arrived || other.arrived < asked.done
                        || other.attempt != post.attempt
                });
            if stands && !on_its_way {
                wrong.push(format!("{} was posted after {asked:?}", post.attempt));
            }
        }
        wrong
    }
}
