//! How things are at a provider: what its answers say of templates and numbers. Each provider's own
//! are in its `manage.rs`; what all of them have is here.

use serde_json::value::RawValue;

use super::lenient::{self, KEY_BYTES, Members};
use super::{dialog360, infobip, meta};
use crate::model::error_class::ErrorClass;
use crate::model::provider::Provider;
use crate::model::reading::{NumberReading, TemplateReading};

/// A page of a list of templates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TemplatePage {
    /// What could be read of it.
    pub templates: Vec<TemplateReading>,
    /// The provider's own object of each.
    pub objects: Vec<String>,
    /// Whether that is all of it. Else nothing follows from what is not in it.
    pub whole: bool,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Why an answer says nothing of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The provider refused.
    #[error("{reason}")]
    Refused {
        /// What to do.
        class: ErrorClass,
        /// What it said.
        reason: String,
    },
    /// Neither what was asked for nor an error.
    #[error("the answer is not understood: {0}")]
    Unreadable(String),
}

/// Reads a page of a list of templates.
pub fn templates_answer(provider: Provider, body: &[u8]) -> Result<TemplatePage, ReadError> {
    opened(body, |body| match provider {
        Provider::Meta => meta::manage::templates_page(body),
        Provider::Dialog360 | Provider::Dialog360Onprem => dialog360::manage::templates_page(body),
        Provider::Infobip => infobip::manage::templates_page(body),
    })
}

/// Reads the answer to a request for a number. `None`: it is about another.
pub fn number_answer(
    provider: Provider,
    body: &[u8],
    phone_number_id: &str,
) -> Result<Option<NumberReading>, ReadError> {
    opened(body, |body| match provider {
        Provider::Meta => meta::manage::number_answer(body).map(Some),
        Provider::Dialog360 | Provider::Dialog360Onprem => {
            dialog360::manage::number_answer(body, phone_number_id)
        }
        Provider::Infobip => infobip::manage::number_answer(body, phone_number_id),
    })
}

/// What an answer refuses, if it does: its HTTP status says so, or what it bears.
pub fn refusal(provider: Provider, status: u16, body: &[u8]) -> Option<ReadError> {
    let refused = opened(body, |body| {
        Ok(match provider {
            Provider::Meta => meta::manage::refusal(body),
            Provider::Dialog360 | Provider::Dialog360Onprem => dialog360::manage::refusal(body),
            Provider::Infobip => infobip::manage::refusal(body),
        })
    });
    match refused {
        Ok(Some(refused)) => Some(refused),
        _ if (200..300).contains(&status) => None,
        _ => Some(ReadError::Refused {
            class: class_of(status),
            reason: format!("HTTP {status}"),
        }),
    }
}

/// What an HTTP status asks of us, where nothing else is said.
pub(super) fn class_of(status: u16) -> ErrorClass {
    use crate::model::error_class::Scope;
    match status {
        401 | 403 => ErrorClass::ConnectionStops,
        429 => ErrorClass::RateLimit(Scope::App),
        500.. => ErrorClass::Retry,
        _ => ErrorClass::FixRequest,
    }
}

fn opened<T>(
    body: &[u8],
    read: impl FnOnce(&Members<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let text = std::str::from_utf8(body).map_err(|error| unreadable(&error.to_string()))?;
    let text = lenient::storable(text);
    let members = Members::open(&text).map_err(|error| unreadable(&error.to_string()))?;
    read(&members)
}

pub(super) fn unreadable(reason: &str) -> ReadError {
    ReadError::Unreadable(reason.chars().take(400).collect())
}

/// The elements of a list that must be there, each read by itself. One that cannot be read is left
/// out: the others are no less true; the page is then not whole.
pub(super) fn page(
    body: &Members<'_>,
    name: &'static str,
    read: impl Fn(&Members<'_>) -> Option<TemplateReading>,
) -> Result<TemplatePage, ReadError> {
    let list = body.get(name);
    let list = list.ok_or_else(|| unreadable(&format!("`{name}` is missing")))?;
    let elements = lenient::elements(list).map_err(|error| unreadable(&error.to_string()))?;
    let of = |raw: &&RawValue| {
        let template = read(&Members::open(raw.get()).ok()?)?;
        Some((template, raw.get().to_owned()))
    };
    let (templates, objects): (Vec<_>, Vec<_>) = elements.iter().filter_map(of).unzip();
    Ok(TemplatePage {
        whole: templates.len() == elements.len(),
        templates,
        objects,
        next: None,
    })
}

/// A text that is part of a key, or `None` where it cannot be.
pub(super) fn named(members: &Members<'_>, name: &str) -> Option<String> {
    let text = members.text(name)?;
    (text.len() <= KEY_BYTES).then(|| text.into_owned())
}

/// A word of a provider's vocabulary, in upper case.
pub(super) fn word(members: &Members<'_>, name: &str) -> Option<String> {
    Some(named(members, name)?.to_ascii_uppercase())
}

/// An object inside, without members where it is none.
pub(super) fn inside<'a>(members: &Members<'a>, name: &str) -> Members<'a> {
    let raw = members.get(name);
    raw.and_then(|raw| Members::open(raw.get()).ok())
        .unwrap_or_default()
}
