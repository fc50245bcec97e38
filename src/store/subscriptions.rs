//! Subscriptions as the API makes, shows and changes them. Whatever changes one makes its
//! `version` grow, so that whoever delivers reads it again.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::facts::OwnFact;
use super::feed::Place;
use super::once::shown;
use super::{Once, Reply, Store, StoreError, again};
use crate::model::ids::{ConnectionId, SenderId, SubscriptionId};
use crate::model::{Timestamp, event};

/// The stream of facts that belong to no sender and no connection: numbers begin at 1.
pub const NO_STREAM: i32 = 0;

/// Where an internal service wants events posted.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of subscriptions")]
pub struct Subscription {
    pub id: SubscriptionId,
    pub wanted: Wanted,
    /// `None`: they were sealed with another key. They can be replaced.
    pub secrets: Option<Secrets>,
    pub status: String,
    pub disabled_reason: Option<String>,
    pub disabled_at: Option<Timestamp>,
    pub failing_since: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// What its owner says of it.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of subscriptions")]
pub struct Wanted {
    pub url: String,
    pub description: Option<String>,
    pub types: Vec<String>,
    pub senders: Vec<SenderId>,
    pub connections: Vec<ConnectionId>,
    pub format: String,
    pub timeout: Duration,
}

/// What deliveries are signed with, as it is given out: `whsec_` and base64.
#[derive(Clone)]
pub struct Secrets {
    /// Always.
    pub current: SecretString,
    /// Beside it, until then.
    pub previous: Option<(SecretString, Timestamp)>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

/// What is sealed of [`Secrets`].
#[derive(Serialize, Deserialize)]
struct Plain {
    current: String,
    previous: Option<(String, i64)>,
}

impl From<&Secrets> for Plain {
    fn from(secrets: &Secrets) -> Self {
        let previous = secrets.previous.as_ref();
        Self {
            current: secrets.current.expose_secret().to_owned(),
            previous: previous
                .map(|(secret, until)| (secret.expose_secret().to_owned(), until.unix_timestamp())),
        }
    }
}

impl Plain {
    fn secrets(self) -> Option<Secrets> {
        let previous = match self.previous {
            Some((secret, until)) => {
                Some((secret.into(), Timestamp::from_unix_timestamp(until).ok()?))
            }
            None => None,
        };
        Some(Secrets {
            current: self.current.into(),
            previous,
        })
    }
}

/// What is to be changed; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the columns of subscriptions")]
pub struct SubscriptionChange {
    pub url: Option<String>,
    pub description: Option<Option<String>>,
    pub types: Option<Vec<String>>,
    pub senders: Option<Vec<SenderId>>,
    pub connections: Option<Vec<ConnectionId>>,
    pub format: Option<String>,
    pub timeout: Option<Duration>,
    /// Whether it is to be active.
    pub active: Option<bool>,
}

/// The columns.
struct Row {
    id: Uuid,
    url: String,
    description: Option<String>,
    types: Vec<String>,
    senders: Vec<i32>,
    connections: Vec<Uuid>,
    format: String,
    timeout_ms: i32,
    secrets: Vec<u8>,
    status: String,
    disabled_reason: Option<String>,
    disabled_at: Option<Timestamp>,
    failing_since: Option<Timestamp>,
    created_at: Timestamp,
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

    fn seal_secrets(&self, id: SubscriptionId, secrets: &Secrets) -> Result<Vec<u8>, StoreError> {
        let plain = shown(&Plain::from(secrets))?;
        let sealed = self.sealing_key.seal(&context(id, b"subscription"), &plain);
        sealed.map_err(Self::sealed_error(id))
    }

    fn open_subscription(&self, row: Row) -> Subscription {
        let id = SubscriptionId(row.id);
        let context = context(id, b"subscription");
        let plain = self.sealing_key.open(&context, &row.secrets);
        let plain =
            plain.inspect_err(|error| tracing::error!(subscription = %id, %error, "a secret"));
        let plain = plain
            .ok()
            .and_then(|plain| serde_json::from_slice::<Plain>(&plain).ok());
        Subscription {
            id,
            secrets: plain.and_then(Plain::secrets),
            wanted: Wanted {
                url: row.url,
                description: row.description,
                types: row.types,
                senders: row.senders.into_iter().map(SenderId).collect(),
                connections: row.connections.into_iter().map(ConnectionId).collect(),
                format: row.format,
                timeout: Duration::from_millis(row.timeout_ms.unsigned_abs().into()),
            },
            status: row.status,
            disabled_reason: row.disabled_reason,
            disabled_at: row.disabled_at,
            failing_since: row.failing_since,
            created_at: row.created_at,
        }
    }

    /// An answer that tells a secret is kept sealed.
    fn seal_answer(&self, once: &Once, answer: &[u8]) -> Result<Vec<u8>, StoreError> {
        if !once.is_named() {
            return Ok(answer.to_vec());
        }
        let sealed = self.sealing_key.seal(b"subscription answer", answer);
        sealed.map_err(Self::sealed_error(SubscriptionId(Uuid::nil())))
    }

