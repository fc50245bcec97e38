//! `twotick demo`: not runnable yet; so far the proof it will end with.

pub mod check;
pub mod history;
pub mod manifest;
