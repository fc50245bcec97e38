//! The simulated provider, and what is true of everything that it was asked to send.

use std::collections::HashMap;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use twotick::clock::Clock;
use twotick::simulator::{self, Delays, Range};

use crate::support::*;

/// A provider that takes its time, as the real ones do.
pub struct Provider {
    pub url: String,
    client: reqwest::Client,
    _stop: DropGuard,
}

impl Provider {
    pub async fn start() -> Self {
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
        let stop = CancellationToken::new();
        let running = simulator::run(listener, config, Clock::system(), stop.clone());
        tokio::spawn(running);
        Self {
            url,
            client: reqwest::Client::new(),
            _stop: stop.drop_guard(),
        }
    }

    /// Where it posts webhooks.
    pub async fn post_webhooks_to(&self, base: &str, connection: &str) {
        let webhook = json!({"url": format!("{base}/webhooks/{connection}")});
        let url = format!("{}/_control/webhook", self.url);
        let put = self.client.request(Method::PUT, url).json(&webhook);
        assert!(put.send().await.unwrap().status().is_success());
    }

    /// How long it takes to answer, from now on.
    pub async fn answers_after(&self, ms: u64) {
        let delays = json!({"answer_ms": {"min": ms, "max": ms}});
        let url = format!("{}/_control/delays", self.url);
        let put = self.client.put(url).json(&delays);
        assert!(put.send().await.unwrap().status().is_success());
    }

    /// What goes wrong from now on.
    pub async fn set_faults(&self, faults: Value) {
        let url = format!("{}/_control/faults", self.url);
        let put = self.client.request(Method::PUT, url).json(&faults);
        assert!(put.send().await.unwrap().status().is_success());
    }

    /// What it was asked to send, in order.
    pub async fn posts(&self) -> Vec<Value> {
        let log = self.client.get(format!("{}/_control/log", self.url));
        let log: Value = log.send().await.unwrap().json().await.unwrap();
        log["posts"].as_array().unwrap().clone()
    }

    /// Waits until it was asked to send so much.
    pub async fn posts_until(&self, n: usize) {
        until("as many posts", async || {
            (self.posts().await.len() >= n).then_some(())
        })
        .await;
    }
}

/// How many different texts were taken; none of them twice.
pub fn accepted_once(posts: &[Value]) -> usize {
    let mut accepted: HashMap<&str, usize> = HashMap::new();
    for post in posts.iter().filter(|post| post["wamid"].is_string()) {
        let text = post["body"]["text"]["body"].as_str().unwrap();
        *accepted.entry(text).or_default() += 1;
    }
    let twice: Vec<_> = accepted.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "accepted twice: {twice:?}");
    accepted.len()
}

/// A sequence of texts that differ from all others.
pub fn sequence(sender: &str, n: usize, steps: usize) -> Value {
    let steps: Vec<_> = (0..steps)
        .map(|step| json!({"type": "text", "text": {"body": format!("{n}/{step}")}}))
        .collect();
    json!({"sender": sender, "to": format!("4477009{n:05}"), "messages": steps})
}

/// Whether every sequence on this page has come to its end, or to a stop.
pub fn all_settled(page: &Value) -> bool {
    let mut sequences = page["data"].as_array().unwrap().iter();
    sequences.all(|sequence| sequence["status"] != "running")
}
