//! What a message says, and when the next may go: the parts of a request that lone messages and
//! the messages of sequences have in common.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::problem::FieldError;
use crate::model::duration;
use crate::model::sequence::{Gate, GateStatus, OnDeadline};

/// A span of time in JSON, such as `24h`.
#[derive(Debug, Clone, Copy)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        duration::parse(&text)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A gate; what is left out comes from the sequence's gate, or from the default.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGate)]
pub struct GateRequest {
    /// This status or a higher one lets the next message go: `delivered`.
    status: Option<GateStatus>,
    /// Counted from acceptance; stands still while held or paused: `24h`.
    deadline: Option<Span>,
    /// What then: `stop`.
    on_deadline: Option<OnDeadline>,
}

/// The gate of a sequence that names none.
pub const DEFAULT_GATE: Gate = Gate {
    status: GateStatus::Delivered,
    deadline: Duration::from_secs(24 * 3600),
    on_deadline: OnDeadline::Stop,
};

/// The gate of a lone message: nobody waits for it, so being taken is enough. Meta tries to
/// deliver for 30 days.
pub const SINGLE_GATE: Gate = Gate {
    status: GateStatus::Accepted,
    deadline: Duration::from_secs(30 * 86_400),
    on_deadline: OnDeadline::Stop,
};

impl GateRequest {
    /// The gate, with what was left out.
    pub fn over(self, base: Gate) -> Gate {
        Gate {
            status: self.status.unwrap_or(base.status),
            deadline: self.deadline.map_or(base.deadline, |span| span.0),
            on_deadline: self.on_deadline.unwrap_or(base.on_deadline),
        }
    }
}

/// A gate that can open where a message to a group stops: Meta tells of every member by itself
/// who received it, never of the group as a whole.
pub fn check_group_gate(gate: Gate, field: &str, errors: &mut Vec<FieldError>) {
    if !matches!(gate.status, GateStatus::Accepted | GateStatus::Sent) {
        let message = "expected `accepted` or `sent`: a group is never delivered to as a whole";
        errors.push(FieldError::new(format!("{field}gate.status"), message));
    }
}

/// What is said, in the provider's words.
#[derive(Debug, Clone)]
pub struct Content {
    /// `template`, `text`, `image` …
    pub kind: String,
    /// The object under the type.
    pub value: Value,
    /// A template's name and language, the latter as Meta's webhooks are normalised.
    pub template: Option<(String, String)>,
}

/// Reads the object under `type` out of `rest`, the fields of the message that are not ours.
/// `at` is where the message stands, with a dot at its end.
pub fn read_content(
    at: &str,
    kind: &str,
    mut rest: Map<String, Value>,
    errors: &mut Vec<FieldError>,
) -> Option<Content> {
    let before = errors.len();
    let mut wrong = |field: &str, message: &str| {
        errors.push(FieldError::new(format!("{at}{field}"), message));
    };
    let value = rest.remove(kind);
    for name in rest.keys() {
        wrong(name, not_a_field(name));
    }
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if kind == "raw" {
        wrong("type", "`raw` is not supported yet");
    } else if kind.is_empty() || kind.len() > 32 || !kind.bytes().all(is_word) {
        wrong(
            "type",
            "expected a type of the provider's, such as `template` or `text`",
        );
    }
    match &value {
        Some(Value::Object(_)) => {}
        // The one type whose content is a list.
        Some(Value::Array(_)) if kind == "contacts" => {}
        Some(_) => wrong(kind, "expected an object"),
        None => wrong(kind, "missing: the object under the message's type"),
    }
    let value = value?;
    let template = (kind == "template")
        .then(|| read_template(&value, &mut wrong))
        .flatten();
    (errors.len() == before).then(|| Content {
        kind: kind.to_owned(),
        value,
        template,
    })
}

fn not_a_field(name: &str) -> &'static str {
    match name {
        "biz_opaque_callback_data" => {
            "it carries the attempt's own id, so that a lost answer can be settled: give \
             `reference` instead, which the message bears wherever it is shown"
        }
        "raw" | "campaign" => "not supported yet",
        "stop_on_reply" => "only a sequence can be stopped by a reply",
        _ => "unknown field: only the object named like `type` is the provider's",
    }
}

fn read_template(value: &Value, wrong: &mut impl FnMut(&str, &str)) -> Option<(String, String)> {
    let text = |pointer| {
        let text = value.pointer(pointer).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && text.len() <= 512)
    };
    let (name, language) = (text("/name"), text("/language/code"));
    if name.is_none() {
        wrong("template.name", "expected the template's name");
    }
    if language.is_none() {
        let message = "expected a language such as `en_US`";
        wrong("template.language.code", message);
    }
    // Meta takes both spellings; its webhooks use both. A lane must have one.
    Some((name?.to_owned(), language?.replace('-', "_")))
}

/// A caller's own name for something.
pub fn check_reference(at: &str, reference: Option<&str>, errors: &mut Vec<FieldError>) {
    const LONGEST: usize = 256;
    if reference.is_some_and(|text| text.is_empty() || text.len() > LONGEST) {
        let message = "expected 1 to 256 bytes";
        errors.push(FieldError::new(format!("{at}reference"), message));
    }
}
