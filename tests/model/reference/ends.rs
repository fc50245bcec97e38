//! Where a sequence may end.

use time::Duration;

use super::END;
use super::evidence::highest;
use super::sequence::Judged;
use crate::history::{OnDeadline, OnFailure, What, Word};
use crate::run::MAX_ATTEMPTS;
use crate::seen::{Row, SeenAttempt, SeenSequence};

impl Judged<'_> {
    /// What people left it in: paused, cancelled.
    fn left_in(&self) -> (bool, bool) {
        let (mut paused, mut cancelled) = (false, false);
        for asked in &self.asked {
            match asked.what {
                What::Pause => paused = true,
                What::Resume => paused = false,
                What::Cancel => cancelled = true,
                What::CancelMessage if self.lone => cancelled = true,
                _ => {}
            }
        }
        (paused && !cancelled, cancelled)
    }

    pub(super) fn judge_end(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let SeenSequence {
            status,
            reason,
            head,
            messages,
        } = self.seen;
        for at in 0..(head - 1).min(messages.len()) {
            if self.passed(at, END).is_none() {
                wrong.push(format!("message {at} was passed for no reason"));
            }
        }
        let (paused, cancelled) = self.left_in();
        let at = head - 1;
        let holds = match (status.as_str(), reason.as_deref()) {
            ("paused", _) => paused,
            ("cancelled", _) => cancelled,
            _ if paused || cancelled => false,
            ("completed", _) => at == messages.len(),
            ("stopped", Some("failure")) => {
                self.on_failure != OnFailure::Skip && self.last_failure(at, END).is_some()
            }
            ("stopped", Some("deadline")) => {
                self.gate(at).on_deadline == OnDeadline::Stop && self.may_be_late(at)
            }
            ("held", Some("deadline")) => {
                self.gate(at).on_deadline == OnDeadline::Hold
                    && self.may_be_late(at)
                    && !self.is_open(at)
                    && !self.has_failed(at)
            }
            ("held", Some("unknown")) => self.may_stay_unknown(at),
            ("running", None) => self.is_being_assessed(at),
            _ => false,
        };
        if !holds {
            wrong.push(format!(
                "it ended {status} ({reason:?}) at message {at}; people left it paused: {paused}, \
                 cancelled: {cancelled}"
            ));
        }
        wrong
    }

    /// An attempt's row of evidence, where it is known to be ours.
    pub(super) fn evidence(&self, attempt: &SeenAttempt) -> Row {
        let wamid = attempt.wamid.as_deref().unwrap_or("-");
        self.reference.join(wamid)
    }

    /// Whether all that was said opens the gate.
    fn is_open(&self, at: usize) -> bool {
        let word = self.gate(at).word;
        self.seen.messages[at].attempts.iter().any(|attempt| {
            let evidence = self.evidence(attempt);
            let failed = evidence.times[4].is_some() && highest(&evidence) < Some(Word::Delivered);
            let accepted = attempt.outcome.as_deref() == Some("accepted");
            let rank = highest(&evidence).or(accepted.then_some(Word::Accepted));
            !failed && rank >= Some(word)
        })
    }

    fn has_failed(&self, at: usize) -> bool {
        let last = self.seen.messages[at].attempts.last();
        last.is_some_and(|attempt| {
            let evidence = self.evidence(attempt);
            evidence.times[4].is_some() && highest(&evidence) < Some(Word::Delivered)
        })
    }

    /// Whether the deadline can have passed before what opens the gate was committed. It counts
    /// from acceptance, which is no earlier than the first POST.
    fn may_be_late(&self, at: usize) -> bool {
        let gate = self.gate(at);
        let in_time = self.posts[at].iter().any(|post| {
            let deadline = self.posts[at][0].arrived.at + Duration::seconds(gate.deadline);
            let wamid = post.took.as_deref().unwrap_or("-");
            let said = || self.reference.said_of(wamid);
            said().all(|said| said.word.is_ok())
                && said().any(|said| {
                    said.callback
                        && said.word >= Ok(gate.word.max(Word::Sent))
                        && said.done.is_some_and(|done| done.at < deadline)
                })
        });
        !self.posts[at].is_empty() && !in_time
    }

    /// Whether the last attempt's fate is still open when everything has been said.
    fn may_stay_unknown(&self, at: usize) -> bool {
        let attempts = &self.seen.messages[at].attempts;
        let Some(last) = attempts.last() else {
            return false;
        };
        let resends = self.step(at).resend && attempts.len() < MAX_ATTEMPTS;
        last.outcome.as_deref() == Some("unknown") && last.wamid.is_none() && !resends
    }

    /// Whether the provider still holds the message, and has said nothing since: no deadline runs.
    fn is_being_assessed(&self, at: usize) -> bool {
        let last = self.seen.messages.get(at).and_then(|m| m.attempts.last());
        last.is_some_and(|last| {
            let said = self.evidence(last);
            last.outcome.as_deref() == Some("held") && said.times.iter().all(Option::is_none)
        })
    }
}
