//! The messages that a claim decides on, with all of their attempts.

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::StoreError;
use super::super::attempts::{outcome, refusals};
use super::corrupt::Corrupt;
use super::plan::{Row, Step};
use crate::model::evidence::{Evidence, Failure};
use crate::model::ids::SenderId;
use crate::model::message::Attempt;
use crate::model::sequence::{Gate, OnUnknown};

/// How far behind the head messages are read: a head that passes leads to the next.
const STEPS_READ: i32 = 3;

/// The messages from each head on, with all of their attempts. A statement of its own, so that
/// its snapshot is younger than the locks. Sequences with a step that cannot be understood are
/// added to `corrupt`.
pub(super) async fn read_steps(
    connection: &mut PgConnection,
    sender: SenderId,
    rows: &[Row],
    corrupt: &mut Vec<Corrupt>,
) -> Result<HashMap<Uuid, Vec<Step>>, StoreError> {
    let steps = sqlx::query!(
        r#"
        -- claim: steps
        SELECT m.sequence AS "sequence!", m.position AS "position!", m.id, m.cancelled_at,
               m.template_name, m.template_language, m.delay_ms, m.on_unknown,
               m.gate, a.n AS "n?", a.outcome, a.refusal, a.unknown_at,
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
            let gate = match (&row.gate, gates.get(&row.sequence)) {
                (Some(own), _) => Gate::deserialize(own),
                (None, Some(gate)) => Ok(*gate),
                (None, None) => continue,
            };
            let gate = match gate {
                Ok(gate) => gate,
                Err(error) => {
                    // A step has a row for each of its attempts.
                    if corrupt.iter().all(|known| known.sequence != row.sequence) {
                        corrupt.push(Corrupt {
                            sequence: row.sequence,
                            what: format!("messages.gate, position {}: {error}", row.position),
                        });
                    }
                    continue;
                }
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
                refusals: 0,
            });
        }
        let (Some(_), Some(step)) = (row.n, sequence.last_mut()) else {
            continue;
        };
        let went_back = row.refusal.as_ref().filter(|_| row.outcome.is_none());
        step.refusals = refusals(went_back);
        step.attempts.push(Attempt {
            outcome: outcome(row.outcome.as_deref(), row.refusal.as_ref(), row.unknown_at),
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
