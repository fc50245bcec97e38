//! All SQL. One file an aggregate, one verb a function; a transaction has a name and can be run
//! again. What is pure is decided by `model`, before or between the statements.
//!
//! A [`StoreError`] means that the database could not do it now: the caller says 503 or tries
//! again later. What the caller asked for and cannot have is the function's own error type.

pub mod acceptances;
mod adopt;
mod again;
pub mod answers;
mod attempts;
pub mod audit;
mod campaign_changes;
pub mod campaign_counts;
pub mod campaign_upload;
mod campaign_watch;
mod campaign_work;
pub mod campaigns;
pub mod claim;
mod connection_cache;
mod connections;
mod copies;
pub mod deliveries;
pub mod delivery_log;
mod dropped;
pub mod erase;
mod examine;
mod expiry;
mod facts;
mod failures;
pub mod feed;
mod fitness;
mod gauges;
mod hints;
pub mod ingest;
pub mod journal;
mod key_cache;
pub mod keys;
pub mod last_words;
pub mod leases;
pub mod message_edit;
pub mod message_list;
mod message_reasons;
pub mod messages;
mod number_readings;
mod once;
mod partitions;
pub mod polls;
mod pool;
mod pools;
mod recent_posts;
pub mod recipients;
pub mod replays;
pub mod retention;
pub mod senders;
pub mod sequence_changes;
pub mod sequence_create;
mod sequence_steps;
pub mod sequences;
pub mod sinks;
mod subscription_changes;
pub mod subscription_leases;
mod subscription_secrets;
pub mod subscriptions;
mod template_changes;
pub mod template_manage;
pub mod template_readings;
mod template_said;
mod templates;
pub mod templates_read;
mod time;
mod transaction;
mod waiting;
mod wrong_state;

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch;
use uuid::Uuid;

use self::again::again;
use self::pool::Pool;
use self::transaction::Transaction;
use crate::clock::Clock;
use crate::config;
use crate::model::erased::Erased;
use crate::model::ids::{ConnectionId, SenderId};
use crate::seal::{SealError, SealingKey};

use self::pools::Pools;

pub use campaign_changes::CampaignChange;
pub use campaign_work::CampaignWork;
pub use connection_cache::ConnectionCache;
pub use connections::{Connection, Credentials, CredentialsChange, NewConnection, Version};
pub use examine::{Examined, examine};
pub use hints::{Hint, Hints};
pub use key_cache::{FRESH, KeyCache, Left};
pub(crate) use once::shown;
pub use once::{Claim, Once, Reply};
pub use pools::Part;
pub use templates::TemplateToRead;
pub use wrong_state::{Changed, WrongState};

