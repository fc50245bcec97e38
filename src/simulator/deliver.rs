//! Posts webhooks: signed, several at once, each until it is answered with exactly 200. Meta
//! retries for days with decreasing frequency; so does this, in a shorter time, while it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use rand::{Rng, RngExt};
use sha2::Sha256;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::DRAIN;
use super::fate::{generator, happens};
use super::queue::{Item, Webhook};
use super::state::Simulator;
use super::webhook::{self, Update};

/// How long a receiver may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// After how long a whole webhook comes again, if it does.
const REPEAT_AFTER_MS: u64 = 20;

/// Runs until shutdown.
pub async fn run(simulator: Arc<Simulator>) {
    let client = match client() {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no webhook can be posted"),
    };
    let slots = Arc::new(Semaphore::new(simulator.config.webhooks_in_flight));
    let posting = TaskTracker::new();
    let mut rng = generator(simulator.config.seed, &[b"batches"]);
    while let Some((slot, webhook)) = next(&simulator, &slots, &mut rng).await {
        let repeat = webhook.repeatable && happens(&mut rng, simulator.state().faults.duplicate);
        let simulator = Arc::clone(&simulator);
        posting.spawn(post(simulator, client.clone(), webhook, repeat, slot));
    }
    posting.close();
    posting.wait().await;
}

fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .build()
}

/// The next webhook and the slot to post it in; None once shutdown was asked for.
async fn next(
    simulator: &Simulator,
    slots: &Arc<Semaphore>,
    rng: &mut impl Rng,
) -> Option<(OwnedSemaphorePermit, Webhook)> {
    let slot = tokio::select! {
        slot = Arc::clone(slots).acquire_owned() => slot.ok()?,
        () = simulator.shutdown.cancelled() => return None,
    };
    loop {
        let wait_until = match take(simulator, rng) {
            Ok(webhook) => return Some((slot, webhook)),
            Err(wait_until) => wait_until,
        };
        tokio::select! {
            () = simulator.queue.changed() => {}
            () = until(wait_until) => {}
            () = simulator.shutdown.cancelled() => return None,
        }
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// A webhook that is due, or when to look again. Decisions about templates are made on the way.
fn take(simulator: &Simulator, rng: &mut impl Rng) -> Result<Webhook, Option<Instant>> {
    // Without an address everything waits.
    if simulator.state().webhook_url.is_none() {
        return Err(None);
    }
    let batches = simulator.config.batches;
    let window = Duration::from_millis(batches.window_ms);
    loop {
        let most = rng.random_range(1..=batches.max.max(1));
        let now = simulator.clock.monotonic();
        match simulator.queue.take(now, window, most)? {
            Item::Webhook(webhook) => return Ok(webhook),
            Item::Settle(key) => simulator.settle(&key, None),
            Item::Unpause(key, pause) => simulator.end_pause(&key, pause),
            Item::Updates(updates) => match compose(simulator, updates, rng) {
                Ok(webhook) => return Ok(webhook),
                Err(error) => tracing::error!(%error, "a webhook could not be written"),
            },
        }
        simulator.queue.finish(None);
    }
}

/// One body of many updates. Here a status gets its place in the log: posting begins now, and in
/// this order, as there is one that composes.
fn compose(
    simulator: &Simulator,
    updates: Vec<Update>,
    rng: &mut impl Rng,
) -> serde_json::Result<Webhook> {
    let mut about = Vec::new();
    let mut repeated = 0;
    for update in &updates {
        let Update::Status(status) = update else {
            continue;
        };
        about.push(Arc::clone(&status.message));
        repeated += u64::from(status.repeated);
        if !status.repeated {
            let errors = status.errors.as_ref();
            let code = errors.and_then(|errors| errors[0]["code"].as_i64());
            let wamid = &status.message.wamid;
            let log = &simulator.log;
            log.status(wamid, &status.status, code, status.callback);
        }
    }
    simulator.state().stats.duplicates += repeated;
    let body = webhook::body(&simulator.config.waba_id, updates, rng)?;
    Ok(Webhook {
        body: Bytes::from(body),
        attempts: 0,
        repeatable: true,
        about,
    })
}

/// Posts once; what was not answered 200 goes back to the queue.
async fn post(
    simulator: Arc<Simulator>,
    client: reqwest::Client,
    mut webhook: Webhook,
    repeat: bool,
    slot: OwnedSemaphorePermit,
) {
    let answered = tokio::select! {
        answered = send(&simulator, &client, &webhook) => answered,
        () = too_late(&simulator) => false,
    };
    drop(slot);
    for message in webhook.about.drain(..) {
        message.first_posted.notify_one();
    }
    webhook.attempts += 1;
    let again = if !answered {
        let retry_ms = backoff(&simulator, webhook.attempts);
        Some((simulator.after_ms(retry_ms), Item::Webhook(webhook)))
    } else if repeat {
        simulator.state().stats.duplicates += 1;
        webhook.repeatable = false;
        let again = simulator.after_ms(REPEAT_AFTER_MS);
        Some((again, Item::Webhook(webhook)))
    } else {
        None
    };
    simulator.queue.finish(again);
}

async fn too_late(simulator: &Simulator) {
    simulator.shutdown.cancelled().await;
    tokio::time::sleep(DRAIN).await;
}

/// Whether the receiver answered exactly 200.
async fn send(simulator: &Simulator, client: &reqwest::Client, webhook: &Webhook) -> bool {
    let (url, signature) = {
        let mut state = simulator.state();
        state.stats.webhook_attempts += 1;
        state.stats.webhooks += u64::from(webhook.attempts == 0);
        let Some(url) = state.webhook_url.clone() else {
            return false;
        };
        (url, sign(&state.app_secret, &webhook.body))
    };
    let request = client
        .post(url)
        .header("content-type", "application/json")
        .header("user-agent", "facebookexternalua")
        .header("x-hub-signature-256", signature)
        .body(webhook.body.clone());
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            // Read to the end, or the connection cannot be used again.
            let _ = response.bytes().await;
            status == reqwest::StatusCode::OK
        }
        Err(error) => {
            tracing::debug!(%error, "webhook not delivered");
            false
        }
    }
}

fn sign(app_secret: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length; the type cannot say so.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(app_secret.as_bytes()) else {
        return String::new();
    };
    mac.update(body);
    let digest = mac.finalize().into_bytes();
    format!("sha256={}", data_encoding::HEXLOWER.encode(&digest))
}

fn backoff(simulator: &Simulator, attempts: u32) -> u64 {
    let delays = simulator.state().delays;
    let doublings = attempts.saturating_sub(1).min(20);
    let wait = delays.retry_first_ms.saturating_mul(1 << doublings);
    wait.min(delays.retry_max_ms)
}
