//! The connections to the database. What always holds: nobody waits for ever for one, neither
//! for a free one nor for an answer on it, and what a client leaves behind that went away without
//! a word is ended by the server.
//!
//! A connection that is cut says so. One that is stalled (a partition, a failover that takes the
//! address away) says nothing: only a time limit tells. Then all others of its age are doubted,
//! because the next one would cost as long.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::again::is_running;
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

/// For how long one is lent again and again before its pool sees it, which ends old ones.
const LENT: Duration = Duration::from_secs(60);

/// How long the end may take: connections that nobody answers on are left behind.
const CLOSE: Duration = Duration::from_secs(5);

/// Clones share everything.
#[derive(Debug, Clone)]
pub(super) struct Pool {
    pool: PgPool,
    /// One for each connection that there may be.
    places: Arc<Semaphore>,
    warm: Arc<Warm>,
    asked: Asked,
    /// For a free connection.
    patience: Duration,
    limit: Duration,
    doubt: Doubt,
}

/// Connections that were given back a moment ago, the last one last. The pool counts them as lent: it
/// would ask each whether it is there before it takes it back, a round trip more for every statement.
#[derive(Debug)]
struct Warm {
    connections: Mutex<Vec<Resting>>,
    doubt: Doubt,
}

#[derive(Debug)]
struct Resting {
    connection: PoolConnection<Postgres>,
    /// When the pool gave it.
    lent_at: Instant,
    /// When it was used last.
    since: Instant,
}

/// A connection in use. It goes back when this is dropped, in whatever state it is.
#[derive(Debug)]
pub(super) struct Lent {
    /// `None` when it has gone.
    connection: Option<PoolConnection<Postgres>>,
    /// Whether it may be in a transaction.
    in_transaction: bool,
    /// When the pool gave it.
    lent_at: Instant,
    warm: Arc<Warm>,
    /// Its place in the pool.
    place: Option<OwnedSemaphorePermit>,
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
        let connections = connections.max(1);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
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
            places: Arc::new(Semaphore::new(connections as usize)),
            warm: Arc::new(Warm {
                connections: Mutex::default(),
                doubt: doubt.clone(),
            }),
            asked,
            patience: settings.acquire_timeout,
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
        let place = Arc::clone(&self.places).acquire_owned();
        let place = tokio::time::timeout(self.patience, place).await;
        let place = place
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let now = self.doubt.clock.monotonic();
        let (connection, lent_at) = match self.warm.take(now) {
            Some(resting) => (resting.connection, resting.lent_at),
            None => (self.pool.acquire().await?, now),
        };
        Ok(Lent {
            connection: Some(connection),
            in_transaction: false,
            lent_at,
            warm: Arc::clone(&self.warm),
            place: Some(place),
        })
    }

    /// One was found to be cut off: others may be.
    pub(super) fn cool(&self) {
        self.warm.cool();
    }

    /// How many are open, and how many of them idle.
    pub(super) fn open(&self) -> (usize, usize) {
        let open = usize::try_from(self.pool.size()).unwrap_or(usize::MAX);
        (open, self.pool.num_idle() + self.warm.connections().len())
    }

    /// Waits for connections in use and closes all.
    pub(super) async fn close(&self) {
        self.places.close();
        self.warm.cool();
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
    /// Where what it was lent for has come to its end, it rests for who is next. Else, as the pool's own
    /// guard does it, it goes back when it has answered what it was asked last, but within a time
    /// limit: one that falls silent on its way would keep its place for as long as TCP believes in it,
    /// and some pools have one place.
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let place = self.place.take();
        let is_open = place.as_ref().is_some_and(|it| !it.semaphore().is_closed());
        let rests = is_open && is_running() && !self.in_transaction;
        let connection = match rests {
            true => self.warm.put(connection, self.lent_at),
            false => Some(connection),
        };
        if let Some(connection) = connection {
            send_back(connection, self.in_transaction, place);
        }
    }
}

impl Warm {
    fn connections(&self) -> MutexGuard<'_, Vec<Resting>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, where that is no while ago.
    fn take(&self, now: Instant) -> Option<Resting> {
        let last = self.connections().pop()?;
        let is_fresh = now.saturating_duration_since(last.since) < IDLING;
        if is_fresh && self.doubt.is_from_before(last.lent_at) {
            return Some(last);
        }
        // All others have been here for longer.
        send_back(last.connection, false, None);
        self.cool();
        None
    }

    /// Keeps one for who is next; `Some`: it has to go back.
    fn put(
        &self,
        connection: PoolConnection<Postgres>,
        lent_at: Instant,
    ) -> Option<PoolConnection<Postgres>> {
        let now = self.doubt.clock.monotonic();
        if now.saturating_duration_since(lent_at) > LENT {
            return Some(connection);
        }
        let mut all = self.connections();
        all.push(Resting {
            connection,
            lent_at,
            since: now,
        });
        // More than are needed.
        let first = all.first()?.since;
        let is_idle = now.saturating_duration_since(first) >= IDLING;
        is_idle.then(|| all.remove(0).connection)
    }

    /// All go back, and are asked there.
    fn cool(&self) {
        let all = std::mem::take(&mut *self.connections());
        for resting in all {
            send_back(resting.connection, false, None);
        }
    }
}

/// Gives one back, beside whatever else goes on. Without a runtime it is closed.
fn send_back(
    mut connection: PoolConnection<Postgres>,
    in_transaction: bool,
    place: Option<OwnedSemaphorePermit>,
) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return connection.close_on_drop();
    };
    runtime.spawn(async move {
        let returning = give_back(connection, in_transaction);
        let _ = tokio::time::timeout(RETURN, returning).await;
        drop(place);
    });
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

    /// Whether all that were made until this moment, and trusted then, still are.
    fn is_from_before(&self, moment: Instant) -> bool {
        self.from().is_none_or(|from| from < moment)
    }

    fn from(&self) -> MutexGuard<'_, Option<Instant>> {
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
