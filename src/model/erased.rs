//! People whose data was erased, and how it is taken out of what is kept or comes late. A fact
//! names a person when one of its texts is one of the person's names. What is about a message
//! stays, without the person; of anything else only that it was stays. Where a name is a word of a
//! longer text, such as a provider's "… is not delivered to 447700900123", the word is taken out.
//!
//! What comes after the erasure and is of after it is new, and is left alone.

use std::collections::{HashMap, HashSet};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::Timestamp;
use super::fact::{Decoded, Fact, Said, StatusFact, UserRef, UserSaid};
use super::ids::{AttemptId, made_at};

/// What stands where a name stood. No recipient is called so.
pub const ERASED: &str = "erased";

/// Who was erased, by each of their names, and when.
#[derive(Clone, PartialEq, Eq)]
pub struct Erased {
    at: HashMap<String, Timestamp>,
    /// Messages of before that were made since, when a campaign's turn came to them.
    late: HashSet<Uuid>,
    secret: [u8; 32],
}

impl std::fmt::Debug for Erased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Erased({} names)", self.at.len())
    }
}

impl Erased {
    /// Nobody. The secret is what keeps members of groups from being guessed by their keys.
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            at: HashMap::new(),
            late: HashSet::new(),
            secret,
        }
    }

    /// The same secret, and nobody.
    pub fn emptied(&self) -> Self {
        Self::new(self.secret)
    }

    /// Somebody of this name was erased at this time.
    pub fn insert(&mut self, name: String, at: Timestamp) {
        let known = self.at.entry(name).or_insert(at);
        *known = at.max(*known);
    }

    /// A message that was made later is one of before.
    pub fn insert_late(&mut self, message: Uuid) {
        self.late.insert(message);
    }

    /// Whether nobody was.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    fn at(&self, name: &str) -> Option<Timestamp> {
        self.at.get(name.trim_start_matches('+')).copied()
    }

    /// The key of a fact about a member of a group, without the member: the same for the same, and
    /// for nobody without the secret a way to search through all numbers.
    pub fn key(&self, of: &str) -> String {
        if of.is_empty() || of.starts_with(ERASED) {
            return of.to_owned();
        }
        let mac = Hmac::<Sha256>::new_from_slice(&self.secret);
        let Ok(mut mac) = mac else {
            // HMAC takes a key of any length.
            return ERASED.to_owned();
        };
        mac.update(of.as_bytes());
        let digest = mac.finalize().into_bytes();
        let hex: String = digest.iter().take(16).map(|b| format!("{b:02x}")).collect();
        format!("{ERASED} {hex}")
    }

    /// Takes the people who were erased out of what is said of before.
    pub fn strip(&self, decoded: &mut Decoded) {
        if self.is_empty() {
            return;
        }
        for fact in &mut decoded.facts {
            match &mut fact.said {
                Said::Status(status) => {
                    if self.is_of_before(status) {
                        forget_status(status);
                        let known = |name: &str| self.at(name).is_some();
                        fact.data = stripped(&fact.data, |data| take_out(data, &known));
                        fact.key = self.key(&fact.key);
                    }
                }
                _ => self.strip_other(fact),
            }
        }
    }

    fn is_of_before(&self, status: &StatusFact) -> bool {
        let names = [
            &status.recipient,
            &status.user_id,
            &status.parent_user_id,
            &status.participant,
        ];
        let erased = names.into_iter().flatten().filter_map(|name| self.at(name));
        let erased = erased.max();
        erased.is_some_and(|erased| self.is_of_before_that(status, erased))
    }

    fn is_of_before_that(&self, status: &StatusFact, erased: Timestamp) -> bool {
        // A message without an id of ours may be of before.
        let ours = status
            .callback
            .as_deref()
            .and_then(AttemptId::from_callback);
        let Some(message) = ours.map(|ours| ours.message.uuid) else {
            return true;
        };
        self.late.contains(&message) || made_at(message).is_none_or(|made| made < erased)
    }

    /// Whether an item, as it came, names somebody who was erased since it was said, or since the
    /// message was made that it is said of. `fact` may be stripped already.
    pub fn hides(&self, fact: &Fact, item: &Value) -> bool {
        let of_before = |erased: Timestamp| match &fact.said {
            Said::Status(status) => self.is_of_before_that(status, erased),
            _ => fact.at.is_none_or(|at| at < erased),
        };
        !self.is_empty() && mentions(item, &|text| self.at(text).is_some_and(of_before))
    }

    fn strip_other(&self, fact: &mut Fact) {
        let Ok(data) = serde_json::from_str::<Value>(&fact.data) else {
            return;
        };
        // What bears no time may be of before.
        let of_before = |erased: Timestamp| fact.at.is_none_or(|at| at < erased);
        let is_theirs = |text: &str| self.at(text).is_some_and(of_before);
        if !names(&data, &is_theirs) {
            let mut without = data.clone();
            take_out(&mut without, &is_theirs);
            if without != data {
                fact.data = without.to_string();
            }
            return;
        }
        fact.data = blank(&data).to_string();
        match &mut fact.said {
            Said::Inbound(inbound) => {
                (inbound.from, inbound.from_user_id) = (None, None);
                inbound.aliases.clear();
            }
            Said::User(user) => {
                user.user = UserRef::default();
                if let UserSaid::NewIds { renamed } = &mut user.said {
                    renamed.clear();
                }
            }
            _ => {}
        }
    }
}

