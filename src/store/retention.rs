//! What was settled long ago goes: sequences that are done, with their messages, attempts and facts;
//! messages that others sent; facts that are about nothing that is left; campaigns that are done.
//! Nothing goes of which anything was said since, and nothing that is not done, however old.
//!
//! Where the feed begins is committed before the first fact goes, so that who follows it from before
//! is told, and misses nothing without knowing. Each transaction deletes a few.

use uuid::Uuid;

use super::feed::Place;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::first_at;

/// Sequences, or messages that others sent, of one transaction, and how many messages these may have
/// together, but for the first; facts of one that stand alone.
const SEQUENCES: i64 = 100;
const MESSAGES: i64 = 1_000;
const FACTS: i64 = 1_000;

/// For how long an instance that says nothing keeps others from it.
const TAKEN: time::Duration = time::Duration::minutes(2);

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the tables' names")]
pub struct Gone {
    pub sequences: u64,
    pub messages: u64,
    pub facts: u64,
    pub campaigns: u64,
}

impl Gone {
    fn add(&mut self, other: Self) {
        let counted = [
            ("sequences", other.sequences),
            ("messages", other.messages),
            ("facts", other.facts),
            ("campaigns", other.campaigns),
        ];
        for (what, n) in counted {
            metrics::counter!("twotick_forgotten_total", "what" => what).increment(n);
        }
        self.sequences += other.sequences;
        self.messages += other.messages;
        self.facts += other.facts;
        self.campaigns += other.campaigns;
    }
}

/// A batch: what went, and what was looked at last; `None`: there was nothing to look at.
type Batch = (Gone, Option<Uuid>);

/// What is old enough: rows made before `id`, of which nothing was said from `xid` on.
#[derive(Debug, Clone, Copy)]
struct Old {
    id: Uuid,
    xid: i64,
}

impl Store {
    /// Deletes what was settled before this moment, unless another instance is doing so. Returns
    /// what went; `None`: another does it.
    pub async fn forget_settled(&self, before: Timestamp) -> Result<Option<Gone>, StoreError> {
        let xid = self.place_before(before).await?.xid;
        let old = Old {
            id: first_at(before),
            xid,
        };
        let turn = self.clock.new_id();
        if !self.take_retention(turn, xid).await? {
            return Ok(None);
        }
        let mut gone = Gone::default();
        gone.add(Gone {
            campaigns: self.forget_campaigns(before).await?,
            ..Gone::default()
        });
        let mut after = Uuid::nil();
        while let (batch, Some(last)) = self.forget_sequences(after, old).await? {
            gone.add(batch);
            after = last;
            if !self.keep_retention(turn).await? {
                return Ok(Some(gone));
            }
        }
        let mut after = Uuid::nil();
        while let (batch, Some(last)) = self.forget_external(after, old).await? {
            gone.add(batch);
            after = last;
            if !self.keep_retention(turn).await? {
                return Ok(Some(gone));
            }
        }
        let mut after = Place::default();
        while let Some((facts, last)) = self.forget_facts(after, old).await? {
            gone.add(Gone {
                facts,
                ..Gone::default()
            });
            after = last;
            if !self.keep_retention(turn).await? {
                return Ok(Some(gone));
            }
        }
        self.forget_undelivered(old).await?;
        self.leave_retention(turn).await?;
        Ok(Some(gone))
    }

    /// Where the feed begins.
    pub async fn feed_begin(&self) -> Result<Place, StoreError> {
        let xid = again!(self, "feed: begin", {
            let begins = sqlx::query_scalar!(
                r#"
                -- feed: begin
                SELECT begins::text::bigint AS "begins!" FROM retention
                "#
            );
            Ok(begins.fetch_one(&mut *self.pool.acquire().await?).await?)
        })?;
        Ok(Place {
            xid,
            id: Uuid::nil(),
        })
    }

