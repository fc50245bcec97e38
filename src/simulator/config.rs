//! What the simulator is told: whom it pretends to be, how long things take and how often they go
//! wrong. `Faults` and `Delays` can be changed while it runs (`control`) and are read anew for
//! every message.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::auth::{Auth, Signature, Target};
use super::dialect::Dialect;

/// The simulator's settings. Nothing here is secret: the provider is made up, and so are its
/// keys.
#[derive(Debug, Clone)]
pub struct Config {
    /// Decides every fate: the same seed and the same messages give the same story.
    pub seed: u64,
    /// What Meta's webhooks are signed with.
    pub app_secret: String,
    /// The app that callers' keys are of.
    pub app_id: String,
    /// When set, a caller must bring it: as `Authorization: Bearer`, `D360-API-KEY` or
    /// `Authorization: App`, by the dialect. Else any may send.
    pub access_token: Option<String>,
    /// 360dialog: a key is one number. These keys are of these numbers, and may send too.
    pub channels: BTreeMap<String, String>,
    /// 360dialog: the number of every other key.
    pub phone_number_id: String,
    /// Where Meta's webhooks go. Without one they wait; the control API can set it later.
    pub webhook_url: Option<String>,
    /// Where the webhooks of others go, and what proves them.
    pub targets: BTreeMap<Dialect, Target>,
    /// The one WhatsApp Business Account that all senders and templates belong to.
    pub waba_id: String,
    /// How often things go wrong.
    pub faults: Faults,
    /// How long things take.
    pub delays: Delays,
    /// How many updates share a body.
    pub batches: Batches,
    /// The throughput of each sender; above it, code 130429 (or what the dialect has) and a
    /// violation counted.
    pub messages_per_second: Option<u32>,
    /// How often a sender may write to one user; above it, code 131056 (or what the dialect has)
    /// and a violation counted.
    pub pair: Option<Pair>,
    /// Whether accepted messages get statuses by themselves. A scripted test says no and asks
    /// for each one.
    pub automatic: bool,
    /// Whether a template that nobody registered counts as approved on first use.
    pub register_templates: bool,
    /// Whether templates that are submitted or edited are approved by themselves. A scripted test
    /// says no and ends each review.
    pub reviews: bool,
    /// How often an approved template may be edited in 24 hours.
    pub edits_per_day: usize,
    /// How many webhooks may be under way at once; Meta posts concurrently.
    pub webhooks_in_flight: usize,
}

/// A message to one user every so often, and so many at once.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    pub every_ms: u64,
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 0,
            app_secret: "simulated-app-secret".to_owned(),
            app_id: "660000000000001".to_owned(),
            access_token: None,
            channels: BTreeMap::new(),
            phone_number_id: "310022446688199".to_owned(),
            webhook_url: None,
            targets: BTreeMap::new(),
            waba_id: "204411887755301".to_owned(),
            faults: Faults::default(),
            delays: Delays::default(),
            batches: Batches::default(),
            messages_per_second: None,
            pair: None,
            automatic: true,
            register_templates: true,
            reviews: true,
            edits_per_day: 1,
            webhooks_in_flight: 16,
        }
    }
}

impl Config {
    /// Where webhooks go, of each dialect.
    pub(super) fn all_targets(&self) -> BTreeMap<Dialect, Target> {
        let mut targets = self.targets.clone();
        targets.entry(Dialect::Meta).or_insert_with(|| Target {
            url: self.webhook_url.clone(),
            auth: Auth {
                signature: Some(Signature::of(&self.app_secret)),
                ..Auth::default()
            },
            ..Target::default()
        });
        targets
    }

    /// Whether a caller with this key may send.
    pub(super) fn knows(&self, key: Option<&str>) -> bool {
        let is_channel = key.is_some_and(|key| self.channels.contains_key(key));
        match &self.access_token {
            Some(token) => is_channel || key == Some(token),
            None => is_channel || self.channels.is_empty(),
        }
    }
}

