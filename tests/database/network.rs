//! Between the service and its database lies a network.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::ground::{Ground, until};
use crate::load::Load;

/// Sessions that hear hints, also those of which the service does not know any more.
const LISTENERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND query SIMILAR TO '(LISTEN|-- hints)%'";

/// Connections of all pools together; the writers' sessions and the one that listens are in none.
const POOLED: usize = 9;

#[tokio::test]
async fn cut_connections_lose_nothing_and_double_nothing() {
    let load = Load::begin(Ground::start().await, 30).await;
    for round in 0..40 {
        load.goes_on(3).await;
        match round % 8 {
            7 => load.ground().proxy.cut_all(),
            // Another one each time, in the middle of whatever it does.
            n => load.ground().proxy.cut_one(n * 7 + round),
        }
    }
    load.end().await;
}

#[tokio::test]
async fn who_reads_or_begins_on_a_connection_that_was_just_cut_is_answered_on_another() {
    let ground = Ground::start().await;
    let new = json!({
        "sender": ground.sender, "to": "447700900123", "type": "text", "text": {"body": "hello"},
    });
    let made = ground.create("/v1/messages", new.clone()).await;
    let path = format!("/v1/messages/{}", made["id"].as_str().unwrap());
    for _ in 0..10 {
        // One is used now, and so not asked before it is used again.
        ground.get(&path).await;
        ground.proxy.cut_all();
        assert_eq!(ground.status(&path).await, StatusCode::OK);
        ground.proxy.cut_all();
        ground.create("/v1/messages", new.clone()).await;
    }
}

#[tokio::test]
async fn a_commit_whose_acknowledgement_is_lost_is_done_once() {
    let mut load = Load::begin(Ground::start().await, 0).await;
    let proxy = &load.ground().proxy;
    // Claims, what came of them, decisions; and webhooks, which commit by themselves.
    let lost = [
        ("message.released", 5),
        ("message.accepted", 5),
        ("message.refused", 2),
        ("sequence.advanced", 2),
    ];
    for (fact, n) in lost {
        proxy.lose_commits(fact, n);
    }
    proxy.lose_answers("wamid.stranger", 5);
    load.add_sequences(30).await;
    let all = 5 + lost.iter().map(|(_, n)| n).sum::<usize>();
    until("answers were lost", || async {
        load.ground().proxy.lost() == all
    })
    .await;
    load.end().await;
}

#[tokio::test]
async fn a_claim_whose_acknowledgement_is_lost_locks_no_key_and_counts_no_edit() {
    let ground = Ground::start().await;
    ground.proxy.lose_answers("-- claim_request", 1);
    let component = |text: &str| json!([{"type": "BODY", "text": text}]);
    let new = json!({"connection": ground.connection, "waba_id": "204411887755301",
        "name": "order_ready", "language": "en_GB", "category": "UTILITY",
        "components": component("It is ready.")});
    // Again and again with the same key, as long as the answer is 503.
    let made = ground.create("/v1/templates", new).await;
    assert_eq!(ground.proxy.lost(), 1);
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    until("it is approved", || async {
        ground.get(&path).await["status"] == "APPROVED"
    })
    .await;
    // Of an approved template there is one edit a day.
    let edits = "DELETE FROM template_edits WHERE template";
    ground.proxy.lose_commits(edits, 1);
    let change = json!({"components": component("It waits for you.")});
    let (status, said) = ground.send(Method::PATCH, &path, &change).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said:#}");
    assert_eq!(ground.proxy.lost(), 2);
    let (status, said) = ground.send(Method::PATCH, &path, &change).await;
    assert_eq!(status, StatusCode::OK, "{said:#}");
}

#[tokio::test]
async fn while_the_database_turns_away_all_is_503_and_then_all_goes_on() {
    let load = Load::begin(Ground::start().await, 20).await;
    load.goes_on(20).await;
    load.ground().proxy.shut();
    everything_is_503(&load).await;
    load.ground().proxy.open();
    load.goes_on(20).await;
    load.end().await;
}

#[tokio::test]
async fn a_database_that_says_nothing_is_not_waited_for() {
    let load = Load::begin(Ground::start().await, 20).await;
    load.goes_on(20).await;
    load.ground().proxy.stall();
    everything_is_503(&load).await;
    // Longer than any limit, so that everything that waits has given up once.
    load.is_refused(12).await;
    // New connections work, the old ones stay silent.
    load.ground().proxy.silence();
    load.goes_on(20).await;
    until("somebody listens anew", || async {
        load.ground().count(LISTENERS).await == 2
    })
    .await;
    // At last their ends hear of each other's.
    load.ground().proxy.cut_all();
    load.goes_on(20).await;
    load.end().await;
}

#[tokio::test]
async fn connections_that_fall_silent_on_their_way_back_to_their_pools_are_replaced() {
    let load = Load::begin(Ground::start().await, 20).await;
    let ground = load.ground();
    ground.proxy.silence_returning(POOLED);
    until("every pool has lost what it had", || async {
        ground.status("/v1/messages").await;
        ground.proxy.still_heard() == 0
    })
    .await;
    until("the API has connections again", || async {
        ground.status("/v1/messages").await == StatusCode::OK
    })
    .await;
    load.goes_on(20).await;
    // At last their ends hear of each other's.
    ground.proxy.cut_all();
    load.goes_on(20).await;
    load.end().await;
}

/// Webhooks and the API say 503, and whoever asks for health hears the truth.
pub async fn everything_is_503(load: &Load) {
    nothing_is_written(load).await;
    let ground = load.ground();
    until("not ready", || async {
        ground.status("/health/ready").await == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    assert_eq!(ground.status("/health/live").await, StatusCode::OK);
}

/// Webhooks, and what the API is asked to make, are answered 503.
pub async fn nothing_is_written(load: &Load) {
    let ground = load.ground();
    load.is_refused(6).await;
    let message = json!({
        "sender": ground.sender, "to": "447700900999", "type": "text", "text": {"body": "x"},
    });
    let asked = ground.send(Method::POST, "/v1/messages", &message);
    let (status, _) = tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}
