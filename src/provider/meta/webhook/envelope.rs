//! The envelope `entry[] / changes[] / value`, walked. It says nothing of the fields in it, so
//! that others who post in Meta's envelope walk it by this too.

use std::borrow::Cow;

use data_encoding::HEXLOWER;
use serde_json::Map;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::Unreadable;
use super::shown::text;
use crate::model::Timestamp;
use crate::model::fact::{Decoded, Fact, ItemPath, NumberRef, OtherFact, Problem, Said};
use crate::provider::lenient::{self, KEY_BYTES, Members};

/// Problems of one body that are told one by one.
const MOST_PROBLEMS: usize = 100;

impl Decoded {
    pub(in crate::provider) fn take(&mut self, item: ItemPath, read: Result<Fact, Unreadable>) {
        match read {
            Ok(fact) => self.facts.push(fact),
            // A count is enough: the journal has the body.
            Err(_) if self.problems.len() >= MOST_PROBLEMS => self.more_problems += 1,
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
pub(in crate::provider) struct Change<'a> {
    pub(in crate::provider) path: ItemPath,
    /// `entry.id`: nearly always the WhatsApp Business Account.
    pub(in crate::provider) waba_id: Option<Cow<'a, str>>,
    /// `entry.time`, raw. Absent on `messages`.
    pub(in crate::provider) time: Option<&'a RawValue>,
    pub(in crate::provider) field: Cow<'a, str>,
    pub(in crate::provider) value: &'a RawValue,
}

impl Change<'_> {
    pub(in crate::provider) fn at(&self) -> Option<Timestamp> {
        self.time.and_then(lenient::moment)
    }

    /// The natural key of an item that has no id: the same wherever and whenever the item is sent
    /// again.
    pub(in crate::provider) fn digest(
        &self,
        field: &str,
        number: Option<&NumberRef>,
        item: &RawValue,
    ) -> String {
        let parts = [
            self.waba_id.as_deref().unwrap_or_default(),
            self.time.map_or("", |time| time.get().trim_matches('"')),
            field,
            number.map_or("", |number| number.phone_number_id.as_str()),
            item.get(),
        ];
        digest(&parts)
    }

    /// An item whose meaning is not known, kept whole.
    pub(in crate::provider) fn other(
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

/// The first 128 bits of a SHA-256, in hex. Every part is preceded by its length, so that no two
/// lists of parts look alike.
pub(in crate::provider) fn digest(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize()[..16])
}

/// What is done with each change. The value's members come along, opened, if it is an object.
pub(in crate::provider) type Visit =
    fn(&Change<'_>, Result<Members<'_>, serde_json::Error>, &mut Decoded) -> Result<(), Unreadable>;

/// Visits each change of a body.
pub(in crate::provider) fn walk(json: &str, visit: Visit, out: &mut Decoded) {
    let body = match Members::open(json) {
        Ok(body) => body,
        Err(error) => return out.take(ItemPath::new(), Err(error.into())),
    };
    if body.get("entry").is_none() {
        return out.take(ItemPath::new(), Err(Unreadable::Missing("entry")));
    }
    for_each(&body, "entry", "", out, |path, raw, out| {
        if let Err(error) = walk_entry(&path, raw, visit, out) {
            out.take(path, Err(error));
        }
    });
}

fn walk_entry(
    path: &str,
    raw: &RawValue,
    visit: Visit,
    out: &mut Decoded,
) -> Result<(), Unreadable> {
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
            if let Err(error) = walk_change(&entry, &path, raw, visit, out) {
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
    visit: Visit,
    out: &mut Decoded,
) -> Result<(), Unreadable> {
    let members = Members::open(raw.get())?;
    let value = members.get("value").ok_or(Unreadable::Missing("value"))?;
    let opened = Members::open(value.get());
    let nothing = Members::default();
    // Meta's examples of PARTNER_APP_(UN)INSTALLED have `field` in the entry and in the value.
    let field = [
        &members,
        opened.as_ref().unwrap_or(&nothing),
        &entry.members,
    ]
    .into_iter()
    .find_map(|place| place.text("field"))
    .ok_or(Unreadable::Missing("field"))?;
    within("field", Some(&field))?;
    let change = Change {
        path: path.to_owned(),
        waba_id: entry.id.clone(),
        time: entry.members.get("time"),
        field,
        value,
    };
    visit(&change, opened, out)
}

/// Visits each element of every array of that name. What should be an array and is not, is a
/// problem; `null` is nothing.
pub(in crate::provider) fn for_each<'a>(
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
pub(in crate::provider) fn within(
    name: &'static str,
    text: Option<&str>,
) -> Result<(), Unreadable> {
    match text {
        Some(text) if text.len() > KEY_BYTES => Err(Unreadable::TooLong(name)),
        _ => Ok(()),
    }
}

/// A text that an item cannot do without, fit to be part of a key.
pub(in crate::provider) fn needed(
    name: &'static str,
    text: Option<&str>,
) -> Result<String, Unreadable> {
    within(name, text)?;
    text.filter(|text| !text.is_empty())
        .map(str::to_owned)
        .ok_or(Unreadable::Missing(name))
}
