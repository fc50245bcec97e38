//! twotick: receives the webhooks that say what became of WhatsApp messages, keeps the truth
//! about every message, and lets the next message of a sequence go only when the one before has
//! been delivered. `docs/ARCHITECTURE.md` is the map.

pub mod cli;
pub mod clock;
pub mod config;
pub mod feed;
pub mod forward;
pub mod http;
pub mod ingest;
pub mod manage;
pub mod measures;
pub mod model;
pub mod postgres;
pub mod provider;
pub mod seal;
pub mod send;
pub mod service;
pub mod signals;
pub mod simulator;
pub mod store;
