//! Hints to and from other instances: a webhook may reach another instance than the one that
//! owns the sender.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::ids::SenderId;
use crate::signals::Signals;
use crate::store::{Hint, Store, StoreError};

/// Hints in one NOTIFY.
const AT_ONCE: usize = 256;
/// How long after an error hints are tried again; polling stands in meanwhile.
const AGAIN: Duration = Duration::from_secs(1);

/// Sends what local signals could not reach, until `shutdown`.
pub async fn send_hints(
    store: Store,
    mut outbox: mpsc::Receiver<SenderId>,
    shutdown: CancellationToken,
) {
    let mut senders = Vec::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            n = outbox.recv_many(&mut senders, AT_ONCE) => if n == 0 { return },
        }
        senders.sort_unstable();
        senders.dedup();
        if let Err(error) = store.send_hints(&senders).await {
            tracing::debug!(%error, "hints could not be sent");
        }
        senders.clear();
    }
}

/// Passes on what others hint, until `shutdown`.
pub async fn listen(store: Store, signals: Signals, shutdown: CancellationToken) {
    let listening = async {
        loop {
            if let Err(error) = pass_on(&store, &signals).await {
                tracing::debug!(%error, "hints cannot be heard");
            }
            tokio::time::sleep(AGAIN).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = listening => {}
    }
}

async fn pass_on(store: &Store, signals: &Signals) -> Result<(), StoreError> {
    let mut hints = store.listen().await?;
    loop {
        match hints.next().await? {
            Some(Hint::Free) => signals.sender_is_free(),
            Some(Hint::Due(senders)) => {
                for sender in senders {
                    signals.due_here(sender);
                }
                signals.changed();
            }
            None => {}
        }
    }
}
