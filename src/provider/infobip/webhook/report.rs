//! Delivery and seen reports. There is no report of "sent": a message is pending until it is
//! delivered, or not. A seen report has the direction reversed: it is from the user.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Item, inside, kept};
use crate::model::error_class::infobip;
use crate::model::fact::{Fact, NumberRef, ProviderError, Said, Status, StatusFact};
use crate::provider::lenient::{self, Members};
use crate::provider::meta::webhook::Unreadable;
use crate::provider::meta::webhook::envelope::{needed, within};
use crate::provider::meta::webhook::shown::{Shown, id};

/// `DELIVERED_TO_OPERATOR`: on its way, in spite of its group.
const TO_OPERATOR: i64 = 2;

pub(super) fn delivery(item: &Item<'_>) -> Result<Fact, Unreadable> {
    let raw = item.members.get("status");
    let status = Members::open(raw.ok_or(Unreadable::Missing("status"))?.get())?;
    let word = word(&status)?;
    let mut shown = shown(item)?;
    let sent_at = shown.date_shown("sentAt", "sent_at");
    let done_at = shown.date_shown("doneAt", "done_at");
    let mut error = None;
    if word == Status::Failed {
        let (found, errors) = failure(&status, &inside(&item.members, "error"));
        error = found;
        shown.put("errors", Some(errors));
    }
    let recipient = id(&item.members, "to").or(id(&item.members, "destination"));
    shown.without("to");
    let fact = StatusFact {
        status: word,
        error,
        ..said(item, recipient)?
    };
    finish(item, shown, fact, done_at.or(sent_at))
}

pub(super) fn seen(item: &Item<'_>) -> Result<Fact, Unreadable> {
    let mut shown = shown(item)?;
    shown.date_shown("sentAt", "sent_at");
    let seen_at = shown.date_shown("seenAt", "seen_at");
    let recipient = id(&item.members, "from").or(id(&item.members, "destination"));
    shown.text("to", "sender_number");
    shown.without("from");
    let fact = StatusFact {
        status: Status::Read,
        ..said(item, recipient)?
    };
    finish(item, shown, fact, seen_at)
}

/// What both reports say.
fn shown<'m, 'a>(item: &'m Item<'a>) -> Result<Shown<'m, 'a>, Unreadable> {
    let contact = inside(&item.members, "contact");
    let mut shown = Shown::of(&item.members);
    for name in ["event", "channel", "messageId", "destination"] {
        shown.without(name);
    }
    shown.text("sender", "sender_number");
    for name in ["status", "error"] {
        if let Some(Value::Object(said)) = kept(&item.members, name)? {
            shown.without(name);
            shown.put(name, Some(grouped(said)));
        }
    }
    shown.text("callbackData", "callback_data");
    shown.put("recipient_user_id", id(&contact, "userId"));
    shown.put("recipient_parent_user_id", id(&contact, "parentUserId"));
    Ok(shown)
}

/// A status or an error, with our names.
fn grouped(mut said: Map<String, Value>) -> Map<String, Value> {
    for (theirs, ours) in [("groupId", "group_id"), ("groupName", "group")] {
        if let Some(value) = said.remove(theirs) {
            said.insert(ours.to_owned(), value);
        }
    }
    said
}

fn said(item: &Item<'_>, recipient: Option<String>) -> Result<StatusFact, Unreadable> {
    let message = needed("messageId", item.members.text("messageId").as_deref())?;
    Ok(StatusFact {
        number: Arc::new(NumberRef::unnamed()),
        callback: Some(message.clone()),
        provider_message_id: message,
        status: Status::Read,
        recipient,
        user_id: None,
        parent_user_id: None,
        participant: None,
        error: None,
    })
}

fn finish(
    item: &Item<'_>,
    mut shown: Shown<'_, '_>,
    fact: StatusFact,
    at: Option<crate::model::Timestamp>,
) -> Result<Fact, Unreadable> {
    shown.put("recipient", fact.recipient.clone());
    Ok(Fact {
        item: item.path.clone(),
        key: String::new(),
        at,
        said: Said::Status(fact),
        data: shown.finish()?,
    })
}

/// Our word for a status: by its group, which every status has, known or not.
fn word(status: &Members<'_>) -> Result<Status, Unreadable> {
    let group = status.get("groupId").and_then(lenient::integer);
    let name = status.text("groupName").map(|name| name.to_uppercase());
    let group = group.or(match name.as_deref() {
        Some("PENDING") => Some(1),
        Some("UNDELIVERABLE") => Some(2),
        Some("DELIVERED") => Some(3),
        Some("EXPIRED") => Some(4),
        Some("REJECTED") => Some(5),
        _ => None,
    });
    let id = status.get("id").and_then(lenient::integer);
    Ok(match group {
        Some(3) if id == Some(TO_OPERATOR) => Status::Sent,
        Some(3) => Status::Delivered,
        Some(2 | 4 | 5) => Status::Failed,
        _ => {
            let word = status.text("name").or(status.text("groupName"));
            within("status.name", word.as_deref())?;
            let word = word.ok_or(Unreadable::Missing("status.groupId"))?;
            Status::Other(word.to_lowercase())
        }
    })
}

/// Why it failed: the error, or what the status says where there is none. Shown as errors of all
/// providers are, with the provider's word on whether the same could succeed.
fn failure(status: &Members<'_>, error: &Members<'_>) -> (Option<ProviderError>, Value) {
    let integer = |of: &Members<'_>, name| of.get(name).and_then(lenient::integer);
    let permanent = error
        .get("permanent")
        .map(|raw| raw.get().trim_matches('"'));
    let permanent = permanent.and_then(|word| word.to_lowercase().parse().ok());
    let of_error = integer(error, "id").and_then(|id| infobip::error(id, permanent));
    let (of, code) = match of_error {
        Some(code) => (error, Some(code)),
        None => (status, integer(status, "id").and_then(infobip::status)),
    };
    let text = |name| of.text(name).map(|text| text.into_owned());
    let (title, details) = (text("name"), text("description"));
    let code_shown = code.map(infobip::shown);
    let mut shown = json!({"code": code_shown, "title": title, "details": details});
    if let (Some(members), Some(permanent)) = (shown.as_object_mut(), permanent) {
        members.insert("permanent".to_owned(), permanent.into());
    }
    if let Some(members) = shown.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    let error = code.map(|code| ProviderError {
        code,
        title,
        details,
    });
    (error, json!([shown]))
}
