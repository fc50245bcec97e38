//! A template as callers define it, in Meta's words: whether it can be one. Every provider hands it
//! to Meta in the end, so that Meta's rules are everybody's; what a provider cannot say besides is
//! its own folder's. Everything that is wrong is told by its place, before anything is sent.
//!
//! Limits are those of Meta's page on template components (header 60, body 1024, footer 60, button
//! text 25, URL 2000, phone number 20 characters; 10 buttons) unless a comment says otherwise.

pub(in crate::provider) mod buttons;
mod variables;

use serde_json::Value;

use crate::provider::content::Place;

/// "Message templates": at most 512 characters, `a-z`, `0-9` and `_`.
const NAME: usize = 512;
const HEADER: usize = 60;
const BODY: usize = 1024;
const FOOTER: usize = 60;
/// Infobip's `LimitedTimeOfferApiData.text`, as on Meta's page on limited-time offers.
const OFFER: usize = 16;
/// Infobip's `CarouselApiData.cards`; Meta's page on media card carousels has 2 to 10.
const CARDS: usize = 10;
/// A card's text, on Meta's page on media card carousels.
const CARD_BODY: usize = 160;

/// What a definition may say: the fields of Meta's SDK for new templates, but for one that Meta
/// does not read any more (`allow_category_change`).
const MEMBERS: [&str; 18] = [
    "name",
    "language",
    "category",
    "components",
    "parameter_format",
    "message_send_ttl_seconds",
    "sub_category",
    "library_template_name",
    "library_template_button_inputs",
    "library_template_body_inputs",
    "cta_url_link_tracking_opted_out",
    "display_format",
    "is_primary_device_delivery_only",
    "product_set_id",
    "send_type",
    "bid_spec",
    "optimization_spec",
    "degrees_of_freedom_spec",
];

const CATEGORIES: [&str; 3] = ["MARKETING", "UTILITY", "AUTHENTICATION"];

/// What a definition says of itself as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    is_authentication: bool,
    is_marketing: bool,
    /// Variables have names, not numbers.
    is_named: bool,
}

/// Whether a word may name a template.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// Checks a whole definition.
pub(in crate::provider) fn check(place: &Place<'_>) {
    check_in(place, &CATEGORIES);
}

/// The same, where categories are others.
pub(in crate::provider) fn check_in(place: &Place<'_>, categories: &[&str]) {
    let name = place.member("name");
    if name.text().is_some_and(|name| !is_name(name)) {
        name.expected("1 to 512 lower-case letters, digits and `_`");
    }
    let language = place.member("language");
    if language
        .text()
        .is_some_and(|language| !is_language(language))
    {
        language.expected("a language such as `en` or `en_GB`");
    }
    let category = place.member("category");
    match category.text() {
        Some(word) if !categories.contains(&word) => not_one_of(&category, categories),
        Some(word) => check_content(place, Some(word)),
        None => {}
    }
}

/// Checks what an edit says: of a template of this category, where that is known.
pub(in crate::provider) fn check_edit(place: &Place<'_>, known: Option<&str>) {
    for name in ["name", "language"] {
        let fixed = place.member(name);
        if fixed.value().is_some() {
            fixed.expected("nothing: a template keeps its name and its language");
        }
    }
    let category = place.member("category");
    let given = category.maybe_text();
    if given.is_some_and(|word| !CATEGORIES.contains(&word)) {
        return not_one_of(&category, &CATEGORIES);
    }
    check_content(place, given.or(known));
}

fn not_one_of(place: &Place<'_>, words: &[&str]) {
    place.expected(&format!("one of `{}`", words.join("`, `")));
}

