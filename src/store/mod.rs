//! All SQL. One file an aggregate, one verb a function; a transaction has a name and can be run
//! again. What is pure is decided by `model`, before or between the statements.
//!
//! A [`StoreError`] means that the database could not do it now: the caller says 503 or tries
//! again later. What the caller asked for and cannot have is the function's own error type.

mod adopt;
pub mod answers;
mod attempts;
pub mod claim;
mod connection_cache;
mod connections;
mod facts;
pub mod feed;
mod hints;
pub mod ingest;
pub mod journal_read;
mod keys;
pub mod leases;
pub mod message_list;
pub mod messages;
mod once;
mod partitions;
pub mod senders;
pub mod sequence_changes;
pub mod sequence_create;
mod sequence_steps;
pub mod sequences;
mod templates;
pub mod templates_read;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::clock::Clock;
use crate::config;
use crate::model::ids::{ConnectionId, SenderId};
use crate::seal::{SealError, SealingKey};

pub use connection_cache::ConnectionCache;
pub use connections::{Connection, Credentials, CredentialsChange, NewConnection};
pub use hints::Hints;
pub use keys::{ApiKeyId, KeyCache};
pub use once::{Once, Reply};
pub use sequence_changes::WrongState;
pub use templates::TemplateToRead;

/// The database could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, overloaded, or refused a statement.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// A row's sealed value does not open.
    #[error("{what}: {source}")]
    Sealed {
        /// Table and row.
        what: String,
        /// Why.
        source: SealError,
    },
    /// A row holds what no version of ours writes.
    #[error("corrupt row: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Whether the database refused what the statement brought, and would again: bad data
    /// (SQLSTATE class 22), a constraint that a race cannot explain (23), or more than it can
    /// hold (54).
    pub fn is_refusal(&self) -> bool {
        const CLASSES: [&str; 3] = ["22", "23", "54"];
        self.sqlstate()
            .is_some_and(|code| CLASSES.iter().any(|class| code.starts_with(class)))
    }

    fn sqlstate(&self) -> Option<String> {
        let Self::Database(error) = self else {
            return None;
        };
        let code = error.as_database_error()?.code()?;
        Some(code.into_owned())
    }

    /// Whether this named constraint was violated.
    fn is_on(&self, constraint: &str) -> bool {
        matches!(self, Self::Database(error)
            if error.as_database_error().and_then(|error| error.constraint()) == Some(constraint))
    }

    /// Whether it may work later: the server is away, stopping, full, or in a conflict that
    /// lasted. Anything else is a fault of ours.
    pub fn may_pass(&self) -> bool {
        /// Connection, transaction rollback, resources, operator intervention.
        const CLASSES: [&str; 4] = ["08", "40", "53", "57"];
        match self {
            Self::Database(
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed,
            ) => true,
            _ => self
                .sqlstate()
                .is_some_and(|code| CLASSES.iter().any(|class| code.starts_with(class))),
        }
    }
}

/// Access to everything that is kept.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    clock: Clock,
    sealing_key: Arc<SealingKey>,
}

