//! What a message says, and when the next may go: the parts of a request that lone messages and
//! the messages of sequences have in common.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::object::Object;
use super::problem::FieldError;
use super::wording;
use crate::model::duration;
use crate::model::provider::Provider;
use crate::model::sequence::{Gate, GateStatus, OnDeadline, OnUnknown};
use crate::provider::{self, Outgoing};

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

/// A template that goes out over Meta's Marketing Messages API.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Marketing {
    /// `CLOUD_API_FALLBACK` (Meta's default): as an ordinary message where the account cannot send
    /// it as a marketing message. `STRICT`: not at all then.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_policy: Option<ProductPolicy>,
    /// Whether Meta may use what users do with it; the account's own setting where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_activity_sharing: Option<bool>,
}

/// What becomes of a marketing message that cannot be sent as one.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProductPolicy {
    CloudApiFallback,
    Strict,
}

/// What a request says of what is to be said.
pub struct NewContent {
    /// Its `type`.
    pub kind: String,
    pub marketing: Option<Object<Marketing>>,
    pub on_unknown: Option<OnUnknown>,
    /// The fields of the message that are not ours.
    pub rest: Map<String, Value>,
}

/// What is said, and can be sent.
#[derive(Debug, Clone)]
pub struct Content {
    /// `template`, `text`, `image` …
    pub kind: String,
    /// The object under the type.
    pub value: Value,
    /// As a marketing message, if as one.
    pub marketing: Option<Value>,
    /// A template's name and language, the latter as Meta's webhooks are normalised.
    pub template: Option<(String, String)>,
    pub on_unknown: OnUnknown,
}

/// Which way it goes.
#[derive(Debug, Clone, Copy)]
pub struct Way<'a> {
    pub provider: Provider,
    pub to: &'a str,
}

/// Reads the object under `type` out of the fields of the message that are not ours, and asks
/// whether it can go this way. `at` is where the message stands, with a dot at its end.
pub fn read_content(
    at: &str,
    Way { provider, to }: Way<'_>,
    new: NewContent,
    errors: &mut Vec<FieldError>,
) -> Option<Content> {
    let before = errors.len();
    let kind = new.kind;
    let value = read_object(at, &kind, new.rest, errors);
    let on_unknown = new.on_unknown.unwrap_or(OnUnknown::Hold);
    check_on_unknown(at, provider, on_unknown, errors);
    let value = value?;
    // Texts and words alone: it can always be written.
    let marketing = new.marketing.map(|marketing| json!(marketing.0));
    let message = Outgoing {
        from: "",
        to,
        kind: &kind,
        content: &value,
        marketing: marketing.as_ref(),
        id: "",
    };
    errors.extend(
        provider::check(provider, &message)
            .into_iter()
            .map(|fault| FieldError::of_fault(at, fault)),
    );
    (errors.len() == before).then(|| Content {
        template: provider::template(provider, &kind, &value),
        kind,
        value,
        marketing,
        on_unknown,
    })
}

/// The object under `type`; whatever else stands beside it is refused by name.
fn read_object(
    at: &str,
    kind: &str,
    mut rest: Map<String, Value>,
    errors: &mut Vec<FieldError>,
) -> Option<Value> {
    let mut wrong = |field: &str, message: &str| {
        errors.push(FieldError::new(format!("{at}{field}"), message));
    };
    let known: &[&str] = if at.is_empty() { &OF_MESSAGE } else { &OF_STEP };
    let value = rest.remove(kind);
    let fits = match &value {
        Some(Value::Object(_)) => true,
        // The one type whose content is a list.
        Some(Value::Array(_)) => kind == "contacts",
        _ => false,
    };
    for name in rest.keys() {
        wrong(name, &not_a_field(name, known));
    }
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if kind.is_empty() || kind.len() > 32 || !kind.bytes().all(is_word) {
        let message = "expected a type of message, such as `template` or `text`";
        wrong("type", message);
    }
    match &value {
        _ if fits => {}
        Some(_) => wrong(kind, "expected an object"),
        None => wrong(kind, "missing: the object under the message's type"),
    }
    value.filter(|_| fits)
}

/// Whether what was posted can be posted again unseen.
pub fn check_on_unknown(
    at: &str,
    provider: Provider,
    on_unknown: OnUnknown,
    errors: &mut Vec<FieldError>,
) {
    if on_unknown == OnUnknown::Resend && !provider::correlates(provider) {
        let reason = "this provider gives nothing back that would tell what became of a lost \
                      POST, so that it cannot be sent again by itself";
        errors.push(FieldError::not_supported(format!("{at}on_unknown"), reason));
    }
}

/// What may stand beside what is said, of a lone message and of one of a sequence.
const OF_MESSAGE: [&str; 12] = [
    "sender",
    "recipient_type",
    "type",
    "reference",
    "at",
    "on_unknown",
    "on_failure",
    "on_opt_out",
    "outside_window",
    "on_template_pause",
    "quiet_hours",
    "marketing",
];
const OF_STEP: [&str; 6] = [
    "type",
    "reference",
    "delay",
    "gate",
    "on_unknown",
    "marketing",
];

fn not_a_field(name: &str, known: &[&str]) -> Cow<'static, str> {
    let said = match name {
        "biz_opaque_callback_data" => {
            "it carries the attempt's own id, so that a lost answer can be settled: give \
             `reference` instead, which the message bears wherever it is shown"
        }
        "campaign" => "not supported yet",
        "stop_on_reply" => "only a sequence can be stopped by a reply",
        _ => {
            let said = "unknown field: only the object named like `type` is the provider's";
            return match wording::nearest(name, known.iter().copied()) {
                Some(nearest) => format!("{said}; did you mean `{nearest}`?").into(),
                None => said.into(),
            };
        }
    };
    said.into()
}

/// A caller's own name for something.
pub fn check_reference(at: &str, reference: Option<&str>, errors: &mut Vec<FieldError>) {
    const LONGEST: usize = 256;
    if reference.is_some_and(|text| text.is_empty() || text.len() > LONGEST) {
        let message = "expected 1 to 256 bytes";
        errors.push(FieldError::new(format!("{at}reference"), message));
    }
}
