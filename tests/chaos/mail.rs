//! The mail between the provider and the service. It takes every status that the provider says
//! and brings it: late, shuffled, with others than it came with, some of them again, and until the
//! service answers 200. Its `sack` remembers what was said.

mod sack;
mod webhook;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use twotick::clock::Clock;

use crate::api::Api;
use crate::check::Said;
use crate::plan::Plan;
use crate::progress::{Progress, moment};
use crate::strangers::Strangers;
use sack::Sack;
pub use webhook::Item;
use webhook::Webhook;

/// So many statuses wait for each poster, while strangers' are wanted.
const WAITING: usize = 8;
/// How long an answer may take before a webhook comes again.
const SLOW: Duration = Duration::from_secs(6);

/// How much later a message's second tick comes, where it is slow: long enough for one to go
/// before it that does not wait.
const SLOW_TICK: Duration = Duration::from_millis(700);

pub struct Mail {
    api: Api,
    path: String,
    clock: Clock,
    progress: Arc<Progress>,
    webhooks: usize,
    posters: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    sack: Sack,
    strangers: Strangers,
    /// Answers that no webhook may get.
    odd: Vec<String>,
}

impl Mail {
    pub fn new(
        api: Api,
        path: &str,
        progress: Arc<Progress>,
        plan: &Plan,
        strangers: Strangers,
    ) -> Arc<Self> {
        Arc::new(Self {
            api,
            path: path.to_owned(),
            clock: Clock::system(),
            progress,
            webhooks: plan.webhooks,
            posters: plan.posters(),
            inner: Mutex::new(Inner {
                sack: Sack::new(plan.seed),
                strangers,
                odd: Vec::new(),
            }),
        })
    }

    /// Opens the post office; where the provider finds it.
    pub async fn open(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(receive));
        let serving = axum::serve(listener, router.with_state(Arc::clone(self)));
        tokio::spawn(async move { serving.await.unwrap() });
        for _ in 0..self.posters {
            tokio::spawn(Arc::clone(self).bring());
        }
        url
    }

    fn are_wanted(&self) -> bool {
        Progress::get(&self.progress.webhooks) < self.webhooks
    }

    /// Whether everything was brought.
    pub fn is_empty(&self) -> bool {
        !self.are_wanted() && self.inner.lock().unwrap().sack.is_empty()
    }

    /// How many statuses were answered 200.
    pub fn acknowledged(&self) -> usize {
        self.inner.lock().unwrap().sack.acknowledged
    }

    /// What was said of every provider id; and the answers that no webhook may get.
    pub fn end(&self) -> (HashMap<String, [Option<Said>; 4]>, Vec<String>) {
        let mut inner = self.inner.lock().unwrap();
        let said = std::mem::take(&mut inner.sack.said);
        (said, std::mem::take(&mut inner.odd))
    }

    async fn bring(self: Arc<Self>) {
        while !Progress::is(&self.progress.over) {
            match self.take() {
                Some(webhook) => self.post(webhook).await,
                None => moment(5).await,
            }
        }
    }

    fn take(&self) -> Option<Webhook> {
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock().unwrap();
        let Inner {
            sack, strangers, ..
        } = &mut *inner;
        if self.are_wanted() {
            while sack.waiting() < self.posters * WAITING {
                for item in strangers.next() {
                    sack.put(now, 400, item);
                }
            }
        }
        sack.take(now)
    }

    async fn post(&self, webhook: Webhook) {
        Progress::add(&self.progress.posted, 1);
        let answer = match self.api.instances.any() {
            Some(url) => self.answer(&url, &webhook).await,
            None => {
                moment(20).await;
                None
            }
        };
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock().unwrap();
        match answer {
            Some(StatusCode::OK) => {
                let is_first = inner.sack.answered(now, webhook);
                Progress::add(&self.progress.webhooks, usize::from(is_first));
            }
            Some(StatusCode::SERVICE_UNAVAILABLE) | None => inner.sack.refused(now, webhook),
            Some(other) => {
                inner.odd.push(format!("a webhook was answered {other}"));
                inner.sack.refused(now, webhook);
            }
        }
    }

    async fn answer(&self, url: &str, webhook: &Webhook) -> Option<StatusCode> {
        let request = self.api.client.post(format!("{url}{}", self.path));
        let request = request
            .timeout(SLOW)
            .header("X-Hub-Signature-256", webhook.signature());
        let response = request.body(webhook.body.clone()).send().await.ok()?;
        let status = response.status();
        // Read to the end, or the connection cannot be used again.
        response.bytes().await.ok()?;
        Some(status)
    }
}

/// What the provider says goes into the sack, status by status.
async fn receive(State(mail): State<Arc<Mail>>, Json(webhook): Json<Value>) {
    let now = mail.clock.monotonic();
    let mut inner = mail.inner.lock().unwrap();
    for item in webhook::items(&webhook) {
        let begin = if item.is_slow() { now + SLOW_TICK } else { now };
        inner.sack.put(begin, 60, item);
    }
}