fn forget_status(status: &mut StatusFact) {
    status.recipient = None;
    status.user_id = None;
    status.parent_user_id = None;
    status.participant = None;
}

fn stripped(data: &str, take: impl FnOnce(&mut Value)) -> String {
    match serde_json::from_str(data) {
        Ok(mut data) => {
            take(&mut data);
            Value::to_string(&data)
        }
        // It is ours, and JSON.
        Err(_) => "{}".to_owned(),
    }
}

/// Whether one of the texts in `data` is a person's.
pub fn names(data: &Value, is_theirs: &impl Fn(&str) -> bool) -> bool {
    match data {
        Value::String(text) => is_theirs(text.trim_start_matches('+')),
        Value::Array(items) => items.iter().any(|item| names(item, is_theirs)),
        Value::Object(members) => members
            .iter()
            .any(|(name, item)| is_theirs(name) || names(item, is_theirs)),
        _ => false,
    }
}

/// The same, also of a word within a text.
fn mentions(data: &Value, is_theirs: &impl Fn(&str) -> bool) -> bool {
    match data {
        Value::String(text) => without(text, is_theirs).is_some(),
        Value::Array(items) => items.iter().any(|item| mentions(item, is_theirs)),
        Value::Object(members) => members
            .iter()
            .any(|(name, item)| is_theirs(name) || mentions(item, is_theirs)),
        Value::Number(number) => is_theirs(&number.to_string()),
        _ => false,
    }
}

/// Whether a person was taken out of what is kept of a fact.
pub fn is_stripped(data: &Value) -> bool {
    let is_erased = |(name, item): (&String, &Value)| match item {
        Value::Bool(true) => name == ERASED,
        Value::String(text) => text == ERASED && is_whose(name),
        _ => false,
    };
    data.as_object()
        .is_some_and(|data| data.iter().any(is_erased))
}

