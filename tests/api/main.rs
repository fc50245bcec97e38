//! The promises of the HTTP API, kept through its port over a real Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod compatible;
mod contract;
mod document;
mod erase;
mod errors;
mod event_data;
mod feed;
mod items;
mod keys;
mod lists;
mod messages;
mod once;
mod providers;
mod registered;
mod retention;
mod schema;
mod sequences;
mod setup;
mod standing;
mod submitted;
mod subscriptions;
mod support;
mod templates;
mod webhooks;
