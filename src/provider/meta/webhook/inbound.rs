//! Elements of `messages[]`: what users wrote, and what WhatsApp says of users (`system`).

use serde_json::Value;
use serde_json::value::RawValue;

use super::envelope::{needed, within};
use super::lists::Around;
use super::shown::{self, Shown};
use super::{Unreadable, inbound_content};
use crate::model::fact::{Alias, Fact, InboundFact, ItemPath, Said, UserRef};
use crate::provider::lenient::{self, Members};

pub(super) fn read(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let id = needed("id", item.text("id").as_deref())?;
    let kind = item.text("type").unwrap_or(inbound_content::UNKNOWN.into());
    let (from, user) = (item.text("from"), item.text("from_user_id"));
    within("type", Some(&kind))?;
    within("from", from.as_deref())?;
    within("from_user_id", user.as_deref())?;

    // As Meta sent it: the content stands under its type, `context` and `referral` beside it.
    let mut shown = Shown::of(&item);
    shown.without("id");
    shown.without("timestamp");
    shown.put("provider_message_id", Some(id.as_str()));
    shown.put("type", Some(kind.as_ref()));
    shown.texts(&["from", "from_user_id", "from_parent_user_id", "group_id"]);
    inbound_content::show(&kind, &item, &mut shown)?;
    shown.errors("errors")?;
    let profile = profile(around.value, from.as_deref(), user.as_deref());
    shown.put("profile", profile);
    if around.change.field == "standby" {
        // Another responder has the conversation.
        shown.put("standby", Some(true));
    }
    let data = shown.finish()?;

    Ok(Fact {
        item: path,
        key: id.clone(),
        at: item
            .get("timestamp")
            .and_then(lenient::moment)
            .or(around.change.at()),
        data,
        said: Said::Inbound(InboundFact {
            number: around.needed_number()?,
            provider_message_id: id,
            in_group: item.get("group_id").is_some(),
            aliases: aliases(&item, &kind),
            kind: kind.into_owned(),
            from: from.map(|from| from.into_owned()),
            from_user_id: user.map(|user| user.into_owned()),
        }),
    })
}

/// The names by which the user is known, and the new ones that a `system` message gives.
fn aliases(item: &Members<'_>, kind: &str) -> Vec<Alias> {
    let old = UserRef {
        wa_id: shown::id(item, "from"),
        user_id: shown::id(item, "from_user_id"),
        parent_user_id: shown::id(item, "from_parent_user_id"),
    };
    let system = item.get("system").filter(|_| kind == "system");
    let Some(system) = system.and_then(|raw| Members::open(raw.get()).ok()) else {
        return old.aliases().collect();
    };
    let new = UserRef {
        wa_id: shown::id(&system, "wa_id"),
        user_id: shown::id(&system, "user_id"),
        parent_user_id: shown::id(&system, "parent_user_id"),
    };
    // Of either kind the old leads to the new: a number to a number, an id to an id.
    let pairs = [(&old.wa_id, &new.wa_id), (&old.user_id, &new.user_id)];
    let renamed = pairs.into_iter().filter_map(|(old, new)| {
        let (alias, user) = (old.clone()?, new.clone()?);
        (alias != user).then_some(Alias { alias, user })
    });
    renamed.chain(new.aliases()).collect()
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