fn is_language(text: &str) -> bool {
    let (language, region) = text.split_once('_').unwrap_or((text, "XX"));
    (2..=3).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_lowercase())
        && (2..=4).contains(&region.len())
        && region.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn check_content(place: &Place<'_>, category: Option<&str>) {
    let given = place.value().and_then(Value::as_object);
    for name in given.into_iter().flat_map(|members| members.keys()) {
        if !MEMBERS.contains(&name.as_str()) {
            place.member(name).expected("no such field");
        }
    }
    let format = place.member("parameter_format");
    let is_named = match format.maybe_text() {
        None | Some("POSITIONAL") => false,
        Some("NAMED") => true,
        Some(_) => {
            format.expected("`POSITIONAL` or `NAMED`");
            false
        }
    };
    validity(&place.member("message_send_ttl_seconds"), category);
    let context = Context {
        is_authentication: category == Some("AUTHENTICATION"),
        is_marketing: category.is_none_or(|category| category == "MARKETING"),
        is_named,
    };
    let all = place.member("components");
    // Meta's library brings its own, and an edit may leave them as they are.
    let is_edit = place.member("name").value().is_none();
    if all.value().is_some()
        || !(is_edit || place.member("library_template_name").value().is_some())
    {
        components(&all, context);
    }
}

/// "Time-to-live": authentication 30 s to 15 min, utility 30 s to 12 h, marketing 12 h to 30 days;
/// -1 is Meta's default again.
fn validity(place: &Place<'_>, category: Option<&str>) {
    let Some(seconds) = place.value().and_then(|_| place.whole()) else {
        return;
    };
    let (least, most) = match category {
        Some("AUTHENTICATION") => (30, 900),
        Some("UTILITY") => (30, 43_200),
        Some("MARKETING") => (43_200, 2_592_000),
        _ => (30, 2_592_000),
    };
    if seconds != -1 && !(least..=most).contains(&seconds) {
        place.expected(&format!(
            "{least} to {most} seconds for this category, or -1"
        ));
    }
}

fn components(all: &Place<'_>, context: Context) {
    let items = all.items();
    let mut seen = Vec::new();
    for component in &items {
        let kind = component.member("type");
        let Some(word) = kind.word() else { continue };
        if seen.contains(&word) {
            kind.expected("each type of component once");
        }
        match word.as_str() {
            "header" => header(component, context),
            "body" => body(component, context),
            "footer" => footer(component, context),
            "buttons" => buttons::check(component, context),
            "carousel" => carousel(component, context),
            "limited_time_offer" => offer(component, all, context),
            "call_permission_request" => {}
            _ => kind.expected(
                "one of `HEADER`, `BODY`, `FOOTER`, `BUTTONS`, `CAROUSEL`, `LIMITED_TIME_OFFER`, \
                 `CALL_PERMISSION_REQUEST`",
            ),
        }
        seen.push(word);
    }
    let has = |word: &str| seen.iter().any(|seen| seen == word);
    // "Limited-time offer templates": no footer.
    if has("limited_time_offer") && has("footer") {
        all.expected("no `FOOTER` beside a `LIMITED_TIME_OFFER`");
    }
    if !items.is_empty() && !has("body") {
        all.expected("a component of the type `BODY`");
    }
    if context.is_authentication && !items.is_empty() && !has("buttons") {
        all.expected("a component of the type `BUTTONS` with an `OTP` button");
    }
}

fn header(component: &Place<'_>, context: Context) {
    let format = component.member("format");
    match format.word().as_deref() {
        Some(_) if context.is_authentication => {
            component.expected("no header: templates of this category have none");
        }
        Some("text") => {
            let text = component.member("text");
            if let Some(words) = text.text_within(HEADER) {
                let found = variables::check(&text, words, context.is_named, false);
                if found.len() > 1 {
                    text.expected("at most one variable in a header");
                }
                variables::header_samples(component, &found, context.is_named);
            }
        }
        Some("image" | "video" | "document" | "gif") => media_sample(component),
        Some("location" | "product") => {}
        Some(_) => format
            .expected("one of `TEXT`, `IMAGE`, `VIDEO`, `GIF`, `DOCUMENT`, `LOCATION`, `PRODUCT`"),
        None => {}
    }
}

/// A handle of Meta's resumable upload, or with 360dialog and Infobip an address.
fn media_sample(component: &Place<'_>) {
    let handles = component.member("example").member("header_handle");
    for handle in handles.items() {
        handle.text();
    }
}

