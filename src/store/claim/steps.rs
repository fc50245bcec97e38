//! The messages that a claim decides on, with all of their attempts.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::StoreError;
use super::super::attempts::{UNKNOWN, outcome, refusals, rule};
use super::super::recipients::STOP;
use super::ClaimRequest;
use super::corrupt::Corrupt;
use super::plan::{Row, Step};
use crate::model::evidence::{Evidence, Failure};
use crate::model::message::Attempt;
use crate::model::sequence::{Gate, OnUnknown};

/// How far behind the head messages are read: a head that passes leads to the next.
pub(super) const STEPS_READ: i32 = 3;

/// The messages from each head on, with all of their attempts, and into the rows what is known of
/// their recipients. A statement of its own, so that its snapshot is younger than the locks.
/// Sequences with a step that cannot be understood are added to `corrupt`.
pub(super) async fn read_steps(
    connection: &mut PgConnection,
    request: &ClaimRequest<'_>,
    rows: &mut [Row],
    corrupt: &mut Vec<Corrupt>,
) -> Result<HashMap<Uuid, Vec<Step>>, StoreError> {
    let steps = sqlx::query!(
        r#"
        -- claim: steps
        SELECT q.id AS "sequence!", m.position AS "position?", m.id AS "id?", m.cancelled_at,
               m.template_name, m.template_language, m.delay_ms AS "delay_ms?",
               m.on_unknown AS "on_unknown?", m.gate, m.type = 'raw' AS raw, u.wrote_at AS "wrote_at?",
               u.marketing AS "marketing?", a.n AS "n?", a.outcome, a.refusal, a.unknown_at, a.lost AS "lost?",
               a.accepted_at, a.held_at, a.sent_at, a.delivered_at, a.read_at, a.played_at,
               a.failed_at, a.failed_code
        FROM unnest($2::uuid[], $3::integer[], $5::text[]) AS q (id, head, recipient)
        CROSS JOIN LATERAL user_known($1, q.recipient) u
        -- Those of a campaign may not have been made yet.
        LEFT JOIN messages m ON m.sender = $1 AND m.sequence = q.id
            AND m.position BETWEEN q.head AND q.head + $4
        LEFT JOIN attempts a ON a.sender = $1 AND a.message = m.id
        ORDER BY q.id, m.position, a.n
        "#,
        request.lease.sender.0,
        &rows.iter().map(|row| row.id).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.head).collect::<Vec<_>>(),
        STEPS_READ - 1,
        &rows
            .iter()
            .map(|row| row.recipient.as_str())
            .collect::<Vec<_>>() as &[&str],
    )
    .fetch_all(connection)
    .await?;
    let mut locked: HashMap<Uuid, &mut Row> = rows.iter_mut().map(|row| (row.id, row)).collect();
    let mut sequences: HashMap<Uuid, Vec<Step>> = HashMap::new();
    for row in steps {
        let Some(of) = locked.get_mut(&row.sequence) else {
            continue;
        };
        of.user.wrote_at = row.wrote_at;
        of.user.no_marketing = row.marketing.as_deref() == Some(STOP);
        let (Some(id), Some(position)) = (row.id, row.position) else {
            continue;
        };
        let sequence = sequences.entry(row.sequence).or_default();
        if sequence.last().is_none_or(|step| step.message != id) {
            let own = row.gate.as_ref().map(Gate::deserialize);
            let gate = match own.unwrap_or(Ok(of.gate)) {
                Ok(gate) => gate,
                Err(error) => {
                    // A step has a row for each of its attempts.
                    if corrupt.iter().all(|known| known.sequence != row.sequence) {
                        corrupt.push(Corrupt {
                            sequence: row.sequence,
                            what: format!("messages.gate, position {position}: {error}"),
                        });
                    }
                    continue;
                }
            };
            sequence.push(Step {
                message: id,
                unmade: None,
                campaign: of.campaign,
                position,
                cancelled: row.cancelled_at.is_some(),
                gate,
                delay: Duration::from_millis(row.delay_ms.unwrap_or(0).unsigned_abs()),
                on_unknown: row
                    .on_unknown
                    .as_deref()
                    .and_then(OnUnknown::parse)
                    .unwrap_or(OnUnknown::Hold),
                template: row.template_name.zip(row.template_language),
                raw: row.raw.unwrap_or(false),
                attempts: Vec::new(),
                refusals: 0,
                harmless: request.repeats_harmlessly,
                refused: None,
            });
        }
        let (Some(_), Some(step)) = (row.n, sequence.last_mut()) else {
            continue;
        };
        let is_open = row.outcome.as_deref().is_none_or(|word| word == UNKNOWN);
        let went_back = row.refusal.as_ref().filter(|_| is_open);
        step.refusals = refusals(went_back);
        step.refused = row.refusal.clone().filter(|_| row.outcome.is_some());
        step.attempts.push(Attempt {
            outcome: outcome(row.outcome.as_deref(), row.refusal.as_ref(), row.unknown_at),
            rule: rule(row.refusal.as_ref()),
            // The gate has a deadline of its own.
            expired_at: None,
            lost: row.lost.map_or(0, |lost| lost.unsigned_abs()),
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
