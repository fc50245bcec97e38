//! Notifications `{from, content, createdAt}`: that a user wants no marketing, that a user's
//! identity changed, what became of a payment. `from` is our sender, and `content.from` the user.

use serde_json::value::RawValue;

use super::{Item, number};
use crate::model::event;
use crate::model::fact::{Fact, NewsFact, Said, UserFact, UserRef, UserSaid};
use crate::provider::lenient::Members;
use crate::provider::meta::webhook::Unreadable;
use crate::provider::meta::webhook::envelope::needed;
use crate::provider::meta::webhook::shown::{Shown, id};

pub(super) fn read(item: &Item<'_>, content: &RawValue) -> Result<Fact, Unreadable> {
    let content = Members::open(content.get())?;
    if content.get("notificationMessagesStatus").is_some() {
        return marketing(item, &content);
    }
    match content.text("type").as_deref() {
        Some("user_identity_changed") => identity(item, &content),
        _ if content.get("paymentStatus").is_some() => payment(item, &content),
        Some(kind) => item.other(kind),
        None => item.other("notification"),
    }
}

fn marketing(item: &Item<'_>, content: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of(content);
    let wa_id = shown.text("from", "user");
    shown.without("sender");
    shown.put("category", Some("marketing_messages"));
    let value = shown.text("notificationMessagesStatus", "value");
    let value = needed("notificationMessagesStatus", value.as_deref())?.to_ascii_lowercase();
    shown.put("value", Some(value.as_str()));
    shown.text("description", "detail");
    let sender = item.members.text("from").or(content.text("sender"));
    let user = user(wa_id, content)?;
    let said = Said::User(UserFact {
        number: number(sender.as_deref())?,
        user,
        said: UserSaid::Preference {
            category: "marketing_messages".to_owned(),
            value,
        },
    });
    let at = item.at(&["createdAt"]);
    Ok(item.fact("marketing", at, said, shown.finish()?))
}

/// The user by number, or by scoped id where there is none.
fn user(wa_id: Option<String>, content: &Members<'_>) -> Result<UserRef, Unreadable> {
    let user = UserRef {
        wa_id: wa_id.filter(|id| id.len() <= crate::provider::lenient::KEY_BYTES),
        user_id: id(content, "userId"),
        parent_user_id: id(content, "parentUserId"),
    };
    match user.strongest() {
        Some(_) => Ok(user),
        None => Err(Unreadable::Missing("content.from")),
    }
}

fn identity(item: &Item<'_>, content: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of(content);
    shown.without("type");
    shown.text("userNumber", "user");
    shown.text("userId", "user_id");
    shown.text("description", "detail");
    shown.text("hash", "hash");
    news(item, event::USER_IDENTITY, shown.finish()?)
}

fn payment(item: &Item<'_>, content: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of(content);
    shown.without("type");
    shown.text("from", "recipient");
    shown.text("paymentStatus", "status");
    shown.text("referenceId", "reference_id");
    shown.text("paymentId", "payment_id");
    shown.text("currency", "currency");
    news(item, event::PAYMENT_STATUS, shown.finish()?)
}

fn news(item: &Item<'_>, r#type: &'static str, data: String) -> Result<Fact, Unreadable> {
    let sender = item.members.text("from");
    let said = Said::News(NewsFact {
        r#type: r#type.into(),
        number: Some(number(sender.as_deref())?),
        words: Vec::new(),
    });
    Ok(item.fact(r#type, item.at(&["createdAt"]), said, data))
}
