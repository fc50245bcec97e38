//! Claiming: of a sender's due sequences, decide the gates that are to be decided and take the
//! heads that may be posted *now*. One transaction: lease, open lanes, due rows under lock,
//! their messages in a fresh snapshot, the decisions of `model`, and what follows from them.

mod plan;

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use self::plan::{Lanes, Plan, Row, Step};
use super::leases::{Lease, interval};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::evidence::{Evidence, Failure};
use crate::model::ids::{AttemptId, MessageId, SenderId, SequenceId};
use crate::model::lane;
use crate::model::message::{Attempt, Outcome};
use crate::model::sequence::{
    Gate, OnFailure, OnUnknown, Reason, RetryLimits, SequenceStatus, SequenceWork,
};

/// Decisions in one transaction; more are taken in the next.
const MAX_DECISIONS: i64 = 200;
/// How far behind the head messages are read: a head that passes leads to the next.
const STEPS_READ: i32 = 3;

/// What may be claimed.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest {
    /// Whose sequences.
    pub lease: Lease,
    /// Who we are.
    pub instance: Uuid,
    /// How many POSTs have their rate token and their slot.
    pub posts: usize,
    /// The limits of trying again.
    pub limits: RetryLimits,
    /// How long the answer to a POST may take. A lease that ends sooner permits none.
    pub post_timeout: Duration,
}

/// A message that is to be posted now.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Of which sequence.
    pub sequence: SequenceId,
    /// Where in it.
    pub position: i32,
    /// Under which ownership.
    pub epoch: i64,
    /// When it was claimed: an attempt that went back may be claimed again.
    pub posted_at: Timestamp,
    /// What the next message waits for.
    pub gate: Gate,
    /// The template's name and language, if it uses one.
    pub template: Option<(String, String)>,
    /// The sender's number, as the provider knows it.
    pub phone_number_id: String,
    /// The sender's WABA, where it is known.
    pub waba_id: Option<String>,
    /// To whom.
    pub recipient: String,
    /// `template`, `text` …
    pub kind: String,
    /// The object under the type.
    pub content: Value,
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct Claimed {
    /// To be posted now.
    pub claims: Vec<Claim>,
    /// Whether anything was decided or claimed: there may be more.
    pub progress: bool,
    /// When the next row that is not due yet will be.
    pub next_due: Option<Timestamp>,
}

impl Store {
    /// Decides and claims. `None` when the lease is no longer ours, or too short for a POST.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Option<Claimed>, StoreError> {
        again!("claim", {
            let now = self.clock.now();
            let mut transaction = self.pool.begin().await?;
            let Some(poster) = lock_lease(&mut transaction, request).await? else {
                return Ok(None);
            };
            let lanes = open_lanes(&mut transaction, request.lease.sender, &poster).await?;
            let rows = lock_due(&mut transaction, request, &lanes, now).await?;
            let steps = read_steps(&mut transaction, request.lease.sender, &rows).await?;
            let plan = Plan::make(request, rows, steps, &lanes, now);
            let claims = self
                .carry_out(&mut transaction, request, &poster, &plan, now)
                .await?;
            let next_due = next_due(&mut transaction, request.lease.sender, &lanes, now).await?;
            transaction.commit().await?;
            Ok(Some(Claimed {
                claims,
                progress: plan.has_progress(),
                next_due,
            }))
        })
    }

    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        request: &ClaimRequest,
        poster: &Poster,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Vec<Claim>, StoreError> {
        let sender = request.lease.sender;
        update_sequences(connection, request, &plan.rows).await?;
        let contents = insert_attempts(connection, sender, plan, now).await?;
        self.write_facts(connection, &plan.facts).await?;
        let claims = plan.claimed().filter_map(|(row, step)| {
            let (recipient, kind, content) = contents.get(&step.message)?.clone();
            Some(Claim {
                attempt: AttemptId {
                    message: MessageId {
                        sender,
                        uuid: step.message,
                    },
                    n: step.next_n(),
                },
                sequence: SequenceId {
                    sender,
                    uuid: row.id,
                },
                position: step.position,
                epoch: request.lease.epoch,
                posted_at: now,
                gate: step.gate,
                template: step.template.clone(),
                phone_number_id: poster.phone_number_id.clone(),
                waba_id: poster.waba_id.clone(),
                recipient,
                kind,
                content,
            })
        });
        Ok(claims.collect())
    }
}

