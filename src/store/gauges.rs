//! How things stand, for whoever watches the service: read every few seconds by each instance,
//! so every part reads a few rows by an index, or a table that is small by nature (senders,
//! templates, connections).

use std::time::Duration;

use super::{Store, StoreError, again};
use crate::model::Timestamp;

/// Sequences that are counted; beyond, the number says "at least".
const MOST_HELD: i64 = 10_000;

/// How things stand in the whole database, not at this instance alone.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Since when the oldest sequence that could be worked on has been due.
    pub due_since: Option<Timestamp>,
    /// When the oldest fact was written that the feed does not show yet.
    pub unshown_since: Option<Timestamp>,
    /// Senders that no instance owns now.
    pub senders_unowned: i64,
    /// Senders that the provider blocked or does not know.
    pub senders_blocked: i64,
    /// Templates that may not be sent.
    pub templates_closed: i64,
    /// For how long what has been read longest ago has not been read. What cannot be read because
    /// the token is refused does not count.
    pub unread: Duration,
    /// Connections whose token the provider refused.
    pub connections_stopped: i64,
    /// Whether webhooks came on a day that had no partition of the journal.
    pub journal_rest: bool,
    /// Of this database on disk.
    pub bytes: i64,
    /// Active subscriptions whose endpoint fails.
    pub subscriptions_failing: i64,
    /// Subscriptions that are disabled.
    pub subscriptions_disabled: i64,
    /// Events that subscriptions were not told of, by state.
    pub undelivered: Vec<(String, i64)>,
    /// Sequences that wait for a person, by reason.
    pub held: Vec<(String, i64)>,
}

impl Store {
    /// How things stand now.
    pub async fn standing(&self) -> Result<Standing, StoreError> {
        again!(self, "standing", {
            let now = self.clock.now();
            let row = sqlx::query!(
                r#"
            -- standing
            SELECT
                (SELECT received_at FROM facts
                 WHERE xid >= feed_place(pg_snapshot_xmin(pg_current_snapshot()))
                 ORDER BY xid, id LIMIT 1) AS unshown_since,
                (SELECT count(*) FROM senders
                 WHERE lease_until IS NULL OR lease_until <= clock_timestamp())
                    AS "senders_unowned!",
                (SELECT count(*) FROM senders s CROSS JOIN LATERAL standing(s, $1) d
                 WHERE d.status <> 'active') AS "senders_blocked!",
                (SELECT count(*) FROM templates WHERE NOT sendable) AS "templates_closed!",
                (SELECT count(*) FROM connections WHERE stopped_at IS NOT NULL)
                    AS "connections_stopped!",
                (SELECT count(*) FROM subscriptions
                 WHERE status = 'active' AND failing_since IS NOT NULL)
                    AS "subscriptions_failing!",
                (SELECT count(*) FROM subscriptions WHERE status = 'disabled')
                    AS "subscriptions_disabled!",
                (SELECT extract(epoch FROM clock_timestamp()
                                           - min(coalesce(p.read_at, p.made_at)))
                 FROM polls p JOIN connections c ON c.id = p.connection
                 WHERE c.stopped_at IS NULL)::double precision AS unread,
                EXISTS (SELECT FROM journal_rest) AS "journal_rest!",
                pg_database_size(current_database()) AS "bytes!"
            "#,
                now,
            )
            .fetch_one(&mut *self.pool.acquire().await?)
            .await?;
            let held = sqlx::query!(
                r#"
            -- standing: held
            SELECT coalesce(reason, '') AS "reason!", count(*) AS "n!"
            FROM (SELECT reason FROM sequences WHERE status = 'held' LIMIT $1) q
            GROUP BY reason
            "#,
                MOST_HELD,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?;
            let undelivered = sqlx::query!(
                r#"
            -- standing: undelivered
            SELECT s.state AS "state!", (
                SELECT count(*) FROM (
                    SELECT FROM undelivered u WHERE u.state = s.state LIMIT $1
                ) n) AS "n!"
            FROM (VALUES ('waiting'), ('dead')) AS s (state)
            "#,
                MOST_HELD,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?;
            let undelivered = undelivered.into_iter().map(|row| (row.state, row.n));
            Ok(Standing {
                subscriptions_failing: row.subscriptions_failing,
                subscriptions_disabled: row.subscriptions_disabled,
                undelivered: undelivered.collect(),
                due_since: self.due_since(now).await?,
                unshown_since: row.unshown_since,
                senders_unowned: row.senders_unowned,
                senders_blocked: row.senders_blocked,
                templates_closed: row.templates_closed,
                unread: Duration::try_from_secs_f64(row.unread.unwrap_or(0.0)).unwrap_or_default(),
                connections_stopped: row.connections_stopped,
                journal_rest: row.journal_rest,
                bytes: row.bytes,
                held: held.into_iter().map(|row| (row.reason, row.n)).collect(),
            })
        })
    }

    /// The oldest of what claimers should have taken: of each sender every decision, and the
    /// heads of its open lanes. One look into the index a lane.
    async fn due_since(&self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        again!(self, "due_since", {
            let oldest = sqlx::query_scalar!(
                r#"
            -- standing: due
            WITH closed AS (
                SELECT s.id AS sender, t.name, t.language
                FROM templates t JOIN senders s ON s.connection = t.connection
                WHERE NOT t.sendable
                    AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
            )
            SELECT min(q.due_at) AS due_at
            FROM senders s JOIN connections c ON c.id = s.connection
            CROSS JOIN LATERAL standing(s, $1) d
            CROSS JOIN LATERAL (
                SELECT '' AS lane
                UNION ALL
                SELECT '-' WHERE d.status = 'active' AND c.stopped_at IS NULL
                UNION ALL
                SELECT l.lane FROM lanes l
                WHERE l.sender = s.id AND d.status = 'active' AND c.stopped_at IS NULL
                    AND (l.template_name IS NULL
                        OR (l.sender, l.template_name, l.template_language)
                            NOT IN (SELECT sender, name, language FROM closed))
                    AND (l.campaign IS NULL OR l.campaign IN (
                        SELECT id FROM campaigns WHERE status IN ('activating', 'running')
                    ))
            ) l
            CROSS JOIN LATERAL (
                SELECT q.due_at FROM sequences q
                WHERE q.sender = s.id AND q.lane = l.lane AND q.due_at <= $1
                    AND q.work <> 'claimed'
                ORDER BY q.due_at
                LIMIT 1
            ) q
            "#,
                now,
            )
            .fetch_one(&mut *self.pool.acquire().await?)
            .await?;
            Ok(oldest)
        })
    }

    /// Connections to the database: in use, and idle.
    pub fn connections_open(&self) -> (usize, usize) {
        let (open, idle) = self.pools.open();
        (open.saturating_sub(idle), idle)
    }
}
