//! Whether a webhook proves whose it is, for the providers whose customers choose how: 360dialog and
//! Infobip. Fails closed: without a usable secret nothing is authentic. Secrets are compared by
//! digest in constant time, so that not even their length shows; signatures are over the bytes as
//! they were received.

use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use subtle::{Choice, ConstantTimeEq};

use crate::model::proof::{Hash, Proof, ProofBy};

/// Where 360dialog puts the HMAC-SHA256 of the body.
pub const DIALOG360_SIGNATURE_HEADER: &str = "x-360dialog-signature";

/// What a request brings.
pub struct Presented<'a> {
    /// The value of a header, by its name in lower case.
    pub header: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    /// What stands in the URL behind `?secret=`.
    pub url_secret: Option<&'a str>,
    /// The body, as it was received.
    pub body: &'a [u8],
}

impl std::fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presented")
    }
}

/// Why a request is not taken for the provider's. It names no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Nothing is configured that could prove anything.
    #[error("nothing is configured to authenticate webhooks by")]
    NoSecret,
    /// It is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// It is none of ours, or malformed.
    #[error("{0} is wrong")]
    Wrong(String),
}

/// Whether all of these hold.
pub fn verify(proofs: &[Proof], presented: &Presented<'_>) -> Result<(), ProofError> {
    if proofs.is_empty() {
        return Err(ProofError::NoSecret);
    }
    proofs.iter().try_for_each(|proof| check(proof, presented))
}

fn check(proof: &Proof, presented: &Presented<'_>) -> Result<(), ProofError> {
    // An empty secret is one that everybody has.
    let mut secrets = proof
        .secrets
        .iter()
        .filter(|secret| !secret.expose_secret().is_empty())
        .peekable();
    secrets.peek().ok_or(ProofError::NoSecret)?;
    let (name, given) = match &proof.by {
        ProofBy::Signature { header, .. } | ProofBy::Header(header) => {
            (format!("the header `{header}`"), (presented.header)(header))
        }
        ProofBy::Basic => (
            "`Authorization: Basic`".to_owned(),
            (presented.header)("authorization"),
        ),
        ProofBy::Url => (
            "`?secret=` in the URL".to_owned(),
            presented.url_secret.map(str::as_bytes),
        ),
    };
    let Some(given) = given else {
        return Err(ProofError::Missing(name));
    };
    let holds = match &proof.by {
        ProofBy::Signature { hash, .. } => signature(*hash, given)
            .is_some_and(|tag| secrets.any(|secret| signs(*hash, secret, presented.body, &tag))),
        ProofBy::Header(_) | ProofBy::Url => is_one_of(given, secrets),
        ProofBy::Basic => basic(given).is_some_and(|given| is_one_of(&given, secrets)),
    };
    holds.then_some(()).ok_or(ProofError::Wrong(name))
}

fn is_one_of<'s>(given: &[u8], secrets: impl Iterator<Item = &'s SecretString>) -> bool {
    let given = Sha256::digest(given);
    let known = secrets.fold(Choice::from(0), |known, secret| {
        known | Sha256::digest(secret.expose_secret()).ct_eq(&given)
    });
    known.into()
}

/// `username:password` of `Basic …`.
fn basic(given: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = given.split_at_checked("basic ".len())?;
    let is_basic = scheme.eq_ignore_ascii_case(b"basic ");
    is_basic
        .then(|| BASE64.decode(rest.trim_ascii()).ok())
        .flatten()
}

/// The bytes of a signature. No source says how these providers write theirs: hexadecimal and
/// base64 are told apart by their lengths, and either may stand behind `sha256=`.
fn signature(hash: Hash, given: &[u8]) -> Option<Vec<u8>> {
    let label = hash.as_str().len() + 1;
    let given = match given.split_at_checked(label) {
        Some((first, rest))
            if first.ends_with(b"=")
                && first[..label - 1].eq_ignore_ascii_case(hash.as_str().as_bytes()) =>
        {
            rest
        }
        _ => given,
    };
    let decoded = if given.len() == 2 * hash.bytes() {
        HEXLOWER_PERMISSIVE.decode(given)
    } else {
        let padding = given.iter().rev().take_while(|byte| **byte == b'=');
        BASE64_NOPAD.decode(&given[..given.len() - padding.count().min(2)])
    };
    decoded.ok().filter(|bytes| bytes.len() == hash.bytes())
}

fn signs(hash: Hash, secret: &SecretString, body: &[u8], tag: &[u8]) -> bool {
    let verify = match hash {
        Hash::Md5 => signs_with::<Hmac<Md5>>,
        Hash::Sha1 => signs_with::<Hmac<Sha1>>,
        Hash::Sha224 => signs_with::<Hmac<Sha224>>,
        Hash::Sha256 => signs_with::<Hmac<Sha256>>,
        Hash::Sha384 => signs_with::<Hmac<Sha384>>,
        Hash::Sha512 => signs_with::<Hmac<Sha512>>,
    };
    verify(secret.expose_secret().as_bytes(), body, tag)
}

fn signs_with<M: Mac + KeyInit>(secret: &[u8], body: &[u8], tag: &[u8]) -> bool {
    <M as KeyInit>::new_from_slice(secret)
        .is_ok_and(|mac| mac.chain_update(body).verify_slice(tag).is_ok())
}

#[cfg(test)]
mod tests;
