//! Values as they were a moment ago: read without a query each, and yet soon right after a change
//! by any instance. Only what is there is remembered, so that guesses cost no memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A value older than this is read again.
pub(super) const FRESH: Duration = Duration::from_secs(5);

/// More than anybody has in use at once; beyond, all of it begins anew.
const MOST: usize = 1024;

/// When each was read.
type Read<K, V> = HashMap<K, (Instant, V)>;

/// Clones share what they remember.
#[derive(Debug, Clone)]
pub(super) struct Fresh<K, V>(Arc<Mutex<Read<K, V>>>);

impl<K, V> Default for Fresh<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Eq + Hash, V: Clone> Fresh<K, V> {
    /// The value, if it was read less than `age` ago; else as `read` has it now.
    pub(super) async fn get<E>(
        &self,
        key: K,
        now: Instant,
        age: Duration,
        read: impl Future<Output = Result<Option<V>, E>>,
    ) -> Result<Option<V>, E> {
        if let Some((at, value)) = self.read().get(&key)
            && now.duration_since(*at) < age
        {
            return Ok(Some(value.clone()));
        }
        let value = read.await?;
        let mut known = self.read();
        if known.len() >= MOST {
            known.clear();
        }
        match &value {
            Some(value) => known.insert(key, (now, value.clone())),
            None => known.remove(&key),
        };
        Ok(value)
    }

    /// The next look-up reads it again: it was changed here.
    pub(super) fn forget(&self, key: &K) {
        self.read().remove(key);
    }

    fn read(&self) -> MutexGuard<'_, Read<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
