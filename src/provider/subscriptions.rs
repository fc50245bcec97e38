//! Where providers post webhooks: which calls read and set it, and what their answers say. What is
//! wrong with what they say is in `problems`. What proves a webhook is set with it: the very secrets
//! that the receiver of webhooks looks at, so that nobody has to carry them from one to the other.

pub mod infobip;
mod problems;

use std::collections::BTreeMap;

use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::meta::graph::encoded;
use super::operations::subscriptions as op;
use super::operations::{AsApp, Ask, Body, By, Operation};
use crate::model::proof::{Proof, ProofBy};
use crate::model::provider::Provider;

pub use problems::{Problem, Severity, problems};

/// The object that Meta's subscriptions of WhatsApp are of.
const OBJECT: &str = "whatsapp_business_account";

/// What Meta is to tell: all that becomes facts here, and is told to everybody.
pub const META_FIELDS: [&str; 14] = [
    "messages",
    "message_template_status_update",
    "message_template_quality_update",
    "message_template_components_update",
    "template_category_update",
    "phone_number_quality_update",
    "phone_number_name_update",
    "account_update",
    "account_review_update",
    "account_alerts",
    "business_capability_update",
    "user_preferences",
    "security",
    "flows",
];

/// The longest address that Meta takes for an account or a number.
pub const LONGEST_OVERRIDE: usize = 200;

/// Where a provider has it set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's own words")]
pub enum Level {
    App,
    Account,
    Number,
    Events,
}

impl Level {
    /// Each once.
    pub const ALL: [Self; 4] = [Self::App, Self::Account, Self::Number, Self::Events];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Account => "account",
            Self::Number => "number",
            Self::Events => "events",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == word)
    }

    /// By which call it is read, set, and removed.
    pub const fn calls(self) -> [&'static Operation; 3] {
        match self {
            Self::App => [&op::READ_APP, &op::SET_APP, &op::REMOVE_APP],
            Self::Account => [&op::READ_ACCOUNT, &op::SET_ACCOUNT, &op::REMOVE_ACCOUNT],
            Self::Number => [&op::READ_NUMBER, &op::SET_NUMBER, &op::REMOVE_NUMBER],
            Self::Events => [&op::READ_EVENTS, &op::CREATE_EVENTS, &op::REMOVE_EVENTS],
        }
    }
}

/// Whose, as the providers' calls name it; empty where it is not known, or there is none.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// Meta's version of its API.
    pub api_version: String,
    /// Meta's app, and which of the connection's app secrets is its.
    pub app: String,
    /// See [`AsApp`].
    pub app_secret: usize,
    /// Meta's account.
    pub waba: String,
    /// Meta's id of a number.
    pub number: String,
    /// What the connection's own is called at Infobip.
    pub own: String,
}

impl Place {
    /// For people.
    pub fn named(&self, level: Level) -> String {
        let id = match level {
            Level::App => &self.app,
            Level::Account => &self.waba,
            Level::Number => &self.number,
            Level::Events => &self.own,
        };
        format!("{} {id}", level.as_str()).trim_end().to_owned()
    }
}

/// What is to be at the provider.
#[derive(Clone)]
pub struct Ours {
    /// Where webhooks are to go. It may have a secret in it.
    pub url: String,
    /// What they are to bring.
    pub headers: BTreeMap<String, String>,
    /// What Meta's handshake is to bring.
    pub verify_token: String,
    /// What is to prove them at Infobip, beside headers.
    pub security: Option<Value>,
}

impl std::fmt::Debug for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ours")
    }
}

impl Ours {
    /// At this address, with what proves webhooks to the receiver: of each proof the first secret.
    pub fn new(address: &str, verify_token: &str, proofs: &[Proof]) -> Self {
        let mut ours = Self {
            url: address.to_owned(),
            headers: BTreeMap::new(),
            verify_token: verify_token.to_owned(),
            security: infobip::security(proofs),
        };
        for proof in proofs {
            let Some(secret) = proof.secrets.first().map(ExposeSecret::expose_secret) else {
                continue;
            };
            match &proof.by {
                ProofBy::Header(name) => {
                    ours.headers.insert(name.clone(), secret.to_owned());
                }
                ProofBy::Basic => {
                    let value = format!("Basic {}", BASE64.encode(secret.as_bytes()));
                    ours.headers.insert("authorization".to_owned(), value);
                }
                ProofBy::Url => ours.url = format!("{address}?secret={}", encoded(secret)),
                // The provider makes it with a secret that it has given itself.
                ProofBy::Signature { .. } => {}
            }
        }
        ours
    }
}

