//! Interactive messages: an endpoint a type.

use serde_json::{Map, Value, json};

use super::{NO_COUNTERPART, media, put, renamed};
use crate::provider::content::Place;

pub(super) fn translate(place: &Place<'_>) -> Option<(&'static str, Value)> {
    place.only(
        &["type", "header", "body", "footer", "action"],
        NO_COUNTERPART,
    );
    let kind = place.member("type");
    let action = place.member("action");
    let (endpoint, action, headers) = match kind.text()? {
        "button" => ("interactive/buttons", buttons(&action), ANY),
        "list" => ("interactive/list", list(&action), TEXT),
        "cta_url" => ("interactive/url-button", url(&action), TEXT),
        "flow" => ("interactive/flow", flow(&action), TEXT),
        "product" => ("interactive/product", product(&action), NONE),
        "product_list" => ("interactive/multi-product", products(&action), TEXT),
        "location_request_message" => {
            action.only(&["name"], NO_COUNTERPART);
            place.only(&["type", "header", "body", "action"], NO_COUNTERPART);
            ("interactive/location-request", Value::Null, NONE)
        }
        other => {
            kind.not_supported(format!(
                "`{other}` is not translated for Infobip; `raw` takes any endpoint's message"
            ));
            return None;
        }
    };
    let mut out = Value::Object(Map::new());
    put(
        &mut out,
        "action",
        Some(action).filter(|action| !action.is_null()),
    );
    for (name, of) in [
        ("body", place.member("body")),
        ("footer", place.member("footer")),
    ] {
        if of.value().is_some() {
            out[name] = renamed(&of, &[("text", "text")]);
        }
    }
    let header = place.member("header");
    if header.value().is_some() {
        put(&mut out, "header", read_header(&header, headers));
    }
    Some((endpoint, out))
}

const ANY: &[&str] = &["text", "image", "video", "document"];
const TEXT: &[&str] = &["text"];
const NONE: &[&str] = &[];

fn read_header(place: &Place<'_>, allowed: &[&str]) -> Option<Value> {
    let kind = place.member("type").text()?;
    if !allowed.contains(&kind) {
        place.not_supported(format!(
            "Infobip takes no `{kind}` header with such a message"
        ));
        return None;
    }
    place.only(&["type", kind], NO_COUNTERPART);
    let under = place.member(kind);
    let mut out = match kind {
        "text" => json!({"text": under.text()?}),
        "document" => media(&under, &["filename"]),
        _ => media(&under, &[]),
    };
    out["type"] = kind.to_ascii_uppercase().into();
    Some(out)
}

fn buttons(action: &Place<'_>) -> Value {
    action.only(&["buttons"], NO_COUNTERPART);
    let button = |button: Place<'_>| {
        button.only(&["type", "reply"], NO_COUNTERPART);
        let kind = button.member("type");
        if kind.value().is_some_and(|kind| kind != "reply") {
            kind.not_supported("Infobip takes buttons of type `reply` alone");
        }
        let mut out = renamed(&button.member("reply"), &[("id", "id"), ("title", "title")]);
        out["type"] = "REPLY".into();
        out
    };
    let buttons = action.member("buttons").items().into_iter().map(button);
    json!({"buttons": buttons.collect::<Vec<_>>()})
}

fn list(action: &Place<'_>) -> Value {
    action.only(&["button", "sections"], NO_COUNTERPART);
    let section = |section: Place<'_>| {
        section.only(&["title", "rows"], NO_COUNTERPART);
        let same = ["id", "title", "description"].map(|name| (name, name));
        let rows = section.member("rows").items();
        let rows: Vec<_> = rows.iter().map(|row| renamed(row, &same)).collect();
        let mut out = json!({"rows": rows});
        put(&mut out, "title", section.member("title").maybe_text());
        out
    };
    let sections = action.member("sections").items().into_iter().map(section);
    let mut out = json!({"sections": sections.collect::<Vec<_>>()});
    put(&mut out, "title", action.member("button").text());
    out
}

fn url(action: &Place<'_>) -> Value {
    action.only(&["name", "parameters"], NO_COUNTERPART);
    let names = [("display_text", "displayText"), ("url", "url")];
    renamed(&action.member("parameters"), &names)
}

fn flow(action: &Place<'_>) -> Value {
    action.only(&["name", "parameters"], NO_COUNTERPART);
    let parameters = action.member("parameters");
    for needed in ["flow_id", "flow_token"] {
        if parameters.member(needed).value().is_none() {
            parameters
                .member(needed)
                .not_supported("missing: Infobip needs it");
        }
    }
    let mut out = renamed(
        &parameters,
        &[
            ("flow_id", "flowId"),
            ("flow_token", "flowToken"),
            ("flow_cta", "callToActionButton"),
            ("flow_message_version", "flowMessageVersion"),
            ("flow_action", "flowAction"),
            ("flow_action_payload", "flowActionPayload"),
            ("mode", "mode"),
        ],
    );
    let version = parameters.member("flow_message_version");
    if version.value().is_some() {
        put(&mut out, "flowMessageVersion", version.whole());
    }
    for (name, infobips) in [("flow_action", "flowAction"), ("mode", "mode")] {
        if let Some(word) = parameters.member(name).maybe_text() {
            out[infobips] = word.to_ascii_uppercase().into();
        }
    }
    out
}

fn product(action: &Place<'_>) -> Value {
    let names = [
        ("catalog_id", "catalogId"),
        ("product_retailer_id", "productRetailerId"),
    ];
    renamed(action, &names)
}

fn products(action: &Place<'_>) -> Value {
    action.only(&["catalog_id", "sections"], NO_COUNTERPART);
    let mut out = json!({"sections": sections(&action.member("sections"))});
    put(&mut out, "catalogId", action.member("catalog_id").text());
    out
}

/// Products by section, as templates have them too.
pub(super) fn sections(place: &Place<'_>) -> Vec<Value> {
    let section = |section: Place<'_>| {
        section.only(&["title", "product_items"], NO_COUNTERPART);
        let ids = section
            .member("product_items")
            .items()
            .into_iter()
            .filter_map(|item| {
                item.only(&["product_retailer_id"], NO_COUNTERPART);
                item.member("product_retailer_id").text()
            });
        let mut out = json!({"productRetailerIds": ids.collect::<Vec<_>>()});
        put(&mut out, "title", section.member("title").maybe_text());
        out
    };
    place.items().into_iter().map(section).collect()
}
