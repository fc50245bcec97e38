//! What deliveries are signed with, and how it is kept: sealed, each value bound to its subscription.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::once::shown;
use super::subscription_changes::{lock, touch};
use super::subscriptions::Subscription;
use super::{Once, Reply, Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::SubscriptionId;

/// What deliveries are signed with, as it is given out: `whsec_` and base64.
#[derive(Clone)]
pub struct Secrets {
    /// Always.
    pub current: SecretString,
    /// Those before, each beside it until then; the newest first.
    pub previous: Vec<(SecretString, Timestamp)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// Secrets that sign beside the last: each is 51 bytes in a header.
const MOST_PREVIOUS: usize = 4;

/// What is sealed of [`Secrets`].
#[derive(Serialize, Deserialize)]
struct Plain {
    current: String,
    previous: Option<(String, i64)>,
    /// Those before it.
    #[serde(default)]
    older: Vec<(String, i64)>,
}

impl From<&Secrets> for Plain {
    fn from(secrets: &Secrets) -> Self {
        let plain = |(secret, until): &(SecretString, Timestamp)| {
            (secret.expose_secret().to_owned(), until.unix_timestamp())
        };
        let mut previous = secrets.previous.iter().map(plain);
        Self {
            current: secrets.current.expose_secret().to_owned(),
            previous: previous.next(),
            older: previous.collect(),
        }
    }
}

impl Plain {
    fn secrets(self) -> Option<Secrets> {
        let all = self.previous.into_iter().chain(self.older);
        let previous = all.map(|(secret, until)| {
            let until = Timestamp::from_unix_timestamp(until).ok()?;
            Some((secret.into(), until))
        });
        Some(Secrets {
            current: self.current.into(),
            previous: previous.collect::<Option<_>>()?,
        })
    }
}

/// A new secret, and those that go on signing beside it.
fn replaced(
    known: Option<Secrets>,
    new: &SecretString,
    until: Timestamp,
    now: Timestamp,
) -> Secrets {
    let known = known.into_iter();
    let previous = known.flat_map(|known| {
        let older = known.previous.into_iter();
        let older = older.map(|(secret, told)| (secret, told.min(until)));
        let older = older.filter(|(_, until)| now < *until);
        std::iter::once((known.current, until)).chain(older)
    });
    Secrets {
        current: new.clone(),
        previous: previous.take(MOST_PREVIOUS).collect(),
    }
}

/// What a sealed value is bound to.
fn context(id: SubscriptionId, of: &[u8]) -> Vec<u8> {
    [of, id.0.as_bytes()].concat()
}

impl Store {
    fn sealed_error(id: SubscriptionId) -> impl Fn(crate::seal::SealError) -> StoreError {
        move |source| StoreError::Sealed {
            what: format!("subscriptions: {id}"),
            source,
        }
    }

    pub(super) fn seal_secrets(
        &self,
        id: SubscriptionId,
        secrets: &Secrets,
    ) -> Result<Vec<u8>, StoreError> {
        let plain = shown(&Plain::from(secrets))?;
        let sealed = self.sealing_key.seal(&context(id, b"subscription"), &plain);
        sealed.map_err(Self::sealed_error(id))
    }

    /// `None`: they were sealed with another key.
    pub(super) fn open_secrets(&self, id: SubscriptionId, sealed: &[u8]) -> Option<Secrets> {
        let plain = self.sealing_key.open(&context(id, b"subscription"), sealed);
        let plain =
            plain.inspect_err(|error| tracing::error!(subscription = %id, %error, "a secret"));
        let plain = serde_json::from_slice::<Plain>(&plain.ok()?).ok()?;
        plain.secrets()
    }

    /// An answer that tells a secret is kept sealed.
    pub(super) fn seal_answer(&self, once: &Once, answer: &[u8]) -> Result<Vec<u8>, StoreError> {
        if !once.is_named() {
            return Ok(answer.to_vec());
        }
        let sealed = self.sealing_key.seal(b"subscription answer", answer);
        sealed.map_err(Self::sealed_error(SubscriptionId(Uuid::nil())))
    }

    pub(super) fn open_answer(&self, once: &Once, reply: Reply) -> Result<Reply, StoreError> {
        if !once.is_named() {
            return Ok(reply);
        }
        let open = |sealed: Vec<u8>| {
            let opened = self.sealing_key.open(b"subscription answer", &sealed);
            opened.map_err(Self::sealed_error(SubscriptionId(Uuid::nil())))
        };
        Ok(match reply {
            Reply::Done(answer) => Reply::Done(open(answer)?),
            Reply::Replayed(answer) => Reply::Replayed(open(answer)?),
            nothing => nothing,
        })
    }

    /// Gives it another secret, once; the one before is good until then, and those before that one
    /// for as long as was said of them, but no longer: an older one may be all that the receiver knows.
    pub async fn rotate_secret<V: Serialize>(
        &self,
        id: SubscriptionId,
        new: &SecretString,
        until: Timestamp,
        once: &Once,
        show: impl Fn(Subscription) -> V + Sync,
    ) -> Result<Option<Reply>, StoreError> {
        let reply = again!(self, "rotate_secret", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(reply));
            }
            if lock(&mut transaction, id).await?.is_none() {
                return Ok(None);
            }
            let known = self.read_subscriptions(&mut transaction, Some(id), None, 1);
            let Some(mut subscription) = known.await?.pop() else {
                return Ok(None);
            };
            let secrets = replaced(subscription.secrets, new, until, self.clock.now());
            let sealed = self.seal_secrets(id, &secrets)?;
            subscription.secrets = Some(secrets);
            sqlx::query!(
                "-- rotate_secret\nUPDATE subscriptions SET secrets = $2 WHERE id = $1",
                id.0,
                sealed,
            )
            .execute(&mut *transaction)
            .await?;
            touch(&mut transaction, id).await?;
            let answer = self.seal_answer(once, &shown(&show(subscription))?)?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(reply))
        })?;
        reply.map(|reply| self.open_answer(once, reply)).transpose()
    }
}