/// What is to be set beside the address.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What is to be told; else all that is understood here, and what is told already.
    pub events: Option<Vec<String>>,
    /// Meta's account: its webhooks are to come here although the app's go elsewhere.
    pub overriding: bool,
}

/// What a provider has set.
#[derive(Clone, PartialEq)]
pub struct Found {
    /// Where.
    pub level: Level,
    /// The provider's id of the app, the account or the number; empty where it names none.
    pub id: String,
    /// The account that a number is of.
    pub waba: Option<String>,
    /// Where webhooks go, if anything is set here: a secret in it is not shown.
    pub url: Option<String>,
    /// What they bring, where the provider says.
    pub headers: Option<BTreeMap<String, String>>,
    /// Whether any come.
    pub active: bool,
    /// What is told, where it is chosen.
    pub events: Option<Vec<String>>,
    /// The provider's own object, as it came.
    pub answer: Value,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Found")
            .field("level", &self.level)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn ask(operation: &'static Operation, level: Level, place: &Place) -> Ask {
    let names = [
        ("version", place.api_version.as_str()),
        ("app", &place.app),
        ("waba", &place.waba),
        ("id", &place.number),
        ("own", &place.own),
    ];
    let mut ask = Ask::of(operation, &names);
    if level == Level::App {
        ask.by = By::App(AsApp {
            id: place.app.clone(),
            secret: place.app_secret,
        });
    }
    ask
}

/// Reads it; of Meta's numbers the page behind `after`.
pub fn read(provider: Provider, level: Level, place: &Place, after: Option<&str>) -> Ask {
    let ask = ask(level.calls()[0], level, place);
    match (provider, level) {
        (Provider::Infobip, _) => infobip::list(place, 0),
        (Provider::Meta, Level::Number) => ask
            .query("fields", Some(NUMBER_FIELDS))
            .query("limit", Some("100"))
            .query("after", after),
        _ => ask,
    }
}

const NUMBER_FIELDS: &str = "id,display_phone_number,verified_name,webhook_configuration";

/// Sets it. `known`: what is told already.
pub fn set(
    provider: Provider,
    level: Level,
    place: &Place,
    ours: &Ours,
    wanted: &Wanted,
    known: &[String],
) -> Ask {
    let ask = ask(level.calls()[1], level, place);
    let token = &ours.verify_token;
    match (provider, level) {
        (Provider::Meta, Level::App) => ask.saying(Body::Form(vec![
            ("object", OBJECT.to_owned()),
            ("callback_url", ours.url.clone()),
            ("verify_token", token.clone()),
            ("fields", fields(wanted, known, &META_FIELDS).join(",")),
            ("include_values", "true".to_owned()),
        ])),
        (Provider::Meta, Level::Account) if wanted.overriding => {
            ask.body(json!({"override_callback_uri": ours.url, "verify_token": token}))
        }
        // Without a body an override is removed.
        (Provider::Meta, Level::Account) => ask,
        (Provider::Meta, Level::Number) => ask.body(json!({"webhook_configuration":
            {"override_callback_uri": ours.url, "verify_token": token}})),
        (Provider::Infobip, _) => infobip::create(place, ours, wanted),
        _ => ask.body(json!({"url": ours.url, "headers": ours.headers})),
    }
}

/// What is to be told. It replaces what there is, of which nothing is to be lost.
fn fields(wanted: &Wanted, known: &[String], all: &[&str]) -> Vec<String> {
    match &wanted.events {
        Some(events) => events.clone(),
        None => {
            let mut fields: Vec<_> = all.iter().map(|&name| name.to_owned()).collect();
            let others = known.iter().filter(|name| !fields.contains(name));
            let others: Vec<_> = others.cloned().collect();
            fields.extend(others);
            fields
        }
    }
}

/// Removes it.
pub fn remove(level: Level, place: &Place) -> Ask {
    let ask = ask(level.calls()[2], level, place);
    match level {
        Level::App => ask.query("object", Some(OBJECT)),
        Level::Account | Level::Events => ask,
        Level::Number => ask.body(json!({"webhook_configuration": {"override_callback_uri": ""}})),
    }
}

/// What an answer says, and where the next page begins.
pub fn found(
    provider: Provider,
    level: Level,
    place: &Place,
    answer: &Value,
) -> Option<(Vec<Found>, Option<String>)> {
    let one = |found| Some((vec![found], None));
    match (provider, level) {
        (Provider::Meta, Level::App) => one(app(place, answer)?),
        (Provider::Meta, Level::Account) => one(account(place, answer)?),
        (Provider::Meta, Level::Number) => {
            let list = answer["data"].as_array()?;
            let numbers = list.iter().filter_map(|it| number(place, it)).collect();
            let paging = &answer["paging"];
            let next = paging["next"]
                .as_str()
                .and(paging["cursors"]["after"].as_str());
            Some((numbers, next.map(str::to_owned)))
        }
        (Provider::Infobip, _) => None,
        _ => one(of_dialog360(level, answer)?),
    }
}

/// A partner of 360dialog's, who has a key of its own.
#[derive(Debug)]
pub struct Partner {
    /// Its id, which ends in `PA`.
    pub id: String,
    /// Its key.
    pub key: SecretString,
}

/// Sets where a partner is told. No headers go with it, as far as 360dialog shows what it takes.
pub fn set_partner(partner: Partner, ours: &Ours) -> Ask {
    let mut ask = Ask::of(&op::SET_PARTNER, &[("partner", &partner.id)]);
    ask.by = By::Partner(partner.key);
    ask.body(json!({"webhook_url": ours.url}))
}

/// Whether what is said to a partner can be proved: by its address, and by a signature of it.
pub fn proves_partner(proofs: &[Proof]) -> bool {
    let bears = |proof: &Proof| matches!(proof.by, ProofBy::Url | ProofBy::Signature { .. });
    !proofs.is_empty() && proofs.iter().all(bears)
}

fn app(place: &Place, answer: &Value) -> Option<Found> {
    let list = answer["data"].as_array()?;
    let own = list.iter().find(|it| it["object"] == OBJECT);
    // A field is its name, or an object with the version of what it says.
    let name = |field: &Value| {
        let name = field.as_str().or_else(|| field["name"].as_str());
        name.map(str::to_owned)
    };
    let fields = own.and_then(|own| own["fields"].as_array());
    Some(Found {
        level: Level::App,
        id: place.app.clone(),
        waba: None,
        url: own.and_then(|own| text(own, "callback_url")),
        headers: None,
        active: own.is_some_and(|own| own["active"] != false),
        events: Some(fields.into_iter().flatten().filter_map(name).collect()),
        answer: own.cloned().unwrap_or_default(),
    })
}

/// Other apps may be told of an account, too.
fn account(place: &Place, answer: &Value) -> Option<Found> {
    let list = answer["data"].as_array()?;
    let is_own = |it: &&Value| it["whatsapp_business_api_data"]["id"] == place.app.as_str();
    let own = list.iter().find(is_own);
    Some(Found {
        level: Level::Account,
        id: place.waba.clone(),
        waba: None,
        url: own.and_then(|own| text(own, "override_callback_uri")),
        headers: None,
        active: own.is_some(),
        events: None,
        answer: answer.clone(),
    })
}

fn number(place: &Place, it: &Value) -> Option<Found> {
    Some(Found {
        level: Level::Number,
        id: text(it, "id")?,
        waba: Some(place.waba.clone()),
        url: text(&it["webhook_configuration"], "phone_number"),
        headers: None,
        active: true,
        events: None,
        answer: it.clone(),
    })
}

fn of_dialog360(level: Level, answer: &Value) -> Option<Found> {
    let members = answer.as_object()?;
    let url = text(answer, "url");
    let headers = members.get("headers").and_then(Value::as_object);
    let headers = headers.map(|headers| {
        let pairs = headers.iter().filter_map(|(name, value)| {
            Some((name.to_ascii_lowercase(), value.as_str()?.to_owned()))
        });
        pairs.collect()
    });
    Some(Found {
        level,
        id: String::new(),
        waba: None,
        active: url.is_some(),
        url,
        headers,
        events: None,
        answer: answer.clone(),
    })
}

fn text(it: &Value, name: &str) -> Option<String> {
    let text = it[name].as_str()?;
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// An address without what stands behind its `?`, and without who calls it by which password.
pub fn shown(url: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, _)) => (address, "?…"),
        None => (url, ""),
    };
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest.get(..end).and_then(|host| host.rfind('@')) {
        Some(at) => format!("{scheme}…{}{query}", rest.get(at..).unwrap_or_default()),
        None => format!("{address}{query}"),
    }
}

