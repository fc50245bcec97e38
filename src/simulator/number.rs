//! Numbers as the provider keeps them: put on an account, verified by a code, registered with a
//! PIN, and shown to users by a profile.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::dialect::Dialect;
use super::trouble::Trouble;

/// Every code that is sent.
pub const CODE: &str = "482913";

/// How often a number may be registered and deregistered in 72 hours, with Meta.
const REGISTRATIONS: usize = 10;

/// All of every provider, by the provider's id of the number.
pub type Numbers = BTreeMap<(Dialect, String), Number>;

#[derive(Debug, Clone, Default, Serialize)]
pub struct Number {
    pub verified: bool,
    pub registered: bool,
    /// How often it was put on the account, and its code sent.
    pub added: usize,
    pub codes: usize,
    registrations: usize,
    #[serde(skip)]
    pin: Option<String>,
    /// As its dialect names the members.
    pub profile: Map<String, Value>,
}

impl Number {
    /// One that is in use.
    pub fn in_use() -> Self {
        Self {
            verified: true,
            registered: true,
            ..Self::default()
        }
    }

    pub fn request_code(&mut self) -> Result<(), Trouble> {
        if self.verified {
            let message = "Phone number is not eligible for verification at this time";
            return Err(trouble(422, 100, message));
        }
        self.codes += 1;
        Ok(())
    }

    pub fn verify(&mut self, code: &str) -> Result<(), Trouble> {
        if self.codes == 0 || self.verified || code != CODE {
            let message = "The verification code is invalid or has expired";
            return Err(trouble(422, 100, message));
        }
        self.verified = true;
        Ok(())
    }

    pub fn register(&mut self, pin: &str) -> Result<(), Trouble> {
        self.count()?;
        if !is_pin(pin) {
            let message = "Invalid PIN format. PIN must be exactly 6 digits";
            return Err(trouble(400, 100, message));
        }
        if self.registered {
            let message = "Phone number is already registered or in invalid state for registration";
            return Err(trouble(422, 100, message));
        }
        if !self.verified {
            let message = "(#133006) Phone number needs to be verified before registering";
            return Err(trouble(400, 133_006, message));
        }
        if self.pin.as_deref().is_some_and(|known| known != pin) {
            let message = "(#133005) Two step verification PIN mismatch";
            return Err(trouble(400, 133_005, message));
        }
        self.pin = Some(pin.to_owned());
        self.registered = true;
        Ok(())
    }

    pub fn deregister(&mut self) -> Result<(), Trouble> {
        self.count()?;
        if !self.registered {
            let message = "Phone number not registered on the WhatsApp Business Platform";
            return Err(trouble(400, 100, message));
        }
        self.registered = false;
        Ok(())
    }

    fn count(&mut self) -> Result<(), Trouble> {
        if self.registrations >= REGISTRATIONS {
            let message = "(#133016) Account register deregister rate limit exceeded";
            return Err(trouble(400, 133_016, message));
        }
        self.registrations += 1;
        Ok(())
    }

    pub fn set_pin(&mut self, pin: &str) -> Result<(), Trouble> {
        if !is_pin(pin) {
            return Err(Trouble::invalid("pin", "PIN must be exactly 6 digits"));
        }
        self.pin = Some(pin.to_owned());
        Ok(())
    }
}

fn is_pin(text: &str) -> bool {
    text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_digit())
}

const fn trouble(http: u16, code: i64, message: &'static str) -> Trouble {
    Trouble::Number {
        http,
        code,
        message,
    }
}
