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
    let at = at.to_offset(time::UtcOffset::UTC);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}
