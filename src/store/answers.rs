//! What came of a POST that the provider did not take, or did not answer (`acceptances.rs` has the
//! others). Every function here may be called late, by an instance that no longer
//! owns the sender: an answer is evidence whoever brings it, and only the claim's own row goes
//! on from it. The attempt is locked before the sequence, as ingest does.

use serde_json::json;

use super::attempts::REFUSALS;
use super::claim::Claim;
use super::facts::OwnFact;
use super::ingest::TemplateSaid;
use super::{Store, StoreError, Version, again};
use crate::model::error_class::ErrorClass;
use crate::model::evidence::Rank;
use crate::model::fact::ProviderError;
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::{Timestamp, event};

/// The provider did not take the message.
#[derive(Debug, Clone)]
pub struct Refused {
    /// What it said.
    pub error: ProviderError,
    /// What that means.
    pub class: ErrorClass,
    /// When the same attempt may be posted again. `None`: the attempt is over, and policy
    /// decides what follows.
    pub again_at: Option<Timestamp>,
    /// What it says of the template, the sender or the connection.
    pub closes: Option<Closes>,
}

/// What a refusal closes until somebody opens it again.
#[derive(Debug, Clone)]
pub enum Closes {
    /// The template: nothing that uses it is claimed.
    Template(Box<TemplateSaid>),
    /// The sender.
    Sender,
    /// The connection: its token is gone, unless it has other credentials by now.
    Connection(ConnectionId, Version),
}

impl Store {
    /// The provider answered with an error.
    pub async fn record_refused(&self, claim: &Claim, refused: &Refused) -> Result<(), StoreError> {
        let mut refusal = json!({
            "code": refused.error.code,
            "title": refused.error.title,
            "details": refused.error.details,
            "class": refused.class.as_str(),
        });
        let mut data = refusal.clone();
        refusal[REFUSALS] = claim.refusals.saturating_add(1).into();
        data["next_attempt_at"] = refused.again_at.map(crate::model::rfc3339).into();
        let fact = OwnFact::of_claim(claim, event::MESSAGE_REFUSED, "answer").with(data);
        again!(self, "record_refused", {
            let mut transaction = self.begin().await?;
            let mut facts = vec![fact.clone()];
            if let Some(closes) = &refused.closes {
                let closing = self.write_closing(&mut transaction, claim, closes, &refused.error);
                facts.extend(closing.await?);
            }
            match refused.again_at {
                Some(at) => {
                    give_back(&mut transaction, claim, at, &refusal).await?;
                }
                None => {
                    self.write_refusal(&mut transaction, claim, &refusal)
                        .await?
                }
            }
            self.write_facts(&mut transaction, &facts).await?;
            Ok(transaction.commit().await?)
        })
    }

    async fn write_refusal(
        &self,
        connection: &mut sqlx::PgConnection,
        claim: &Claim,
        refusal: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let ended = sqlx::query!(
            r#"
            -- record_refused
            WITH a AS (
                UPDATE attempts
                -- Of an attempt that was posted twice the other POST may have been taken.
                SET refusal = CASE WHEN coalesce(outcome, 'unknown') = 'unknown' THEN $4
                        ELSE refusal END,
                    outcome = CASE WHEN coalesce(outcome, 'unknown') = 'unknown' THEN 'refused'
                        ELSE outcome END
                WHERE sender = $1 AND message = $2 AND n = $3 AND posted_at = $7
                RETURNING sequence, position
            )
            UPDATE sequences q
            SET work = 'waiting', claim_epoch = NULL, claim_until = NULL, due_at = $5,
                lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
            FROM a
            WHERE q.sender = $1 AND q.id = a.sequence AND q.head = a.position
                AND q.work = 'claimed' AND q.claim_epoch = $6 AND q.attempt = $3
            "#,
            claim.attempt.message.sender.0,
            claim.attempt.message.uuid,
            claim.attempt.n,
            refusal,
            self.clock.now(),
            claim.epoch,
            claim.posted_at,
        )
        .execute(&mut *connection)
        .await?;
        if ended.rows_affected() == 0 {
            self.came_late(connection, claim).await?;
            let failures = [(claim.attempt, refusal.clone())];
            self.tell_failures(connection, failures).await?;
        }
        Ok(())
    }