/// A text without what was told in secret, in whatever form it went out.
pub fn without(mut text: String, secrets: &[String]) -> String {
    for secret in secrets {
        for form in [
            secret.clone(),
            encoded(secret),
            BASE64.encode(secret.as_bytes()),
        ] {
            if text.contains(&form) {
                text = text.replace(&form, "…");
            }
        }
    }
    text
}

/// A provider's answer without the secrets that were given to it: these, values of headers, and
/// what stands behind an address.
pub fn hide(answer: &mut Value, secrets: &[String]) {
    match answer {
        Value::Object(members) => {
            for (name, value) in members {
                match (name.as_str(), value) {
                    ("headers", Value::Object(headers)) => {
                        headers.values_mut().for_each(|value| *value = "…".into());
                    }
                    ("credentials", value) => *value = "…".into(),
                    (_, value) => hide(value, secrets),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, secrets)),
        Value::String(text) => {
            if text.starts_with("http://") || text.starts_with("https://") {
                *text = shown(text);
            }
            *text = without(std::mem::take(text), secrets);
        }
        _ => {}
    }
}

/// What Meta says of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// The app that it is of.
    pub app_id: Option<String>,
    /// The app's name.
    pub app: Option<String>,
    /// Whether it is good.
    pub is_valid: bool,
    /// Seconds since 1970; `None`: it does not expire.
    pub expires_at: Option<i64>,
    /// What it may do.
    pub permissions: Vec<String>,
    /// The accounts that it may do it with; none are named where it may with all.
    pub accounts: Vec<String>,
}

