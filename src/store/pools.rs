//! Connections to the database, shared out: what takes webhooks and what keeps the leases must not
//! wait for a connection that an API call or a slow claim holds.

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::config;

/// Who has connections of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The writer of webhooks.
    Ingest,
    /// Whose a webhook is; anybody can cause these.
    LookUps,
    /// Leases of senders: one late renewal, and a sender is lost.
    Leases,
    /// The one that listens for hints, for good.
    Hints,
    /// Claims, answers, and what else sending does.
    Sending,
    /// API calls.
    Api,
}

#[derive(Debug)]
pub(super) struct Pools {
    pub(super) ingest: PgPool,
    pub(super) look_ups: PgPool,
    pub(super) leases: PgPool,
    pub(super) hints: PgPool,
    pub(super) sending: PgPool,
    pub(super) api: PgPool,
}

impl Pools {
    /// Shares out `max_connections`, and connects when one is needed. Fewer than six are taken for
    /// six.
    pub(super) fn new(settings: &config::Database, options: &PgConnectOptions) -> Self {
        let pool = |connections: u32| {
            PgPoolOptions::new()
                .max_connections(connections.max(1))
                .acquire_timeout(settings.acquire_timeout)
                .connect_lazy_with(options.clone())
        };
        let ingest = (settings.max_connections / 8).max(1);
        let others = settings.max_connections.saturating_sub(ingest + 3);
        Self {
            ingest: pool(ingest),
            look_ups: pool(1),
            leases: pool(1),
            hints: pool(1),
            sending: pool(others.div_ceil(2)),
            api: pool(others / 2),
        }
    }

    /// Waits for connections in use and closes all.
    pub(super) async fn close(&self) {
        tokio::join!(
            self.ingest.close(),
            self.look_ups.close(),
            self.leases.close(),
            self.hints.close(),
            self.sending.close(),
            self.api.close(),
        );
    }
}
