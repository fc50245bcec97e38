//! Reading bodies within bounds: of size, of time, and of the memory that all of them take
//! together. What is beyond is refused before it is held, and what is held is counted until it is
//! gone: the bytes bear their share of the bound with them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Api;
use super::problem::ApiError;
use crate::ingest::decoded_size;

/// Memory, in bytes, that may be taken.
#[derive(Debug, Clone)]
pub struct Budget {
    free: Arc<Semaphore>,
    size: usize,
}

impl Budget {
    pub fn new(size: usize) -> Self {
        let size = size.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(size));
        Self { free, size }
    }

    /// How much is taken.
    pub fn taken(&self) -> usize {
        self.size.saturating_sub(self.free.available_permits())
    }

    /// A share, if it is free. One of more than all there is, is all there is.
    pub fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let bytes = u32::try_from(bytes.min(self.size)).unwrap_or(u32::MAX);
        Arc::clone(&self.free)
            .try_acquire_many_owned(bytes)
            .map_err(|_| ApiError::TooManyBodies)
    }
}

/// Bytes, and their share.
struct Held {
    bytes: Vec<u8>,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Bytes that are answered with: they hold their share until they are gone.
pub fn held(bytes: Vec<u8>, share: OwnedSemaphorePermit) -> Bytes {
    let _share = share;
    Bytes::from_owner(Held { bytes, _share })
}

/// The bytes of a webhook, at most `http.max_body_bytes` and within `limit`. They hold their share
/// of `ingest.queue_bytes` as long as they are anywhere.
pub async fn webhook_body(request: Request, api: &Api, limit: Duration) -> Result<Bytes, ApiError> {
    let limit = limit.min(api.config.http.body_timeout);
    read(request.into_body(), api, &api.webhook_bytes, limit).await
}

/// The bytes of an API call's body. What they may become once decoded is counted until the call is
/// answered ([`Shares`]).
pub async fn whole_body(request: Request, api: &Api) -> Result<Bytes, ApiError> {
    let shares = request.extensions().get::<Shares>().cloned();
    let limit = api.config.http.body_timeout;
    let bytes = read(request.into_body(), api, &api.api_bytes, limit).await?;
    if let Some(shares) = shares {
        shares.add(api.api_bytes.take(decoded_size(&bytes))?);
    }
    Ok(bytes)
}

/// The bytes of an upload that may be bigger than other bodies.
///
/// Counted twice: it goes out as a part of another body.
pub async fn big_body(request: Request, api: &Api, most: usize) -> Result<Bytes, ApiError> {
    let shares = request.extensions().get::<Shares>().cloned();
    let limit = api.config.http.body_timeout;
    let read = read_within(request.into_body(), most, &api.api_bytes, limit).await;
    let bytes = read.map_err(|error| match error {
        ApiError::TooLarge { most, .. } => ApiError::TooLarge {
            field: "file",
            most,
        },
        error => error,
    })?;
    if let Some(shares) = shares {
        shares.add(api.api_bytes.take(bytes.len())?);
    }
    Ok(bytes)
}

/// Shares that last as long as the request that they stand with.
#[derive(Debug, Clone, Default)]
pub struct Shares(Arc<Mutex<Vec<OwnedSemaphorePermit>>>);

impl Shares {
    fn add(&self, share: OwnedSemaphorePermit) {
        let mut shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shares.push(share);
    }
}

async fn read(body: Body, api: &Api, budget: &Budget, limit: Duration) -> Result<Bytes, ApiError> {
    read_within(body, api.config.http.max_body_bytes, budget, limit).await
}

async fn read_within(
    mut body: Body,
    most: usize,
    budget: &Budget,
    limit: Duration,
) -> Result<Bytes, ApiError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(ApiError::TooLarge { field: "", most });
    }
    let reading = async {
        let mut share = budget.take(0)?;
        let mut bytes = Vec::new();
        while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            let frame =
                frame.map_err(|_| ApiError::Malformed("the body ended early".to_owned()))?;
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            if bytes.len() + chunk.len() > most {
                return Err(ApiError::TooLarge { field: "", most });
            }
            // Before it is held. By what has come and not by what was announced, which costs
            // a stranger nothing.
            share.merge(budget.take(chunk.len())?);
            if bytes.is_empty() {
                bytes.reserve_exact(announced);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(held(bytes, share))
    };
    let read = tokio::time::timeout(limit, reading).await;
    read.map_err(|_| ApiError::TooSlow)?
}
