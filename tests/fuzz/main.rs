//! Whatever the bytes of a webhook: no panic, no memory beyond the estimate that admits it, no
//! time beyond what its length explains. A bounded run of mutations; `fuzz/` has the targets for
//! `cargo fuzz`, which goes on for as long as one likes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod holds;
mod memory;
mod mutate;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;
use serde_json::Value;
use twotick::clock::Clock;
use twotick::ingest::decoded_size;
use twotick::model::provider::Provider;
use twotick::provider;

/// Mutants a provider. `TWOTICK_FUZZ_RUNS` says otherwise.
const RUNS: u64 = 6_000;
/// What a short body may take beside the estimate.
const SLACK: usize = 16 << 10;
/// Far more than any of these bodies takes on a busy machine, far less than quadratic would.
const PATIENCE: Duration = Duration::from_secs(30);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What providers document.
fn corpus() -> Vec<Vec<u8>> {
    let files = [
        include_str!("../documented.json"),
        include_str!("../documented_infobip.json"),
    ];
    let bodies = files.map(|file| serde_json::from_str::<Vec<Value>>(file).unwrap());
    let onprem = serde_json::json!({
        "statuses": [{"id": "gBEG", "recipient_id": "447700900123", "status": "failed",
            "timestamp": "1763769600", "errors": [{"code": 2061, "title": "x", "details": "y"}]}],
        "messages": [{"from": "447700900123", "id": "ABG", "timestamp": "1763769600",
            "type": "text", "text": {"body": "hi"}}],
        "contacts": [{"profile": {"name": "A"}, "wa_id": "447700900123"}],
    });
    let partner = serde_json::json!([{"id": "e", "event": "template_status_update", "data": {
        "name": "n", "language": "en", "status": "paused"}}]);
    let all = bodies.into_iter().flatten().chain([onprem, partner]);
    all.map(|body| serde_json::to_vec(&body).unwrap()).collect()
}

/// What must hold of a body; how it is to be found again where it does not.
fn examine(provider: Provider, bytes: &[u8], found_as: &str) {
    let clock = Clock::system();
    let began = clock.monotonic();
    let most = catch_unwind(|| memory::most(|| drop(provider::decode(provider, bytes))));
    let held = catch_unwind(AssertUnwindSafe(|| holds::holds(provider, bytes)));
    let body = || String::from_utf8_lossy(bytes);
    let most = most.unwrap_or_else(|_| panic!("{found_as}: a panic on {}", body()));
    assert!(held.is_ok(), "{found_as}: {}", body());
    let admitted = decoded_size(bytes) + SLACK;
    assert!(
        most <= admitted,
        "{found_as}: {most} bytes, admitted for {admitted}: {}",
        body()
    );
    assert!(
        began.elapsed() < PATIENCE,
        "{found_as}: too slow: {}",
        body()
    );
}

fn run(provider: Provider) {
    let corpus = corpus();
    for (n, body) in corpus.iter().enumerate() {
        examine(provider, body, &format!("documented example {n}"));
    }
    let runs = number("TWOTICK_FUZZ_RUNS").unwrap_or(RUNS);
    let first = number("TWOTICK_FUZZ_SEED").unwrap_or(0);
    for seed in first..first + runs {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mutant = mutate::mutant(&corpus, &mut rng);
        let found_as = format!("TWOTICK_FUZZ_SEED={seed} TWOTICK_FUZZ_RUNS=1 with {provider:?}");
        examine(provider, &mutant, &found_as);
    }
}

#[test]
fn no_mutated_body_to_meta_panics_or_takes_too_much() {
    run(Provider::Meta);
}

#[test]
fn no_mutated_body_to_360dialog_panics_or_takes_too_much() {
    run(Provider::Dialog360);
}

#[test]
fn no_mutated_body_to_infobip_panics_or_takes_too_much() {
    run(Provider::Infobip);
}

/// A long body of as many of the smallest things as fit: the most that memory and time can be made
/// to grow.
#[test]
fn a_long_body_of_the_smallest_items_takes_what_it_was_admitted_for() {
    const BYTES: usize = 64 << 10;
    let full = |before: &str, item: &str, after: &str| {
        let times = (BYTES - before.len() - after.len()) / (item.len() + 1);
        let items = vec![item; times].join(",");
        format!("{before}{items}{after}").into_bytes()
    };
    let meta = |list: &str, item: &str| {
        let before = format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"2"}},"{list}":["#
        );
        full(&before, item, "]}}]}]}")
    };
    let smallest = [
        r#"{"id":"w","status":"sent","timestamp":"1"}"#,
        "{}",
        "[]",
        "0",
        r#""""#,
    ];
    for item in smallest {
        for list in ["statuses", "messages", "user_actions", "unheard_of"] {
            examine(
                Provider::Meta,
                &meta(list, item),
                &format!("{list} of {item}"),
            );
        }
        let results = full(r#"{"results":["#, item, "]}");
        examine(Provider::Infobip, &results, &format!("results of {item}"));
        let statuses = full(r#"{"statuses":["#, item, "]}");
        examine(
            Provider::Dialog360Onprem,
            &statuses,
            &format!("statuses of {item}"),
        );
        let members = full("[", item, "]");
        examine(Provider::Dialog360, &members, &format!("a list of {item}"));
    }
    let keys = full("{", r#""a":0"#, "}");
    let nested = [vec![b'['; BYTES / 2], vec![b']'; BYTES / 2]].concat();
    for provider in Provider::ALL {
        examine(provider, &keys, "the same key again and again");
        examine(provider, &nested, "brackets");
    }
}
