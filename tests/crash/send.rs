//! Promises 7 and 10 under kill -9: another instance takes over, and posts nothing twice.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use twotick::clock::Clock;
use twotick::simulator::{self, Delays, Range};

use crate::support::*;

const SENDERS: usize = 4;
const SEQUENCES: usize = 60;

async fn simulate(stop: &CancellationToken) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let config = simulator::Config {
        app_secret: SECRET.to_owned(),
        delays: Delays {
            answer_ms: Range { min: 5, max: 60 },
            sent_ms: Range { min: 0, max: 20 },
            delivered_ms: Range { min: 10, max: 60 },
            ..Delays::default()
        },
        ..simulator::Config::default()
    };
    tokio::spawn(simulator::run(
        listener,
        config,
        Clock::system(),
        stop.clone(),
    ));
    url
}

async fn posts(ground: &Ground, simulator: &str) -> Vec<Value> {
    let log = ground
        .client
        .get(format!("{simulator}/_control/log"))
        .send()
        .await
        .unwrap();
    let log: Value = log.json().await.unwrap();
    log["posts"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_killed_instances_senders_are_taken_over_and_nothing_is_posted_twice() {
    let ground = Ground::prepare().await;
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let simulator = simulate(&stop).await;
    let (doomed, survivor) = (ground.serve().await, ground.serve().await);
    let connection = ground.connect(&survivor, &simulator).await;
    let webhook = json!({"url": format!("{}/webhooks/{connection}", survivor.url)});
    let put = ground
        .client
        .put(format!("{simulator}/_control/webhook"))
        .json(&webhook);
    assert!(put.send().await.unwrap().status().is_success());
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        senders.push(
            ground
                .register(&survivor, &connection, &format!("31002244668{n}"))
                .await,
        );
    }
    for n in 0..SEQUENCES {
        let steps: Vec<_> = (0..4)
            .map(|step| json!({"type": "text", "text": {"body": format!("{n}/{step}")}}))
            .collect();
        let sequence = json!({
            "sender": senders[n % SENDERS], "to": format!("4477009{n:05}"), "messages": steps,
        });
        ground
            .send(&survivor, Method::POST, "/v1/sequences", sequence)
            .await;
    }
    while posts(&ground, &simulator).await.len() < SEQUENCES {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    doomed.kill().await;
    // All goes on to the end, except what the dead instance had in flight and nobody heard of.
    let settled = |page: &Value| {
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|sequence| sequence["status"] != "running")
    };
    ground
        .get_until(&survivor, "/v1/sequences?limit=500", settled)
        .await;
    let posts = posts(&ground, &simulator).await;
    let mut accepted: HashMap<String, usize> = HashMap::new();
    for post in posts.iter().filter(|post| post["wamid"].is_string()) {
        let text = post["body"]["text"]["body"].as_str().unwrap().to_owned();
        *accepted.entry(text).or_default() += 1;
    }
    let twice: Vec<_> = accepted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "accepted twice: {twice:?}");
    // Claimed by the dead instance, and never seen by the provider: nobody can know that, so it
    // waits for a person. All others are complete.
    let page = ground.get(&survivor, "/v1/sequences?limit=500").await;
    let mut expected = 0;
    for sequence in page["data"].as_array().unwrap() {
        let messages = sequence["messages"].as_array().unwrap();
        if sequence["status"] == "completed" {
            expected += messages.len();
            continue;
        }
        assert_eq!(
            (&sequence["status"], &sequence["reason"]),
            (&json!("held"), &json!("unknown"))
        );
        let unknown = messages
            .iter()
            .find(|message| message["status"] == "unknown")
            .unwrap();
        let callback = format!("{}.1", unknown["id"].as_str().unwrap());
        assert!(
            posts.iter().all(|post| post["callback"] != callback),
            "evidence would settle it"
        );
        expected += usize::try_from(sequence["position"].as_u64().unwrap()).unwrap() - 1;
    }
    assert_eq!(accepted.len(), expected, "everything else was sent");
}
