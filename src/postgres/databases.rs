//! One migrated database a test. The first test of a process starts the [`TestServer`] (a private
//! cluster, or the server that `DATABASE_URL` names) and migrates a template; every test gets a
//! copy of it, about 0.1 s each. Only tests call this, which is why a static is right here.
//!
//! What always holds: a test's database is used by nobody else, and none outlives its use for
//! long: it is dropped after its [`TestDatabase`], with the private cluster at the process's end,
//! or, on a given server, by the next process (`administrator`).
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use sqlx::{Connection, PgConnection};
//! use twotick::postgres::TestServer;
//!
//! let server = TestServer::shared(|url| async move {
//!     let mut connection = PgConnection::connect(&url).await?;
//!     sqlx::query("CREATE TABLE facts (id bigint)").execute(&mut connection).await?;
//!     connection.close().await
//! });
//! let database = server.await?.create_database().await?;
//! let pool = sqlx::PgPool::connect(&database.url).await?;
//! # drop(pool);
//! # Ok(())
//! # }
//! ```

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use data_encoding::HEXLOWER;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::OnceCell;

use super::administrator::{Administrator, DROPPABLE};
use super::{Cluster, Options, PostgresError};

/// Never dropped: the cluster goes because its pipe to the watcher ends with the process.
static SHARED: OnceCell<TestServer> = OnceCell::const_new();

/// A server with a migrated template.
#[derive(Debug)]
pub struct TestServer {
    administrator: Administrator,
    address: PgConnectOptions,
    /// What the names of this process's databases begin with.
    prefix: String,
    made: AtomicU64,
    /// Held, not used: the server runs as long as this lives.
    _cluster: Option<Cluster>,
}

/// A database for one test. Dropping it drops the database in the background, with whatever is
/// still connected.
#[derive(Debug)]
pub struct TestDatabase {
    /// Where it is. On a private cluster this is its Unix socket, where connecting takes a tenth
    /// of the time that a password takes in a debug build.
    pub url: String,
    pub name: String,
    administrator: Administrator,
}

impl TestServer {
    /// The one server of this process, started by the first caller; only its `migrate` is run.
    /// `DATABASE_URL` given: that server, else a private cluster.
    pub async fn shared<M, F, E>(migrate: M) -> Result<&'static Self, PostgresError>
    where
        M: FnOnce(String) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let start = || async {
            match std::env::var("DATABASE_URL") {
                Ok(url) if !url.is_empty() => Self::given(&url, migrate).await,
                _ => Self::private(Options::default(), migrate).await,
            }
        };
        SHARED.get_or_try_init(start).await
    }

    /// A server on a private cluster. `migrate` gets the address of the empty template.
    pub async fn private<M, F, E>(options: Options, migrate: M) -> Result<Self, PostgresError>
    where
        M: FnOnce(String) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let cluster = Cluster::start(options).await?;
        let address = PgConnectOptions::from_str(&cluster.socket_url("postgres"))?;
        Self::start(address, Some(cluster), migrate).await
    }

    /// A server that runs already, and whose user may create databases.
    pub async fn given<M, F, E>(url: &str, migrate: M) -> Result<Self, PostgresError>
    where
        M: FnOnce(String) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        Self::start(PgConnectOptions::from_str(url)?, None, migrate).await
    }

    async fn start<M, F, E>(
        address: PgConnectOptions,
        cluster: Option<Cluster>,
        migrate: M,
    ) -> Result<Self, PostgresError>
    where
        M: FnOnce(String) -> F,
        F: Future<Output = Result<(), E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let unique = HEXLOWER.encode(&crate::clock::random::<6>());
        let prefix = format!("{DROPPABLE}{unique}");
        let server = Self {
            administrator: Administrator::start(address.clone(), prefix.clone())?,
            address,
            prefix,
            made: AtomicU64::new(0),
            _cluster: cluster,
        };
        let template = server.template();
        let administrator = &server.administrator;
        administrator
            .run(format!("CREATE DATABASE {template}"))
            .await?;
        let migrated = migrate(server.url(&template)).await;
        migrated.map_err(|error| PostgresError::Migrate(error.into()))?;
        // A database somebody is connected to cannot be copied.
        administrator
            .run(format!("ALTER DATABASE {template} ALLOW_CONNECTIONS false"))
            .await?;
        administrator
            .run(format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{template}'"
            ))
            .await?;
        Ok(server)
    }

    /// A fresh copy of the template, for the caller alone.
    pub async fn create_database(&self) -> Result<TestDatabase, PostgresError> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let (name, template) = (format!("{}_{number}", self.prefix), self.template());
        // WAL_LOG and FILE_COPY took the same 0.1 s with 40 tables; but FILE_COPY forces two
        // checkpoints, which every test beside it has to wait for.
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template} STRATEGY WAL_LOG");
        self.administrator.run(sql).await?;
        Ok(TestDatabase {
            url: self.url(&name),
            name,
            administrator: self.administrator.clone(),
        })
    }

    fn template(&self) -> String {
        format!("{}_template", self.prefix)
    }

    fn url(&self, database: &str) -> String {
        let address = self.address.clone().database(database);
        address.to_url_lossy().to_string()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        self.administrator
            .drop_later(std::mem::take(&mut self.name));
    }
}
