//! API keys: kept as SHA-256, which is enough for 256 random bits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::BASE32_DNSSEC as BASE32;
use secrecy::SecretString;
use sha2::{Digest, Sha256};

use super::{Store, StoreError};
use crate::clock;

/// For how long a key that was revoked may still be taken.
const FRESH: Duration = Duration::from_secs(5);

/// More keys than anybody has in use at once; beyond it the cache begins anew.
const KNOWN: usize = 1024;

impl Store {
    /// Makes a key. Its text is shown once and cannot be had again.
    pub async fn create_key(&self, name: &str) -> Result<SecretString, StoreError> {
        let key = format!("tt_{}", BASE32.encode(&clock::random::<32>()));
        let hash = digest(&key);
        sqlx::query!(
            r#"
            -- create_key
            INSERT INTO api_keys (id, name, hash, created_at) VALUES ($1, $2, $3, $4)
            "#,
            self.clock.new_id(),
            name,
            hash.as_slice(),
            self.clock.now(),
        )
        .execute(&self.pool)
        .await?;
        Ok(key.into())
    }

    async fn has_key(&self, hash: &[u8; 32]) -> Result<bool, StoreError> {
        let found = sqlx::query_scalar!(
            r#"
            -- has_key
            SELECT EXISTS (
                SELECT FROM api_keys WHERE hash = $1 AND revoked_at IS NULL
            ) AS "found!"
            "#,
            hash.as_slice(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(found)
    }
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Remembers for a moment which keys are valid, so that a request costs no query for it.
#[derive(Debug, Clone)]
pub struct KeyCache {
    store: Store,
    valid: Arc<Mutex<HashMap<[u8; 32], Instant>>>,
}

impl KeyCache {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            valid: Arc::default(),
        }
    }

    /// Whether a key is valid. Only valid ones are remembered: guesses cost no memory.
    pub async fn is_valid(&self, key: &str) -> Result<bool, StoreError> {
        let hash = digest(key);
        let now = self.store.clock.monotonic();
        if self.is_known(&hash, now) {
            return Ok(true);
        }
        let valid = self.store.has_key(&hash).await?;
        let mut known = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        if valid {
            known.insert(hash, now);
        } else {
            known.remove(&hash);
        }
        Ok(valid)
    }

    fn is_known(&self, hash: &[u8; 32], now: Instant) -> bool {
        let known = self.valid.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(hash)
            .is_some_and(|seen| now.duration_since(*seen) < FRESH)
    }
}
