//! The simulator, on threads of its own, without any fault, and delays only for the pace, and what its log proves.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use twotick::clock::Clock;
use twotick::simulator::{self, Config, Delays, Faults, Range};

use crate::ground::measured::Measured;
use crate::ground::service::SECRET;
use crate::{Work, place};

/// How long a round may take.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Provider {
    pub url: String,
    client: reqwest::Client,
    _stop: DropGuard,
}

#[derive(Deserialize)]
struct Log {
    posts: Vec<Post>,
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Post {
    tick: u64,
    at_us: u64,
    body: Value,
    wamid: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    tick: u64,
    at_us: u64,
    wamid: String,
    status: String,
}

/// Webhooks wait until they have an address to go to.
pub async fn start(load: &Handle, work: Work) -> Provider {
    let none = Range { min: 0, max: 0 };
    let delivered_ms = Range {
        min: work.delivered_after_ms / 2,
        max: work.delivered_after_ms * 3 / 2,
    };
    let config = Config {
        app_secret: SECRET.to_owned(),
        delays: Delays {
            sent_ms: none,
            delivered_ms,
            ..Delays::default()
        },
        faults: Faults {
            no_read: 1.0,
            ..Faults::default()
        },
        ..Config::default()
    };
    let stop = CancellationToken::new();
    let listening = stop.clone();
    let simulating = load.spawn(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(simulator::run(listener, config, Clock::system(), listening));
        address
    });
    Provider {
        url: format!("http://{}", simulating.await.unwrap()),
        client: reqwest::Client::new(),
        _stop: stop.drop_guard(),
    }
}

/// When it counts: at a pace, while all sequences are under way. Before, the service has to make
/// them; after, there are fewer gates.
fn counted(work: Work, accepted: &HashMap<(usize, usize), &Post>) -> RangeInclusive<u64> {
    if work.delivered_after_ms == 0 {
        return 0..=u64::MAX;
    }
    let at = |step| (0..work.sequences).map(move |sequence| accepted[&(sequence, step)].at_us);
    at(0).max().unwrap()..=at(work.steps - 1).min().unwrap()
}

impl Provider {
    /// Where its webhooks go.
    pub async fn post_to(&self, url: String) {
        let told = self
            .client
            .put(format!("{}/_control/webhook", self.url))
            .json(&serde_json::json!({"url": url}))
            .send();
        assert!(told.await.unwrap().status().is_success());
    }

    /// Waits until all messages have been accepted and all webhooks answered.
    pub async fn finished(&self, work: Work) {
        let all = work.sequences * work.steps;
        let waiting = async {
            loop {
                let stats: Value = self.control("stats").await;
                if stats["accepted"] == all && stats["pending"] == 0 && stats["scheduled"] == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(in_time.is_ok(), "messages are missing");
    }

    /// What the log shows, once it is proven that every message was accepted once, in order.
    pub async fn measured(&self, work: Work) -> Measured {
        let log: Log = self.control("log").await;
        let mut accepted: HashMap<(usize, usize), &Post> = HashMap::new();
        for post in log.posts.iter().filter(|post| post.wamid.is_some()) {
            let text = post.body["text"]["body"].as_str().unwrap();
            let twice = accepted.insert(place(text), post);
            assert!(twice.is_none(), "{text} was accepted twice");
        }
        assert_eq!(accepted.len(), work.sequences * work.steps);
        let delivered: HashMap<&str, &Status> = log
            .statuses
            .iter()
            .filter(|status| status.status == "delivered")
            .map(|status| (status.wamid.as_str(), status))
            .collect();
        let mut measured = Measured::default();
        let (mut first, mut last) = (u64::MAX, 0);
        let counted = counted(work, &accepted);
        for ((sequence, step), next) in &accepted {
            if *step == 0 || !counted.contains(&next.at_us) {
                continue;
            }
            let before = accepted[&(*sequence, step - 1)];
            let gate = delivered[before.wamid.as_deref().unwrap()];
            assert!(gate.tick < next.tick, "{sequence}.{step} went too early");
            measured
                .latencies_us
                .push(u32::try_from(next.at_us - gate.at_us).unwrap());
            first = first.min(gate.at_us);
            last = last.max(next.at_us);
        }
        measured.count = measured.latencies_us.len() as u64;
        measured.elapsed = Duration::from_micros(last - first);
        measured
    }

    async fn control<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let url = format!("{}/_control/{path}", self.url);
        let answer = self.client.get(url).send().await.unwrap();
        answer.json().await.unwrap()
    }
}
