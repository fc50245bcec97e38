//! The one connection through which a process creates and drops its databases for tests.
//!
//! It lives on a thread with a runtime of its own, for three reasons: every `#[tokio::test]` has
//! its own runtime, and a connection dies with the one it was made on; databases are created one
//! after the other, because two copies of one template disturb each other; and a `Drop` can leave
//! the dropping to it.
//!
//! The connection's `application_name` is what the process's databases begin with. So whoever
//! finds a database of ours and no session of that name knows that its process is dead, and drops
//! it: that is how a server given by `DATABASE_URL` gets clean again. Called by `databases`.

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::{mpsc, oneshot};

use super::PostgresError;

/// What the names of all databases for tests begin with.
pub(super) const DROPPABLE: &str = "twotick_test_";
/// Tests that wait for a database at once; more wait for a place in the queue.
const STATEMENTS: usize = 64;
/// Databases that wait to be dropped. Beyond it they are left to the end of the cluster or to
/// the next process.
const DROPS: usize = 4096;

type Answer = oneshot::Sender<Result<(), sqlx::Error>>;

/// A handle to the thread, which ends after the last one.
#[derive(Debug, Clone)]
pub(super) struct Administrator {
    statements: mpsc::Sender<(String, Answer)>,
    drops: mpsc::Sender<String>,
}

/// What the thread works with.
struct Work {
    address: PgConnectOptions,
    prefix: String,
    statements: mpsc::Receiver<(String, Answer)>,
    drops: mpsc::Receiver<String>,
}

impl Administrator {
    /// Starts the thread for the databases that begin with `prefix`. It connects when it gets its
    /// first statement.
    pub fn start(address: PgConnectOptions, prefix: String) -> Result<Self, PostgresError> {
        let (statements, statements_in) = mpsc::channel(STATEMENTS);
        let (drops, drops_in) = mpsc::channel(DROPS);
        let work = Work {
            address: address.application_name(&prefix),
            prefix,
            statements: statements_in,
            drops: drops_in,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(thread)?;
        std::thread::Builder::new()
            .name("test-databases".to_owned())
            .spawn(move || runtime.block_on(work.serve()))
            .map_err(thread)?;
        Ok(Self { statements, drops })
    }

    /// Runs a statement after those of others.
    pub async fn run(&self, sql: String) -> Result<(), PostgresError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.statements.send((sql, answer)).await;
        sent.map_err(|_| PostgresError::DatabasesGone)?;
        let result = answered.await.map_err(|_| PostgresError::DatabasesGone)?;
        Ok(result?)
    }

    /// Drops a database when no test waits for anything else.
    pub fn drop_later(&self, database: String) {
        // A full queue or a thread that ended: the database is dropped with those of the dead.
        let _ = self.drops.try_send(database);
    }
}

fn thread(source: std::io::Error) -> PostgresError {
    PostgresError::Process {
        program: "a thread for test databases",
        source,
    }
}

impl Work {
    async fn serve(mut self) {
        let mut connection = None;
        loop {
            tokio::select! {
                // Tests wait for a CREATE; nobody waits for a DROP.
                biased;
                Some((sql, answer)) = self.statements.recv() => {
                    let result = self.execute(&mut connection, sql).await;
                    let _ = answer.send(result);
                }
                Some(database) = self.drops.recv() => {
                    let _ = self.execute(&mut connection, dropping(&database)).await;
                }
                else => break,
            }
        }
        // The template is left. A private cluster may be gone already, with everything in it.
        if let Some(mut connection) = connection {
            let own = |database: &str, _: &[String]| database.starts_with(&self.prefix);
            let _ = drop_databases(&mut connection, own).await;
        }
    }

    /// Runs a statement, connecting if need be: the first time, and after an error, which may
    /// have been the end of the connection.
    async fn execute(
        &self,
        connection: &mut Option<PgConnection>,
        sql: String,
    ) -> Result<(), sqlx::Error> {
        let mut used = match connection.take() {
            Some(open) => open,
            None => self.connect().await?,
        };
        used.execute(AssertSqlSafe(sql)).await?;
        *connection = Some(used);
        Ok(())
    }

    /// Connects, and drops what dead processes left.
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.address).await?;
        let dead = |database: &str, living: &[String]| {
            !living.iter().any(|process| database.starts_with(process))
        };
        drop_databases(&mut connection, dead).await?;
        Ok(connection)
    }
}

/// Drops those of the user's databases for tests for which the choice, given also the processes
/// that live, says so.
async fn drop_databases(
    connection: &mut PgConnection,
    choose: impl Fn(&str, &[String]) -> bool,
) -> Result<(), sqlx::Error> {
    // Databases first: a process that comes between the two queries has a session and nothing on
    // the list. Only our own user's: of other users' sessions the name may be hidden.
    let databases: Vec<String> = sqlx::query_scalar(
        "-- list_test_databases
         SELECT datname::text FROM pg_database
         WHERE starts_with(datname::text, $1) AND datdba = current_user::regrole",
    )
    .bind(DROPPABLE)
    .fetch_all(&mut *connection)
    .await?;
    let living: Vec<String> = sqlx::query_scalar(
        "-- list_test_processes
         SELECT application_name FROM pg_stat_activity
         WHERE starts_with(application_name, $1)",
    )
    .bind(DROPPABLE)
    .fetch_all(&mut *connection)
    .await?;
    for database in databases {
        if choose(&database, &living)
            && let Err(error) = connection.execute(AssertSqlSafe(dropping(&database))).await
        {
            // Two processes that start together may both try.
            tracing::debug!(database, %error, "cannot drop");
        }
    }
    Ok(())
}

fn dropping(database: &str) -> String {
    format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")
}
