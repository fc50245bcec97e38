//! API keys: kept as SHA-256, which is enough for 256 random bits.

use std::time::Duration;

use data_encoding::BASE32_DNSSEC as BASE32;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::clock;
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, KeyId, SenderId};
use crate::model::scope::{Reach, Scope};

/// How much of a key is kept to be shown.
const HINT: usize = 8;
/// When a key was last used is known to the minute: it is not worth a write a request.
const USED_TO_THE: Duration = Duration::from_secs(60);

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// What it is for, for people.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Restricted to these, and to the senders of `connections`; both `None`: to none.
    pub senders: Option<Vec<SenderId>>,
    /// Restricted to these, and to `senders`.
    pub connections: Option<Vec<ConnectionId>>,
    /// How many requests it may make, at each instance.
    pub requests_per_second: Option<u32>,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
}

impl NewKey {
    /// A key that may do everything.
    pub fn admin(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            scopes: vec![Scope::Admin],
            senders: None,
            connections: None,
            requests_per_second: None,
            expires_at: None,
        }
    }
}

/// What a request with a key may do.
#[derive(Debug, Clone)]
pub struct Key {
    /// Which one.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// To whose messages.
    pub reach: Reach,
    /// How many requests it may make, at each instance.
    pub requests_per_second: Option<u32>,
}

/// A key as people see it.
#[derive(Debug, Clone)]
pub struct ShownKey {
    /// Which one.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Restricted to these.
    pub senders: Option<Vec<SenderId>>,
    /// Restricted to these.
    pub connections: Option<Vec<ConnectionId>>,
    /// How many requests it may make, at each instance.
    pub requests_per_second: Option<i32>,
    /// How it begins.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it is good.
    pub expires_at: Option<Timestamp>,
    /// Since when it is not.
    pub revoked_at: Option<Timestamp>,
    /// To the minute.
    pub last_used_at: Option<Timestamp>,
    /// Until when what it was before its rotation is good as well.
    pub former_until: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    name: String,
    scopes: Vec<String>,
    senders: Option<Vec<i32>>,
    connections: Option<Vec<Uuid>>,
    requests_per_second: Option<i32>,
    hint: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    former_until: Option<Timestamp>,
}

impl TryFrom<Row> for ShownKey {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: KeyId(row.id),
            name: row.name,
            scopes: scopes(&row.scopes)?,
            senders: row
                .senders
                .map(|all| all.into_iter().map(SenderId).collect()),
            connections: row
                .connections
                .map(|all| all.into_iter().map(ConnectionId).collect()),
            requests_per_second: row.requests_per_second,
            hint: row.hint,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
            former_until: row.former_until,
        })
    }
}

fn scopes(texts: &[String]) -> Result<Vec<Scope>, StoreError> {
    let read = texts.iter().map(|text| text.parse());
    read.collect::<Result<_, _>>()
        .map_err(|error: String| StoreError::Corrupt(error))
}

/// A new text, and what is kept of it.
struct Text {
    key: SecretString,
    hash: [u8; 32],
    hint: String,
}

impl Text {
    fn new() -> Self {
        let key = format!("tt_{}", BASE32.encode(&clock::random::<32>()));
        Self {
            hash: digest(&key),
            hint: key.chars().take(HINT).collect(),
            key: key.into(),
        }
    }
}

