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
mod history;
mod provider;
mod reference;
mod run;
mod seen;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use self::history::History;
use self::reference::Reference;
use self::run::Run;
use self::seen::Seen;
use self::world::World;

/// Histories of a run in CI.
const RUNS: u64 = 500;
/// Worlds beside each other: most of a history is waiting for the disk.
const WORLDS: usize = 16;
/// How often one seed is replayed: threads, sockets and the database differ every time.
const REPLAYS: u64 = 50;
/// Failures that are shown; the first already says where to look.
const SHOWN: usize = 3;

/// Runs a history; what the reference does not allow, and the story in words.
async fn examine(world: &mut World, seed: u64) -> Option<String> {
    let history = History::of(seed);
    let mut run = Run::begin(world, &history).await;
    run.run().await;
    let seen = Seen::read(&mut run).await;
    let place = run.place;
    let story = std::mem::take(&mut run.story);
    let log = std::mem::take(&mut *run.world.provider.log());
    world.end(&place).await;
    let reference = Reference {
        history: &history,
        log: &log,
        story: &story,
        seen: &seen,
        wrong: Vec::new(),
    };
    let wrong = reference.judge();
    (!wrong.is_empty()).then(|| {
        format!(
            "seed {seed}: what the reference does not allow:\n  {}\n\nthe history:\n{history}\n\
             what happened:\n{}\n\
             replay: TWOTICK_SEED={seed} cargo test --test model\n",
            wrong.join("\n  "),
            story.told(&log),
        )
    })
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn every_history_ends_as_the_reference_allows() {
    let seed = number("TWOTICK_SEED");
    let first = number("TWOTICK_FIRST_SEED").unwrap_or(1);
    let runs = number("TWOTICK_RUNS").unwrap_or(if seed.is_some() { REPLAYS } else { RUNS });
    let (next, failed) = (AtomicU64::new(0), AtomicUsize::new(0));
    let shown = Mutex::new(Vec::new());
    let worlds = number("TWOTICK_WORLDS").map_or(WORLDS, |n| usize::try_from(n).unwrap());
    std::thread::scope(|scope| {
        for _ in 0..worlds {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut world = World::new().await;
                    while failed.load(Ordering::Relaxed) < SHOWN {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= runs {
                            break;
                        }
                        let seed = seed.unwrap_or(first + n);
                        if let Some(failure) = examine(&mut world, seed).await {
                            failed.fetch_add(1, Ordering::Relaxed);
                            eprintln!("{failure}");
                            shown.lock().unwrap().push(seed);
                        }
                    }
                });
            });
        }
    });
    let shown = shown.into_inner().unwrap();
    assert!(shown.is_empty(), "seeds that failed: {shown:?}");
}