impl Store {
    /// Connects, brings the schema up to date, and checks that this database can keep our
    /// promises and that the sealing key is the one it knows.
    pub async fn open(
        url: &str,
        settings: &config::Database,
        sealing_key: SealingKey,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        // Every plan is for any parameters: a plan per call costs more than it saves here.
        let options: PgConnectOptions = url
            .parse::<PgConnectOptions>()?
            .options([("plan_cache_mode", "force_generic_plan"), ("jit", "off")]);
        // Alone, because the pool would say that it timed out, and not why.
        let first = PgConnection::connect_with(&options);
        let first = tokio::time::timeout(settings.acquire_timeout, first).await;
        first
            .map_err(|_| sqlx::Error::PoolTimedOut)??
            .close()
            .await?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_timeout)
            .connect_with(options)
            .await?;
        let store = Self {
            pool,
            clock,
            sealing_key: Arc::new(sealing_key),
        };
        sqlx::migrate!().run(&store.pool).await?;
        store.check_settings().await?;
        store.check_sealing_key().await?;
        Ok(store)
    }

    /// The clock that everything here is dated by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// For lists with many optional filters: each is planned with its own values, so that the
    /// index of the filter that is given is used. All its statements see one moment.
    async fn begin_list(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        let mut list = self.begin_snapshot().await?;
        plan_each(&mut list).await?;
        Ok(list)
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query_scalar!("SELECT 1 AS one")
            .fetch_one(&self.pool)
            .await?;
        Ok(())
    }

    /// 200 means committed: a server that acknowledges before it has flushed cannot keep that.
    async fn check_settings(&self) -> Result<(), OpenError> {
        let settings = sqlx::query!(
            r#"
            SELECT current_setting('synchronous_commit') AS "synchronous_commit!",
                   current_setting('fsync') AS "fsync!",
                   current_setting('server_version_num')::integer AS "version!"
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        if settings.synchronous_commit == "off" || settings.fsync == "off" {
            return Err(OpenError::NotDurable);
        }
        if settings.version < 150_000 {
            return Err(OpenError::TooOld(settings.version / 10_000));
        }
        Ok(())
    }

    async fn check_sealing_key(&self) -> Result<(), OpenError> {
        const CONTEXT: &[u8] = b"sealing_check";
        let sealed = self.sealing_key.seal(CONTEXT, b"twotick")?;
        sqlx::query!(
            "INSERT INTO sealing_check (sealed) VALUES ($1) ON CONFLICT DO NOTHING",
            sealed
        )
        .execute(&self.pool)
        .await?;
        let sealed = sqlx::query_scalar!("SELECT sealed FROM sealing_check")
            .fetch_one(&self.pool)
            .await?;
        self.sealing_key.open(CONTEXT, &sealed)?;
        Ok(())
    }
}

/// From here to the end of a transaction, statements are planned with their values.
async fn plan_each(connection: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("SET LOCAL plan_cache_mode = force_custom_plan")
        .execute(connection)
        .await?;
    Ok(())
}

/// Why the service cannot start on this database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be reached, or refuses us.
    #[error("cannot connect to the database")]
    Connect(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A crash of the server would lose what we answered 200 for.
    #[error("the database must have fsync on and synchronous_commit not off: 200 means committed")]
    NotDurable,
    /// Older than 15.
    #[error("PostgreSQL 15 or newer is needed, this is {0}")]
    TooOld(i32),
    /// Another key sealed what is in this database.
    #[error(transparent)]
    SealingKey(#[from] SealError),
}

/// Brings the schema of an empty or older database up to date.
pub async fn migrate(url: &str) -> Result<(), OpenError> {
    let mut connection = <PgConnection as sqlx::Connection>::connect(url).await?;
    sqlx::migrate!().run(&mut connection).await?;
    sqlx::Connection::close(connection).await?;
    Ok(())
}

/// SQLSTATEs after which the same transaction may simply be run again: serialization failure,
/// deadlock.
const RUN_AGAIN: [&str; 2] = ["40001", "40P01"];

/// Runs a transaction, again where the database asks for it: `again!("name", { … })`, with `?`
/// inside. The name is for the log. A macro, because the compiler cannot yet see that the future
/// of a generic async closure is `Send`.
macro_rules! again {
    ($name:literal, $transaction:block) => {{
        let mut tries = 1;
        loop {
            let result: Result<_, $crate::store::StoreError> = async { $transaction }.await;
            match result {
                Err(error) if $crate::store::runs_again($name, &error, tries).await => tries += 1,
                result => break result,
            }
        }
    }};
}
use again;

/// Whether a transaction that failed so runs again; waits a moment if it does.
async fn runs_again(name: &'static str, error: &StoreError, tries: u32) -> bool {
    /// A conflict that lasts longer than this is no accident of timing.
    const TRIES: u32 = 5;
    let conflict = error
        .sqlstate()
        .is_some_and(|code| RUN_AGAIN.contains(&code.as_str()));
    if conflict && tries < TRIES {
        tracing::debug!(name, tries, %error, "a transaction runs again");
        tokio::time::sleep(Duration::from_millis(u64::from(tries))).await;
        return true;
    }
    false
}

impl From<i32> for SenderId {
    fn from(id: i32) -> Self {
        Self(id)
    }
}

impl From<Uuid> for ConnectionId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}