    /// An answer to an attempt that nobody waits for any longer: its sequence has gone on, or a
    /// later attempt is being posted. It is evidence like any other: the claimer has to look.
    async fn came_late(
        &self,
        connection: &mut sqlx::PgConnection,
        claim: &Claim,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- came_late
            UPDATE sequences q
            SET due_at = LEAST(q.due_at, $4),
                lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
            WHERE q.sender = $1 AND q.id = $2 AND q.head = $3 AND q.work <> 'done'
            "#,
            claim.sequence.sender.0,
            claim.sequence.uuid,
            claim.position,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Returns the fact that says so, unless it was closed before: an alarm is raised once.
    async fn write_closing(
        &self,
        connection: &mut sqlx::PgConnection,
        claim: &Claim,
        closes: &Closes,
        error: &ProviderError,
    ) -> Result<Option<OwnFact>, StoreError> {
        let title = error.title.as_deref().unwrap_or("refused");
        let reason = format!("{}: {title}", error.code);
        match closes {
            Closes::Template(said) => {
                self.close_template(connection, said, &reason, "answer")
                    .await
            }
            Closes::Sender => {
                let sender = claim.attempt.message.sender;
                self.block_sender(connection, sender, &reason, claim.posted_at, "answer")
                    .await
            }
            Closes::Connection(id, version) => {
                self.stop_connection(connection, *id, version, &reason)
                    .await
            }
        }
    }

    /// As of then: what a person or the provider has opened since stays open.
    pub(super) async fn block_sender(
        &self,
        connection: &mut sqlx::PgConnection,
        sender: SenderId,
        reason: &str,
        as_of: Timestamp,
        source: &'static str,
    ) -> Result<Option<OwnFact>, StoreError> {
        let closed = sqlx::query_scalar!(
            r#"
            -- block_sender
            UPDATE senders s SET status = 'blocked', status_reason = $2, status_at = $4
            WHERE id = $1 AND (s.status_at IS NULL OR s.status_at < $4)
                AND (SELECT d.status = 'active' FROM standing(s, $3) d)
            RETURNING (SELECT d.status <> 'active' FROM standing(s, $3) d) AS "closed!"
            "#,
            sender.0,
            reason,
            self.clock.now(),
            as_of,
        )
        .fetch_optional(connection)
        .await?;
        Ok(closed.filter(|closed| *closed).map(|_| {
            tracing::warn!(%sender, reason, "nothing is posted for it until it is opened");
            alarm(event::SENDER_BLOCKED, sender.0, reason, source)
        }))
    }

    async fn stop_connection(
        &self,
        connection: &mut sqlx::PgConnection,
        id: ConnectionId,
        version: &Version,
        reason: &str,
    ) -> Result<Option<OwnFact>, StoreError> {
        let closed = sqlx::query_scalar!(
            r#"
            -- stop_connection
            UPDATE connections SET stopped_at = $2, stopped_reason = $3
            WHERE id = $1 AND stopped_at IS NULL AND sha256(secrets) = $4
            RETURNING stream
            "#,
            id.0,
            self.clock.now(),
            reason,
            version.as_bytes(),
        )
        .fetch_optional(connection)
        .await?;
        Ok(closed.map(|stream| {
            tracing::warn!(connection = %id, reason, "nothing is posted over it until it is opened");
            alarm(event::CONNECTION_STOPPED, stream, reason, "answer")
        }))
    }

    /// The answer was lost: the provider may have the message. It is settled by evidence that
    /// carries our id; `model` says when the policy acts.
    pub async fn record_unknown(&self, claim: &Claim, reason: &str) -> Result<(), StoreError> {
        let fact = OwnFact::of_claim(claim, event::MESSAGE_UNKNOWN, "answer")
            .with(json!({"reason": reason}));
        again!(self, "record_unknown", {
            let mut transaction = self.begin().await?;
            let settled = sqlx::query!(
                r#"
                -- record_unknown
                WITH a AS (
                    UPDATE attempts
                    SET unknown_at = CASE WHEN outcome IS NULL THEN $4 ELSE unknown_at END,
                        watch = CASE WHEN outcome IS NULL THEN $5 ELSE watch END,
                        lost = lost + (coalesce(outcome, 'unknown') = 'unknown')::integer,
                        outcome = coalesce(outcome, 'unknown')
                    WHERE sender = $1 AND message = $2 AND n = $3 AND posted_at = $7
                    RETURNING sequence, position, outcome
                )
                UPDATE sequences q
                SET work = 'waiting', claim_epoch = NULL, claim_until = NULL, due_at = $4,
                    lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
                FROM a
                WHERE q.sender = $1 AND q.id = a.sequence AND q.head = a.position
                    AND q.work = 'claimed' AND q.claim_epoch = $6 AND q.attempt = $3
                RETURNING a.outcome = 'unknown' AS "unknown!"
                "#,
                claim.attempt.message.sender.0,
                claim.attempt.message.uuid,
                claim.attempt.n,
                self.clock.now(),
                Rank::Sent as i16,
                claim.epoch,
                claim.posted_at,
            )
            .fetch_optional(&mut *transaction)
            .await?;
            // Of an attempt that was posted twice the other POST may have been answered.
            if settled.is_some_and(|row| row.unknown) {
                self.write_facts(&mut transaction, std::slice::from_ref(&fact))
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    /// Nothing was posted: the claim goes back, and the same attempt is claimed again.
    pub async fn return_claim(
        &self,
        claim: &Claim,
        at: Timestamp,
        reason: &str,
    ) -> Result<(), StoreError> {
        let fact = OwnFact::of_claim(claim, event::MESSAGE_RETURNED, "sweep")
            .with(json!({"reason": reason}));
        again!(self, "return_claim", {
            let mut transaction = self.begin().await?;
            // Told once, also when the acknowledgement of the commit was lost.
            if give_back(&mut transaction, claim, at, &json!({"title": reason})).await? {
                self.write_facts(&mut transaction, std::slice::from_ref(&fact))
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    /// Claims whose commit was not acknowledged, and of which none was posted: those that stand
    /// go back.
    pub async fn return_doubtful(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let Some(sender) = claims.first().map(|claim| claim.sequence.sender) else {
            return Ok(());
        };
        let sequences: Vec<_> = claims.iter().map(|claim| claim.sequence.uuid).collect();
        // What made them holds these locks until it has ended, the one way or the other.
        again!(self, "await_claims", {
            Ok(sqlx::query!(
                r#"
                -- await_claims
                SELECT id FROM sequences WHERE sender = $1 AND id = ANY($2)
                ORDER BY id FOR NO KEY UPDATE
                "#,
                sender.0,
                &sequences,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        for claim in claims {
            let reason = "whether it was claimed was not answered";
            self.return_claim(claim, claim.posted_at, reason).await?;
        }
        Ok(())
    }

    /// Claims of owners that are gone, and whose answer can no longer come: nobody knows whether
    /// they were posted. Returns how many there were.
    pub async fn give_up_claims(
        &self,
        lease: &super::leases::Lease,
        answer_timeout: std::time::Duration,
    ) -> Result<u64, StoreError> {
        again!(self, "give_up_claims", {
            let mut transaction = self.begin().await?;
            let now = self.clock.now();
            // Attempts before sequences, as ingest does: just now what was said of them while
            // their owner was dying comes in.
            let overdue = sqlx::query!(
                r#"
                -- give_up_claims: attempts
                SELECT a.n
                FROM sequences q
                JOIN messages m ON m.sender = q.sender AND m.sequence = q.id AND m.position = q.head
                JOIN attempts a ON a.sender = m.sender AND a.message = m.id AND a.n = q.attempt
                WHERE q.sender = $1 AND q.work = 'claimed' AND q.claim_until < now()
                ORDER BY a.message, a.n
                FOR NO KEY UPDATE OF a
                "#,
                lease.sender.0,
            )
            .fetch_all(&mut *transaction)
            .await?;
            if overdue.is_empty() {
                return Ok(0);
            }
            let given_up = sqlx::query!(
                r#"
                -- give_up_claims
                WITH orphans AS (
                    SELECT id, head, attempt FROM sequences
                    -- By the index of claims alone, however many rows the sender has.
                    WHERE sender = $1 AND work = 'claimed' AND claim_until < now()
                        AND claim_until < now()
                            - CASE WHEN claim_epoch = $2 THEN $5::interval ELSE '0' END
                    ORDER BY id
                    FOR NO KEY UPDATE
                ),
                a AS (
                    UPDATE attempts a
                    SET outcome = 'unknown', unknown_at = coalesce(a.unknown_at, $3), watch = $4,
                        lost = a.lost + 1
                    FROM orphans o
                    JOIN messages m ON m.sender = $1 AND m.sequence = o.id AND m.position = o.head
                    WHERE a.sender = $1 AND a.message = m.id AND a.n = o.attempt
                        AND coalesce(a.outcome, 'unknown') = 'unknown'
                    RETURNING a.message, a.n, num_nonnulls(a.accepted_at, a.held_at, a.sent_at,
                        a.delivered_at, a.read_at, a.played_at, a.failed_at) = 0 AS is_unheard
                ),
                q AS (
                    UPDATE sequences q
                    SET work = 'waiting', claim_epoch = NULL, claim_until = NULL, due_at = $3,
                        lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
                    FROM orphans o
                    WHERE q.sender = $1 AND q.id = o.id
                )
                SELECT message, n, is_unheard AS "is_unheard!" FROM a
                "#,
                lease.sender.0,
                lease.epoch,
                now,
                Rank::Sent as i16,
                super::leases::interval(answer_timeout),
            )
            .fetch_all(&mut *transaction)
            .await?;
            let facts: Vec<_> = given_up
                .iter()
                // What a webhook spoke of is not unknown.
                .filter(|row| row.is_unheard)
                .map(|row| {
                    let message = crate::model::ids::MessageId {
                        sender: lease.sender,
                        uuid: row.message,
                    };
                    let attempt = crate::model::ids::AttemptId { message, n: row.n };
                    OwnFact::of_attempt(attempt, event::MESSAGE_UNKNOWN, "sweep")
                        .with(json!({"reason": "the instance that posted it is gone"}))
                })
                .collect();
            self.write_facts(&mut transaction, &facts).await?;
            transaction.commit().await?;
            Ok(given_up.len() as u64)
        })
    }
}

/// Something was closed: said once, until somebody opens it.
fn alarm(r#type: &'static str, stream: i32, reason: &str, source: &'static str) -> OwnFact {
    let code = reason
        .split(':')
        .next()
        .and_then(|code| code.parse::<i64>().ok());
    let data = json!({"code": code, "reason": reason});
    OwnFact::of(stream, uuid::Uuid::nil(), r#type, source).with(data)
}

/// The attempt has not been taken by the provider and is not counted: it may be posted again
/// from `at` on. Nothing happens if it has been: claimed again since, or followed by another. One
/// that was posted before and is unknown stays so: of that POST nothing was said.
/// Returns whether the sequence took it back.
async fn give_back(
    connection: &mut sqlx::PgConnection,
    claim: &Claim,
    at: Timestamp,
    refusal: &serde_json::Value,
) -> Result<bool, StoreError> {
    let returned = sqlx::query!(
        r#"
        -- give_back
        WITH a AS (
            UPDATE attempts
            SET posted_at = NULL, refusal = $7, outcome = CASE WHEN $8 THEN outcome END,
                unknown_at = CASE WHEN $8 THEN unknown_at END,
                lost = CASE WHEN $8 THEN lost ELSE 0 END
            WHERE sender = $1 AND message = $2 AND n = $3 AND posted_at = $6
                AND (outcome IS NULL OR outcome = 'unknown')
            RETURNING sequence, position
        )
        UPDATE sequences q
        SET work = 'ready', claim_epoch = NULL, claim_until = NULL, ready_at = $4,
            ready_because = NULL, put_off_at = $6, due_at = LEAST(q.due_at, $4),
            lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
        FROM a
        WHERE q.sender = $1 AND q.id = a.sequence AND q.head = a.position AND q.attempt = $3
            AND ((q.work = 'claimed' AND q.claim_epoch = $5) OR q.work = 'waiting'
                -- About to be repeated, because this answer was taken for lost.
                OR (q.work = 'ready' AND q.reason = 'unknown'))
        "#,
        claim.attempt.message.sender.0,
        claim.attempt.message.uuid,
        claim.attempt.n,
        at,
        claim.epoch,
        claim.posted_at,
        refusal,
        claim.repeated,
    )
    .execute(connection)
    .await?;
    Ok(returned.rows_affected() > 0)
}
