//! Meta's vocabulary of messages into Infobip's: of each type, which endpoint takes it and what it
//! has to be told. What cannot be said there is refused by its place, and nothing is left out in
//! silence. Its shape was checked before (`meta::content`).

mod contacts;
mod interactive;
mod template;

use serde_json::{Map, Value, json};

use crate::provider::content::Place;

/// Why a member is refused that has no counterpart.
const NO_COUNTERPART: &str = "Infobip's API has nothing for it; `raw` takes what it does have";

/// The endpoint of a message and its `content`.
pub(super) fn translate(kind: &str, place: &Place<'_>) -> Option<(&'static str, Value)> {
    match kind {
        "text" => {
            let text = renamed(place, &[("body", "text"), ("preview_url", "previewUrl")]);
            Some(("text", text))
        }
        "image" => Some(("image", media(place, &["caption"]))),
        "video" => Some(("video", media(place, &["caption"]))),
        "audio" => Some(("audio", media(place, &[]))),
        "sticker" => Some(("sticker", media(place, &[]))),
        "document" => Some(("document", media(place, &["caption", "filename"]))),
        "location" => Some(("location", location(place, &["name", "address"]))),
        "contacts" => Some(("contact", contacts::translate(place))),
        "interactive" => interactive::translate(place),
        "template" => Some(("template", template::translate(place))),
        _ => {
            place.not_supported(format!(
                "Infobip's API has no endpoint for messages of type `{kind}` that is known here; \
                 `raw` takes any"
            ));
            None
        }
    }
}

/// Members as they are, under Infobip's names, and no others.
fn renamed(place: &Place<'_>, names: &[(&str, &str)]) -> Value {
    let known: Vec<_> = names.iter().map(|(theirs, _)| *theirs).collect();
    place.only(&known, NO_COUNTERPART);
    let mut out = Map::new();
    for (metas, infobips) in names {
        if let Some(value) = place.member(metas).value() {
            out.insert((*infobips).to_owned(), value.clone());
        }
    }
    out.into()
}

/// Infobip fetches media from an address.
fn media(place: &Place<'_>, beside: &[&str]) -> Value {
    let id = place.member("id");
    if id.value().is_some() {
        id.not_supported("Infobip fetches media from an address: give `link`");
    }
    let names = beside.iter().map(|name| (*name, *name));
    let names: Vec<_> = [("id", "id"), ("link", "mediaUrl")]
        .into_iter()
        .chain(names)
        .collect();
    renamed(place, &names)
}

/// Coordinates are numbers here.
fn location(place: &Place<'_>, beside: &[&str]) -> Value {
    let names = beside.iter().map(|name| (*name, *name));
    let coordinates = ["latitude", "longitude"];
    let names: Vec<_> = names.chain(coordinates.map(|name| (name, name))).collect();
    let mut out = renamed(place, &names);
    for name in coordinates {
        out[name] = json!(place.member(name).number());
    }
    out
}

/// Adds what is there.
fn put(out: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        out[name] = value.into();
    }
}
