//! API keys: kept as SHA-256, which is enough for 256 random bits.

use data_encoding::BASE32_DNSSEC as BASE32;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::fresh::{FRESH, Fresh};
use super::{Store, StoreError, again};
use crate::clock;

/// Which key a caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiKeyId(pub Uuid);

impl Store {
    /// Makes a key. Its text is shown once and cannot be had again.
    pub async fn create_key(&self, name: &str) -> Result<SecretString, StoreError> {
        let key = format!("tt_{}", BASE32.encode(&clock::random::<32>()));
        let hash = digest(&key);
        again!(self, "create_key", {
            Ok(sqlx::query!(
                r#"
            -- create_key
            INSERT INTO api_keys (id, name, hash, created_at) VALUES ($1, $2, $3, $4)
            "#,
                self.clock.new_id(),
                name,
                hash.as_slice(),
                self.clock.now(),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(key.into())
    }

    async fn find_key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyId>, StoreError> {
        let found = again!(self, "find_key", {
            Ok(sqlx::query_scalar!(
                r#"
            -- find_key
            SELECT id FROM api_keys WHERE hash = $1 AND revoked_at IS NULL
            "#,
                hash.as_slice(),
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(found.map(ApiKeyId))
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Remembers for a moment which keys are valid, so that a request costs no query for it: one that
/// was revoked may be taken for 5 seconds more.
#[derive(Debug, Clone)]
pub struct KeyCache {
    store: Store,
    valid: Fresh<[u8; 32], ApiKeyId>,
}

impl KeyCache {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        let valid = Fresh::default();
        Self { store, valid }
    }

    /// The id of a key, if it is valid.
    pub async fn find(&self, key: &str) -> Result<Option<ApiKeyId>, StoreError> {
        let hash = digest(key);
        let now = self.store.clock.monotonic();
        let read = self.store.find_key(&hash);
        self.valid.get(hash, now, FRESH, read).await
    }
}
