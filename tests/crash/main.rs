//! What must hold when processes die: the real binary, killed with -9 in the middle of its work,
//! over a real Postgres.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod balancer;
mod breakdown;
mod ingest;
mod logs;
mod measures;
mod memory;
mod provider;
mod repeats;
mod restart;
mod send;
mod slow_clients;
mod stall;
mod support;
