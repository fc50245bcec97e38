//! Everything at once, from outside: three real instances over one Postgres, each of which dies
//! by `kill -9` in the middle of sequences and webhooks, or stands still, while connections to the
//! database are cut, fall silent or lose the acknowledgement of a commit. The provider is in this process, so
//! that it remembers what the dead forget, and `check` judges by what the provider saw.
//!
//! The parts: `plan` is what happens, out of a seed; `ground` the database, `instances` the
//! processes, `provider` the simulator; `ask` asks for sequences, `mail` brings webhooks (and
//! `strangers` makes more), `person` looks after what is held, `trouble` kills, `feed` follows the
//! events, `told` asks what the service knows in the end.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod api;
mod ask;
mod check;
mod feed;
mod ground;
mod instances;
mod mail;
mod person;
mod plan;
mod progress;
mod provider;
#[path = "../database/proxy.rs"]
#[allow(dead_code, reason = "shared: each of the tests uses a part of it")]
mod proxy;
mod run;
mod strangers;
mod told;
mod trouble;

use plan::Plan;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_nothing_acknowledged_is_lost_doubled_or_out_of_order() {
    let plan = Plan::from_environment();
    eprintln!("{}", plan.replay());
    let (findings, summary) = run::run(&plan).await;
    eprintln!("{summary}");
    assert!(findings.is_clean(), "{findings}\n{}", plan.replay());
}
