//! What came of deliveries: cursors, what waits or was given up, and the log (read in
//! `delivery_log.rs`). All of an instance
//! is recorded in batches (`forward/recorder.rs`), a batch in one transaction, so that a cursor
//! never passes an event that is neither delivered nor in `undelivered`. The transaction does not
//! wait for the disk: what a crash of the server takes back is delivered again.

use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::feed::Place;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::SubscriptionId;

/// What is to be recorded of one subscription.
#[derive(Debug, Clone)]
pub struct Record {
    /// Of which.
    pub subscription: SubscriptionId,
    /// By which ownership.
    pub epoch: i64,
    /// Up to where all was delivered, or is among what waits.
    pub cursor: Place,
    /// Attempts that ended.
    pub attempts: Vec<Attempted>,
    /// What waits, or was given up, as it stands now; in order, before `settled`.
    pub undelivered: Vec<Undelivered>,
    /// What waits no longer.
    pub settled: Vec<Place>,
    /// Since when it fails, where that changed: `Some(None)` is that it does not any more.
    pub failing_since: Option<Option<Timestamp>>,
    /// Whether the lease is given back.
    pub release: bool,
}

/// One attempt.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of deliveries")]
pub struct Attempted {
    pub id: Uuid,
    pub at: Timestamp,
    pub place: Place,
    pub stream: i32,
    pub r#type: String,
    pub attempt: i16,
    pub status: Option<i16>,
    pub latency_ms: i32,
    pub error: Option<String>,
    pub answer: Option<String>,
}

/// An event that was not taken, or that waits behind one that was not.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of undelivered")]
pub struct Undelivered {
    pub place: Place,
    pub stream: i32,
    pub subject: Uuid,
    pub r#type: String,
    pub dead: bool,
    pub replay: bool,
    pub attempts: i16,
    pub next_at: Option<Timestamp>,
    pub failed_at: Option<Timestamp>,
    pub status: Option<i16>,
    pub error: Option<String>,
}

