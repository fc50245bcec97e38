//! Infobip's webhooks: bytes to facts. Delivery and seen reports come in two dialects, of the
//! WhatsApp API and of the Messages API; they, inbound messages, template updates and
//! notifications come to one URL and are told apart by their shape. There is no event id: what an
//! item says is its key.
//!
//! As for Meta's, decoding neither fails nor panics, and each item stands on its own. Fields and
//! words that are not known are kept as they came.
//!
//! Reports name a message by `messageId`, which we choose: it is the id of our attempt. A delivery
//! report does not say whose number it is, so that a message that is not ours belongs to the
//! connection's sender that has no id, whatever else is said of it.

mod inbound;
mod notification;
mod report;
mod template;
#[cfg(test)]
mod tests;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::model::Timestamp;
use crate::model::fact::{Decoded, Fact, ItemPath, NumberRef, OtherFact, Said};
use crate::provider::lenient::{self, Members};
use crate::provider::meta::webhook::envelope::{digest, for_each, within};
use crate::provider::meta::webhook::shown::text;
use crate::provider::meta::webhook::{Unreadable, decode_by};

/// Reads everything a body says.
pub fn decode(body: &[u8]) -> Decoded {
    decode_by(body, |json, out| {
        if let Err(error) = walk(json, out) {
            out.take(ItemPath::new(), Err(error));
        }
    })
}

/// Notifications are said to come in an array, and shown without one.
fn walk(json: &str, out: &mut Decoded) -> Result<(), Unreadable> {
    let whole: &RawValue = serde_json::from_str(json)?;
    if !lenient::is_array(whole) {
        return read_body("", whole, out);
    }
    for (n, item) in lenient::elements(whole)?.into_iter().enumerate() {
        let path = format!("[{n}]");
        if let Err(error) = read_body(&path, item, out) {
            out.take(path, Err(error));
        }
    }
    Ok(())
}

fn read_body(path: &str, whole: &RawValue, out: &mut Decoded) -> Result<(), Unreadable> {
    let body = Members::open(whole.get())?;
    if body.get("results").is_some() {
        let prefix = match path {
            "" => String::new(),
            path => format!("{path}."),
        };
        for_each(&body, "results", &prefix, out, |path, raw, out| {
            let item = Item::open(path.clone(), raw).and_then(|item| result(&item));
            out.take(path, item);
        });
        return Ok(());
    }
    let item = Item {
        path: path.to_owned(),
        raw: whole,
        members: body,
    };
    out.take(path.to_owned(), whole_body(&item));
    Ok(())
}

/// An element of `results[]`.
fn result(item: &Item<'_>) -> Result<Fact, Unreadable> {
    let members = &item.members;
    let has = |name| members.get(name).is_some();
    let event = members.text("event");
    let channel = members.text("channel").or(members.text("integrationType"));
    if let Some(channel) = channel
        && !channel.eq_ignore_ascii_case("WHATSAPP")
    {
        // Such as the text message that went out instead: it says nothing of the one on WhatsApp.
        return item.other(&format!("results.{channel}"));
    }
    match event.as_deref() {
        Some("SEEN") => report::seen(item),
        Some("DELIVERY") => report::delivery(item),
        _ if has("message") => inbound::read(item),
        _ if has("seenAt") => report::seen(item),
        _ if has("status") => report::delivery(item),
        Some(event) => item.other(&format!("results.{event}")),
        None => item.other("results"),
    }
}

/// A body that is one item.
fn whole_body(item: &Item<'_>) -> Result<Fact, Unreadable> {
    let members = &item.members;
    if members.get("change").is_some() {
        return template::read(item);
    }
    if let Some(content) = members.get("content") {
        return notification::read(item, content);
    }
    let event = members.text("event").or(members.text("type"));
    match event {
        Some(event) => item.other(&event),
        None if members.iter().next().is_none() => Err(Unreadable::Missing("results")),
        None => item.other("unknown"),
    }
}

/// An object that is a fact.
struct Item<'a> {
    path: ItemPath,
    raw: &'a RawValue,
    members: Members<'a>,
}

impl<'a> Item<'a> {
    fn open(path: ItemPath, raw: &'a RawValue) -> Result<Self, Unreadable> {
        Ok(Self {
            path,
            raw,
            members: Members::open(raw.get())?,
        })
    }

    /// When it happened: the first of these that is there.
    fn at(&self, names: &[&str]) -> Option<Timestamp> {
        let mut raws = names.iter().filter_map(|name| self.members.get(name));
        raws.find_map(lenient::date)
    }

    /// The key of what has no id.
    fn digest(&self, kind: &str) -> String {
        digest(&[kind, self.raw.get()])
    }

    /// A fact whose key is what it says.
    fn fact(&self, kind: &str, at: Option<Timestamp>, said: Said, data: String) -> Fact {
        Fact {
            item: self.path.clone(),
            key: self.digest(kind),
            at,
            said,
            data,
        }
    }

    /// What is not known, kept whole.
    fn other(&self, field: &str) -> Result<Fact, Unreadable> {
        within("event", Some(field))?;
        let mut data = Map::new();
        data.insert("field".into(), field.into());
        data.insert("value".into(), lenient::tree(self.raw)?);
        let at = self.at(&["timestamp", "createdAt", "doneAt", "receivedAt"]);
        let said = Said::Other(OtherFact {
            field: field.to_owned(),
            number: None,
        });
        Ok(self.fact(field, at, said, text(data)))
    }
}

/// A registered sender, by its digits: Infobip has no other id for it.
fn number(digits: Option<&str>) -> Result<NumberRef, Unreadable> {
    within("sender", digits)?;
    let digits = digits.filter(|digits| !digits.is_empty());
    let digits = digits.ok_or(Unreadable::Missing("sender"))?;
    Ok(NumberRef {
        waba_id: None,
        phone_number_id: digits.to_owned(),
        display_phone_number: Some(digits.to_owned()),
    })
}

/// An object inside an item; without members where it is none.
fn inside<'a>(members: &Members<'a>, name: &str) -> Members<'a> {
    let raw = members.get(name);
    raw.and_then(|raw| Members::open(raw.get()).ok())
        .unwrap_or_default()
}

/// What is kept as it came.
fn kept(members: &Members<'_>, name: &str) -> Result<Option<Value>, Unreadable> {
    Ok(members.get(name).map(lenient::tree).transpose()?)
}
