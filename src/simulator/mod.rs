//! Providers that behave as Meta's Cloud API, 360dialog (Cloud and On-Premises) and Infobip do,
//! with their faults on demand: they accept messages, decide from a seed what becomes of each, and
//! post webhooks until they are answered 200. The demo, the tests and the benchmarks drive the
//! service against them.
//!
//! It shares no code with the service but the clock: what it says on the wire is written here a
//! second time, from the providers' documentation, so that a misreading on one side shows.
//!
//! The parts: `http` is the providers' APIs, `nodes` what can be read at Meta, `dialect` says how
//! each of them reads and writes, `control` is the side door for scripts. The engine is one for
//! all: `receive` takes a POST, `fate` decides what becomes of a message, `state` knows messages
//! and templates, `review` decides about those that are submitted, `hooks` knows where webhooks are to go, `hold` pauses them, `queue` holds what is due, `deliver` posts it with the proofs
//! of `auth` and by the rules of `retry`, `log` remembers what happened in which order. `examples`
//! has a webhook of every kind.

mod auth;
mod calls;
mod config;
mod control;
mod deliver;
mod dialect;
mod examples;
mod fate;
mod flow;
mod hold;
mod hooks;
mod http;
mod log;
mod media;
mod message;
mod nodes;
mod number;
mod queue;
mod receive;
mod retry;
mod review;
mod state;
mod template;
mod trouble;
mod update;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use auth::{Algorithm, Auth, Basic, Encoding, Signature, Target};
pub use config::{Batches, Config, Delays, Faults, Pair, Range};
pub use dialect::Dialect;

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
        .layer(from_fn_with_state(Arc::clone(&simulator), calls::remember))
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
