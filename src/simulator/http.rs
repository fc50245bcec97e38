//! Meta's API, as far as a sender of messages needs it: `POST /{version}/{sender}/messages`. What
//! can be read is in `nodes`.

use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::IncomingStream;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::error::GraphError;
use super::log::{Arrival, Post};
use super::state::{Accepted, Simulator};

/// The largest body a caller may post.
const MAX_BODY: usize = 1024 * 1024;
/// The longest that an answer waits for the first webhook, when it is to be late.
const LATEST_ANSWER: Duration = Duration::from_secs(2);

pub fn router() -> Router<Arc<Simulator>> {
    Router::new().route("/{version}/{id}/messages", post(messages))
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

async fn messages(
    State(simulator): State<Arc<Simulator>>,
    ConnectInfo(line): ConnectInfo<Line>,
    Path((_version, sender)): Path<(String, String)>,
    request: Request,
) -> Response {
    // Before the body is read: a step must not have left before the tick of the one before it.
    let arrival = simulator.log.arrive();
    let (parts, body) = request.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let body: Option<Value> = serde_json::from_slice(&bytes).ok();
    let decided = simulator.receive(&sender, bearer(&parts.headers), body.as_ref());
    settle(arrival, sender, &bytes, body.as_ref(), &decided);
    match decided {
        Ok(accepted) => answer(&simulator, &line, &accepted).await,
        Err(error) => error.into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get("authorization")?.to_str().ok()?;
    value.strip_prefix("Bearer ")
}

fn settle(
    arrival: Arrival<'_>,
    phone_number_id: String,
    bytes: &[u8],
    body: Option<&Value>,
    decided: &Result<Accepted, GraphError>,
) {
    let text = |key: &str| body.and_then(|b| b[key].as_str()).map(str::to_owned);
    let outcome = match decided {
        Ok(accepted) if accepted.fate.lost_answer => "lost_answer",
        Ok(_) => "accepted",
        Err(_) => "refused",
    };
    let moment = arrival.moment;
    arrival.settle(Post {
        moment,
        phone_number_id,
        to: text("to").or_else(|| text("recipient")),
        callback: text("biz_opaque_callback_data"),
        body: serde_json::from_slice(bytes).ok(),
        outcome,
        wamid: decided.as_ref().ok().map(|a| a.message.wamid.clone()),
        code: decided.as_ref().err().map(|e| e.code),
    });
}

async fn answer(simulator: &Simulator, line: &Line, accepted: &Accepted) -> Response {
    if accepted.fate.lost_answer {
        line.cut();
        return ().into_response();
    }
    if accepted.fate.answer_late && !accepted.held {
        let posted = accepted.message.first_posted.notified();
        tokio::select! {
            _ = tokio::time::timeout(LATEST_ANSWER, posted) => {}
            () = simulator.shutdown.cancelled() => {}
        }
    }
    if !accepted.fate.answer_after.is_zero() {
        tokio::time::sleep(accepted.fate.answer_after).await;
    }
    let user = &accepted.message.user;
    let mut contact = json!({"input": user.input});
    match &user.wa_id {
        Some(wa_id) => contact["wa_id"] = wa_id.as_str().into(),
        None => contact["user_id"] = user.user_id.as_str().into(),
    }
    let mut message = json!({"id": accepted.message.wamid});
    if accepted.is_template {
        message["message_status"] = match accepted.held {
            true => "held_for_quality_assessment".into(),
            false => "accepted".into(),
        };
    }
    Json(json!({
        "messaging_product": "whatsapp",
        "contacts": [contact],
        "messages": [message],
    }))
    .into_response()
}

pub fn authorize(simulator: &Simulator, headers: &HeaderMap) -> Result<(), GraphError> {
    match &simulator.config.access_token {
        Some(token) if bearer(headers) != Some(token) => Err(GraphError::bad_token()),
        _ => Ok(()),
    }
}
