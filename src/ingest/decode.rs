//! Decoding within a bound of memory: what a body says may take many times its bytes, and is held
//! until it is committed.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout_at;

use super::NotCommitted;
use crate::model::erased::Erased;
use crate::model::fact::Decoded;
use crate::model::provider::Provider;
use crate::provider::decode;

/// Decoding a longer body would keep others from being served meanwhile: it gets a thread.
const LONG: usize = 128 << 10;

/// A share of the memory for decoded webhooks; given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Share(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// A body is a big one if it may take more than such a part of a half.
const BIG_PART: usize = 8;

/// Big bodies have one half of the memory, all others the other half: or one that is held while
/// its many facts are committed would keep everybody out.
#[derive(Debug, Clone)]
pub(super) struct Decoder {
    big: Arc<Semaphore>,
    others: Arc<Semaphore>,
    /// Of a half.
    size: usize,
    erased: watch::Receiver<Erased>,
}

impl Decoder {
    pub(super) fn new(size: usize, erased: watch::Receiver<Erased>) -> Self {
        let size = (size / 2).clamp(1, u32::MAX as usize);
        let half = || Arc::new(Semaphore::new(size));
        Self {
            big: half(),
            others: half(),
            size,
            erased,
        }
    }

    /// Waits for memory, in the order of asking. What would take more than there is, is the only
    /// big one then.
    pub(super) async fn decode(
        &self,
        provider: Provider,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<(Decoded, Share), NotCommitted> {
        let size = decoded_size(body).min(self.size);
        let half = match size > self.size / BIG_PART {
            true => &self.big,
            false => &self.others,
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let share = Arc::clone(half).acquire_many_owned(size);
        let share = timeout_at(deadline.into(), share).await;
        let share = Share(
            share
                .ok()
                .and_then(Result::ok)
                .ok_or(NotCommitted::TooMuch)?,
        );
        if body.len() < LONG {
            return Ok((self.read(provider, body), share));
        }
        let (this, body) = (self.clone(), body.clone());
        // The share goes along: whoever waits may give up, and the thread does not.
        let decoding = tokio::task::spawn_blocking(move || (this.read(provider, &body), share));
        // It neither panics nor is cancelled, except at the end of the process.
        decoding.await.map_err(|_| NotCommitted::Stopping)
    }

    /// What it says, but of people who were erased.
    fn read(&self, provider: Provider, body: &Bytes) -> Decoded {
        let mut decoded = decode(provider, body);
        self.erased.borrow().strip(&mut decoded);
        decoded
    }
}

/// About how many bytes JSON takes once decoded, and rather more: an object becomes a map, and
/// with that an item of a webhook with all its texts; any value takes a place in its array.
pub fn decoded_size(json: &[u8]) -> usize {
    const OBJECT: usize = 1500;
    const ARRAY: usize = 200;
    const VALUE: usize = 96;
    let (mut objects, mut arrays, mut values) = (0, 0, 0);
    for byte in json {
        match byte {
            b'{' => objects += 1,
            b'[' => arrays += 1,
            b',' => values += 1,
            _ => {}
        }
    }
    json.len() + objects * OBJECT + arrays * ARRAY + values * VALUE
}
