//! When webhooks come again: each provider's rule, by what the simulator says of its attempts.

use serde_json::{Value, json};
use twotick::simulator::{Config, Delays, Dialect};

use crate::support::*;

fn scaled(retry_scale: f64) -> Config {
    let delays = Delays {
        retry_scale,
        dialog360_patience_ms: 100,
        ..config().delays
    };
    Config { delays, ..config() }
}

/// Posts a body that is answered so, and returns what the simulator says of the attempts.
async fn answered(scene: &Scene, dialect: Dialect, answers: &[u16]) -> Vec<Value> {
    scene.inbox.answers.lock().unwrap().extend(answers);
    let body = json!({"provider": dialect, "body": {"any": "J\u{f6}rg", "n": 1.50}});
    assert_eq!(scene.control("POST", "/webhooks", &body).await, 200);
    scene.idle().await;
    let got = scene.inbox.at(dialect.name());
    let bytes = body["body"].to_string();
    assert!(got.iter().all(|got| got.bytes == bytes), "the same bytes");
    let attempts = scene.attempts(dialect).await;
    assert_eq!(attempts.len(), got.len());
    let numbers: Vec<_> = attempts.iter().map(|one| one["attempt"].as_u64()).collect();
    let expected: Vec<_> = (1..=attempts.len() as u64).map(Some).collect();
    assert_eq!(numbers, expected);
    attempts
}

fn column(attempts: &[Value], name: &str) -> Vec<Value> {
    attempts.iter().map(|one| one[name].clone()).collect()
}

/// No attempt came before its wait was over.
fn kept_its_waits(attempts: &[Value], scale: f64) {
    for pair in attempts.windows(2) {
        let at = |one: &Value| one["at_us"].as_u64().unwrap() as f64;
        let wait_us = pair[0]["again_after_ms"].as_f64().unwrap() * 1_000.0 * scale;
        assert!(at(&pair[1]) >= at(&pair[0]) + wait_us, "{pair:#?}");
    }
}

#[tokio::test]
async fn infobip_comes_again_after_a_minute_and_the_square_of_the_retry() {
    let scene = Scene::start(scaled(0.000_1)).await;
    let attempts = answered(&scene, Dialect::Infobip, &[500, 202, 401, 302, 503]).await;
    let minutes = [1, 2, 5, 10, 17].map(|minutes| json!(minutes * 60_000));
    let waits = column(&attempts, "again_after_ms");
    assert_eq!(waits, [&minutes[..], &[Value::Null]].concat());
    assert_eq!(column(&attempts, "answer"), [500, 202, 401, 302, 503, 200]);
    kept_its_waits(&attempts, 0.000_1);
}

#[tokio::test]
async fn infobip_gives_up_after_twenty_retries() {
    let scene = Scene::start(scaled(0.0)).await;
    let attempts = answered(&scene, Dialect::Infobip, &[503; 40]).await;
    assert_eq!(attempts.len(), 21);
    let last_wait = json!((1 + 19 * 19) * 60_000);
    assert_eq!(attempts[19]["again_after_ms"], last_wait);
    assert_eq!(attempts[20]["again_after_ms"], Value::Null);
    assert_eq!(scene.get("/_control/stats").await["given_up"], 1);
}

#[tokio::test]
async fn for_360dialog_only_200_in_time_counts() {
    for dialect in [Dialect::Dialog360, Dialect::Dialog360Onprem] {
        let scene = Scene::start(scaled(0.000_1)).await;
        let attempts = answered(&scene, dialect, &[202, SILENCE, 401, 302]).await;
        let answers = column(&attempts, "answer");
        let expected = [json!(202), Value::Null, json!(401), json!(302), json!(200)];
        assert_eq!(answers, expected);
        let minutes = [1, 2, 4, 8].map(|minutes| json!(minutes * 60_000));
        let waits = column(&attempts, "again_after_ms");
        assert_eq!(waits, [&minutes[..], &[Value::Null]].concat());
        kept_its_waits(&attempts, 0.000_1);
    }
}
