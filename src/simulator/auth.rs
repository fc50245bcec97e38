//! What a webhook proves itself with: a signature over the body, static headers, Basic. What all
//! the providers offer, each connection as it is told. A secret in the URL is part of the URL.

use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::dialect::Dialect;

/// Where the webhooks of a dialect go, and what they bring.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    /// Without one they wait.
    pub url: Option<String>,
    /// What proves them.
    pub auth: Auth,
    /// Infobip: reports are written as the Messages API does.
    pub messages_api: bool,
}

/// All that is here is brought.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// An HMAC of the body.
    pub signature: Option<Signature>,
    /// `Authorization: Basic`.
    pub basic: Option<Basic>,
    /// Headers as they are.
    pub headers: BTreeMap<String, String>,
}

/// An HMAC of the body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The key.
    pub secret: String,
    /// Else the dialect's own.
    #[serde(default)]
    pub header: Option<String>,
    /// The hash function.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// How its bytes are written.
    #[serde(default)]
    pub encoding: Encoding,
    /// Whether `sha256=` stands before it; else as the dialect has it.
    #[serde(default)]
    pub labelled: Option<bool>,
}

/// A user name and a password.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// Without a colon.
    pub username: String,
    /// Anything.
    pub password: String,
}

/// The hash functions that Infobip offers; the others sign with SHA-256.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names")]
pub enum Algorithm {
    Md5,
    Sha1,
    Sha224,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

/// How a signature's bytes are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

impl Signature {
    /// With SHA-256, in the dialect's own way.
    pub fn of(secret: impl Into<String>) -> Self {
        Self {
            secret: secret.into(),
            header: None,
            algorithm: Algorithm::default(),
            encoding: Encoding::default(),
            labelled: None,
        }
    }

    fn value(&self, dialect: Dialect, body: &[u8]) -> String {
        let tag = self.algorithm.tag(self.secret.as_bytes(), body);
        let tag = match self.encoding {
            Encoding::Hex => HEXLOWER.encode(&tag),
            Encoding::Base64 => BASE64.encode(&tag),
        };
        match self.labelled.unwrap_or(dialect == Dialect::Meta) {
            true => format!("{}={tag}", self.algorithm.name()),
            false => tag,
        }
    }
}

impl Auth {
    /// The headers that a body is posted with.
    pub fn headers(&self, dialect: Dialect, body: &[u8]) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        if let Some(signature) = &self.signature {
            // No page says what Infobip calls its header.
            let own = match dialect {
                Dialect::Meta => "x-hub-signature-256",
                Dialect::Dialog360 | Dialect::Dialog360Onprem => "x-360dialog-signature",
                Dialect::Infobip => "x-signature",
            };
            let header = signature.header.as_deref().unwrap_or(own);
            headers.push((header.to_owned(), signature.value(dialect, body)));
        }
        if let Some(Basic { username, password }) = &self.basic {
            let pair = BASE64.encode(format!("{username}:{password}").as_bytes());
            headers.push(("authorization".to_owned(), format!("Basic {pair}")));
        }
        let fixed = self.headers.iter();
        headers.extend(fixed.map(|(name, value)| (name.clone(), value.clone())));
        headers
    }
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn tag(self, secret: &[u8], body: &[u8]) -> Vec<u8> {
        let tag = match self {
            Self::Md5 => tag::<Hmac<Md5>>,
            Self::Sha1 => tag::<Hmac<Sha1>>,
            Self::Sha224 => tag::<Hmac<Sha224>>,
            Self::Sha256 => tag::<Hmac<Sha256>>,
            Self::Sha384 => tag::<Hmac<Sha384>>,
            Self::Sha512 => tag::<Hmac<Sha512>>,
        };
        tag(secret, body)
    }
}

fn tag<M: Mac + KeyInit>(secret: &[u8], body: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length; the type cannot say so.
    let mac = <M as KeyInit>::new_from_slice(secret);
    mac.map(|mac| mac.chain_update(body).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}
