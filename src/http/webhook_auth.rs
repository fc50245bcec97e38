//! What the webhooks of a solution provider are authenticated with, as callers give it: at least
//! one proof, and all that are given must hold. Where one secret can stand several can: each of
//! them will do, so that one can be rotated. Read into the proofs that a connection keeps.

use std::collections::BTreeMap;

use axum::http::HeaderName;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::connections::SecretText;
use super::problem::FieldError;
use crate::model::proof::{Hash, Proof, ProofBy};
use crate::model::provider::Provider;
use crate::provider::proof::DIALOG360_SIGNATURE_HEADER;

/// What webhooks must bring: each that is given must hold. A list of secrets holds by any of them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookAuth {
    /// 360dialog: the platform secrets that `x-360dialog-signature` is made with.
    #[schema(min_items = 1)]
    signature_secrets: Option<Vec<SecretText>>,
    /// Infobip: the HMAC of a notification profile.
    hmac: Option<HmacAuth>,
    /// `Authorization: Basic`.
    basic: Option<OneOrMore<BasicAuth>>,
    /// Headers that are set with the webhook, and their values.
    headers: Option<BTreeMap<String, OneOrMore<SecretText>>>,
    /// A secret in the URL: give the provider `…/webhooks/con_…?secret=<it>`.
    url_secret: Option<OneOrMore<SecretText>>,
}

/// An HMAC over the body, in hexadecimal or base64.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HmacAuth {
    #[schema(min_items = 1)]
    secrets: Vec<SecretText>,
    algorithm: Hash,
    /// The header that it comes in.
    #[schema(example = "X-Signature")]
    header: String,
}

/// A user name and a password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BasicAuth {
    #[schema(min_length = 1)]
    username: String,
    password: SecretText,
}

/// One, or several that are valid at once.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "expected one, or a list of several that are valid at once; a secret is a text, \
                 `basic` an object with `username` and `password`"
)]
enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::More(more) => more,
        }
    }
}

/// Collects the proofs, and what is wrong with them.
struct Reading<'e> {
    proofs: Vec<Proof>,
    errors: &'e mut Vec<FieldError>,
}

impl WebhookAuth {
    /// The proofs of a connection to this provider.
    pub(super) fn read(self, provider: Provider, errors: &mut Vec<FieldError>) -> Vec<Proof> {
        let mut reading = Reading {
            proofs: Vec::new(),
            errors,
        };
        let dialog360 = provider != Provider::Infobip;
        if let Some(secrets) = self.signature_secrets {
            reading.check(dialog360, "signature_secrets", "is 360dialog's alone");
            let by = signature(DIALOG360_SIGNATURE_HEADER, Hash::Sha256);
            reading.add("signature_secrets", by, plain(secrets));
        }
        if let Some(hmac) = self.hmac {
            reading.check(
                !dialog360,
                "hmac",
                "is Infobip's alone: give `signature_secrets`",
            );
            let header = reading.header_name("hmac.header", &hmac.header);
            let by = signature(&header, hmac.algorithm);
            reading.add("hmac.secrets", by, plain(hmac.secrets));
        }
        if let Some(basic) = self.basic {
            reading.basic(basic.into_vec());
        }
        for (name, values) in self.headers.unwrap_or_default() {
            reading.header(&name, values.into_vec());
        }
        if let Some(secrets) = self.url_secret {
            reading.add("url_secret", ProofBy::Url, plain(secrets.into_vec()));
        }
        let proofs = reading.proofs;
        if proofs.is_empty() && errors.is_empty() {
            let message = "at least one is needed: without, no webhook can be verified";
            errors.push(FieldError::new("webhook_auth", message));
        }
        proofs
    }
}

fn signature(header: &str, hash: Hash) -> ProofBy {
    ProofBy::Signature {
        header: header.to_owned(),
        hash,
    }
}

fn plain(secrets: Vec<SecretText>) -> Vec<SecretString> {
    secrets.into_iter().map(|secret| secret.0).collect()
}

impl Reading<'_> {
    fn check(&mut self, holds: bool, field: &str, message: &str) {
        if !holds {
            let field = format!("webhook_auth.{field}");
            self.errors.push(FieldError::new(field, message));
        }
    }

    fn add(&mut self, field: &str, by: ProofBy, secrets: Vec<SecretString>) {
        let is_empty = |secret: &SecretString| secret.expose_secret().is_empty();
        let usable = !secrets.is_empty() && !secrets.iter().any(is_empty);
        self.check(usable, field, "at least one is needed, none may be empty");
        self.proofs.push(Proof { by, secrets });
    }

    fn basic(&mut self, given: Vec<BasicAuth>) {
        let mut secrets = Vec::new();
        for BasicAuth { username, password } in given {
            let named = !username.is_empty() && !username.contains(':');
            self.check(
                named,
                "basic.username",
                "must not be empty, nor have a colon",
            );
            self.check(!password.is_empty(), "basic.password", "must not be empty");
            let secret = format!("{username}:{}", password.0.expose_secret());
            secrets.push(secret.into());
        }
        self.add("basic", ProofBy::Basic, secrets);
    }

    fn header(&mut self, name: &str, values: Vec<SecretText>) {
        let field = format!("headers.{name}");
        let header = self.header_name(&field, name);
        let by = ProofBy::Header(header);
        let once = self.proofs.iter().all(|proof| proof.by != by);
        self.check(once, &field, "is given twice");
        for value in &values {
            // What surrounds a value is not part of it.
            let text = value.0.expose_secret();
            let comes = text.trim() == text && !text.chars().any(char::is_control);
            self.check(comes, &field, "no header can have this value");
        }
        self.add(&field, by, plain(values));
    }

    fn header_name(&mut self, field: &str, name: &str) -> String {
        let header = HeaderName::from_bytes(name.as_bytes());
        self.check(header.is_ok(), field, "expected the name of a header");
        header.map_or_else(|_| String::new(), |name| name.as_str().to_owned())
    }
}
