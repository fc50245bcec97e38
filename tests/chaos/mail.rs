//! The mail between the provider and the service. It takes every status that the provider says
//! and brings it: late, shuffled, with others than it came with, some of them again, and until the
//! service answers 200. It remembers of each status when it was first brought, and whether any
//! webhook with it was answered 200.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use hmac::{Hmac, KeyInit, Mac};
use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use twotick::clock::Clock;

use crate::api::Api;
use crate::check::{Said, Word};
use crate::progress::{Progress, moment};
use crate::provider::SECRET;
use crate::strangers::Strangers;

/// Webhooks under way at once.
const POSTERS: usize = 48;
/// So many statuses wait at least, while strangers' are wanted.
const WAITING: usize = 400;
/// The most statuses of one webhook.
const MOST: usize = 12;
/// How often a status comes again with others, and a whole webhook.
const AGAIN: f64 = 0.06;
/// How often `sent` does not say whose it is. What follows it always does.
const NAMELESS_IN: usize = 8;

pub struct Mail {
    api: Api,
    path: String,
    clock: Clock,
    progress: Arc<Progress>,
    webhooks: usize,
    inner: Mutex<Inner>,
}

struct Inner {
    rng: Xoshiro256PlusPlus,
    strangers: Strangers,
    waiting: BTreeMap<(Instant, usize), Parcel>,
    pushed: usize,
    under_way: usize,
    acknowledged: usize,
    said: HashMap<String, [Option<Said>; 4]>,
    odd: Vec<String>,
}

/// What waits to be brought.
enum Parcel {
    Status(Item),
    /// A webhook that was not answered 200, to be posted as it is.
    Webhook(Webhook),
}

/// A status as the provider says it.
#[derive(Clone)]
pub struct Item {
    pub number: Arc<str>,
    pub wamid: String,
    pub word: Word,
    /// Unix seconds.
    pub at: i64,
    pub json: String,
}

#[derive(Clone)]
struct Webhook {
    items: Vec<Item>,
    body: Vec<u8>,
    /// It has been answered 200 before.
    counted: bool,
}

impl Mail {
    pub fn new(
        api: Api,
        path: &str,
        progress: Arc<Progress>,
        webhooks: usize,
        strangers: Strangers,
    ) -> Arc<Self> {
        let inner = Inner {
            rng: Xoshiro256PlusPlus::seed_from_u64(strangers.seed),
            strangers,
            waiting: BTreeMap::new(),
            pushed: 0,
            under_way: 0,
            acknowledged: 0,
            said: HashMap::new(),
            odd: Vec::new(),
        };
        Arc::new(Self {
            api,
            path: path.to_owned(),
            clock: Clock::system(),
            progress,
            webhooks,
            inner: Mutex::new(inner),
        })
    }

    /// Opens the post office; where the provider finds it.
    pub async fn open(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(receive));
        let serving = axum::serve(listener, router.with_state(Arc::clone(self)));
        tokio::spawn(async move { serving.await.unwrap() });
        for _ in 0..POSTERS {
            tokio::spawn(Arc::clone(self).bring());
        }
        url
    }

    /// Whether everything was brought.
    pub fn is_empty(&self) -> bool {
        let inner = self.inner.lock().unwrap();
        let enough = Progress::get(&self.progress.webhooks) >= self.webhooks;
        enough && inner.waiting.is_empty() && inner.under_way == 0
    }

    /// How many statuses were brought.
    pub fn acknowledged(&self) -> usize {
        self.inner.lock().unwrap().acknowledged
    }

    /// What was said of every provider id; and the answers that no webhook may get.
    pub fn end(&self) -> (HashMap<String, [Option<Said>; 4]>, Vec<String>) {
        let mut inner = self.inner.lock().unwrap();
        (
            std::mem::take(&mut inner.said),
            std::mem::take(&mut inner.odd),
        )
    }

    async fn bring(self: Arc<Self>) {
        while !Progress::is(&self.progress.over) {
            match self.take() {
                Some(webhook) => self.post(webhook).await,
                None => moment(3).await,
            }
        }
    }

    /// What is due, in a webhook of its own making.
    fn take(&self) -> Option<Webhook> {
        let now = self.clock.monotonic();
        let mut inner = self.inner.lock().unwrap();
        if Progress::get(&self.progress.webhooks) < self.webhooks {
            while inner.waiting.len() < WAITING {
                for item in inner.strangers.next() {
                    inner.push(now, 400, Parcel::Status(item));
                }
            }
        }
        let most = match inner.rng.random_bool(0.7) {
            true => 1,
            false => inner.rng.random_range(2..=MOST),
        };
        let mut items = Vec::new();
        while items.len() < most {
            let Some(first) = inner.waiting.first_entry() else {
                break;
            };
            match first.get() {
                _ if first.key().0 > now => break,
                Parcel::Webhook(_) if !items.is_empty() => break,
                _ => {}
            }
            match first.remove() {
                Parcel::Status(item) => items.push(item),
                Parcel::Webhook(webhook) => {
                    inner.under_way += 1;
                    return Some(webhook);
                }
            }
        }
        if items.is_empty() {
            return None;
        }
        inner.under_way += 1;
        items.shuffle(&mut inner.rng);
        for item in &items {
            let said = inner.said_of(item);
            said.begun.get_or_insert(now);
        }
        Some(Webhook {
            body: body(&items),
            items,
            counted: false,
        })
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
        inner.under_way -= 1;
        match answer {
            Some(StatusCode::OK) => inner.answered(now, webhook, &self.progress),
            Some(StatusCode::SERVICE_UNAVAILABLE) | None => inner.refused(now, webhook),
            Some(other) => {
                inner.odd.push(format!("a webhook was answered {other}"));
                inner.refused(now, webhook);
            }
        }
    }

    async fn answer(&self, url: &str, webhook: &Webhook) -> Option<StatusCode> {
        let request = self.api.client.post(format!("{url}{}", self.path));
        let request = request.header("X-Hub-Signature-256", signature(&webhook.body));
        let response = request.body(webhook.body.clone()).send().await.ok()?;
        let status = response.status();
        // Read to the end, or the connection cannot be used again.
        response.bytes().await.ok()?;
        Some(status)
    }
}

