//! How many messages wait, and why, for whoever watches the service: what `waiting.reason` says of
//! each, added up. Read every few seconds by each instance, so it looks at so many rows and no more,
//! of every lane the same share, and ends when its time is over.

use super::{Store, StoreError, again};

/// Sequences that are looked at, all lanes together; beyond, the numbers say "at least".
const MOST: i64 = 10_000;
/// Of each lane at least so many, however many lanes there are, so that each reason is seen.
const LEAST_OF_A_LANE: i64 = 20;
/// What takes longer is given up.
const LONGEST: &str = "1000";

impl Store {
    /// How many messages wait, by reason; `due` are those that nothing keeps but the sender's rate and
    /// slots. `None` where it could not be counted in time.
    pub async fn waiting_messages(&self) -> Result<Option<Vec<(String, i64)>>, StoreError> {
        const QUERY_CANCELED: &str = "57014";
        let counted = again!(self, "waiting_messages", {
            let mut transaction = self.begin_snapshot().await?;
            sqlx::query!(
                "-- waiting: limit\nSELECT set_config('statement_timeout', $1, true)",
                LONGEST,
            )
            .fetch_one(&mut *transaction)
            .await?;
            let rows = self.count_waiting(&mut transaction).await?;
            transaction.commit().await?;
            Ok(rows)
        });
        match counted {
            Err(error) if error.sqlstate().as_deref() == Some(QUERY_CANCELED) => Ok(None),
            counted => counted.map(Some),
        }
    }

    async fn count_waiting(
        &self,
        connection: &mut sqlx::PgConnection,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let counted = sqlx::query!(
            r#"
            -- waiting: count
            WITH stopped AS MATERIALIZED (
                SELECT s.id AS sender, t.name, t.language
                FROM templates t JOIN senders s ON s.connection = t.connection
                WHERE NOT t.sendable
                    AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
            ),
            -- What a lane's heads wait for, whatever else they would wait for.
            places AS MATERIALIZED (
                SELECT s.id AS sender, l.lane,
                       CASE
                           WHEN l.lane IN ('', '=') THEN NULL
                           WHEN c.stopped_at IS NOT NULL THEN 'connection_stopped'
                           WHEN d.status <> 'active' THEN 'sender_blocked'
                           ELSE l.closed
                       END AS closed
                FROM senders s JOIN connections c ON c.id = s.connection
                CROSS JOIN LATERAL standing(s, $1) d
                CROSS JOIN LATERAL (
                    SELECT unnest(ARRAY['', '=', '-']) AS lane, NULL AS closed
                    UNION ALL
                    SELECT l.lane, CASE
                        WHEN (l.sender, l.template_name, l.template_language)
                            IN (SELECT sender, name, language FROM stopped) THEN 'template_paused'
                        WHEN l.campaign IS NOT NULL AND l.campaign NOT IN (
                            SELECT id FROM campaigns WHERE status IN ('activating', 'running')
                        ) THEN 'paused'
                    END
                    FROM lanes l WHERE l.sender = s.id
                ) l
            ),
            looked AS MATERIALIZED (
                SELECT p.closed, q.*
                FROM places p
                CROSS JOIN LATERAL (
                    SELECT q.status, q.work, q.ready_because, q.ready_at > $1 AS later,
                           q.attempt > 0 AS tried, q.length - q.head AS behind
                    FROM sequences q
                    WHERE q.sender = p.sender AND q.lane = p.lane AND q.due_at IS NOT NULL
                    ORDER BY q.due_at
                    LIMIT greatest($3, $2 / (SELECT count(*) FROM places))
                ) q
                LIMIT $2
            ),
            held AS (
                SELECT length - head AS behind FROM sequences WHERE status = 'held' LIMIT $2
            )
            SELECT reason AS "reason!", sum(n)::bigint AS "n!"
            FROM (
                SELECT CASE
                           WHEN status = 'paused' THEN 'paused'
                           WHEN ready_because IN ('opted_out', 'window_closed') THEN ready_because
                           WHEN closed IS NOT NULL THEN closed
                           WHEN NOT later THEN 'due'
                           WHEN ready_because IS NOT NULL THEN ready_because
                           WHEN tried THEN 'retry'
                           ELSE 'schedule'
                       END AS reason, 1 AS n
                FROM looked WHERE work = 'ready'
                UNION ALL
                SELECT CASE WHEN status = 'paused' THEN 'paused' ELSE 'gate' END, behind
                FROM looked
                UNION ALL
                SELECT 'gate', behind FROM held
            ) x
            GROUP BY reason
            "#,
            self.clock.now(),
            MOST,
            LEAST_OF_A_LANE,
        )
        .fetch_all(connection)
        .await?;
        Ok(counted.into_iter().map(|row| (row.reason, row.n)).collect())
    }
}