/// The sender as its owner may use it now.
struct Poster {
    phone_number_id: String,
    waba_id: Option<String>,
    may_post: bool,
}

/// The sender, if the lease is ours and long enough. The lock on its row keeps the lease from
/// changing hands before this transaction ends.
async fn lock_lease(
    connection: &mut PgConnection,
    request: &ClaimRequest,
) -> Result<Option<Poster>, StoreError> {
    let sender = sqlx::query!(
        r#"
        -- claim: lease
        SELECT s.phone_number_id, s.waba_id,
               s.status = 'active' AND c.stopped_at IS NULL AS "may_post!",
               s.lease_until > clock_timestamp() + $4::interval AS "long_enough!"
        FROM senders s JOIN connections c ON c.id = s.connection
        WHERE s.id = $1 AND s.lease_owner = $2 AND s.lease_epoch = $3
            AND s.lease_until > clock_timestamp()
        FOR SHARE OF s
        "#,
        request.lease.sender.0,
        request.instance,
        request.lease.epoch,
        interval(request.post_timeout),
    )
    .fetch_optional(connection)
    .await?;
    Ok(sender
        .filter(|sender| sender.long_enough)
        .map(|sender| Poster {
            phone_number_id: sender.phone_number_id,
            waba_id: sender.waba_id,
            may_post: sender.may_post && request.posts > 0,
        }))
}

/// The lanes that may be claimed from: those whose template nothing is known against.
async fn open_lanes(
    connection: &mut PgConnection,
    sender: SenderId,
    poster: &Poster,
) -> Result<Lanes, StoreError> {
    if !poster.may_post {
        return Ok(Lanes::decisions_only());
    }
    let open = sqlx::query_scalar!(
        r#"
        -- claim: lanes
        SELECT l.lane
        FROM lanes l JOIN senders s ON s.id = l.sender
        WHERE l.sender = $1 AND NOT EXISTS (
            SELECT FROM templates t
            WHERE t.connection = s.connection AND NOT t.sendable
                AND t.name = l.template_name AND t.language = l.template_language
                -- A WABA that one of the two does not name may be the other's.
                AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
        )
        "#,
        sender.0,
    )
    .fetch_all(connection)
    .await?;
    Ok(Lanes::open(open))
}

/// Locks what is due: all decisions, and of each open lane in turn as many heads as may be
/// posted. A row that somebody else has locked is about to be changed: it comes again.
async fn lock_due(
    connection: &mut PgConnection,
    request: &ClaimRequest,
    lanes: &Lanes,
    now: Timestamp,
) -> Result<Vec<Row>, StoreError> {
    let posts = i64::try_from(request.posts).unwrap_or(i64::MAX);
    let rows = sqlx::query!(
        r#"
        -- claim: due
        WITH due AS (
            SELECT q.*, row_number() OVER (PARTITION BY q.lane ORDER BY q.due_at) AS turn
            FROM unnest($2::text[]) AS l (lane)
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
            (SELECT id FROM due WHERE lane <> '' ORDER BY turn, due_at LIMIT $4)
        )
        SELECT q.id, q.status, q.reason, q.work, q.head, q.attempt, q.length, q.ready_at, q.deadline_at,
               q.on_failure,
               q.gate AS "gate: sqlx::types::Json<Gate>"
        FROM sequences q
        WHERE q.sender = $1 AND q.id IN (SELECT id FROM picked)
            -- Once more, of what it is under the lock: it may have been paused meanwhile.
            AND q.due_at <= $3 AND q.work <> 'claimed' AND q.lane = ANY ($2)
        FOR NO KEY UPDATE SKIP LOCKED
        "#,
        request.lease.sender.0,
        lanes.names(),
        now,
        posts,
        MAX_DECISIONS,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let corrupt = || StoreError::Corrupt(format!("sequences, id {}", row.id));
            Ok(Row {
                id: row.id,
                status: SequenceStatus::parse(&row.status).ok_or_else(corrupt)?,
                reason: row.reason.as_deref().and_then(Reason::parse),
                work: SequenceWork::parse(&row.work).ok_or_else(corrupt)?,
                head: row.head,
                attempt: row.attempt,
                length: row.length,
                ready_at: row.ready_at,
                deadline_at: row.deadline_at,
                on_failure: OnFailure::parse(&row.on_failure).ok_or_else(corrupt)?,
                gate: row.gate.0,
                due_at: None,
                lane: lane::DECISION.to_owned(),
                claim: None,
            })
        })
        .collect()
}

