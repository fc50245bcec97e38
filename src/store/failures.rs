//! Messages that failed for good by an answer, or by our own rules, where no claimer looks any more:
//! their sequences have ended, or gone on. What a claimer decides it tells itself, and what the
//! provider says later is a fact as it comes; whichever comes first, it is told once.

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::facts::OwnFact;
use super::{Store, StoreError};
use crate::model::ids::{AttemptId, MessageId, SenderId};

impl Store {
    /// Tells of those of these refused attempts by which their message failed for good. Behind the
    /// locks of their sequences.
    pub(super) async fn tell_failures(
        &self,
        connection: &mut PgConnection,
        refused: impl IntoIterator<Item = (AttemptId, Value)>,
    ) -> Result<(), StoreError> {
        let mut facts = Vec::new();
        for (attempt, refusal) in refused {
            if is_for_good(connection, attempt).await? {
                facts.push(OwnFact::of_failure(attempt, &refusal, "answer"));
            }
        }
        self.write_facts(connection, &facts).await
    }

    /// Tells of the heads of these sequences of a sender's, which somebody has just ended.
    pub(super) async fn tell_failed_heads(
        &self,
        connection: &mut PgConnection,
        sender: SenderId,
        sequences: &[Uuid],
    ) -> Result<(), StoreError> {
        let refused = sqlx::query!(
            r#"
            -- tell_failed_heads
            SELECT a.message, a.n, a.refusal AS "refusal!"
            FROM unnest($2::uuid[]) AS x (id)
            JOIN sequences q ON q.sender = $1 AND q.id = x.id AND q.attempt > 0
            JOIN messages m ON m.sender = $1 AND m.sequence = q.id AND m.position = q.head
            JOIN attempts a ON a.sender = $1 AND a.message = m.id AND a.n = q.attempt
            WHERE a.outcome = 'refused'
            "#,
            sender.0,
            sequences,
        )
        .fetch_all(&mut *connection)
        .await?;
        let refused = refused.into_iter().map(|row| {
            let message = MessageId {
                sender,
                uuid: row.message,
            };
            (AttemptId { message, n: row.n }, row.refusal)
        });
        self.tell_failures(connection, refused).await
    }
}

/// Whether nothing follows this refused attempt, and nothing else was said of its message.
async fn is_for_good(connection: &mut PgConnection, id: AttemptId) -> Result<bool, StoreError> {
    let is_over = sqlx::query_scalar!(
        r#"
        -- is_for_good
        SELECT (q.work = 'done' OR q.head > m.position) AND m.cancelled_at IS NULL
               AND NOT EXISTS (
                   SELECT FROM attempts o
                   WHERE o.sender = $1 AND o.message = $2
                       AND (o.n > $3 OR (o.n = $3 AND o.failed_at IS NOT NULL)
                            OR o.delivered_at IS NOT NULL OR o.read_at IS NOT NULL
                            OR o.played_at IS NOT NULL)
               ) AS "is_over!"
        FROM messages m
        JOIN sequences q ON q.sender = m.sender AND q.id = m.sequence
        WHERE m.sender = $1 AND m.id = $2
        "#,
        id.message.sender.0,
        id.message.uuid,
        id.n,
    );
    let is_over = is_over.fetch_optional(connection).await?;
    Ok(is_over.unwrap_or(false))
}
