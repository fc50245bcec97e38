//! Requests that are done once, whose work is done at a provider: the name is claimed before the
//! provider is called, so that of two at once one calls, and the other gets its answer. What
//! certainly was not done leaves the name free; what may have been done leaves it taken, and who
//! comes with it again is told that nobody knows.

use std::time::Duration;

use serde::Serialize;

use super::{Failed, Manage};
use crate::model::Timestamp;
use crate::store::{Claim, Once, Reply, StoreError, shown};

/// How often who waits for another looks.
const LOOK: Duration = Duration::from_millis(100);

/// Beside its calls a request takes so long at most.
const BESIDE: Duration = Duration::from_secs(30);

/// Calls of one request, each with its repetitions: what is changed is read before or after.
const CALLS: u32 = 3;

/// Why a request's work has no answer.
pub trait Unsuccessful: From<StoreError> {
    /// Whether it may have been done all the same.
    fn may_be_done(&self) -> bool;
}

impl Unsuccessful for Failed {
    fn may_be_done(&self) -> bool {
        self.may_be_done()
    }
}

fn told(ended: Result<(), StoreError>) {
    if let Err(error) = ended {
        tracing::warn!(%error, "a request's name is held until its claim runs out");
    }
}

impl Manage {
    /// Does what a request wants, unless it was done: `work` keeps its answer itself.
    pub async fn once_at_provider<E: Unsuccessful>(
        &self,
        once: &Once,
        work: impl Future<Output = Result<Reply, E>>,
    ) -> Result<Reply, E> {
        let until = match self.claim(once).await? {
            (Claim::Ours, until) => until,
            (Claim::Held, _) => return Ok(Reply::UnderWay),
            (Claim::Done(reply), _) => return Ok(reply),
        };
        let came = work.await;
        if let Err(failed) = &came {
            let ended = match failed.may_be_done() {
                true => self.store.end_claim(once, until).await,
                false => self.store.release_request(once, until).await,
            };
            told(ended);
        }
        came
    }

    /// Claims a request's name, until then. Who finds it held waits as long as a call may take.
    async fn claim(&self, once: &Once) -> Result<(Claim, Timestamp), StoreError> {
        let timeout = self.settings.timeout;
        let length = timeout * (self.settings.retries + 1) * CALLS + BESIDE;
        let clock = self.store.clock();
        let patience = clock.monotonic() + timeout;
        loop {
            // By this the claim is known.
            let until = clock.now() + length;
            let claim = match self.store.claim_request(once, until).await {
                Ok(claim) => claim,
                Err(error) => {
                    // It may be claimed although nobody was told, and nothing was done.
                    told(self.store.release_request(once, until).await);
                    return Err(error);
                }
            };
            if !matches!(claim, Claim::Held) || clock.monotonic() >= patience {
                return Ok((claim, until));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Keeps what was done as the answer to a request. It was done, whether that is kept or not:
    /// where it is not, who asks again is told that nobody knows.
    pub async fn kept(&self, once: &Once, view: &impl Serialize) -> Result<Reply, StoreError> {
        let answer = shown(view)?;
        match self.store.keep_reply(once, answer.clone()).await {
            Ok(reply) => Ok(reply),
            Err(error) => {
                tracing::error!(%error, "an answer could not be kept under its request's name");
                Ok(Reply::Done(answer))
            }
        }
    }
}
