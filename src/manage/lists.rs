//! Who may read lists from providers, and who may show them. A page takes memory while it is read,
//! so that a few lists are read at once; of a connection one, so that a provider that answers slowly
//! holds up its own lists and no others. What is shown takes more, and waits for no provider.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::ids::ConnectionId;

/// Lists that are read at once, each with a page of at most 16 MB in memory.
const READ: usize = 8;

/// Lists that are shown at once: each takes memory up to a bound of its own.
const SHOWN: usize = 2;

/// Clones share one.
#[derive(Debug, Clone)]
pub(super) struct Lists(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    read: Arc<Semaphore>,
    shown: Arc<Semaphore>,
    of: Mutex<HashMap<ConnectionId, Arc<Semaphore>>>,
}

/// As long as it is held.
#[derive(Debug)]
pub struct Turn {
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Turn {
    /// Nothing closes what they are taken from.
    async fn of(all: impl IntoIterator<Item = Arc<Semaphore>>) -> Self {
        let mut permits = Vec::new();
        for semaphore in all {
            permits.extend(semaphore.acquire_owned().await);
        }
        Self { _permits: permits }
    }
}

impl Default for Lists {
    fn default() -> Self {
        Self(Arc::new(Parts {
            read: Arc::new(Semaphore::new(READ)),
            shown: Arc::new(Semaphore::new(SHOWN)),
            of: Mutex::default(),
        }))
    }
}

impl Lists {
    /// Waits for the right to read one of a connection.
    pub(super) async fn read(&self, connection: ConnectionId) -> Turn {
        let own = {
            let mut of = self.0.of.lock().unwrap_or_else(PoisonError::into_inner);
            // What nobody holds or waits for.
            of.retain(|_, own| Arc::strong_count(own) > 1);
            let one = || Arc::new(Semaphore::new(1));
            Arc::clone(of.entry(connection).or_insert_with(one))
        };
        Turn::of([own, Arc::clone(&self.0.read)]).await
    }

    /// Waits for the right to show what was read.
    pub(super) async fn show(&self) -> Turn {
        Turn::of([Arc::clone(&self.0.shown)]).await
    }
}
