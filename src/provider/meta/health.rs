//! Messaging health: whether Meta sends for a number, and for what stands above it (account,
//! business, app). Shown with a number by Graph, and passed on by 360dialog.

use serde_json::Value;

use crate::model::reading::NumberReading;
use crate::provider::lenient::{self, Members};
use crate::provider::reading::{inside, named, word};

/// Adds what `health_status` says. The whole is as well as the worst of its parts.
pub(in crate::provider) fn read(number: &mut NumberReading, health_status: &Members<'_>) {
    number.health = word(health_status, "can_send_message");
    let entities = health_status.get("entities").map(lenient::elements);
    for raw in entities.and_then(Result::ok).unwrap_or_default() {
        let Ok(entity) = Members::open(raw.get()) else {
            continue;
        };
        if word(&entity, "entity_type").as_deref() == Some("WABA") {
            number.waba_id = named(&entity, "id");
            number.account_health = word(&entity, "can_send_message");
        }
        number.errors.extend(errors(&entity));
    }
}

/// What is wrong, and what is only worth knowing, which is text.
fn errors(entity: &Members<'_>) -> Vec<Value> {
    ["errors", "additional_info"]
        .into_iter()
        .filter_map(|name| lenient::elements(entity.get(name)?).ok())
        .flatten()
        .filter_map(|raw| lenient::tree(raw).ok())
        .collect()
}

/// Whether there is any, and what of it.
pub(in crate::provider) fn of<'a>(body: &Members<'a>) -> Members<'a> {
    inside(body, "health_status")
}
