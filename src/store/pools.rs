//! Connections to the database, shared out: what takes webhooks and what keeps the leases must not
//! wait for a connection that an API call or a slow claim holds.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use super::ingest::WRITERS;
use super::pool::{Asked, Doubt, Pool, limited};
use crate::clock::Clock;
use crate::config;

/// Who has connections of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What the writers of webhooks need beside their sessions.
    Ingest,
    /// Whose a webhook is; anybody can cause these.
    LookUps,
    /// Leases of senders: one late renewal, and a sender is lost.
    Leases,
    /// Claims, answers, and what else sending does.
    Sending,
    /// API calls.
    Api,
}

#[derive(Debug)]
pub(super) struct Pools {
    /// For sessions that are in none.
    pub(super) options: PgConnectOptions,
    pub(super) connect_timeout: Duration,
    pub(super) ingest: Pool,
    pub(super) look_ups: Pool,
    pub(super) leases: Pool,
    pub(super) sending: Pool,
    pub(super) api: Pool,
}

impl Pools {
    /// Shares out `max_connections`, and connects when one is needed. Fewer than eight are taken
    /// for eight.
    pub(super) fn new(
        settings: &config::Database,
        options: PgConnectOptions,
        clock: &Clock,
    ) -> Self {
        let options = limited(options, settings.statement_timeout);
        let doubt = Doubt::new(clock);
        let by_key = by_key(options.clone());
        let pool =
            |connections: u32, asked| Pool::new(&by_key, connections, asked, settings, &doubt);
        /// One each for new senders, look-ups and leases, the one that listens for hints, and the
        /// sessions of the writers.
        const KEPT: u32 = 4 + WRITERS as u32;
        let others = settings.max_connections.saturating_sub(KEPT);
        Self {
            ingest: pool(1, Asked::Always),
            look_ups: pool(1, Asked::Always),
            leases: pool(1, Asked::Always),
            sending: pool(others.div_ceil(2), Asked::AfterIdling),
            api: pool(others / 2, Asked::Always),
            connect_timeout: settings.acquire_timeout,
            options,
        }
    }

    /// How many are open, and how many of them idle, beside the writers' sessions.
    pub(super) fn open(&self) -> (usize, usize) {
        let pools = [
            &self.ingest,
            &self.look_ups,
            &self.leases,
            &self.sending,
            &self.api,
        ];
        let pools = pools.map(Pool::open);
        let sum = |(all, all_idle), (open, idle)| (all + open, all_idle + idle);
        pools.into_iter().fold((0, 0), sum)
    }

    /// Waits for connections in use and closes all.
    pub(super) async fn close(&self) {
        tokio::join!(
            self.ingest.close(),
            self.look_ups.close(),
            self.leases.close(),
            self.sending.close(),
            self.api.close(),
        );
    }
}

/// All joins here go from few rows to others by their key. A planner that knows these tables from
/// when they were small would rather read them whole, and such a plan is kept.
fn by_key(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("enable_material", "off"),
    ])
}
