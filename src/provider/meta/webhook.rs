//! Meta's webhooks: bytes to facts. `http` verifies the raw bytes ([`verify_signature`]), ingest
//! decodes them ([`decode`]).
//!
//! Whatever the bytes, decoding neither fails nor panics, and each item stands on its own: what
//! cannot be read becomes a [`Problem`] with its path, and its siblings become facts. Fields and
//! words that are not known are kept as they came. Meta's own examples disagree with its tables
//! about types, spellings and even where `field` stands, so all of these are accepted.

mod errors;
mod inbound;
mod messages;
mod signature;
mod statuses;
mod templates;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use self::signature::{
    HandshakeError, SIGNATURE_HEADER, SignatureError, verify_handshake, verify_signature,
};
use crate::model::Timestamp;
use crate::model::fact::{Decoded, Fact, ItemPath, NumberRef, OtherFact, Problem, Said};
use crate::provider::lenient::{self, KEY_BYTES, Members};

/// Reads everything a body says.
pub fn decode(body: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    match std::str::from_utf8(body) {
        Ok(json) => walk_body(&lenient::storable(json), &mut decoded),
        Err(error) => decoded.take(ItemPath::new(), Err(error.into())),
    }
    if decoded == Decoded::default() {
        decoded.note = Some("the body holds no items");
    }
    decoded
}

/// What keeps an item from becoming a fact.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error("not UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("not as expected: {0}")]
    Json(#[from] serde_json::Error),
    #[error("`{0}` is missing or not usable")]
    Missing(&'static str),
    #[error("`{0}` is longer than {KEY_BYTES} bytes")]
    TooLong(&'static str),
}

impl Decoded {
    fn take(&mut self, item: ItemPath, read: Result<Fact, Unreadable>) {
        match read {
            Ok(fact) => self.facts.push(fact),
            Err(error) => {
                // serde_json quotes what it found, whatever its length.
                let reason = error.to_string().chars().take(400).collect();
                self.problems.push(Problem { item, reason });
            }
        }
    }
}

/// An element of `entry[]`, opened.
struct Entry<'a> {
    members: Members<'a>,
    id: Option<Cow<'a, str>>,
}

/// An element of `changes[]`, opened: what the envelope says of the items in it.
struct Change<'a> {
    path: ItemPath,
    /// `entry.id`: nearly always the WhatsApp Business Account.
    waba_id: Option<Cow<'a, str>>,
    /// `entry.time`, raw. Absent on `messages`.
    time: Option<&'a RawValue>,
    field: Cow<'a, str>,
    value: &'a RawValue,
}

impl Change<'_> {
    fn at(&self) -> Option<Timestamp> {
        self.time.and_then(lenient::moment)
    }

    /// The natural key of an item that has no id: the same wherever and whenever the item is sent
    /// again. Every part is preceded by its length, so that no two lists of parts look alike.
    fn digest(&self, field: &str, number: Option<&NumberRef>, item: &RawValue) -> String {
        let parts = [
            self.waba_id.as_deref().unwrap_or_default(),
            self.time.map_or("", |time| time.get().trim_matches('"')),
            field,
            number.map_or("", |number| number.phone_number_id.as_str()),
            item.get(),
        ];
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        HEXLOWER.encode(&hash.finalize()[..16])
    }

    /// An item whose meaning is not used, kept whole.
    fn other(
        &self,
        path: ItemPath,
        field: String,
        number: Option<NumberRef>,
        item: &RawValue,
    ) -> Result<Fact, Unreadable> {
        let mut data = Map::new();
        data.insert("field".into(), field.as_str().into());
        data.insert("value".into(), lenient::tree(item)?);
        Ok(Fact {
            key: self.digest(&field, number.as_ref(), item),
            at: self.at(),
            item: path,
            said: Said::Other(OtherFact { field, number }),
            data: text(data),
        })
    }
}

fn walk_body(json: &str, out: &mut Decoded) {
    let body = match Members::open(json) {
        Ok(body) => body,
        Err(error) => return out.take(ItemPath::new(), Err(error.into())),
    };
    if body.get("entry").is_none() {
        return out.take(ItemPath::new(), Err(Unreadable::Missing("entry")));
    }
    for_each(&body, "entry", "", out, |path, raw, out| {
        if let Err(error) = walk_entry(&path, raw, out) {
            out.take(path, Err(error));
        }
    });
}

