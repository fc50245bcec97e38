//! What may be claimed: the lease that permits it, the lanes that are open, the rows that are due.

use std::collections::HashSet;
use std::sync::PoisonError;

use serde::Deserialize as _;
use serde_json::Value;
use sqlx::PgConnection;

use super::super::StoreError;
use super::super::leases::interval;
use super::ClaimRequest;
use super::corrupt::Corrupt;
use super::plan::{Lanes, Row};
use super::planning::MESSAGING_LIMIT;
use crate::model::Timestamp;
use crate::model::campaign::Variables;
use crate::model::ids::SenderId;
use crate::model::sequence::{Gate, OnFailure, Policy, Reason, SequenceStatus, SequenceWork, User};
use crate::model::{lane, reach, recipient};

/// Decisions in one transaction; more are taken in the next.
pub(super) const MAX_DECISIONS: usize = 200;

/// The sender as its owner may use it now.
pub(super) struct Poster {
    pub(super) phone_number_id: String,
    pub(super) waba_id: Option<String>,
    /// To how many users a day it may write first, where that is to be kept and known.
    pub(super) messaging_limit: Option<u32>,
    /// The lanes that may be claimed from.
    pub(super) lanes: Lanes,
}

/// What a sender has to do now.
pub(super) struct Looked {
    pub(super) poster: Poster,
    pub(super) rows: Vec<Row>,
    pub(super) corrupt: Vec<Corrupt>,
}

/// The sender, if the lease is ours and long enough, and of its sequences what is due: all decisions,
/// and of each open lane in turn as many heads as may be posted. Open are the lanes whose template
/// nothing is known against, and whose campaign goes on. Nothing is locked: what is written
/// is written of rows that are still as they were seen here. One that cannot be understood is
/// told apart.
pub(super) async fn look(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    now: Timestamp,
) -> Result<Option<Looked>, StoreError> {
    let posts = i64::try_from(request.posts).unwrap_or(i64::MAX);
    let turns = {
        let turns = request.turns.lock();
        turns.unwrap_or_else(PoisonError::into_inner).in_order()
    };
    let found = sqlx::query!(
        r#"
        -- claim: look
        WITH theirs AS MATERIALIZED (
            SELECT t.name, t.language, t.sendable, t.category
            FROM templates t JOIN senders s ON s.connection = t.connection
            WHERE s.id = $1 AND (NOT t.sendable OR t.category = 'MARKETING')
                -- A WABA that one of the two does not name may be the other's.
                AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
        ),
        s AS MATERIALIZED (
            SELECT s.phone_number_id, s.waba_id,
                   CASE WHEN $6 THEN coalesce(last_word(s, 'limit'), s.messaging_limit) END
                       AS messaging_limit,
                   d.status = 'active' AND c.stopped_at IS NULL AND $7::bigint > 0 AS may_post,
                   ARRAY(
                       SELECT l.lane FROM lanes l
                       -- Not a join: each side is read once, whatever the planner believes of their
                       -- sizes.
                       WHERE l.sender = $1
                           AND (l.template_name IS NULL OR (l.template_name, l.template_language)
                               NOT IN (SELECT name, language FROM theirs WHERE NOT sendable))
                           AND (l.campaign IS NULL OR l.campaign IN (
                               SELECT id FROM campaigns
                               WHERE sender = $1 AND status IN ('activating', 'running')
                           ))
                   ) AS open,
                   ARRAY(
                       SELECT l.lane FROM lanes l
                       WHERE l.sender = $1 AND (l.template_name, l.template_language)
                           IN (SELECT name, language FROM theirs WHERE category = 'MARKETING')
                   ) AS marketing
            FROM senders s JOIN connections c ON c.id = s.connection
            CROSS JOIN LATERAL standing(s, $5) d
            WHERE s.id = $1 AND s.lease_owner = $2 AND s.lease_epoch = $3
                AND s.lease_until > clock_timestamp() + $4::interval
        ),
        -- Whoever has waited longest for a turn comes first.
        open AS MATERIALIZED (
            SELECT l.lane, row_number() OVER (ORDER BY t.place NULLS FIRST, l.lane) AS place
            FROM (
                SELECT '' AS lane FROM s
                UNION ALL SELECT '-' FROM s WHERE may_post
                UNION ALL SELECT unnest(s.open) FROM s WHERE may_post
            ) l
            LEFT JOIN unnest($8::text[]) WITH ORDINALITY AS t (lane, place) ON t.lane = l.lane
        ),
        due AS (
            SELECT q.*, l.place, row_number() OVER (PARTITION BY q.lane ORDER BY q.due_at) AS turn
            FROM open l
            CROSS JOIN LATERAL (
                SELECT q.id, q.lane, q.due_at FROM sequences q
                WHERE q.sender = $1 AND q.lane = l.lane AND q.due_at <= $5
                    AND q.work <> 'claimed'
                ORDER BY q.due_at
                LIMIT CASE WHEN l.lane = '' THEN $9::bigint ELSE $7::bigint END
            ) q
        ),
        picked AS (
            SELECT id FROM due WHERE lane = ''
            UNION ALL
            (SELECT id FROM due WHERE lane <> '' ORDER BY turn, place LIMIT $7)
        )
        SELECT s.phone_number_id AS "phone_number_id!", s.waba_id, s.messaging_limit,
               s.may_post AS "may_post!", s.open AS "open!", s.marketing AS "marketing!",
               q.id AS "id?", q.version, q.status AS "status?", q.reason, q.work AS "work?",
               q.head AS "head?", q.attempt AS "attempt?", q.length AS "length?", q.ready_at,
               q.deadline_at, q.on_failure AS "on_failure?", q.gate AS "gate?",
               q.policy AS "policy?", q.quiet_hours, q.recipient AS "recipient?", q.ready_because,
               q.since, q.campaign, q.reference, q.variables, q.due_at
        FROM s LEFT JOIN LATERAL (
            SELECT q.*
            FROM picked
            -- Each by its key, whatever the planner believes of the numbers.
            CROSS JOIN LATERAL (
                SELECT q.*, q.xmin::text AS version,
                       coalesce(q.set_going_at, q.created_at) AS since
                FROM sequences q WHERE q.sender = $1 AND q.id = picked.id
                OFFSET 0
            ) q
        ) q ON true
        "#,
        request.lease.sender.0,
        request.instance,
        request.lease.epoch,
        interval(request.post_timeout),
        now,
        request.reach.is_some(),
        posts,
        &turns,
        MAX_DECISIONS as i64,
    )
    .fetch_all(connection)
    .await?;
    let Some(sender) = found.first() else {
        return Ok(None);
    };
    let marketing = sender.marketing.clone();
    let poster = Poster {
        phone_number_id: sender.phone_number_id.clone(),
        waba_id: sender.waba_id.clone(),
        messaging_limit: sender.messaging_limit.as_deref().and_then(reach::limit),
        lanes: match sender.may_post {
            true => Lanes::open(sender.open.clone(), marketing),
            false => Lanes::decisions_only(marketing),
        },
    };
    let (mut rows, mut corrupt) = (Vec::with_capacity(found.len()), Vec::new());
    for row in found {
        // All there or none: without a row that is due there is the sender alone.
        let (
            (Some(id), Some(version), Some(recipient)),
            (Some(head), Some(attempt), Some(length)),
            (Some(since), Some(due_since)),
        ) = (
            (row.id, row.version, row.recipient),
            (row.head, row.attempt, row.length),
            (row.since, row.due_at),
        )
        else {
            continue;
        };
        let words = (
            row.status.as_deref().and_then(SequenceStatus::parse),
            row.work.as_deref().and_then(SequenceWork::parse),
            row.on_failure.as_deref().and_then(OnFailure::parse),
            Gate::deserialize(&row.gate.unwrap_or_default()),
            Policy::deserialize(&row.policy.unwrap_or_default()),
        );
        let (Some(status), Some(work), Some(on_failure), Ok(gate), Ok(policy)) = words else {
            corrupt.push(Corrupt {
                sequence: id,
                what: format!("sequences.status, work, on_failure, gate or policy: {words:?}"),
            });
            continue;
        };
        rows.push(Row {
            id,
            version,
            status,
            reason: row.reason.as_deref().and_then(Reason::parse),
            work,
            head,
            attempt,
            length,
            ready_at: row.ready_at,
            deadline_at: row.deadline_at,
            on_failure,
            gate,
            policy,
            quiet_hours: row
                .quiet_hours
                .and_then(|hours| serde_json::from_value(hours).ok()),
            since,
            user: User {
                is_us: recipient::is_us(&recipient),
                ..User::default()
            },
            recipient,
            campaign: row.campaign,
            reference: row.reference,
            variables: match row.variables {
                Some(Value::Object(variables)) => variables,
                _ => Variables::new(),
            },
            due_at: None,
            due_since,
            ready_because: row.ready_because.as_deref().and_then(known_reason),
            lane: lane::DECISION.to_owned(),
            claim: None,
        });
    }
    Ok(Some(Looked {
        poster,
        rows,
        corrupt,
    }))
}

