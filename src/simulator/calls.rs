//! Which calls were made, in their order: what a test of a caller asks for that has to know that
//! this call was made, and no other.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::state::Simulator;

/// More than anybody asks for at once.
const REMEMBERED: usize = 1000;

/// The last calls.
#[derive(Debug, Default)]
pub struct Calls {
    last: VecDeque<Called>,
    count: u64,
}

/// A call.
#[derive(Debug, Clone, Serialize)]
struct Called {
    n: u64,
    method: String,
    /// Without what is behind the `?`.
    path: String,
}

/// Remembers a call before it is answered.
pub async fn remember(
    State(simulator): State<Arc<Simulator>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    // Messages have a log of their own.
    if !path.ends_with("messages") {
        let (method, path) = (request.method().to_string(), path.to_owned());
        let calls = &mut simulator.state().calls;
        calls.count += 1;
        let n = calls.count;
        if calls.last.len() >= REMEMBERED {
            calls.last.pop_front();
        }
        calls.last.push_back(Called { n, method, path });
    }
    next.run(request).await
}

#[derive(Debug, Deserialize)]
pub struct Since {
    #[serde(default)]
    since: u64,
}

#[derive(Debug, Serialize)]
pub struct Shown {
    /// How many there were.
    count: u64,
    calls: Vec<Called>,
}

/// Shows the calls after the first so many.
pub async fn show(
    State(simulator): State<Arc<Simulator>>,
    Query(asked): Query<Since>,
) -> Json<Shown> {
    let calls = &simulator.state().calls;
    let later = calls.last.iter().filter(|called| called.n > asked.since);
    Json(Shown {
        count: calls.count,
        calls: later.cloned().collect(),
    })
}
