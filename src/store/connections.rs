//! Connections and their sealed credentials.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Store, StoreError};
use crate::model::Timestamp;
use crate::model::ids::ConnectionId;

/// An account with a provider, with what it takes to use it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The stream of facts that belong to no sender.
    pub stream: i32,
    /// What people call it.
    pub name: String,
    /// `meta`.
    pub provider: String,
    /// Such as `https://graph.facebook.com`, without a slash at the end.
    pub base_url: String,
    /// Such as `v25.0`.
    pub api_version: String,
    /// Outgoing and incoming secrets.
    pub credentials: Credentials,
    /// Since when nothing is posted, and why (the token is gone).
    pub stopped: Option<(Timestamp, String)>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Secrets of a connection. Sealed in the database, never shown.
#[derive(Clone)]
pub struct Credentials {
    /// Bearer token of outgoing calls.
    pub access_token: SecretString,
    /// Webhooks signed with any of these are ours.
    pub app_secrets: Vec<SecretString>,
    /// What the handshake (`hub.verify_token`) must bring.
    pub verify_token: SecretString,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// The sealed form.
#[derive(Serialize, Deserialize)]
struct Plain {
    access_token: String,
    app_secrets: Vec<String>,
    verify_token: String,
}

/// What a connection is made from.
#[derive(Debug)]
pub struct NewConnection {
    /// What people call it.
    pub name: String,
    /// `meta`.
    pub provider: String,
    /// Without a slash at the end.
    pub base_url: String,
    /// Such as `v25.0`.
    pub api_version: String,
    /// Its secrets.
    pub credentials: Credentials,
}

impl Store {
    /// Makes a connection.
    pub async fn create_connection(&self, new: NewConnection) -> Result<Connection, StoreError> {
        let id = ConnectionId(self.clock.new_id());
        let created_at = self.clock.now();
        let sealed = self.seal_credentials(id, &new.credentials)?;
        let stream = sqlx::query_scalar!(
            r#"
            -- create_connection
            INSERT INTO connections
                (id, name, provider, base_url, api_version, secrets, created_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7)
            RETURNING stream
            "#,
            id.0,
            new.name,
            new.provider,
            new.base_url,
            new.api_version,
            sealed,
            created_at,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Connection {
            id,
            stream,
            name: new.name,
            provider: new.provider,
            base_url: new.base_url,
            api_version: new.api_version,
            credentials: new.credentials,
            stopped: None,
            created_at,
        })
    }

    /// Reads one.
    pub async fn connection(&self, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
        let found = self.read_connections(Some(id), None, 1).await?;
        Ok(found.into_iter().next())
    }

    /// A page, newest first.
    pub async fn list_connections(
        &self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Connection>, StoreError> {
        self.read_connections(None, before, limit).await
    }

    async fn read_connections(
        &self,
        id: Option<ConnectionId>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Connection>, StoreError> {
        let rows = sqlx::query!(
            r#"
            -- read_connections
            SELECT id, stream, name, provider, base_url, api_version, secrets,
                   stopped_at, stopped_reason, created_at
            FROM connections
            WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id < $2)
            ORDER BY id DESC
            LIMIT $3
            "#,
            id.map(|id| id.0),
            before,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let id = ConnectionId(row.id);
                Ok(Connection {
                    id,
                    stream: row.stream,
                    name: row.name,
                    provider: row.provider,
                    base_url: row.base_url,
                    api_version: row.api_version,
                    credentials: self.open_credentials(id, &row.secrets)?,
                    stopped: row.stopped_at.zip(row.stopped_reason),
                    created_at: row.created_at,
                })
            })
            .collect()
    }

    fn seal_credentials(
        &self,
        id: ConnectionId,
        credentials: &Credentials,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = Plain {
            access_token: credentials.access_token.expose_secret().to_owned(),
            app_secrets: credentials
                .app_secrets
                .iter()
                .map(|secret| secret.expose_secret().to_owned())
                .collect(),
            verify_token: credentials.verify_token.expose_secret().to_owned(),
        };
        let plain = serde_json::to_vec(&plain).map_err(|error| corrupt(id, &error))?;
        self.sealing_key
            .seal(id.0.as_bytes(), &plain)
            .map_err(|source| StoreError::Sealed {
                what: format!("connections.secrets of {id}"),
                source,
            })
    }

    fn open_credentials(&self, id: ConnectionId, sealed: &[u8]) -> Result<Credentials, StoreError> {
        let plain = self
            .sealing_key
            .open(id.0.as_bytes(), sealed)
            .map_err(|source| StoreError::Sealed {
                what: format!("connections.secrets of {id}"),
                source,
            })?;
        let plain: Plain = serde_json::from_slice(&plain).map_err(|error| corrupt(id, &error))?;
        Ok(Credentials {
            access_token: plain.access_token.into(),
            app_secrets: plain.app_secrets.into_iter().map(Into::into).collect(),
            verify_token: plain.verify_token.into(),
        })
    }
}

fn corrupt(id: ConnectionId, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("connections.secrets of {id}: {error}"))
}
