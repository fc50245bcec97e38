//! Who delivers to a subscription: one instance at a time, by a lease with an epoch, all by the
//! database's clock. What an owner records counts while its epoch is the row's.

use std::time::Duration;

use uuid::Uuid;

use super::feed::Place;
use super::leases::interval;
use super::{Store, StoreError, again};
use crate::model::ids::SubscriptionId;

/// A subscription that is ours for now.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionLease {
    /// Which.
    pub subscription: SubscriptionId,
    /// Which ownership this is.
    pub epoch: i64,
    /// Grows with whatever of it has to be read again.
    pub version: i64,
    /// How far it has been told.
    pub cursor: Place,
}

struct Row {
    subscription: Uuid,
    lease_epoch: i64,
    version: i64,
    xid: i64,
    event: Uuid,
}

impl From<Row> for SubscriptionLease {
    fn from(row: Row) -> Self {
        Self {
            subscription: SubscriptionId(row.subscription),
            epoch: row.lease_epoch,
            version: row.version,
            cursor: Place {
                xid: row.xid,
                id: row.event,
            },
        }
    }
}

impl Store {
    /// Extends the leases that are still ours; what is not returned is lost, or gone.
    pub async fn renew_subscriptions(
        &self,
        instance: Uuid,
        subscriptions: &[SubscriptionId],
        lease: Duration,
    ) -> Result<Vec<SubscriptionLease>, StoreError> {
        let rows = again!(self, "renew_subscriptions", {
            Ok(sqlx::query_as!(
                Row,
                r#"
            -- renew_subscriptions
            WITH ours AS MATERIALIZED (
                SELECT subscription FROM subscription_cursors
                WHERE subscription = ANY ($3) AND lease_owner = $1
                    AND lease_until > clock_timestamp()
                ORDER BY subscription
                FOR UPDATE
            )
            UPDATE subscription_cursors c SET lease_until = clock_timestamp() + $2::interval
            FROM ours WHERE c.subscription = ours.subscription
            RETURNING c.subscription, c.lease_epoch, c.version, c.xid::text::bigint AS "xid!",
                      c.event
            "#,
                instance,
                interval(lease),
                &subscriptions.iter().map(|id| id.0).collect::<Vec<_>>(),
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(rows.into_iter().map(SubscriptionLease::from).collect())
    }

    /// How many subscriptions are this instance's fair share, and how many anybody could take now.
    /// An instance that has said nothing for so long does not count.
    pub async fn subscriptions_share(
        &self,
        instance: Uuid,
        silent_after: Duration,
    ) -> Result<(i64, i64), StoreError> {
        let counted = again!(self, "subscriptions_share", {
            Ok(sqlx::query!(
                r#"
            -- subscriptions_share
            SELECT count(*) AS "active!",
                   count(*) FILTER (WHERE c.lease_until IS NULL
                                    OR c.lease_until <= clock_timestamp()) AS "free!",
                   (SELECT count(*) + 1 FROM instances
                    WHERE seen_at >= clock_timestamp() - $2::interval AND id <> $1) AS "instances!"
            FROM subscriptions s JOIN subscription_cursors c ON c.subscription = s.id
            WHERE s.status = 'active'
            "#,
                instance,
                interval(silent_after),
            )
            .fetch_one(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let share = (counted.active + counted.instances - 1) / counted.instances.max(1);
        Ok((share, counted.free))
    }

    /// Takes up to `most` subscriptions that nobody owns (any longer).
    pub async fn acquire_subscriptions(
        &self,
        instance: Uuid,
        most: i64,
        lease: Duration,
    ) -> Result<Vec<SubscriptionLease>, StoreError> {
        let rows = again!(self, "acquire_subscriptions", {
            Ok(sqlx::query_as!(
                Row,
                r#"
            -- acquire_subscriptions
            WITH free AS MATERIALIZED (
                SELECT c.subscription
                FROM subscription_cursors c JOIN subscriptions s ON s.id = c.subscription
                WHERE s.status = 'active'
                    AND (c.lease_until IS NULL OR c.lease_until <= clock_timestamp())
                ORDER BY c.subscription
                LIMIT $2
                FOR UPDATE OF c SKIP LOCKED
            )
            UPDATE subscription_cursors c
            SET lease_owner = $1, lease_epoch = c.lease_epoch + 1,
                lease_until = clock_timestamp() + $3::interval
            FROM free WHERE c.subscription = free.subscription
            RETURNING c.subscription, c.lease_epoch, c.version, c.xid::text::bigint AS "xid!",
                      c.event
            "#,
                instance,
                most,
                interval(lease),
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(rows.into_iter().map(SubscriptionLease::from).collect())
    }
}
