//! Posts webhooks: proved, several at once, each until it is answered with exactly 200 or the
//! provider's rule gives it up (`retry`). Providers retry for days with decreasing frequency; so
//! does this, in a shorter time, while it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use rand::{Rng, RngExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::DRAIN;
use super::dialect::Dialect;
use super::fate::{generator, happens};
use super::hooks::{Route, routed};
use super::log::Attempt;
use super::queue::{Item, Open, Webhook};
use super::retry;
use super::state::Simulator;
use super::update::Update;

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

/// What asks receivers.
pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
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
    let batches = simulator.config.batches;
    let window = Duration::from_millis(batches.window_ms);
    loop {
        let most = rng.random_range(1..=batches.max.max(1));
        let now = simulator.clock.monotonic();
        let open = open(simulator);
        match simulator.queue.take(open, now, window, most)? {
            Item::Webhook(webhook) => return Ok(webhook),
            Item::Settle(key) => simulator.settle(&key, None),
            Item::Unpause(key, pause) => simulator.end_pause(&key, pause),
            Item::Review(key, review) => simulator.end_review(&key, review),
            Item::Updates(updates) => match compose(simulator, updates, rng) {
                Ok(webhooks) => {
                    let mut webhooks = webhooks.into_iter();
                    if let Some(webhook) = webhooks.next() {
                        let rest = webhooks.map(Item::Webhook);
                        rest.for_each(|webhook| simulator.queue.push(now, webhook));
                        return Ok(webhook);
                    }
                }
                Err(error) => tracing::error!(%error, "a webhook could not be written"),
            },
        }
        simulator.queue.finish(None);
    }
}

/// Without an address everything waits.
fn open(simulator: &Simulator) -> Open {
    let state = simulator.state();
    let has_address = |dialect: Dialect| {
        let target = state.targets.get(&dialect);
        target.is_some_and(|target| target.url.is_some())
    };
    Open::of(has_address)
}

/// As few bodies as the dialect allows, of many updates. Here a status gets its place in the log:
/// posting begins now, and in this order, as there is one that composes.
fn compose(
    simulator: &Simulator,
    updates: Vec<Update>,
    rng: &mut impl Rng,
) -> serde_json::Result<Vec<Webhook>> {
    let Some(dialect) = updates.first().map(Update::dialect) else {
        return Ok(Vec::new());
    };
    let routes = routed(&simulator.state(), &simulator.config.waba_id, updates);
    let mut webhooks = Vec::new();
    for (route, updates) in routes {
        enter(simulator, dialect, &updates);
        for mut webhook in bodies(simulator, dialect, updates, rng)? {
            if let Route::To(url) = &route {
                webhook.to = Some(url.clone());
            }
            webhooks.push(webhook);
        }
    }
    Ok(webhooks)
}

fn bodies(
    simulator: &Simulator,
    dialect: Dialect,
    updates: Vec<Update>,
    rng: &mut impl Rng,
) -> serde_json::Result<Vec<Webhook>> {
    let target = simulator.state().targets.get(&dialect).cloned();
    let target = target.unwrap_or_default();
    let bodies = dialect.split(updates).into_iter().map(|updates| {
        let about = updates.iter().filter_map(|update| match update {
            Update::Status(status) => Some(Arc::clone(&status.message)),
            _ => None,
        });
        let about = about.collect();
        let url = updates.first().and_then(Update::notify_url);
        let url = url.map(str::to_owned);
        let body = dialect.body(&simulator.config, &target, updates, rng);
        body.map(|body| Webhook {
            dialect,
            body: Bytes::from(body),
            number: simulator.state().next_body(),
            url,
            to: None,
            attempts: 0,
            repeatable: true,
            about,
        })
    });
    bodies.collect()
}

