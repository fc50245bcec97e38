//! What may be claimed: the lease that permits it, the lanes that are open, the rows that are due.

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

/// The sender, if the lease is ours and long enough. The lock on its row keeps the lease from
/// changing hands before this transaction ends. Open are the lanes whose template nothing is known
/// against, and whose campaign goes on.
pub(super) async fn lock_lease(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    now: Timestamp,
) -> Result<Option<Poster>, StoreError> {
    let sender = sqlx::query!(
        r#"
        -- claim: lease
        WITH theirs AS MATERIALIZED (
            SELECT t.name, t.language, t.sendable, t.category
            FROM templates t JOIN senders s ON s.connection = t.connection
            WHERE s.id = $1 AND (NOT t.sendable OR t.category = 'MARKETING')
                -- A WABA that one of the two does not name may be the other's.
                AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
        )
        SELECT s.phone_number_id, s.waba_id,
               CASE WHEN $6 THEN coalesce(last_word(s, 'limit'), s.messaging_limit) END
                   AS messaging_limit,
               d.status = 'active' AND c.stopped_at IS NULL AS "may_post!",
               s.lease_until > clock_timestamp() + $4::interval AS "long_enough!",
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
               ) AS "open!",
               ARRAY(
                   SELECT l.lane FROM lanes l
                   WHERE l.sender = $1 AND (l.template_name, l.template_language)
                       IN (SELECT name, language FROM theirs WHERE category = 'MARKETING')
               ) AS "marketing!"
        FROM senders s JOIN connections c ON c.id = s.connection
        CROSS JOIN LATERAL standing(s, $5) d
        WHERE s.id = $1 AND s.lease_owner = $2 AND s.lease_epoch = $3
            AND s.lease_until > clock_timestamp()
        FOR SHARE OF s
        "#,
        request.lease.sender.0,
        request.instance,
        request.lease.epoch,
        interval(request.post_timeout),
        now,
        request.reach.is_some(),
    )
    .fetch_optional(connection)
    .await?;
    Ok(sender
        .filter(|sender| sender.long_enough)
        .map(|sender| Poster {
            phone_number_id: sender.phone_number_id,
            waba_id: sender.waba_id,
            messaging_limit: sender.messaging_limit.as_deref().and_then(reach::limit),
            lanes: if sender.may_post && request.posts > 0 {
                Lanes::open(sender.open, sender.marketing)
            } else {
                Lanes::decisions_only(sender.marketing)
            },
        }))
}

/// Locks what is due: all decisions, and of each open lane in turn, in the order of `lanes`, as
/// many heads as may be posted. A row that somebody else has locked is about to be changed: it comes again. One that
/// cannot be understood is told apart.
pub(super) async fn lock_due(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    lanes: &Lanes,
    now: Timestamp,
) -> Result<(Vec<Row>, Vec<Corrupt>), StoreError> {
    let posts = i64::try_from(request.posts).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        r#"
        -- claim: due
        WITH due AS (
            SELECT q.*, l.place, row_number() OVER (PARTITION BY q.lane ORDER BY q.due_at) AS turn
            FROM unnest($2::text[]) WITH ORDINALITY AS l (lane, place)
            CROSS JOIN LATERAL (
                SELECT q.id, q.lane, q.due_at FROM sequences q
                WHERE q.sender = $1 AND q.lane = l.lane AND q.due_at <= $3
                    AND q.work <> 'claimed'
                ORDER BY q.due_at
                LIMIT CASE WHEN l.lane = '' THEN $5::bigint ELSE $4::bigint END
            ) q
        ),
        picked AS (
            SELECT id FROM due WHERE lane = ''
            UNION ALL
            (SELECT id FROM due WHERE lane <> '' ORDER BY turn, place LIMIT $4)
        )
        SELECT q.id, q.status, q.reason, q.work, q.head, q.attempt, q.length, q.ready_at, q.deadline_at,
               q.on_failure, q.gate, q.policy, q.quiet_hours, q.recipient, q.ready_because,
               coalesce(q.set_going_at, q.created_at) AS "since!", q.campaign, q.reference,
               q.variables, q.due_at AS "due_at!"
        FROM picked
        -- Each by its key, whatever the planner believes of the numbers.
        CROSS JOIN LATERAL (
            SELECT * FROM sequences q
            WHERE q.sender = $1 AND q.id = picked.id
                -- Once more, of what it is under the lock: it may have been paused meanwhile.
                -- IS TRUE, because no index is to be used for it.
                AND (q.due_at <= $3 AND q.work <> 'claimed' AND q.lane = ANY ($2)) IS TRUE
            FOR NO KEY UPDATE SKIP LOCKED
        ) q
        "#,
        request.lease.sender.0,
        lanes.names(),
        now,
        posts,
        MAX_DECISIONS as i64,
    )
    .fetch_all(connection)
    .await?;
    let (mut due, mut corrupt) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let words = (
            SequenceStatus::parse(&row.status),
            SequenceWork::parse(&row.work),
            OnFailure::parse(&row.on_failure),
            Gate::deserialize(&row.gate),
            Policy::deserialize(&row.policy),
        );
        let (Some(status), Some(work), Some(on_failure), Ok(gate), Ok(policy)) = words else {
            corrupt.push(Corrupt {
                sequence: row.id,
                what: format!("sequences.status, work, on_failure, gate or policy: {words:?}"),
            });
            continue;
        };
        due.push(Row {
            id: row.id,
            status,
            reason: row.reason.as_deref().and_then(Reason::parse),
            work,
            head: row.head,
            attempt: row.attempt,
            length: row.length,
            ready_at: row.ready_at,
            deadline_at: row.deadline_at,
            on_failure,
            gate,
            policy,
            quiet_hours: row
                .quiet_hours
                .and_then(|hours| serde_json::from_value(hours).ok()),
            since: row.since,
            user: User {
                is_us: recipient::is_us(&row.recipient),
                ..User::default()
            },
            recipient: row.recipient,
            campaign: row.campaign,
            reference: row.reference,
            variables: match row.variables {
                Some(Value::Object(variables)) => variables,
                _ => Variables::new(),
            },
            due_at: None,
            due_since: row.due_at,
            ready_because: row.ready_because.as_deref().and_then(known_reason),
            lane: lane::DECISION.to_owned(),
            claim: None,
        });
    }
    Ok((due, corrupt))
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
