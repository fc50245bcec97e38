//! Writes what came of deliveries, for all subscriptions of this instance together: what is handed
//! over while one batch is written goes with the next. While the database is away nothing is lost,
//! and couriers wait, since the queue is bounded.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::store::Store;
use crate::store::deliveries::Record;

/// Records that may wait, and that are written at once: one of each of many subscriptions.
const QUEUE: usize = 4096;

/// How long records are gathered. What is not written yet is delivered again after a crash.
const GATHER: Duration = Duration::from_millis(200);

/// The wait after the database failed.
const FAILED: Duration = Duration::from_millis(500);

#[derive(Debug)]
enum Work {
    /// And whom to tell that the database refuses it.
    Record(Record, CancellationToken),
    /// Tells when all before it is written.
    Flush(oneshot::Sender<()>),
}

/// Where records are handed over.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::Sender<Work>);

impl Recorder {
    /// What writes runs until the last clone of the recorder has gone and all is written.
    pub fn new(store: Store) -> (Self, impl Future<Output = ()>) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), write(store, queue))
    }

    /// Hands a record over. Should the database refuse it, `refused` is cancelled, and nothing that
    /// bears it is written any more: a later record would move the cursor past what is lost.
    pub async fn record(&self, record: Record, refused: &CancellationToken) {
        // It ends after all who could hand something over.
        let _ = self.0.send(Work::Record(record, refused.clone())).await;
    }

    /// Waits until all that was handed over is written.
    pub async fn flush(&self) {
        let (written, wait) = oneshot::channel();
        let _ = self.0.send(Work::Flush(written)).await;
        let _ = wait.await;
    }
}

/// Writes records, however long the database is away. `false`: it refuses them.
async fn recorded(store: &Store, records: &[Record]) -> bool {
    if records.is_empty() {
        return true;
    }
    while let Err(error) = store.record_deliveries(records).await {
        if error.is_refusal() {
            tracing::warn!(%error, "deliveries cannot be recorded");
            return false;
        }
        tracing::warn!(%error, "deliveries could not be recorded yet");
        tokio::time::sleep(FAILED).await;
    }
    true
}

async fn write(store: Store, mut queue: mpsc::Receiver<Work>) {
    let mut works = Vec::new();
    while queue.recv_many(&mut works, QUEUE).await > 0 {
        let hurry = works.iter().any(|work| matches!(work, Work::Flush(_)));
        if !hurry && !queue.is_closed() {
            tokio::time::sleep(GATHER).await;
            while works.len() < QUEUE
                && let Ok(more) = queue.try_recv()
            {
                works.push(more);
            }
        }
        let (mut records, mut owners, mut flushed) = (Vec::new(), Vec::new(), Vec::new());
        for work in works.drain(..) {
            match work {
                Work::Record(_, refused) if refused.is_cancelled() => {}
                Work::Record(record, refused) => {
                    records.push(record);
                    owners.push(refused);
                }
                Work::Flush(written) => flushed.push(written),
            }
        }
        if !recorded(&store, &records).await {
            // One of them alone is what the database refuses.
            for (record, refused) in records.chunks(1).zip(owners) {
                if !refused.is_cancelled() && !recorded(&store, record).await {
                    let id = record[0].subscription;
                    tracing::error!(subscription = %id, "goes on from its cursor, once its lease ends");
                    refused.cancel();
                }
            }
        }
        for written in flushed {
            let _ = written.send(());
        }
    }
}
