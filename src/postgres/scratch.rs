//! A database of one's own on a server that runs already: nothing in the server's other databases
//! is touched. The demo uses it where `DATABASE_URL` is set, because the database named there may
//! be a real service's, whose senders must not be claimed.

use std::str::FromStr as _;

use data_encoding::HEXLOWER;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};

use super::PostgresError;
use crate::clock;

/// A database that goes when it is told to.
#[derive(Debug)]
pub struct Scratch {
    /// Where it is.
    pub url: String,
    name: String,
    server: PgConnectOptions,
}

impl Scratch {
    /// Makes an empty database beside the one that `url` names; its user must be allowed to.
    pub async fn create(url: &str) -> Result<Self, PostgresError> {
        let server = PgConnectOptions::from_str(url)?;
        let name = format!("twotick_demo_{}", HEXLOWER.encode(&clock::random::<6>()));
        let scratch = Self {
            url: server.clone().database(&name).to_url_lossy().to_string(),
            name,
            server,
        };
        scratch
            .run(format!("CREATE DATABASE {}", scratch.name))
            .await?;
        Ok(scratch)
    }

    /// Drops it, with whoever is still connected.
    pub async fn remove(self) -> Result<(), PostgresError> {
        self.run(format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await
    }

    async fn run(&self, sql: String) -> Result<(), PostgresError> {
        let mut connection = PgConnection::connect_with(&self.server).await?;
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    }
}
