//! Campaigns: the same sequence for many. Nothing goes before it is asked for, everything in the
//! end, to each their own; and one row stops all of it.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::*;

/// The number of a recipient.
fn number(n: usize) -> String {
    format!("4477009{n:05}")
}

/// Recipients with a variable each, a line each.
fn lines(range: std::ops::Range<usize>) -> String {
    let line = |n| json!({"to": number(n), "variables": {"name": format!("name {n}")}});
    range.map(|n| format!("{}\n", line(n))).collect()
}

/// A draft with these messages.
async fn draft(app: &App, messages: Value) -> String {
    let new = json!({"sender": app.sender, "name": "offer", "messages": messages});
    let made = app.create("/v1/campaigns", new).await;
    assert_eq!(made["status"], "draft");
    made["id"].as_str().unwrap().to_owned()
}

/// Two messages, of which the first greets.
fn two_steps() -> Value {
    json!([
        template_step("offer", "Dear {{name}}"),
        step("Bye {{ name }}")
    ])
}

async fn upload(app: &App, path: &str, kind: &str, body: String) -> (StatusCode, Value) {
    let request = app.request(Method::POST, &format!("/v1/campaigns/{path}"));
    let request = request.header("Content-Type", kind).body(body);
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, response.json().await.unwrap())
}

/// Uploads what must be taken.
async fn add(app: &App, campaign: &str, lines: String) -> Value {
    let path = format!("{campaign}/recipients");
    let (status, answer) = upload(app, &path, "application/x-ndjson", lines).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn change(app: &App, campaign: &str, verb: &str) -> Value {
    app.create(&format!("/v1/campaigns/{campaign}/{verb}"), json!({}))
        .await
}

async fn status_until(app: &App, campaign: &str, status: &str) -> Value {
    let path = format!("/v1/campaigns/{campaign}");
    app.get_until(&path, |campaign| campaign["status"] == status)
        .await
}

/// Says that what was posted has been delivered.
async fn deliver(app: &App, posts: &[Value]) {
    let statuses: Vec<_> = posts
        .iter()
        .map(|post| status(post["wamid"].as_str().unwrap(), "delivered", 1))
        .collect();
    app.say(&statuses).await;
}

#[tokio::test]
async fn everybody_gets_their_own_messages_in_order_and_none_before_it_is_asked_for() {
    const ALL: usize = 30;
    let app = App::start().await;
    let campaign = draft(&app, two_steps()).await;
    let uploaded = add(&app, &campaign, lines(0..20)).await;
    assert_eq!(uploaded["added"], 20);
    add(&app, &campaign, lines(20..ALL)).await;
    app.fence().await;
    assert!(posted_texts(&app.posts().await).is_empty(), "a draft goes");
    let path = format!("/v1/messages?campaign={campaign}");
    assert_eq!(app.get(&path).await["data"], json!([]));
    let fence = app.posts().await.len();

    change(&app, &campaign, "activate").await;
    let posts = app.posts_until(fence + ALL).await;
    let greeted: BTreeSet<_> = posts[fence..].iter().map(text_and_recipient).collect();
    let expected = |text: &str| -> BTreeSet<_> {
        (0..ALL)
            .map(|n| (number(n), format!("{text} name {n}")))
            .collect()
    };
    assert_eq!(greeted, expected("Dear"));
    let shown = status_until(&app, &campaign, "running").await;
    assert_eq!(shown["recipients"], ALL);
    // Its messages are made when they are claimed.
    let made = app.get(&format!("{path}&limit=100")).await;
    assert_eq!(made["data"].as_array().unwrap().len(), ALL);

    deliver(&app, &posts[fence..]).await;
    let posts = app.posts_until(fence + 2 * ALL).await;
    let parted: BTreeSet<_> = posts[fence + ALL..]
        .iter()
        .map(text_and_recipient)
        .collect();
    assert_eq!(parted, expected("Bye"));
    deliver(&app, &posts[fence + ALL..]).await;
    let shown = status_until(&app, &campaign, "completed").await;
    assert_eq!(shown["counts"]["completed"], ALL);
    assert_eq!(shown["counts"]["in_progress"], 0);
    let sequences = app
        .get(&format!("/v1/sequences?campaign={campaign}&limit=100"))
        .await;
    let sequences = sequences["data"].as_array().unwrap();
    assert_eq!(sequences.len(), ALL);
    for sequence in sequences {
        assert_eq!(sequence["campaign"], campaign.as_str());
        assert_eq!(sequence["messages"].as_array().unwrap().len(), 2);
    }
    let told = app
        .get("/v1/events?type=campaign.activated,campaign.completed")
        .await;
    let told: Vec<_> = told["data"].as_array().unwrap().iter().collect();
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|event| event["subject"] == campaign.as_str())
    );
}

/// Whom a post went to, and its text.
fn text_and_recipient(post: &Value) -> (String, String) {
    let text = posted_texts(std::slice::from_ref(post)).remove(0);
    (post["body"]["to"].as_str().unwrap().to_owned(), text)
}
