//! How an attempt's row is read; what writes it is in `claim`, `answers`, `adopt` and `ingest`.

use crate::model::Timestamp;
use crate::model::message::Outcome;

/// An attempt's outcome from its columns.
pub(super) fn outcome(
    word: Option<&str>,
    refusal_code: Option<i64>,
    unknown_at: Option<Timestamp>,
) -> Option<Outcome> {
    match word? {
        "accepted" => Some(Outcome::Accepted),
        "held" => Some(Outcome::Held),
        "paused" => Some(Outcome::Paused),
        "refused" => Some(Outcome::Refused(refusal_code.unwrap_or(i64::MAX))),
        _ => unknown_at.map(|since| Outcome::Unknown { since }),
    }
}
