//! The body of a POST that looks at the lease when its first byte is asked for: the connection is
//! there by then, and nothing has left yet. Whatever stalled this process before, or took its
//! time (a name to look up, a handshake), cannot make it post for a sender that others own.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Whether a POST was held back: no byte of it has left.
#[derive(Debug, Clone, Default)]
pub(super) struct HeldBack(Arc<AtomicBool>);

impl HeldBack {
    pub(super) fn is_true(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Bytes that go only if `may_go` says so.
pub(super) struct LastLook<F> {
    bytes: Option<Bytes>,
    may_go: F,
    held_back: HeldBack,
}

impl<F: Fn() -> bool> LastLook<F> {
    pub(super) fn new(bytes: Bytes, may_go: F) -> (Self, HeldBack) {
        let held_back = HeldBack::default();
        let look = Self {
            bytes: Some(bytes),
            may_go,
            held_back: held_back.clone(),
        };
        (look, held_back)
    }
}

/// The lease has ended.
#[derive(Debug, thiserror::Error)]
#[error("the lease ended before it was posted")]
pub(super) struct Ended;

impl<F: Fn() -> bool + Unpin> Body for LastLook<F> {
    type Data = Bytes;
    type Error = Ended;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Ended>>> {
        if self.bytes.is_some() && !(self.may_go)() {
            self.held_back.0.store(true, Ordering::Release);
            return Poll::Ready(Some(Err(Ended)));
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
