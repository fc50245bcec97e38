//! Promise 1 under kill -9: 200 means committed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::*;

/// Deaths in one run, if `TWOTICK_TEST_DEATHS` says nothing else.
const ROUNDS: usize = 12;
/// Webhooks under way at once.
const POSTERS: usize = 16;

fn body(n: usize) -> Value {
    let wamid = format!("wamid.{n}");
    statuses_body([status(&wamid, "sent"), status(&wamid, "delivered")])
}

/// Posts webhooks until nobody answers; notes the numbers of those that were answered 200.
async fn post_until_dead(
    ground: Arc<Ground>,
    url: String,
    connection: String,
    next: Arc<AtomicUsize>,
    committed: Arc<Notify>,
) -> Vec<usize> {
    let mut answered = Vec::new();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        match post_webhook(&ground.client, &url, &connection, &body(n)).await {
            Some(StatusCode::OK) => {
                answered.push(n);
                committed.notify_one();
            }
            Some(_) => {}
            None => return answered,
        }
    }
}

#[tokio::test]
async fn nothing_that_was_answered_200_is_missing_after_kill_9_and_nothing_is_applied_twice() {
    let ground = Arc::new(Ground::prepare().await);
    let next = Arc::new(AtomicUsize::new(0));
    let mut process = ground.serve().await;
    let connection = ground.connect(&process, "http://127.0.0.1:9").await;
    let mut answered = Vec::new();
    let rounds = std::env::var("TWOTICK_TEST_DEATHS");
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    for round in 0..rounds {
        let committed = Arc::new(Notify::new());
        let posters: Vec<_> = (0..POSTERS)
            .map(|_| {
                let (ground, next) = (Arc::clone(&ground), Arc::clone(&next));
                let (url, connection) = (process.url.clone(), connection.clone());
                let committed = Arc::clone(&committed);
                tokio::spawn(post_until_dead(ground, url, connection, next, committed))
            })
            .collect();
        // At another moment each time, and always in the middle of commits.
        for _ in 0..=round * 37 % 149 + 20 {
            committed.notified().await;
        }
        process.kill().await;
        for poster in posters {
            answered.extend(poster.await.unwrap());
        }
        process = ground.serve().await;
    }
    assert!(answered.len() > rounds * 20);
    // The provider posts again what it does not know to be there; some of it is.
    let answered: HashSet<_> = answered.into_iter().collect();
    for n in 0..next.load(Ordering::Relaxed) {
        if !answered.contains(&n) || n % 20 == 0 {
            let again = post_webhook(&ground.client, &process.url, &connection, &body(n)).await;
            assert_eq!(again, Some(StatusCode::OK));
        }
    }
    let all: Vec<_> = (0..next.load(Ordering::Relaxed))
        .map(|n| format!("wamid.{n}"))
        .collect();
    for ids in all.chunks(1000) {
        let found = ground
            .send(
                &process,
                Method::POST,
                "/v1/messages/lookup",
                json!({"ids": ids}),
            )
            .await;
        for id in ids {
            assert_eq!(found["data"][id]["status"], "delivered", "{id}");
        }
    }
    let mut facts = 0;
    let mut after = String::new();
    while facts < all.len() * 2 {
        let path = format!("/v1/events?limit=500{after}");
        let page = ground
            .get_until(&process, &path, |page| {
                page["data"].as_array().is_some_and(|d| !d.is_empty())
            })
            .await;
        facts += page["data"].as_array().unwrap().len();
        after = format!("&after={}", page["next_cursor"].as_str().unwrap());
    }
    assert_eq!(facts, all.len() * 2, "each status is one fact");
}
