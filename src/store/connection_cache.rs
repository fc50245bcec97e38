//! Connections as the receiver of webhooks needs them: without a query each (`store/fresh.rs`).

use std::sync::Arc;
use std::time::Duration;

use super::fresh::{FRESH, Fresh};
use super::{Connection, Store, StoreError};
use crate::model::ids::ConnectionId;

/// How old one may be whose secrets did not fit: they may have been rotated just now. Not
/// shorter, or every wrong signature would cost a query.
const FRESH_IN_DOUBT: Duration = Duration::from_secs(1);

/// Clones share one cache.
#[derive(Debug, Clone)]
pub struct ConnectionCache {
    store: Store,
    known: Fresh<ConnectionId, Arc<Connection>>,
}

impl ConnectionCache {
    /// An empty cache.
    pub fn new(store: Store) -> Self {
        let known = Fresh::default();
        Self { store, known }
    }

    /// The next look-up reads it again: it was changed here.
    pub fn forget(&self, id: ConnectionId) {
        self.known.forget(&id);
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
        let read = async { Ok(self.store.connection(id).await?.map(Arc::new)) };
        self.known.get(id, now, age, read).await
    }
}
