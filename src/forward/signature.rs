//! Signatures by the Standard Webhooks specification (https://www.standardwebhooks.com):
//! HMAC-SHA256 over `<id>.<timestamp>.<body>`, with every secret that is good.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::clock;
use crate::model::Timestamp;
use crate::store::subscriptions::Secrets;

/// What secrets begin with.
const PREFIX: &str = "whsec_";

/// A fresh secret. The specification wants 24 to 64 bytes.
pub fn new_secret() -> SecretString {
    format!("{PREFIX}{}", BASE64.encode(&clock::random::<32>())).into()
}

/// `webhook-signature`: one for each secret, with spaces between them.
pub fn signatures(secrets: &Secrets, id: &str, at: Timestamp, body: &[u8]) -> String {
    let previous = secrets.previous.iter().filter(|(_, until)| at < *until);
    let good = std::iter::once(&secrets.current).chain(previous.map(|(secret, _)| secret));
    let signed: Vec<_> = good
        .filter_map(|secret| sign(secret, id, at, body))
        .collect();
    signed.join(" ")
}

fn sign(secret: &SecretString, id: &str, at: Timestamp, body: &[u8]) -> Option<String> {
    let key = secret.expose_secret().strip_prefix(PREFIX)?;
    let key = BASE64.decode(key.as_bytes()).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{}.", at.unix_timestamp()).as_bytes());
    mac.update(body);
    Some(format!(
        "v1,{}",
        BASE64.encode(&mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn at() -> Timestamp {
        Timestamp::from_unix_timestamp(1_614_265_330).unwrap()
    }

    fn secrets(previous_until: Option<i64>) -> Secrets {
        Secrets {
            current: SECRET.to_owned().into(),
            previous: previous_until
                .map(|seconds| {
                    let until = at() + time::Duration::seconds(seconds);
                    (new_secret(), until)
                })
                .into_iter()
                .collect(),
        }
    }

    #[test]
    fn a_signature_is_that_of_the_specification() {
        assert_eq!(signatures(&secrets(None), ID, at(), BODY), SIGNED);
    }

    #[test]
    fn the_secret_before_signs_too_until_its_end() {
        let both = signatures(&secrets(Some(1)), ID, at(), BODY);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(first, SIGNED);
        assert!(second.starts_with("v1,") && second != SIGNED);
        assert_eq!(signatures(&secrets(Some(0)), ID, at(), BODY), SIGNED);
    }

    #[test]
    fn a_secret_has_as_many_bytes_as_the_specification_wants() {
        let secret = new_secret();
        let bytes = secret.expose_secret().strip_prefix("whsec_").unwrap();
        assert_eq!(BASE64.decode(bytes.as_bytes()).unwrap().len(), 32);
        assert_ne!(secret.expose_secret(), new_secret().expose_secret());
    }
}
