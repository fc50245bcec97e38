//! A caller's body that is passed on as it comes: nothing of it is held but what has just come, and
//! the provider's pace is the caller's. What stands before and behind it goes with it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::problem::ApiError;

const ENDED: u8 = 1;
const SLOW: u8 = 2;

/// How a caller's body failed, if it did: whoever passes it on says only that it did.
#[derive(Debug, Clone, Default)]
pub struct Fate(Arc<AtomicU8>);

impl Fate {
    /// The caller's own fault.
    pub fn fault(&self) -> Option<ApiError> {
        match self.0.load(Ordering::Relaxed) {
            ENDED => Some(ApiError::Malformed("the body ended early".to_owned())),
            SLOW => Some(ApiError::TooSlow),
            _ => None,
        }
    }
}

/// The body as it goes out.
#[derive(Debug)]
pub struct Passing {
    head: Option<Bytes>,
    /// One task at a time polls it: it is never waited for.
    body: Mutex<Body>,
    /// Of the caller's.
    left: u64,
    tail: Option<Bytes>,
    patience: Duration,
    /// Until the caller has to have said more.
    wait: Option<Pin<Box<Sleep>>>,
    fate: Fate,
}

/// Why it does not go on.
#[derive(Debug, thiserror::Error)]
#[error("the caller's body did not come")]
pub struct Cut;

impl Passing {
    /// A body of `length` bytes. `patience`: so long its caller may say nothing.
    pub fn new(body: Body, length: u64, patience: Duration, fate: Fate) -> Self {
        Self {
            head: None,
            body: Mutex::new(body),
            left: length,
            tail: None,
            patience,
            wait: None,
            fate,
        }
    }

    /// With what stands around it.
    pub fn within(self, head: String, tail: String) -> Self {
        let some = |text: String| (!text.is_empty()).then(|| Bytes::from(text));
        Self {
            head: some(head),
            tail: some(tail),
            ..self
        }
    }

    fn cut(&self, why: u8) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.fate.0.store(why, Ordering::Relaxed);
        Poll::Ready(Some(Err(Cut)))
    }

    fn poll_caller(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        loop {
            let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
            let frame = match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let patience = self.patience;
                    let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(patience)));
                    return match wait.as_mut().poll(cx) {
                        Poll::Ready(()) => self.cut(SLOW),
                        Poll::Pending => Poll::Pending,
                    };
                }
            };
            self.wait = None;
            let Some(Ok(frame)) = frame else {
                return self.cut(ENDED);
            };
            let Ok(chunk) = frame.into_data() else {
                continue;
            };
            let length = chunk.len() as u64;
            if length > self.left {
                return self.cut(ENDED);
            }
            self.left -= length;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
    }
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(head) = self.head.take() {
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if self.left > 0 {
            return self.poll_caller(cx);
        }
        Poll::Ready(self.tail.take().map(|tail| Ok(Frame::data(tail))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_none() && self.left == 0 && self.tail.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let of = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len) as u64;
        SizeHint::with_exact(of(&self.head) + self.left + of(&self.tail))
    }
}
