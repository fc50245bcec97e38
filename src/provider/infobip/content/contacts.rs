//! Contacts: the same members under other names; types are words of closed lists.

use serde_json::{Value, json};

use super::{NO_COUNTERPART, renamed};
use crate::provider::content::Place;

const HOME_WORK: &[&str] = &["HOME", "WORK"];
const PHONES: &[&str] = &["CELL", "MAIN", "IPHONE", "HOME", "WORK"];

/// What a list is called by either, its members, and the words for their types.
type List<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [&'a str]);

const LISTS: [List<'static>; 4] = [
    (
        "addresses",
        &[
            ("street", "street"),
            ("city", "city"),
            ("state", "state"),
            ("zip", "zip"),
            ("country", "country"),
            ("country_code", "countryCode"),
            ("type", "type"),
        ],
        HOME_WORK,
    ),
    ("emails", &[("email", "email"), ("type", "type")], HOME_WORK),
    (
        "phones",
        &[("phone", "phone"), ("wa_id", "waId"), ("type", "type")],
        PHONES,
    ),
    ("urls", &[("url", "url"), ("type", "type")], HOME_WORK),
];

pub(super) fn translate(place: &Place<'_>) -> Value {
    let contacts: Vec<_> = place.items().iter().map(contact).collect();
    json!({"contacts": contacts})
}

fn contact(place: &Place<'_>) -> Value {
    place.only(
        &[
            "addresses",
            "birthday",
            "emails",
            "name",
            "org",
            "phones",
            "urls",
        ],
        NO_COUNTERPART,
    );
    let name = place.member("name");
    if name.member("first_name").value().is_none() {
        let first = name.member("first_name");
        first.not_supported("missing: Infobip needs a contact's first name");
    }
    let mut out = json!({"name": renamed(&name, &[
        ("formatted_name", "formattedName"),
        ("first_name", "firstName"),
        ("last_name", "lastName"),
        ("middle_name", "middleName"),
        ("suffix", "nameSuffix"),
        ("prefix", "namePrefix"),
    ])});
    if let Some(birthday) = place.member("birthday").maybe_text() {
        out["birthday"] = birthday.into();
    }
    let org = place.member("org");
    if org.value().is_some() {
        let same = ["company", "department", "title"].map(|name| (name, name));
        out["org"] = renamed(&org, &same);
    }
    for (name, members, types) in LISTS {
        let items = place.member(name).maybe_items();
        if !items.is_empty() {
            let items: Vec<_> = items
                .iter()
                .map(|item| typed(item, members, types))
                .collect();
            out[name] = items.into();
        }
    }
    out
}

fn typed(place: &Place<'_>, members: &[(&str, &str)], types: &[&str]) -> Value {
    let mut out = renamed(place, members);
    let r#type = place.member("type");
    if let Some(word) = r#type.maybe_text() {
        let word = word.to_ascii_uppercase();
        if !types.contains(&word.as_str()) {
            r#type.not_supported(format!("Infobip knows `{}`", types.join("`, `")));
        }
        out["type"] = word.into();
    }
    out
}
