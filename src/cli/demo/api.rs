//! The demo as a client: of the service, through its HTTP API and nothing else, and of the
//! simulator's side door.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::check::ToldMessage;
use super::history::Log;
use crate::clock;
use crate::simulator::Faults;

/// Longer than the service may wait for its database.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often a call is made that meets a process which is being replaced, and the wait between.
const TRIES: usize = 40;
const TRY_AGAIN: Duration = Duration::from_millis(250);
/// The API's limit for one look-up.
const LOOKUP: usize = 1_000;
/// The API's limit for a page of a list.
const PAGE: usize = 500;

/// The service, through each of its processes in turn: any of them must do.
#[derive(Debug)]
pub struct Service {
    http: reqwest::Client,
    urls: Vec<String>,
    key: String,
    calls: AtomicUsize,
}

#[derive(Debug, Deserialize)]
pub struct Connection {
    pub id: String,
    pub webhook_path: String,
}

#[derive(Debug, Deserialize)]
struct Created {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Page<T> {
    data: Vec<T>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Template {
    sendable: bool,
}

/// A sequence as a list shows it.
#[derive(Debug, Clone, Deserialize)]
pub struct Sequence {
    pub id: String,
    pub status: String,
    /// Why it is held or stopped.
    pub reason: Option<String>,
    pub position: usize,
    pub reference: Option<String>,
    pub messages: Vec<Message>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Message {
    pub status: String,
    pub waiting: Option<Value>,
    pub sequence: Option<Place>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Place {
    pub id: String,
    pub position: usize,
}

pub fn http_client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()?)
}

/// Reads a good answer; of a bad one, what it says.
async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> anyhow::Result<T> {
    read(request.send().await?).await
}

async fn read<T: DeserializeOwned>(response: reqwest::Response) -> anyhow::Result<T> {
    let (status, url) = (response.status(), response.url().clone());
    let text = response.text().await?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{url} answered {text}"))
}

impl Service {
    pub fn new(http: reqwest::Client, urls: Vec<String>, key: String) -> Self {
        Self {
            http,
            urls,
            key,
            calls: AtomicUsize::new(0),
        }
    }

    fn url(&self, path: &str) -> String {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        format!("{}{path}", self.urls[call % self.urls.len()])
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.call(path, |url| self.http.get(url)).await
    }

    /// Once, however often it is tried.
    async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> anyhow::Result<T> {
        let key = HEXLOWER.encode(&clock::random::<16>());
        let post = |url| {
            self.http
                .post(url)
                .header("Idempotency-Key", &key)
                .json(body)
        };
        self.call(path, post).await
    }