    fn open_answer(&self, once: &Once, reply: Reply) -> Result<Reply, StoreError> {
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

    /// Makes a subscription, once; it is told of what happens from now on.
    pub async fn create_subscription<V: Serialize>(
        &self,
        wanted: &Wanted,
        secrets: &Secrets,
        once: &Once,
        show: impl Fn(Subscription) -> V + Sync,
    ) -> Result<Reply, StoreError> {
        let reply = again!(self, "create_subscription", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(reply);
            }
            let id = SubscriptionId(self.clock.new_id());
            self.insert_subscription(&mut transaction, id, wanted, secrets)
                .await?;
            let made = self.read_subscriptions(&mut transaction, Some(id), None, 1);
            let made = made.await?.pop();
            let made = made.ok_or_else(|| StoreError::Corrupt(format!("subscriptions: {id}")))?;
            let answer = self.seal_answer(once, &shown(&show(made))?)?;
            self.commit_reply(transaction, once, answer).await
        })?;
        self.open_answer(once, reply)
    }

    async fn insert_subscription(
        &self,
        connection: &mut PgConnection,
        id: SubscriptionId,
        wanted: &Wanted,
        secrets: &Secrets,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- create_subscription
            WITH made AS (
                INSERT INTO subscriptions (id, url, description, types, senders, connections,
                                           format, timeout_ms, secrets, created_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                RETURNING id
            )
            -- Below this place nothing comes any more.
            INSERT INTO subscription_cursors (subscription, xid, event)
            SELECT id, feed_place(pg_snapshot_xmin(pg_current_snapshot())),
                   '00000000-0000-0000-0000-000000000000'
            FROM made
            "#,
            id.0,
            wanted.url,
            wanted.description,
            &wanted.types,
            &wanted.senders.iter().map(|s| s.0).collect::<Vec<_>>(),
            &wanted.connections.iter().map(|c| c.0).collect::<Vec<_>>(),
            wanted.format,
            millis(wanted.timeout),
            self.seal_secrets(id, secrets)?,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn read_subscriptions(
        &self,
        connection: &mut PgConnection,
        id: Option<SubscriptionId>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Subscription>, StoreError> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            -- read_subscriptions
            SELECT id, url, description, types, senders, connections, format, timeout_ms, secrets,
                   status, disabled_reason, disabled_at, failing_since, created_at
            FROM subscriptions
            WHERE ($1::uuid IS NULL OR id = $1) AND ($2::uuid IS NULL OR id < $2)
            ORDER BY id DESC
            LIMIT $3
            "#,
            id.map(|id| id.0),
            before,
            limit,
        )
        .fetch_all(connection)
        .await?;
        let opened = rows.into_iter().map(|row| self.open_subscription(row));
        Ok(opened.collect())
    }

    /// One subscription.
    pub async fn subscription(
        &self,
        id: SubscriptionId,
    ) -> Result<Option<Subscription>, StoreError> {
        again!(self, "subscription", {
            let connection = &mut *self.pool.acquire().await?;
            let found = self.read_subscriptions(connection, Some(id), None, 1);
            Ok(found.await?.pop())
        })
    }

    /// Subscriptions, the newest first.
    pub async fn list_subscriptions(
        &self,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Subscription>, StoreError> {
        again!(self, "list_subscriptions", {
            let connection = &mut *self.pool.acquire().await?;
            self.read_subscriptions(connection, None, before, limit)
                .await
        })
    }

    /// Changes a subscription. `None`: there is no such.
    pub async fn update_subscription(
        &self,
        id: SubscriptionId,
        change: &SubscriptionChange,
    ) -> Result<Option<Subscription>, StoreError> {
        again!(self, "update_subscription", {
            let mut transaction = self.begin().await?;
            let before = lock(&mut transaction, id).await?;
            let Some(before) = before else {
                return Ok(None);
            };
            self.write_change(&mut transaction, id, change).await?;
            if let Some(active) = change.active
                && active != (before == "active")
            {
                let by = (!active).then_some("disabled by a caller of the API");
                self.set_active(&mut transaction, id, by, "api").await?;
            }
            touch(&mut transaction, id).await?;
            let after = self.read_subscriptions(&mut transaction, Some(id), None, 1);
            let after = after.await?.pop();
            transaction.commit().await?;
            Ok(after)
        })
    }

    async fn write_change(
        &self,
        connection: &mut PgConnection,
        id: SubscriptionId,
        change: &SubscriptionChange,
    ) -> Result<(), StoreError> {
        let senders = change.senders.as_ref();
        let senders = senders.map(|all| all.iter().map(|s| s.0).collect::<Vec<_>>());
        let connections = change.connections.as_ref();
        let connections = connections.map(|all| all.iter().map(|c| c.0).collect::<Vec<_>>());
        sqlx::query!(
            r#"
            -- update_subscription
            UPDATE subscriptions
            SET url = coalesce($2, url),
                description = CASE WHEN $3 THEN $4 ELSE description END,
                types = coalesce($5, types), senders = coalesce($6, senders),
                connections = coalesce($7, connections), format = coalesce($8, format),
                timeout_ms = coalesce($9, timeout_ms)
            WHERE id = $1
            "#,
            id.0,
            change.url,
            change.description.is_some(),
            change.description.clone().flatten(),
            change.types.as_deref(),
            senders.as_deref(),
            connections.as_deref(),
            change.format,
            change.timeout.map(millis),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Opens a subscription, or disables it for this reason.
    async fn set_active(
        &self,
        connection: &mut PgConnection,
        id: SubscriptionId,
        disabled: Option<&str>,
        source: &'static str,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        sqlx::query!(
            r#"
            -- set_active
            WITH opened AS (
                -- What waits need not wait longer: whoever opened it knows why.
                UPDATE undelivered SET next_at = $4
                WHERE subscription = $1 AND state = 'waiting' AND next_at IS NOT NULL
                    AND $2::text IS NULL
            )
            UPDATE subscriptions
            SET status = CASE WHEN $2::text IS NULL THEN 'active' ELSE 'disabled' END,
                disabled_reason = $2,
                disabled_at = CASE WHEN $2::text IS NULL THEN NULL ELSE $3::timestamptz END,
                failing_since = CASE WHEN $2::text IS NULL THEN NULL ELSE failing_since END
            WHERE id = $1
            "#,
            id.0,
            disabled,
            now,
            now,
        )
        .execute(&mut *connection)
        .await?;
        let r#type = match disabled {
            Some(_) => event::SUBSCRIPTION_DISABLED,
            None => event::SUBSCRIPTION_RESUMED,
        };
        let fact = OwnFact::of(NO_STREAM, id.0, r#type, source);
        let fact = match disabled {
            Some(reason) => fact.with(json!({"reason": reason})),
            None if misses_events(connection, id).await? => fact.with(json!({"events_gone": true})),
            None => fact,
        };
        self.write_facts(connection, &[fact]).await
    }

    /// Disables one that fails, unless somebody has done so.
    pub async fn disable_subscription(
        &self,
        id: SubscriptionId,
        reason: &str,
    ) -> Result<(), StoreError> {
        again!(self, "disable_subscription", {
            let mut transaction = self.begin().await?;
            if lock(&mut transaction, id).await?.as_deref() == Some("active") {
                self.set_active(&mut transaction, id, Some(reason), "sweep")
                    .await?;
                touch(&mut transaction, id).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
    }

    /// Says that events were forgotten before it was told of them: once for where the feed begins.
    pub async fn say_events_gone(
        &self,
        id: SubscriptionId,
        begin: Place,
    ) -> Result<(), StoreError> {
        let fact = OwnFact::of(NO_STREAM, id.0, event::SUBSCRIPTION_EVENTS_GONE, "sweep");
        let fact = fact.once(format!("begin {}", begin.xid));
        again!(self, "say_events_gone", {
            let mut connection = self.pool.acquire().await?;
            self.write_facts(&mut connection, std::slice::from_ref(&fact))
                .await
        })
    }

    /// Gives it another secret, once; the one before is good until then.
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
            let previous = subscription.secrets.map(|known| (known.current, until));
            let secrets = Secrets {
                current: new.clone(),
                previous,
            };
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

    /// Deletes a subscription. `false`: there was none.
    pub async fn delete_subscription(&self, id: SubscriptionId) -> Result<bool, StoreError> {
        let deleted = again!(self, "delete_subscription", {
            Ok(sqlx::query!(
                "-- delete_subscription\nDELETE FROM subscriptions WHERE id = $1",
                id.0
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(deleted.rows_affected() > 0)
    }
}

fn millis(span: Duration) -> i32 {
    i32::try_from(span.as_millis()).unwrap_or(i32::MAX)
}

/// Its status; whoever changes it holds its row.
async fn lock(
    connection: &mut PgConnection,
    id: SubscriptionId,
) -> Result<Option<String>, StoreError> {
    // In the order in which deliveries are recorded.
    let status = sqlx::query_scalar!(
        r#"
        -- lock_subscription
        WITH cursor AS MATERIALIZED (
            SELECT subscription FROM subscription_cursors WHERE subscription = $1 FOR UPDATE
        )
        SELECT s.status FROM cursor JOIN subscriptions s ON s.id = cursor.subscription
        FOR UPDATE OF s
        "#,
        id.0
    );
    Ok(status.fetch_optional(connection).await?)
}

/// Whether some of what it was not told of has been forgotten meanwhile.
async fn misses_events(
    connection: &mut PgConnection,
    id: SubscriptionId,
) -> Result<bool, StoreError> {
    let misses = sqlx::query_scalar!(
        r#"
        -- misses_events
        SELECT c.xid < r.begins AS "misses!"
        FROM subscription_cursors c, retention r WHERE c.subscription = $1
        "#,
        id.0,
    );
    Ok(misses.fetch_optional(connection).await?.unwrap_or(false))
}

/// Has its owner read it again.
pub(super) async fn touch(
    connection: &mut PgConnection,
    id: SubscriptionId,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        -- touch_subscription
        UPDATE subscription_cursors SET version = version + 1 WHERE subscription = $1
        "#,
        id.0
    )
    .execute(connection)
    .await?;
    Ok(())
}
