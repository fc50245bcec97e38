//! Requests that are done once, whose work is done at a provider: the name is claimed before the
//! provider is called, so that of two at once one calls, and the other gets its answer.

use std::time::Duration;

use serde::Serialize;

use super::Manage;
use crate::store::{Claim, Once, Reply, StoreError, shown};

/// How often who waits for another looks.
const LOOK: Duration = Duration::from_millis(100);

/// A claim lasts as long as the calls of one request may take, twice, and so much longer.
const BESIDE: Duration = Duration::from_secs(30);

impl Manage {
    /// Does what a request wants, unless it was done: `work` keeps its answer itself. What fails
    /// leaves the request's name free.
    pub async fn once_at_provider<E: From<StoreError>>(
        &self,
        once: &Once,
        work: impl Future<Output = Result<Reply, E>>,
    ) -> Result<Reply, E> {
        let length = self.settings.timeout * 2 + BESIDE;
        let until = loop {
            match self.store.claim_request(once, length).await? {
                Claim::Ours(until) => break until,
                Claim::Done(reply) => return Ok(reply),
                Claim::Held => tokio::time::sleep(LOOK).await,
            }
        };
        let came = work.await;
        if came.is_err()
            && let Err(error) = self.store.release_request(once, until).await
        {
            tracing::warn!(%error, "a request's name is free later than it could be");
        }
        came
    }

    /// Keeps what was done as the answer to a request. It was done, whether that is kept or not.
    pub async fn kept(&self, once: &Once, view: &impl Serialize) -> Result<Reply, StoreError> {
        let answer = shown(view)?;
        match self.store.keep_reply(once, answer.clone()).await {
            Ok(reply) => Ok(reply),
            Err(error) => {
                tracing::warn!(%error, "an answer could not be kept under its request's name");
                Ok(Reply::Done(answer))
            }
        }
    }
}
