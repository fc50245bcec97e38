//! Business profiles: what users see of a number. Callers speak Meta's words with every provider;
//! here they become each provider's own, and its answers become theirs.

use serde_json::{Map, Value, json};

use super::content::{Fault, Faults, Place};
use super::lenient::plain;
use super::operations::{Ask, Operation, senders as op};
use super::templates::{Account, names};
use crate::model::provider::Provider;

/// What Meta is asked of a profile, in its words.
const FIELDS: &str = "about,address,description,email,profile_picture_url,websites,vertical";

/// Meta's words for what a business does, Infobip's, and the On-Premises API's.
const VERTICALS: [(&str, &str, &str); 17] = [
    ("AUTO", "AUTOMOTIVE", "Automotive"),
    (
        "BEAUTY",
        "BEAUTY_AND_SPA_AND_SALON",
        "Beauty, Spa and Salon",
    ),
    ("APPAREL", "CLOTHING_AND_APPAREL", "Clothing and Apparel"),
    ("EDU", "EDUCATION", "Education"),
    ("ENTERTAIN", "ENTERTAINMENT", "Entertainment"),
    (
        "EVENT_PLAN",
        "EVENT_PLANNING_AND_SERVICE",
        "Event Planning and Service",
    ),
    ("FINANCE", "FINANCE_AND_BANKING", "Finance and Banking"),
    ("GROCERY", "FOOD_AND_GROCERY", "Food and Grocery"),
    ("GOVT", "PUBLIC_SERVICE", "Public Service"),
    ("HOTEL", "HOTEL_AND_LODGING", "Hotel and Lodging"),
    ("HEALTH", "MEDICAL_AND_HEALTH", "Medical and Health"),
    ("NONPROFIT", "NON_PROFIT", "Non-profit"),
    (
        "PROF_SERVICES",
        "PROFESSIONAL_SERVICES",
        "Professional Services",
    ),
    ("RETAIL", "SHOPPING_AND_RETAIL", "Shopping and Retail"),
    (
        "TRAVEL",
        "TRAVEL_AND_TRANSPORTATION",
        "Travel and Transportation",
    ),
    ("RESTAURANT", "RESTAURANT", "Restaurant"),
    ("OTHER", "OTHER", "Other"),
];

/// Meta's words that nobody else has.
const METAS_OWN: [&str; 4] = [
    "ALCOHOL",
    "ONLINE_GAMBLING",
    "PHYSICAL_GAMBLING",
    "OTC_DRUGS",
];

/// The longest texts that any provider takes, by their documents; the about text is shorter at
/// Infobip.
const ABOUT: usize = 139;
const INFOBIP_ABOUT: usize = 130;
const ADDRESS: usize = 256;
const DESCRIPTION: usize = 512;
const EMAIL: usize = 128;
const WEBSITE: usize = 256;
const WEBSITES: usize = 2;

/// A profile as it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct Profile {
    pub about: Option<String>,
    pub address: Option<String>,
    pub description: Option<String>,
    pub email: Option<String>,
    pub websites: Vec<String>,
    pub vertical: Option<String>,
    pub display_name: Option<String>,
    pub picture_url: Option<String>,
}

/// What keeps a profile from being changed so. An empty text takes away what stands there.
pub fn check(provider: Provider, given: &Value) -> Vec<Fault> {
    let faults = Faults::default();
    let place = Place::new("", Some(given), &faults);
    let about = place.member("about");
    match provider {
        Provider::Infobip => at_most(&about, INFOBIP_ABOUT),
        _ if about.value() == Some(&json!("")) => about.expected("a text"),
        _ => at_most(&about, ABOUT),
    }
    at_most(&place.member("address"), ADDRESS);
    at_most(&place.member("description"), DESCRIPTION);
    let email = place.member("email");
    at_most(&email, EMAIL);
    let text = email.value().and_then(Value::as_str).unwrap_or_default();
    if !text.is_empty() && !is_email(text) {
        email.expected("an email address");
    }
    check_websites(&place.member("websites"));
    check_vertical(provider, &place.member("vertical"));
    faults.into_vec()
}

fn at_most(place: &Place<'_>, most: usize) {
    match place.value() {
        None => {}
        Some(Value::String(text)) if text.chars().count() > most => {
            place.expected(&format!("at most {most} characters"));
        }
        Some(Value::String(_)) => {}
        Some(_) => place.expected("a text"),
    }
}

fn is_email(text: &str) -> bool {
    let parts = text.split_once('@');
    parts.is_some_and(|(name, host)| {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '@';
        !name.is_empty() && host.contains('.') && text.len() > 4 && host.chars().all(is_plain)
    })
}

