//! A template as the provider knows it: its status, its quality, what it holds, and the events
//! that tell of a change. Every change is made here first and returned as the webhook that says
//! so.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::dialect::Dialect;
use super::fate::Step;
use super::message::{Message, number_of};
use super::trouble::Trouble;
use super::update::{Change, News, Update};

/// Ids lie between 2^50 and 2^51, as the longest of Meta's examples: more than some JSON readers
/// keep exactly.
const FIRST_ID: u64 = 1 << 50;

/// A template is a name in a language, with each provider another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub dialect: Dialect,
    pub name: String,
    pub language: String,
}

impl Key {
    pub fn new(dialect: Dialect, name: &str, language: &str) -> Self {
        Self {
            dialect,
            name: name.to_owned(),
            language: language.replace('-', "_"),
        }
    }

    /// That there is no such template.
    pub fn unknown(&self) -> Trouble {
        Trouble::TemplateUnknown {
            name: self.name.clone(),
            language: self.language.clone(),
        }
    }
}

/// A message that waits for the judgement on its template.
#[derive(Debug)]
pub struct Held {
    pub message: Arc<Message>,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Template {
    pub id: u64,
    pub key: Key,
    pub status: String,
    pub category: String,
    pub quality: String,
    /// When it had this quality first, in seconds since 1970.
    scored_at: i64,
    /// Counts the pauses, so that the planned end of one does not end another.
    pub pause: u64,
    /// What the last pause was called.
    pub pause_title: String,
    pub held: Vec<Held>,
    /// What its caller submitted, as the dialect shows it.
    pub content: Map<String, Value>,
    /// Counts the reviews, so that the planned end of one does not end another.
    pub reviews: u64,
    pub rejected_reason: String,
    /// When it was edited while it was approved, in seconds since 1970.
    pub edits: Vec<i64>,
    /// How often held messages were released or dropped.
    pub settled: u64,
    last_event: i64,
}

impl Template {
    pub fn new(waba_id: &str, key: Key) -> Self {
        let id = number_of(&format!("{waba_id}\n{}\n{}", key.name, key.language));
        Self {
            id: FIRST_ID + id % FIRST_ID,
            key,
            status: "APPROVED".to_owned(),
            category: "MARKETING".to_owned(),
            quality: "GREEN".to_owned(),
            scored_at: 1_762_335_000,
            pause: 0,
            pause_title: String::new(),
            held: Vec::new(),
            content: Map::new(),
            reviews: 0,
            rejected_reason: "NONE".to_owned(),
            edits: Vec::new(),
            settled: 0,
            last_event: 0,
        }
    }

    /// Why a message with this template is refused now.
    pub fn refusal(&self) -> Option<Trouble> {
        match self.status.as_str() {
            "APPROVED" => None,
            "PAUSED" => Some(Trouble::TemplatePaused),
            "DISABLED" => Some(Trouble::TemplateDisabled),
            _ => Some(self.key.unknown()),
        }
    }

    pub fn pause(&mut self, title: &str, now: OffsetDateTime) -> Update {
        self.pause += 1;
        title.clone_into(&mut self.pause_title);
        "PAUSED".clone_into(&mut self.status);
        let until = (now + time::Duration::hours(3))
            .format(format_description!(
                "[month repr:short] [day padding:none] at [hour repr:12 padding:none]:[minute] [period]"
            ))
            .unwrap_or_default();
        let description = format!(
            "Your WhatsApp message template has been paused for 3 hours until {until} UTC \
             because it had issues."
        );
        self.event("PAUSED", title, &description, now)
    }

    pub fn unpause(&mut self, now: OffsetDateTime) -> Update {
        "APPROVED".clone_into(&mut self.status);
        let description = "Your WhatsApp message template has been unpaused.";
        self.event("APPROVED", "UNPAUSE", description, now)
    }

    /// The end of a review.
    pub fn reviewed(&mut self, event: &'static str, now: OffsetDateTime) -> Update {
        self.event(event, "", "", now)
    }

    /// Event times have seconds only, and of two events in one second a receiver must take the
    /// worse: so no two events of a template bear the same second.
    fn event(
        &mut self,
        event: &'static str,
        title: &str,
        description: &str,
        now: OffsetDateTime,
    ) -> Update {
        self.last_event = now.unix_timestamp().max(self.last_event + 1);
        let change = Change::Status {
            event,
            reason: self.rejected_reason.clone(),
            title: title.to_owned(),
            description: description.to_owned(),
        };
        self.news(self.last_event, change)
    }

    /// A new quality score.
    pub fn score(&mut self, quality: &str, now: OffsetDateTime) -> Update {
        self.scored_at = now.unix_timestamp();
        let new = quality.to_owned();
        let previous = std::mem::replace(&mut self.quality, new.clone());
        self.news(now.unix_timestamp(), Change::Quality { previous, new })
    }

    fn news(&self, time: i64, change: Change) -> Update {
        Update::Template(News {
            time,
            template_id: self.id,
            key: self.key.clone(),
            category: self.category.clone(),
            change,
        })
    }

    /// As the Graph API answers it: here the id is a string.
    pub fn to_json(&self) -> Value {
        let mut shown = json!({
            "id": self.id.to_string(),
            "name": self.key.name,
            "language": self.key.language,
            "status": self.status,
            "category": self.category,
            "quality_score": {"score": self.quality, "date": self.scored_at},
        });
        for (name, value) in &self.content {
            shown[name.as_str()] = value.clone();
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(update: &Update) -> i64 {
        match update {
            Update::Template(news) => news.time,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pause_and_its_end_never_share_a_second() {
        let mut template = Template::new("1", Key::new(Dialect::Meta, "offer", "en-US"));
        assert!((FIRST_ID..2 * FIRST_ID).contains(&template.id));
        let now = OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000);
        let pause = template.pause("FIRST_PAUSE", now);
        assert_eq!(template.refusal(), Some(Trouble::TemplatePaused));
        let unpause = template.unpause(now);
        assert!(time(&unpause) > time(&pause));
        assert!(template.refusal().is_none());
    }
}
