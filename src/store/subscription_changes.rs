//! How subscriptions are made, changed, disabled and deleted. Whatever changes one makes its `version`
//! grow, so that whoever delivers reads it again.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;

use super::facts::OwnFact;
use super::feed::Place;
use super::once::shown;
use super::subscription_leases::SubscriptionLease;
use super::subscription_secrets::Secrets;
use super::subscriptions::{NO_STREAM, Subscription, Wanted};
use super::{Once, Reply, Store, StoreError, again};
use crate::model::event;
use crate::model::ids::{ConnectionId, SenderId, SubscriptionId};

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

impl Store {
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
            WITH moved AS (
                -- What waits was refused by another endpoint.
                UPDATE undelivered SET next_at = $10
                WHERE subscription = $1 AND state = 'waiting' AND next_at IS NOT NULL
                    AND EXISTS (SELECT FROM subscriptions WHERE id = $1 AND url <> $2)
            )
            UPDATE subscriptions
            SET url = coalesce($2, url),
                failing_since = CASE WHEN url <> $2 THEN NULL ELSE failing_since END,
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
            self.clock.now(),
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

    /// Disables one that fails, as it is known under this lease. `false`: it has been changed since, is
    /// another's, or is disabled already.
    pub async fn disable_subscription(
        &self,
        lease: &SubscriptionLease,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let id = lease.subscription;
        again!(self, "disable_subscription", {
            let mut transaction = self.begin().await?;
            let is_active = lock(&mut transaction, id).await?.as_deref() == Some("active");
            if !is_active || !is_still(&mut transaction, lease).await? {
                return Ok(false);
            }
            self.set_active(&mut transaction, id, Some(reason), "sweep")
                .await?;
            touch(&mut transaction, id).await?;
            transaction.commit().await?;
            Ok(true)
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
pub(super) async fn lock(
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

/// Whether it is as it was when this lease's owner read it, and still that owner's.
async fn is_still(
    connection: &mut PgConnection,
    lease: &SubscriptionLease,
) -> Result<bool, StoreError> {
    let is_still = sqlx::query_scalar!(
        r#"
        -- is_still
        SELECT version = $2 AND lease_epoch = $3 AS "is_still!"
        FROM subscription_cursors WHERE subscription = $1
        "#,
        lease.subscription.0,
        lease.version,
        lease.epoch,
    );
    Ok(is_still
        .fetch_optional(connection)
        .await?
        .unwrap_or_default())
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
