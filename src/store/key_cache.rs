//! Remembers for a moment which keys are good, so that a request costs no query for it, and how
//! many requests each has made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::keys::{Key, digest};
use super::{Store, StoreError};
use crate::model::ids::KeyId;
use crate::model::limits::TokenBucket;

/// For how long a key that was revoked may still be taken.
pub const FRESH: Duration = Duration::from_secs(5);

/// More keys than anybody has in use at once; beyond it the cache begins anew.
const KNOWN: usize = 1024;

/// A key that was good then.
#[derive(Debug, Clone)]
struct Seen {
    key: Arc<Key>,
    at: Instant,
}

/// What a key has left of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// A second.
    pub limit: u32,
    /// Now.
    pub remaining: usize,
    /// Until there is another; zero where this one may be made.
    pub wait: Duration,
}

/// The keys that this instance has met.
#[derive(Debug, Clone)]
pub struct KeyCache {
    store: Store,
    origin: Instant,
    good: Arc<Mutex<HashMap<[u8; 32], Seen>>>,
    buckets: Arc<Mutex<HashMap<KeyId, TokenBucket>>>,
}

impl KeyCache {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        Self {
            origin: store.clock.monotonic(),
            store,
            good: Arc::default(),
            buckets: Arc::default(),
        }
    }

    /// A key, if it is good. Only good ones are remembered: guesses cost no memory.
    pub async fn find(&self, key: &str) -> Result<Option<Arc<Key>>, StoreError> {
        let hash = digest(key);
        let now = self.store.clock.monotonic();
        let known = self.known(&hash, now);
        if known.is_some() {
            return Ok(known);
        }
        let found = self.store.find_key(&hash).await?.map(Arc::new);
        let mut known = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN {
            known.clear();
        }
        match &found {
            Some(key) => {
                let key = Arc::clone(key);
                known.insert(hash, Seen { key, at: now })
            }
            None => known.remove(&hash),
        };
        Ok(found)
    }

    fn known(&self, hash: &[u8; 32], now: Instant) -> Option<Arc<Key>> {
        let known = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = known.get(hash)?;
        (now.duration_since(seen.at) < FRESH).then(|| Arc::clone(&seen.key))
    }

    /// Takes a request of a key's, at so many a second.
    pub fn take(&self, key: KeyId, limit: u32) -> Left {
        let now = self.store.clock.monotonic().duration_since(self.origin);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KNOWN && !buckets.contains_key(&key) {
            buckets.clear();
        }
        let bucket = buckets
            .entry(key)
            .or_insert_with(|| TokenBucket::full(limit, now));
        bucket.set_rate(limit, now);
        let available = bucket.available(now);
        let wait = match available {
            0 => bucket.until(Duration::ZERO, now),
            _ => {
                bucket.spend(1);
                Duration::ZERO
            }
        };
        Left {
            limit,
            remaining: available.saturating_sub(1),
            wait,
        }
    }
}
