//! The field `messages`: statuses, what users wrote, errors of a sender, and whatever arrays Meta
//! adds beside them (`user_actions` came in 2025).

use std::sync::Arc;

use serde_json::Map;
use serde_json::value::RawValue;

use super::{Change, Unreadable, errors, for_each, inbound, statuses};
use crate::model::fact::{Decoded, Fact, ItemPath, NumberRef, Said};
use crate::provider::lenient::{self, KEY_BYTES, Members};

/// `entry.id` and `phone_number_id` of the sample that the app dashboard's "Test" button posts.
const TEST_SAMPLE: (&str, &str) = ("0", "123456123");

pub(super) fn walk(change: &Change<'_>, value: &Members<'_>, out: &mut Decoded) {
    let number = number(change, value).map(Arc::new);
    if is_test_sample(number.as_deref()) {
        out.note = Some("the sample that the app dashboard's \"Test\" button posts");
        return;
    }
    let prefix = format!("{}.value.", change.path);
    let mut seen: Vec<&str> = Vec::new();
    for (name, raw) in value.iter() {
        let is_item_list = match name {
            "contacts" => false, // about those who wrote: read with `messages`
            "statuses" | "messages" | "errors" => raw.get() != "null",
            _ => lenient::is_array(raw),
        };
        if !is_item_list || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        for_each(value, name, &prefix, out, |path, raw, out| {
            let read = item(change, value, number.as_ref(), name, path.clone(), raw);
            out.take(path, read);
        });
    }
    if seen.is_empty() {
        let path = change.path.clone();
        out.take(
            path.clone(),
            change.other(
                path,
                "messages".into(),
                number.as_deref().cloned(),
                change.value,
            ),
        );
    }
}

fn item(
    change: &Change<'_>,
    value: &Members<'_>,
    number: Option<&Arc<NumberRef>>,
    list: &str,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    match list {
        "statuses" => statuses::read(change, number, path, raw),
        _ => beside(change, value, number.map(Arc::as_ref), list, path, raw),
    }
}

fn beside(
    change: &Change<'_>,
    value: &Members<'_>,
    number: Option<&NumberRef>,
    list: &str,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    match list {
        "messages" => inbound::read(value, number, path, raw),
        "errors" => sender_error(change, number, path, raw),
        _ => other(change, number, format!("messages.{list}"), path, raw),
    }
}

/// The sender a value is about, if it names one.
pub(super) fn number(change: &Change<'_>, value: &Members<'_>) -> Option<NumberRef> {
    let metadata = Members::open(value.get("metadata")?.get()).ok()?;
    Some(NumberRef {
        waba_id: change.waba_id.as_deref().map(str::to_owned),
        phone_number_id: metadata
            .text("phone_number_id")
            .filter(|id| id.len() <= KEY_BYTES)?
            .into_owned(),
        display_phone_number: metadata
            .text("display_phone_number")
            .filter(|digits| digits.len() <= KEY_BYTES)
            .map(|digits| digits.into_owned()),
    })
}

pub(super) fn needed_number<T: Clone>(number: Option<&T>) -> Result<T, Unreadable> {
    number
        .cloned()
        .ok_or(Unreadable::Missing("metadata.phone_number_id"))
}

fn is_test_sample(number: Option<&NumberRef>) -> bool {
    number.is_some_and(|number| {
        number.waba_id.as_deref() == Some(TEST_SAMPLE.0) && number.phone_number_id == TEST_SAMPLE.1
    })
}

/// An element of `value.errors[]`. It has no id and no time: two equal ones are one fact.
fn sender_error(
    change: &Change<'_>,
    number: Option<&NumberRef>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let number = needed_number(number)?;
    let (_, shown) = errors::read(raw)?;
    let data = match shown {
        serde_json::Value::Object(data) => data,
        other => Map::from_iter([("details".to_owned(), other)]),
    };
    Ok(Fact {
        key: change.digest("messages.errors", Some(&number), raw),
        at: change.at(),
        item: path,
        said: Said::SenderError(number),
        data: super::text(data),
    })
}

/// An element of an array that is not known, with its own time where it has one.
pub(super) fn other(
    change: &Change<'_>,
    number: Option<&NumberRef>,
    field: String,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    super::within("field", Some(&field))?;
    let own = Members::open(raw.get())
        .ok()
        .and_then(|item| item.get("timestamp"))
        .and_then(lenient::moment);
    let mut fact = change.other(path, field, number.cloned(), raw)?;
    fact.at = own.or(fact.at);
    Ok(fact)
}
