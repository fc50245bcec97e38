//! What a provider shows of a template or a number when it is asked: not what happened, but what
//! is. `provider/*/manage.rs` make these; `store/*_readings.rs` join them to what webhooks said,
//! dated to when it was asked, and tell what differs.

use serde_json::Value;

use super::fact::{About, Topic, Word};
use super::ids::SenderId;

/// A template as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateReading {
    /// Meta's numeric id, as text, where the provider shows it.
    pub provider_template_id: Option<String>,
    /// Unique on its account together with the language.
    pub name: String,
    /// Normalised: `en_US`.
    pub language: String,
    /// `APPROVED`, `PAUSED` …, in upper case.
    pub status: String,
    /// Why it was rejected.
    pub reason: Option<String>,
    /// Of a pause, where the provider has a word for each.
    pub pause_title: Option<String>,
    /// `MARKETING`, `UTILITY`, `AUTHENTICATION`.
    pub category: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, `UNKNOWN`.
    pub quality: Option<String>,
}

/// A number as it is now. What a provider does not show of it is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberReading {
    /// As users see it.
    pub display_phone_number: Option<String>,
    /// Meta's id of its account.
    pub waba_id: Option<String>,
    /// `GREEN`, `YELLOW`, `RED`, …
    pub quality: Option<String>,
    /// `TIER_2K`, …
    pub limit: Option<String>,
    /// `STANDARD`, `HIGH`, …
    pub throughput: Option<String>,
    /// The name that users see.
    pub name: Option<String>,
    /// What became of that name's review.
    pub name_status: Option<String>,
    /// `CONNECTED`, `BANNED`, …
    pub state: Option<String>,
    /// Whether the provider sends for it: [`AVAILABLE`], `LIMITED`, [`BLOCKED`].
    pub health: Option<String>,
    /// The same of the account that it belongs to.
    pub account_health: Option<String>,
    /// Why, as the provider says it.
    pub errors: Vec<Value>,
}

/// Nothing is held against it.
pub const AVAILABLE: &str = "AVAILABLE";
/// Nothing may be sent.
pub const BLOCKED: &str = "BLOCKED";

/// The states of a number for which nothing can be sent. Others, such as `RESTRICTED` (the limit of
/// the day is reached) or `FLAGGED`, let some messages go: those that may not are refused, each by
/// itself.
const STOPS: [&str; 3] = ["BANNED", "DELETED", "MIGRATED"];

impl NumberReading {
    /// What it says, a word a topic.
    pub fn words(&self, sender: SenderId) -> Vec<Word> {
        let all = [
            (Topic::Quality, &self.quality),
            (Topic::Limit, &self.limit),
            (Topic::Throughput, &self.throughput),
            (Topic::Name, &self.name),
            (Topic::NameStatus, &self.name_status),
            (Topic::State, &self.state),
            (Topic::Health, &self.health),
        ];
        let said = all
            .into_iter()
            .filter_map(|(topic, word)| Some((topic, word.clone()?)));
        said.map(|(topic, word)| Word {
            about: About::Sender(sender),
            topic,
            stops: match topic {
                Topic::State => STOPS.contains(&word.as_str()),
                Topic::Health => word == BLOCKED,
                _ => false,
            },
            word,
            until: None,
        })
        .collect()
    }

    /// Whether it shows that a stop of its account has been lifted, of those that do not end by
    /// themselves. A ban and a restriction leave no account wholly available; a ban that is only
    /// announced does.
    pub fn lifts(&self, topic: Topic, word: &str) -> bool {
        let shows = match topic {
            Topic::Ban => word == "DISABLE",
            Topic::Restriction => true,
            _ => false,
        };
        shows && self.account_health.as_deref() == Some(AVAILABLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lets_nothing_go_stops_a_sender() {
        let stops = |state: &str, health: &str| {
            let reading = NumberReading {
                state: Some(state.into()),
                health: Some(health.into()),
                quality: Some("RED".into()),
                ..NumberReading::default()
            };
            let words = reading.words(SenderId(7));
            words.iter().any(|word| word.stops)
        };
        assert!(!stops("CONNECTED", "AVAILABLE"));
        assert!(!stops("RESTRICTED", "LIMITED"));
        assert!(!stops("FLAGGED", "AVAILABLE"));
        assert!(!stops("A_NEW_WORD", "ANOTHER"));
        assert!(stops("BANNED", "AVAILABLE"));
        assert!(stops("CONNECTED", "BLOCKED"));
    }

    #[test]
    fn an_account_that_is_wholly_available_is_neither_banned_nor_restricted() {
        let with = |health: Option<&str>| NumberReading {
            account_health: health.map(str::to_owned),
            ..NumberReading::default()
        };
        let available = with(Some(AVAILABLE));
        assert!(available.lifts(Topic::Ban, "DISABLE"));
        assert!(!available.lifts(Topic::Ban, "SCHEDULE_FOR_DISABLE"));
        assert!(available.lifts(Topic::Restriction, "MUTE"));
        assert!(!available.lifts(Topic::Partner, "PARTNER_REMOVED"));
        assert!(!with(Some("LIMITED")).lifts(Topic::Restriction, "MUTE"));
        assert!(!with(None).lifts(Topic::Ban, "DISABLE"));
    }
}
