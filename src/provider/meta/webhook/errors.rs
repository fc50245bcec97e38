//! Error objects in webhooks. Meta has written them in three ways: texts under `error_data`, texts
//! on the error itself (older recordings), and `error_data` as one plain text.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Unreadable;
use super::shown::put;
use crate::model::fact::ProviderError;
use crate::provider::lenient;

/// An error, if it has a code, and what is shown of it.
pub(super) fn read(raw: &RawValue) -> Result<(Option<ProviderError>, Value), Unreadable> {
    Ok(normalise(lenient::tree(raw)?))
}

/// The first error that has a code, and all as they are shown. A lone object counts as a list.
pub(super) fn read_all(raw: &RawValue) -> Result<(Option<ProviderError>, Value), Unreadable> {
    let items = match lenient::tree(raw)? {
        Value::Array(items) => items,
        item => vec![item],
    };
    let mut first = None;
    let mut shown = Vec::with_capacity(items.len());
    for item in items {
        let (error, item) = normalise(item);
        first = first.or(error);
        shown.push(item);
    }
    Ok((first, Value::Array(shown)))
}

/// `{code, title, details, …}`: the code a number, the details in one place, the rest as it came.
fn normalise(item: Value) -> (Option<ProviderError>, Value) {
    let Value::Object(mut members) = item else {
        return (None, item);
    };
    let code = members.get("code").and_then(whole_number);
    if let Some(code) = code {
        members.insert("code".into(), code.into());
    }
    // "Titles will be deprecated" in favour of `message`, which has the same text.
    let message = take_text(&mut members, "message");
    let title = take_text(&mut members, "title").or_else(|| message.clone());
    let details = take_details(&mut members);
    put(&mut members, "title", title.clone());
    put(&mut members, "details", details.clone());
    put(
        &mut members,
        "message",
        message.filter(|m| Some(m) != title.as_ref()),
    );
    let error = code.map(|code| ProviderError {
        code,
        title,
        details,
    });
    (error, Value::Object(members))
}

fn take_details(members: &mut Map<String, Value>) -> Option<String> {
    if let Some(text) = take_text(members, "error_data") {
        return Some(text);
    }
    let nested = members
        .get_mut("error_data")
        .and_then(Value::as_object_mut)
        .and_then(|data| take_text(data, "details"));
    if nested.is_some() {
        // What is left says `messaging_product: whatsapp`.
        members.remove("error_data");
    }
    nested.or_else(|| take_text(members, "details"))
}

/// Takes a member out if it is text.
fn take_text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.get_mut(name) {
        Some(Value::String(text)) => {
            let text = std::mem::take(text);
            members.remove(name);
            Some(text)
        }
        _ => None,
    }
}

/// Meta's pacing page prints the code as text.
fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    }
}
