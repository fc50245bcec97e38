//! Fields whose values hold arrays of items, beside the number that they are about. Whatever
//! arrays of objects Meta adds (`user_actions` came in 2025) are walked too, and their elements
//! kept; an array without any is kept as one, or a body of `[],[],…` would take hundreds of
//! times its bytes.

use std::sync::Arc;

use serde_json::Map;
use serde_json::value::RawValue;

use super::envelope::{Change, for_each, within};
use super::shown::{id, text};
use super::{Unreadable, business, calls, coexistence, errors, groups, inbound, statuses, users};
use crate::model::Timestamp;
use crate::model::fact::{Decoded, Fact, ItemPath, NewsFact, NumberRef, Said};
use crate::provider::lenient::{self, Members};

/// What the items of a value have in common.
#[derive(Clone, Copy)]
pub(in crate::provider) struct Around<'c, 'a> {
    pub(in crate::provider) change: &'c Change<'a>,
    /// What stands beside the items: of `standby`, inside the object of that name.
    pub(in crate::provider) value: &'c Members<'a>,
    pub(in crate::provider) number: Option<&'c Arc<NumberRef>>,
}

/// Whether the values of a field hold lists of items, each a fact.
pub(super) fn walks(field: &str) -> bool {
    !lists_of(field).is_empty()
}

/// The lists that a field is known to have.
fn lists_of(field: &str) -> &'static [&'static str] {
    match field {
        "messages" => &["statuses", "messages", "errors"],
        "user_preferences" => &["user_preferences"],
        "user_id_update" => &["user_id_update"],
        "calls" => &["calls", "statuses", "errors"],
        "smb_message_echoes" | "message_echoes" => &["message_echoes"],
        "smb_app_state_sync" => &["state_sync"],
        "automatic_events" => &["automatic_events"],
        // Meta's pages have the second name both ways.
        "group_lifecycle_update"
        | "group_participants_update"
        | "group_participant_update"
        | "group_settings_update"
        | "group_status_update" => &["groups"],
        _ => &[],
    }
}

pub(super) fn walk(change: &Change<'_>, value: &Members<'_>, out: &mut Decoded) {
    let number = number(change, value).map(Arc::new);
    let around = Around {
        change,
        value,
        number: number.as_ref(),
    };
    let prefix = format!("{}.value.", change.path);
    if !walk_lists(around, &prefix, lists_of(&change.field), out) {
        let (path, number) = (change.path.clone(), number.as_deref().cloned());
        let fact = change.other(path, change.field.to_string(), number, change.value);
        out.take(change.path.clone(), fact);
    }
}

/// Returns whether there were any lists.
pub(in crate::provider) fn walk_lists(
    around: Around<'_, '_>,
    prefix: &str,
    known: &[&str],
    out: &mut Decoded,
) -> bool {
    let mut seen: Vec<&str> = Vec::new();
    for (name, raw) in around.value.iter() {
        let is_known = known.contains(&name);
        let is_list = match name {
            "contacts" => false, // about those who wrote: read with their messages
            _ if is_known => raw.get() != "null",
            _ => lenient::is_array(raw),
        };
        if !is_list || seen.contains(&name) {
            continue;
        }
        seen.push(name);
        if !is_known && lenient::is_list_without_objects(raw) {
            let path = format!("{prefix}{name}");
            out.take(path.clone(), beside(around, name, path, raw));
            continue;
        }
        for_each(around.value, name, prefix, out, |path, raw, out| {
            let read = match is_known || raw.get().starts_with('{') {
                true => item(around, name, path.clone(), raw),
                false => Err(Unreadable::Missing("object")),
            };
            out.take(path, read);
        });
    }
    !seen.is_empty()
}

fn item(
    around: Around<'_, '_>,
    list: &str,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    match (&*around.change.field, list) {
        ("messages" | "standby", "statuses") => statuses::read(around, path, raw),
        ("calls", "statuses") => calls::status(around, path, raw),
        _ => beside(around, list, path, raw),
    }
}

