//! Requests that are done once. A caller names one by an `Idempotency-Key`; its name and its
//! answer are written in the very transaction that does what was asked for, so that a crash
//! leaves both or neither, and whoever asks again gets the first answer.
//!
//! A function that takes a [`Once`] begins its transaction with `first_reply` and ends it with
//! `commit_reply`. It shows what it made inside: an answer that were made after the commit could
//! be missing when it is asked for. A transaction that ends otherwise leaves the name free.
//!
//! What is done at a provider takes longer than a transaction may: such a request claims its name
//! (`claim_request`), does its work, and keeps its answer or releases the name. A second waits for
//! that. Where nobody knows whether the work was done, because the provider's answer was lost or the
//! instance died, the claim runs out and is nobody's again: to do it once more could do it twice.

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{Store, StoreError, Transaction, again};
use crate::model::Timestamp;
use crate::model::ids::KeyId;

/// For how long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// How many rows one statement deletes: few, so that it holds their locks for a moment only.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

/// Which request this is; one that its caller did not name is as new as any.
#[derive(Debug, Default)]
pub struct Once(Option<Name>);

#[derive(Debug)]
struct Name {
    api_key: KeyId,
    endpoint: String,
    key: String,
    digest: [u8; 32],
}

impl Once {
    /// A request that its caller named `key`. The name is one of this API key's and of this
    /// endpoint, method and path; elsewhere the same is another.
    pub fn named(
        api_key: KeyId,
        endpoint: String,
        query: Option<&str>,
        key: String,
        body: &[u8],
    ) -> Self {
        let mut digest = Sha256::new().chain_update(&endpoint);
        if let Some(query) = query {
            // Whose account is meant may stand there alone.
            digest = digest.chain_update("?").chain_update(query);
        }
        let digest = digest
            // No path has one, so that no body can pretend to be the path's end.
            .chain_update([0])
            .chain_update(body)
            .finalize()
            .into();
        Self(Some(Name {
            api_key,
            endpoint,
            key,
            digest,
        }))
    }

    /// Whether its caller named it, so that the answer is kept.
    pub(super) fn is_named(&self) -> bool {
        self.0.is_some()
    }
}

/// What the caller of a request that is done once is told: a JSON.
#[derive(Debug)]
pub enum Reply {
    /// It was done now.
    Done(Vec<u8>),
    /// It had been done: the answer that was given then.
    Replayed(Vec<u8>),
    /// Its name is that of another request. Nothing was done.
    KeyReused,
    /// It is being done at a provider, by another that came with its name.
    UnderWay,
    /// It went out to a provider before, and nobody knows what became of it. Nothing was done now.
    Unknown,
}

/// What is to be done with a request whose work is done at a provider.
#[derive(Debug)]
pub enum Claim {
    /// It is to be done, by who asked: its name is taken.
    Ours,
    /// It is being done.
    Held,
    /// There is nothing to do.
    Done(Reply),
}

/// The body of an answer.
pub(crate) fn shown(view: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(view)
        .map_err(|error| StoreError::Corrupt(format!("an answer is no JSON: {error}")))
}

impl Store {
    /// What is to be told without doing anything. `None`: the request is new, and its name is
    /// taken; a concurrent second waits here until this transaction has ended.
    pub(super) async fn first_reply(
        &self,
        connection: &mut PgConnection,
        once: &Once,
    ) -> Result<Option<Reply>, StoreError> {
        let Once(Some(name)) = once else {
            return Ok(None);
        };
        let now = self.clock.now();
        let taken = sqlx::query!(
            r#"
            -- take_idempotency_key
            INSERT INTO idempotency_keys AS k (api_key, endpoint, key, digest, created_at)
            VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (api_key, endpoint, key) DO UPDATE
            SET digest = excluded.digest, created_at = excluded.created_at, answer = NULL
            -- It is forgotten on time, whenever upkeep comes by.
            WHERE k.created_at <= $6
            "#,
            name.api_key.0,
            name.endpoint,
            name.key,
            name.digest.as_slice(),
            now,
            now - KEPT,
        )
        .execute(&mut *connection)
        .await?;
        if taken.rows_affected() > 0 {
            return Ok(None);
        }
        let first = sqlx::query!(
            r#"
            -- first_reply
            SELECT digest, answer FROM idempotency_keys
            WHERE api_key = $1 AND endpoint = $2 AND key = $3
            "#,
            name.api_key.0,
            name.endpoint,
            name.key,
        )
        .fetch_one(connection)
        .await?;
        if first.digest != name.digest {
            return Ok(Some(Reply::KeyReused));
        }
        let unanswered = || StoreError::Corrupt(format!("idempotency_keys: {name:?}"));
        let answer = first.answer.ok_or_else(unanswered)?;
        Ok(Some(Reply::Replayed(answer)))
    }