    /// Whether it is our turn now; the feed begins there from then on.
    async fn take_retention(&self, turn: Uuid, begins: i64) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let taken = again!(self, "take_retention", {
            Ok(sqlx::query!(
                r#"
                -- take_retention
                UPDATE retention
                SET begins = GREATEST(begins, $1::bigint::text::xid8), owner = $2, taken_until = $4
                WHERE taken_until <= $3 OR owner = $2
                "#,
                begins,
                turn,
                now,
                now + TAKEN,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(taken.rows_affected() > 0)
    }

    /// Whether it is our turn still: who was too slow has lost it to another.
    async fn keep_retention(&self, turn: Uuid) -> Result<bool, StoreError> {
        let kept = again!(self, "keep_retention", {
            Ok(sqlx::query!(
                r#"
                -- keep_retention
                UPDATE retention SET taken_until = $2 WHERE owner = $1
                "#,
                turn,
                self.clock.now() + TAKEN,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(kept.rows_affected() > 0)
    }

    async fn leave_retention(&self, turn: Uuid) -> Result<(), StoreError> {
        again!(self, "leave_retention", {
            sqlx::query!(
                r#"
                -- leave_retention
                UPDATE retention SET taken_until = '-infinity', owner = NULL WHERE owner = $1
                "#,
                turn,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Campaigns that are done: first, or they would be shown with ever fewer sequences.
    async fn forget_campaigns(&self, before: Timestamp) -> Result<u64, StoreError> {
        again!(self, "forget_campaigns", {
            let gone = sqlx::query!(
                r#"
                -- forget_campaigns
                DELETE FROM campaigns c
                WHERE done AND ended_at < $1 AND NOT open
                    AND NOT EXISTS (
                        SELECT FROM sequences q WHERE q.campaign = c.id
                            AND q.campaign IS NOT NULL AND (q.work <> 'done') IS TRUE
                    )
                "#,
                before,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(gone.rows_affected())
        })
    }

    async fn forget_sequences(&self, after: Uuid, old: Old) -> Result<Batch, StoreError> {
        again!(self, "forget_sequences", {
            let mut transaction = self.begin().await?;
            let row = sqlx::query!(
                r#"
                -- forget_sequences
                WITH locked AS MATERIALIZED (
                    SELECT sender, id, campaign, length FROM sequences
                    WHERE id > $1 AND id < $2 AND work = 'done'
                    ORDER BY id
                    LIMIT $4
                    -- Somebody is retrying it, or erasing.
                    FOR UPDATE SKIP LOCKED
                ),
                page AS MATERIALIZED (
                    SELECT sender, id, campaign
                    FROM (
                        SELECT *, sum(length) OVER (ORDER BY id) - length AS before FROM locked
                    ) l
                    WHERE before < $5
                ),
                subjects AS MATERIALIZED (
                    SELECT p.sender, p.id AS sequence, p.id AS subject FROM page p
                    UNION ALL
                    SELECT m.sender, m.sequence, m.id
                    FROM page p
                    JOIN messages m ON m.sender = p.sender AND m.sequence = p.id
                ),
                settled AS MATERIALIZED (
                    SELECT p.sender, p.id FROM page p
                    WHERE NOT EXISTS (SELECT FROM campaigns c WHERE c.id = p.campaign)
                        AND NOT EXISTS (
                            SELECT FROM subjects s
                            JOIN facts f ON f.stream = s.sender AND f.subject = s.subject
                            WHERE s.sender = p.sender AND s.sequence = p.id
                                AND f.xid >= $3::bigint::text::xid8
                        )
                ),
                theirs AS MATERIALIZED (
                    SELECT s.sender, s.subject FROM subjects s
                    JOIN settled t ON t.sender = s.sender AND t.id = s.sequence
                ),
                no_attempts AS (
                    DELETE FROM attempts a USING theirs t
                    WHERE a.sender = t.sender AND a.message = t.subject
                ),
                no_facts AS (
                    DELETE FROM facts f USING theirs t
                    WHERE f.stream = t.sender AND f.subject = t.subject
                    RETURNING 1
                ),
                no_messages AS (
                    DELETE FROM messages m USING theirs t
                    WHERE m.sender = t.sender AND m.id = t.subject
                    RETURNING 1
                ),
                no_sequences AS (
                    DELETE FROM sequences q USING settled t
                    WHERE q.sender = t.sender AND q.id = t.id
                    RETURNING 1
                )
                SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last,
                       (SELECT count(*) FROM no_facts) AS "facts!",
                       (SELECT count(*) FROM no_messages) AS "messages!",
                       (SELECT count(*) FROM no_sequences) AS "sequences!"
                "#,
                after,
                old.id,
                old.xid,
                SEQUENCES,
                MESSAGES,
            )
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            let gone = Gone {
                sequences: row.sequences.unsigned_abs(),
                messages: row.messages.unsigned_abs(),
                facts: row.facts.unsigned_abs(),
                campaigns: 0,
            };
            Ok((gone, row.last))
        })
    }

    /// Messages that others sent.
    async fn forget_external(&self, after: Uuid, old: Old) -> Result<Batch, StoreError> {
        again!(self, "forget_external_messages", {
            let mut transaction = self.begin().await?;
            let row = sqlx::query!(
                r#"
                -- forget_external_messages
                WITH page AS MATERIALIZED (
                    SELECT sender, id FROM messages
                    WHERE id > $1 AND id < $2 AND sequence IS NULL
                    ORDER BY id
                    LIMIT $4
                    FOR UPDATE SKIP LOCKED
                ),
                settled AS MATERIALIZED (
                    SELECT p.sender, p.id FROM page p
                    WHERE NOT EXISTS (
                        SELECT FROM facts f WHERE f.stream = p.sender AND f.subject = p.id
                            AND f.xid >= $3::bigint::text::xid8
                    )
                ),
                no_attempts AS (
                    DELETE FROM attempts a USING settled t
                    WHERE a.sender = t.sender AND a.message = t.id
                ),
                no_facts AS (
                    DELETE FROM facts f USING settled t
                    WHERE f.stream = t.sender AND f.subject = t.id
                    RETURNING 1
                ),
                no_messages AS (
                    DELETE FROM messages m USING settled t
                    WHERE m.sender = t.sender AND m.id = t.id
                    RETURNING 1
                )
                SELECT (SELECT id FROM page ORDER BY id DESC LIMIT 1) AS last,
                       (SELECT count(*) FROM no_facts) AS "facts!",
                       (SELECT count(*) FROM no_messages) AS "messages!"
                "#,
                after,
                old.id,
                old.xid,
                SEQUENCES,
            )
            .fetch_one(&mut *transaction)
            .await?;
            transaction.commit().await?;
            let gone = Gone {
                messages: row.messages.unsigned_abs(),
                facts: row.facts.unsigned_abs(),
                ..Gone::default()
            };
            Ok((gone, row.last))
        })
    }

    /// The next facts of the feed that are about nothing that is kept, such as what users wrote. What
    /// is about a message or a sequence that is there stays with it.
    async fn forget_facts(
        &self,
        after: Place,
        old: Old,
    ) -> Result<Option<(u64, Place)>, StoreError> {
        again!(self, "forget_facts", {
            let row = sqlx::query!(
                r#"
                -- forget_facts
                WITH page AS MATERIALIZED (
                    SELECT xid, id, stream, subject, n, type, key FROM facts
                    WHERE (xid, id) > ($1::bigint::text::xid8, $2)
                        AND xid < $3::bigint::text::xid8
                    ORDER BY xid, id
                    LIMIT $4
                ),
                alone AS MATERIALIZED (
                    SELECT p.* FROM page p
                    WHERE NOT EXISTS (
                            SELECT FROM messages m
                            WHERE m.sender = p.stream AND m.id = p.subject)
                        AND NOT EXISTS (
                            SELECT FROM sequences q
                            WHERE q.sender = p.stream AND q.id = p.subject)
                        AND NOT EXISTS (
                            SELECT FROM campaigns c
                            WHERE c.sender = p.stream AND c.id = p.subject)
                ),
                no_facts AS (
                    DELETE FROM facts f USING alone p
                    WHERE f.stream = p.stream AND f.subject = p.subject AND f.n = p.n
                        AND f.type = p.type AND f.key = p.key
                    RETURNING 1
                )
                SELECT xid::text::bigint AS "xid!", id AS "id!",
                       (SELECT count(*) FROM no_facts) AS "facts!"
                FROM page ORDER BY xid DESC, id DESC LIMIT 1
                "#,
                after.xid,
                after.id,
                old.xid,
                FACTS,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?;
            Ok(row.map(|row| {
                let last = Place {
                    xid: row.xid,
                    id: row.id,
                };
                (row.facts.unsigned_abs(), last)
            }))
        })
    }

    /// What subscriptions were not told of and is not there any more.
    async fn forget_undelivered(&self, old: Old) -> Result<(), StoreError> {
        loop {
            let gone = again!(self, "forget_undelivered", {
                Ok(sqlx::query!(
                    r#"
                    -- forget_undelivered
                    DELETE FROM undelivered
                    WHERE ctid = ANY(ARRAY(
                        SELECT u.ctid FROM undelivered u
                        WHERE u.xid < $1::bigint::text::xid8 AND NOT EXISTS (
                            SELECT FROM facts f WHERE f.xid = u.xid AND f.id = u.event)
                        LIMIT $2
                        FOR UPDATE SKIP LOCKED
                    ))
                    "#,
                    old.xid,
                    FACTS,
                )
                .execute(&mut *self.pool.acquire().await?)
                .await?)
            })?;
            if gone.rows_affected() == 0 {
                return Ok(());
            }
        }
    }
}
