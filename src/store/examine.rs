//! A look at a database from outside of any service: can it keep our promises, is its schema this
//! binary's, what does its clock say, is the sealing key its own. Nothing is changed: what does not
//! have our tables is looked at, too.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection};

use super::{OpenError, fitness, pool};
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::seal::SealingKey;

/// Longer than a database that is well takes to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug)]
pub struct Examined {
    /// Postgres' own, such as `16.4`.
    pub version: String,
    /// The newest migration that was applied; none of ours was, without.
    pub applied: Option<i64>,
    /// The newest that this binary has.
    pub known: i64,
    /// How many seconds the database's clock is ahead of this machine's.
    pub clock_ahead: f64,
    /// Whether the key is the one that sealed what is there; `None`: nothing is sealed yet.
    pub key_fits: Option<bool>,
    /// For how many seconds the next event has waited to be published to NATS; `None`: nobody
    /// publishes.
    pub unpublished: Option<f64>,
}

/// Looks at the database behind `url`.
pub async fn examine(url: &str, key: Option<&SealingKey>) -> Result<Examined, OpenError> {
    let options = pool::options(url)?;
    let opening = tokio::time::timeout(PATIENCE, PgConnection::connect_with(&options)).await;
    let mut connection = opening.map_err(|_| sqlx::Error::PoolTimedOut)??;
    fitness::check(&mut connection).await?;
    let clock = Clock::system();
    let before = clock.machine();
    let (version, theirs) = sqlx::query_as::<_, (String, Timestamp)>(
        "SELECT current_setting('server_version'), clock_timestamp()",
    )
    .fetch_one(&mut connection)
    .await?;
    let halfway = before + (clock.machine() - before) / 2;
    let known = sqlx::migrate!().iter().map(|it| it.version).max();
    let examined = Examined {
        version,
        applied: applied(&mut connection).await?,
        known: known.unwrap_or_default(),
        clock_ahead: time::Duration::as_seconds_f64(theirs - halfway),
        key_fits: match key {
            Some(key) => fits(&mut connection, key).await?,
            None => None,
        },
        unpublished: unpublished(&mut connection).await?,
    };
    connection.close().await?;
    Ok(examined)
}

async fn has(connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(connection)
        .await
}

async fn applied(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    if !has(connection, "_sqlx_migrations").await? {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await
}

async fn unpublished(connection: &mut PgConnection) -> Result<Option<f64>, sqlx::Error> {
    if !has(connection, "sinks").await? {
        return Ok(None);
    }
    sqlx::query_scalar(
        "SELECT coalesce((SELECT extract(epoch FROM clock_timestamp() - f.received_at)
                          FROM facts f WHERE (f.xid, f.id) > (s.xid, s.event)
                          ORDER BY f.xid, f.id LIMIT 1), 0)::double precision
         FROM sinks s WHERE lease_until > clock_timestamp()",
    )
    .fetch_optional(connection)
    .await
}

async fn fits(
    connection: &mut PgConnection,
    key: &SealingKey,
) -> Result<Option<bool>, sqlx::Error> {
    if !has(connection, "sealing_check").await? {
        return Ok(None);
    }
    let sealed: Option<Vec<u8>> = sqlx::query_scalar("SELECT sealed FROM sealing_check")
        .fetch_optional(connection)
        .await?;
    Ok(sealed.map(|sealed| key.open(super::SEALING_CHECK, &sealed).is_ok()))
}
