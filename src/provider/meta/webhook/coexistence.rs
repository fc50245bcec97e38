//! Numbers that are used in the WhatsApp Business app too: its history, what people write there,
//! its contacts. None of these is a delivery of ours: a status in a history is shown, and counts
//! for nothing.

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::envelope::{Change, for_each, needed, within};
use super::lists::{Around, number, walk_lists};
use super::shown::{self, Shown};
use super::{Unreadable, errors, inbound_content};
use crate::model::fact::{Decoded, Fact, ItemPath, NewsFact, Said};
use crate::model::{Timestamp, event};
use crate::provider::lenient::{self, Members};

/// `history`: chunks of threads of messages; or, later, the media of such messages.
pub(super) fn history(change: &Change<'_>, value: &Members<'_>, out: &mut Decoded) {
    let number = number(change, value).map(Arc::new);
    let around = Around {
        change,
        value,
        number: number.as_ref(),
    };
    let prefix = format!("{}.value.", change.path);
    let is_history = value.get("history").is_some();
    for_each(value, "history", &prefix, out, |path, raw, out| {
        if let Err(error) = chunk(around, &path, raw, out) {
            out.take(path, Err(error));
        }
    });
    let rest = value.only(|name| name != "history");
    let around = Around {
        value: &rest,
        ..around
    };
    if !walk_lists(around, &prefix, &["messages"], out) && !is_history {
        let (path, number) = (change.path.clone(), number.as_deref().cloned());
        let fact = change.other(path, change.field.to_string(), number, change.value);
        out.take(change.path.clone(), fact);
    }
}

/// An element of `history[]`: how far it is, and what it has.
fn chunk(
    around: Around<'_, '_>,
    path: &str,
    raw: &RawValue,
    out: &mut Decoded,
) -> Result<(), Unreadable> {
    let item = Members::open(raw.get())?;
    if let Some(metadata) = item.get("metadata") {
        let progress = progress(around, path, metadata);
        out.take(path.to_owned(), progress);
    }
    let prefix = format!("{path}.");
    for_each(&item, "errors", &prefix, out, |path, raw, out| {
        let fact = declined(around, path.clone(), raw);
        out.take(path, fact);
    });
    for_each(
        &item,
        "threads",
        &prefix,
        out,
        |path, raw, out| match Members::open(raw.get()) {
            Ok(thread) => {
                let id = thread.text("id");
                for_each(
                    &thread,
                    "messages",
                    &format!("{path}."),
                    out,
                    |path, raw, out| {
                        let fact = history_message(around, id.as_deref(), path.clone(), raw);
                        out.take(path, fact);
                    },
                );
            }
            Err(error) => out.take(path, Err(error.into())),
        },
    );
    Ok(())
}

fn progress(around: Around<'_, '_>, path: &str, metadata: &RawValue) -> Result<Fact, Unreadable> {
    let item = Members::open(metadata.get())?;
    let mut shown = Shown::of(&item);
    shown.integers(&["phase", "chunk_order", "progress"]);
    let data = shown.finish()?;
    Ok(around.news(event::HISTORY_CHUNK, path.to_owned(), None, metadata, data))
}

/// The business did not share it (2593109).
fn declined(around: Around<'_, '_>, path: ItemPath, raw: &RawValue) -> Result<Fact, Unreadable> {
    let data = match errors::read(raw)?.1 {
        Value::Object(data) => data,
        other => Map::from_iter([("details".to_owned(), other)]),
    };
    Ok(around.news(event::HISTORY_ERROR, path, None, raw, shown::text(data)))
}

/// A message of the history, or its medium. It may come again with more in it, so that its bytes
/// and not its id tell it from others.
pub(super) fn history_message(
    around: Around<'_, '_>,
    thread: Option<&str>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    let at = message(&item, &mut shown)?;
    shown.put("thread", thread);
    shown.inside("history_context", &[("status", "status")])?;
    let data = shown.finish()?;
    Ok(around.news(event::HISTORY_MESSAGE, path, at, raw, data))
}

/// An element of `message_echoes[]`: a person wrote it in the Business app. Under `standby`
/// another responder did, and the message stands under `message` as it was posted.
pub(super) fn echo(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let id = needed("id", item.text("id").as_deref())?;
    let posted = item
        .get("message")
        .and_then(|raw| Members::open(raw.get()).ok());
    let kind = item.text("type").or_else(|| posted.as_ref()?.text("type"));
    within("type", kind.as_deref())?;
    let kind = kind
        .as_deref()
        .unwrap_or(inbound_content::UNKNOWN)
        .to_owned();
    let mut shown = Shown::of(&item);
    let at = message(&item, &mut shown)?;
    shown.put("type", Some(kind.as_str()));
    Ok(Fact {
        key: id,
        at: at.or(around.change.at()),
        item: path,
        said: Said::News(NewsFact {
            r#type: format!("echo.{kind}").into(),
            number: Some(around.needed_number()?),
            words: Vec::new(),
        }),
        data: shown.finish()?,
    })
}

/// What messages have in common, whoever wrote them.
fn message(item: &Members<'_>, shown: &mut Shown<'_, '_>) -> Result<Option<Timestamp>, Unreadable> {
    shown.text("id", "provider_message_id");
    shown.text("to", "recipient");
    shown.text("to_user_id", "recipient_user_id");
    shown.text("to_parent_user_id", "recipient_parent_user_id");
    shown.texts(&["from", "from_user_id", "from_parent_user_id", "type"]);
    if let Some(kind) = item.text("type") {
        inbound_content::show(&kind, item, shown)?;
    }
    shown.errors("errors")?;
    Ok(shown.time("timestamp"))
}

/// An element of `state_sync[]`. An edit comes as `add`; of a removed contact there is no name.
pub(super) fn contact(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    const CONTACT: [&str; 3] = ["full_name", "first_name", "phone_number"];
    let item = Members::open(raw.get())?;
    let metadata = item
        .get("metadata")
        .and_then(|raw| Members::open(raw.get()).ok());
    let at = metadata
        .and_then(|metadata| metadata.get("timestamp"))
        .and_then(lenient::moment);
    let mut shown = Shown::of(&item);
    if at.is_some() {
        shown.without("metadata");
    }
    shown.texts(&["type", "action"]);
    shown.inside("contact", &CONTACT.map(|name| (name, name)))?;
    let data = shown.finish()?;
    Ok(around.news(event::CONTACT_SYNC, path, at, raw, data))
}
