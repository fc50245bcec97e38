//! The `data` of events is as `/openapi.json` describes it, type by type.

use reqwest::Method;
use serde_json::{Value, json};

use crate::document;
use crate::support::{App, send, sign, text};

/// Posts what Meta documents of every field, each body twice, and returns the events.
async fn documented(app: &App) -> Vec<Value> {
    let connection = app.connection().await;
    let examples: Vec<Value> = serde_json::from_str(include_str!("../documented.json")).unwrap();
    for example in examples.iter().chain(&examples) {
        let body = example.to_string();
        let answer = app.webhook(&connection, &body, &sign(&body)).await;
        assert_eq!(answer.status, 200, "{body}");
    }
    // The last that was posted.
    let last = |event: &Value| event["type"] == "sender.username";
    app.events_until("/v1/events?limit=500", |events| events.iter().any(last))
        .await
}

#[tokio::test]
async fn what_each_field_says_is_described_under_its_type() {
    let app = App::start().await;
    let events = documented(&app).await;
    let document = document::of(&app.base.parse().unwrap()).await;
    let mut seen: Vec<&str> = Vec::new();
    for event in &events {
        let r#type = event["type"].as_str().unwrap();
        seen.push(r#type);
        let undescribed = document.undescribed_data(r#type, &event["data"]);
        // The content of a message stands under its type.
        let content = event["data"]["type"].as_str().unwrap_or_default();
        let undescribed: Vec<_> = undescribed.iter().filter(|name| *name != content).collect();
        assert!(undescribed.is_empty(), "{undescribed:?} in {event:#}");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(
        seen, TYPES,
        "a type that comes or goes changes what clients rely on"
    );
}

const TYPES: [&str; 34] = [
    "account.alert",
    "account.capability",
    "account.review",
    "account.update",
    "automatic.event",
    "call.status",
    "contact.sync",
    "conversation.handover",
    "echo.text",
    "flow.update",
    "group.participants",
    "history.chunk",
    "history.message",
    "inbound.button",
    "message.delivered",
    "message.failed",
    "message.read",
    "message.sent",
    "partner.solution",
    "payment.configuration",
    "sender.error",
    "sender.name",
    "sender.quality",
    "sender.security",
    "sender.settings",
    "sender.username",
    "template.category",
    "template.category_detected",
    "template.components",
    "template.quality",
    "template.status",
    "user.action",
    "user.id",
    "user.preference",
];

#[tokio::test]
async fn the_same_webhooks_twice_are_the_same_events_once() {
    let app = App::start().await;
    let events = documented(&app).await;
    let mut said: Vec<_> = events
        .iter()
        .map(|event| {
            json!([
                event["type"],
                event["subject"],
                event["occurred_at"],
                event["data"]
            ])
            .to_string()
        })
        .collect();
    let count = said.len();
    said.sort_unstable();
    said.dedup();
    assert_eq!(said.len(), count, "{events:#?}");
}

#[tokio::test]
async fn what_we_say_ourselves_is_described_under_its_type() {
    let app = App::start().await;
    let sender = app.sender().await;
    let sequence = app.sequence(&sender, 2).await;
    let path = format!("/v1/sequences/{}", sequence["id"].as_str().unwrap());
    let more = json!({"messages": [text("more")]});
    app.post(&format!("{path}/messages"), more).await.ok();
    for what in ["pause", "resume", "cancel"] {
        app.act(&format!("{path}/{what}")).await.ok();
    }
    let new = json!({"url": "https://example.com/hook"});
    let subscription = app.post("/v1/subscriptions", new).await.ok();
    let path = format!("/v1/subscriptions/{}", subscription["id"].as_str().unwrap());
    for status in ["disabled", "active"] {
        let request = app.request(Method::PATCH, &path).bearer_auth(&app.key);
        let change = request.json(&json!({"status": status}));
        send(change).await.ok();
    }
    let connection = app.connection().await;
    let body = json!({"object": "whatsapp_business_account", "entry": 7}).to_string();
    app.webhook(&connection, &body, &sign(&body)).await.ok();
    let replayed = "/v1/webhooks/replay?state=undecoded";
    app.post(replayed, json!({})).await.ok();
    let last = |events: &[Value]| {
        events
            .iter()
            .any(|event| event["type"] == "webhooks.replayed")
    };
    let events = app.events_until("/v1/events?limit=500", last).await;
    let document = document::of(&app.base.parse().unwrap()).await;
    let mut seen: Vec<&str> = Vec::new();
    for event in &events {
        let r#type = event["type"].as_str().unwrap();
        seen.push(r#type);
        let undescribed = document.undescribed_data(r#type, &event["data"]);
        assert!(undescribed.is_empty(), "{undescribed:?} in {event:#}");
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "sequence.appended",
            "sequence.cancelled",
            "sequence.paused",
            "sequence.resumed",
            "subscription.disabled",
            "subscription.resumed",
            "webhook.undecoded",
            "webhooks.replayed",
        ]
    );
}
