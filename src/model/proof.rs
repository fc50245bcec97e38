//! What a webhook must bring to prove whose it is, where its provider lets the receiver choose
//! (`provider::proof` looks whether it does). All proofs of a connection must hold, each by any of
//! its secrets: so each can be rotated while both are valid.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// One thing that a webhook must bring.
#[derive(Debug, Clone)]
pub struct Proof {
    /// Where it is, and how it is made.
    pub by: ProofBy,
    /// Any of these will do.
    pub secrets: Vec<SecretString>,
}

/// Where a proof stands, and how it is made of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProofBy {
    /// An HMAC of the body.
    Signature {
        /// In lower case.
        header: String,
        /// The hash function.
        hash: Hash,
    },
    /// The secret itself, in a header of this name, in lower case.
    Header(String),
    /// `Authorization: Basic`; the secret is `username:password`.
    Basic,
    /// The secret itself, in the URL behind `?secret=`.
    Url,
}

/// A hash function that bodies are signed with. What Infobip offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names")]
pub enum Hash {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Each once.
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
    ];

    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Bytes of a signature.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha224 => 28,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}
