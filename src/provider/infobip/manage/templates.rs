//! A definition in Meta's words as Infobip's template requests have it: `TemplateRequest` and
//! `TemplateEditRequest` of its OpenAPI document. What has no counterpart is refused by its place.

use serde_json::{Map, Value, json};

use super::structure;
use crate::provider::content::Place;

/// Why a member is refused that has no counterpart.
pub(super) const NO_COUNTERPART: &str = "Infobip's templates have nothing for it";

/// The body of a creation, or of an edit.
pub(in crate::provider) fn body(place: &Place<'_>, is_edit: bool) -> Value {
    place.only(
        &[
            "name",
            "language",
            "category",
            "components",
            "parameter_format",
            "message_send_ttl_seconds",
            "sub_category",
        ],
        NO_COUNTERPART,
    );
    if place.member("parameter_format").maybe_text() == Some("NAMED") {
        let format = place.member("parameter_format");
        format.not_supported("Infobip takes parameters by their place alone, not by name");
    }
    let mut out = Map::new();
    for name in ["name", "language", "category"] {
        if let Some(value) = place.member(name).value() {
            out.insert(name.to_owned(), value.clone());
        }
    }
    let components = place.member("components");
    if components.value().is_some() {
        // Which of the two an edit means, it says by what it holds.
        let is_authentication = place.member("category").maybe_text() == Some("AUTHENTICATION")
            || structure::is_of_authentication(&components);
        let structure = match is_authentication {
            true => structure::of_authentication(&components),
            false => structure::of(&components),
        };
        out.insert("structure".to_owned(), structure);
    }
    if let Some(period) = validity(place, is_edit) {
        out.insert("validityPeriod".to_owned(), period);
    }
    let sub = place.member("sub_category");
    match sub.maybe_text() {
        None => {}
        Some("ORDER_STATUS") => {
            out.insert("subCategory".to_owned(), "ORDER_STATUS".into());
        }
        Some(_) => sub.not_supported("Infobip knows `ORDER_STATUS` alone"),
    }
    Value::Object(out)
}

/// Categories of the first API (`V1TemplatePublicApiRequest.category`).
pub(in crate::provider) const CATEGORIES_V1: [&str; 11] = [
    "ACCOUNT_UPDATE",
    "PAYMENT_UPDATE",
    "PERSONAL_FINANCE_UPDATE",
    "SHIPPING_UPDATE",
    "RESERVATION_UPDATE",
    "ISSUE_RESOLUTION",
    "APPOINTMENT_UPDATE",
    "TRANSPORTATION_UPDATE",
    "TICKET_UPDATE",
    "ALERT_UPDATE",
    "AUTO_REPLY",
];

/// The body of a creation by the first API: texts are texts, and there are no samples.
pub(in crate::provider) fn body_v1(place: &Place<'_>) -> Value {
    place.only(
        &[
            "name",
            "language",
            "category",
            "components",
            "parameter_format",
        ],
        "Infobip's first API has nothing for it",
    );
    let whole = body(place, false);
    let structure = &whole["structure"];
    let mut old = json!({"body": structure["body"]["text"]});
    for name in ["header", "buttons", "footer"] {
        match (name, &structure[name]) {
            (_, Value::Null) => {}
            ("footer", footer) => old[name] = footer["text"].clone(),
            (_, part) => old[name] = without_samples(part),
        }
    }
    for name in ["carousel", "limitedTimeOffer", "callPermissionRequest"] {
        if !structure[name].is_null() {
            let components = place.member("components");
            components.not_supported(format!("Infobip's first API has no `{name}`"));
        }
    }
    json!({"name": whole["name"], "language": whole["language"], "category": whole["category"],
        "structure": old})
}

fn without_samples(part: &Value) -> Value {
    match part {
        Value::Array(items) => items.iter().map(without_samples).collect(),
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| *name != "example");
            members
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect()
        }
        other => other.clone(),
    }
}

/// New templates of other categories have none; -1 is the default again.
fn validity(place: &Place<'_>, is_edit: bool) -> Option<Value> {
    let seconds = place.member("message_send_ttl_seconds");
    let amount = seconds.value().and_then(|_| seconds.whole())?;
    if !is_edit && place.member("category").maybe_text() != Some("AUTHENTICATION") {
        seconds.not_supported("Infobip takes it for templates of the category `AUTHENTICATION`");
    }
    if !(amount == -1 || (30..=900).contains(&amount)) {
        seconds.not_supported("Infobip takes 30 to 900 seconds, or -1");
    }
    Some(json!({"amount": amount, "timeUnit": "SECONDS"}))
}
