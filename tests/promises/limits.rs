//! Promise 10: the provider's limits are known and kept, whoever owns the sender: the provider
//! counts what goes beyond them, and has nothing to count.

use std::time::Duration;

use serde_json::{Value, json};
use twotick::config::Config;
use twotick::simulator::{self, Pair};

use crate::support::*;

/// Longer than a POST can be late on a busy machine.
const EVERY: Duration = Duration::from_millis(800);
const BURST: u32 = 3;

fn settings(config: &mut Config) {
    config.send.pair_every = EVERY;
    config.send.pair_burst = BURST;
    config.send.lease = Duration::from_millis(900);
    config.send.post_timeout = Duration::from_millis(500);
}

fn limited(messages_per_second: u32) -> simulator::Config {
    simulator::Config {
        messages_per_second: Some(messages_per_second),
        pair: Some(Pair {
            every_ms: EVERY.as_millis() as u64,
            burst: BURST,
        }),
        ..simulator::Config::default()
    }
}

async fn violations(app: &App) -> (i64, i64) {
    let stats = app.control("stats").await;
    let count = |name: &str| stats[name].as_i64().unwrap();
    (count("violations"), count("pair_violations"))
}

#[tokio::test]
async fn no_user_is_written_to_too_often_however_much_waits_and_whoever_sends() {
    const EACH: usize = 6;
    let app = App::start_with(settings, limited(1000)).await;
    let users = ["447700900001", "447700900002"];
    let mut last = String::new();
    for n in 0..EACH {
        for user in users {
            let message = text(&app.sender, user, &format!("{n}"));
            let message = app.create("/v1/messages", message).await;
            last = message["id"].as_str().unwrap().to_owned();
        }
    }
    let path = format!("/v1/messages/{last}");
    let waits = |message: &Value| message["waiting"]["reason"] == "rate_limit";
    app.get_until(&path, waits).await;
    // Others take over again and again, and know what was posted before.
    let other = app.another_instance().await;
    let mut session = app.session().await;
    for posted in (BURST as usize..users.len() * EACH).step_by(2) {
        app.posts_until(posted).await;
        sqlx::query("UPDATE senders SET lease_owner = NULL, lease_until = NULL")
            .execute(&mut session)
            .await
            .unwrap();
    }
    app.posts_until(users.len() * EACH).await;
    drop(other);
    assert_eq!(violations(&app).await, (0, 0));
}

#[tokio::test]
async fn a_sender_posts_as_fast_as_it_may_and_no_faster() {
    const RATE: u32 = 40;
    const SECONDS: u32 = 3;
    let app = App::start_with(|_| {}, limited(RATE)).await;
    let sender = json!({"connection": app.connection, "phone_number_id": "310022446688200",
        "messages_per_second": RATE});
    let sender = app.create("/v1/senders", sender).await;
    let sender = sender["id"].as_str().unwrap();
    let messages = (RATE * SECONDS) as usize;
    for n in 0..messages {
        let to = format!("4477009{n:05}");
        app.create("/v1/messages", text(sender, &to, "hello")).await;
    }
    app.posts_until(messages).await;
    assert_eq!(violations(&app).await.0, 0);
}

#[tokio::test]
async fn a_sender_whose_quality_is_low_goes_slower_where_it_is_to() {
    const RATE: u32 = 10;
    let slowed = |config: &mut Config| {
        settings(config);
        // Of the 1000 that it has.
        config.send.red_rate = 0.01;
    };
    let app = App::start_with(slowed, limited(RATE)).await;
    let value = json!({"display_phone_number": "15550142217", "event": "FLAGGED"});
    let flagged = management_body("phone_number_quality_update", T0, value);
    assert_eq!(app.webhook(&flagged).await, reqwest::StatusCode::OK);
    // Its owner learns of it when it renews the lease.
    let mut session = app.session().await;
    for _ in 0..2 {
        let until = "SELECT lease_until FROM senders";
        let before: Option<time::OffsetDateTime> = sqlx::query_scalar(until)
            .fetch_one(&mut session)
            .await
            .unwrap();
        let renewed = async {
            let mut now = before;
            while now == before {
                tokio::time::sleep(Duration::from_millis(20)).await;
                now = sqlx::query_scalar(until)
                    .fetch_one(&mut session)
                    .await
                    .unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    }
    for n in 0..15 {
        let to = format!("4477009{n:05}");
        app.create("/v1/messages", text(&app.sender, &to, "hello"))
            .await;
    }
    app.posts_until(15).await;
    assert_eq!(violations(&app).await.0, 0);
}