    /// Takes the name of a request, which counts as under way until then, to do its work outside of
    /// a transaction. A claim that fails may have been made: `release_request` undoes it.
    pub async fn claim_request(&self, once: &Once, until: Timestamp) -> Result<Claim, StoreError> {
        let Once(Some(name)) = once else {
            return Ok(Claim::Ours);
        };
        let now = self.clock.now();
        again!(self, "claim_request", {
            let mut pooled = self.pool.acquire().await?;
            let taken = sqlx::query!(
                r#"
                -- claim_request
                INSERT INTO idempotency_keys AS k
                    (api_key, endpoint, key, digest, created_at, claimed_until)
                VALUES ($1, $2, $3, $4, $5, $6)
                ON CONFLICT (api_key, endpoint, key) DO UPDATE
                SET digest = excluded.digest, created_at = excluded.created_at, answer = NULL,
                    claimed_until = excluded.claimed_until
                -- A claim that ran out is not taken again: its work may have been done.
                WHERE k.created_at <= $7
                "#,
                name.api_key.0,
                name.endpoint,
                name.key,
                name.digest.as_slice(),
                now,
                until,
                now - KEPT,
            )
            .execute(&mut *pooled)
            .await?;
            if taken.rows_affected() > 0 {
                return Ok(Claim::Ours);
            }
            let first = sqlx::query!(
                r#"
                -- claim_request: first
                SELECT digest, answer, claimed_until FROM idempotency_keys
                WHERE api_key = $1 AND endpoint = $2 AND key = $3
                "#,
                name.api_key.0,
                name.endpoint,
                name.key,
            )
            .fetch_optional(&mut *pooled)
            .await?;
            Ok(match first {
                Some(first) if first.digest != name.digest => Claim::Done(Reply::KeyReused),
                Some(first) => match (first.answer, first.claimed_until) {
                    (Some(answer), _) => Claim::Done(Reply::Replayed(answer)),
                    (None, Some(held)) if held > now => Claim::Held,
                    (None, _) => Claim::Done(Reply::Unknown),
                },
                // Released since.
                None => Claim::Held,
            })
        })
    }

    /// Its work was not done: its name is free again.
    pub async fn release_request(&self, once: &Once, until: Timestamp) -> Result<(), StoreError> {
        let Once(Some(name)) = once else {
            return Ok(());
        };
        again!(self, "release_request", {
            sqlx::query!(
                r#"
                -- release_request
                DELETE FROM idempotency_keys
                WHERE api_key = $1 AND endpoint = $2 AND key = $3
                    AND answer IS NULL AND claimed_until = $4
                "#,
                name.api_key.0,
                name.endpoint,
                name.key,
                until,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Nobody knows whether its work was done: the claim ends, and the name stays taken.
    pub async fn end_claim(&self, once: &Once, until: Timestamp) -> Result<(), StoreError> {
        let Once(Some(name)) = once else {
            return Ok(());
        };
        again!(self, "end_claim", {
            sqlx::query!(
                r#"
                -- end_claim
                UPDATE idempotency_keys SET claimed_until = created_at
                WHERE api_key = $1 AND endpoint = $2 AND key = $3
                    AND answer IS NULL AND claimed_until = $4
                "#,
                name.api_key.0,
                name.endpoint,
                name.key,
                until,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Keeps what a claimed request is answered.
    pub async fn keep_reply(&self, once: &Once, answer: Vec<u8>) -> Result<Reply, StoreError> {
        if once.0.is_none() {
            return Ok(Reply::Done(answer));
        }
        again!(self, "keep_reply", {
            let transaction = self.begin().await?;
            self.commit_reply(transaction, once, answer.clone()).await
        })
    }

    /// Keeps the answer under the request's name, and commits both with what was done.
    pub(super) async fn commit_reply(
        &self,
        mut transaction: Transaction,
        once: &Once,
        answer: Vec<u8>,
    ) -> Result<Reply, StoreError> {
        if let Once(Some(name)) = once {
            let kept = sqlx::query!(
                r#"
                -- keep_reply
                UPDATE idempotency_keys SET answer = $4
                -- Nobody else's: a name that was taken anew after its time has another digest, or
                -- an answer.
                WHERE api_key = $1 AND endpoint = $2 AND key = $3
                    AND digest = $5 AND answer IS NULL
                "#,
                name.api_key.0,
                name.endpoint,
                name.key,
                answer,
                name.digest.as_slice(),
            )
            .execute(&mut *transaction)
            .await?;
            if kept.rows_affected() == 0 {
                tracing::error!(
                    endpoint = name.endpoint,
                    "an answer was not kept: its request's name is another's"
                );
            }
        }
        transaction.commit().await?;
        Ok(Reply::Done(answer))
    }

    /// Deletes the names whose time is over.
    pub async fn forget_idempotency_keys(&self) -> Result<(), StoreError> {
        let until = self.clock.now() - KEPT;
        loop {
            let deleted = again!(self, "forget_idempotency_keys", {
                Ok(sqlx::query!(
                    r#"
                -- forget_idempotency_keys
                DELETE FROM idempotency_keys
                WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM idempotency_keys
                    WHERE created_at <= $1
                    ORDER BY created_at
                    LIMIT $2
                    -- One that is locked is being taken anew, or deleted by another instance.
                    FOR UPDATE SKIP LOCKED
                ))
                "#,
                    until,
                    FORGOTTEN_AT_ONCE,
                )
                .execute(&mut *self.pool.acquire().await?)
                .await?)
            })?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_account_is_meant_belongs_to_what_a_request_is() {
        let digest = |query| {
            let key = KeyId(uuid::Uuid::nil());
            let once = Once::named(key, "PATCH /v1/flows/1".into(), query, "k".into(), b"{}");
            once.0.map(|name| name.digest)
        };
        assert_eq!(digest(Some("connection=a")), digest(Some("connection=a")));
        assert_ne!(digest(Some("connection=a")), digest(Some("connection=b")));
        assert_ne!(digest(Some("connection=a")), digest(None));
    }
}
