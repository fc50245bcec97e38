//! What a claim leaves behind: the sequences as decided, an attempt's row for each POST.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::StoreError;
use super::super::leases::interval;
use super::ClaimRequest;
use super::plan::{Lanes, Plan, Row};
use crate::model::Timestamp;
use crate::model::ids::SenderId;

pub(super) async fn update_sequences(
    connection: &mut PgConnection,
    request: &ClaimRequest,
    rows: &[Row],
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        -- claim: sequences
        UPDATE sequences q
        SET status = x.status, reason = x.reason, work = x.work, head = x.head, attempt = x.attempt, lane = x.lane,
            due_at = x.due_at, ready_at = x.ready_at, deadline_at = x.deadline_at,
            claim_epoch = CASE WHEN x.work = 'claimed' THEN $10::bigint END,
            claim_until = CASE WHEN x.work = 'claimed'
                THEN clock_timestamp() + $11::interval END
        FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::text[],
                    $8::timestamptz[], $9::timestamptz[], $12::timestamptz[], $13::smallint[])
            AS x (id, status, reason, work, head, lane, due_at, deadline_at, ready_at, attempt)
        WHERE q.sender = $1 AND q.id = x.id
        "#,
        request.lease.sender.0,
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|row| row.status.as_str().to_owned())
            .collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|row| row.reason.map(|r| r.as_str().to_owned()))
            .collect::<Vec<_>>() as &[Option<String>],
        &rows
            .iter()
            .map(|row| row.work.as_str().to_owned())
            .collect::<Vec<_>>(),
        &rows.iter().map(|row| row.head).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.lane.clone()).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.due_at).collect::<Vec<_>>() as &[Option<Timestamp>],
        &rows.iter().map(|row| row.deadline_at).collect::<Vec<_>>() as &[Option<Timestamp>],
        request.lease.epoch,
        interval(request.post_timeout),
        &rows.iter().map(|row| row.ready_at).collect::<Vec<_>>() as &[Option<Timestamp>],
        &rows.iter().map(|row| row.attempt).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// An attempt's row stands before its POST, so that a webhook always finds it. One that was
/// given back is used again: nothing was posted under it that the provider took.
pub(super) async fn insert_attempts(
    connection: &mut PgConnection,
    sender: SenderId,
    plan: &Plan,
    now: Timestamp,
) -> Result<HashMap<Uuid, (String, String, Value)>, StoreError> {
    let claimed: Vec<_> = plan.claimed().collect();
    if claimed.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"
        -- claim: attempts
        WITH x AS (
            SELECT * FROM unnest($2::uuid[], $3::smallint[], $4::uuid[], $5::integer[],
                                 $6::smallint[]) AS x (message, n, sequence, position, watch)
        ),
        made AS (
            INSERT INTO attempts (sender, message, n, sequence, position, watch, posted_at)
            SELECT $1, x.*, $7::timestamptz FROM x
            ON CONFLICT (sender, message, n) DO UPDATE
            SET posted_at = excluded.posted_at, watch = excluded.watch, refusal = NULL
        )
        SELECT m.id, m.recipient AS "recipient!", m.type AS "type!", m.content AS "content!"
        FROM x JOIN messages m ON m.sender = $1 AND m.id = x.message
        "#,
        sender.0,
        &claimed
            .iter()
            .map(|(_, step)| step.message)
            .collect::<Vec<_>>(),
        &claimed
            .iter()
            .map(|(_, step)| step.next_n())
            .collect::<Vec<_>>(),
        &claimed.iter().map(|(row, _)| row.id).collect::<Vec<_>>(),
        &claimed
            .iter()
            .map(|(_, step)| step.position)
            .collect::<Vec<_>>(),
        &claimed
            .iter()
            .map(|(_, step)| step.gate.status.rank() as i16)
            .collect::<Vec<_>>(),
        now,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.id, (row.recipient, row.r#type, row.content)))
        .collect())
}

pub(super) async fn next_due(
    connection: &mut PgConnection,
    sender: SenderId,
    lanes: &Lanes,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let next = sqlx::query_scalar!(
        r#"
        -- claim: next due
        SELECT min(q.due_at)
        FROM unnest($2::text[]) AS l (lane)
        CROSS JOIN LATERAL (
            SELECT q.due_at FROM sequences q
            WHERE q.sender = $1 AND q.lane = l.lane AND q.due_at > $3
            ORDER BY q.due_at LIMIT 1
        ) q
        "#,
        sender.0,
        lanes.names(),
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(next)
}
