//! Components of a template in Meta's words as Infobip's `structure`: of templates in general
//! (`DefaultTemplateStructureApiData`), and of those of the category `AUTHENTICATION`.

use serde_json::{Map, Value, json};

use super::templates::NO_COUNTERPART;
use crate::provider::content::Place;
use crate::provider::meta::definition::buttons::signature_hash;

/// Adds what is there.
fn put(out: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        out[name] = value.into();
    }
}

/// Of a template, or of a card.
pub(super) fn of(components: &Place<'_>) -> Value {
    let mut out = Value::Object(Map::new());
    for component in components.maybe_items() {
        let kind = component.member("type");
        match kind.word().as_deref() {
            Some("header") => out["header"] = header(&component),
            Some("body") => out["body"] = body(&component),
            Some("footer") => {
                component.only(&["type", "text"], NO_COUNTERPART);
                out["footer"] = json!({"text": component.member("text").text()});
            }
            Some("buttons") => out["buttons"] = buttons(&component),
            Some("carousel") => out["carousel"] = json!({"cards": cards(&component)}),
            Some("limited_time_offer") => out["limitedTimeOffer"] = offer(&component),
            Some("call_permission_request") => out["callPermissionRequest"] = json!({}),
            Some(_) => kind.not_supported("Infobip's templates have no such component"),
            None => {}
        }
    }
    out
}

fn header(component: &Place<'_>) -> Value {
    component.only(&["type", "format", "text", "example"], NO_COUNTERPART);
    let example = component.member("example");
    let format = component.member("format");
    let word = format.word().unwrap_or_default();
    let mut out = json!({"format": word.to_ascii_uppercase()});
    match word.as_str() {
        "text" => {
            put(&mut out, "text", component.member("text").text());
            put(&mut out, "example", first(&example.member("header_text")));
        }
        "image" | "video" | "gif" | "document" => {
            let handles = example.member("header_handle");
            let sample = first(&handles).unwrap_or_default();
            if !(sample.starts_with("https://") || sample.starts_with("http://")) {
                handles.not_supported("Infobip fetches samples: give the address of one");
            }
            out["example"] = sample.into();
        }
        "location" => {}
        _ => format.not_supported("Infobip's templates have no such header"),
    }
    out
}

/// The one element of a list.
fn first<'a>(list: &Place<'a>) -> Option<&'a str> {
    let items = list.maybe_items();
    if items.len() > 1 {
        list.not_supported("Infobip takes one sample");
    }
    items.first()?.text()
}

fn body(component: &Place<'_>) -> Value {
    component.only(&["type", "text", "example"], NO_COUNTERPART);
    let mut out = json!({"text": component.member("text").text()});
    let rows = component
        .member("example")
        .member("body_text")
        .maybe_items();
    if let Some(row) = rows.first() {
        let samples = row.maybe_items();
        out["examples"] = samples.iter().filter_map(Place::text).collect();
    }
    out
}

fn buttons(component: &Place<'_>) -> Value {
    component.only(&["type", "buttons"], NO_COUNTERPART);
    component
        .member("buttons")
        .items()
        .iter()
        .map(button)
        .collect()
}

fn button(button: &Place<'_>) -> Value {
    let member = |name: &str| button.member(name);
    let kind = member("type");
    // WhatsApp's own text stands on those that Infobip takes none for.
    match kind.word().unwrap_or_default().as_str() {
        "quick_reply" => {
            button.only(&["type", "text"], NO_COUNTERPART);
            json!({"type": "QUICK_REPLY", "text": member("text").text()})
        }
        "url" => {
            button.only(&["type", "text", "url", "example"], NO_COUNTERPART);
            let mut out =
                json!({"type": "URL", "text": member("text").text(), "url": member("url").text()});
            put(&mut out, "example", sample(&member("example")));
            out
        }
        "phone_number" => {
            button.only(&["type", "text", "phone_number"], NO_COUNTERPART);
            json!({"type": "PHONE_NUMBER", "text": member("text").text(),
                "phoneNumber": member("phone_number").text()})
        }
        "copy_code" => {
            button.only(&["type", "text", "example"], NO_COUNTERPART);
            json!({"type": "COPY_CODE", "example": code(&member("example"))})
        }
        "flow" => flow(button),
        "catalog" => bare(button, "CATALOG"),
        "mpm" => bare(button, "MULTI_PRODUCT"),
        "request_contact_info" => bare(button, "REQUEST_CONTACT_INFO"),
        "order_details" => {
            button.only(&["type", "text", "variant"], NO_COUNTERPART);
            let variant = member("variant");
            let word = variant.value().and_then(Value::as_str).unwrap_or_default();
            if !["BRAZIL", "INDIA"].contains(&word) {
                variant.not_supported("Infobip needs `BRAZIL` or `INDIA` here");
            }
            json!({"type": "ORDER_DETAILS", "variant": word})
        }
        "voice_call" => {
            button.only(&["type", "text", "ttl_minutes"], NO_COUNTERPART);
            let mut out = json!({"type": "VOICE_CALL", "text": member("text").text()});
            let minutes = member("ttl_minutes");
            put(
                &mut out,
                "callValidityPeriod",
                minutes.value().and_then(|_| minutes.whole()),
            );
            out
        }
        _ => {
            kind.not_supported("Infobip's templates have no such button");
            Value::Null
        }
    }
}