/// Asks whose a key is. Meta takes it in the address alone.
pub fn read_token(place: &Place, token: &str) -> Ask {
    ask(&op::READ_TOKEN, Level::Account, place).query("input_token", Some(token))
}

/// What the answer says.
pub fn token(answer: &Value) -> Option<Token> {
    let data = answer["data"].as_object()?;
    let texts = |list: &Value| {
        let items = list.as_array().into_iter().flatten();
        let texts = items.filter_map(|it| it.as_str().map(str::to_owned));
        texts.collect::<Vec<_>>()
    };
    let data = Value::Object(data.clone());
    let granular = data["granular_scopes"].as_array();
    let of_accounts = granular.into_iter().flatten().filter(|it| {
        let scope = it["scope"].as_str().unwrap_or_default();
        scope.starts_with("whatsapp_business_")
    });
    let mut accounts: Vec<_> = of_accounts
        .flat_map(|it| texts(&it["target_ids"]))
        .collect();
    accounts.sort();
    accounts.dedup();
    Some(Token {
        app_id: text(&data, "app_id"),
        app: text(&data, "application"),
        is_valid: data["is_valid"] == true,
        expires_at: data["expires_at"].as_i64().filter(|at| *at > 0),
        permissions: texts(&data["scopes"]),
        accounts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_an_address_that_lets_in_is_shown() {
        for (address, expected) in [
            (
                "https://us:secret@ours.test/hook?k=1",
                "https://…@ours.test/hook?…",
            ),
            ("https://ours.test/@hook", "https://ours.test/@hook"),
            ("https://a@b:c@ours.test", "https://…@ours.test"),
            ("ours", "ours"),
        ] {
            assert_eq!(shown(address), expected);
        }
        let mut answer = json!({"deliveryUrl": "https://us:secret@ours.test/hook"});
        hide(&mut answer, &[]);
        assert_eq!(answer["deliveryUrl"], "https://…@ours.test/hook");
    }
}
