//! A definition in Meta's words as Infobip's template requests have it: `TemplateRequest` and
//! `TemplateEditRequest` of its OpenAPI document. What has no counterpart is refused by its place.

use std::collections::BTreeSet;

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
    for component in place.member("components").maybe_items() {
        check_v1(&component);
    }
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

/// What `V1HeaderApiData` and `V1ButtonApiData` have not.
fn check_v1(component: &Place<'_>) {
    match component.member("type").word().as_deref() {
        Some("header") => {
            let format = component.member("format");
            if matches!(format.word().as_deref(), Some("gif" | "product")) {
                format.not_supported("Infobip's first API has no such header");
            }
        }
        Some("buttons") => {
            let list = component.member("buttons");
            let buttons = list.maybe_items();
            let kinds: Vec<_> = buttons.iter().map(|it| it.member("type")).collect();
            let words: Vec<_> = kinds.iter().filter_map(Place::word).collect();
            for kind in &kinds {
                let word = kind.word().unwrap_or_default();
                if !["quick_reply", "url", "phone_number"].contains(&word.as_str()) {
                    kind.not_supported("Infobip's first API has no such button");
                }
            }
            let replies = words.iter().filter(|word| *word == "quick_reply").count();
            let unique: BTreeSet<_> = words.iter().collect();
            let calls = words.len() - replies;
            let is_one_kind = replies == 0 || calls == 0;
            if !is_one_kind || replies > 3 || (calls > 0 && unique.len() < calls) {
                list.not_supported(
                    "Infobip's first API takes 3 quick replies, or one button with a URL and one \
                     with a phone number",
                );
            }
        }
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::content::Faults;

    #[test]
    fn what_the_first_api_has_not_is_refused_by_its_place() {
        let faults = |component: Value| {
            let definition = json!({"name": "a", "language": "en", "category": "ALERT_UPDATE",
                "components": [{"type": "BODY", "text": "Hi"}, component]});
            let faults = Faults::default();
            body_v1(&Place::new("", Some(&definition), &faults));
            let faults = faults.into_vec().into_iter();
            faults.map(|fault| fault.field).collect::<Vec<_>>()
        };
        let buttons = |kinds: &[&str]| {
            let button = |kind: &&str| {
                json!({"type": kind, "text": "x", "url": "https://ours.test",
                    "phone_number": "447700900123"})
            };
            let buttons: Vec<_> = kinds.iter().map(button).collect();
            let mut faults = faults(json!({"type": "BUTTONS", "buttons": buttons}));
            // A button of one kind has nothing for the other's.
            faults.retain(|field| !field.ends_with("url") && !field.ends_with("phone_number"));
            faults
        };
        let none = Vec::<String>::new();
        assert_eq!(buttons(&["QUICK_REPLY"; 3]), none);
        assert_eq!(buttons(&["URL", "PHONE_NUMBER"]), none);
        let list = "components[1].buttons";
        assert_eq!(buttons(&["QUICK_REPLY"; 4]), [list]);
        assert_eq!(buttons(&["URL", "URL"]), [list]);
        assert_eq!(buttons(&["QUICK_REPLY", "URL"]), [list]);
        let catalog = buttons(&["CATALOG"]);
        assert_eq!(catalog[0], format!("{list}[0].type"));
        let gif = json!({"type": "HEADER", "format": "GIF",
            "example": {"header_handle": ["https://ours.test/a.mp4"]}});
        assert_eq!(faults(gif)[0], "components[1].format");
    }
}