/// Writes statuses into the log, those that are said for the first time.
fn enter(simulator: &Simulator, dialect: Dialect, updates: &[Update]) {
    let mut repeated = 0;
    for update in updates {
        let Update::Status(status) = update else {
            continue;
        };
        repeated += u64::from(status.repeated);
        if !status.repeated {
            let error = status.errors.as_ref().map(|errors| &errors[0]);
            let code = error.and_then(|error| error["code"].as_i64().or(error["id"].as_i64()));
            let wamid = &status.message.wamid;
            let log = &simulator.log;
            log.status(wamid, &status.status, code, dialect.correlates(status));
        }
    }
    simulator.state().stats.duplicates += repeated;
}

/// Posts once; what was not answered 200 goes back to the queue.
async fn post(
    simulator: Arc<Simulator>,
    client: reqwest::Client,
    mut webhook: Webhook,
    repeat: bool,
    slot: OwnedSemaphorePermit,
) {
    let at_us = simulator.log.now_us();
    let answer = tokio::select! {
        answer = send(&simulator, &client, &webhook) => answer,
        () = too_late(&simulator) => None,
    };
    drop(slot);
    for message in webhook.about.drain(..) {
        message.first_posted.notify_one();
    }
    webhook.attempts += 1;
    let again = again(&simulator, webhook, repeat, at_us, answer);
    simulator.queue.finish(again);
}

/// What comes after an attempt, which goes into the log.
fn again(
    simulator: &Simulator,
    mut webhook: Webhook,
    repeat: bool,
    at_us: u64,
    answer: Option<reqwest::StatusCode>,
) -> Option<(Instant, Item)> {
    let acknowledged = answer == Some(reqwest::StatusCode::OK);
    let delays = simulator.state().delays;
    let wait = match acknowledged {
        true => None,
        false => retry::after(webhook.dialect, webhook.attempts, &delays),
    };
    simulator.log.attempt(Attempt {
        at_us,
        provider: webhook.dialect,
        webhook: webhook.number,
        attempt: webhook.attempts,
        answer: answer.map(|status| status.as_u16()),
        again_after_ms: wait.and_then(|wait| u64::try_from(wait.by_rule.as_millis()).ok()),
    });
    let mut state = simulator.state();
    match wait {
        Some(wait) => {
            let at = simulator.clock.monotonic() + wait.scaled;
            Some((at, Item::Webhook(webhook)))
        }
        None if !acknowledged => {
            state.stats.given_up += 1;
            None
        }
        None if repeat => {
            state.stats.duplicates += 1;
            webhook.repeatable = false;
            let at = simulator.after_ms(REPEAT_AFTER_MS);
            Some((at, Item::Webhook(webhook)))
        }
        None => None,
    }
}

async fn too_late(simulator: &Simulator) {
    simulator.shutdown.cancelled().await;
    tokio::time::sleep(DRAIN).await;
}

/// What the receiver answered, if it did in time.
async fn send(
    simulator: &Simulator,
    client: &reqwest::Client,
    webhook: &Webhook,
) -> Option<reqwest::StatusCode> {
    let dialect = webhook.dialect;
    let (target, patience) = {
        let mut state = simulator.state();
        state.stats.webhook_attempts += 1;
        state.stats.webhooks += u64::from(webhook.attempts == 0);
        let target = state.targets.get(&dialect).cloned().unwrap_or_default();
        (target, retry::patience(dialect, &state.delays))
    };
    let (url, proofs) = match &webhook.url {
        Some(url) => (url.clone(), Vec::new()),
        None => {
            let url = webhook.to.clone().or(target.url)?;
            (url, target.auth.headers(dialect, &webhook.body))
        }
    };
    let mut request = client
        .post(url)
        .timeout(patience)
        .header("content-type", "application/json")
        .body(webhook.body.clone());
    if dialect == Dialect::Meta {
        request = request.header("user-agent", "facebookexternalua");
    }
    for (name, value) in proofs {
        request = request.header(name, value);
    }
    match request.send().await {
        Ok(response) => {
            let status = response.status();
            // Read to the end, or the connection cannot be used again.
            let _ = response.bytes().await;
            Some(status)
        }
        Err(error) => {
            tracing::debug!(%error, "webhook not delivered");
            None
        }
    }
}
