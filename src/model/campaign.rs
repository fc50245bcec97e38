//! Campaigns: the same sequence for many recipients. What stands as `{{name}}` in a text of its
//! messages is the recipient's own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What recipients bring, by name. All are texts.
pub type Variables = Map<String, Value>;

/// The longest name of a variable, in bytes.
pub const LONGEST_NAME: usize = 64;

/// How a campaign stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CampaignStatus {
    /// Recipients are taken; nothing goes.
    Draft,
    /// It goes, while its recipients are still being made into sequences.
    Activating,
    /// It goes.
    Running,
    /// Stopped by a person, until resumed.
    Paused,
    /// Nothing is left to do.
    Completed,
    /// Ended by a person.
    Cancelled,
}

impl CampaignStatus {
    /// The word in SQL and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Activating => "activating",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word back.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [
            Self::Draft,
            Self::Activating,
            Self::Running,
            Self::Paused,
            Self::Completed,
            Self::Cancelled,
        ];
        all.into_iter().find(|status| status.as_str() == word)
    }
}

/// The longest value of a variable, in bytes: as long as the longest text of WhatsApp's.
pub const LONGEST_VALUE: usize = 4096;
/// The most placeholders in the messages of a campaign: with values of that length, what they become
/// can still be held in memory, many at a time.
pub const MOST_PLACEHOLDERS: usize = 200;

/// How many placeholders the texts of a content have.
pub fn placeholders(content: &Value) -> usize {
    match content {
        Value::String(text) => parts(text).filter_map(Part::variable).count(),
        Value::Array(items) => items.iter().map(placeholders).sum(),
        Value::Object(members) => members.values().map(placeholders).sum(),
        _ => 0,
    }
}

/// Whether variables may be named so.
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// The variables that the texts of a content name.
pub fn variables_of(content: &Value, found: &mut BTreeSet<String>) {
    match content {
        Value::String(text) => found.extend(parts(text).filter_map(Part::variable)),
        Value::Array(items) => items.iter().for_each(|item| variables_of(item, found)),
        Value::Object(members) => members
            .values()
            .for_each(|member| variables_of(member, found)),
        _ => {}
    }
}

/// The content as it is for a recipient. What a variable holds is not looked into again.
pub fn fill(content: &Value, variables: &Variables) -> Value {
    match content {
        Value::String(text) => Value::String(fill_text(text, variables)),
        Value::Array(items) => items.iter().map(|item| fill(item, variables)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), fill(member, variables)))
            .collect(),
        other => other.clone(),
    }
}

/// A text as it is for a recipient.
pub fn fill_text(text: &str, variables: &Variables) -> String {
    let filled = parts(text).map(|part| match part {
        Part::Text(text) => text,
        Part::Variable { name, as_written } => variables
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or(as_written),
    });
    filled.collect()
}

/// A reference as it is for a recipient, cut to what a reference may be long: an index has it.
pub fn fill_reference(text: &str, variables: &Variables) -> String {
    const LONGEST: usize = 256;
    let mut filled = fill_text(text, variables);
    filled.truncate(filled.floor_char_boundary(LONGEST));
    filled
}

/// A piece of a text.
enum Part<'a> {
    Text(&'a str),
    Variable { name: &'a str, as_written: &'a str },
}

impl Part<'_> {
    fn variable(self) -> Option<String> {
        match self {
            Part::Variable { name, .. } => Some(name.to_owned()),
            Part::Text(_) => None,
        }
    }
}

/// The text in pieces, which together are the text.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, as_written)) = variable_at_start(rest) {
            rest = &rest[as_written.len()..];
            return Some(Part::Variable { name, as_written });
        }
        // Braces that name nothing are text.
        let open = rest.char_indices().skip(1).map(|(at, _)| at);
        let end = open.into_iter().find(|at| rest[*at..].starts_with("{{"));
        let (before, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(Part::Text(before))
    })
}

fn variable_at_start(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix("{{")?;
    let (name, _) = inside.split_once("}}")?;
    is_name(name.trim()).then(|| (name.trim(), &text[..name.len() + 4]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_recipients_variables_stand_where_they_are_named_and_nowhere_else() {
        let content = json!({
            "name": "offer", "n": 3,
            "components": [{"parameters": [
                {"type": "text", "text": "{{name}}"},
                {"type": "text", "text": "Dear {{ name }}, {{order.id}}: {{{name}} {{ü}} {{no name}} {{"},
            ]}],
        });
        let mut named = BTreeSet::new();
        variables_of(&content, &mut named);
        assert_eq!(Vec::from_iter(named), ["name", "order.id", "ü"]);

        let Value::Object(variables) = json!({"name": "{{order.id}}", "order.id": "7", "ü": ""})
        else {
            panic!("an object");
        };
        let filled = fill(&content, &variables);
        let texts = &filled["components"][0]["parameters"];
        assert_eq!(texts[0]["text"], "{{order.id}}");
        assert_eq!(
            texts[1]["text"],
            "Dear {{order.id}}, 7: {{{order.id}}  {{no name}} {{"
        );
        assert_eq!(filled["n"], 3);
        assert_eq!(placeholders(&content), 5);
    }

    #[test]
    fn a_reference_is_no_longer_than_an_index_bears() {
        let Value::Object(variables) = json!({"note": "ü".repeat(2_000)}) else {
            panic!("an object");
        };
        let filled = fill_reference("a{{note}}", &variables);
        assert_eq!(filled.len(), 255, "cut between two letters");
        assert_eq!(fill_reference("order", &variables), "order");
    }
}
