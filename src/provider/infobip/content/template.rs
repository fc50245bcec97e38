//! Templates: Infobip has texts by place, one header, and buttons in their order; Meta's components
//! say which is which.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::interactive::sections;
use super::{NO_COUNTERPART, location, media, put};
use crate::model::rfc3339;
use crate::provider::content::Place;

pub(super) fn translate(place: &Place<'_>) -> Value {
    place.only(&["name", "language", "components"], NO_COUNTERPART);
    let language = place.member("language");
    language.only(&["code", "policy"], NO_COUNTERPART);
    let mut data = components(&place.member("components"));
    if data["body"].is_null() {
        // Needed also where the template has no places.
        data["body"] = json!({"placeholders": []});
    }
    let mut out = json!({"templateData": data});
    put(&mut out, "templateName", place.member("name").text());
    put(&mut out, "language", language.member("code").text());
    out
}

/// `templateData`, or a card of a carousel.
fn components(place: &Place<'_>) -> Value {
    let mut out = Value::Object(Map::new());
    let mut buttons = Vec::new();
    for component in place.maybe_items() {
        let kind = component.member("type");
        match kind.word().as_deref() {
            Some("body") => {
                component.only(&["type", "parameters"], NO_COUNTERPART);
                let texts = component.member("parameters").maybe_items();
                let texts: Vec<_> = texts.iter().filter_map(placeholder).collect();
                out["body"] = json!({"placeholders": texts});
            }
            Some("header") => put(&mut out, "header", header(&component)),
            Some("button") => {
                let index = component.member("index").whole();
                buttons.extend(button(&component).map(|button| (index, button)));
            }
            Some("carousel") => out["carousel"] = json!({"cards": cards(&component)}),
            Some("limited_time_offer") => put(&mut out, "limitedTimeOffer", offer(&component)),
            Some(_) => kind.not_supported("Infobip's templates have no such component"),
            None => {}
        }
    }
    if !buttons.is_empty() {
        // In the order of the template, whatever the order here.
        buttons.sort_by_key(|(index, _)| *index);
        let buttons = buttons.into_iter().map(|(_, button)| button);
        out["buttons"] = buttons.collect();
    }
    out
}

/// A text by its place.
fn placeholder(parameter: &Place<'_>) -> Option<String> {
    let kind = parameter.member("type");
    match kind.word()?.as_str() {
        "text" => {
            let name = parameter.member("parameter_name");
            if name.value().is_some() {
                name.not_supported("Infobip takes parameters by their place alone, not by name");
            }
            parameter.only(&["type", "text", "parameter_name"], NO_COUNTERPART);
            parameter.member("text").text().map(str::to_owned)
        }
        other => {
            parameter.not_supported(format!(
                "Infobip takes texts alone: give the text in place of `{other}`"
            ));
            None
        }
    }
}

/// The one parameter of a component.
fn only_parameter<'a>(component: &Place<'a>) -> Option<Place<'a>> {
    component.only(&["type", "sub_type", "index", "parameters"], NO_COUNTERPART);
    let parameters = component.member("parameters");
    let mut items = parameters.maybe_items();
    if items.len() > 1 {
        parameters.not_supported("Infobip takes one parameter here");
    }
    items.drain(..).next()
}

fn header(component: &Place<'_>) -> Option<Value> {
    let parameter = only_parameter(component)?;
    let kind = parameter.member("type").word()?;
    if kind == "text" {
        return Some(json!({"type": "TEXT", "placeholder": placeholder(&parameter)?}));
    }
    parameter.only(&["type", &kind], NO_COUNTERPART);
    let under = parameter.member(&kind);
    let mut out = match kind.as_str() {
        "image" | "video" | "gif" => media(&under, &[]),
        "document" => media(&under, &["filename"]),
        "location" => location(&under, &[]),
        _ => {
            parameter.not_supported(format!("Infobip's templates have no `{kind}` header"));
            return None;
        }
    };
    out["type"] = kind.to_ascii_uppercase().into();
    Some(out)
}

