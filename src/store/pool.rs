//! The connections to the database. What always holds: nobody waits for ever for one, neither
//! for a free one nor for an answer on it, and what a client leaves behind that went away without
//! a word is ended by the server.
//!
//! A connection that is cut says so. One that is stalled (a partition, a failover that takes the
//! address away) says nothing: only a time limit tells. Then all others of its age are doubted,
//! because the next one would cost as long.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Postgres};

use crate::clock::Clock;
use crate::config;

/// How long an idle connection may take to say that it is there.
pub(super) const PING: Duration = Duration::from_secs(1);

/// How long one may take on its way back to its pool, which waits for what it was asked, and would
/// do so for ever. Until then it takes up its place.
const RETURN: Duration = Duration::from_secs(2);

/// Which connections that were used a moment ago are asked whether they are there before they are
/// used again. Those that have been idle for a while always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// All: whoever uses one answers a caller.
    Always,
    /// None. Whoever finds one cut off tries again.
    AfterIdling,
}

/// What is a while.
const IDLING: Duration = Duration::from_millis(500);

/// How long the end may take: connections that nobody answers on are left behind.
const CLOSE: Duration = Duration::from_secs(5);

/// Clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pool: PgPool,
    asked: Asked,
    limit: Duration,
    doubt: Doubt,
}

/// A connection in use. It goes back when this is dropped, in whatever state it is.
#[derive(Debug)]
pub(super) struct Lent {
    /// `None` when it has gone.
    connection: Option<PoolConnection<Postgres>>,
    /// Whether it may be in a transaction.
    in_transaction: bool,
}

/// From when on connections are trusted. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    clock: Clock,
    from: Arc<Mutex<Option<Instant>>>,
}

/// Where and how to connect for a short while, without limits: for migrations.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(url.parse::<PgConnectOptions>()?.options([
        // Every plan is for any parameters: a plan per call costs more than it saves here.
        ("plan_cache_mode", "force_generic_plan"),
        ("jit", "off"),
        // A plan that was made while a table was small is kept until its statistics are renewed,
        // minutes after a million rows have come. Every statement has its index.
        ("enable_seqscan", "off"),
    ]))
}

impl Pool {
    /// Connects when a connection is needed. `options` are [`limited`].
    pub(super) fn new(
        options: &PgConnectOptions,
        connections: u32,
        asked: Asked,
        settings: &config::Database,
        doubt: &Doubt,
    ) -> Self {
        let trusted = doubt.clone();
        let pool = PgPoolOptions::new()
            .max_connections(connections.max(1))
            .acquire_timeout(settings.acquire_timeout)
            // Ours, because that of the pool has no limit.
            .test_before_acquire(false)
            .before_acquire(move |connection, seen| {
                let trusted = trusted.holds_for(seen.age);
                let fresh = seen.idle_for < IDLING;
                Box::pin(async move { Ok(trusted && (fresh || answers(connection).await)) })
            })
            .connect_lazy_with(options.clone());
        Self {
            pool,
            asked,
            // A free connection, then an answer; the server's own limit comes first, because an
            // error says more than silence.
            limit: settings.acquire_timeout + settings.statement_timeout + PING,
            doubt: doubt.clone(),
        }
    }

    /// How long one transaction may take, all told.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Connections made before now are not used any more.
    pub(super) fn distrust(&self) {
        let mut from = self.doubt.from();
        *from = Some(self.doubt.clock.monotonic());
    }

    /// One that answers.
    pub(super) async fn acquire(&self) -> Result<Lent, sqlx::Error> {
        loop {
            let mut lent = self.lend().await?;
            if self.asked == Asked::AfterIdling || answers(&mut lent).await {
                return Ok(lent);
            }
            lent.close();
        }
    }

    /// One that answered a moment ago: for who can do it again on another one.
    pub(super) async fn lend(&self) -> Result<Lent, sqlx::Error> {
        Ok(Lent {
            connection: Some(self.pool.acquire().await?),
            in_transaction: false,
        })
    }

