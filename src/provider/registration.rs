//! Registering numbers: which calls. PINs and codes are in their bodies alone, which nothing
//! shows, logs or keeps.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::content::{Fault, Faults, Place};
use super::lenient::plain;
use super::operations::{Ask, Operation, senders as op};
use super::templates::{Account, names};
use crate::model::provider::Provider;

/// How a code reaches whoever has the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A text.
    Sms,
    /// A call.
    Voice,
}

impl Method {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "SMS",
            Self::Voice => "VOICE",
        }
    }

    const fn infobips(self) -> &'static str {
        match self {
            Self::Sms => "EXTERNAL_SMS",
            Self::Voice => "EXTERNAL_VOICE",
        }
    }
}

/// A number that is to be put on an account.
#[derive(Debug, Clone)]
pub struct NewNumber {
    /// Such as `44`.
    pub country_code: String,
    /// Without it.
    pub phone_number: String,
    /// The name that users are to see.
    pub display_name: String,
    /// How the code is to come, where it is sent at once.
    pub method: Method,
    /// And in which language.
    pub language: String,
}

impl NewNumber {
    /// All of its digits: how it is known.
    pub fn digits(&self) -> String {
        format!("{}{}", self.country_code, self.phone_number)
    }

    /// What is wrong with it.
    pub fn check(&self) -> Vec<Fault> {
        let given = json!({"country_code": self.country_code, "phone_number": self.phone_number,
            "display_name": self.display_name});
        let faults = Faults::default();
        let place = Place::new("", Some(&given), &faults);
        let country = self.country_code.as_str();
        if !is_digits(country) || country.len() > 3 || country.starts_with('0') {
            place.member("country_code").expected("1 to 3 digits");
        }
        let number = self.phone_number.as_str();
        let whole = country.len() + number.len();
        if !is_digits(number) || number.starts_with('0') || !(7..=15).contains(&whole) {
            place.member("phone_number").expected(
                "the digits behind the country code, 7 to 15 with it, without a leading 0",
            );
        }
        if !(2..=75).contains(&self.display_name.chars().count()) {
            place.member("display_name").expected("2 to 75 characters");
        }
        if !is_language(&self.language) {
            place.member("language").expected(LANGUAGE);
        }
        faults.into_vec()
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a secret can be a PIN or a code.
fn is_six_digits(secret: &SecretString) -> bool {
    let text = secret.expose_secret();
    is_digits(text) && text.len() == 6
}

/// Whether a language is one that a code can come in, such as `en` or `en_US`.
fn is_language(text: &str) -> bool {
    let (language, region) = text.split_once('_').unwrap_or((text, "XX"));
    let is_of = |part: &str, of: fn(&u8) -> bool| part.len() == 2 && part.bytes().all(|b| of(&b));
    is_of(language, u8::is_ascii_lowercase) && is_of(region, u8::is_ascii_uppercase)
}

/// What is said of another.
const LANGUAGE: &str = "a language such as `en_US`";

/// Puts a number on an account, which `account` names.
pub fn add(provider: Provider, account: &Account<'_>, new: &NewNumber) -> Ask {
    let ask = Ask::of(&op::ADD_SENDER, &names(account, None));
    match provider {
        Provider::Infobip => ask.body(json!({
            "countryCode": new.country_code, "phoneNumber": new.phone_number,
            "displayName": new.display_name, "type": new.method.infobips(), "locale": new.language,
        })),
        _ => ask.body(json!({"cc": new.country_code, "phone_number": new.digits(),
            "verified_name": new.display_name})),
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Added {
    /// The provider's id of the number: its digits at Infobip.
    pub id: String,
    /// Infobip's word: `OTP_REQUESTED`, or `SUBMITTED_FOR_REGISTRATION` of one that is verified.
    pub status: Option<String>,
    /// The provider's answer.
    pub answer: Value,
}

/// What the answer to [`add`] says.
pub fn added(provider: Provider, new: &NewNumber, answer: Value) -> Option<Added> {
    let id = match provider {
        Provider::Infobip => new.digits(),
        _ => plain(&answer["id"])?,
    };
    Some(Added {
        id,
        status: plain(&answer["status"]),
        answer,
    })
}

/// A step of a number's registration.
#[derive(Debug, Clone)]
pub enum Change {
    /// Has a code sent.
    RequestCode {
        /// How.
        method: Method,
        /// In which language.
        language: String,
    },
    /// Proves whose the number is, by the code.
    Verify(SecretString),
    /// Registers it, with its PIN.
    Register {
        /// Six digits.
        pin: SecretString,
        /// Where its data is kept.
        region: Option<String>,
    },
    /// Takes it off.
    Deregister,
    /// Sets its PIN.
    SetPin(SecretString),
}

impl Change {
    /// Which row.
    pub fn operation(&self) -> &'static Operation {
        match self {
            Self::RequestCode { .. } => &op::REQUEST_CODE,
            Self::Verify(_) => &op::VERIFY_CODE,
            Self::Register { .. } => &op::REGISTER,
            Self::Deregister => &op::DEREGISTER,
            Self::SetPin(_) => &op::SET_PIN,
        }
    }

    /// What is wrong with it.
    pub fn check(&self) -> Vec<Fault> {
        let faults = Faults::default();
        let root = Place::new("", None, &faults);
        match self {
            Self::RequestCode { language, .. } if !is_language(language) => {
                root.member("language").expected(LANGUAGE);
            }
            Self::Verify(code) if !is_six_digits(code) => {
                root.member("code").expected("six digits");
            }
            Self::Register { pin, .. } | Self::SetPin(pin) if !is_six_digits(pin) => {
                root.member("pin").expected("six digits");
            }
            _ => {}
        }
        if let Self::Register {
            region: Some(region),
            ..
        } = self
            && (region.len() != 2 || !region.bytes().all(|byte| byte.is_ascii_uppercase()))
        {
            root.member("data_localization_region")
                .expected("a country's two letters, such as `DE`");
        }
        faults.into_vec()
    }

    /// The call.
    pub fn ask(&self, provider: Provider, account: &Account<'_>) -> Ask {
        let ask = Ask::of(self.operation(), &names(account, None));
        match self {
            Self::RequestCode { method, language } => ask.body(match provider {
                Provider::Infobip => json!({"type": method.infobips(), "locale": language}),
                _ => json!({"code_method": method.as_str(), "language": language}),
            }),
            Self::Verify(code) => ask.body(json!({"code": code.expose_secret()})),
            Self::Register { pin, region } => {
                let mut body = json!({"messaging_product": "whatsapp",
                    "pin": pin.expose_secret()});
                if let Some(region) = region {
                    body["data_localization_region"] = region.as_str().into();
                }
                ask.body(body)
            }
            Self::Deregister => ask,
            Self::SetPin(pin) => ask.body(json!({"pin": pin.expose_secret()})),
        }
    }
}
