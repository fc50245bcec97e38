//! WhatsApp Cloud API, as Meta offers it itself.

pub mod content;
pub mod definition;
pub mod graph;
pub(in crate::provider) mod health;
pub mod manage;
pub mod send;
pub mod usage;
pub mod webhook;