/// How often things go wrong, each a share of all chances: 0.0 never, 1.0 always. The codes are
/// Meta's; other dialects have their own for the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The user was in the chat: `read` is posted and `delivered` never.
    pub read_without_delivered: f64,
    /// A status is posted twice; a whole webhook is posted again after its 200.
    pub duplicate: f64,
    /// An earlier status is posted after the one that follows it.
    pub disorder: f64,
    /// Refused with HTTP 500 code 131000 or HTTP 503 code 2.
    pub refuse_transient: f64,
    /// Refused with HTTP 429 code 130429.
    pub rate_limited: f64,
    /// Accepted, then `failed` with 131026.
    pub fail_permanent: f64,
    /// Accepted, but the connection is closed before the answer is written.
    pub lost_answer: f64,
    /// The first webhook about a message is through before its POST is answered.
    pub answer_late: f64,
    /// A template message is answered `held_for_quality_assessment`.
    pub held: f64,
    /// Held messages are dropped in the end: the template is paused, each of them fails.
    pub held_dropped: f64,
    /// The user has read receipts off.
    pub no_read: f64,
    /// `failed` comes without `biz_opaque_callback_data`.
    pub drop_callback_on_failed: f64,
    /// A template message is accepted, then `failed` with 131049: the user has had enough
    /// marketing.
    pub enough_marketing: f64,
}

impl Faults {
    /// Sets one rate by its name; the error names those there are.
    pub fn set(&mut self, name: &str, rate: f64) -> Result<(), String> {
        let mut rates = self.rates()?;
        if !rates.contains_key(name) {
            let known: Vec<&str> = rates.keys().map(String::as_str).collect();
            return Err(format!(
                "no fault named `{name}`; there are: {}",
                known.join(", ")
            ));
        }
        rates.insert(name.to_owned(), rate.into());
        let faults: Self = serde_json::from_value(rates.into()).map_err(|e| e.to_string())?;
        faults.check()?;
        *self = faults;
        Ok(())
    }

    /// Every rate must lie between 0 and 1.
    pub fn check(&self) -> Result<(), String> {
        match self
            .rates()?
            .iter()
            .find(|(_, rate)| !rate.as_f64().is_some_and(|r| (0.0..=1.0).contains(&r)))
        {
            Some((name, rate)) => Err(format!("{name} must be between 0 and 1, not {rate}")),
            None => Ok(()),
        }
    }

    fn rates(&self) -> Result<serde_json::Map<String, serde_json::Value>, String> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(rates)) => Ok(rates),
            Ok(_) => Err("rates are an object".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// How long things take. Milliseconds throughout.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delays {
    /// Before a POST is answered.
    pub answer_ms: Range,
    /// From acceptance to `sent` (or `failed`).
    pub sent_ms: Range,
    /// From `sent` to `delivered`.
    pub delivered_ms: Range,
    /// From `delivered` to `read`.
    pub read_ms: Range,
    /// How long a template's messages are held before they are released or dropped.
    pub held_ms: u64,
    /// How long a template stays paused after its held messages were dropped; 0: until the
    /// control API ends it.
    pub template_pause_ms: u64,
    /// How long a template that was submitted or edited is in review.
    pub template_review_ms: u64,
    /// Before the first retry of a webhook of Meta's; doubles from there.
    pub retry_first_ms: u64,
    /// The longest wait between two retries of a webhook of Meta's.
    pub retry_max_ms: u64,
    /// What the waits of 360dialog and Infobip are multiplied by: theirs are minutes and hours.
    pub retry_scale: f64,
    /// How long 360dialog waits for the answer to a webhook.
    pub dialog360_patience_ms: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            answer_ms: Range { min: 0, max: 0 },
            sent_ms: Range { min: 5, max: 40 },
            delivered_ms: Range { min: 10, max: 120 },
            read_ms: Range { min: 50, max: 500 },
            held_ms: 1_500,
            template_pause_ms: 2_000,
            template_review_ms: 1_000,
            retry_first_ms: 50,
            retry_max_ms: 5_000,
            retry_scale: 0.001,
            dialog360_patience_ms: 5_000,
        }
    }
}

/// A delay drawn evenly from `min..=max` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl Range {
    /// One delay.
    pub(super) fn draw(self, rng: &mut impl Rng) -> Duration {
        Duration::from_millis(rng.random_range(self.min..=self.max.max(self.min)))
    }
}

/// How updates are gathered into bodies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Batches {
    /// A body holds 1 to this many updates, evenly drawn; Meta's own limit is 1000.
    pub max: usize,
    /// Updates due this much later join a body that is posted now.
    pub window_ms: u64,
}

impl Default for Batches {
    fn default() -> Self {
        Self {
            max: 20,
            window_ms: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_set_by_name_and_an_unknown_one_names_those_there_are() {
        let mut faults = Faults::default();
        faults.set("duplicate", 0.25).unwrap();
        assert_eq!(faults.duplicate, 0.25);
        let error = faults.set("dupe", 0.1).unwrap_err();
        assert!(
            error.contains("`dupe`") && error.contains("lost_answer"),
            "{error}"
        );
        assert!(faults.set("held", 1.5).is_err());
        assert_eq!(faults.held, 0.0);
    }
}
