//! The provider: the simulator in this process, and its log of what it was asked to send.

use std::collections::HashMap;
use std::future::Future as _;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};
use twotick::clock::Clock;
use twotick::simulator::{self, Delays, Faults, Range};

pub const SECRET: &str = "an app's secret";

pub struct Provider {
    pub url: String,
    client: reqwest::Client,
    /// No earlier than its log began.
    began: Instant,
    log: Mutex<Log>,
    _stop: DropGuard,
}

/// What was read of the log so far.
#[derive(Default)]
struct Log {
    next_tick: u64,
    posts: Vec<Post>,
    statuses: usize,
}

/// A message that it was asked to send.
#[derive(Debug, Clone)]
pub struct Post {
    /// What it says: whose step it is.
    pub name: String,
    /// The name that we gave the attempt.
    pub callback: String,
    /// Where it was taken.
    pub wamid: Option<String>,
    /// No earlier than it came.
    pub at: Instant,
}

#[derive(Deserialize)]
struct Page {
    posts: Vec<Entry>,
    statuses: Vec<Value>,
    next_tick: u64,
}

#[derive(Deserialize)]
struct Entry {
    at_us: u64,
    callback: Option<String>,
    body: Value,
    wamid: Option<String>,
}

impl Provider {
    pub async fn start(seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (clock, stop) = (Clock::system(), CancellationToken::new());
        let running = simulator::run(listener, config(seed), clock.clone(), stop.clone());
        let mut running = Box::pin(running);
        // Polled once, it has begun its log.
        std::future::poll_fn(|context| {
            assert!(running.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let began = clock.monotonic();
        tokio::spawn(running);
        Self {
            url,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            began,
            log: Mutex::default(),
            _stop: stop.drop_guard(),
        }
    }

    async fn control(&self, path: &str) -> Value {
        let asked = self.client.get(format!("{}/_control/{path}", self.url));
        asked.send().await.unwrap().json().await.unwrap()
    }

    pub async fn post_webhooks_to(&self, url: &str) {
        let put = self.client.put(format!("{}/_control/webhook", self.url));
        let answer = put.json(&json!({ "url": url })).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// How many messages it took so far.
    pub async fn accepted(&self) -> usize {
        let stats = self.control("stats").await;
        usize::try_from(stats["accepted"].as_u64().unwrap()).unwrap()
    }

    /// Whether it has said all that it has to say.
    pub async fn is_idle(&self) -> bool {
        self.control("idle?timeout_ms=1").await["idle"] == true
    }

    /// The attempts that it took, by the name that we gave them.
    pub async fn taken(&self) -> HashMap<String, String> {
        let log = self.read().await;
        let taken = log.posts.iter().filter_map(|post| {
            let wamid = post.wamid.clone()?;
            Some((post.callback.clone(), wamid))
        });
        taken.collect()
    }

    /// All that it was asked to send, in order; and how many statuses it said.
    pub async fn log(&self) -> (Vec<Post>, usize) {
        let log = self.read().await;
        (log.posts.clone(), log.statuses)
    }

    async fn read(&self) -> tokio::sync::MutexGuard<'_, Log> {
        let mut log = self.log.lock().await;
        let page = self.client.get(format!(
            "{}/_control/log?since_tick={}",
            self.url, log.next_tick
        ));
        let page: Page = page.send().await.unwrap().json().await.unwrap();
        log.next_tick = page.next_tick;
        log.statuses += page.statuses.len();
        let began = self.began;
        log.posts.extend(page.posts.into_iter().map(|entry| Post {
            name: entry.body["text"]["body"].as_str().unwrap().to_owned(),
            callback: entry.callback.unwrap(),
            wamid: entry.wamid,
            at: began + Duration::from_micros(entry.at_us),
        }));
        log
    }
}

/// Every fault that leaves no doubt about whose a status is.
fn config(seed: u64) -> simulator::Config {
    simulator::Config {
        seed,
        app_secret: SECRET.to_owned(),
        delays: Delays {
            answer_ms: Range { min: 0, max: 60 },
            sent_ms: Range { min: 0, max: 20 },
            delivered_ms: Range { min: 5, max: 40 },
            read_ms: Range { min: 0, max: 200 },
            ..Delays::default()
        },
        faults: Faults {
            read_without_delivered: 0.1,
            duplicate: 0.1,
            disorder: 0.1,
            refuse_transient: 0.03,
            rate_limited: 0.003,
            fail_permanent: 0.01,
            lost_answer: 0.02,
            answer_late: 0.05,
            no_read: 0.4,
            ..Faults::default()
        },
        ..simulator::Config::default()
    }
}
