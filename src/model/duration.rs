//! Spans of time as the API writes them: a whole number and a unit, such as `30s`, `5m`, `24h`,
//! `7d`.

use std::time::Duration;

/// Units, the biggest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// The longest span that is taken: nothing here waits longer than a year.
pub const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// A text is not a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// It is none.
    #[error("expected a whole number with a unit, such as `30s`, `5m`, `24h` or `7d`")]
    Form,
    /// It is longer than [`LONGEST`].
    #[error("expected at most `366d`")]
    TooLong,
}

/// Reads a span.
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let (number, seconds) = UNITS
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))
        .ok_or(InvalidDuration::Form)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidDuration::Form);
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(seconds))
        .map(Duration::from_secs)
        .filter(|span| *span <= LONGEST)
        .ok_or(InvalidDuration::TooLong)
}

/// Writes a span in the biggest unit that says it exactly. Parts of a second are left out.
pub fn show(span: Duration) -> String {
    let all = span.as_secs();
    let (unit, seconds) = UNITS
        .into_iter()
        .find(|(_, seconds)| all > 0 && all.is_multiple_of(*seconds))
        .unwrap_or(("s", 1));
    format!("{}{unit}", all / seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_back() {
        for text in ["0s", "30s", "5m", "90m", "7d", "366d"] {
            assert_eq!(show(parse(text).unwrap()), text);
        }
        assert_eq!(parse("24h").unwrap(), Duration::from_secs(86_400));
        assert_eq!(show(Duration::from_secs(86_400)), "1d");
        for text in ["", "s", "5", "-5s", "+5s", "1.5h", "5 m"] {
            assert_eq!(parse(text), Err(InvalidDuration::Form), "{text}");
        }
        for text in ["367d", "99999999999999999999d"] {
            assert_eq!(parse(text), Err(InvalidDuration::TooLong), "{text}");
        }
    }
}
