//! The simulator's promises, kept over HTTP: a receiver of webhooks that trusts nothing stands
//! on one side, a caller of the API on the other. What the service makes of its webhooks is in
//! `tests/promises/simulated.rs`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod dialog360;
mod infobip;
mod meta;
mod retries;
mod sent;
mod support;