impl Store {
    /// Writes what came of deliveries. Those of an ownership that is over are left out: whoever
    /// owns the subscription now delivers them again.
    pub async fn record_deliveries(&self, records: &[Record]) -> Result<(), StoreError> {
        again!(self, "record_deliveries", {
            let mut transaction = self.begin().await?;
            sqlx::query("SET LOCAL synchronous_commit = off")
                .execute(&mut *transaction)
                .await?;
            let held = move_cursors(&mut transaction, records).await?;
            let held: Vec<_> = records
                .iter()
                .filter(|record| held.contains(&(record.subscription.0, record.epoch)))
                .collect();
            write_undelivered(&mut transaction, &held).await?;
            write_log(&mut transaction, &held).await?;
            write_failing(&mut transaction, &held).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// What waits for a subscription, what was not asked for first, in the order of the feed.
    pub async fn waiting_deliveries(
        &self,
        subscription: SubscriptionId,
        limit: i64,
    ) -> Result<Vec<Undelivered>, StoreError> {
        self.undelivered_rows(subscription, "waiting", None, limit, true)
            .await
    }

    /// What waits, or what was given up, behind a place, in the order of the feed.
    pub async fn undelivered(
        &self,
        subscription: SubscriptionId,
        state: &str,
        after: Option<Place>,
        limit: i64,
    ) -> Result<Vec<Undelivered>, StoreError> {
        self.undelivered_rows(subscription, state, after, limit, false)
            .await
    }

    async fn undelivered_rows(
        &self,
        subscription: SubscriptionId,
        state: &str,
        after: Option<Place>,
        limit: i64,
        replays_last: bool,
    ) -> Result<Vec<Undelivered>, StoreError> {
        let after = after.unwrap_or_default();
        let rows = again!(self, "undelivered", {
            Ok(sqlx::query!(
                r#"
            -- undelivered
            SELECT xid::text::bigint AS "xid!", event, stream, subject, type, state, replay,
                   attempts, next_at, failed_at, status, error
            FROM undelivered
            WHERE subscription = $1 AND state = $2
                AND (xid, event) > ($3::bigint::text::xid8, $4)
            ORDER BY ($6 AND replay), xid, event
            LIMIT $5
            "#,
                subscription.0,
                state,
                after.xid,
                after.id,
                limit,
                replays_last,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let read = rows.into_iter().map(|row| Undelivered {
            place: Place {
                xid: row.xid,
                id: row.event,
            },
            stream: row.stream,
            subject: row.subject,
            r#type: row.r#type,
            dead: row.state == "dead",
            replay: row.replay,
            attempts: row.attempts,
            next_at: row.next_at,
            failed_at: row.failed_at,
            status: row.status,
            error: row.error,
        });
        Ok(read.collect())
    }
}

/// Which of the ownerships are still good. A row that is locked here cannot change hands before
/// the transaction ends.
async fn move_cursors(
    connection: &mut PgConnection,
    records: &[Record],
) -> Result<HashSet<(Uuid, i64)>, StoreError> {
    // The last word of each.
    let last: BTreeMap<_, _> = records
        .iter()
        .map(|record| ((record.subscription, record.epoch), record))
        .collect();
    let ids: Vec<_> = last.keys().map(|(id, _)| id.0).collect();
    let epochs: Vec<_> = last.keys().map(|(_, epoch)| *epoch).collect();
    let xids: Vec<_> = last.values().map(|record| record.cursor.xid).collect();
    let events: Vec<_> = last.values().map(|record| record.cursor.id).collect();
    let released: Vec<_> = last.values().map(|record| record.release).collect();
    let held = sqlx::query!(
        r#"
        -- move_cursors
        WITH held AS MATERIALIZED (
            SELECT c.subscription, x.xid, x.event, x.release
            FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::boolean[])
                AS x (subscription, epoch, xid, event, release)
            JOIN subscription_cursors c
                ON c.subscription = x.subscription AND c.lease_epoch = x.epoch
            ORDER BY c.subscription
            FOR UPDATE OF c
        )
        UPDATE subscription_cursors c
        SET xid = held.xid::text::xid8, event = held.event,
            lease_owner = CASE WHEN held.release THEN NULL ELSE c.lease_owner END,
            lease_until = CASE WHEN held.release THEN NULL ELSE c.lease_until END
        FROM held WHERE c.subscription = held.subscription
        RETURNING c.subscription, c.lease_epoch
        "#,
        &ids,
        &epochs,
        &xids,
        &events,
        &released,
    )
    .fetch_all(connection)
    .await?;
    let held = held
        .into_iter()
        .map(|row| (row.subscription, row.lease_epoch));
    Ok(held.collect())
}

async fn write_undelivered(
    connection: &mut PgConnection,
    records: &[&Record],
) -> Result<(), StoreError> {
    // The last word on each event.
    let mut last: BTreeMap<(SubscriptionId, Place), Option<&Undelivered>> = BTreeMap::new();
    for record in records {
        for waits in &record.undelivered {
            last.insert((record.subscription, waits.place), Some(waits));
        }
        for place in &record.settled {
            last.insert((record.subscription, *place), None);
        }
    }
    let settled = last.iter().filter(|(_, waits)| waits.is_none());
    let settled: Vec<_> = settled.map(|(key, _)| *key).collect();
    if !settled.is_empty() {
        sqlx::query!(
            r#"
            -- settle_undelivered
            DELETE FROM undelivered u
            USING unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS x (subscription, xid, event)
            WHERE u.subscription = x.subscription AND u.xid = x.xid::text::xid8
                AND u.event = x.event
            "#,
            &settled.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
            &settled.iter().map(|(_, at)| at.xid).collect::<Vec<_>>(),
            &settled.iter().map(|(_, at)| at.id).collect::<Vec<_>>(),
        )
        .execute(&mut *connection)
        .await?;
    }
    let waiting = last
        .iter()
        .filter_map(|(key, waits)| Some((key.0, (*waits)?)));
    let waiting: Vec<_> = waiting.collect();
    if waiting.is_empty() {
        return Ok(());
    }
    upsert(connection, &waiting).await
}

async fn upsert(
    connection: &mut PgConnection,
    waiting: &[(SubscriptionId, &Undelivered)],
) -> Result<(), StoreError> {
    fn column<T>(
        of: &[(SubscriptionId, &Undelivered)],
        value: impl Fn(&Undelivered) -> T,
    ) -> Vec<T> {
        of.iter().map(|(_, row)| value(row)).collect()
    }
    let state = |row: &Undelivered| if row.dead { "dead" } else { "waiting" }.to_owned();
    sqlx::query!(
        r#"
        -- write_undelivered
        INSERT INTO undelivered AS u
            (subscription, xid, event, stream, subject, type, state, replay, attempts, next_at,
             failed_at, status, error)
        SELECT x.subscription, x.xid::text::xid8, x.event, x.stream, x.subject, x.type, x.state,
               x.replay, x.attempts, x.next_at, x.failed_at, x.status, x.error
        FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::integer[], $5::uuid[], $6::text[],
                    $7::text[], $8::boolean[], $9::smallint[], $10::timestamptz[],
                    $11::timestamptz[], $12::smallint[], $13::text[])
            AS x (subscription, xid, event, stream, subject, type, state, replay, attempts,
                  next_at, failed_at, status, error)
        ON CONFLICT (subscription, xid, event) DO UPDATE
        SET state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at,
            failed_at = excluded.failed_at, status = excluded.status, error = excluded.error
        "#,
        &waiting.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        &column(waiting, |row| row.place.xid),
        &column(waiting, |row| row.place.id),
        &column(waiting, |row| row.stream),
        &column(waiting, |row| row.subject),
        &column(waiting, |row| row.r#type.clone()),
        &column(waiting, state),
        &column(waiting, |row| row.replay),
        &column(waiting, |row| row.attempts),
        &column(waiting, |row| row.next_at) as &[Option<Timestamp>],
        &column(waiting, |row| row.failed_at) as &[Option<Timestamp>],
        &column(waiting, |row| row.status) as &[Option<i16>],
        &column(waiting, |row| row.error.clone()) as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_log(connection: &mut PgConnection, records: &[&Record]) -> Result<(), StoreError> {
    let rows: Vec<_> = records
        .iter()
        .flat_map(|record| record.attempts.iter().map(|row| (record.subscription, row)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    fn column<T>(of: &[(SubscriptionId, &Attempted)], value: impl Fn(&Attempted) -> T) -> Vec<T> {
        of.iter().map(|(_, row)| value(row)).collect()
    }
    sqlx::query!(
        r#"
        -- write_deliveries
        INSERT INTO deliveries
            (subscription, id, at, xid, event, stream, type, attempt, status, latency_ms, error,
             answer)
        SELECT x.subscription, x.id, x.at, x.xid::text::xid8, x.event, x.stream, x.type,
               x.attempt, x.status, x.latency_ms, x.error, x.answer
        FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::bigint[], $5::uuid[],
                    $6::integer[], $7::text[], $8::smallint[], $9::smallint[], $10::integer[],
                    $11::text[], $12::text[])
            AS x (subscription, id, at, xid, event, stream, type, attempt, status, latency_ms,
                  error, answer)
        ON CONFLICT DO NOTHING
        "#,
        &rows.iter().map(|(id, _)| id.0).collect::<Vec<_>>(),
        &column(&rows, |row| row.id),
        &column(&rows, |row| row.at),
        &column(&rows, |row| row.place.xid),
        &column(&rows, |row| row.place.id),
        &column(&rows, |row| row.stream),
        &column(&rows, |row| row.r#type.clone()),
        &column(&rows, |row| row.attempt),
        &column(&rows, |row| row.status) as &[Option<i16>],
        &column(&rows, |row| row.latency_ms),
        &column(&rows, |row| row.error.clone()) as &[Option<String>],
        &column(&rows, |row| row.answer.clone()) as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_failing(
    connection: &mut PgConnection,
    records: &[&Record],
) -> Result<(), StoreError> {
    let mut changed: BTreeMap<SubscriptionId, Option<Timestamp>> = BTreeMap::new();
    for record in records {
        if let Some(since) = record.failing_since {
            changed.insert(record.subscription, since);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        -- write_failing
        UPDATE subscriptions s SET failing_since = x.since
        FROM unnest($1::uuid[], $2::timestamptz[]) AS x (id, since)
        -- Since when one that is disabled failed stays to be seen.
        WHERE s.id = x.id AND s.status = 'active'
        "#,
        &changed.keys().map(|id| id.0).collect::<Vec<_>>(),
        &changed.values().copied().collect::<Vec<_>>() as &[Option<Timestamp>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
