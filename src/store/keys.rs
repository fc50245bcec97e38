//! API keys: kept as SHA-256, which is enough for 256 random bits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE32_DNSSEC as BASE32;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::clock;

/// For how long a key that was revoked may still be taken.
const FRESH: Duration = Duration::from_secs(5);

/// More keys than anybody has in use at once; beyond it the cache begins anew.
const KNOWN: usize = 1024;

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

/// A key that was valid then.
#[derive(Debug, Clone, Copy)]
struct Seen {
    id: ApiKeyId,
    at: Instant,
}

/// Remembers for a moment which keys are valid, so that a request costs no query for it.
#[derive(Debug, Clone)]
pub struct KeyCache {
    store: Store,
    valid: Arc<Mutex<HashMap<[u8; 32], Seen>>>,
}

impl KeyCache {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            valid: Arc::default(),
        }
    }

    /// The id of a key, if it is valid. Only valid ones are remembered: guesses cost no memory.
    pub async fn find(&self, key: &str) -> Result<Option<ApiKeyId>, StoreError> {
        let hash = digest(key);
        let now = self.store.clock.monotonic();
        let known = self.known(&hash, now);
        if known.is_some() {
            return Ok(known);
        }
        let found = self.store.find_key(&hash).await?;
        let mut known = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        match found {
            Some(id) => known.insert(hash, Seen { id, at: now }),
            None => known.remove(&hash),
        };
        Ok(found)
    }

    fn known(&self, hash: &[u8; 32], now: Instant) -> Option<ApiKeyId> {
        let known = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known.get(hash)?;
        (now.duration_since(seen.at) < FRESH).then_some(seen.id)
    }
}