fn button(component: &Place<'_>) -> Option<Value> {
    let kind = component.member("sub_type");
    let out = match kind.word()?.as_str() {
        "quick_reply" => json!({"type": "QUICK_REPLY", "parameter": text(component, "payload")?}),
        // A one-time password is the parameter of a URL.
        "url" | "otp" => json!({"type": "URL", "parameter": text(component, "text")?}),
        "copy_code" => {
            json!({"type": "COPY_CODE", "parameter": text(component, "coupon_code")?})
        }
        "flow" => {
            let mut out = json!({"type": "FLOW"});
            if let Some(action) = action(component, &["flow_token", "flow_action_data"]) {
                let token = action.member("flow_token").maybe_text();
                put(&mut out, "flowToken", token);
                let data = action.member("flow_action_data").value().cloned();
                put(&mut out, "data", data);
            }
            out
        }
        "catalog" => {
            let mut out = json!({"type": "CATALOG"});
            if let Some(action) = action(component, &["thumbnail_product_retailer_id"]) {
                thumbnail(&mut out, &action);
            }
            out
        }
        "mpm" => {
            let Some(action) = action(component, &["thumbnail_product_retailer_id", "sections"])
            else {
                component.not_supported("Infobip needs the sections of such a button");
                return None;
            };
            let sections = sections(&action.member("sections"));
            let mut out = json!({"type": "MULTI_PRODUCT", "sections": sections});
            thumbnail(&mut out, &action);
            out
        }
        _ => {
            kind.not_supported("Infobip's templates have no such button that is known here");
            return None;
        }
    };
    Some(out)
}

/// The text that is a button's parameter.
fn text<'a>(component: &Place<'a>, name: &str) -> Option<&'a str> {
    let Some(parameter) = only_parameter(component) else {
        component.not_supported("Infobip needs the parameter of such a button");
        return None;
    };
    parameter.only(&["type", name], NO_COUNTERPART);
    parameter.member(name).text()
}

/// The object that is a button's parameter, if it has one.
fn action<'a>(component: &Place<'a>, names: &[&str]) -> Option<Place<'a>> {
    let parameter = only_parameter(component)?;
    parameter.only(&["type", "action"], NO_COUNTERPART);
    let action = parameter.member("action");
    action.only(names, NO_COUNTERPART);
    action.value().is_some().then_some(action)
}

fn thumbnail(out: &mut Value, action: &Place<'_>) {
    let id = action.member("thumbnail_product_retailer_id").maybe_text();
    put(out, "thumbnailProductRetailerId", id);
}

fn cards(component: &Place<'_>) -> Vec<Value> {
    component.only(&["type", "cards"], NO_COUNTERPART);
    let card = |card: Place<'_>| {
        card.only(&["card_index", "components"], NO_COUNTERPART);
        (
            card.member("card_index").whole(),
            components(&card.member("components")),
        )
    };
    let cards = component.member("cards").items().into_iter().map(card);
    let mut cards: Vec<_> = cards.collect();
    cards.sort_by_key(|(index, _)| *index);
    cards.into_iter().map(|(_, card)| card).collect()
}

fn offer(component: &Place<'_>) -> Option<Value> {
    let parameter = only_parameter(component)?;
    parameter.only(&["type", "limited_time_offer"], NO_COUNTERPART);
    let offer = parameter.member("limited_time_offer");
    offer.only(&["expiration_time_ms"], NO_COUNTERPART);
    let expires = offer.member("expiration_time_ms");
    let at = i128::from(expires.whole()?) * 1_000_000;
    match OffsetDateTime::from_unix_timestamp_nanos(at) {
        Ok(at) => Some(json!({"expirationTime": rfc3339(at)})),
        Err(_) => {
            expires.expected("a time");
            None
        }
    }
}
