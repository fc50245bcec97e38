//! Calls, and statuses of what is no message: none of these moves a message.

use serde_json::value::RawValue;

use super::Unreadable;
use super::lists::Around;
use super::shown::Shown;
use crate::model::event;
use crate::model::fact::{Fact, ItemPath};
use crate::provider::lenient::Members;

/// An element of `calls[]`. What a call's user sent along (`session`) is kept as it came.
pub(super) fn event(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    shown.text("id", "call_id");
    shown.text("event", "event");
    shown.word("direction", "direction");
    // Meta writes `Completed` too.
    shown.word("status", "status");
    shown.text("biz_opaque_callback_data", "callback_data");
    shown.text("to", "recipient");
    shown.text("to_user_id", "recipient_user_id");
    shown.text("to_parent_user_id", "recipient_parent_user_id");
    shown.texts(&["from", "from_user_id", "from_parent_user_id"]);
    shown.texts(&["deeplink_payload", "cta_payload"]);
    shown.time_shown("start_time", "started_at");
    shown.time_shown("end_time", "ended_at");
    shown.integers(&["duration"]);
    shown.errors("errors")?;
    let at = shown.time("timestamp");
    let data = shown.finish()?;
    Ok(around.news(event::CALL_EVENT, path, at, raw, data))
}

/// An element of `statuses[]` of a call.
pub(super) fn status(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    shown.without("type");
    shown.text("id", "call_id");
    shown.word("status", "status");
    of_no_message(event::CALL_STATUS, around, path, raw, shown)
}

/// An element of `statuses[]` of a payment (Payments API).
pub(super) fn payment(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    shown.without("type");
    shown.text("id", "provider_message_id");
    shown.text("status", "status");
    shown.inside(
        "payment",
        &[("reference_id", "reference_id"), ("currency", "currency")],
    )?;
    of_no_message(event::PAYMENT_STATUS, around, path, raw, shown)
}

fn of_no_message(
    r#type: &'static str,
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
    mut shown: Shown<'_, '_>,
) -> Result<Fact, Unreadable> {
    shown.text("recipient_id", "recipient");
    shown.texts(&["recipient_user_id", "recipient_parent_user_id"]);
    shown.text("biz_opaque_callback_data", "callback_data");
    shown.errors("errors")?;
    let at = shown.time("timestamp");
    let data = shown.finish()?;
    Ok(around.news(r#type, path, at, raw, data))
}
