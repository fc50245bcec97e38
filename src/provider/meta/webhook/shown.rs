//! The `data` of facts. Members that are known get our names and one type each, whatever type
//! they came in; those that are not, and those whose value is no such thing, are kept as they came.

use serde_json::{Map, Value};
use time::format_description::well_known::Rfc3339;

use super::{Unreadable, errors};
use crate::model::{Timestamp, rfc3339};
use crate::provider::lenient::{self, KEY_BYTES, Members};

/// Says which product it is, of every value; whose number it is, where that becomes the sender;
/// and where an example of Meta's has the field's name.
const ENVELOPE: [&str; 4] = ["messaging_product", "metadata", "contacts", "field"];

/// `data` in the making, of one object.
pub(in crate::provider) struct Shown<'m, 'a> {
    members: &'m Members<'a>,
    known: Vec<&'static str>,
    data: Map<String, Value>,
}

impl<'m, 'a> Shown<'m, 'a> {
    /// Of an item, or of an object in one.
    pub(in crate::provider) fn of(members: &'m Members<'a>) -> Self {
        Self {
            members,
            known: Vec::new(),
            data: Map::new(),
        }
    }

    /// Of a value that is one item.
    pub(in crate::provider) fn of_value(members: &'m Members<'a>) -> Self {
        Self {
            known: ENVELOPE.to_vec(),
            ..Self::of(members)
        }
    }

    /// Shows nothing of this member.
    pub(in crate::provider) fn without(&mut self, theirs: &'static str) {
        self.known.push(theirs);
    }

    /// A text, or a number that stands for one.
    pub(in crate::provider) fn text(
        &mut self,
        theirs: &'static str,
        ours: &'static str,
    ) -> Option<String> {
        let text = self.members.text(theirs).map(|text| text.into_owned());
        self.typed(theirs, ours, text)
    }

    /// Texts under the names that they have.
    pub(in crate::provider) fn texts(&mut self, names: &[&'static str]) {
        for name in names {
            self.text(name, name);
        }
    }

    /// A word of a vocabulary that is written in capitals, and not everywhere so.
    pub(in crate::provider) fn word(
        &mut self,
        theirs: &'static str,
        ours: &'static str,
    ) -> Option<String> {
        let word = self
            .members
            .text(theirs)
            .map(|word| word.to_ascii_uppercase());
        self.typed(theirs, ours, word)
    }

    /// A whole number, or a text that stands for one.
    pub(in crate::provider) fn integer(
        &mut self,
        theirs: &'static str,
        ours: &'static str,
    ) -> Option<i64> {
        let number = self.members.get(theirs).and_then(lenient::integer);
        self.typed(theirs, ours, number)
    }

    /// Whole numbers under the names that they have.
    pub(in crate::provider) fn integers(&mut self, names: &[&'static str]) {
        for name in names {
            self.integer(name, name);
        }
    }

    /// The item's own time, which its fact has. Kept as it came where it is none.
    pub(in crate::provider) fn time(&mut self, theirs: &'static str) -> Option<Timestamp> {
        let at = self.members.get(theirs).and_then(lenient::moment);
        if at.is_some() {
            self.known.push(theirs);
        }
        at
    }

    /// A time that is not the fact's own, shown as every time is: RFC 3339.
    pub(in crate::provider) fn time_shown(
        &mut self,
        theirs: &'static str,
        ours: &'static str,
    ) -> Option<String> {
        let at = self.members.get(theirs).and_then(lenient::moment);
        let text = at.and_then(|at| at.format(&Rfc3339).ok());
        self.typed(theirs, ours, text)
    }

    /// The same of a time that is written as a date, with its milliseconds.
    pub(in crate::provider) fn date_shown(
        &mut self,
        theirs: &'static str,
        ours: &'static str,
    ) -> Option<Timestamp> {
        let at = self.members.get(theirs).and_then(lenient::date);
        self.typed(theirs, ours, at.map(rfc3339));
        at
    }

    /// A text that was put before.
    pub(in crate::provider) fn shown_text(&self, ours: &str) -> Option<String> {
        self.data
            .get(ours)
            .and_then(Value::as_str)
            .map(str::to_owned)
    }

    /// Errors, as those of statuses are shown.
    pub(in crate::provider) fn errors(&mut self, theirs: &'static str) -> Result<(), Unreadable> {
        if let Some(raw) = self.members.get(theirs) {
            let (_, errors) = errors::read_all(raw)?;
            self.typed(theirs, theirs, Some(errors));
        }
        Ok(())
    }

    /// Texts inside an object, which are shown beside it. What else it has stays in it.
    pub(in crate::provider) fn inside(
        &mut self,
        object: &'static str,
        texts: &[(&'static str, &'static str)],
    ) -> Result<(), Unreadable> {
        let opened = self.members.get(object).map(|raw| Members::open(raw.get()));
        // What is no object is shown as it came.
        let Some(Ok(inner)) = opened else {
            return Ok(());
        };
        self.known.push(object);
        let mut shown = Shown::of(&inner);
        for (theirs, ours) in texts {
            if let Some(text) = shown.text(theirs, ours) {
                shown.data.remove(*ours);
                self.put(ours, Some(text));
            }
        }
        let rest = shown.whole()?;
        self.put(
            object,
            Some(Value::Object(rest)).filter(|rest| *rest != Value::Object(Map::new())),
        );
        Ok(())
    }

    /// Shows what was put before no more.
    pub(in crate::provider) fn take_back(&mut self, ours: &str) {
        self.data.remove(ours);
    }

    /// Something that is said by this item, or made of several of its members.
    pub(in crate::provider) fn put(&mut self, ours: &'static str, value: Option<impl Into<Value>>) {
        put(&mut self.data, ours, value);
    }

    fn typed<V: Into<Value> + Clone>(
        &mut self,
        theirs: &'static str,
        ours: &'static str,
        value: Option<V>,
    ) -> Option<V> {
        if value.is_some() {
            self.known.push(theirs);
            self.put(ours, value.clone());
        }
        value
    }

    /// With every member that was not asked for. Ours stay where both have a name.
    pub(in crate::provider) fn whole(self) -> Result<Map<String, Value>, Unreadable> {
        let mut whole = Map::new();
        for (name, raw) in self.members.iter() {
            if raw.get() != "null" && !self.known.contains(&name) {
                whole.insert(name.to_owned(), lenient::tree(raw)?);
            }
        }
        whole.extend(self.data);
        Ok(whole)
    }

    /// The same, as text.
    pub(in crate::provider) fn finish(self) -> Result<String, Unreadable> {
        self.whole().map(text)
    }
}

/// The `data` of a fact.
pub(in crate::provider) fn text(data: Map<String, Value>) -> String {
    Value::Object(data).to_string()
}

/// Adds what is there.
pub(in crate::provider) fn put(
    data: &mut Map<String, Value>,
    name: &str,
    value: Option<impl Into<Value>>,
) {
    if let Some(value) = value {
        data.insert(name.to_owned(), value.into());
    }
}

/// An id that is fit to be part of a key; a longer one is shown and not used.
pub(in crate::provider) fn id(members: &Members<'_>, name: &str) -> Option<String> {
    members
        .text(name)
        .filter(|id| id.len() <= KEY_BYTES)
        .map(|id| id.into_owned())
}
