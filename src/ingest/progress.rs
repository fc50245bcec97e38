//! How far big webhooks have come. It saves the repetition of what is committed, and decides
//! nothing: forgotten, a webhook begins anew, and each of its parts is idempotent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use super::Webhook;

/// Big webhooks that are remembered; beyond, the memory starts anew.
const KNOWN: usize = 1024;

pub(super) type Key = [u8; 32];

#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<Mutex<HashMap<Key, usize>>>);

/// The same for the same bytes on the same connection.
pub(super) fn key(webhook: &Webhook) -> Key {
    let mut hash = Sha256::new();
    hash.update(webhook.connection.0.as_bytes());
    hash.update(&webhook.body);
    hash.finalize().into()
}

impl Progress {
    /// How many of its facts are committed.
    pub(super) fn get(&self, key: &Key) -> usize {
        self.known().get(key).copied().unwrap_or(0)
    }

    pub(super) fn set(&self, key: Key, facts: usize) {
        let mut known = self.known();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert(key, facts);
    }

    /// It was answered.
    pub(super) fn forget(&self, key: &Key) {
        self.known().remove(key);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