impl Inner {
    fn push(&mut self, now: Instant, within_ms: u64, parcel: Parcel) {
        // A few are very late.
        let within_ms = match self.rng.random_bool(0.02) {
            true => within_ms * 10,
            false => within_ms,
        };
        let late = Duration::from_millis(self.rng.random_range(0..=within_ms));
        self.pushed += 1;
        let number = self.pushed;
        self.waiting.insert((now + late, number), parcel);
    }

    fn said_of(&mut self, item: &Item) -> &mut Said {
        let words = self.said.entry(item.wamid.clone()).or_default();
        words[item.word as usize].get_or_insert_with(|| Said::at(item.at))
    }

    fn answered(&mut self, now: Instant, mut webhook: Webhook, progress: &Progress) {
        for item in &webhook.items {
            let said = self.said_of(item);
            let first = !std::mem::replace(&mut said.acknowledged, true);
            self.acknowledged += usize::from(first);
        }
        if webhook.counted {
            return;
        }
        Progress::add(&progress.webhooks, 1);
        for item in &webhook.items {
            if self.rng.random_bool(AGAIN) {
                self.push(now, 200, Parcel::Status(item.clone()));
            }
        }
        if self.rng.random_bool(AGAIN) {
            webhook.counted = true;
            self.push(now, 200, Parcel::Webhook(webhook));
        }
    }

    /// It comes again as it was, or what it says does, with other things.
    fn refused(&mut self, now: Instant, webhook: Webhook) {
        if webhook.counted || self.rng.random_bool(0.5) {
            return self.push(now, 300, Parcel::Webhook(webhook));
        }
        for item in webhook.items {
            self.push(now, 300, Parcel::Status(item));
        }
    }
}

async fn receive(State(mail): State<Arc<Mail>>, Json(webhook): Json<Value>) {
    let now = mail.clock.monotonic();
    let mut inner = mail.inner.lock().unwrap();
    for entry in webhook["entry"].as_array().unwrap() {
        for change in entry["changes"].as_array().unwrap() {
            let value = &change["value"];
            let number = value["metadata"]["phone_number_id"].as_str().unwrap();
            for status in value["statuses"].as_array().unwrap() {
                let item = Item::read(number.into(), status.clone());
                inner.push(now, 60, Parcel::Status(item));
            }
        }
    }
}

impl Item {
    fn read(number: Arc<str>, mut status: Value) -> Self {
        let wamid = status["id"].as_str().unwrap().to_owned();
        let word = Word::parse(status["status"].as_str().unwrap()).unwrap();
        let at = status["timestamp"].as_str().unwrap().parse().unwrap();
        let bytes = wamid.bytes().map(usize::from).sum::<usize>();
        if word == Word::Sent && bytes.is_multiple_of(NAMELESS_IN) {
            status
                .as_object_mut()
                .unwrap()
                .remove("biz_opaque_callback_data");
        }
        Self {
            number,
            wamid,
            word,
            at,
            json: status.to_string(),
        }
    }
}

/// A webhook as Meta writes it: an entry, and a change for those in a row that are of one number.
fn body(items: &[Item]) -> Vec<u8> {
    let mut changes = Vec::new();
    for items in items.chunk_by(|a, b| a.number == b.number) {
        let number = &items[0].number;
        let statuses: Vec<&str> = items.iter().map(|item| item.json.as_str()).collect();
        changes.push(format!(
            r#"{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550142217","phone_number_id":"{number}"}},"statuses":[{}]}}}}"#,
            statuses.join(",")
        ));
    }
    let changes = changes.join(",");
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"204411887755301","changes":[{changes}]}}]}}"#
    )
    .into_bytes()
}

/// `X-Hub-Signature-256` over these bytes.
fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    let hash = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    format!("sha256={hash}")
}
