//! Asking a provider how things are: which addresses, and what its answers say of
//! templates and numbers. Each provider's own are in its `manage.rs`; what `send` needs to know of
//! all of them is here.

use serde_json::value::RawValue;

use super::lenient::{self, KEY_BYTES, Members};
use super::{dialog360, infobip, meta};
use crate::model::error_class::ErrorClass;
use crate::model::provider::Provider;
use crate::model::reading::{NumberReading, TemplateReading};

/// Whose templates are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListOf<'a> {
    /// A WhatsApp Business Account's, by its id.
    Account(&'a str),
    /// Those of the one account that the key leads to.
    Key,
    /// Those of the account of a number, by its digits.
    Number(&'a str),
}

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

/// The path to GET for a list of templates, from the beginning or from where a page ended. `None`
/// where the provider has no such list.
pub fn templates_request(
    provider: Provider,
    api_version: Option<&str>,
    of: ListOf<'_>,
    from: Option<&str>,
) -> Option<String> {
    match (provider, of) {
        (Provider::Meta, ListOf::Account(waba_id)) => {
            Some(meta::manage::templates_request(api_version?, waba_id, from))
        }
        (Provider::Dialog360 | Provider::Dialog360Onprem, ListOf::Key) => {
            Some(dialog360::manage::templates_request(from))
        }
        (Provider::Infobip, ListOf::Number(digits)) => {
            Some(infobip::manage::templates_request(digits))
        }
        _ => None,
    }
}

/// Reads the answer to it.
pub fn templates_answer(provider: Provider, body: &[u8]) -> Result<TemplatePage, ReadError> {
    opened(body, |body| match provider {
        Provider::Meta => meta::manage::templates_page(body),
        Provider::Dialog360 | Provider::Dialog360Onprem => dialog360::manage::templates_page(body),
        Provider::Infobip => infobip::manage::templates_page(body),
    })
}

/// The path to GET for a number, by the provider's id of it. `None` where it cannot be asked for.
pub fn number_request(
    provider: Provider,
    api_version: Option<&str>,
    phone_number_id: &str,
) -> Option<String> {
    match provider {
        Provider::Meta if phone_number_id.is_empty() => None,
        Provider::Meta => Some(meta::manage::number_request(api_version?, phone_number_id)),
        Provider::Dialog360 => Some(dialog360::manage::NUMBER_REQUEST.to_owned()),
        Provider::Infobip if phone_number_id.is_empty() => None,
        Provider::Infobip => Some(infobip::manage::number_request(phone_number_id)),
        // What its `/v1/health` answers is not documented, and says nothing of the number.
        Provider::Dialog360Onprem => None,
    }
}

/// Reads the answer to it. `None`: it is about another number.
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
