//! Names of things: our own ids, and the providers'.
//!
//! An id of something that belongs to a sender carries the sender, so that a look-up by id goes
//! straight to the sender's rows. In public an id is a prefix and lower-case base32
//! (`msg_…`); callers treat it as opaque.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_DNSSEC as BASE32;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Timestamp;

/// A text is not an id of the kind that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an id as it was given out, which starts with `{prefix}`")]
pub struct InvalidId {
    /// The prefix that ids of the expected kind start with.
    pub prefix: &'static str,
}

/// A business phone number on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SenderId(pub i32);

macro_rules! public_text {
    ($name:ident, $prefix:literal, $bytes:literal) => {
        impl $name {
            /// What the public form starts with.
            pub const PREFIX: &'static str = $prefix;
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let bytes = self.to_bytes();
                write!(f, "{}{}", $prefix, BASE32.encode_display(&bytes))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix($prefix)
                    .and_then(|rest| BASE32.decode(rest.as_bytes()).ok())
                    .and_then(|bytes| <[u8; $bytes]>::try_from(bytes).ok())
                    .map(Self::from_bytes)
                    .ok_or(InvalidId { prefix: $prefix })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        public_text!($name, $prefix, 16);
    };
}

macro_rules! sender_scoped_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// Whose rows it stands in.
            pub sender: SenderId,
            /// Unique within the sender, ordered by creation.
            pub uuid: Uuid,
        }

        impl $name {
            fn to_bytes(self) -> [u8; 20] {
                let mut bytes = [0; 20];
                bytes[..4].copy_from_slice(&self.sender.0.to_be_bytes());
                bytes[4..].copy_from_slice(self.uuid.as_bytes());
                bytes
            }

            fn from_bytes(bytes: [u8; 20]) -> Self {
                let ([a, b, c, d], uuid) = split(bytes);
                Self {
                    sender: SenderId(i32::from_be_bytes([a, b, c, d])),
                    uuid: Uuid::from_bytes(uuid),
                }
            }
        }

        public_text!($name, $prefix, 20);
    };
}

/// The lowest id that can have been made at this moment.
pub fn first_at(moment: Timestamp) -> Uuid {
    let millis = u64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

/// When an id was made, to the millisecond; `None` where it does not tell.
pub fn made_at(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    let seconds = Timestamp::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    Some(seconds + time::Duration::nanoseconds(nanos.into()))
}

fn split(bytes: [u8; 20]) -> ([u8; 4], [u8; 16]) {
    let (mut head, mut tail) = ([0; 4], [0; 16]);
    head.copy_from_slice(&bytes[..4]);
    tail.copy_from_slice(&bytes[4..]);
    (head, tail)
}

impl SenderId {
    fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(i32::from_be_bytes(bytes))
    }
}

public_text!(SenderId, "snd_", 4);
uuid_id!(
    /// An account with a provider.
    ConnectionId,
    "con_"
);
uuid_id!(
    /// An API key: which one it is, not what it says.
    KeyId,
    "key_"
);
uuid_id!(
    /// A template: name and language on a WABA.
    TemplateId,
    "tpl_"
);
uuid_id!(
    /// One HTTP request a provider posted to us. Holds the time it came.
    WebhookId,
    "whk_"
);
uuid_id!(
    /// Where an internal service wants events posted.
    SubscriptionId,
    "sub_"
);
sender_scoped_id!(
    /// One step of a sequence.
    MessageId,
    "msg_"
);
sender_scoped_id!(
    /// An ordered list of messages to one recipient.
    SequenceId,
    "seq_"
);
sender_scoped_id!(
    /// The same sequence for many recipients.
    CampaignId,
    "cmp_"
);
sender_scoped_id!(
    /// One fact as the feed shows it. `sender` is the stream: a sender's, or the connection's
    /// own for what has no sender.
    EventId,
    "evt_"
);

impl TemplateId {
    /// The id of a template, made from its key: whoever hears of it first, and however often,
    /// makes the same, so that nobody has to ask for it.
    pub fn of(connection: ConnectionId, waba_id: &str, name: &str, language: &str) -> Self {
        let mut digest = Sha256::new_with_prefix(connection.0);
        for part in [waba_id, name, language] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// One POST of a message: its number, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// What is being sent.
    pub message: MessageId,
    /// 1 for the first attempt.
    pub n: i16,
}

impl AttemptId {
    /// What goes into `biz_opaque_callback_data`, so that a status names the attempt although
    /// the answer to the POST was lost. Meta shows it to every app subscribed to the WABA, so
    /// it says nothing but the id.
    pub fn to_callback(self) -> String {
        format!("{}.{}", self.message, self.n)
    }

    /// Reads back what [`AttemptId::to_callback`] wrote; `None` for callback data of others.
    pub fn from_callback(text: &str) -> Option<Self> {
        let (message, n) = text.split_once('.')?;
        let n = n.parse().ok().filter(|n| *n > 0)?;
        Some(Self {
            message: message.parse().ok()?,
            n,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_the_round_trip_and_refuse_other_kinds() {
        let message = MessageId {
            sender: SenderId(7),
            uuid: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
        };
        let text = message.to_string();
        assert_eq!(text.len(), "msg_".len() + 32);
        assert_eq!(text.parse::<MessageId>().unwrap(), message);
        assert!(text.parse::<SequenceId>().is_err());
        assert!("msg_".parse::<MessageId>().is_err());
        assert!("msg_ä".parse::<MessageId>().is_err());
        let attempt = AttemptId { message, n: 2 };
        assert_eq!(
            AttemptId::from_callback(&attempt.to_callback()),
            Some(attempt)
        );
        assert_eq!(AttemptId::from_callback("camp=81;row=4407"), None);
    }
}
