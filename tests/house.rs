//! The arrows of the house (docs/ARCHITECTURE.md), held by reading the source: what may not use
//! what.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below a folder of `src`, or the file itself.
fn sources(path: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(path);
    if path.is_file() {
        return vec![path];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() || path.extension().is_some_and(|ending| ending == "rs") {
            let inside = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
            found.extend(sources(inside.unwrap().to_str().unwrap()));
        }
    }
    found
}

/// Lines of code (not of comments) below `path` that hold any of these words.
fn offences(path: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(path) {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if words.iter().any(|word| code.contains(word)) {
                found.push(format!(
                    "{}:{}: {}",
                    file.display(),
                    number + 1,
                    line.trim()
                ));
            }
        }
    }
    found
}

fn assert_none(offences: &[String]) {
    assert!(offences.is_empty(), "{}", offences.join("\n"));
}

#[test]
fn model_is_pure_and_imports_nothing_of_ours() {
    let outside = [
        "tokio",
        "sqlx",
        "axum",
        "reqwest",
        "rand::",
        "SystemTime",
        "Instant",
    ];
    assert_none(&offences("model", &outside));
    let ours = [
        "crate::cli",
        "crate::clock",
        "crate::config",
        "crate::feed",
        "crate::forward",
        "crate::http",
        "crate::ingest",
        "crate::postgres",
        "crate::provider",
        "crate::seal",
        "crate::send",
        "crate::service",
        "crate::signals",
        "crate::simulator",
        "crate::store",
    ];
    assert_none(&offences("model", &ours));
}

#[test]
fn provider_turns_bytes_into_facts_and_does_nothing() {
    let doing = [
        "tokio",
        "sqlx",
        "axum",
        "reqwest",
        "crate::store",
        "crate::http",
        "crate::send",
    ];
    assert_none(&offences("provider", &doing));
}

#[test]
fn sql_stands_in_store_alone() {
    // `postgres` makes databases: the server is its subject.
    for room in [
        "cli",
        "feed",
        "forward",
        "http",
        "ingest",
        "model",
        "provider",
        "send",
        "simulator",
        "service.rs",
    ] {
        assert_none(&offences(
            room,
            &["sqlx::", "SELECT ", "INSERT INTO", "UPDATE "],
        ));
    }
}

#[test]
fn transactions_begin_only_where_a_dropped_beginning_is_rolled_back() {
    let beginnings = offences("store", &["pool.begin", ".begin_with("]);
    let elsewhere = |found: &&String| !found.contains("store/transaction.rs");
    let elsewhere: Vec<_> = beginnings.iter().filter(elsewhere).cloned().collect();
    assert_none(&elsewhere);
}

#[test]
fn store_knows_nothing_of_those_who_call_it() {
    let callers = [
        "crate::feed",
        "crate::forward",
        "crate::http",
        "crate::send",
        "crate::ingest",
        "crate::provider",
    ];
    assert_none(&offences("store", &callers));
}

#[test]
fn who_posts_events_knows_nothing_of_those_who_show_them() {
    assert_none(&offences(
        "feed",
        &["crate::http", "crate::forward", "crate::send"],
    ));
    let beside = [
        "crate::http",
        "crate::send",
        "crate::ingest",
        "crate::provider",
    ];
    assert_none(&offences("forward", &beside));
}

#[test]
fn the_simulator_shares_no_code_with_what_it_tests() {
    let service = [
        "crate::provider",
        "crate::store",
        "crate::ingest",
        "crate::send",
        "crate::http",
        "crate::model",
    ];
    assert_none(&offences("simulator", &service));
}
