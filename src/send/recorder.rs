//! Writes what providers accepted: while one commit is under way the next answers come in, and go
//! together. A batch that cannot be written is given back to its posts, each of which then writes
//! its own.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::model::limits::Lifetimes;
use crate::store::acceptances::{Acceptance, Accepted};
use crate::store::claim::Claim;
use crate::store::{Store, StoreError};

/// Answers in one commit.
const MOST: usize = 128;

/// Where posts bring their answers.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    store: Store,
    lifetimes: Lifetimes,
    queue: mpsc::Sender<Waiting>,
}

/// An answer, and who waits until it is committed.
#[derive(Debug)]
struct Waiting {
    claim: Arc<Claim>,
    answer: Accepted,
    committed: oneshot::Sender<bool>,
}

impl Recorder {
    /// A recorder, and its work, which ends when nobody has the recorder any more.
    pub(super) fn new(
        store: Store,
        lifetimes: Lifetimes,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (queue, answers) = mpsc::channel(MOST);
        let recorder = Self {
            store: store.clone(),
            lifetimes,
            queue,
        };
        (recorder, write_all(store, lifetimes, answers))
    }

    /// Returns when it is committed: whether the sequence is due because of it.
    pub(super) async fn accepted(
        &self,
        claim: &Arc<Claim>,
        answer: &Accepted,
    ) -> Result<bool, StoreError> {
        let (committed, due) = oneshot::channel();
        let waiting = Waiting {
            claim: Arc::clone(claim),
            answer: answer.clone(),
            committed,
        };
        if self.queue.send(waiting).await.is_ok()
            && let Ok(due) = due.await
        {
            return Ok(due);
        }
        self.store
            .record_accepted(claim, answer, self.lifetimes)
            .await
    }
}

async fn write_all(store: Store, lifetimes: Lifetimes, mut answers: mpsc::Receiver<Waiting>) {
    let mut waiting = Vec::new();
    while !waiting.is_empty() || answers.recv_many(&mut waiting, MOST).await > 0 {
        let (mut batch, rest) = one_a_sequence(waiting);
        batch.sort_unstable_by_key(|waiting| waiting.claim.attempt);
        waiting = rest;
        let written: Vec<Acceptance<'_>> = batch
            .iter()
            .map(|waiting| (&*waiting.claim, &waiting.answer))
            .collect();
        match store.record_acceptances(&written, lifetimes).await {
            Ok(due) => {
                for (waiting, due) in batch.into_iter().zip(due) {
                    // Nobody waits any longer: it is committed all the same.
                    let _ = waiting.committed.send(due);
                }
            }
            Err(error) => tracing::debug!(%error, "answers are written one by one"),
        }
    }
}

/// The first answer of each sequence, and the others: an old attempt's may come beside the last's.
fn one_a_sequence(waiting: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut sequences = HashSet::new();
    waiting
        .into_iter()
        .partition(|waiting| sequences.insert(waiting.claim.sequence))
}
