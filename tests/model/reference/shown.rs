//! What the API may show of a message.

use super::evidence::highest;
use super::sequence::Judged;
use crate::history::{What, Word};
use crate::seen::{Row, SeenMessage};

impl Judged<'_> {
    pub(super) fn judge_status(&self, at: usize, message: &SeenMessage) -> Vec<String> {
        let allowed = self.statuses(at, message);
        if allowed.contains(&message.status.as_str()) {
            return Vec::new();
        }
        let (status, attempts) = (&message.status, &message.attempts);
        vec![format!(
            "message {at} is {status}, expected one of {allowed:?}: {attempts:?}"
        )]
    }

    /// The statuses that the API may show, by its table: the first line that holds.
    fn statuses(&self, at: usize, message: &SeenMessage) -> Vec<&'static str> {
        let evidence: Vec<Row> = message.attempts.iter().map(|a| self.evidence(a)).collect();
        match evidence.iter().filter_map(highest).max() {
            Some(Word::Played) => return vec!["played"],
            Some(Word::Read) => return vec!["read"],
            Some(Word::Delivered) => return vec!["delivered"],
            _ => {}
        }
        let taken_out = self
            .asked
            .iter()
            .any(|asked| asked.what == What::CancelMessage && asked.step == Some(message.step));
        if taken_out {
            return vec!["cancelled"];
        }
        let over = matches!(
            self.seen.status.as_str(),
            "completed" | "stopped" | "cancelled"
        );
        let done_with = over || at + 1 < self.seen.head;
        let (Some(last), Some(said)) = (message.attempts.last(), evidence.last()) else {
            return vec![if done_with { "cancelled" } else { "queued" }];
        };
        let outcome = last.outcome.as_deref();
        let waits = ["queued", "failed"];
        match (highest(said), outcome) {
            _ if said.times[4].is_some() || outcome == Some("refused") => {
                waits[usize::from(done_with)..].to_vec()
            }
            (Some(_), _) => vec!["sent"],
            (None, Some("accepted")) => vec!["accepted"],
            (None, Some("held")) => vec!["held"],
            (None, Some(_)) => vec!["unknown"],
            // It was given back, or its claim ended with its sequence.
            (None, None) if done_with => vec!["cancelled", "failed"],
            (None, None) => vec!["queued"],
        }
    }
}