/// The database could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away, overloaded, or refused a statement.
    #[error("the database failed: {0}")]
    Database(sqlx::Error),
    /// It said nothing in time. What was asked for may have been done.
    #[error("the database did not answer in time ({0})")]
    NoAnswer(&'static str),
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

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // It is in the words already, and no source beside them, or it would be printed twice.
        Self::Database(error)
    }
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

    /// Whether it may work later: the server is away, stopping, full, a standby, or in a conflict
    /// that lasted. Anything else is a fault of ours.
    pub fn may_pass(&self) -> bool {
        /// Connection, read-only transaction, a transaction that was ended because we stalled,
        /// authorization (a server that is not set up yet), transaction rollback, resources, lock
        /// not available, operator intervention, and what the system below it cannot do.
        const CLASSES: [&str; 9] = [
            "08", "25006", "25P03", "28", "40", "53", "55P03", "57", "58",
        ];
        match self {
            Self::NoAnswer(_) => true,
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
    /// The connections of `self`'s part of the service.
    pool: Pool,
    pools: Arc<Pools>,
    clock: Clock,
    sealing_key: Arc<SealingKey>,
    /// Who was erased; what is said of them is stripped before it is written.
    erased: Arc<watch::Sender<Erased>>,
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
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        if let Some(other) = scheme.filter(|name| !["postgres", "postgresql"].contains(name)) {
            return Err(OpenError::Scheme(other.to_owned()));
        }
        let options = pool::options(url)?;
        // Alone, because the pool would say that it timed out, and not why; and without limits:
        // a migration may take long.
        let first = PgConnection::connect_with(&options);
        let first = tokio::time::timeout(settings.acquire_timeout, first).await;
        let first = first.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        let mut first = first.map_err(|error| OpenError::Unreachable {
            at: format!("{}:{}", options.get_host(), options.get_port()),
            error,
        })?;
        fitness::check(&mut first).await?;
        time::follow(&mut first, &clock).await?;
        // `run` makes a future that is not `Send`.
        sqlx::migrate!().run_direct(None, &mut first, false).await?;
        feed::go_on(&mut first).await?;
        first.close().await?;
        let pools = Pools::new(settings, options, &clock);
        let erased = Erased::new(sealing_key.derive(erase::CONTEXT));
        let store = Self {
            pool: pools.api.clone(),
            pools: Arc::new(pools),
            clock,
            sealing_key: Arc::new(sealing_key),
            erased: Arc::new(watch::Sender::new(erased)),
        };
        store.check_sealing_key().await?;
        store.read_erasures().await?;
        Ok(store)
    }

    /// The same store over the connections that are kept for `part`.
    pub fn of(&self, part: Part) -> Self {
        let pool = match part {
            Part::Ingest => &self.pools.ingest,
            Part::LookUps => &self.pools.look_ups,
            Part::Leases => &self.pools.leases,
            Part::Sending => &self.pools.sending,
            Part::Api => &self.pools.api,
        };
        Self {
            pool: pool.clone(),
            ..self.clone()
        }
    }

    /// The clock that everything here is dated by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// For lists with many optional filters: each is planned with its own values, so that the
    /// index of the filter that is given is used. All its statements see one moment.
    async fn begin_list(&self) -> Result<Transaction, StoreError> {
        let mut list = self.begin_snapshot().await?;
        // To compile a plan, or to start workers, takes longer than to read a page.
        sqlx::query(
            "SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
                    set_config('jit', 'off', true),
                    set_config('max_parallel_workers_per_gather', '0', true)",
        )
        .execute(&mut *list)
        .await?;
        Ok(list)
    }

    /// Waits for connections in use and closes all.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    /// Whether the database answers, and lets us write.
    pub async fn ping(&self) -> Result<bool, StoreError> {
        again!(self, "ping", {
            let writes = sqlx::query_scalar!(
                r#"SELECT current_setting('transaction_read_only') = 'off' AS "writes!""#
            );
            Ok(writes.fetch_one(&mut *self.pool.acquire().await?).await?)
        })
    }

    async fn check_sealing_key(&self) -> Result<(), OpenError> {
        let sealed = self.sealing_key.seal(SEALING_CHECK, b"twotick")?;
        sqlx::query!(
            "INSERT INTO sealing_check (sealed) VALUES ($1) ON CONFLICT DO NOTHING",
            sealed
        )
        .execute(&mut *self.pool.acquire().await?)
        .await?;
        let sealed = sqlx::query_scalar!("SELECT sealed FROM sealing_check")
            .fetch_one(&mut *self.pool.acquire().await?)
            .await?;
        self.sealing_key.open(SEALING_CHECK, &sealed)?;
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

/// For what the sealed word that tells one key from another is sealed.
const SEALING_CHECK: &[u8] = b"sealing_check";

/// Why the service cannot start on this database.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is another database's URL.
    #[error(
        "DATABASE_URL must be PostgreSQL's, such as `postgres://user:password@host:5432/name`; \
         this one begins with `{0}://`"
    )]
    Scheme(String),
    /// It cannot be reached, or refuses us. What sqlx says has its source in it.
    #[error("cannot connect to the database at {at}, which DATABASE_URL names: {error}")]
    Unreachable {
        /// Host and port.
        at: String,
        /// What sqlx says.
        error: sqlx::Error,
    },
    /// It failed at the first things that it was asked for.
    #[error("the database that DATABASE_URL names: {0}")]
    Connect(sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A crash of the server would lose what we answered 200 for.
    #[error("the database must have fsync on and synchronous_commit not off: 200 means committed")]
    NotDurable,
    /// A failover would lose what we answered 200 for.
    #[error(
        "synchronous_standby_names is set and synchronous_commit is local: a failover would lose \
         what was answered 200. Set synchronous_commit to on, or remove the standby's name"
    )]
    NotReplicated,
    /// Nobody can write there.
    #[error(
        "this server is a standby (it is in recovery): DATABASE_URL must lead to the primary; \
         promote this one or name the other"
    )]
    Standby,
    /// Nobody may write there.
    #[error("this database is read-only (default_transaction_read_only is on for us)")]
    ReadOnly,
    /// Older than 15.
    #[error("PostgreSQL 15 or newer is needed, this is {0}")]
    TooOld(i32),
    /// What has to be known before anything is taken could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another key sealed what is in this database.
    #[error(transparent)]
    SealingKey(#[from] SealError),
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        Self::Connect(error)
    }
}

/// Brings the schema of an empty or older database up to date.
pub async fn migrate(url: &str) -> Result<(), OpenError> {
    let mut connection = <PgConnection as sqlx::Connection>::connect(url).await?;
    sqlx::migrate!().run(&mut connection).await?;
    sqlx::Connection::close(connection).await?;
    Ok(())
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
