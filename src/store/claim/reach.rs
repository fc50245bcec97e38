//! The provider's limit on users that an account writes to outside their windows: what is left of it,
//! who counts already, and whom a claim adds. Only claims of accounts that have a limit come here.
//! It is read again now and then, and counted in memory between: no claim counts it.

use std::collections::HashSet;
use std::sync::PoisonError;

use sqlx::PgConnection;

use super::super::StoreError;
use super::ClaimRequest;
use super::plan::Row;
use crate::model::Timestamp;
use crate::model::ids::SenderId;
use crate::model::reach::WINDOW;

/// Reads what is left, if it is time, and which recipients of these rows count already. `None`
/// where there is no limit.
pub(super) async fn read_reach(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    limit: Option<u32>,
    rows: &[Row],
    now: Timestamp,
) -> Result<Option<HashSet<String>>, StoreError> {
    let (Some(reach), Some(limit)) = (request.reach, limit) else {
        return Ok(None);
    };
    if request.posts == 0 || rows.is_empty() {
        return Ok(Some(HashSet::new()));
    }
    let sender = request.lease.sender;
    let is_stale = {
        let reach = reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.is_stale(limit, now)
    };
    if is_stale {
        let (users, first) = count(connection, sender, limit, now).await?;
        let mut reach = reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.read(limit, users, first, now);
    }
    known(connection, sender, rows, now).await.map(Some)
}

/// Of the newest users, as many as the limit has, how many there are and when the first of them was
/// written to. What is older goes; and where all are used up, it is told to who asks.
async fn count(
    connection: &mut PgConnection,
    sender: SenderId,
    limit: u32,
    now: Timestamp,
) -> Result<(u32, Option<Timestamp>), StoreError> {
    let counted = sqlx::query!(
        r#"
        -- claim: reach
        WITH k AS MATERIALIZED (
            SELECT c.stream, coalesce(s.waba_id, 'sender ' || s.id) AS account
            FROM senders s JOIN connections c ON c.id = s.connection WHERE s.id = $1
        ),
        newest AS MATERIALIZED (
            SELECT o.opened_at
            FROM k JOIN opened o ON o.stream = k.stream AND o.account = k.account
            WHERE o.opened_at > $2
            ORDER BY o.opened_at DESC
            LIMIT $3
        ),
        gone AS (
            DELETE FROM opened WHERE ctid = ANY (ARRAY(
                SELECT o.ctid
                FROM k JOIN opened o ON o.stream = k.stream AND o.account = k.account
                WHERE o.opened_at <= $2
                LIMIT 500
                FOR UPDATE OF o SKIP LOCKED
            ))
        ),
        told AS (
            INSERT INTO messaging_limits (stream, account, users, frees_at)
            SELECT k.stream, k.account, n.users, n.first + interval '24 hours'
            FROM k, (SELECT count(*) AS users, min(opened_at) AS first FROM newest) n
            WHERE n.users >= $3
            ON CONFLICT (stream, account) DO UPDATE
            SET users = excluded.users, frees_at = excluded.frees_at
        )
        SELECT count(*) AS "users!", min(opened_at) AS first FROM newest
        "#,
        sender.0,
        now - WINDOW,
        i64::from(limit),
    )
    .fetch_one(connection)
    .await?;
    let users = u32::try_from(counted.users).unwrap_or(u32::MAX);
    Ok((users, counted.first))
}

async fn known(
    connection: &mut PgConnection,
    sender: SenderId,
    rows: &[Row],
    now: Timestamp,
) -> Result<HashSet<String>, StoreError> {
    let known = sqlx::query_scalar!(
        r#"
        -- claim: who counts
        SELECT o.recipient
        FROM senders s JOIN connections c ON c.id = s.connection
        JOIN opened o ON o.stream = c.stream
            AND o.account = coalesce(s.waba_id, 'sender ' || s.id)
            AND o.recipient = ANY ($2) AND o.opened_at > $3
        WHERE s.id = $1
        "#,
        sender.0,
        &rows
            .iter()
            .map(|row| row.recipient.as_str())
            .collect::<Vec<_>>() as &[&str],
        now - WINDOW,
    );
    Ok(known.fetch_all(connection).await?.into_iter().collect())
}

/// From now on these count, or count anew.
pub(super) async fn write_opened(
    connection: &mut PgConnection,
    sender: SenderId,
    opened: &[String],
    now: Timestamp,
) -> Result<(), StoreError> {
    if opened.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        -- claim: opened
        INSERT INTO opened AS o (stream, account, recipient, opened_at)
        SELECT DISTINCT c.stream, coalesce(s.waba_id, 'sender ' || s.id), x.recipient,
               $3::timestamptz
        FROM senders s JOIN connections c ON c.id = s.connection
        CROSS JOIN unnest($2::text[]) AS x (recipient)
        WHERE s.id = $1
        ORDER BY 3
        ON CONFLICT (stream, account, recipient) DO UPDATE
        SET opened_at = greatest(o.opened_at, excluded.opened_at)
        "#,
        sender.0,
        opened,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
