//! The statements that `sequence_changes` is made of. Every one runs behind the lock of the
//! sequence's row.

use std::time::Duration;

use sqlx::PgConnection;

use super::{Store, StoreError};
use crate::model::Timestamp;
use crate::model::ids::{MessageId, SequenceId};
use crate::model::lane;
use crate::model::sequence::{Reason, SequenceStatus};

impl Store {
    /// The message at `head` is to be posted at `due_at`; again, if it is for a reason. Its
    /// claimer finds its lane.
    pub(super) async fn make_ready(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
        head: i32,
        due_at: Timestamp,
        again: Option<Reason>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- make_ready
            UPDATE sequences
            SET head = $3, attempt = CASE WHEN head = $3 THEN attempt ELSE 0 END, due_at = $4, ready_at = $4,
                ready_because = NULL, set_going_at = $6, status = 'running', reason = $5,
                work = 'ready', lane = '', claim_epoch = NULL, claim_until = NULL,
                deadline_at = NULL, paused_at = NULL
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            head,
            due_at,
            again.map(Reason::as_str),
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// What is being posted stays claimed: its answer is recorded all the same. What was due
    /// stays so, in a lane that nobody claims from.
    pub(super) async fn set_paused(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- set_paused
            UPDATE sequences SET status = 'paused', paused_at = $3, lane = $4
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
            lane::PAUSED,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// A paused sequence runs again: its claimer looks at what came meanwhile. What was to go
    /// later still goes later, and the deadline moves by the time it stood still.
    pub(super) async fn set_running(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- set_running
            UPDATE sequences q
            SET status = 'running', paused_at = NULL,
                deadline_at = q.deadline_at + ($3 - q.paused_at), due_at = $3, lane = ''
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Nothing more is posted. An answer that is under way is recorded on its attempt.
    pub(super) async fn end(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
        status: SequenceStatus,
        head: i32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- end_sequence
            UPDATE sequences
            SET status = $3, head = $4, reason = NULL, work = 'done', lane = '', due_at = NULL,
                ready_at = NULL, paused_at = NULL, claim_epoch = NULL, claim_until = NULL
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            status.as_str(),
            head,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// The claimer has to look at this one.
    pub(super) async fn decide_now(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- decide_now
            UPDATE sequences SET due_at = $3, lane = '' WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    pub(super) async fn lengthen(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
        by: i32,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- lengthen
            UPDATE sequences SET length = length + $3 WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            by,
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    pub(super) async fn mark_cancelled(
        &self,
        connection: &mut PgConnection,
        id: MessageId,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- mark_cancelled
            UPDATE messages SET cancelled_at = $3 WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// The message at a position, and its delay. One of a campaign may not have been made yet.
    pub(super) async fn message_at(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
        position: i32,
    ) -> Result<(Option<MessageId>, Duration), StoreError> {
        let row = sqlx::query!(
            r#"
            -- message_at
            SELECT m.id AS "id?",
                   coalesce(m.delay_ms, (c.steps -> ($3 - 1) ->> 'delay_ms')::bigint, 0)
                       AS "delay_ms!"
            FROM sequences q
            LEFT JOIN messages m
                ON m.sender = q.sender AND m.sequence = q.id AND m.position = $3
            LEFT JOIN campaigns c ON c.sender = q.sender AND c.id = q.campaign
            WHERE q.sender = $1 AND q.id = $2
            "#,
            id.sender.0,
            id.uuid,
            position,
        )
        .fetch_one(connection)
        .await?;
        let message = row.id.map(|uuid| MessageId {
            sender: id.sender,
            uuid,
        });
        let delay = Duration::from_millis(u64::try_from(row.delay_ms).unwrap_or(0));
        Ok((message, delay))
    }
}
