//! Infobip: a solution provider with an API of its own.

pub mod manage;
mod scale;
pub mod webhook;
