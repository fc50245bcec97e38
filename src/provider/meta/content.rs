//! Meta's vocabulary of messages, which callers use with every provider: whether an object can be
//! what its type says. What Meta may have added since (a type, a component, a parameter, a member)
//! passes as it is; only what no version could take is refused.

use serde_json::Value;

use crate::provider::content::{Faults, LONGEST_KEY, Place};

/// Of a text message.
const LONGEST_TEXT: usize = 4096;
/// Times in seconds are smaller than this for thousands of years, times in milliseconds larger.
const FIRST_MS: i64 = 100_000_000_000;

/// Says what is wrong with the object under a message's type.
pub fn check(kind: &str, content: &Value, faults: &Faults) {
    let place = Place::new(kind, Some(content), faults);
    match kind {
        "text" => {
            place.member("body").text_within(LONGEST_TEXT);
        }
        "image" | "video" | "audio" | "document" | "sticker" => media(&place),
        "location" => coordinates(&place),
        "contacts" => {
            for contact in place.items() {
                contact.member("name").member("formatted_name").text();
            }
        }
        "reaction" => {
            place.member("message_id").text();
            let emoji = place.member("emoji");
            // Empty takes the reaction back.
            if emoji.value().is_none_or(|emoji| !emoji.is_string()) {
                emoji.expected("an emoji, or an empty text");
            }
        }
        "interactive" => interactive(&place),
        "template" => template(&place),
        _ => {}
    }
}

/// By Meta's id of it, or by its address.
fn media(place: &Place<'_>) {
    let (id, link) = (place.member("id"), place.member("link"));
    match (id.value().is_some(), link.value().is_some()) {
        (true, false) => {
            if !id.value().is_some_and(|id| id.is_string() || id.is_u64()) {
                id.expected("Meta's id of the media");
            }
        }
        (false, true) => {
            let is_web = |link: &str| link.starts_with("http://") || link.starts_with("https://");
            if link.text().is_some_and(|text| !is_web(text)) {
                link.expected("an address that begins with `https://` or `http://`");
            }
        }
        (false, false) => place.expected("an object with `link`, or with Meta's `id` of the media"),
        (true, true) => place.expected("either `id` or `link`"),
    }
}

fn coordinates(place: &Place<'_>) {
    place.member("latitude").number();
    place.member("longitude").number();
}

fn interactive(place: &Place<'_>) {
    let Some(kind) = place.member("type").text() else {
        return;
    };
    let action = place.member("action");
    let needs_body = match kind {
        "button" => {
            for button in action.member("buttons").items() {
                let kind = button.member("type");
                // The one there is today.
                if kind.value().is_none_or(|kind| kind == "reply") {
                    let reply = button.member("reply");
                    reply.member("id").text();
                    reply.member("title").text();
                }
            }
            true
        }
        "list" => {
            action.member("button").text();
            for section in action.member("sections").items() {
                for row in section.member("rows").items() {
                    row.member("id").text();
                    row.member("title").text();
                }
            }
            true
        }
        "cta_url" => {
            let parameters = action.member("parameters");
            parameters.member("display_text").text();
            parameters.member("url").text();
            true
        }
        "flow" => {
            let parameters = action.member("parameters");
            parameters.member("flow_cta").text();
            if parameters.member("flow_name").value().is_none() {
                parameters.member("flow_id").text();
            }
            true
        }
        "product" => {
            action.member("catalog_id").text();
            action.member("product_retailer_id").text();
            false
        }
        "product_list" => {
            action.member("catalog_id").text();
            products(&action);
            true
        }
        "catalog_message" | "location_request_message" => {
            action.object();
            true
        }
        _ => false,
    };
    if needs_body {
        place.member("body").member("text").text();
    }
}

fn products(action: &Place<'_>) {
    for section in action.member("sections").items() {
        for product in section.member("product_items").items() {
            product.member("product_retailer_id").text();
        }
    }
}

fn template(place: &Place<'_>) {
    names(place);
    components(&place.member("components"));
}

fn names(template: &Place<'_>) {
    template.member("name").key();
    let language = template.member("language").member("code");
    if language.value().is_none() {
        language.expected("a language such as `en_US`");
    } else {
        language.key();
    }
}

fn components(place: &Place<'_>) {
    for component in place.maybe_items() {
        let Some(kind) = component.member("type").word() else {
            continue;
        };
        match kind.as_str() {
            "header" | "body" | "limited_time_offer" => parameters(&component),
            "button" => {
                component.member("sub_type").text();
                component.member("index").whole();
                parameters(&component);
            }
            "carousel" => {
                for card in component.member("cards").items() {
                    card.member("card_index").whole();
                    components(&card.member("components"));
                }
            }
            _ => {}
        }
    }
}

fn parameters(component: &Place<'_>) {
    for parameter in component.member("parameters").maybe_items() {
        let Some(kind) = parameter.member("type").word() else {
            continue;
        };
        let under = parameter.member(&kind);
        match kind.as_str() {
            "text" | "payload" | "coupon_code" => {
                under.text();
            }
            "image" | "video" | "document" | "gif" => media(&under),
            "location" => coordinates(&under),
            "currency" => {
                under.member("code").text();
                under.member("amount_1000").whole();
            }
            "date_time" => {
                under.member("fallback_value").text();
            }
            "action" => {
                under.object();
            }
            "product" => {
                under.member("product_retailer_id").text();
            }
            "limited_time_offer" => {
                let expires = under.member("expiration_time_ms");
                if expires.whole().is_some_and(|at| at < FIRST_MS) {
                    expires.expected("milliseconds since 1970");
                }
            }
            _ => {}
        }
    }
}

/// A template's name and language, the latter as webhooks' are kept.
pub fn template_of(kind: &str, content: &Value) -> Option<(String, String)> {
    let text = |pointer| {
        let text = content.pointer(pointer).and_then(Value::as_str);
        text.filter(|text| !text.is_empty() && text.len() <= LONGEST_KEY)
    };
    match kind {
        // Meta takes both spellings; its webhooks use both. A lane must have one.
        "template" => Some((
            text("/name")?.to_owned(),
            text("/language/code")?.replace('-', "_"),
        )),
        "raw" if content["type"] == "template" => template_of("template", content.get("template")?),
        _ => None,
    }
}

/// What of a request's body is ours to say.
const OURS: [(&str, &str); 5] = [
    ("to", "given with the message"),
    ("recipient", "given with the message, as `to`"),
    ("recipient_type", "given with the message"),
    ("messaging_product", "always `whatsapp`"),
    (
        "biz_opaque_callback_data",
        "the attempt's own id: give `reference` instead",
    ),
];

/// Says what is wrong with a body of `POST /messages` that a caller wrote itself.
pub fn check_raw(raw: &Value, faults: &Faults) {
    let place = Place::new("raw", Some(raw), faults);
    for (name, why) in OURS {
        let member = place.member(name);
        if member.value().is_some() {
            member.expected(&format!("nothing here: it is {why}"));
        }
    }
    // A body without type is none of a message: it marks one as read.
    if let Some("template") = place.member("type").text() {
        // No more than makes its lane: what else it holds is the caller's affair.
        names(&place.member("template"));
    }
}

#[cfg(test)]
mod tests;