/// Takes a person out of what is said of a message of theirs.
pub fn take_out(data: &mut Value, is_theirs: &impl Fn(&str) -> bool) {
    match data {
        Value::String(text) => {
            if let Some(left) = without(text, is_theirs) {
                *text = left;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| take_out(item, is_theirs)),
        Value::Object(members) => {
            for (name, item) in members.iter_mut() {
                match item {
                    Value::String(text) if is_whose(name) => ERASED.clone_into(text),
                    _ => take_out(item, is_theirs),
                }
            }
        }
        _ => {}
    }
}

/// A text without a person, where one of its words is a name of theirs. A number that is written
/// with spaces or dashes is no word.
pub fn without(text: &str, is_theirs: &impl Fn(&str) -> bool) -> Option<String> {
    if is_theirs(text.trim_start_matches('+')) {
        return Some(ERASED.to_owned());
    }
    let is_of_word = |c: char| c.is_alphanumeric() || c == '.';
    let (mut left, mut rest, mut found) = (String::new(), text, false);
    while let Some(begin) = rest.find(is_of_word) {
        let (before, from) = rest.split_at(begin);
        let end = from.find(|c| !is_of_word(c)).unwrap_or(from.len());
        let (word, behind) = from.split_at(end);
        let name = word.trim_matches('.');
        match is_theirs(name) {
            true => {
                found = true;
                left.push_str(before.strip_suffix('+').unwrap_or(before));
                left.push_str(&word.replacen(name, ERASED, 1));
            }
            false => left.extend([before, word]),
        }
        rest = behind;
    }
    left.push_str(rest);
    found.then_some(left)
}

/// Whether a member of that name says whom a message went to.
fn is_whose(name: &str) -> bool {
    name.starts_with("recipient") || name.starts_with("participant")
}

/// What is left of a fact that is about no message of ours: that it was.
pub fn blank(data: &Value) -> Value {
    let mut left = Map::new();
    for name in ["provider_message_id", "type", "field"] {
        if let Some(Value::String(text)) = data.get(name) {
            left.insert(name.to_owned(), json!(text));
        }
    }
    left.insert(ERASED.to_owned(), json!(true));
    Value::Object(left)
}

/// Takes a person, and what was said to them, out of an answer that is kept.
pub fn take_out_of_answer(answer: &mut Value, is_theirs: &impl Fn(&str) -> bool) {
    match answer {
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str);
            if let Some(kind) = kind.map(str::to_owned)
                && let Some(said) = members.get_mut(&kind)
            {
                *said = json!({});
            }
            if let Some(variables) = members.get_mut("variables") {
                *variables = json!({});
            }
            let items = members.values_mut();
            items.for_each(|item| take_out_of_answer(item, is_theirs));
        }
        Value::Array(items) => {
            let items = items.iter_mut();
            items.for_each(|item| take_out_of_answer(item, is_theirs));
        }
        Value::String(text) => {
            if let Some(left) = without(text, is_theirs) {
                *text = left;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use std::sync::Arc;

    use super::*;
    use crate::model::fact::{NumberRef, Status};
    use crate::model::ids::{MessageId, SenderId, first_at};

    fn second(n: i64) -> Timestamp {
        Timestamp::from_unix_timestamp(n).unwrap()
    }

    fn status(made: Option<i64>) -> Fact {
        let message = |at| MessageId {
            sender: SenderId(1),
            uuid: Uuid::from_u128(first_at(second(at)).as_u128() | (7 << 76)),
        };
        let callback = made.map(|at| {
            AttemptId {
                message: message(at),
                n: 1,
            }
            .to_callback()
        });
        Fact {
            item: String::new(),
            key: String::new(),
            at: Some(second(2_000)),
            said: Said::Status(StatusFact {
                number: Arc::new(NumberRef::unnamed()),
                provider_message_id: "wamid.1".into(),
                status: Status::Delivered,
                recipient: Some("447700900123".into()),
                user_id: Some("GB.7".into()),
                parent_user_id: None,
                participant: None,
                callback,
                error: None,
            }),
            data: json!({"provider_message_id": "wamid.1", "recipient": "447700900123",
                "recipient_user_id": "GB.7"})
            .to_string(),
        }
    }

    #[test]
    fn a_late_status_of_a_message_of_before_names_nobody_and_one_of_after_does() {
        let mut erased = Erased::new([7; 32]);
        erased.insert("GB.7".into(), second(1_000));
        for (made, stays) in [(Some(999), false), (Some(1_001), true), (None, false)] {
            let facts = vec![status(made)];
            let mut decoded = Decoded {
                facts,
                ..Decoded::default()
            };
            erased.strip(&mut decoded);
            let data = &decoded.facts[0].data;
            assert_eq!(data.contains("447700900123"), stays, "{made:?}: {data}");
            assert_eq!(data.contains("GB.7"), stays, "{made:?}: {data}");
            assert!(data.contains("wamid.1"));
        }
    }

    #[test]
    fn a_message_that_a_campaign_made_since_is_of_before_where_it_is_said_to_be() {
        let mut erased = Erased::new([7; 32]);
        erased.insert("GB.7".into(), second(1_000));
        let fact = status(Some(1_001));
        let Said::Status(said) = &fact.said else {
            unreachable!()
        };
        let made = said.callback.as_deref().and_then(AttemptId::from_callback);
        erased.insert_late(made.unwrap().message.uuid);
        let mut decoded = Decoded {
            facts: vec![fact],
            ..Decoded::default()
        };
        erased.strip(&mut decoded);
        assert!(!decoded.facts[0].data.contains("447700900123"));
    }

    #[test]
    fn a_name_is_taken_out_of_the_middle_of_a_text_and_longer_words_stay() {
        let is_theirs = |word: &str| ["447700900123", "GB.7"].contains(&word);
        let cases = [
            ("447700900123", Some("erased")),
            ("+447700900123", Some("erased")),
            ("no route to +447700900123.", Some("no route to erased.")),
            ("tel:447700900123, (GB.7)", Some("tel:erased, (erased)")),
            ("447700900123@s.whatsapp.net", Some("erased@s.whatsapp.net")),
            ("1447700900123 and GB.71", None),
            ("wamid.HBgM447700900123FQIA", None),
            ("… ünïcode …", None),
        ];
        for (text, left) in cases {
            assert_eq!(without(text, &is_theirs).as_deref(), left, "{text}");
        }
    }

    #[test]
    fn a_members_key_is_the_same_for_the_same_and_another_with_another_secret() {
        let [one, other] = [[1; 32], [2; 32]].map(Erased::new);
        let key = one.key("447700900123");
        assert_eq!(key, one.key("447700900123"));
        assert_ne!(key, one.key("447700900124"));
        assert_ne!(key, other.key("447700900123"));
        assert_eq!(key, one.key(&key));
        assert_eq!(one.key(""), "");
    }
}
