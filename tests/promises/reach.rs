//! Promise 10: what an account may not write first waits until it may, and nobody else does.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use twotick::config::MessagingLimit;
use twotick::simulator;

use crate::support::*;

fn user(n: usize) -> String {
    format!("4477009000{n:02}")
}

/// Meta says to how many users a day the account may write.
async fn may_write_to(app: &App, users: &str, at: i64) {
    let value = json!({"max_daily_conversations_per_business": users});
    let body = management_body("business_capability_update", T0 + at, value);
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
    let sender = app.get(&format!("/v1/senders/{}", app.sender)).await;
    assert_eq!(sender["limit"], users);
}

async fn offer(app: &App, sender: &str, to: &str) -> String {
    let mut message = template_step("offer", to);
    message["sender"] = sender.into();
    message["to"] = to.into();
    let made = app.create("/v1/messages", message).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn waits(app: &App, message: &str) -> Value {
    let waits = |message: &Value| {
        let waiting = &message["waiting"];
        waiting["reason"] == "messaging_limit" && waiting["detail"].is_string()
    };
    app.get_until(&format!("/v1/messages/{message}"), waits)
        .await
}

#[tokio::test]
async fn new_users_wait_for_the_accounts_limit_and_others_do_not() {
    let app = App::start().await;
    may_write_to(&app, "TIER_2", 0).await;
    let second = app.register("310022446688200").await;
    for n in 0..2 {
        let first = offer(&app, &app.sender, &user(n)).await;
        app.accepted(&first).await;
    }
    // The account's, whichever of its numbers.
    let waiting = [
        offer(&app, &app.sender, &user(2)).await,
        offer(&app, &second, &user(3)).await,
    ];
    for message in &waiting {
        let shown = waits(&app, message).await;
        let detail = shown["waiting"]["detail"].as_str().unwrap();
        assert!(detail.contains("2 users in 24 hours"), "{detail}");
        assert!(shown["next_attempt_at"].is_string());
    }
    // Who counts already, who wrote, and what is no template.
    let again = offer(&app, &second, &user(0)).await;
    app.accepted(&again).await;
    let at = app.clock.now().unix_timestamp().to_string();
    let wrote = json!({"id": "wamid.in", "from": user(4), "timestamp": at, "type": "text",
        "text": {"body": "hello"}});
    let wrote = body(&[change(json!({"messages": [wrote]}))]);
    assert_eq!(app.webhook(&wrote).await, StatusCode::OK);
    let in_window = offer(&app, &app.sender, &user(4)).await;
    app.accepted(&in_window).await;
    // Nor does who writes while they wait.
    let writes = offer(&app, &app.sender, &user(5)).await;
    waits(&app, &writes).await;
    let wrote = json!({"id": "wamid.in.5", "from": user(5), "timestamp": at, "type": "text",
        "text": {"body": "hello"}});
    let wrote = body(&[change(json!({"messages": [wrote]}))]);
    assert_eq!(app.webhook(&wrote).await, StatusCode::OK);
    app.accepted(&writes).await;
    app.fence().await;
    let counted = app.store.waiting_messages().await.unwrap().unwrap();
    assert!(
        counted.contains(&("messaging_limit".to_owned(), 2)),
        "{counted:?}"
    );

    // A day later two places are free.
    app.clock.advance(Duration::from_secs(24 * 3600 + 60));
    for message in &waiting {
        app.accepted(message).await;
    }
    assert_eq!(app.posts().await.len(), 2 + 1 + 1 + 1 + 1 + 2);
}

#[tokio::test]
async fn nobody_waits_for_a_limit_that_is_unlimited_unknown_or_not_to_be_kept() {
    let kept = App::start().await;
    let settings = |settings: &mut twotick::config::Config| {
        settings.send.messaging_limit = MessagingLimit::Off;
    };
    let off = App::start_with(settings, simulator::Config::default()).await;
    let limits = [
        (&kept, "TIER_UNLIMITED"),
        (&kept, "TIER_NOT_SET"),
        (&off, "TIER_1"),
    ];
    for ((app, limit), at) in limits.into_iter().zip(0..) {
        may_write_to(app, limit, at).await;
        for n in 0..3 {
            let message = offer(app, &app.sender, &user(n)).await;
            app.accepted(&message).await;
        }
    }
}

#[tokio::test]
async fn a_limit_that_is_raised_is_kept_at_once() {
    let app = App::start().await;
    may_write_to(&app, "TIER_1", 0).await;
    let first = offer(&app, &app.sender, &user(0)).await;
    app.accepted(&first).await;
    let second = offer(&app, &app.sender, &user(1)).await;
    waits(&app, &second).await;
    may_write_to(&app, "TIER_250", 60).await;
    // Whoever comes now goes; who waits is looked at within the hour.
    let third = offer(&app, &app.sender, &user(2)).await;
    app.accepted(&third).await;
    app.clock.advance(Duration::from_secs(3601));
    app.accepted(&second).await;
}
