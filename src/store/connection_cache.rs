//! Connections as the receiver of webhooks needs them: without a query each, and yet soon right
//! after a change by any instance.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Connection, Store, StoreError};
use crate::model::ids::ConnectionId;

/// An entry older than this is read again.
const FRESH: Duration = Duration::from_secs(5);

/// The same, where the entry's secrets did not fit: they may have been rotated just now. Not
/// shorter, or every wrong signature would cost a query.
const FRESH_IN_DOUBT: Duration = Duration::from_secs(1);

type Entries = HashMap<ConnectionId, (Instant, Arc<Connection>)>;

/// Clones share one cache.
#[derive(Debug, Clone)]
pub struct ConnectionCache {
    store: Store,
    entries: Arc<Mutex<Entries>>,
}

impl ConnectionCache {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            entries: Arc::default(),
        }
    }

    /// The next look-up reads it again: it was changed here.
    pub fn forget(&self, id: ConnectionId) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&id);
    }

    /// A connection as it was at most 5 seconds ago. One that is not there is asked for each time.
    pub async fn get(&self, id: ConnectionId) -> Result<Option<Arc<Connection>>, StoreError> {
        self.get_within(id, FRESH).await
    }

    /// The connection again, if `seen` may be out of date.
    pub async fn newer(
        &self,
        seen: &Arc<Connection>,
    ) -> Result<Option<Arc<Connection>>, StoreError> {
        let again = self.get_within(seen.id, FRESH_IN_DOUBT).await?;
        Ok(again.filter(|again| !Arc::ptr_eq(again, seen)))
    }

    async fn get_within(
        &self,
        id: ConnectionId,
        age: Duration,
    ) -> Result<Option<Arc<Connection>>, StoreError> {
        let now = self.store.clock.monotonic();
        if let Some((read_at, known)) = self.entries().get(&id)
            && now.duration_since(*read_at) < age
        {
            return Ok(Some(Arc::clone(known)));
        }
        let read = self.store.connection(id).await?.map(Arc::new);
        match &read {
            Some(connection) => self.entries().insert(id, (now, Arc::clone(connection))),
            None => self.entries().remove(&id),
        };
        Ok(read)
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
