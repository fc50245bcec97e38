//! Elements of `messages[]`: what users wrote.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::messages::needed_number;
use super::{Unreadable, needed, put, text, within};
use crate::model::fact::{Fact, InboundFact, ItemPath, NumberRef, Said};
use crate::provider::lenient::{self, Members};

/// The word for a message whose `type` is missing; Meta uses it for what it cannot name itself.
const UNKNOWN: &str = "unknown";

pub(super) fn read(
    value: &Members<'_>,
    number: Option<&NumberRef>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let id = needed("id", item.text("id").as_deref())?;
    let kind = item.text("type").unwrap_or(UNKNOWN.into());
    let (from, user) = (item.text("from"), item.text("from_user_id"));
    within("type", Some(&kind))?;
    within("from", from.as_deref())?;
    within("from_user_id", user.as_deref())?;

    // As Meta sent it: the content stands under its type, `context` and `referral` beside it.
    let mut data = Map::new();
    for (name, raw) in item.iter() {
        if !matches!(name, "id" | "timestamp") && raw.get() != "null" {
            data.insert(name.to_owned(), lenient::tree(raw)?);
        }
    }
    put(&mut data, "provider_message_id", Some(id.as_str()));
    put(&mut data, "type", Some(kind.as_ref()));
    put(&mut data, "from", from.as_deref());
    put(&mut data, "from_user_id", user.as_deref());
    put(
        &mut data,
        "profile",
        profile(value, from.as_deref(), user.as_deref()),
    );

    Ok(Fact {
        item: path,
        key: id.clone(),
        at: item.get("timestamp").and_then(lenient::moment),
        data: text(data),
        said: Said::Inbound(InboundFact {
            number: needed_number(number)?,
            provider_message_id: id,
            kind: kind.into_owned(),
            from: from.map(|from| from.into_owned()),
            from_user_id: user.map(|user| user.into_owned()),
        }),
    })
}

/// The profile of who wrote, from `contacts[]` beside the messages. Of a lone contact the ids need
/// not match: in some countries `from` and `wa_id` spell one number differently.
fn profile(value: &Members<'_>, from: Option<&str>, user: Option<&str>) -> Option<Value> {
    let contacts: Vec<Members<'_>> = lenient::elements(value.get("contacts")?)
        .ok()?
        .into_iter()
        .filter_map(|raw| Members::open(raw.get()).ok())
        .collect();
    let same = |contact: &Members<'_>, name, id: Option<&str>| {
        id.is_some() && contact.text(name).as_deref() == id
    };
    let contact = contacts
        .iter()
        .find(|c| same(c, "user_id", user) || same(c, "wa_id", from))
        .or(contacts.first().filter(|_| contacts.len() == 1))?;
    lenient::tree(contact.get("profile")?).ok()
}
