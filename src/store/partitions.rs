//! The journal's partitions: one a day, made ahead, and dropped when their time is over. Ids are
//! UUIDs of version 7, so that a day is a range of ids.

use time::Date;
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::model::ids::first_at;

/// How many days ahead partitions stand ready, should upkeep ever stand still.
const DAYS_AHEAD: i64 = 3;

impl Store {
    /// Makes the partitions of today and the next days, where they are missing. What cannot be
    /// made now is tried again; webhooks of a day without one go to `journal_rest`, and that day
    /// never gets one.
    pub async fn make_journal_partitions(&self) {
        let today = self.clock.now().date();
        for days in 0..=DAYS_AHEAD {
            let day = today + time::Duration::days(days);
            if let Err(error) = self.make_journal_partition(day).await {
                tracing::warn!(%day, %error, "a partition of the journal could not be made");
            }
        }
    }

    async fn make_journal_partition(&self, day: Date) -> Result<(), StoreError> {
        let name = name(day);
        let (from, to) = (first_id(day), first_id(day + time::Duration::days(1)));
        again!(self, "make_journal_partition", {
            let mut transaction = self.begin().await?;
            // Who waits for the lock of a table that is read for long (a dump) lets nobody write
            // meanwhile, and webhooks would wait with us.
            sqlx::query("SET LOCAL lock_timeout = '1s'")
                .execute(&mut *transaction)
                .await?;
            // Instances that start together would run into each other. DDL, not the write path.
            sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('twotick journal')) AS locked")
                .fetch_one(&mut *transaction)
                .await?;
            let is_taken = sqlx::query_scalar!(
                r#"
            -- make_journal_partition
            SELECT to_regclass($1) IS NOT NULL
                OR EXISTS (SELECT FROM journal_rest WHERE id >= $2 AND id < $3) AS "is_taken!"
            "#,
                name,
                from,
                to,
            )
            .fetch_one(&mut *transaction)
            .await?;
            if !is_taken {
                // Name and bounds are our own digits; DDL takes no parameters.
                let ddl = format!(
                    "CREATE TABLE {name} PARTITION OF journal FOR VALUES FROM ('{from}') TO ('{to}')"
                );
                sqlx::query(sqlx::AssertSqlSafe(ddl))
                    .execute(&mut *transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    /// Drops the partitions of days that ended more than `days` days ago. What cannot be dropped
    /// now is tried again.
    pub async fn forget_webhooks(&self, days: u16) -> Result<(), StoreError> {
        let oldest_kept = self.clock.now().date() - time::Duration::days(days.into());
        let partitions = again!(self, "forget_webhooks: partitions", {
            let partitions = sqlx::query_scalar!(
                r#"
                -- forget_webhooks: partitions
                SELECT c.relname::text AS "name!"
                FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = 'journal'::regclass
                ORDER BY c.relname
                "#
            );
            Ok(partitions
                .fetch_all(&mut *self.pool.acquire().await?)
                .await?)
        })?;
        let kept = name(oldest_kept);
        // Dates without gaps: their order is that of their names. The rest has no date.
        let is_day = |name: &String| {
            let digits = name.strip_prefix("journal_");
            digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        };
        for name in partitions.into_iter().filter(is_day) {
            if name.len() == kept.len() && name < kept {
                self.drop_journal_partition(&name).await?;
            }
        }
        self.forget_rest(first_id(oldest_kept)).await
    }

    /// Deletes what came without a partition before `first`, and what is said of webhooks that are
    /// gone: few at a time, so that however much there is, each statement ends in time.
    async fn forget_rest(&self, first: Uuid) -> Result<(), StoreError> {
        /// Blocks are big.
        const BLOCKS: i64 = 100;
        const PROBLEMS: i64 = 1_000;
        loop {
            let deleted = again!(self, "forget_webhooks: rest", {
                Ok(sqlx::query!(
                    r#"
                -- forget_webhooks: rest
                DELETE FROM journal_rest
                WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM journal_rest WHERE id < $1 ORDER BY id LIMIT $2
                    -- One that is locked is being deleted by another instance.
                    FOR UPDATE SKIP LOCKED
                ))
                "#,
                    first,
                    BLOCKS,
                )
                .execute(&mut *self.pool.acquire().await?)
                .await?)
            })?;
            if deleted.rows_affected() == 0 {
                break;
            }
        }
        loop {
            let deleted = again!(self, "forget_webhooks: problems", {
                Ok(sqlx::query!(
                    r#"
                -- forget_webhooks: problems
                DELETE FROM journal_problems
                WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM journal_problems WHERE webhook < $1 ORDER BY webhook LIMIT $2
                    FOR UPDATE SKIP LOCKED
                ))
                "#,
                    first,
                    PROBLEMS,
                )
                .execute(&mut *self.pool.acquire().await?)
                .await?)
            })?;
            if deleted.rows_affected() == 0 {
                return Ok(());
            }
        }
    }

    async fn drop_journal_partition(&self, name: &str) -> Result<(), StoreError> {
        again!(self, "drop_journal_partition", {
            let mut transaction = self.begin().await?;
            // It needs the whole journal for a moment, and whoever waits for that lets no webhook be
            // written meanwhile. Not given at once, as while a dump reads, it is given up.
            sqlx::query("SET LOCAL lock_timeout = '500ms'")
                .execute(&mut *transaction)
                .await?;
            // Another instance may have been quicker.
            let ddl = format!("DROP TABLE IF EXISTS {name}");
            sqlx::query(sqlx::AssertSqlSafe(ddl))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            tracing::info!(name, "a day of the journal was dropped: its time is over");
            Ok(())
        })
    }
}

fn name(day: Date) -> String {
    let month = u8::from(day.month());
    format!("journal_{}{month:02}{:02}", day.year(), day.day())
}

/// The lowest UUID of version 7 that a moment of this day can have.
fn first_id(day: Date) -> Uuid {
    first_at(day.midnight().assume_utc())
}
