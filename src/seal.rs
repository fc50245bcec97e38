//! Seals credentials at rest: AES-256-GCM under `TWOTICK_SEALING_KEY`, bound to the row they
//! belong to, so that a sealed value copied into another row does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::clock;

/// The key. Never shown.
pub struct SealingKey {
    seals: LessSafeKey,
    /// Other secrets are made from it.
    derives: Hmac<Sha256>,
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

/// Why something could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key is not 32 bytes in base64.
    #[error(
        "TWOTICK_SEALING_KEY must be 32 bytes in base64; make one with `openssl rand -base64 32`"
    )]
    Key,
    /// Sealed with another key, for another row, or damaged.
    #[error(
        "the sealed value does not open: TWOTICK_SEALING_KEY is not the one it was sealed with"
    )]
    Open,
}

impl SealingKey {
    /// Reads the key from base64.
    pub fn parse(text: &SecretString) -> Result<Self, SealError> {
        let bytes = BASE64
            .decode(text.expose_secret().trim().as_bytes())
            .map_err(|_| SealError::Key)?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Key)?;
        Ok(Self {
            seals: LessSafeKey::new(key),
            derives: Hmac::new_from_slice(&bytes).map_err(|_| SealError::Key)?,
        })
    }

    /// A secret for `purpose`: the same as long as the key is, and of no use for any other.
    pub fn derive(&self, purpose: &[u8]) -> [u8; 32] {
        let derived = self.derives.clone().chain_update(purpose);
        derived.finalize().into_bytes().into()
    }

    /// A fresh key, in base64.
    pub fn generate() -> SecretString {
        BASE64.encode(&clock::random::<32>()).into()
    }

    /// Seals `plain` for `context` (such as the row's id): a random nonce, then the ciphertext.
    pub fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let nonce: [u8; NONCE_LEN] = clock::random();
        let mut sealed = plain.to_vec();
        self.seals
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .map_err(|_| SealError::Open)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens what [`SealingKey::seal`] sealed for the same context.
    pub fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Open)?;
        let mut rest = rest.to_vec();
        let plain = self
            .seals
            .open_in_place(nonce, Aad::from(context), &mut rest)
            .map_err(|_| SealError::Open)?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_only_with_their_key_and_for_their_row() {
        let key = SealingKey::parse(&SealingKey::generate()).unwrap();
        let sealed = key.seal(b"con_1", b"secret").unwrap();
        assert_eq!(key.open(b"con_1", &sealed).unwrap(), b"secret");
        assert_eq!(key.open(b"con_2", &sealed), Err(SealError::Open));
        assert_eq!(key.open(b"con_1", &sealed[..5]), Err(SealError::Open));
        let other = SealingKey::parse(&SealingKey::generate()).unwrap();
        assert_eq!(other.open(b"con_1", &sealed), Err(SealError::Open));
        assert_eq!(key.derive(b"one"), key.derive(b"one"));
        assert_ne!(key.derive(b"one"), key.derive(b"two"));
        assert_ne!(key.derive(b"one"), other.derive(b"one"));
        assert!(SealingKey::parse(&"c2hvcnQ=".to_owned().into()).is_err());
    }
}
