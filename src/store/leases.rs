//! Who may post for a sender. A lease is an owner, an epoch that grows with every change of
//! owner, and an end; all by the database's clock, so that the instances' clocks do not matter.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::provider::Provider;

/// A sender that is ours for now.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// Whose posts it permits.
    pub sender: SenderId,
    /// Under which connection.
    pub connection: ConnectionId,
    /// Through whom.
    pub provider: Provider,
    /// Which ownership this is; every claim bears it.
    pub epoch: i64,
    /// The sender's rate.
    pub messages_per_second: u32,
    /// Whether the provider says that its quality is low.
    pub is_red: bool,
}

/// The columns of a lease.
struct Row {
    id: i32,
    connection: Uuid,
    lease_epoch: i64,
    messages_per_second: i32,
    provider: String,
    quality: Option<String>,
}

impl TryFrom<Row> for Lease {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt(format!("connections.provider: {}", row.provider));
        Ok(Self {
            sender: SenderId(row.id),
            connection: ConnectionId(row.connection),
            provider: Provider::parse(&row.provider).ok_or_else(corrupt)?,
            epoch: row.lease_epoch,
            messages_per_second: row.messages_per_second.unsigned_abs(),
            is_red: matches!(row.quality.as_deref(), Some("RED" | "FLAGGED")),
        })
    }
}

/// One that cannot be read must not cost the others theirs: it ends by itself.
fn readable(rows: Vec<Row>) -> Vec<Lease> {
    let read = rows.into_iter().map(Lease::try_from);
    read.filter_map(|lease| {
        lease
            .inspect_err(|error| tracing::error!(%error, "a lease cannot be read"))
            .ok()
    })
    .collect()
}

pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

impl Store {
    /// Says that this instance lives, and returns how many senders are its fair share.
    pub async fn report_instance(
        &self,
        instance: Uuid,
        silent_after: Duration,
    ) -> Result<i64, StoreError> {
        let share = again!(self, "report_instance", {
            Ok(sqlx::query_scalar!(
            r#"
            -- report_instance
            WITH alive AS (
                INSERT INTO instances (id, seen_at) VALUES ($1, clock_timestamp())
                ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp()
            ),
            silent AS (
                DELETE FROM instances WHERE seen_at < clock_timestamp() - $2::interval AND id <> $1
            ),
            others AS (
                SELECT count(*) AS n FROM instances
                WHERE seen_at >= clock_timestamp() - $2::interval AND id <> $1
            )
            SELECT ceil((SELECT count(*) FROM senders)::numeric / (others.n + 1))::bigint AS "share!"
            FROM others
            "#,
            instance,
            interval(silent_after),
        )
        .fetch_one(&mut *self.pool.acquire().await?)
        .await?)
        })?;
        Ok(share)
    }

    /// Says that this instance is going, so that the others take over at once.
    pub async fn remove_instance(&self, instance: Uuid) -> Result<(), StoreError> {
        again!(self, "remove_instance", {
            Ok(sqlx::query!(
                "-- remove_instance\nDELETE FROM instances WHERE id = $1",
                instance
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(())
    }

    /// Extends the leases that are still ours; what is not returned is lost.
    pub async fn renew_leases(
        &self,
        instance: Uuid,
        senders: &[SenderId],
        lease: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        let rows = again!(self, "renew_leases", {
            Ok(sqlx::query_as!(
                Row,
                r#"
            -- renew_leases
            UPDATE senders s SET lease_until = clock_timestamp() + $3::interval
            WHERE id = ANY ($2) AND lease_owner = $1 AND lease_until > clock_timestamp()
            RETURNING id, connection, lease_epoch, messages_per_second,
                (SELECT provider FROM connections c WHERE c.id = s.connection) AS "provider!",
                      coalesce(last_word(s, 'quality'), s.quality) AS quality
            "#,
                instance,
                &senders.iter().map(|sender| sender.0).collect::<Vec<_>>(),
                interval(lease),
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(readable(rows))
    }

    /// Takes up to `most` senders that nobody owns (any longer).
    pub async fn acquire_leases(
        &self,
        instance: Uuid,
        most: i64,
        lease: Duration,
    ) -> Result<Vec<Lease>, StoreError> {
        let rows = again!(self, "acquire_leases", {
            Ok(sqlx::query_as!(
                Row,
                r#"
            -- acquire_leases
            UPDATE senders s
            SET lease_owner = $1, lease_epoch = lease_epoch + 1,
                lease_until = clock_timestamp() + $3::interval
            WHERE id IN (
                SELECT id FROM senders
                WHERE lease_until IS NULL OR lease_until <= clock_timestamp()
                ORDER BY id
                LIMIT $2
                FOR NO KEY UPDATE SKIP LOCKED
            )
            RETURNING id, connection, lease_epoch, messages_per_second,
                (SELECT provider FROM connections c WHERE c.id = s.connection) AS "provider!",
                      coalesce(last_word(s, 'quality'), s.quality) AS quality
            "#,
                instance,
                most,
                interval(lease),
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(readable(rows))
    }

    /// When the next lease of another instance ends, or its share of the senders, should it say
    /// nothing more: one that died does not, and its senders are then free to be taken. It may
    /// have died between saying that it is there and renewing its leases, so that they end first.
    pub async fn next_lease_end(
        &self,
        instance: Uuid,
        lease: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        let seconds = again!(self, "next_lease_end", {
            let end = sqlx::query_scalar!(
                r#"
            -- next_lease_end
            SELECT extract(epoch FROM LEAST(
                (SELECT min(lease_until) FROM senders
                 WHERE lease_owner <> $1 AND lease_until > clock_timestamp()),
                (SELECT min(seen_at) + $2::interval FROM instances
                 WHERE id <> $1 AND seen_at > clock_timestamp() - $2::interval)
            ) - clock_timestamp())::double precision
            "#,
                instance,
                interval(lease),
            );
            Ok(end.fetch_one(&mut *self.pool.acquire().await?).await?)
        })?;
        // Below zero: it has ended since the row was read.
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }

    /// Gives a sender back, and tells the others, so that one of them takes it at once. Only this
    /// ownership ends: what another has taken meanwhile stays with it, and so does what this
    /// instance has taken again while posts of the old lease were under way.
    pub async fn release_lease(&self, instance: Uuid, lease: &Lease) -> Result<(), StoreError> {
        again!(self, "release_lease", {
            Ok(sqlx::query!(
                r#"
            -- release_lease
            WITH released AS (
                UPDATE senders SET lease_owner = NULL, lease_until = NULL
                WHERE id = $2 AND lease_owner = $1 AND lease_epoch = $3
                RETURNING id
            )
            SELECT pg_notify('twotick_free', '') AS "told" FROM released
            "#,
                instance,
                lease.sender.0,
                lease.epoch,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(())
    }
}
