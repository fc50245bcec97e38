//! When an attempt that had been taken for somebody else's turns out to be ours: its evidence
//! and facts move to our attempt, its id stays as an alias. Called by answers, which learn the
//! provider's id, and by ingest, when the provider gives our id back with one that is taken.

use serde_json::json;
use uuid::Uuid;

use super::facts::OwnFact;
use super::{Store, StoreError};
use crate::model::event;
use crate::model::ids::{AttemptId, MessageId};

/// The unique index that two attempts of one provider id run into.
pub(super) const TAKEN: &str = "attempts_provider_message_id";

impl Store {
    /// Joins the external attempt of this provider id, if there is one, into ours. The caller
    /// commits. What becomes of the sequence is decided by its claimer, which is made to look.
    pub(super) async fn adopt(
        &self,
        connection: &mut sqlx::PgConnection,
        ours: AttemptId,
        provider_message_id: &str,
    ) -> Result<bool, StoreError> {
        let AttemptId {
            message:
                MessageId {
                    sender,
                    uuid: message,
                },
            n,
        } = ours;
        // Both rows, in key order: what every writer of attempts does.
        let rows = sqlx::query!(
            r#"
            -- adopt: lock
            SELECT message, n, sequence, provider_message_id FROM attempts
            WHERE sender = $1 AND ((message = $2 AND n = $3) OR provider_message_id = $4)
            ORDER BY message, n
            FOR UPDATE
            "#,
            sender.0,
            message,
            n,
            provider_message_id,
        )
        .fetch_all(&mut *connection)
        .await?;
        let is_ours = |row_message: Uuid, row_n: i16| row_message == message && row_n == n;
        let own = rows.iter().find(|row| is_ours(row.message, row.n));
        let stranger = rows.iter().find(|row| !is_ours(row.message, row.n));
        let (Some(own), Some(stranger)) = (own, stranger) else {
            return Ok(false);
        };
        // A provider that gives one id to two of our attempts must not make us lose one of them.
        if own.provider_message_id.is_some() || stranger.sequence.is_some() {
            return Ok(false);
        }
        self.move_evidence(connection, ours, stranger.message, provider_message_id)
            .await?;
        self.move_facts(connection, ours, stranger.message).await?;
        let alias = MessageId {
            sender,
            uuid: stranger.message,
        };
        let fact = OwnFact::of_attempt(ours, event::MESSAGE_ADOPTED, "webhook")
            .with(json!({"provider_message_id": provider_message_id, "alias": alias}));
        self.write_facts(connection, &[fact]).await?;
        Ok(true)
    }

    async fn move_evidence(
        &self,
        connection: &mut sqlx::PgConnection,
        ours: AttemptId,
        stranger: Uuid,
        provider_message_id: &str,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- adopt: evidence
            WITH gone AS (
                DELETE FROM attempts WHERE sender = $1 AND message = $4 RETURNING *
            ),
            alias AS (
                UPDATE messages SET adopted_by = $2 WHERE sender = $1 AND id = $4
            ),
            joined AS (
                UPDATE attempts a
                SET provider_message_id = $5,
                    sent_at = LEAST(a.sent_at, g.sent_at),
                    delivered_at = LEAST(a.delivered_at, g.delivered_at),
                    read_at = LEAST(a.read_at, g.read_at),
                    played_at = LEAST(a.played_at, g.played_at),
                    failed_at = LEAST(a.failed_at, g.failed_at),
                    failed_code = CASE
                        WHEN g.failed_at IS NULL OR g.failed_at > a.failed_at THEN a.failed_code
                        WHEN g.failed_at = a.failed_at THEN LEAST(a.failed_code, g.failed_code)
                        ELSE g.failed_code
                    END
                FROM gone g
                WHERE a.sender = $1 AND a.message = $2 AND a.n = $3
                RETURNING a.sequence, a.position
            )
            UPDATE sequences q
            SET due_at = LEAST(q.due_at, $6),
                lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
            FROM joined j
            WHERE q.sender = $1 AND q.id = j.sequence AND q.head = j.position
                AND q.work <> 'done'
            "#,
            ours.message.sender.0,
            ours.message.uuid,
            ours.n,
            stranger,
            provider_message_id,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    async fn move_facts(
        &self,
        connection: &mut sqlx::PgConnection,
        ours: AttemptId,
        stranger: Uuid,
    ) -> Result<(), StoreError> {
        let sender = ours.message.sender.0;
        // The same status may have come both ways: with our id, and without.
        sqlx::query!(
            r#"
            -- adopt: copies
            UPDATE facts o
            SET occurred_at = LEAST(o.occurred_at, s.occurred_at),
                data = joined_copy(o.occurred_at, o.data, s.occurred_at, s.data)
            FROM facts s
            WHERE s.stream = $1 AND s.subject = $2
                AND o.stream = $1 AND o.subject = $3 AND o.n = $4
                AND o.type = s.type AND o.key = s.key
                AND (o.data::text <> s.data::text OR o.occurred_at IS DISTINCT FROM s.occurred_at)
            "#,
            sender,
            stranger,
            ours.message.uuid,
            ours.n,
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            r#"
            -- adopt: facts said twice
            DELETE FROM facts s USING facts o
            WHERE s.stream = $1 AND s.subject = $2
                AND o.stream = $1 AND o.subject = $3 AND o.n = $4
                AND o.type = s.type AND o.key = s.key
            "#,
            sender,
            stranger,
            ours.message.uuid,
            ours.n,
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            r#"
            -- adopt: facts
            UPDATE facts SET subject = $3, n = $4 WHERE stream = $1 AND subject = $2
            "#,
            sender,
            stranger,
            ours.message.uuid,
            ours.n,
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
