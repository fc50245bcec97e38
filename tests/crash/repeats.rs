//! Promise 7 under kill -9, where a repeat is harmless: what was posted when its owner died is
//! posted again by the next, under the same id, and is one message.

use reqwest::Method;
use serde_json::json;

use crate::provider::Provider;
use crate::support::*;

const MESSAGES: usize = 5;

#[tokio::test]
async fn what_an_instance_was_posting_when_it_was_killed_is_repeated_by_the_next_and_sent_once() {
    let ground = Ground::prepare().await;
    let provider = Provider::start().await;
    provider.answers_after(60_000).await;
    let settings = [
        ("SEND__LEASE_MS", "2000"),
        ("SEND__POST_TIMEOUT_MS", "1200"),
        ("SEND__BACKOFF_MS", "20"),
    ];
    let victim = ground.serve_with(&settings).await;
    let connection = json!({"name": "shop", "provider": "infobip", "base_url": provider.url,
        "api_key": "key", "webhook_auth": {"url_secret": "in the url"}});
    let connection = ground.send(&victim, Method::POST, "/v1/connections", connection);
    let connection = connection.await["id"].as_str().unwrap().to_owned();
    let sender = ground.register(&victim, &connection, "441200000001").await;
    let template = json!({"name": "offer", "language": {"code": "en_US"}});
    let mut messages = Vec::new();
    for n in 0..MESSAGES {
        let message = json!({"sender": sender, "to": format!("38591000000{n}"),
            "type": "template", "template": template});
        let made = ground
            .send(&victim, Method::POST, "/v1/messages", message)
            .await;
        messages.push(made["id"].as_str().unwrap().to_owned());
    }
    provider.posts_until(MESSAGES).await;
    victim.kill().await;
    provider.answers_after(0).await;

    let next = ground.serve_with(&settings).await;
    for message in &messages {
        let path = format!("/v1/messages/{message}");
        let accepted = |message: &serde_json::Value| message["status"] == "accepted";
        let message = ground.get_until(&next, &path, accepted).await;
        assert_eq!(message["attempts"].as_array().unwrap().len(), 1);
    }
    // The log names what was taken: each once, and what was asked for again was not.
    let posts = provider.posts().await;
    let mut taken: Vec<_> = posts
        .iter()
        .filter_map(|post| post["wamid"].as_str().map(str::to_owned))
        .collect();
    taken.sort();
    let mut expected: Vec<_> = messages.iter().map(|id| format!("{id}.1")).collect();
    expected.sort();
    assert_eq!(taken, expected);
    assert!(posts.len() >= 2 * MESSAGES, "{posts:#?}");
}
