//! Buttons of a template: which kinds there are, how many of each, and what each needs.

use super::{Context, variables};
use crate::provider::content::Place;

const TEXT: usize = 25;
const URL: usize = 2000;
const PHONE_NUMBER: usize = 20;
/// Digits of the shortest numbers, which some countries have for services.
const SHORTEST_NUMBER: usize = 3;
/// "Coupon code templates": 15 characters, said to be 20 since December 2025.
const CODE: usize = 20;
/// Buttons of a template.
const MOST: usize = 10;
/// Infobip's `CardApiData.buttons`, as on Meta's page on carousels.
const MOST_OF_CARD: usize = 2;
/// So many of a kind; of the others as many as there may be buttons. The flow's is Infobip's word
/// ("one `flow` button").
const MOST_OF_KIND: [(&str, usize); 5] = [
    ("url", 2),
    ("phone_number", 1),
    ("copy_code", 1),
    ("flow", 1),
    ("otp", 1),
];
/// An Android app's signing key, as Infobip's `OneTapButtonApiData.signatureHash` has it.
const SIGNATURE_HASH: usize = 11;

pub(super) fn check(component: &Place<'_>, context: Context) {
    all(component, context, MOST);
}

pub(super) fn check_card(component: &Place<'_>, context: Context) {
    all(component, context, MOST_OF_CARD);
}

fn all(component: &Place<'_>, context: Context, most: usize) {
    let list = component.member("buttons");
    let buttons = list.items();
    if buttons.len() > most {
        list.expected(&format!("at most {most} buttons"));
    }
    let kinds: Vec<_> = buttons.iter().map(|button| one(button, context)).collect();
    let of = |kind: &str| kinds.iter().filter(|known| *known == kind).count();
    for (kind, most) in MOST_OF_KIND {
        if of(kind) > most {
            list.expected(&format!(
                "at most {most} of the type `{}`",
                kind.to_ascii_uppercase()
            ));
        }
    }
    if context.is_authentication && (of("otp") != 1 || kinds.len() != 1) {
        list.expected("one button, of the type `OTP`: templates of this category have no other");
    }
    // "Quick replies must be grouped": not QUICK_REPLY, URL, QUICK_REPLY.
    let groups = kinds.chunk_by(|a, b| (a == "quick_reply") == (b == "quick_reply"));
    if groups.filter(|group| group[0] == "quick_reply").count() > 1 {
        list.expected("quick replies beside each other");
    }
}

/// Checks a button; its kind, in lower case.
fn one(button: &Place<'_>, context: Context) -> String {
    let kind = button.member("type");
    let word = kind.word().unwrap_or_default();
    match word.as_str() {
        "voice_call" => {
            label(button, false);
            let minutes = button.member("ttl_minutes");
            // "Send call button": a day to 30 days.
            if minutes.value().is_some()
                && minutes
                    .whole()
                    .is_some_and(|it| !(1440..=43_200).contains(&it))
            {
                minutes.expected("1440 to 43200 minutes");
            }
        }
        "quick_reply" | "catalog" | "mpm" | "spm" | "order_details" | "request_contact_info" => {
            label(button, word == "quick_reply")
        }
        "url" => url(button, context),
        "phone_number" => {
            label(button, true);
            let number = button.member("phone_number");
            let digits = |text: &str| text.bytes().filter(u8::is_ascii_digit).count();
            if number
                .text_within(PHONE_NUMBER)
                .is_some_and(|text| digits(text) < SHORTEST_NUMBER)
            {
                number.expected("a phone number with its country code");
            }
        }
        "copy_code" => code(button),
        "flow" => flow(button),
        "otp" if context.is_authentication => otp(button),
        "otp" => kind.expected("a template of the category `AUTHENTICATION` with such a button"),
        "" => {}
        _ => kind.expected(
            "one of `QUICK_REPLY`, `URL`, `PHONE_NUMBER`, `COPY_CODE`, `FLOW`, `OTP`, `CATALOG`, \
             `MPM`, `SPM`, `ORDER_DETAILS`, `VOICE_CALL`, `REQUEST_CONTACT_INFO`",
        ),
    }
    word
}

fn label(button: &Place<'_>, is_needed: bool) {
    let text = button.member("text");
    if is_needed || text.value().is_some() {
        text.text_within(TEXT);
    }
}

fn url(button: &Place<'_>, context: Context) {
    label(button, true);
    let place = button.member("url");
    let Some(text) = place.text_within(URL) else {
        return;
    };
    if !(text.starts_with("https://") || text.starts_with("http://")) {
        place.expected("an address that begins with `https://` or `http://`");
    }
    let found = variables::check(&place, text, context.is_named, false);
    if found.len() > 1 || (found.len() == 1 && !text.ends_with("}}")) {
        place.expected("at most one variable, at the end");
    }
    let example = button.member("example");
    if found.is_empty() {
        return;
    }
    // Meta's examples have a list of one.
    match example.value() {
        Some(value) if value.is_string() => {
            example.text();
        }
        _ => example.items().iter().for_each(|sample| {
            sample.text();
        }),
    }
}

fn code(button: &Place<'_>) {
    let example = button.member("example");
    match example.value().and_then(|value| value.as_array()) {
        Some(_) => example.items().iter().for_each(|sample| {
            sample.text_within(CODE);
        }),
        None => {
            example.text_within(CODE);
        }
    }
}

fn flow(button: &Place<'_>) {
    label(button, true);
    let flows = ["flow_id", "flow_name", "flow_json"].map(|name| button.member(name));
    if flows.iter().filter(|flow| flow.value().is_some()).count() != 1 {
        button.expected("one of `flow_id`, `flow_name`, `flow_json`");
    }
    let action = button.member("flow_action");
    match action.value().and_then(|_| action.word()).as_deref() {
        None | Some("navigate" | "data_exchange") => {}
        Some(_) => action.expected("`navigate` or `data_exchange`"),
    }
}

/// "Authentication templates": copy code, one-tap and zero-tap buttons. The app is named by two
/// members of the button, or by `supported_apps`.
fn otp(button: &Place<'_>) {
    label(button, false);
    let kind = button.member("otp_type");
    let word = kind.word().unwrap_or_default();
    match word.as_str() {
        "copy_code" | "" => return,
        "one_tap" => {
            button
                .member("autofill_text")
                .value()
                .map(|_| button.member("autofill_text").text_within(TEXT));
        }
        "zero_tap" => {
            let accepted = button.member("zero_tap_terms_accepted");
            if accepted.value().and_then(|value| value.as_bool()) != Some(true) {
                accepted.expected("`true`: WhatsApp's terms for zero-tap have to be accepted");
            }
        }
        _ => return kind.expected("one of `COPY_CODE`, `ONE_TAP`, `ZERO_TAP`"),
    }
    let apps = button.member("supported_apps");
    match apps.value() {
        None => app(button),
        Some(_) => apps.items().iter().for_each(app),
    }
}

/// As it is: Meta's own example has it percent-encoded.
pub(in crate::provider) fn signature_hash(text: &str) -> String {
    text.replace("%2F", "/").replace("%2B", "+")
}

fn app(place: &Place<'_>) {
    place.member("package_name").text();
    let hash = place.member("signature_hash");
    if hash
        .text()
        .is_some_and(|text| signature_hash(text).chars().count() != SIGNATURE_HASH)
    {
        hash.expected("11 characters");
    }
}