    /// Asks one process after the other, as long as they are away.
    async fn call<T: DeserializeOwned>(
        &self,
        path: &str,
        request: impl Fn(String) -> reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let mut tries = 0;
        loop {
            tries += 1;
            let request = request(self.url(path)).bearer_auth(&self.key);
            let sent = request.send().await;
            let is_away = match &sent {
                Ok(response) => matches!(response.status().as_u16(), 409 | 503),
                Err(error) => !error.is_builder(),
            };
            if !is_away || tries == TRIES {
                return read(sent?).await;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    pub async fn create_connection(&self, connection: &Value) -> anyhow::Result<Connection> {
        self.post("/v1/connections", connection).await
    }

    /// Makes a sender; its id.
    pub async fn create_sender(&self, sender: &Value) -> anyhow::Result<String> {
        let created: Created = self.post("/v1/senders", sender).await?;
        Ok(created.id)
    }

    /// Makes a sequence.
    pub async fn create_sequence(&self, sequence: &Value) -> anyhow::Result<()> {
        let _: Created = self.post("/v1/sequences", sequence).await?;
        Ok(())
    }

    /// Whether all processes know that the template may not (or may) be used.
    pub async fn all_see(
        &self,
        connection: &str,
        template: &str,
        sendable: bool,
    ) -> anyhow::Result<bool> {
        let mut seen = false;
        for url in &self.urls {
            let url = format!("{url}/v1/templates?connection={connection}&name={template}");
            let page = answer(self.http.get(url).bearer_auth(&self.key)).await;
            // One that is away will see it when it is back.
            let Ok::<Page<Template>, _>(page) = page else {
                continue;
            };
            if page.data.is_empty() || page.data.iter().any(|t| t.sendable != sendable) {
                return Ok(false);
            }
            seen = true;
        }
        Ok(seen)
    }

    /// Whether a sender has a sequence with this status.
    pub async fn has_sequence(&self, sender: &str, status: &str) -> anyhow::Result<bool> {
        let path = format!("/v1/sequences?sender={sender}&status={status}&limit=1");
        let page: Page<Sequence> = self.get(&path).await?;
        Ok(!page.data.is_empty())
    }

    /// All sequences of a sender.
    pub async fn sequences(&self, sender: &str) -> anyhow::Result<Vec<Sequence>> {
        let mut sequences = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/sequences?sender={sender}&limit={PAGE}{cursor}");
            let page: Page<Sequence> = self.get(&path).await?;
            sequences.extend(page.data);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(sequences),
            }
        }
    }

    /// What the service knows of these provider ids.
    pub async fn look_up(&self, ids: &[String]) -> anyhow::Result<HashMap<String, ToldMessage>> {
        #[derive(Deserialize)]
        struct Found {
            data: HashMap<String, Option<Message>>,
        }
        let mut told = HashMap::new();
        for ids in ids.chunks(LOOKUP) {
            let found: Found = self
                .post("/v1/messages/lookup", &json!({"ids": ids}))
                .await?;
            for (id, message) in found.data {
                let Some(message) = message else { continue };
                let place = message.sequence.map(|place| (place.id, place.position));
                let status = message.status;
                told.insert(id, ToldMessage { place, status });
            }
        }
        Ok(told)
    }
}

/// The simulator's side door.
#[derive(Debug)]
pub struct Control {
    http: reqwest::Client,
    url: String,
}

/// Counts since the simulator's start.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Stats {
    pub posts: u64,
    pub accepted: u64,
    pub refused: HashMap<i64, u64>,
    pub lost_answers: u64,
    pub late_answers: u64,
    pub held_answers: u64,
    pub violations: u64,
    pub pair_violations: u64,
    pub webhooks: u64,
    pub webhook_attempts: u64,
    pub duplicates: u64,
}

impl Control {
    pub fn new(http: reqwest::Client, url: String) -> Self {
        Self { http, url }
    }

    fn at(&self, path: &str) -> String {
        format!("{}/_control/{path}", self.url)
    }

    pub async fn post_webhooks_to(&self, url: &str) -> anyhow::Result<()> {
        let request = self.http.put(self.at("webhook")).json(&json!({"url": url}));
        request.send().await?.error_for_status()?;
        Ok(())
    }

    pub async fn register(&self, template: &str, language: &str) -> anyhow::Result<()> {
        let request = self.http.put(self.at(&format!("templates/{template}")));
        let _: Value = answer(request.json(&json!({"language": language}))).await?;
        Ok(())
    }

    pub async fn set_faults(&self, faults: &Faults) -> anyhow::Result<()> {
        let request = self.http.put(self.at("faults")).json(faults);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// `pause` or `unpause`.
    pub async fn change(&self, template: &str, verb: &str) -> anyhow::Result<()> {
        let request = self
            .http
            .post(self.at(&format!("templates/{template}/{verb}")));
        let _: Value = answer(request).await?;
        Ok(())
    }

    pub async fn stats(&self) -> anyhow::Result<Stats> {
        answer(self.http.get(self.at("stats"))).await
    }

    /// The tick that the next thing to happen will have, or of the oldest POST under way.
    pub async fn tick(&self) -> anyhow::Result<u64> {
        Ok(self.log_since(u64::MAX).await?.next_tick)
    }

    pub async fn log(&self) -> anyhow::Result<Log> {
        self.log_since(0).await
    }

    /// Microseconds since the simulator's start.
    pub async fn now_us(&self) -> anyhow::Result<u64> {
        Ok(self.log_since(u64::MAX).await?.now_us)
    }

    async fn log_since(&self, tick: u64) -> anyhow::Result<Log> {
        answer(self.http.get(self.at(&format!("log?since_tick={tick}")))).await
    }

    /// Whether everything the provider had to say was said and acknowledged within the time.
    pub async fn is_idle(&self, within: Duration) -> anyhow::Result<bool> {
        #[derive(Deserialize)]
        struct Idle {
            idle: bool,
        }
        let query = format!("idle?timeout_ms={}", within.as_millis());
        let idle: Idle = answer(self.http.get(self.at(&query))).await?;
        Ok(idle.idle)
    }
}
