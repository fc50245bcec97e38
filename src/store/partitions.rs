//! The journal's partitions: one a day, made ahead. Ids are UUIDs of version 7, so that a day is
//! a range of ids.

use time::Date;
use uuid::Uuid;

use super::{Store, StoreError};

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
        let name = format!(
            "journal_{}{:02}{:02}",
            day.year(),
            u8::from(day.month()),
            day.day()
        );
        let (from, to) = (first_id(day), first_id(day + time::Duration::days(1)));
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
    }
}

/// The lowest UUID of version 7 that a moment of this day can have.
fn first_id(day: Date) -> Uuid {
    let millis = day.midnight().assume_utc().unix_timestamp_nanos() / 1_000_000;
    let millis = u64::try_from(millis).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