    /// How many are open, and how many of them idle.
    pub(super) fn open(&self) -> (usize, usize) {
        let open = usize::try_from(self.pool.size()).unwrap_or(usize::MAX);
        (open, self.pool.num_idle())
    }

    /// Waits for connections in use and closes all.
    pub(super) async fn close(&self) {
        if tokio::time::timeout(CLOSE, self.pool.close())
            .await
            .is_err()
        {
            tracing::warn!("the database does not answer: connections are left as they are");
        }
    }
}

impl Lent {
    /// Begins a transaction by `statement`; until [`Lent::commit`] it is rolled back on the way
    /// back to the pool, even if this future was dropped before it was heard that it had begun.
    pub(super) async fn begin(&mut self, statement: &'static str) -> Result<(), sqlx::Error> {
        self.in_transaction = true;
        self.execute(statement).await?;
        Ok(())
    }

    /// Does not go back.
    pub(super) fn close(mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.close_on_drop();
        }
    }

    /// Commits what was begun. An error may mean that nobody knows whether it was.
    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.execute("COMMIT").await?;
        self.in_transaction = false;
        Ok(())
    }
}

impl Deref for Lent {
    type Target = PgConnection;

    #[allow(clippy::expect_used, reason = "only dropping takes it")]
    fn deref(&self) -> &PgConnection {
        self.connection.as_ref().expect("not dropped yet")
    }
}

impl DerefMut for Lent {
    #[allow(clippy::expect_used, reason = "only dropping takes it")]
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("not dropped yet")
    }
}

impl Drop for Lent {
    /// As the pool's own guard does it, but within a time limit: one that falls silent on its way
    /// would keep its place for as long as TCP believes in it, and some pools have one place.
    fn drop(&mut self) {
        // Without a runtime it is closed.
        if let (Some(connection), Ok(runtime)) = (
            self.connection.take(),
            tokio::runtime::Handle::try_current(),
        ) {
            let returning = give_back(connection, self.in_transaction);
            runtime.spawn(async move { tokio::time::timeout(RETURN, returning).await });
        }
    }
}

async fn give_back(mut connection: PoolConnection<Postgres>, in_transaction: bool) {
    // Should this be given up.
    connection.close_on_drop();
    if !in_transaction || connection.execute("ROLLBACK").await.is_ok() {
        connection.return_to_pool().await;
    }
}

impl Doubt {
    pub(super) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            from: Arc::default(),
        }
    }

    /// Whether a connection of this age is trusted.
    fn holds_for(&self, age: Duration) -> bool {
        let from = *self.from();
        let made_at = self.clock.monotonic().checked_sub(age);
        from.is_none_or(|from| made_at.is_some_and(|made_at| made_at > from))
    }

    fn from(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.from.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error says that the connection is gone.
pub(super) fn is_cut(error: &sqlx::Error) -> bool {
    /// Connection exceptions, and those of a server that stops.
    const STATES: [&str; 4] = ["08", "57P01", "57P02", "57P03"];
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| STATES.iter().any(|state| code.starts_with(state))),
        _ => false,
    }
}

async fn answers(connection: &mut PgConnection) -> bool {
    let answer = tokio::time::timeout(PING, connection.ping()).await;
    matches!(answer, Ok(Ok(())))
}

/// A transaction that waits so long for its next statement belongs to a process that is stalled,
/// or to a machine that is gone. The server ends it, or its locks would keep others from taking
/// over what was its own. Shorter than a lease.
const STALLED: &str = "3s";

/// What the server does for us: ends statements that take too long, and sessions whose client is
/// gone, with their locks. A sender whose row such a session has locked could not be taken over.
pub(super) fn limited(options: PgConnectOptions, limit: Duration) -> PgConnectOptions {
    let millis = limit.as_millis().to_string();
    let seconds = limit.as_secs().max(1).to_string();
    options.options([
        ("statement_timeout", millis.as_str()),
        ("idle_in_transaction_session_timeout", STALLED),
        // Where there is nothing to roll back, nobody needs to hear of it.
        ("client_min_messages", "error"),
        ("tcp_user_timeout", &millis),
        ("tcp_keepalives_idle", &seconds),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "3"),
    ])
}
