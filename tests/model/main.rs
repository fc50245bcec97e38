//! The model-based test: a seed makes a history, the real service runs it over a real Postgres,
//! and a small reference model that shares nothing with the service judges what came of it.
//! docs/TESTING.md says how to run more, how to replay a seed, and how to extend it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test may panic"
)]

mod asked;
mod examine;
mod finish;
mod history;
mod instance;
mod maker;
mod mask;
mod provider;
mod reference;
mod rng;
mod run;
mod says;
mod seen;
mod show;
mod shrink;
mod story;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use self::examine::examine;
use self::mask::Mask;
use self::shrink::shrink;
use self::world::World;

/// Histories of a run in CI.
const RUNS: u64 = 2000;
/// Worlds beside each other: each waits for answers that do not come, and each costs a second.
const WORLDS: usize = 8;
/// How often one seed is replayed: threads, sockets and the database differ every time.
const REPLAYS: u64 = 50;
/// Failures that are shown; the first already says where to look.
const SHOWN: usize = 3;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn every_history_ends_as_the_reference_allows() {
    let seed = number("TWOTICK_SEED");
    let first = number("TWOTICK_FIRST_SEED").unwrap_or(1);
    let runs = number("TWOTICK_RUNS").unwrap_or(if seed.is_some() { REPLAYS } else { RUNS });
    let mask: Mask = std::env::var("TWOTICK_WITHOUT").map_or(Mask::default(), |text| {
        assert!(
            seed.is_some(),
            "TWOTICK_WITHOUT says what to leave out of TWOTICK_SEED"
        );
        text.parse().unwrap()
    });
    let (next, failed) = (AtomicU64::new(0), AtomicUsize::new(0));
    let shown = Mutex::new(Vec::new());
    let worlds = number("TWOTICK_WORLDS").map_or(WORLDS, |n| usize::try_from(n).unwrap());
    let begun = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..worlds {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut world = World::new().await;
                    if begun.fetch_add(1, Ordering::Relaxed) + 1 == worlds {
                        world.stop_flushing().await;
                    }
                    while failed.load(Ordering::Relaxed) < SHOWN {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= runs {
                            break;
                        }
                        let seed = seed.unwrap_or(first + n);
                        if let Some(failure) = examine(&mut world, seed, &mask).await
                            && failed.fetch_add(1, Ordering::Relaxed) < SHOWN
                        {
                            shown.lock().unwrap().push(seed);
                            eprintln!("{}", shrink(&mut world, failure).await);
                        }
                    }
                });
            });
        }
    });
    let shown = shown.into_inner().unwrap();
    assert!(shown.is_empty(), "seeds that failed: {shown:?}");
}
