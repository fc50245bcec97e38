//! Meta's webhooks: bytes to facts. `http` verifies the raw bytes ([`verify_signature`]), ingest
//! decodes them ([`decode`]).
//!
//! Whatever the bytes, decoding neither fails nor panics, and each item stands on its own: what
//! cannot be read becomes a `Problem` with its path, and its siblings become facts. Fields and
//! words that are not known are kept as they came. Meta's own examples disagree with its tables
//! about types, spellings and even where `field` stands, so all of these are accepted.
//!
//! [`envelope`] walks entries and changes, [`fields`] knows who reads which field, [`lists`] walks
//! the arrays of a value; the rest is a file a family of fields.

mod accounts;
mod business;
mod calls;
mod coexistence;
pub(in crate::provider) mod envelope;
mod errors;
pub(in crate::provider) mod fields;
mod groups;
mod inbound;
mod inbound_content;
pub(in crate::provider) mod lists;
mod numbers;
mod routing;
pub(in crate::provider) mod shown;
mod signature;
mod statuses;
mod template_content;
mod templates;
#[cfg(test)]
mod tests;
mod users;

pub use self::signature::{
    HandshakeError, SIGNATURE_HEADER, SignatureError, verify_handshake, verify_signature,
};
use crate::model::fact::{Decoded, ItemPath};
use crate::provider::lenient::{self, KEY_BYTES};

/// Reads everything a body says.
pub fn decode(body: &[u8]) -> Decoded {
    decode_by(body, |json, out| envelope::walk(json, fields::read, out))
}

/// Reads a body, whatever its bytes, by what reads its JSON.
pub(in crate::provider) fn decode_by(
    body: &[u8],
    walk: impl FnOnce(&str, &mut Decoded),
) -> Decoded {
    let mut decoded = Decoded::default();
    match std::str::from_utf8(body) {
        Ok(json) => walk(&lenient::storable(json), &mut decoded),
        Err(error) => decoded.take(ItemPath::new(), Err(error.into())),
    }
    if decoded == Decoded::default() {
        decoded.note = Some("the body holds no items");
    }
    decoded
}

/// What keeps an item from becoming a fact.
#[derive(Debug, thiserror::Error)]
pub(in crate::provider) enum Unreadable {
    #[error("not UTF-8: {0}")]
    Utf8(#[from] std::str::Utf8Error),
    #[error("not as expected: {0}")]
    Json(#[from] serde_json::Error),
    #[error("`{0}` is missing or not usable")]
    Missing(&'static str),
    #[error("`{0}` is longer than {KEY_BYTES} bytes")]
    TooLong(&'static str),
}
