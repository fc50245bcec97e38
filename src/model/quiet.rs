//! Quiet hours: when nothing is posted to a user, by the user's own clock. Which time zone that is
//! the caller says, or the number's prefix; of a country of several zones it is quiet as long as it
//! is anywhere.

mod zones;

use jiff::civil::Time;
use jiff::tz::{self, TimeZone};
use serde::{Deserialize, Serialize};

use super::Timestamp;

/// From when to when, by the user's clock; over midnight where `to` is the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// The first quiet minute of the day, counted from midnight.
    pub from: u16,
    /// The first that is not.
    pub to: u16,
    /// An IANA name; `None`: as the number says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A text is no time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a time of day such as `21:30`")]
pub struct InvalidTime;

/// Reads a time of day as minutes from midnight.
pub fn parse_time(text: &str) -> Result<u16, InvalidTime> {
    let (hours, minutes) = text.split_once(':').ok_or(InvalidTime)?;
    let number = |text: &str, below: u16| {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u16>().ok().filter(|_| two);
        number.filter(|number| *number < below).ok_or(InvalidTime)
    };
    Ok(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// Writes it back.
pub fn show_time(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Whether there is a time zone of this name.
pub fn is_time_zone(name: &str) -> bool {
    tz::db().get(name).is_ok()
}

impl QuietHours {
    /// When something may be posted to this recipient, if not now. `None` too where nobody knows
    /// the time there.
    pub fn end_of(&self, recipient: &str, now: Timestamp) -> Option<Timestamp> {
        /// Each turn ends one quiet night in one zone. Beyond this it is quiet somewhere at all
        /// times: then the clock of most people counts.
        const TURNS: usize = 24;
        let zones = self.zones(recipient);
        let mut at = now;
        for _ in 0..TURNS {
            match zones.iter().find_map(|zone| self.end_in(zone, at)) {
                Some(end) => at = end,
                None => return Some(at).filter(|at| *at > now),
            }
        }
        self.end_in(zones.first()?, now)
    }

    fn zones(&self, recipient: &str) -> Vec<TimeZone> {
        let get = |name: &str| tz::db().get(name).ok();
        match &self.time_zone {
            Some(name) => get(name).into_iter().collect(),
            None => zones::of(recipient)
                .iter()
                .filter_map(|name| get(name))
                .collect(),
        }
    }

    /// When the quiet that it is in there at that time ends.
    fn end_in(&self, zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
        let instant = jiff::Timestamp::from_nanosecond(at.unix_timestamp_nanos()).ok()?;
        let local = instant.to_zoned(zone.clone());
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let (is_quiet, ends_tomorrow) = if self.from <= self.to {
            (self.from <= minute && minute < self.to, false)
        } else {
            (minute >= self.from || minute < self.to, minute >= self.from)
        };
        if !is_quiet {
            return None;
        }
        let day = if ends_tomorrow {
            local.date().tomorrow().ok()?
        } else {
            local.date()
        };
        let time = Time::new((self.to / 60) as i8, (self.to % 60) as i8, 0, 0).ok()?;
        // A time that a change of the clock leaves out is the one after it.
        let end = day.to_datetime(time).to_zoned(zone.clone()).ok()?;
        Timestamp::from_unix_timestamp(end.timestamp().as_second()).ok()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn night(time_zone: Option<&str>) -> QuietHours {
        QuietHours {
            from: parse_time("21:00").unwrap(),
            to: parse_time("08:00").unwrap(),
            time_zone: time_zone.map(str::to_owned),
        }
    }

    const BERLIN: &str = "4915112345678";

    #[test]
    fn a_night_ends_in_the_morning_of_whoever_is_written_to() {
        let end = |now| night(None).end_of(BERLIN, now);
        assert_eq!(end(datetime!(2026-11-22 12:00 UTC)), None);
        // 22:30 and 07:59 there.
        let morning = Some(datetime!(2026-11-23 07:00 UTC));
        assert_eq!(end(datetime!(2026-11-22 21:30 UTC)), morning);
        assert_eq!(end(datetime!(2026-11-23 06:59 UTC)), morning);
        assert_eq!(end(datetime!(2026-11-23 07:00 UTC)), None);
        assert_eq!(
            end(datetime!(2026-11-22 20:00 UTC)),
            morning,
            "21:00 is quiet"
        );
    }

    #[test]
    fn a_change_of_the_clock_moves_the_morning() {
        // The last Sunday of March, 02:00 to 03:00 in Berlin.
        let end = night(None).end_of(BERLIN, datetime!(2026-03-28 23:00 UTC));
        assert_eq!(end, Some(datetime!(2026-03-29 06:00 UTC)));
    }

    #[test]
    fn in_a_country_of_several_zones_it_is_quiet_as_long_as_it_is_anywhere() {
        let end = |now| night(None).end_of("12125550142", now);
        // 09:00 in New York, 06:00 in Los Angeles.
        let west = Some(datetime!(2026-11-23 16:00 UTC));
        assert_eq!(end(datetime!(2026-11-23 14:00 UTC)), west);
        // 20:30 in Los Angeles is half past eleven in New York.
        let next = Some(datetime!(2026-11-24 16:00 UTC));
        assert_eq!(end(datetime!(2026-11-24 04:30 UTC)), next);
        let known = night(Some("America/New_York"));
        assert_eq!(
            known.end_of("12125550142", datetime!(2026-11-23 14:00 UTC)),
            None
        );
    }

    #[test]
    fn where_it_is_always_quiet_somewhere_the_clock_of_most_counts() {
        let mut hours = night(None);
        (hours.from, hours.to) = (18 * 60, 9 * 60);
        // In Moscow; and then it is posted.
        let end = |hours: &QuietHours, now| hours.end_of("79161234567", now);
        let morning = datetime!(2026-11-23 06:00 UTC);
        assert_eq!(end(&hours, datetime!(2026-11-22 18:00 UTC)), Some(morning));
        assert_eq!(end(&hours, morning), None);
        // A short night is quiet between the edges too: 22:30 in Moscow.
        (hours.from, hours.to) = (22 * 60, 6 * 60);
        assert!(end(&hours, datetime!(2026-11-22 19:30 UTC)).is_some());
    }

    #[test]
    fn who_has_no_known_clock_is_written_to_at_any_time() {
        for recipient in ["GB.13491208655", "999123", ""] {
            let end = night(None).end_of(recipient, datetime!(2026-11-22 02:00 UTC));
            assert_eq!(end, None, "{recipient}");
        }
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for text in ["00:00", "08:05", "23:59"] {
            assert_eq!(show_time(parse_time(text).unwrap()), text);
        }
        for text in ["24:00", "8:00", "08:60", "0800", "", "-1:00", "+8:00"] {
            assert_eq!(parse_time(text), Err(InvalidTime), "{text}");
        }
    }
}
