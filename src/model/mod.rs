//! What is true, and what follows from it. Pure: no clock, no randomness, no I/O; time is a
//! parameter. Everything else carries data to these functions and back.

pub mod error_class;
pub mod fact;
pub mod ids;

/// A moment in UTC.
pub type Timestamp = time::OffsetDateTime;