impl Store {
    /// Makes a key. Its text is shown once and cannot be had again.
    pub async fn create_key(&self, new: &NewKey) -> Result<(KeyId, SecretString), StoreError> {
        let (id, text) = (self.clock.new_id(), Text::new());
        let scopes: Vec<String> = new.scopes.iter().map(ToString::to_string).collect();
        let senders = new.senders.as_ref();
        let senders: Option<Vec<i32>> = senders.map(|all| all.iter().map(|id| id.0).collect());
        let connections = new.connections.as_ref();
        let connections: Option<Vec<Uuid>> =
            connections.map(|all| all.iter().map(|id| id.0).collect());
        let rate = new
            .requests_per_second
            .map(|rate| i32::try_from(rate).unwrap_or(i32::MAX));
        again!(self, "create_key", {
            Ok(sqlx::query!(
                r#"
                -- create_key
                INSERT INTO api_keys (id, name, hash, hint, created_at, scopes, senders,
                                      connections, requests_per_second, expires_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                ON CONFLICT (id) DO NOTHING
                "#,
                id,
                new.name,
                text.hash.as_slice(),
                text.hint,
                self.clock.now(),
                &scopes,
                senders.as_deref(),
                connections.as_deref(),
                rate,
                new.expires_at,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok((KeyId(id), text.key))
    }

    /// Makes a key that may do everything.
    pub async fn create_admin_key(&self, name: &str) -> Result<SecretString, StoreError> {
        Ok(self.create_key(&NewKey::admin(name)).await?.1)
    }

    /// Gives a key another text. What it was before is good for `overlap` still, unless a text
    /// before that one is: then that ends now. `None`: there is no such key, or none that is good.
    pub async fn rotate_key(
        &self,
        key: KeyId,
        overlap: Duration,
    ) -> Result<Option<SecretString>, StoreError> {
        let (text, now) = (Text::new(), self.clock.now());
        let rotated = again!(self, "rotate_key", {
            Ok(sqlx::query!(
                r#"
                -- rotate_key
                UPDATE api_keys
                SET former_hash = hash, former_until = $3, hash = $2, hint = $4
                WHERE id = $1 AND revoked_at IS NULL
                    AND (expires_at IS NULL OR expires_at > $5)
                    -- What is done again after its acknowledgement was lost.
                    AND hash <> $2
                "#,
                key.0,
                text.hash.as_slice(),
                now + overlap,
                text.hint,
                now,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?
            .rows_affected())
        })?;
        if rotated > 0 {
            return Ok(Some(text.key));
        }
        let is_it = self.find_key(&digest(text.key.expose_secret())).await?;
        Ok(is_it.map(|_| text.key))
    }

    /// A key is good for nothing from now on; instances know within [`super::key_cache::FRESH`].
    /// `false`: there is none.
    pub async fn revoke_key(&self, key: KeyId) -> Result<bool, StoreError> {
        again!(self, "revoke_key", {
            let revoked = sqlx::query!(
                r#"
                -- revoke_key
                UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1
                "#,
                key.0,
                self.clock.now(),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(revoked.rows_affected() > 0)
        })
    }

    /// Keys, the newest first; `before` is the last of the page before.
    pub async fn list_keys(
        &self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<ShownKey>, StoreError> {
        let rows = again!(self, "list_keys", {
            Ok(sqlx::query_as!(
                Row,
                r#"
                -- list_keys
                SELECT id, name, scopes, senders, connections, requests_per_second, hint,
                       created_at, expires_at, revoked_at, last_used_at, former_until
                FROM api_keys
                WHERE $1::uuid IS NULL OR id < $1
                ORDER BY id DESC LIMIT $2
                "#,
                before,
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        rows.into_iter().map(ShownKey::try_from).collect()
    }

    /// One key.
    pub async fn key(&self, key: KeyId) -> Result<Option<ShownKey>, StoreError> {
        let row = again!(self, "key", {
            Ok(sqlx::query_as!(
                Row,
                r#"
                -- key
                SELECT id, name, scopes, senders, connections, requests_per_second, hint,
                       created_at, expires_at, revoked_at, last_used_at, former_until
                FROM api_keys WHERE id = $1
                "#,
                key.0,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        row.map(ShownKey::try_from).transpose()
    }

    /// The key that has this hash, if it is good.
    pub(super) async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<Key>, StoreError> {
        let now = self.clock.now();
        let row = again!(self, "find_key", {
            Ok(sqlx::query!(
                r#"
                -- find_key
                SELECT id, name, scopes, connections, requests_per_second,
                       senders IS NOT NULL OR connections IS NOT NULL AS "restricted!",
                       coalesce(senders, '{}') || ARRAY(
                           SELECT s.id FROM senders s WHERE s.connection = ANY (k.connections)
                       ) AS "senders!",
                       last_used_at IS NULL OR last_used_at < $3 AS "is_news!"
                FROM api_keys k
                WHERE (hash = $1 OR (former_hash = $1 AND former_until > $2))
                    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
                "#,
                hash.as_slice(),
                now,
                now - USED_TO_THE,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let Some(row) = row else {
            return Ok(None);
        };
        if row.is_news {
            let store = self.clone();
            tokio::spawn(async move { store.note_use(row.id, now).await });
        }
        let mut senders: Vec<_> = row.senders.into_iter().map(SenderId).collect();
        let connections = row.connections.unwrap_or_default();
        let mut connections: Vec<_> = connections.into_iter().map(ConnectionId).collect();
        senders.sort_unstable();
        connections.sort_unstable();
        Ok(Some(Key {
            id: KeyId(row.id),
            name: row.name,
            scopes: scopes(&row.scopes)?,
            reach: match row.restricted {
                true => Reach::Only {
                    senders,
                    connections,
                },
                false => Reach::All,
            },
            requests_per_second: row
                .requests_per_second
                .and_then(|rate| rate.try_into().ok()),
        }))
    }

    /// Beside the request: a database that takes no writes must not lock everybody out.
    async fn note_use(&self, key: Uuid, now: Timestamp) {
        let noted = again!(self, "note_use", {
            sqlx::query!(
                r#"
                -- note_use
                UPDATE api_keys SET last_used_at = $2
                WHERE id = (SELECT id FROM api_keys WHERE id = $1 FOR UPDATE SKIP LOCKED)
                "#,
                key,
                now,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        });
        if let Err(error) = noted {
            tracing::debug!(%error, "that a key was used is not noted");
        }
    }
}

pub(super) fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}
