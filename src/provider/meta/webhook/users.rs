//! What is said of users: whether they want marketing, that their ids changed, what they clicked.

use serde_json::value::RawValue;

use super::Unreadable;
use super::envelope::{needed, within};
use super::lists::Around;
use super::shown::{self, Shown};
use crate::model::fact::{Alias, Fact, ItemPath, Said, UserFact, UserRef, UserSaid};
use crate::model::{Timestamp, event};
use crate::provider::lenient::Members;

/// An element of `user_preferences[]`.
pub(super) fn preference(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    let user = user(&item, &mut shown)?;
    let at = shown.time("timestamp");
    let value = needed("value", shown.text("value", "value").as_deref())?;
    let category = shown.text("category", "category").unwrap_or_default();
    shown.texts(&["detail", "signup_id"]);
    let said = UserSaid::Preference {
        category: category.to_ascii_lowercase(),
        value: value.to_ascii_lowercase(),
    };
    let data = shown.finish()?;
    fact(around, path, raw, (at, data), user, said)
}

/// An element of `user_id_update[]`.
pub(super) fn new_ids(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    shown.text("wa_id", "user");
    shown.text("detail", "detail");
    let at = shown.time("timestamp");
    let mut user = UserRef {
        wa_id: shown::id(&item, "wa_id"),
        ..UserRef::default()
    };
    let mut renamed = Vec::new();
    for (name, previous, current) in [
        ("user_id", "previous_user_id", "user_id"),
        (
            "parent_user_id",
            "previous_parent_user_id",
            "parent_user_id",
        ),
    ] {
        shown.inside(name, &[("previous", previous), ("current", current)])?;
        let ids = item.get(name).and_then(|raw| Members::open(raw.get()).ok());
        let Some(ids) = ids else {
            continue;
        };
        let new = shown::id(&ids, "current");
        if let (Some(alias), Some(user)) = (shown::id(&ids, "previous"), &new) {
            renamed.push(Alias {
                alias,
                user: user.clone(),
            });
        }
        match name {
            "user_id" => user.user_id = new,
            _ => user.parent_user_id = new,
        }
    }
    let data = shown.finish()?;
    fact(
        around,
        path,
        raw,
        (at, data),
        user,
        UserSaid::NewIds { renamed },
    )
}

/// An element of `user_actions[]` (Marketing Messages API): a click. It names neither the user
/// nor the message.
pub(super) fn action(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    const CLICK: [&str; 4] = [
        "click_component",
        "product_id",
        "click_id",
        "tracking_token",
    ];
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    shown.text("action_type", "action");
    let at = shown.time("timestamp");
    shown.inside(
        "marketing_messages_link_click_data",
        &CLICK.map(|name| (name, name)),
    )?;
    let data = shown.finish()?;
    Ok(around.news(event::USER_ACTION, path, at, raw, data))
}

/// The user by the names that an item has.
fn user(item: &Members<'_>, shown: &mut Shown<'_, '_>) -> Result<UserRef, Unreadable> {
    let wa_id = shown.text("wa_id", "user");
    shown.texts(&["user_id", "parent_user_id"]);
    let user = UserRef {
        wa_id,
        user_id: shown::id(item, "user_id"),
        parent_user_id: shown::id(item, "parent_user_id"),
    };
    within("wa_id", user.wa_id.as_deref())?;
    Ok(user)
}

fn fact(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
    (at, data): (Option<Timestamp>, String),
    user: UserRef,
    said: UserSaid,
) -> Result<Fact, Unreadable> {
    let number = around.needed_number()?;
    Ok(Fact {
        key: around
            .change
            .digest(&around.change.field, Some(&number), raw),
        at: at.or(around.change.at()),
        item: path,
        said: Said::User(UserFact { number, user, said }),
        data,
    })
}
