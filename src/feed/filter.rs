//! Which events somebody wants.

use crate::model::event::{KNOWN, OPEN};
use crate::model::ids::{ConnectionId, SenderId};
use crate::store::subscriptions::Subscription;

/// What a stream or a subscription is narrowed to; an empty list narrows nothing.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these.
    pub types: Vec<TypePattern>,
    /// Of any of these.
    pub senders: Vec<SenderId>,
    /// Of any of these.
    pub connections: Vec<ConnectionId>,
}

/// A type of event, or with `*` at its end how it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypePattern(String);

/// Letters that may be wrong in what was meant.
const WRONG: usize = 3;
/// The same of a first word, with the dot behind it.
const WRONG_FIRST: usize = 2;

/// A text that nobody can want.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidType {
    /// Neither a type nor the beginning of one.
    #[error("expected a type such as `message.delivered`, or its beginning such as `message.*`")]
    Shape,
    /// No event is of such a type.
    #[error("no event is of this type: did you mean `{0}`?")]
    Misspelt(String),
    /// Others that begin so are.
    #[error("no event is of this type: of `{begins}.` there are {of_first}")]
    Other {
        /// Its first word.
        begins: String,
        /// All types that begin with it.
        of_first: String,
    },
    /// And none of one like it.
    #[error("no event is of this type: types begin with {0}")]
    Unknown(String),
}

impl TypePattern {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, InvalidType> {
        let word = text.strip_suffix('*').unwrap_or(text);
        let plain = word.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
        match plain && !text.is_empty() && text.len() <= 128 {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidType::Shape),
        }
    }

    /// Reads one that somebody wants from now on: of a type that there is.
    pub fn wanted(text: &str) -> Result<Self, InvalidType> {
        let pattern = Self::parse(text)?;
        let (word, goes_on) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        let is_open = |open: &&str| word.starts_with(*open) || goes_on && open.starts_with(word);
        let is_known = |known: &&str| *known == word || goes_on && known.starts_with(word);
        if OPEN.iter().any(is_open) || KNOWN.iter().any(is_known) {
            return Ok(pattern);
        }
        Err(unknown(word, goes_on))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn takes(&self, r#type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => r#type.starts_with(beginning),
            None => r#type == self.0,
        }
    }
}

impl Filter {
    /// What a subscription is narrowed to.
    pub fn of(subscription: &Subscription) -> Self {
        let wanted = &subscription.wanted;
        let types = wanted.types.iter().map(|text| TypePattern::parse(text));
        Self {
            types: types.filter_map(Result::ok).collect(),
            senders: wanted.senders.clone(),
            connections: wanted.connections.clone(),
        }
    }

    /// Whether an event passes.
    pub fn takes(
        &self,
        r#type: &str,
        sender: Option<SenderId>,
        connection: Option<ConnectionId>,
    ) -> bool {
        let of_type = self.types.is_empty() || self.types.iter().any(|t| t.takes(r#type));
        let of_sender =
            self.senders.is_empty() || sender.is_some_and(|sender| self.senders.contains(&sender));
        let of_connection = self.connections.is_empty()
            || connection.is_some_and(|connection| self.connections.contains(&connection));
        of_type && of_sender && of_connection
    }
}

fn unknown(word: &str, goes_on: bool) -> InvalidType {
    let all = || KNOWN.iter().chain(&OPEN);
    let first = |text: &&str| text.split('.').next().unwrap_or_default().to_owned();
    let mut firsts: Vec<_> = all().map(first).collect();
    firsts.sort_unstable();
    firsts.dedup();
    let distance = |known: &String| strsim::damerau_levenshtein(known, word);
    let near = |known: Vec<String>, wrong| {
        let nearest = known.into_iter().min_by_key(distance)?;
        (distance(&nearest) <= wrong).then_some(nearest)
    };
    // What a beginning is meant to be is a beginning.
    let meant = match goes_on {
        true => near(
            firsts.iter().map(|first| format!("{first}.")).collect(),
            WRONG_FIRST,
        )
        .map(|beginning| format!("{beginning}*")),
        false => None,
    };
    let words = || {
        near(
            KNOWN.iter().map(|known| (*known).to_owned()).collect(),
            WRONG,
        )
    };
    if let Some(meant) = meant.or_else(words) {
        return InvalidType::Misspelt(meant);
    }
    let begins = first(&word);
    let of_first: Vec<_> = all().filter(|text| first(text) == begins).collect();
    if of_first.is_empty() {
        let firsts = firsts.iter().map(|first| format!("`{first}.`"));
        return InvalidType::Unknown(firsts.collect::<Vec<_>>().join(", "));
    }
    let of_first = of_first.into_iter().map(|text| match text.ends_with('.') {
        true => format!("`{text}…`"),
        false => format!("`{text}`"),
    });
    InvalidType::Other {
        begins,
        of_first: of_first.collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_exact_and_a_star_stands_for_what_follows() {
        let filter = Filter {
            types: ["message.delivered", "sequence.*"]
                .map(|text| TypePattern::parse(text).unwrap())
                .into(),
            senders: vec![SenderId(7)],
            ..Filter::default()
        };
        let takes = |r#type, sender: Option<i32>| filter.takes(r#type, sender.map(SenderId), None);
        assert!(takes("message.delivered", Some(7)));
        assert!(takes("sequence.completed", Some(7)));
        for (r#type, sender) in [
            ("message.delivered", Some(8)),
            ("message.delivered", None),
            ("message.deliveredx", Some(7)),
            ("message.read", Some(7)),
            ("sequence", Some(7)),
        ] {
            assert!(!takes(r#type, sender), "{type} {sender:?}");
        }
        assert!(Filter::default().takes("anything", None, None));
        for wrong in ["", "a*b", "**", "with space", "ü"] {
            assert_eq!(
                TypePattern::parse(wrong),
                Err(InvalidType::Shape),
                "{wrong}"
            );
        }
        assert!(TypePattern::parse("*").is_ok());
    }

    #[test]
    fn a_type_that_no_event_has_is_refused_with_the_nearest() {
        for right in [
            "*",
            "m*",
            "message.*",
            "message.delivered",
            "message.status.*",
            "message.status.warned",
            "inbound.text",
            "inbound*",
            "sequence.cancel*",
            "subscription.events_gone",
        ] {
            assert!(TypePattern::wanted(right).is_ok(), "{right}");
        }
        for (wrong, nearest) in [
            ("message.deliverd", "message.delivered"),
            ("messages.delivered", "message.delivered"),
            ("sequence.complete", "sequence.completed"),
            ("template.statuss", "template.status"),
            ("messages.*", "message.*"),
            ("templates.*", "template.*"),
            ("template.qualty*", "template.quality"),
        ] {
            let said = TypePattern::wanted(wrong);
            assert_eq!(said, Err(InvalidType::Misspelt(nearest.to_owned())));
        }
        let said = TypePattern::wanted("delivery").unwrap_err().to_string();
        assert!(said.contains("`inbound.`, `message.`"), "{said}");
        let said = TypePattern::wanted("template.approved")
            .unwrap_err()
            .to_string();
        assert!(
            said.contains("`template.status`, `template.quality`"),
            "{said}"
        );
        let said = TypePattern::wanted("message.opened")
            .unwrap_err()
            .to_string();
        assert!(said.contains("`message.status.…`"), "{said}");
    }
}
