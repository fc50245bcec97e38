//! Groups: four fields of one shape.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::Unreadable;
use super::lists::Around;
use super::shown::Shown;
use crate::model::event;
use crate::model::fact::{Fact, ItemPath};
use crate::provider::lenient::{self, Members};

/// An element of `groups[]`.
pub(super) fn read(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let r#type = match &*around.change.field {
        "group_lifecycle_update" => event::GROUP_LIFECYCLE,
        "group_settings_update" => event::GROUP_SETTINGS,
        "group_status_update" => event::GROUP_STATUS,
        _ => event::GROUP_PARTICIPANTS,
    };
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    let at = shown.time("timestamp");
    shown.texts(&[
        "group_id",
        "request_id",
        "subject",
        "description",
        "invite_link",
    ]);
    shown.texts(&[
        "join_approval_mode",
        "reason",
        "initiated_by",
        "join_request_id",
    ]);
    shown.text("wa_id", "user");
    shown.texts(&["user_id", "username"]);
    if let Some(kind) = item.text("type") {
        shown.without("type");
        shown.put("type", Some(one_spelling(&kind)));
    }
    for list in [
        "added_participants",
        "removed_participants",
        "failed_participants",
    ] {
        participants(&item, list, &mut shown)?;
    }
    shown.errors("errors")?;
    let data = shown.finish()?;
    Ok(around.news(r#type, path, at, raw, data))
}

/// Meta's pages have two of the types both ways.
fn one_spelling(kind: &str) -> &str {
    match kind {
        "group_add_participants" => "group_participants_add",
        "group_remove_participants" => "group_participants_remove",
        kind => kind,
    }
}

fn participants(
    item: &Members<'_>,
    list: &'static str,
    shown: &mut Shown<'_, '_>,
) -> Result<(), Unreadable> {
    let Some(elements) = item.get(list).and_then(|raw| lenient::elements(raw).ok()) else {
        return Ok(());
    };
    let each: Result<Vec<_>, _> = elements.into_iter().map(participant).collect();
    shown.without(list);
    shown.put(list, Some(Value::Array(each?)));
    Ok(())
}

/// By `input` where it was asked for, by `wa_id` or `user_id` where it is known. Elsewhere a lone
/// text stands for the number.
fn participant(raw: &RawValue) -> Result<Value, Unreadable> {
    let Ok(item) = Members::open(raw.get()) else {
        return Ok(match lenient::tree(raw)? {
            Value::String(user) => Map::from_iter([("user".to_owned(), user.into())]).into(),
            other => other,
        });
    };
    let mut shown = Shown::of(&item);
    shown.text("wa_id", "user");
    shown.texts(&["input", "user_id", "parent_user_id", "username"]);
    shown.errors("errors")?;
    Ok(Value::Object(shown.whole()?))
}
