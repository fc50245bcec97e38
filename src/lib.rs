//! twotick: receives the webhooks that say what became of WhatsApp messages, keeps the truth
//! about every message, and lets the next message of a sequence go only when the one before has
//! been delivered. `docs/ARCHITECTURE.md` is the map.

pub mod clock;
pub mod model;
pub mod postgres;