fn walk_entry(path: &str, raw: &RawValue, out: &mut Decoded) -> Result<(), Unreadable> {
    let members = Members::open(raw.get())?;
    let id = members.text("id");
    within("entry.id", id.as_deref())?;
    let entry = Entry { members, id };
    // With "Include Values" switched off in the app, `changed_fields` stands here instead.
    entry
        .members
        .get("changes")
        .ok_or(Unreadable::Missing("changes"))?;
    for_each(
        &entry.members,
        "changes",
        &format!("{path}."),
        out,
        |path, raw, out| {
            if let Err(error) = walk_change(&entry, &path, raw, out) {
                out.take(path, Err(error));
            }
        },
    );
    Ok(())
}

fn walk_change(
    entry: &Entry<'_>,
    path: &str,
    raw: &RawValue,
    out: &mut Decoded,
) -> Result<(), Unreadable> {
    let members = Members::open(raw.get())?;
    let raw_value = members.get("value").ok_or(Unreadable::Missing("value"))?;
    let opened = Members::open(raw_value.get());
    // Where we do not know the field, another type than an object is kept all the same.
    let nothing = Members::default();
    let value = opened.as_ref().unwrap_or(&nothing);
    // Meta's examples of PARTNER_APP_(UN)INSTALLED have `field` in the entry and in the value.
    let field = [&members, value, &entry.members]
        .into_iter()
        .find_map(|place| place.text("field"))
        .ok_or(Unreadable::Missing("field"))?;
    within("field", Some(&field))?;
    let change = Change {
        path: path.to_owned(),
        waba_id: entry.id.clone(),
        time: entry.members.get("time"),
        field,
        value: raw_value,
    };
    match &*change.field {
        "messages" => messages::walk(&change, &opened?, out),
        // Meta's page prints the status field's name over a quality update.
        _ if value.get("new_quality_score").is_some() => {
            out.take(change.path.clone(), templates::quality(&change, value));
        }
        "message_template_status_update" => {
            out.take(change.path.clone(), templates::status(&change, value));
        }
        "message_template_quality_update" => {
            out.take(change.path.clone(), templates::quality(&change, value));
        }
        field => {
            let number = messages::number(&change, value);
            let fact = change.other(change.path.clone(), field.to_owned(), number, raw_value);
            out.take(change.path.clone(), fact);
        }
    }
    Ok(())
}

/// Visits each element of every array of that name. What should be an array and is not, is a
/// problem; `null` is nothing.
fn for_each<'a>(
    parent: &Members<'a>,
    name: &str,
    prefix: &str,
    out: &mut Decoded,
    mut visit: impl FnMut(ItemPath, &'a RawValue, &mut Decoded),
) {
    let arrays = parent
        .iter()
        .filter(|(n, raw)| *n == name && raw.get() != "null");
    for (_, raw) in arrays {
        match lenient::elements(raw) {
            Ok(items) => {
                for (n, item) in items.into_iter().enumerate() {
                    visit(format!("{prefix}{name}[{n}]"), item, out);
                }
            }
            Err(error) => out.take(format!("{prefix}{name}"), Err(error.into())),
        }
    }
}

/// Refuses a text that is too long to be part of a key.
fn within(name: &'static str, text: Option<&str>) -> Result<(), Unreadable> {
    match text {
        Some(text) if text.len() > KEY_BYTES => Err(Unreadable::TooLong(name)),
        _ => Ok(()),
    }
}

/// A text that an item cannot do without, fit to be part of a key.
fn needed(name: &'static str, text: Option<&str>) -> Result<String, Unreadable> {
    within(name, text)?;
    text.filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or(Unreadable::Missing(name))
}

/// The `data` of a fact.
fn text(data: Map<String, Value>) -> String {
    Value::Object(data).to_string()
}

/// Adds what is there.
fn put(data: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        data.insert(name.to_owned(), value.into());
    }
}
