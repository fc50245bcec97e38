//! How an attempt's row is read; what writes it is in `claim`, `answers`, `adopt` and `ingest`.

use serde::Deserialize as _;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;

use crate::model::Timestamp;
use crate::model::error_class::{ErrorClass, classify};
use crate::model::message::Outcome;
use crate::model::sequence::Refusal;

/// The member of `refusal` that [`refusals`] reads.
pub(super) const REFUSALS: &str = "refusals";

/// The member of `refusal` that [`refused_at`] reads.
pub(super) const REFUSED_AT: &str = "refused_at";

/// The member of `refusal` that [`rule`] reads.
pub(super) const RULE: &str = "rule";

/// The outcome of an attempt whose answer was lost. What it was posted again for may be in
/// `refusal` then.
pub(super) const UNKNOWN: &str = "unknown";

/// Why we did not post an attempt at all.
pub(super) fn rule(refusal: Option<&Value>) -> Option<Refusal> {
    Refusal::deserialize(refusal?.get(RULE)?).ok()
}

/// An attempt's outcome from its columns.
pub(super) fn outcome(
    word: Option<&str>,
    refusal: Option<&Value>,
    unknown_at: Option<Timestamp>,
) -> Option<Outcome> {
    match word? {
        "accepted" => Some(Outcome::Accepted),
        "held" => Some(Outcome::Held),
        "paused" => Some(Outcome::Paused),
        "refused" => Some(Outcome::Refused(class(refusal))),
        _ => unknown_at.map(|since| Outcome::Unknown { since }),
    }
}

/// How often in a row an attempt that went back was refused.
pub(super) fn refusals(refusal: Option<&Value>) -> u32 {
    let refusals = refusal.and_then(|refusal| refusal.get(REFUSALS)?.as_u64());
    refusals.map_or(0, |refusals| u32::try_from(refusals).unwrap_or(u32::MAX))
}

/// When we refused an attempt that nobody posted.
pub(super) fn refused_at(refusal: &Value) -> Option<Timestamp> {
    let at = refusal.get(REFUSED_AT)?.as_str()?;
    Timestamp::parse(at, &Rfc3339).ok()
}

/// What the answer was understood to mean when it came. Refusals that were written without it
/// have their code.
fn class(refusal: Option<&Value>) -> ErrorClass {
    let of = |name| refusal.and_then(|refusal| refusal.get(name));
    let class = of("class").and_then(|class| class.as_str()?.parse().ok());
    let by_code = || classify(of("code").and_then(Value::as_i64).unwrap_or(i64::MAX));
    class.unwrap_or_else(by_code)
}
