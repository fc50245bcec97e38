//! What must hold when the database fails: cut connections, lost answers, silence, a server that
//! stops, is killed, is full or refuses, conflicts, a failover. The service runs in the test's
//! process, over a real Postgres and through a proxy that brings the failures about.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod conflicts;
mod corrupt;
mod failover;
mod ground;
mod load;
mod network;
mod proxy;
mod refusals;
mod server;
mod start;
