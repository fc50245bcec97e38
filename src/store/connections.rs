//! Connections and their sealed credentials.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::facts::OwnFact;
use super::once::shown;
use super::{Once, Reply, Store, StoreError, again};
use crate::model::ids::ConnectionId;
use crate::model::proof::{Proof, ProofBy};
use crate::model::provider::Provider;
use crate::model::{Timestamp, event};

/// An account with a provider, with what it takes to use it.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The stream of facts that belong to no sender.
    pub stream: i32,
    /// What people call it.
    pub name: String,
    /// Who carries its messages.
    pub provider: Provider,
    /// Such as `https://graph.facebook.com`, without a slash at the end.
    pub base_url: String,
    /// Such as `v25.0`; Meta alone has one.
    pub api_version: Option<String>,
    /// A webhook comes with a client certificate of one of these common names; empty: with any or
    /// none.
    pub client_certificate_names: Vec<String>,
    /// Outgoing and incoming secrets.
    pub credentials: Credentials,
    /// Which credentials these are: another with each change.
    pub version: Version,
    /// Since when nothing is posted, and why (the token is gone).
    pub stopped: Option<(Timestamp, String)>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A digest of sealed credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version([u8; 32]);

impl Version {
    fn of(sealed: &[u8]) -> Self {
        Self(Sha256::digest(sealed).into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Secrets of a connection. Sealed in the database, never shown. The default are none: with
/// them nothing is authentic.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Of outgoing calls: Meta's bearer token, or another provider's API key.
    pub access_token: SecretString,
    /// Meta's webhooks that are signed with any of these are ours.
    pub app_secrets: Vec<SecretString>,
    /// What Meta's handshake (`hub.verify_token`) must bring; empty: there is none.
    pub verify_token: SecretString,
    /// What other providers' webhooks must bring, all of it.
    pub proofs: Vec<Proof>,
}

impl Credentials {
    /// What calls are made with.
    pub fn keys(&self) -> impl Iterator<Item = &SecretString> {
        [&self.access_token].into_iter().chain(&self.app_secrets)
    }

    /// What a provider is told in secret, so that its webhooks can be proved: it may say it back.
    pub fn as_told(&self) -> Vec<String> {
        let proofs = self.proofs.iter().flat_map(|proof| &proof.secrets);
        let secrets = proofs.chain([&self.verify_token]);
        let secrets = secrets.map(ExposeSecret::expose_secret);
        // Of a name and a password each goes out alone, too; the name is no secret.
        let parts = secrets.flat_map(|it| [Some(it), it.split_once(':').map(|(_, end)| end)]);
        let parts = parts.flatten().filter(|secret| !secret.is_empty());
        parts.map(str::to_owned).collect()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Credentials that are to be replaced, and where they go.
#[derive(Clone, Default)]
#[allow(missing_docs, reason = "as in Credentials")]
pub struct CredentialsChange {
    pub access_token: Option<SecretString>,
    pub app_secrets: Option<Vec<SecretString>>,
    /// Beside those there are, before them.
    pub added_app_secret: Option<SecretString>,
    pub verify_token: Option<SecretString>,
    pub proofs: Option<Vec<Proof>>,
    pub base_url: Option<String>,
}

impl fmt::Debug for CredentialsChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsChange")
    }
}

/// A connection, and why its credentials cannot be read, if they cannot.
struct Read {
    connection: Connection,
    unreadable: Option<StoreError>,
}

impl Read {
    fn usable(self) -> Result<Connection, StoreError> {
        self.unreadable.map_or(Ok(self.connection), Err)
    }

    /// One that cannot be used counts as stopped.
    fn shown(self) -> Connection {
        let mut connection = self.connection;
        if let Some(error) = self.unreadable {
            let since = connection.stopped.map(|(since, _)| since);
            connection.stopped = Some((since.unwrap_or(connection.created_at), error.to_string()));
        }
        connection
    }
}

impl CredentialsChange {
    /// Whether it leaves nothing as it was.
    fn is_whole(&self, provider: Option<Provider>) -> bool {
        let proves = match provider {
            Some(Provider::Meta) => self.app_secrets.is_some() && self.verify_token.is_some(),
            _ => self.proofs.is_some(),
        };
        proves && self.access_token.is_some()
    }

    /// These, and what is not among them as it was.
    pub fn over(self, known: Credentials) -> Credentials {
        let mut app_secrets = self.app_secrets.unwrap_or(known.app_secrets);
        if let Some(added) = self.added_app_secret {
            app_secrets.retain(|it| it.expose_secret() != added.expose_secret());
            app_secrets.insert(0, added);
        }
        Credentials {
            access_token: self.access_token.unwrap_or(known.access_token),
            app_secrets,
            verify_token: self.verify_token.unwrap_or(known.verify_token),
            proofs: self.proofs.unwrap_or(known.proofs),
        }
    }
}

/// The sealed form.
#[derive(Serialize, Deserialize)]
struct Plain {
    access_token: String,
    app_secrets: Vec<String>,
    verify_token: String,
    #[serde(default)]
    proofs: Vec<PlainProof>,
}

/// The same of a proof.
#[derive(Serialize, Deserialize)]
struct PlainProof {
    by: ProofBy,
    secrets: Vec<String>,
}

/// What a connection is made from.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// What people call it.
    pub name: String,
    /// Who carries its messages.
    pub provider: Provider,
    /// Without a slash at the end.
    pub base_url: String,
    /// Such as `v25.0`; Meta alone has one.
    pub api_version: Option<String>,
    /// As in [`Connection`].
    pub client_certificate_names: Vec<String>,
    /// Its secrets.
    pub credentials: Credentials,
}

impl Store {
    /// Makes a connection, once.
    pub async fn create_connection<V: Serialize>(
        &self,
        new: NewConnection,
        once: &Once,
        show: impl Fn(Connection) -> V + Sync,
    ) -> Result<Reply, StoreError> {
        again!(self, "create_connection", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(reply);
            }
            let new = new.clone();
            let connection = self.insert_connection(&mut transaction, new).await?;
            let answer = shown(&show(connection))?;
            self.commit_reply(transaction, once, answer).await
        })
    }

    async fn insert_connection(
        &self,
        connection: &mut PgConnection,
        new: NewConnection,
    ) -> Result<Connection, StoreError> {
        let id = ConnectionId(self.clock.new_id());
        let created_at = self.clock.now();
        let sealed = self.seal_credentials(id, &new.credentials)?;
        let version = Version::of(&sealed);
        let stream = sqlx::query_scalar!(
            r#"
            -- create_connection
            INSERT INTO connections
                (id, name, provider, base_url, api_version, secrets, created_at,
                 client_certificate_names)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            RETURNING stream
            "#,
            id.0,
            new.name,
            new.provider.as_str(),
            new.base_url,
            new.api_version,
            sealed,
            created_at,
            &new.client_certificate_names,
        )
        .fetch_one(connection)
        .await?;
        Ok(Connection {
            id,
            stream,
            name: new.name,
            provider: new.provider,
            base_url: new.base_url,
            api_version: new.api_version,
            client_certificate_names: new.client_certificate_names,
            credentials: new.credentials,
            version,
            stopped: None,
            created_at,
        })
    }

    /// Reads one, to use it.
    pub async fn connection(&self, id: ConnectionId) -> Result<Option<Connection>, StoreError> {
        let found = self.read_connections(Some(id), None, 1).await?;
        found.into_iter().next().map(Read::usable).transpose()
    }

    /// Reads one, to show or to change it: its credentials need not be readable.
    pub async fn known_connection(
        &self,
        id: ConnectionId,
    ) -> Result<Option<Connection>, StoreError> {
        let found = self.read_connections(Some(id), None, 1).await?;
        Ok(found.into_iter().next().map(Read::shown))
    }

    /// A page to show, newest first.
    pub async fn list_connections(
        &self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Connection>, StoreError> {
        let found = self.read_connections(None, before, limit).await?;
        Ok(found.into_iter().map(Read::shown).collect())
    }

    async fn read_connections(
        &self,
        id: Option<ConnectionId>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Read>, StoreError> {
        let rows = again!(self, "read_connections", {
            Ok(sqlx::query!(
                r#"
            -- read_connections
            SELECT id, stream, name, provider, base_url, api_version, secrets,
                   client_certificate_names, stopped_at, stopped_reason, created_at
            FROM connections
            WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id < $2)
            ORDER BY id DESC
            LIMIT $3
            "#,
                id.map(|id| id.0),
                before,
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        rows.into_iter()
            .map(|row| {
                let id = ConnectionId(row.id);
                let provider = Provider::parse(&row.provider).ok_or_else(|| {
                    StoreError::Corrupt(format!("connections.provider of {id}: {}", row.provider))
                })?;
                let (credentials, unreadable) = match self.open_credentials(id, &row.secrets) {
                    Ok(credentials) => (credentials, None),
                    Err(error) => (Credentials::default(), Some(error)),
                };
                let connection = Connection {
                    id,
                    stream: row.stream,
                    name: row.name,
                    provider,
                    base_url: row.base_url,
                    api_version: row.api_version,
                    client_certificate_names: row.client_certificate_names,
                    credentials,
                    version: Version::of(&row.secrets),
                    stopped: row.stopped_at.zip(row.stopped_reason),
                    created_at: row.created_at,
                };
                Ok(Read {
                    connection,
                    unreadable,
                })
            })
            .collect()
    }

    /// Replaces the credentials and names that are given. A new token lets what waits go.
    pub async fn update_credentials(
        &self,
        id: ConnectionId,
        change: &CredentialsChange,
        client_certificate_names: Option<&[String]>,
    ) -> Result<Option<Connection>, StoreError> {
        again!(self, "update_credentials", {
            let mut transaction = self.begin().await?;
            let row = sqlx::query!(
                r#"
                -- update_credentials: lock
                SELECT stream, provider, secrets, stopped_at FROM connections WHERE id = $1
                FOR NO KEY UPDATE
                "#,
                id.0
            )
            .fetch_optional(&mut *transaction)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let known = match self.open_credentials(id, &row.secrets) {
                Ok(known) => known,
                // The key is lost. Nothing of what was is needed.
                Err(_) if change.is_whole(Provider::parse(&row.provider)) => Credentials::default(),
                Err(error) => return Err(error),
            };
            let sealed = self.seal_credentials(id, &change.clone().over(known))?;
            let resumed = change.access_token.is_some() && row.stopped_at.is_some();
            sqlx::query!(
                r#"
                -- update_credentials
                UPDATE connections
                SET secrets = $2,
                    client_certificate_names = COALESCE($4, client_certificate_names),
                    base_url = COALESCE($5, base_url),
                    stopped_at = CASE WHEN NOT $3 THEN stopped_at END,
                    stopped_reason = CASE WHEN NOT $3 THEN stopped_reason END
                WHERE id = $1
                "#,
                id.0,
                sealed,
                resumed,
                client_certificate_names,
                change.base_url,
            )
            .execute(&mut *transaction)
            .await?;
            if resumed {
                let fact = OwnFact::of(row.stream, Uuid::nil(), event::CONNECTION_RESUMED, "api");
                self.write_facts(&mut transaction, &[fact]).await?;
            }
            transaction.commit().await?;
            self.connection(id).await
        })
    }

    fn seal_credentials(
        &self,
        id: ConnectionId,
        credentials: &Credentials,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = Plain {
            access_token: credentials.access_token.expose_secret().to_owned(),
            app_secrets: exposed(&credentials.app_secrets),
            verify_token: credentials.verify_token.expose_secret().to_owned(),
            proofs: credentials
                .proofs
                .iter()
                .map(|proof| PlainProof {
                    by: proof.by.clone(),
                    secrets: exposed(&proof.secrets),
                })
                .collect(),
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
            app_secrets: hidden(plain.app_secrets),
            verify_token: plain.verify_token.into(),
            proofs: plain
                .proofs
                .into_iter()
                .map(|proof| Proof {
                    by: proof.by,
                    secrets: hidden(proof.secrets),
                })
                .collect(),
        })
    }
}

fn exposed(secrets: &[SecretString]) -> Vec<String> {
    let secrets = secrets.iter();
    secrets
        .map(|secret| secret.expose_secret().to_owned())
        .collect()
}

fn hidden(secrets: Vec<String>) -> Vec<SecretString> {
    secrets.into_iter().map(Into::into).collect()
}

fn corrupt(id: ConnectionId, error: &serde_json::Error) -> StoreError {
    StoreError::Corrupt(format!("connections.secrets of {id}: {error}"))
}
