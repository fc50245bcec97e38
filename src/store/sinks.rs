//! How far the feed has been published elsewhere, and which instance publishes it: by a lease with
//! an epoch, by the database's clock. Moving the cursor renews the lease.

use std::time::Duration;

use uuid::Uuid;

use super::feed::Place;
use super::leases::interval;
use super::{Store, StoreError, again};

/// A sink that is ours for now.
#[derive(Debug, Clone, Copy)]
pub struct SinkLease {
    /// Which ownership this is.
    pub epoch: i64,
    /// How far it has been published.
    pub cursor: Place,
}

impl Store {
    /// Takes a sink that nobody owns (any longer). One that was never turned on before begins with
    /// what happens from now on.
    pub async fn take_sink(
        &self,
        kind: &str,
        instance: Uuid,
        lease: Duration,
    ) -> Result<Option<SinkLease>, StoreError> {
        let taken = again!(self, "take_sink", {
            let connection = &mut *self.pool.acquire().await?;
            sqlx::query!(
                r#"
                -- make_sink
                INSERT INTO sinks (kind, xid, event)
                SELECT $1, feed_place(pg_snapshot_xmin(pg_current_snapshot())),
                       '00000000-0000-0000-0000-000000000000'
                WHERE NOT EXISTS (SELECT FROM sinks WHERE kind = $1)
                ON CONFLICT DO NOTHING
                "#,
                kind,
            )
            .execute(&mut *connection)
            .await?;
            Ok(sqlx::query!(
                r#"
                -- take_sink
                UPDATE sinks
                SET lease_owner = $2, lease_epoch = lease_epoch + 1,
                    lease_until = clock_timestamp() + $3::interval
                WHERE kind = $1 AND (lease_until IS NULL OR lease_until <= clock_timestamp())
                RETURNING lease_epoch, xid::text::bigint AS "xid!", event
                "#,
                kind,
                instance,
                interval(lease),
            )
            .fetch_optional(&mut *connection)
            .await?)
        })?;
        Ok(taken.map(|row| SinkLease {
            epoch: row.lease_epoch,
            cursor: Place {
                xid: row.xid,
                id: row.event,
            },
        }))
    }

    /// Moves the cursor of a sink that is still ours, and renews its lease. `false`: it is lost.
    pub async fn move_sink(
        &self,
        kind: &str,
        epoch: i64,
        cursor: Place,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let moved = again!(self, "move_sink", {
            Ok(sqlx::query!(
                r#"
                -- move_sink
                UPDATE sinks
                SET xid = $3::bigint::text::xid8, event = $4,
                    lease_until = clock_timestamp() + $5::interval
                WHERE kind = $1 AND lease_epoch = $2 AND lease_until > clock_timestamp()
                "#,
                kind,
                epoch,
                cursor.xid,
                cursor.id,
                interval(lease),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(moved.rows_affected() > 0)
    }

    /// Gives a sink back, so that another takes it at once.
    pub async fn release_sink(
        &self,
        kind: &str,
        epoch: i64,
        cursor: Place,
    ) -> Result<(), StoreError> {
        again!(self, "release_sink", {
            Ok(sqlx::query!(
                r#"
                -- release_sink
                UPDATE sinks
                SET xid = $3::bigint::text::xid8, event = $4, lease_owner = NULL, lease_until = NULL
                WHERE kind = $1 AND lease_epoch = $2
                "#,
                kind,
                epoch,
                cursor.xid,
                cursor.id,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(())
    }
}
