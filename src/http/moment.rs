//! Times in JSON and in queries: RFC 3339, in UTC, with milliseconds.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::well_known;
use time::{OffsetDateTime, UtcOffset};

use crate::model::{Rfc3339, Timestamp};

/// A time on its way in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(Rfc3339::of(self.0).as_str())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        OffsetDateTime::parse(&text, &well_known::Rfc3339)
            .ok()
            // Beyond these, formats and the database differ.
            .filter(|at| (1970..=9998).contains(&at.year()))
            .map(|at| Self(at.to_offset(UtcOffset::UTC)))
            .ok_or_else(|| {
                serde::de::Error::custom("expected a time such as `2026-11-05T09:30:00Z`")
            })
    }
}