fn bare(button: &Place<'_>, kind: &str) -> Value {
    button.only(&["type", "text"], NO_COUNTERPART);
    json!({"type": kind})
}

/// A text, or a list of one, as Meta's examples have it.
fn sample<'a>(place: &Place<'a>) -> Option<&'a str> {
    match place.value() {
        Some(Value::Array(_)) => first(place),
        _ => place.maybe_text(),
    }
}

/// Infobip's `CopyCodeDefaultButtonApiData.example`: 15 characters at most.
fn code<'a>(place: &Place<'a>) -> Option<&'a str> {
    let code = sample(place)?;
    if code.chars().count() > 15 {
        place.not_supported("Infobip takes at most 15 characters");
    }
    Some(code)
}

fn flow(button: &Place<'_>) -> Value {
    button.only(
        &["type", "text", "flow_id", "flow_action", "navigate_screen"],
        "Infobip takes a flow by its `flow_id`",
    );
    let mut out = json!({"type": "FLOW", "text": button.member("text").text()});
    let id = button.member("flow_id");
    put(&mut out, "flowId", id.value().and_then(|_| id.whole()));
    let action = button.member("flow_action");
    let word = action.value().and_then(|_| action.word());
    out["flowAction"] = word
        .unwrap_or_else(|| "navigate".to_owned())
        .to_ascii_uppercase()
        .into();
    let screen = button.member("navigate_screen").maybe_text();
    put(&mut out, "navigateScreen", screen);
    out
}

fn cards(component: &Place<'_>) -> Vec<Value> {
    component.only(&["type", "cards"], NO_COUNTERPART);
    let card = |card: &Place<'_>| {
        card.only(&["components"], NO_COUNTERPART);
        let out = of(&card.member("components"));
        if out["body"].is_null() {
            card.member("components")
                .not_supported("Infobip needs a body in each card");
        }
        out
    };
    component.member("cards").items().iter().map(card).collect()
}

fn offer(component: &Place<'_>) -> Value {
    component.only(&["type", "limited_time_offer"], NO_COUNTERPART);
    let offer = component.member("limited_time_offer");
    offer.only(&["text", "has_expiration"], NO_COUNTERPART);
    let mut out = json!({"text": offer.member("text").text()});
    put(
        &mut out,
        "hasExpiration",
        offer.member("has_expiration").value().cloned(),
    );
    out
}

/// Whether these can only be of a template of the category `AUTHENTICATION`.
pub(super) fn is_of_authentication(components: &Place<'_>) -> bool {
    let all = components.maybe_items();
    all.iter().any(|component| {
        let buttons = component.member("buttons").maybe_items();
        let is_otp = |button: &Place<'_>| button.member("otp_type").value().is_some();
        component
            .member("add_security_recommendation")
            .value()
            .is_some()
            || component
                .member("code_expiration_minutes")
                .value()
                .is_some()
            || buttons.iter().any(is_otp)
    })
}

/// All three parts are required here, and may be empty.
pub(super) fn of_authentication(components: &Place<'_>) -> Value {
    let mut out = json!({"body": {}, "footer": {}, "buttons": []});
    for component in components.maybe_items() {
        let kind = component.member("type");
        match kind.word().as_deref() {
            Some("body") => {
                component.only(&["type", "add_security_recommendation"], NO_COUNTERPART);
                let said = component
                    .member("add_security_recommendation")
                    .value()
                    .cloned();
                put(&mut out["body"], "addSecurityRecommendation", said);
            }
            Some("footer") => {
                component.only(&["type", "code_expiration_minutes"], NO_COUNTERPART);
                let minutes = component.member("code_expiration_minutes");
                let minutes = minutes.value().and_then(|_| minutes.whole());
                put(&mut out["footer"], "codeExpirationMinutes", minutes);
            }
            Some("buttons") => {
                component.only(&["type", "buttons"], NO_COUNTERPART);
                let buttons = component.member("buttons").items();
                out["buttons"] = buttons.iter().map(otp).collect();
            }
            Some(_) => kind.not_supported("Infobip's templates of this category have none"),
            None => {}
        }
    }
    out
}

fn otp(button: &Place<'_>) -> Value {
    let kind = button.member("otp_type");
    let word = kind.word().unwrap_or_default();
    let mut out = json!({"otpType": word.to_ascii_uppercase()});
    put(&mut out, "text", button.member("text").maybe_text());
    match word.as_str() {
        "copy_code" => button.only(&["type", "otp_type", "text"], NO_COUNTERPART),
        "one_tap" => {
            button.only(
                &[
                    "type",
                    "otp_type",
                    "text",
                    "autofill_text",
                    "package_name",
                    "signature_hash",
                    "supported_apps",
                ],
                NO_COUNTERPART,
            );
            put(
                &mut out,
                "autofillText",
                button.member("autofill_text").maybe_text(),
            );
            let apps = button.member("supported_apps");
            let listed = apps.maybe_items();
            if listed.len() > 1 {
                apps.not_supported("Infobip takes one app");
            }
            let app = listed.first().unwrap_or(button);
            out["packageName"] = json!(app.member("package_name").text());
            let hash = app.member("signature_hash").text().map(signature_hash);
            out["signatureHash"] = json!(hash);
        }
        _ => kind.not_supported("Infobip has `COPY_CODE` and `ONE_TAP` alone"),
    }
    out
}
