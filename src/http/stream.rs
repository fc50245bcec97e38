//! `/v1/events/stream`: the feed as server-sent events. Each bears its place as its id, so that a
//! client that comes back goes on where it was; when nothing matches for a while a comment with
//! the place that was reached says that the stream lives. A stream ends when the service stops, its
//! client does not read or was slower than events are forgotten, or its key is good no more: who may comes back, to another instance or
//! later.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use hyper::body::{Bytes, Frame};
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Api;
use super::auth::bearer;
use super::events::{Words, wants_cloudevents};
use super::listener::Lasting;
use super::page::Cursor;
use super::problem::ApiError;
use super::request::Query;
use crate::feed::{Event, Filter, NotRead, Reader, TypePattern};
use crate::model::ids::{ConnectionId, SenderId};
use crate::store::feed::Place;
use crate::store::{FRESH, KeyCache};

/// How often a quiet stream says that it lives: proxies close what says nothing for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A client that takes nothing for so long is let go.
const STUCK: Duration = Duration::from_secs(60);

/// Events in one piece of the answer, and pieces that may wait for the client.
const PIECE: usize = 64;
const PIECES: usize = 2;

/// When the client is to come back after an end.
const BEGIN: &str = "retry: 1000\n\n";

pub fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(stream))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Follow {
    /// An `id` of the stream, or a `next_cursor` of the list. The header `Last-Event-ID` stands
    /// above it. Without either the stream begins now.
    after: Option<Cursor<24>>,
    /// One type, or several with commas between them; one that ends in `*` stands for all that
    /// begin so.
    #[param(value_type = Option<String>, example = "message.*,sequence.completed")]
    r#type: Option<Words>,
    sender: Option<SenderId>,
    connection: Option<ConnectionId>,
}

/// Follows the feed as it goes on: server-sent events.
///
/// `data` is an event as the list shows it; with `Accept: application/cloudevents+json` beside
/// `text/event-stream`, a CloudEvent. Who reads so slowly that events are forgotten meanwhile gets an
/// `event: cursor_expired` with the `oldest_cursor`, and the stream ends.
#[utoipa::path(
    get,
    path = "/events/stream",
    operation_id = "stream_events",
    tag = "Events",
    params(
        Follow,
        ("Last-Event-ID" = Option<String>, Header, description = "Where to go on: the last `id`."),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = String),
        (status = 410, description = "cursor_expired"),
    ),
)]
async fn stream(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(asked): Query<Follow>,
) -> Result<Response, ApiError> {
    let place = Open::count(&api.streams, api.config.http.max_streams)?;
    let words = asked.r#type.map(|words| words.0).unwrap_or_default();
    let types = words.iter().map(|word| TypePattern::wanted(word));
    let types: Result<_, _> = types.collect();
    let filter = Filter {
        types: types.map_err(|said| ApiError::field("type", said))?,
        senders: asked.sender.into_iter().collect(),
        connections: asked.connection.into_iter().collect(),
    };
    let after = match last_event_id(&headers)?.or(asked.after) {
        Some(cursor) => {
            let begin = api.store.feed_begin().await?;
            let place = Some(Place::from_bytes(cursor.0)).filter(|place| *place >= begin);
            place.ok_or_else(|| ApiError::forgotten(begin))?
        }
        None => api.store.feed_end().await?,
    };
    let (sender, pieces) = mpsc::channel(PIECES);
    let streaming = Streaming {
        reader: api.forwarding.tail.read_from(after, filter),
        as_cloudevents: wants_cloudevents(&headers),
        sender,
        _open: place,
    };
    let key = bearer(&headers).unwrap_or_default().to_owned();
    tokio::spawn(async move {
        tokio::select! {
            () = streaming.run() => {}
            () = api.signals.stopped() => {}
            () = ends(&api.keys, &key) => tracing::info!("a stream's key is good no more"),
        }
    });
    let mut response = Body::new(Pieces(pieces)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A stream's connection ends with it.
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // Proxies of nginx's kind gather answers otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(Lasting);
    Ok(response)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Cursor<24>>, ApiError> {
    let Some(given) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let place = BASE64URL_NOPAD.decode(given.as_bytes()).ok();
    let place = place.and_then(|bytes| bytes.try_into().ok());
    let wrong = || ApiError::field("Last-Event-ID", "expected an `id` of this stream");
    Ok(Some(Cursor(place.ok_or_else(wrong)?)))
}

/// A stream's place among those that are open.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn count(streams: &Arc<AtomicUsize>, most: usize) -> Result<Self, ApiError> {
        let before = streams.fetch_add(1, Ordering::Relaxed);
        let open = Self(Arc::clone(streams));
        metrics::gauge!("twotick_streams").set((before + 1) as f64);
        if before >= most {
            let said = "there are as many streams as `http.max_streams` allows";
            return Err(ApiError::Overloaded(said.to_owned()));
        }
        Ok(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("twotick_streams").set((before.saturating_sub(1)) as f64);
    }
}

/// Returns when the key is good no more. A database that is away says nothing of it.
async fn ends(keys: &KeyCache, key: &str) {
    loop {
        tokio::time::sleep(FRESH).await;
        if matches!(keys.find(key).await, Ok(None)) {
            return;
        }
    }
}

/// One stream.
struct Streaming {
    reader: Reader,
    as_cloudevents: bool,
    sender: mpsc::Sender<Bytes>,
    _open: Open,
}

impl Streaming {
    /// Until the client has gone, reads nothing, or the database fails.
    async fn run(mut self) {
        let mut told = self.send(BEGIN.to_owned()).await;
        while told {
            let events = match self.reader.next(PIECE).await {
                Ok(events) => events,
                // Who comes back with the last id is told 410.
                Err(NotRead::Forgotten(begin)) => {
                    self.send(forgotten(begin)).await;
                    return;
                }
                Err(NotRead::Store(error)) => {
                    tracing::warn!(%error, "a stream ends");
                    return;
                }
            };
            if !events.is_empty() {
                let piece = events.iter().map(|event| self.piece(event)).collect();
                told = self.send(piece).await;
                continue;
            }
            let sender = self.sender.clone();
            tokio::select! {
                () = self.reader.grown() => {}
                () = sender.closed() => return,
                () = tokio::time::sleep(HEARTBEAT) => {
                    let here = id(self.reader.place());
                    told = self.send(format!("id: {here}\n: quiet\n\n")).await;
                }
            }
        }
    }

    fn piece(&self, event: &Event) -> String {
        let data = match self.as_cloudevents {
            true => event.cloud(),
            false => event.json.clone(),
        };
        // JSON as it is written here has no line breaks.
        let data = String::from_utf8_lossy(&data);
        format!("id: {}\ndata: {data}\n\n", id(event.place))
    }

    /// Whether there is a client that takes it.
    async fn send(&self, piece: String) -> bool {
        let sent = self.sender.send_timeout(piece.into(), STUCK);
        sent.await.is_ok()
    }
}

/// The last that a client hears that was slower than the feed is forgotten.
fn forgotten(begin: Place) -> String {
    let begin = id(begin);
    format!("event: cursor_expired\ndata: {{\"oldest_cursor\":\"{begin}\"}}\n\n")
}

fn id(place: Place) -> String {
    BASE64URL_NOPAD.encode(&place.to_bytes())
}

/// The answer's body.
struct Pieces(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.0.poll_recv(context);
        piece.map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
