//! A Postgres of our own: for `demo` and the tests, on machines where nobody gave a
//! `DATABASE_URL`.
//!
//! Who is who. [`Binaries`] are found on the machine. A [`Cluster`] is one server with its folder;
//! its *owner* is the process that holds the `Cluster`. Between the two stands the *watcher*, a
//! small `sh` that runs `initdb` and `postgres` and holds a pipe to the owner: however the owner
//! ends, the pipe ends with it, and the watcher stops the server and removes the folder.
//! [`TestServer`] hands out one migrated database a test.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use twotick::postgres::{Cluster, Options};
//!
//! let cluster = Cluster::start(Options::default()).await?;
//! let pool = sqlx::PgPool::connect(&cluster.url("postgres")).await?;
//! let two: i32 = sqlx::query_scalar("SELECT 1 + 1").fetch_one(&pool).await?;
//! assert_eq!(two, 2);
//! pool.close().await;
//! cluster.stop().await?;
//! # Ok(())
//! # }
//! ```

mod account;
mod administrator;
mod binaries;
mod cluster;
mod databases;

mod files;
mod folder;
mod scratch;
mod watcher;

use std::io;
use std::path::PathBuf;

pub use binaries::{Binaries, Places};
pub use cluster::{Cluster, Options};
pub use databases::{TestDatabase, TestServer};
pub use scratch::Scratch;

/// Why there is no private Postgres. Every message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error(
        "expected `initdb` and `postgres` of PostgreSQL {} or newer, found none (looked in {looked}). \
         Install them:\n\
         \x20 Debian, Ubuntu:  apt-get install postgresql\n\
         \x20 Fedora, RHEL:    dnf install postgresql-server\n\
         \x20 macOS:           brew install postgresql@17\n\
         or set PG_BIN_DIR to the folder that holds them, or DATABASE_URL to a server that runs",
        binaries::OLDEST
    )]
    NotFound { looked: String },
    #[error(
        "expected PostgreSQL {} or newer, found {version} in {}. Install a newer one, or set \
         PG_BIN_DIR to its folder, or DATABASE_URL to a server that runs",
        binaries::OLDEST, folder.display()
    )]
    TooOld { version: u32, folder: PathBuf },
    #[error(
        "postgres refuses to run as root, and /etc/passwd has neither a `postgres` nor a `nobody` \
         to run it as. Run as another user, or set DATABASE_URL to a server that runs"
    )]
    NoAccount,
    #[error(
        "expected to make the cluster's folder at {}. Set TMPDIR to a folder that can be written",
        path.display()
    )]
    Folder { path: PathBuf, source: io::Error },
    #[error("expected to run and to hear `{program}`, which the private Postgres needs")]
    Process {
        program: &'static str,
        source: io::Error,
    },
    #[error("initdb ended with status {status}. The end of its log:\n{log}")]
    Initdb { status: i32, log: String },
    #[error("postgres ended with status {status} instead of starting. The end of its log:\n{log}")]
    Start { status: i32, log: String },
    #[error("postgres was not ready after {seconds} s. The end of its log:\n{log}")]
    StartTooSlow { seconds: u64, log: String },
    #[error(
        "the private Postgres is not gone after {seconds} s. Look for processes that use {} and \
         remove it",
        folder.display()
    )]
    StopTooSlow { seconds: u64, folder: PathBuf },
    #[error("the server for tests refused: is it up, and may the user create databases?")]
    Database(#[from] sqlx::Error),
    #[error("the template database for tests could not be migrated")]
    Migrate(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the thread that makes databases for tests has ended; its panic is further up")]
    DatabasesGone,
}
