//! A provider that behaves as Meta's Cloud API does, with its faults on demand: it accepts
//! messages, decides from a seed what becomes of each, and posts signed webhooks until they are
//! answered 200. The demo, the tests and the benchmarks drive the service against it.
//!
//! It shares no code with the service but the clock: what it says on the wire is written here a
//! second time, from Meta's documentation, so that a misreading on one side shows.
//!
//! The parts: `http` is Meta's API, `nodes` what can be read of it, `control` the side door for scripts, `fate` decides what
//! becomes of a message, `state` knows messages and templates, `hold` pauses them, `queue` holds what is due,
//! `deliver` posts it, `webhook` and `escape` write the bodies, `log` remembers what happened in
//! which order.

mod config;
mod control;
mod deliver;
mod error;
mod escape;
mod fate;
mod hold;
mod http;
mod log;
mod message;
mod nodes;
mod queue;
mod state;
mod template;
mod webhook;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::{Batches, Config, Delays, Faults, Range};

use crate::clock::Clock;
use http::Line;
use state::Simulator;

/// How long open requests and webhooks in flight may still take once shutdown was asked for.
/// A client's idle connection must not hold the process.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves until `shutdown`, then drains. Webhooks that are not acknowledged by then are lost.
pub async fn run(
    listener: TcpListener,
    config: Config,
    clock: Clock,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let shutdown = shutdown.child_token();
    let simulator = Arc::new(Simulator::new(config, clock, shutdown.clone()));
    let posting = TaskTracker::new();
    posting.spawn(deliver::run(Arc::clone(&simulator)));
    posting.close();

    let app = Router::new()
        .merge(http::router())
        .merge(nodes::router())
        .merge(control::router())
        .with_state(simulator)
        .into_make_service_with_connect_info::<Line>();
    let serving =
        axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let expired = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = expired => Ok(()),
    };
    shutdown.cancel();
    posting.wait().await;
    served
}