/// The messages from each head on, with all of their attempts. A statement of its own, so that
/// its snapshot is younger than the locks.
async fn read_steps(
    connection: &mut PgConnection,
    sender: SenderId,
    rows: &[Row],
) -> Result<HashMap<Uuid, Vec<Step>>, StoreError> {
    let steps = sqlx::query!(
        r#"
        -- claim: steps
        SELECT m.sequence AS "sequence!", m.position AS "position!", m.id, m.cancelled_at,
               m.template_name, m.template_language, m.delay_ms, m.on_unknown,
               m.gate AS "gate: sqlx::types::Json<Gate>",
               a.n AS "n?", a.outcome, a.refusal ->> 'code' AS refusal_code, a.unknown_at,
               a.accepted_at, a.held_at, a.sent_at, a.delivered_at, a.read_at, a.played_at,
               a.failed_at, a.failed_code
        FROM unnest($2::uuid[], $3::integer[]) AS q (id, head)
        JOIN messages m ON m.sender = $1 AND m.sequence = q.id
            AND m.position BETWEEN q.head AND q.head + $4
        LEFT JOIN attempts a ON a.sender = $1 AND a.message = m.id
        ORDER BY m.sequence, m.position, a.n
        "#,
        sender.0,
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.head).collect::<Vec<_>>(),
        STEPS_READ - 1,
    )
    .fetch_all(connection)
    .await?;
    let gates: HashMap<Uuid, Gate> = rows.iter().map(|row| (row.id, row.gate)).collect();
    let mut sequences: HashMap<Uuid, Vec<Step>> = HashMap::new();
    for row in steps {
        let sequence = sequences.entry(row.sequence).or_default();
        if sequence.last().is_none_or(|step| step.message != row.id) {
            let own_gate = row.gate.map(|gate| gate.0);
            let Some(gate) = own_gate.or_else(|| gates.get(&row.sequence).copied()) else {
                continue;
            };
            sequence.push(Step {
                message: row.id,
                position: row.position,
                cancelled: row.cancelled_at.is_some(),
                gate,
                delay: Duration::from_millis(row.delay_ms.unsigned_abs()),
                on_unknown: OnUnknown::parse(&row.on_unknown).unwrap_or(OnUnknown::Hold),
                template: row.template_name.zip(row.template_language),
                attempts: Vec::new(),
            });
        }
        let (Some(_), Some(step)) = (row.n, sequence.last_mut()) else {
            continue;
        };
        step.attempts.push(Attempt {
            outcome: outcome(
                row.outcome.as_deref(),
                row.refusal_code.as_deref(),
                row.unknown_at,
            ),
            evidence: Evidence {
                accepted_at: row.accepted_at,
                held_at: row.held_at,
                sent_at: row.sent_at,
                delivered_at: row.delivered_at,
                read_at: row.read_at,
                played_at: row.played_at,
                failed: row.failed_at.map(|at| Failure {
                    at,
                    code: row.failed_code.unwrap_or(i64::MAX),
                }),
            },
        });
    }
    Ok(sequences)
}

/// An attempt's outcome from its columns.
pub(super) fn outcome(
    word: Option<&str>,
    refusal_code: Option<&str>,
    unknown_at: Option<Timestamp>,
) -> Option<Outcome> {
    match word? {
        "accepted" => Some(Outcome::Accepted),
        "held" => Some(Outcome::Held),
        "paused" => Some(Outcome::Paused),
        "refused" => Some(Outcome::Refused(
            refusal_code
                .and_then(|code| code.parse().ok())
                .unwrap_or(i64::MAX),
        )),
        _ => unknown_at.map(|since| Outcome::Unknown { since }),
    }
}

async fn update_sequences(
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
async fn insert_attempts(
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

async fn next_due(
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
