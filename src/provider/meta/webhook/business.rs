//! Fields that stand alone: Flows, payment gateways, partners' solutions, automatic events.

use serde_json::value::RawValue;

use super::Unreadable;
use super::accounts::news;
use super::envelope::Change;
use super::lists::Around;
use super::shown::Shown;
use super::templates::of;
use crate::model::event;
use crate::model::fact::{Fact, ItemPath};
use crate::provider::lenient::Members;

/// `flows`: the status of a Flow, or how well it and its endpoint do. A Flow that is blocked or
/// throttled shows on sending (132068, 132069).
pub(super) fn flow(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    shown.word("event", "event");
    shown.texts(&["flow_id", "message", "warning"]);
    shown.word("old_status", "previous");
    shown.word("new_status", "new");
    shown.word("alert_state", "alert_state");
    shown.integers(&["requests_count", "p50_latency", "p90_latency"]);
    Ok(of(
        change,
        news(event::FLOW_UPDATE, Vec::new()),
        shown.finish()?,
    ))
}

/// `payment_configuration_update`.
pub(super) fn payment_configuration(
    change: &Change<'_>,
    value: &Members<'_>,
) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    shown.texts(&[
        "configuration_name",
        "provider_name",
        "provider_mid",
        "status",
    ]);
    shown.time_shown("created_timestamp", "created_at");
    shown.time_shown("updated_timestamp", "updated_at");
    Ok(of(
        change,
        news(event::PAYMENT_CONFIGURATION, Vec::new()),
        shown.finish()?,
    ))
}

/// `partner_solutions`. Here `entry.id` is a business portfolio.
pub(super) fn partner_solution(
    change: &Change<'_>,
    value: &Members<'_>,
) -> Result<Fact, Unreadable> {
    let mut shown = Shown::of_value(value);
    shown.word("event", "event");
    shown.text("solution_id", "solution_id");
    shown.word("solution_status", "status");
    shown.put("business_id", change.waba_id.as_deref());
    Ok(of(
        change,
        news(event::PARTNER_SOLUTION, Vec::new()),
        shown.finish()?,
    ))
}

/// An element of `automatic_events[]`: a purchase or a lead, by the message it was seen in.
pub(super) fn automatic_event(
    around: Around<'_, '_>,
    path: ItemPath,
    raw: &RawValue,
) -> Result<Fact, Unreadable> {
    let item = Members::open(raw.get())?;
    let mut shown = Shown::of(&item);
    shown.text("id", "provider_message_id");
    shown.text("event_name", "event");
    shown.text("ctwa_clid", "ctwa_clid");
    let at = shown.time("timestamp");
    let data = shown.finish()?;
    Ok(around.news(event::AUTOMATIC_EVENT, path, at, raw, data))
}
