//! What is true, and what follows from it. Pure: no clock, no randomness, no I/O; time is a
//! parameter. Everything else carries data to these functions and back.

pub mod campaign;
pub mod duration;
pub mod erased;
pub mod error_class;
pub mod event;
pub mod evidence;
pub mod fact;
pub mod ids;
pub mod lane;
pub mod limits;
pub mod message;
pub mod proof;
pub mod provider;
pub mod quiet;
pub mod reach;
pub mod reading;
pub mod recipient;
pub mod scope;
pub mod sequence;
pub mod template;

/// A moment in UTC.
pub type Timestamp = time::OffsetDateTime;

/// RFC 3339 in UTC with milliseconds: how every moment is written for people and programs.
pub fn rfc3339(at: Timestamp) -> String {
    Rfc3339::of(at).as_str().to_owned()
}

/// A moment, written without taking memory for it: an answer of the API has many.
#[derive(Debug)]
pub struct Rfc3339([u8; 24]);

impl Rfc3339 {
    /// How [`rfc3339`] writes it; years that have not four digits are the nearest that has.
    pub fn of(at: Timestamp) -> Self {
        let at = at.to_offset(time::UtcOffset::UTC);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let year = u16::try_from(at.year().clamp(0, 9999)).unwrap_or_default();
        for (end, width, number) in [
            (4, 4, year),
            (7, 2, u8::from(at.month()).into()),
            (10, 2, at.day().into()),
            (13, 2, at.hour().into()),
            (16, 2, at.minute().into()),
            (19, 2, at.second().into()),
            (23, 3, at.millisecond()),
        ] {
            let mut rest = number;
            for digit in text[end - width..end].iter_mut().rev() {
                *digit += (rest % 10) as u8;
                rest /= 10;
            }
        }
        Self(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Digits, and what stands between them.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn moments_are_written_in_utc_to_the_millisecond() {
        for (at, text) in [
            (
                datetime!(2026-11-05 09:30:00.1209 UTC),
                "2026-11-05T09:30:00.120Z",
            ),
            (
                datetime!(2026-01-01 00:59:59.999 +01:00),
                "2025-12-31T23:59:59.999Z",
            ),
            (datetime!(0033-04-03 15:00 UTC), "0033-04-03T15:00:00.000Z"),
            (
                datetime!(9999-12-31 23:59:59 UTC),
                "9999-12-31T23:59:59.000Z",
            ),
        ] {
            assert_eq!(rfc3339(at), text);
        }
    }
}
