//! What a claim leaves behind, in one statement: the sequences as decided, an attempt's row for
//! each POST, the facts that say so.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::StoreError;
use super::super::facts::Columns;
use super::super::leases::interval;
use super::ClaimRequest;
use super::plan::{Lanes, Plan};
use crate::model::Timestamp;

/// What comes back.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Of each claimed message: recipient, type, content, and whether it is a marketing message.
    pub(super) contents: HashMap<Uuid, (String, String, Value, Option<Value>)>,
    /// When the next of the rows that were not written is due.
    pub(super) next_due: Option<Timestamp>,
}

/// An attempt's row stands before its POST, so that a webhook always finds it. One that was
/// given back is used again: nothing was posted under it that the provider took. So is one whose
/// answer was lost, where a repeat is harmless; it stays unknown meanwhile.
pub(super) async fn write(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    plan: &Plan,
    lanes: &Lanes,
    facts: &Columns,
    now: Timestamp,
) -> Result<Written, StoreError> {
    let rows = &plan.rows;
    let (of, claimed): (Vec<_>, Vec<_>) = plan.claimed().unzip();
    let written = sqlx::query!(
        r#"
        -- claim: write
        WITH decided AS (
            UPDATE sequences q
            SET status = x.status, reason = x.reason, work = x.work, head = x.head,
                attempt = x.attempt, lane = x.lane, due_at = x.due_at, ready_at = x.ready_at,
                deadline_at = x.deadline_at, ready_because = x.ready_because,
                put_off_at = CASE
                    WHEN x.ready_because = q.ready_because THEN coalesce(q.put_off_at, $2)
                    WHEN x.ready_because IS NOT NULL THEN $2
                    -- It came back from the provider.
                    WHEN x.work = 'ready' THEN q.put_off_at
                END,
                claim_epoch = CASE WHEN x.work = 'claimed' THEN $4::bigint END,
                claim_until = CASE WHEN x.work = 'claimed'
                    THEN clock_timestamp() + $5::interval END
            FROM (
                -- Bounded, and the sender with it, or a plan kept from when the table was small
                -- would read all of the sender's sequences to find these.
                SELECT $1::integer AS sender, x.*
                FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::integer[],
                            $11::smallint[], $12::text[], $13::timestamptz[], $14::timestamptz[],
                            $15::timestamptz[], $34::text[])
                    AS x (id, status, reason, work, head, attempt, lane, due_at, ready_at,
                          deadline_at, ready_because)
                LIMIT cardinality($6::uuid[])
            ) x
            WHERE q.sender = x.sender AND q.id = x.id
        ),
        made AS (
            INSERT INTO attempts (sender, message, n, sequence, position, watch, posted_at)
            SELECT $1, x.*, $2::timestamptz
            FROM unnest($16::uuid[], $17::smallint[], $18::uuid[], $19::integer[], $20::smallint[])
                AS x (message, n, sequence, position, watch)
            ON CONFLICT (sender, message, n) DO UPDATE
            SET posted_at = excluded.posted_at, refusal = NULL,
                -- Whose answer was lost still waits for any evidence.
                watch = CASE WHEN attempts.outcome = 'unknown' THEN attempts.watch
                    ELSE excluded.watch END
        ),
        -- Not posted at all.
        refused AS (
            INSERT INTO attempts (sender, message, n, sequence, position, outcome, refusal)
            SELECT $1, x.message, x.n, x.sequence, x.position, 'refused', x.refusal
            FROM unnest($29::uuid[], $30::smallint[], $31::uuid[], $32::integer[], $33::jsonb[])
                AS x (message, n, sequence, position, refusal)
            ON CONFLICT (sender, message, n) DO UPDATE
            SET outcome = excluded.outcome, refusal = excluded.refusal, posted_at = NULL
        ),
        told AS (
            INSERT INTO facts
                (stream, subject, n, type, source, data, id, key, occurred_at, received_at)
            SELECT x.*, $2::timestamptz, $2::timestamptz
            FROM unnest($21::integer[], $22::uuid[], $23::smallint[], $24::text[], $25::text[],
                        $26::json[], $27::uuid[], $28::text[])
                AS x (stream, subject, n, type, source, data, id, key)
            ON CONFLICT (stream, subject, n, type, key) DO NOTHING
        )
        SELECT m.id AS "message?", m.recipient, m.type, m.content, m.marketing,
               NULL::timestamptz AS next_due
        FROM unnest($16::uuid[]) AS x (message)
        CROSS JOIN LATERAL (
            SELECT m.id, m.recipient, m.type, m.content, m.marketing FROM messages m
            WHERE m.sender = $1 AND m.id = x.message
            -- Each by itself, whenever the plan was made.
            OFFSET 0
        ) m
        UNION ALL
        -- Of the rows as they were: those above were due.
        SELECT NULL, NULL, NULL, NULL, NULL, min(q.due_at)
        FROM unnest($3::text[]) AS l (lane)
        CROSS JOIN LATERAL (
            SELECT q.due_at FROM sequences q
            WHERE q.sender = $1 AND q.lane = l.lane AND q.due_at > $2
            ORDER BY q.due_at LIMIT 1
        ) q
        "#,
        request.lease.sender.0,
        now,
        lanes.names(),
        request.lease.epoch,
        interval(request.post_timeout),
        &collect(rows, |row| row.id),
        &collect(rows, |row| row.status.as_str()) as &[&str],
        &collect(rows, |row| row.reason.map(|reason| reason.as_str())) as &[Option<&str>],
        &collect(rows, |row| row.work.as_str()) as &[&str],
        &collect(rows, |row| row.head),
        &collect(rows, |row| row.attempt),
        &collect(rows, |row| row.lane.as_str()) as &[&str],
        &collect(rows, |row| row.due_at) as &[Option<Timestamp>],
        &collect(rows, |row| row.ready_at) as &[Option<Timestamp>],
        &collect(rows, |row| row.deadline_at) as &[Option<Timestamp>],
        &collect(&claimed, |step| step.message),
        &collect(&claimed, |step| step.next_n()),
        &collect(&of, |row| row.id),
        &collect(&claimed, |step| step.position),
        &collect(&claimed, |step| step.gate.status.rank() as i16),
        &facts.streams,
        &facts.subjects,
        &facts.ns,
        &facts.types as &[&str],
        &facts.sources as &[&str],
        &facts.data,
        &facts.ids,
        &facts.keys,
        &collect(&plan.refused, |refused| refused.attempt.message.uuid),
        &collect(&plan.refused, |refused| refused.attempt.n),
        &collect(&plan.refused, |refused| refused.sequence),
        &collect(&plan.refused, |refused| refused.position),
        &collect(&plan.refused, |refused| refused.refusal.clone()),
        &collect(rows, |row| row.ready_because) as &[Option<&str>],
    )
    .fetch_all(connection)
    .await?;
    let mut out = Written::default();
    for row in written {
        out.next_due = out.next_due.or(row.next_due);
        if let (Some(message), Some(recipient), Some(kind), Some(content)) =
            (row.message, row.recipient, row.r#type, row.content)
        {
            let content = (recipient, kind, content, row.marketing);
            out.contents.insert(message, content);
        }
    }
    Ok(out)
}

/// A column.
fn collect<'a, R, C>(rows: &'a [R], column: impl Fn(&'a R) -> C) -> Vec<C> {
    rows.iter().map(column).collect()
}
