//! The providers' APIs, as far as a sender of messages needs them: a POST for messages in each
//! dialect, and templates to read (`templates`). They stand on one server, as their paths differ.

mod flows;
mod hooks;
mod infobip_hooks;
mod manage;
mod media;
mod numbers;
mod pictures;
mod templates;
mod welcome;

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use super::dialect::{Call, Dialect};
use super::log::{Moment, Post};
use super::receive::Taken;
use super::state::Simulator;
use super::trouble::Trouble;

/// The largest body a caller may post.
const MAX_BODY: usize = 1024 * 1024;
/// The longest that an answer waits for the first webhook, when it is to be late.
const LATEST_ANSWER: Duration = Duration::from_secs(2);

pub use flows::preview;
pub use media::node as media_node;
pub use pictures::Pictures;
pub use welcome::Welcome;

pub fn router() -> Router<Arc<Simulator>> {
    Router::new()
        .route("/{version}/{id}/messages", post(meta))
        .route("/{version}/{id}/marketing_messages", post(meta_marketing))
        .route("/messages", post(dialog360))
        .route("/marketing_messages", post(dialog360_marketing))
        .route("/v1/messages", post(dialog360_onprem))
        .route("/whatsapp/1/message/{kind}", post(infobip))
        .route(
            "/whatsapp/1/message/interactive/{kind}",
            post(infobip_interactive),
        )
        .merge(templates::router())
        .merge(manage::router())
        .merge(flows::router())
        .merge(numbers::router())
        .merge(pictures::router())
        .merge(welcome::router())
        .merge(hooks::router())
        .merge(media::router())
        .merge(infobip_hooks::router())
}

/// The connection a request came over, so that it can be closed instead of answered.
#[derive(Debug, Clone)]
pub struct Line(Option<Arc<TcpStream>>);

impl Connected<IncomingStream<'_, TcpListener>> for Line {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        let socket = stream.io().as_fd().try_clone_to_owned();
        Self(socket.ok().map(|socket| Arc::new(TcpStream::from(socket))))
    }
}

