//! Promise 7: a message is posted again only for a reason, and every outcome is that of its POST.

use super::failures::{Class, class_of_refusal, refusal};
use super::sequence::Judged;
use super::{END, STEP};
use crate::history::{A_DAY, Answer, OnFailure, What, Word};
use crate::provider::{Moment, Post};
use crate::run::{BACKOFF, MAX_ATTEMPTS, UNKNOWN_AFTER};
use crate::seen::{SeenAttempt, SeenMessage};

impl Judged<'_> {
    /// Promise 7: a message is posted again only for a reason.
    pub(super) fn judge_attempts(&self, at: usize, message: &SeenMessage) -> Vec<String> {
        let mut wrong = Vec::new();
        let posts = &self.posts[at];
        for (index, post) in posts.iter().enumerate() {
            let same = posts[..index]
                .iter()
                .rev()
                .find(|p| p.attempt == post.attempt);
            if let Some(before) = same {
                if !self.was_given_back(at, before, post.arrived) {
                    wrong.push(format!("{} was posted twice", post.attempt));
                }
            } else if posts[..index].iter().any(|before| before.n > post.n) {
                wrong.push(format!("{} was posted after a later one", post.attempt));
            } else if post.n > 1 && !self.may_repeat(at, message, post) {
                wrong.push(format!("{} was posted again for no reason", post.attempt));
            }
        }
        for attempt in &message.attempts {
            wrong.extend(self.judge_outcome(at, attempt));
        }
        wrong
    }

    fn was_given_back(&self, at: usize, post: &Post, by: Moment) -> bool {
        let code = refusal(post);
        post.answered.is_some_and(|answered| answered < by)
            && code.is_some_and(|c| class_of_refusal(c, self.step(at)) == Class::NotCounted)
    }

    /// Whether something allowed this attempt after the one before.
    fn may_repeat(&self, at: usize, message: &SeenMessage, post: &Post) -> bool {
        let before: Vec<_> = self.posts[at]
            .iter()
            .filter(|p| p.n == post.n - 1)
            .collect();
        let since = before.last().map(|before| before.arrived);
        let a_person = self.asked.iter().any(|asked| {
            let this = asked.step.is_none() || asked.step == Some(message.step);
            matches!(asked.what, What::Retry | What::RetryMessage)
                && this
                && asked.begun < post.arrived
                && since.is_none_or(|since| asked.done > since)
        });
        let within = usize::try_from(post.n).is_ok_and(|n| n <= MAX_ATTEMPTS);
        let failed = self
            .failures(at, post.n - 1, post.arrived)
            .into_iter()
            .any(|failure| {
                let wait = match failure.class {
                    Class::Passing => BACKOFF * (1 << (post.n - 2)),
                    Class::Tomorrow => crate::asked::seconds(A_DAY),
                    Class::Final | Class::NotCounted => return false,
                };
                let retries = failure.refused || self.on_failure == OnFailure::Retry;
                retries && post.arrived.at + STEP >= failure.known.at + wait
            });
        // Whatever else is said of it: what was delivered is not sent again.
        let failed = failed
            && !self.is_settled(at, message, post, |word| {
                word.is_ok_and(|word| word >= Word::Delivered)
            });
        a_person || (within && (failed || self.may_resend(at, message, post, since)))
    }

    /// The answer was lost, and duplicates are welcome.
    fn may_resend(
        &self,
        at: usize,
        message: &SeenMessage,
        post: &Post,
        since: Option<Moment>,
    ) -> bool {
        let waited = since.is_none_or(|since| post.arrived.at + STEP >= since.at + UNKNOWN_AFTER);
        let lost = since.is_some() || !self.reference.story.crashes.is_empty();
        let settled = self.is_settled(at, message, post, |_| true);
        self.step(at).resend && waited && lost && !settled
    }

    fn judge_outcome(&self, at: usize, attempt: &SeenAttempt) -> Vec<String> {
        let mut wrong = Vec::new();
        let posts: Vec<_> = self.posts[at]
            .iter()
            .filter(|p| p.attempt == attempt.id)
            .collect();
        if let Some(wamid) = &attempt.wamid
            && !posts.iter().any(|post| post.took.as_ref() == Some(wamid))
        {
            wrong.push(format!("{} has the id {wamid} of another", attempt.id));
        }
        let Some(last) = posts.last() else {
            return wrong;
        };
        let holds = match attempt.outcome.as_deref() {
            Some("accepted") => last.took.is_some() && last.answer != Answer::Holds,
            Some("held") => last.answer == Answer::Holds,
            Some("refused") => {
                let code = refusal(last);
                code == attempt.code
                    && code.is_some_and(|c| class_of_refusal(c, self.step(at)) != Class::NotCounted)
            }
            Some(_) => {
                let back = self.was_given_back(at, last, END);
                // Or claimed again, by one that died before it posted.
                let again = back && attempt.posted_at.is_some_and(|at| at > last.arrived.at);
                again || !self.reference.surely_heard(last)
            }
            None => {
                let code = refusal(last);
                let back = code.map(|c| class_of_refusal(c, self.step(at)));
                !self.reference.surely_heard(last) || back == Some(Class::NotCounted)
            }
        };
        if !holds {
            wrong.push(format!(
                "the outcome of {attempt:?} is not that of {last:?}"
            ));
        }
        wrong
    }

    /// Whether evidence of such a word about the attempt before, that names it, was committed
    /// before this one was claimed.
    fn is_settled(
        &self,
        at: usize,
        message: &SeenMessage,
        post: &Post,
        by: impl Fn(Result<Word, i64>) -> bool,
    ) -> bool {
        let claimed = message.attempts.iter().find(|attempt| attempt.n == post.n);
        let claimed = claimed
            .and_then(|attempt| attempt.posted_at)
            // It went back since, and no longer says when.
            .unwrap_or(post.arrived.at);
        let mut before = self.posts[at].iter().filter(|p| p.n == post.n - 1);
        before.any(|before| {
            let wamid = before.took.as_deref().unwrap_or("-");
            let mut said = self.reference.said_of(wamid);
            said.any(|said| {
                by(said.word) && said.callback && said.done.is_some_and(|done| done.at < claimed)
            })
        })
    }
}
