//! Reads what a caller wants said, place by place, and gathers everything that is wrong with it by
//! name: a caller is told all of it at once. Each provider's own rules are in its folder.

use std::cell::RefCell;

use serde_json::{Map, Value};

/// Longer than any name of a template, and short enough for two of them in one key.
pub const LONGEST_KEY: usize = 512;

/// Something that keeps a message from being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands, such as `template.components[0].parameters[1]`.
    pub field: String,
    /// What was expected there, or why it cannot be sent.
    pub reason: String,
    /// Whose limit it is.
    pub wrong: Wrong,
}

/// Whose limit a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It is no message: no provider would take it.
    Malformed,
    /// It is one; this provider cannot send it.
    NotSupported,
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub struct Faults(RefCell<Vec<Fault>>);

impl Faults {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Whether any of it is of this kind.
    pub fn are_of(&self, wrong: Wrong) -> bool {
        self.0.borrow().iter().any(|fault| fault.wrong == wrong)
    }

    /// Adds what somebody else found.
    pub fn extend(&self, faults: Option<Vec<Fault>>) {
        self.0.borrow_mut().extend(faults.into_iter().flatten());
    }

    /// All of it, in the order in which it was found.
    pub fn into_vec(self) -> Vec<Fault> {
        self.0.into_inner()
    }
}

/// A place in a caller's object, and what stands there. `null` is nothing.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    value: Option<&'a Value>,
    path: String,
    faults: &'a Faults,
}

impl<'a> Place<'a> {
    /// The whole of it, under its name.
    pub fn new(path: &str, value: Option<&'a Value>, faults: &'a Faults) -> Self {
        Self {
            value: value.filter(|value| !value.is_null()),
            path: path.to_owned(),
            faults,
        }
    }

    /// What stands here.
    pub fn value(&self) -> Option<&'a Value> {
        self.value
    }

    /// A member of the object that stands here.
    pub fn member(&self, name: &str) -> Self {
        let value = self.value.and_then(|value| value.get(name));
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Self::new(&path, value, self.faults)
    }

    /// Says what should stand here.
    pub fn expected(&self, what: &str) {
        self.say(Wrong::Malformed, format!("expected {what}"));
    }

    /// Says why what stands here cannot be sent.
    pub fn not_supported(&self, reason: impl Into<String>) {
        self.say(Wrong::NotSupported, reason.into());
    }

    fn say(&self, wrong: Wrong, reason: String) {
        self.faults.0.borrow_mut().push(Fault {
            field: self.path.clone(),
            reason,
            wrong,
        });
    }

    /// The text that must stand here.
    pub fn text(&self) -> Option<&'a str> {
        let text = self.value.and_then(Value::as_str);
        let text = text.filter(|text| !text.is_empty());
        if text.is_none() {
            self.expected("a text");
        }
        text
    }

    /// The text that may stand here, and nothing else may.
    pub fn maybe_text(&self) -> Option<&'a str> {
        self.value.and_then(|_| self.text())
    }

    /// The text that must stand here, of at most so many characters.
    pub fn text_within(&self, most: usize) -> Option<&'a str> {
        let text = self.text()?;
        if text.chars().count() > most {
            self.expected(&format!("at most {most} characters"));
            return None;
        }
        Some(text)
    }

    /// The text that must stand here and becomes part of a key: of at most so many bytes.
    pub fn key(&self) -> Option<&'a str> {
        let text = self.text()?;
        if text.len() > LONGEST_KEY {
            self.expected(&format!("at most {LONGEST_KEY} bytes"));
            return None;
        }
        Some(text)
    }

    /// The object that must stand here.
    pub fn object(&self) -> Option<&'a Map<String, Value>> {
        let object = self.value.and_then(Value::as_object);
        if object.is_none() {
            self.expected("an object");
        }
        object
    }

    /// The elements of the list that must stand here, and have some.
    pub fn items(&self) -> Vec<Self> {
        let list = self.value.and_then(Value::as_array);
        let Some(list) = list.filter(|list| !list.is_empty()) else {
            self.expected("a list of at least one");
            return Vec::new();
        };
        let item = |(n, value)| Self::new(&format!("{}[{n}]", self.path), Some(value), self.faults);
        list.iter().enumerate().map(item).collect()
    }

    /// The elements of the list that may stand here, and nothing else may.
    pub fn maybe_items(&self) -> Vec<Self> {
        let is_empty = self
            .value
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty);
        match self.value {
            Some(_) if !is_empty => self.items(),
            _ => Vec::new(),
        }
    }

    /// The number that must stand here; a text that is one will do, as with Meta.
    pub fn number(&self) -> Option<f64> {
        let number = match self.value {
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_f64(),
            None => None,
        };
        let number = number.filter(|number: &f64| number.is_finite());
        if number.is_none() {
            self.expected("a number");
        }
        number
    }

    /// The whole number that must stand here, as [`Place::number`].
    pub fn whole(&self) -> Option<i64> {
        let number = match self.value {
            Some(Value::String(text)) => text.parse().ok(),
            Some(value) => value.as_i64(),
            None => None,
        };
        if number.is_none() {
            self.expected("a whole number");
        }
        number
    }

    /// A word that must stand here, in lower case: providers' examples spell them either way.
    pub fn word(&self) -> Option<String> {
        self.text().map(str::to_ascii_lowercase)
    }

    /// Refuses every member but these: what is left out of a translation would be lost in silence.
    pub fn only(&self, names: &[&str], reason: &str) {
        let members = self.value.and_then(Value::as_object);
        for (name, value) in members.into_iter().flatten() {
            if !value.is_null() && !names.contains(&name.as_str()) {
                self.member(name).not_supported(reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_is_wrong_is_said_by_its_place() {
        let value = json!({"a": [{"b": 7}, {"b": "x"}, {}], "c": null, "d": 1, "n": "2.5"});
        let faults = Faults::default();
        let place = Place::new("text", Some(&value), &faults);
        let texts: Vec<_> = place
            .member("a")
            .items()
            .iter()
            .map(|a| a.member("b").text())
            .collect();
        assert_eq!(texts, [None, Some("x"), None]);
        assert_eq!(place.member("c").maybe_text(), None);
        assert_eq!(place.member("n").number(), Some(2.5));
        place.only(&["a", "c", "n"], "no");
        let faults = faults.into_vec();
        let said: Vec<_> = faults.iter().map(|f| (f.field.as_str(), f.wrong)).collect();
        let malformed = |field| (field, Wrong::Malformed);
        assert_eq!(
            said,
            [
                malformed("text.a[0].b"),
                malformed("text.a[2].b"),
                ("text.d", Wrong::NotSupported)
            ]
        );
    }
}