fn check_websites(place: &Place<'_>) {
    let sites = place.maybe_items();
    if sites.len() > WEBSITES {
        place.expected(&format!("at most {WEBSITES}"));
    }
    for site in sites {
        let Some(text) = site.text_within(WEBSITE) else {
            continue;
        };
        if !text.starts_with("https://") && !text.starts_with("http://") {
            site.expected("an address that begins with `https://` or `http://`");
        }
    }
}

fn check_vertical(provider: Provider, place: &Place<'_>) {
    let Some(word) = place.maybe_text() else {
        return;
    };
    let is_common = VERTICALS.iter().any(|(meta, ..)| *meta == word);
    let is_metas = METAS_OWN.contains(&word);
    match provider {
        _ if is_common => {}
        Provider::Meta | Provider::Dialog360 if is_metas => {}
        _ if is_metas => place.not_supported("the provider has no such word"),
        _ => {
            let known: Vec<_> = VERTICALS.iter().map(|(meta, ..)| *meta).collect();
            place.expected(&format!("one of `{}`", known.join("`, `")));
        }
    }
}

fn about(operation: &'static Operation, account: &Account<'_>) -> Ask {
    Ask::of(operation, &names(account, None))
}

/// The calls that read a profile: the On-Premises API has two.
pub fn read(provider: Provider, account: &Account<'_>) -> Vec<Ask> {
    let profile = about(&op::READ_PROFILE, account);
    match provider {
        Provider::Meta | Provider::Dialog360 => vec![profile.query("fields", Some(FIELDS))],
        Provider::Infobip => vec![profile],
        Provider::Dialog360Onprem => vec![profile, about(&op::READ_ABOUT, account)],
    }
}

/// The calls that change a profile: what is not named stays.
pub fn update(provider: Provider, account: &Account<'_>, given: &Map<String, Value>) -> Vec<Ask> {
    let mut body = given.clone();
    if let Some(word) = given.get("vertical").and_then(Value::as_str) {
        body.insert("vertical".to_owned(), theirs(provider, word).into());
    }
    let ask = about(&op::UPDATE_PROFILE, account);
    match provider {
        Provider::Meta | Provider::Dialog360 => {
            body.insert("messaging_product".to_owned(), "whatsapp".into());
            vec![ask.body(body.into())]
        }
        Provider::Infobip => vec![ask.body(body.into())],
        Provider::Dialog360Onprem => {
            let text = body.remove("about");
            let profile = (!body.is_empty()).then(|| ask.body(body.into()));
            let text = text.map(|text| {
                let ask = about(&op::UPDATE_ABOUT, account);
                ask.body(json!({"text": text}))
            });
            profile.into_iter().chain(text).collect()
        }
    }
}

/// A word of Meta's as the provider has it.
fn theirs(provider: Provider, word: &str) -> &str {
    let known = VERTICALS.iter().find(|(meta, ..)| *meta == word);
    match (provider, known) {
        (Provider::Infobip, Some((_, infobip, _))) => infobip,
        (Provider::Dialog360Onprem, Some((.., text))) => text,
        _ => word,
    }
}

/// A provider's word as Meta has it; one that nobody knows stays.
fn ours(word: String) -> String {
    let known = VERTICALS
        .iter()
        .find(|(_, infobip, text)| *infobip == word || *text == word);
    known.map_or(word, |(meta, ..)| (*meta).to_owned())
}

/// What the answers to [`read`] say, in its order. `None`: nothing that is understood.
pub fn profile(provider: Provider, answers: &[Value]) -> Option<Profile> {
    let first = answers.first()?;
    let object = match provider {
        // Its document has the one form, its pages the other.
        Provider::Meta | Provider::Dialog360 => match &first["data"][0]["business_profile"] {
            Value::Null => &first["data"][0],
            nested => nested,
        },
        Provider::Infobip => first,
        Provider::Dialog360Onprem => match &first["settings"]["business"]["profile"] {
            Value::Null => &first["settings"]["business"],
            nested => nested,
        },
    };
    object.as_object()?;
    let text = |name: &str| plain(&object[name]);
    let sites = object["websites"].as_array().into_iter().flatten();
    let apart = answers
        .get(1)
        .map(|it| &it["settings"]["profile"]["about"]["text"]);
    Some(Profile {
        about: apart.map_or_else(|| text("about"), plain),
        address: text("address"),
        description: text("description"),
        email: text("email"),
        websites: sites.filter_map(plain).collect(),
        vertical: text("vertical").map(ours),
        display_name: text("displayName"),
        picture_url: text("profile_picture_url"),
    })
}

#[cfg(test)]
mod tests;