fn body(component: &Place<'_>, context: Context) {
    let text = component.member("text");
    let security = component.member("add_security_recommendation");
    if context.is_authentication {
        if text.value().is_some() {
            text.expected("no text: WhatsApp has its own for templates of this category");
        }
        if security.value().is_some_and(|value| !value.is_boolean()) {
            security.expected("`true` or `false`");
        }
        return;
    }
    if security.value().is_some() {
        security.expected("nothing here: it is of templates of the category `AUTHENTICATION`");
    }
    if let Some(words) = text.text_within(BODY) {
        let found = variables::check(&text, words, context.is_named, true);
        variables::body_samples(component, &found, context.is_named);
    }
}

fn footer(component: &Place<'_>, context: Context) {
    let (text, minutes) = (
        component.member("text"),
        component.member("code_expiration_minutes"),
    );
    if context.is_authentication {
        if text.value().is_some() {
            text.expected("no text: WhatsApp has its own for templates of this category");
        }
        // "Authentication templates": 1 to 90 minutes.
        if minutes.value().is_some()
            && minutes
                .whole()
                .is_some_and(|minutes| !(1..=90).contains(&minutes))
        {
            minutes.expected("1 to 90 minutes");
        }
        return;
    }
    if minutes.value().is_some() {
        minutes.expected("nothing here: it is of templates of the category `AUTHENTICATION`");
    }
    if text
        .text_within(FOOTER)
        .is_some_and(|text| text.contains("{{"))
    {
        text.expected("a text without variables");
    }
}

fn offer(component: &Place<'_>, all: &Place<'_>, context: Context) {
    only_marketing(component, context);
    let offer = component.member("limited_time_offer");
    offer.member("text").text_within(OFFER);
    let expires = offer.member("has_expiration");
    match expires.value() {
        None | Some(Value::Bool(false)) => {}
        // Infobip's `LimitedTimeOfferApiData`: the code comes first among the buttons then.
        Some(Value::Bool(true)) => {
            if first_button(all).as_deref() != Some("copy_code") {
                expires.expected(
                    "a `COPY_CODE` button, the first of them, with an offer that expires",
                );
            }
        }
        Some(_) => expires.expected("`true` or `false`"),
    }
}

fn first_button(all: &Place<'_>) -> Option<String> {
    let all = all.value()?.as_array()?;
    let is_buttons = |component: &&Value| {
        let kind = component["type"].as_str();
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case("buttons"))
    };
    let buttons = all.iter().find(is_buttons)?;
    Some(buttons["buttons"][0]["type"].as_str()?.to_ascii_lowercase())
}

fn only_marketing(component: &Place<'_>, context: Context) {
    if !context.is_marketing {
        let kind = component.member("type");
        kind.expected("a template of the category `MARKETING`: no other has this component");
    }
}

fn card_header(part: &Place<'_>, context: Context) {
    let format = part.member("format");
    match format.word().as_deref() {
        Some("image" | "video" | "product") => header(part, context),
        Some(_) => format.expected("`IMAGE`, `VIDEO` or `PRODUCT`, as the header of a card"),
        None => {}
    }
}

fn carousel(component: &Place<'_>, context: Context) {
    only_marketing(component, context);
    let cards = component.member("cards");
    let items = cards.items();
    if items.len() > CARDS {
        cards.expected("at most 10 cards");
    }
    for card in items {
        let parts = card.member("components");
        let mut kinds = Vec::new();
        for part in parts.items() {
            let kind = part.member("type");
            match kind.word().as_deref() {
                Some("header") => card_header(&part, context),
                Some("body") => {
                    body(&part, context);
                    let text = part.member("text");
                    if text
                        .maybe_text()
                        .is_some_and(|it| it.chars().count() > CARD_BODY)
                    {
                        text.expected("at most 160 characters on a card");
                    }
                }
                Some("buttons") => buttons::check_card(&part, context),
                Some(_) => kind.expected("one of `HEADER`, `BODY`, `BUTTONS`"),
                None => {}
            }
            kinds.extend(
                kind.value()
                    .and_then(Value::as_str)
                    .map(str::to_ascii_lowercase),
            );
        }
        // Infobip's `CardApiData` requires them, as Meta's page does of a media card.
        for needed in ["header", "buttons"] {
            if parts.value().is_some() && !kinds.iter().any(|kind| kind == needed) {
                parts.expected(&format!(
                    "a component of the type `{}`",
                    needed.to_ascii_uppercase()
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