/// Keeps those that are still as they were seen until this transaction ends, and nobody else has
/// locked.
pub(super) async fn hold(
    connection: &mut PgConnection,
    sender: SenderId,
    rows: &mut Vec<Row>,
) -> Result<(), StoreError> {
    let held = sqlx::query_scalar!(
        r#"
        -- claim: hold
        SELECT q.id
        FROM unnest($2::uuid[], $3::text[]) AS x (id, version)
        CROSS JOIN LATERAL (
            SELECT q.id FROM sequences q
            WHERE q.sender = $1 AND q.id = x.id AND q.xmin::text = x.version
            FOR NO KEY UPDATE SKIP LOCKED
        ) q
        "#,
        sender.0,
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        &rows
            .iter()
            .map(|row| row.version.clone())
            .collect::<Vec<_>>(),
    );
    let held: HashSet<_> = held.fetch_all(connection).await?.into_iter().collect();
    rows.retain(|row| held.contains(&row.id));
    Ok(())
}

/// When the first of what may be claimed is due, where nothing is now.
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
    );
    Ok(next.fetch_one(connection).await?)
}

/// Why a head is posted later, by its word.
fn known_reason(word: &str) -> Option<&'static str> {
    let mut words = [
        "rate_limit",
        "quiet_hours",
        "opted_out",
        "window_closed",
        MESSAGING_LIMIT,
    ]
    .into_iter();
    words.find(|known| *known == word)
}
