//! Which events somebody wants.

use crate::model::ids::{ConnectionId, SenderId};

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

/// A text is neither a type nor the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a type such as `message.delivered`, or its beginning such as `message.*`")]
pub struct InvalidType;

impl TypePattern {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, InvalidType> {
        let word = text.strip_suffix('*').unwrap_or(text);
        let plain = word.bytes().all(|b| b.is_ascii_graphic() && b != b'*');
        match plain && !text.is_empty() && text.len() <= 128 {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidType),
        }
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
            assert_eq!(TypePattern::parse(wrong), Err(InvalidType), "{wrong}");
        }
        assert!(TypePattern::parse("*").is_ok());
    }
}
