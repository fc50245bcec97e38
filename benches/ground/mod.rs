//! What the benchmarks stand on: databases of one private cluster, the service in this process,
//! threads for the generator alone, and what a run showed.

#![allow(dead_code, reason = "each benchmark uses what it needs")]

pub mod database;
pub mod measured;
pub mod posted;
pub mod service;
pub mod wire;

use std::future::Future;

use tokio::runtime::{Builder, Handle, Runtime};

/// Runs a benchmark. The generator has threads of its own, so that what they take can be told
/// apart: those of the service bear tokio's name.
pub fn run<F: Future<Output = ()>>(bench: impl FnOnce(Handle) -> F) {
    let load = Builder::new_multi_thread()
        .thread_name("load")
        .enable_all()
        .build()
        .unwrap();
    let service = Runtime::new().unwrap();
    service.block_on(bench(load.handle().clone()));
    load.shutdown_background();
}
