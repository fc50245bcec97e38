//! The feed on its way out: its events as they are shown, and the one tail that all of an
//! instance's streams and subscriptions follow. `http` and `forward` use this; it uses `store`.
//! How an event is shown is `http`'s to say, which gives it as a function.

mod cloud;
mod filter;
mod tail;

use std::sync::{Arc, OnceLock};

use hyper::body::Bytes;
use uuid::Uuid;

use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, SenderId};
use crate::store::feed::{Fact, Place};

pub use self::cloud::{CloudEvent, write_batch};
pub use self::filter::{Filter, TypePattern};
pub use self::tail::{NotRead, Reader, Tail};

/// How a fact is shown.
pub type Show = fn(Fact) -> Event;

/// An event, made once for all who want it.
#[derive(Debug)]
pub struct Event {
    /// Where it stands in the feed.
    pub place: Place,
    /// The public id.
    pub id: String,
    /// A sender's, or a connection's own.
    pub stream: i32,
    /// What its order counts within: what it is about.
    pub about: Subject,
    /// Such as `message.delivered`.
    pub r#type: String,
    /// Whose it is.
    pub sender: Option<SenderId>,
    /// Of which connection.
    pub connection: Option<ConnectionId>,
    /// The public id of what it is about.
    pub subject: Option<String>,
    /// When it happened, or else when we heard of it.
    pub at: Timestamp,
    /// When it was written.
    pub received_at: Timestamp,
    /// As `GET /v1/events` shows it.
    pub json: Bytes,
    /// As a CloudEvent, once somebody wants one.
    pub cloud: OnceLock<Bytes>,
}

/// What an event is about, as the database knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// A sender's, or a connection's own.
    pub stream: i32,
    /// Within the stream.
    pub id: Uuid,
}

impl Subject {
    /// An event without a subject has no order with others: it is its own.
    pub fn of(stream: i32, subject: Uuid, event: Uuid) -> Self {
        let id = if subject.is_nil() { event } else { subject };
        Self { stream, id }
    }
}

impl Event {
    /// As a CloudEvent in structured mode.
    pub fn cloud(&self) -> Bytes {
        let made = self.cloud.get_or_init(|| CloudEvent::of(self).to_bytes());
        made.clone()
    }
}

/// Events, in their order.
pub type Events = Vec<Arc<Event>>;