impl Line {
    /// Closes the connection under the server, which then has nobody to answer to.
    fn cut(&self) {
        if let Some(socket) = &self.0 {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

type Simulated = State<Arc<Simulator>>;
type Connection = ConnectInfo<Line>;

/// What a path says of a request.
struct Asked {
    dialect: Dialect,
    named: String,
    marketing: bool,
}

impl Asked {
    fn of(dialect: Dialect, named: String) -> Self {
        Self {
            dialect,
            named,
            marketing: false,
        }
    }

    fn marketing(self) -> Self {
        Self {
            marketing: true,
            ..self
        }
    }
}

async fn meta(
    simulator: Simulated,
    line: Connection,
    Path((_version, sender)): Path<(String, String)>,
    request: Request,
) -> Response {
    let asked = Asked::of(Dialect::Meta, sender);
    take(simulator, line, asked, request).await
}

async fn meta_marketing(
    simulator: Simulated,
    line: Connection,
    Path((_version, sender)): Path<(String, String)>,
    request: Request,
) -> Response {
    let asked = Asked::of(Dialect::Meta, sender).marketing();
    take(simulator, line, asked, request).await
}

async fn dialog360(simulator: Simulated, line: Connection, request: Request) -> Response {
    let asked = Asked::of(Dialect::Dialog360, String::new());
    take(simulator, line, asked, request).await
}

async fn dialog360_marketing(simulator: Simulated, line: Connection, request: Request) -> Response {
    let asked = Asked::of(Dialect::Dialog360, String::new()).marketing();
    take(simulator, line, asked, request).await
}

async fn dialog360_onprem(simulator: Simulated, line: Connection, request: Request) -> Response {
    let asked = Asked::of(Dialect::Dialog360Onprem, String::new());
    take(simulator, line, asked, request).await
}

async fn infobip(
    simulator: Simulated,
    line: Connection,
    Path(kind): Path<String>,
    request: Request,
) -> Response {
    take(simulator, line, Asked::of(Dialect::Infobip, kind), request).await
}

async fn infobip_interactive(
    simulator: Simulated,
    line: Connection,
    Path(kind): Path<String>,
    request: Request,
) -> Response {
    let kind = format!("interactive/{kind}");
    take(simulator, line, Asked::of(Dialect::Infobip, kind), request).await
}

/// Takes a POST that asks to send something, whoever's dialect it is in.
async fn take(
    State(simulator): Simulated,
    ConnectInfo(line): Connection,
    Asked {
        dialect,
        named,
        marketing,
    }: Asked,
    request: Request,
) -> Response {
    // Before the body is read: a step must not have left before the tick of the one before it.
    let arrival = simulator.log.arrive();
    let (parts, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let call = Call {
        dialect,
        named,
        marketing,
        key: dialect.key(&parts.headers).map(str::to_owned),
        body: serde_json::from_slice(&bytes).ok(),
    };
    let decided = simulator.receive(&call);
    let moment = arrival.moment;
    let entry = Entry {
        moment,
        call: &call,
        sender: call.sender(&simulator.config),
    };
    arrival.settle(entry.posts(&bytes, &decided));
    match decided {
        Ok(taken) => {
            let mut heard = Heard {
                simulator: &simulator,
                tick: moment.tick,
                is: false,
            };
            let answer = answer(&simulator, &line, &call, &taken).await;
            heard.is = true;
            answer
        }
        Err(trouble) => dialect.refuse(&trouble),
    }
}

/// What the log says of a POST.
struct Entry<'a> {
    moment: Moment,
    call: &'a Call,
    sender: String,
}

impl Entry<'_> {
    fn posts(&self, bytes: &[u8], decided: &Result<Vec<Taken>, Trouble>) -> Vec<Post> {
        let body = self.call.body.as_ref();
        let bulk = body.and_then(|body| body["messages"].as_array());
        let bulk = bulk.filter(|list| self.call.dialect == Dialect::Infobip && !list.is_empty());
        let Some(messages) = bulk else {
            let raw = serde_json::from_slice(bytes).ok();
            let post = match decided {
                Ok(taken) => taken.first().map(|taken| self.post(body, raw, Ok(taken))),
                Err(trouble) => Some(self.post(body, raw, Err(trouble))),
            };
            return post.into_iter().collect();
        };
        let of = |(n, message): (usize, &Value)| {
            let raw = serde_json::value::to_raw_value(message).ok();
            let decided = match decided {
                Ok(taken) => Ok(taken.get(n)?),
                Err(trouble) => Err(trouble),
            };
            Some(self.post(Some(message), raw, decided))
        };
        messages.iter().enumerate().filter_map(of).collect()
    }

    fn post(
        &self,
        message: Option<&Value>,
        body: Option<Box<RawValue>>,
        decided: Result<&Taken, &Trouble>,
    ) -> Post {
        let text = |key: &str| message.and_then(|m| m[key].as_str()).map(str::to_owned);
        let trouble = match decided {
            Ok(taken) => taken.rejected.as_ref(),
            Err(trouble) => Some(trouble),
        };
        let taken = decided.ok().filter(|taken| taken.rejected.is_none());
        let is_infobip = self.call.dialect == Dialect::Infobip;
        Post {
            moment: self.moment,
            provider: self.call.dialect,
            phone_number_id: match is_infobip {
                true => text("from").unwrap_or_default(),
                false => self.sender.clone(),
            },
            to: text("to").or_else(|| text("recipient")),
            callback: match is_infobip {
                true => text("messageId"),
                false => text("biz_opaque_callback_data"),
            },
            body,
            outcome: match taken {
                Some(taken) if taken.fate.lost_answer => "lost_answer",
                Some(_) => "accepted",
                None => "refused",
            },
            wamid: taken.map(|taken| taken.message.wamid.clone()),
            code: trouble.map(|trouble| self.call.dialect.code(trouble)),
        }
    }
}

/// Dropped unheard where the caller is gone before its answer is made.
struct Heard<'a> {
    simulator: &'a Simulator,
    tick: u64,
    is: bool,
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        if !self.is {
            self.simulator.log.unheard(self.tick);
        }
    }
}

/// One answer for all messages of a request, as late as the latest.
async fn answer(simulator: &Simulator, line: &Line, call: &Call, taken: &[Taken]) -> Response {
    if taken.iter().any(|taken| taken.fate.lost_answer) {
        line.cut();
        return ().into_response();
    }
    for late in taken.iter().filter(|taken| taken.answers_late()) {
        let posted = late.message.first_posted.notified();
        tokio::select! {
            _ = tokio::time::timeout(LATEST_ANSWER, posted) => {}
            () = simulator.shutdown.cancelled() => {}
        }
    }
    let after = taken.iter().map(|taken| taken.fate.answer_after).max();
    if let Some(after) = after.filter(|after| !after.is_zero()) {
        tokio::time::sleep(after).await;
    }
    Json(call.answer(taken)).into_response()
}
