//! Logs say what became of a message, by the ids that the API shows, and never what it says, to
//! whom, or with which key: not even at their most verbose.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};

use crate::provider::Provider;
use crate::support::*;

const BODY: &str = "the moon is made of marzipan";
const NUMBER: &str = "447700900742";

fn lines(path: &Path) -> Vec<Value> {
    let log = std::fs::read_to_string(path).unwrap_or_default();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_send_is_found_in_the_logs_by_its_ids_and_shows_neither_words_nor_numbers_nor_keys() {
    let ground = Ground::prepare().await;
    let provider = Provider::start().await;
    let log = format!("twotick-logs-{}.json", std::process::id());
    let log = std::env::temp_dir().join(log);
    let service = ground.serve_logging_to(&log).await;
    let connection = ground.connect(&service, &provider.url).await;
    provider.post_webhooks_to(&service.url, &connection).await;
    let sender = ground
        .register(&service, &connection, "310022446688199")
        .await;
    let text = json!({"sender": sender, "to": NUMBER, "type": "text", "text": {"body": BODY}});
    let sent = ground
        .send(&service, Method::POST, "/v1/messages", text)
        .await;
    let sent = sent["id"].as_str().unwrap();
    let path = format!("/v1/messages/{sent}?wait=delivered");
    ground
        .get_until(&service, &path, |message| {
            message["delivered_at"].is_string()
        })
        .await;
    // One that is refused: with its class.
    let faults = json!({"refuse_transient": 1.0});
    provider.set_faults(faults).await;
    let text = json!({"sender": sender, "to": NUMBER, "type": "text", "text": {"body": BODY}});
    let refused = ground
        .send(&service, Method::POST, "/v1/messages", text)
        .await;
    let refused = refused["id"].as_str().unwrap();
    let told_of = |message: &str| {
        let of =
            |line: &Value| line["span"]["name"] == "send" && line["span"]["message"] == message;
        lines(&log).into_iter().find(of)
    };
    let said = until("both are in the log", async || {
        told_of(sent).zip(told_of(refused))
    })
    .await;
    let (accepted, refused) = (&said.0["span"], &said.1["span"]);
    assert_eq!(accepted["outcome"], "accepted", "{accepted:#}");
    assert_eq!(accepted["attempt"], 1);
    assert_eq!(accepted["sender"], sender);
    assert!(accepted["sequence"].as_str().unwrap().starts_with("seq_"));
    assert_eq!(refused["outcome"], "refused");
    assert_eq!(refused["class"], "retry");

    let file = log;
    let log = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    for secret in [BODY, NUMBER, ground.key.as_str(), SECRET, "marzipan"] {
        assert!(!log.contains(secret), "`{secret}` is in the log");
    }
    assert!(log.contains("\"TRACE\"") || log.contains("\"DEBUG\""));
}
