//! Infobip: a solution provider with an API of its own.

mod content;
pub mod manage;
pub(in crate::provider) mod scale;
pub mod send;
pub mod webhook;