fn beside(
    around: Around<'_, '_>,
    list: &str,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    match (&*around.change.field, list) {
        ("messages" | "standby", "messages") => inbound::read(around, path, raw),
        ("history", "messages") => coexistence::history_message(around, None, path, raw),
        ("messages" | "calls" | "standby", "errors") => sender_error(around, path, raw),
        ("messages", "user_actions") => users::action(around, path, raw),
        ("calls", "calls") => calls::event(around, path, raw),
        ("user_preferences", "user_preferences") => users::preference(around, path, raw),
        ("user_id_update", "user_id_update") => users::new_ids(around, path, raw),
        ("smb_message_echoes" | "message_echoes" | "standby", "message_echoes") => {
            coexistence::echo(around, path, raw)
        }
        ("smb_app_state_sync", "state_sync") => coexistence::contact(around, path, raw),
        ("automatic_events", "automatic_events") => business::automatic_event(around, path, raw),
        (_, "groups") => groups::read(around, path, raw),
        (field, list) => other(around, format!("{field}.{list}"), path, raw),
    }
}

/// The sender a value is about, if it names one.
pub(super) fn number(change: &Change<'_>, value: &Members<'_>) -> Option<NumberRef> {
    let metadata = Members::open(value.get("metadata")?.get()).ok()?;
    number_of(change, &metadata)
}

/// A number by the object that names it.
pub(super) fn number_of(change: &Change<'_>, named: &Members<'_>) -> Option<NumberRef> {
    Some(NumberRef {
        waba_id: change.waba_id.as_deref().map(str::to_owned),
        phone_number_id: id(named, "phone_number_id")?,
        display_phone_number: id(named, "display_phone_number"),
    })
}

pub(super) fn needed_number<T: Clone>(number: Option<&T>) -> Result<T, Unreadable> {
    number
        .cloned()
        .ok_or(Unreadable::Missing("metadata.phone_number_id"))
}

impl Around<'_, '_> {
    pub(super) fn needed_number(&self) -> Result<NumberRef, Unreadable> {
        needed_number(self.number.map(Arc::as_ref))
    }

    /// An item that is shown and changes nothing. Two equal ones are one fact.
    pub(super) fn news(
        &self,
        r#type: &'static str,
        path: ItemPath,
        at: Option<Timestamp>,
        raw: &RawValue,
        data: String,
    ) -> Fact {
        let number = self.number.map(Arc::as_ref);
        Fact {
            key: self.change.digest(r#type, number, raw),
            at: at.or(self.change.at()),
            item: path,
            said: Said::News(NewsFact {
                r#type: r#type.into(),
                number: number.cloned(),
                words: Vec::new(),
            }),
            data,
        }
    }
}

/// An element of `value.errors[]`. It has no id and no time: two equal ones are one fact.
fn sender_error(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let number = around.needed_number()?;
    let (_, shown) = errors::read(raw)?;
    let data = match shown {
        serde_json::Value::Object(data) => data,
        other => Map::from_iter([("details".to_owned(), other)]),
    };
    let label = format!("{}.errors", around.change.field);
    Ok(Fact {
        key: around.change.digest(&label, Some(&number), raw),
        at: around.change.at(),
        item: path,
        said: Said::SenderError(number),
        data: text(data),
    })
}

/// An element of an array that is not known, with its own time where it has one.
pub(super) fn other(
    around: Around<'_, '_>,
    field: String,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    within("field", Some(&field))?;
    let own = Members::open(raw.get())
        .ok()
        .and_then(|item| item.get("timestamp"))
        .and_then(lenient::moment);
    let number = around.number.map(Arc::as_ref).cloned();
    let mut fact = around.change.other(path, field, number, raw)?;
    fact.at = own.or(fact.at);
    Ok(fact)
}
