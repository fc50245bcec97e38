//! What is true, and what follows from it. Pure: no clock, no randomness, no I/O; time is a
//! parameter. Everything else carries data to these functions and back.

pub mod error_class;
pub mod event;
pub mod evidence;
pub mod fact;
pub mod ids;
pub mod lane;
pub mod limits;
pub mod message;
pub mod sequence;
pub mod template;

/// A moment in UTC.
pub type Timestamp = time::OffsetDateTime;
