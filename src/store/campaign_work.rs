//! What campaigns need done beside posting, in bounded batches, a transaction each: recipients
//! become sequences, those of cancelled ones end, and somebody notices when all is done. Whoever
//! comes by does the next batch, so that nothing is lost with who dies.

use std::time::Duration;

use serde_json::json;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::campaign_counts::count;
use super::campaigns::read_campaign;
use super::facts::OwnFact;
use super::{Store, StoreError, again};
use crate::model::campaign::CampaignStatus;
use crate::model::ids::{CampaignId, SenderId};
use crate::model::{event, lane};

/// Recipients that become sequences in one transaction: some tenths of a second.
const FILLED_AT_ONCE: i64 = 5_000;
/// Sequences that one transaction ends.
const ENDED_AT_ONCE: i64 = 2_000;
/// A campaign is counted again when so many times as long has passed as its last count took.
const COUNT_SHARE: u32 = 20;
/// And no sooner than this.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Of one that is paused little changes.
const COUNT_PAUSED_EVERY: Duration = Duration::from_secs(60);
/// Who counts may die.
const COUNTING: Duration = Duration::from_secs(60);

/// What a look at a campaign led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignWork {
    /// There may be more to do at once.
    More,
    /// Nothing to do now.
    Nothing,
}

/// The row, under its lock.
struct Locked {
    status: CampaignStatus,
    uploads: i32,
    /// What an upload that was given up has left is there still.
    has_rest: bool,
    filled: bool,
    filled_n: i32,
    filled_id: Uuid,
    filled_count: i64,
    done: bool,
}

impl Store {
    /// Campaigns that somebody has to look at.
    pub async fn open_campaigns(&self) -> Result<Vec<CampaignId>, StoreError> {
        let rows = again!(self, "open_campaigns", {
            let rows = sqlx::query!(
                r#"
                -- open_campaigns
                SELECT sender, id FROM campaigns WHERE open ORDER BY id
                "#
            );
            Ok(rows.fetch_all(&mut *self.pool.acquire().await?).await?)
        })?;
        let id = |sender, uuid| CampaignId {
            sender: SenderId(sender),
            uuid,
        };
        Ok(rows.into_iter().map(|row| id(row.sender, row.id)).collect())
    }

    /// Does the next batch of whatever a campaign needs, unless somebody else is doing so.
    pub async fn work_on_campaign(&self, id: CampaignId) -> Result<CampaignWork, StoreError> {
        let rest = again!(self, "work_on_campaign", {
            let mut transaction = self.begin().await?;
            let Some(row) = lock(&mut transaction, id).await? else {
                return Ok(Ok(CampaignWork::Nothing));
            };
            if row.has_rest {
                // In transactions of its own.
                Ok(Err(row.uploads))
            } else {
                let work = self.next_batch(&mut transaction, id, &row).await?;
                transaction.commit().await?;
                Ok(Ok(work))
            }
        })?;
        match rest {
            Ok(work) => Ok(work),
            Err(upload) => {
                self.remove_upload(id, upload).await?;
                Ok(CampaignWork::More)
            }
        }
    }

    async fn next_batch(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
        row: &Locked,
    ) -> Result<CampaignWork, StoreError> {
        match row.status {
            _ if row.done => Ok(CampaignWork::Nothing),
            CampaignStatus::Cancelled => self.end_some(connection, id).await,
            CampaignStatus::Activating | CampaignStatus::Paused if !row.filled => {
                self.fill_some(connection, id, row).await
            }
            CampaignStatus::Running => self.end_if_done(connection, id).await,
            _ => Ok(CampaignWork::Nothing),
        }
    }

    /// Some recipients become sequences: they leave the one table and enter the other in one
    /// statement.
    async fn fill_some(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
        row: &Locked,
    ) -> Result<CampaignWork, StoreError> {
        let Some(campaign) = read_campaign(connection, id).await? else {
            return Ok(CampaignWork::Nothing);
        };
        let most = match campaign.pace {
            Some(pace) => FILLED_AT_ONCE.min(pace.first - row.filled_count),
            None => FILLED_AT_ONCE,
        };
        if most <= 0 {
            return self.watch(connection, &campaign).await;
        }
        let first = campaign.steps.first();
        let lane = first.map(|step| step.lane()).unwrap_or_default();
        let delay = first.map_or(Duration::ZERO, |step| step.delay);
        let now = self.clock.now();
        let filled = sqlx::query!(
            r#"
            -- fill_campaign
            WITH batch AS (
                DELETE FROM campaign_recipients
                WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM campaign_recipients
                    WHERE campaign = $2 AND (upload, id) > ($3, $4)
                    ORDER BY upload, id
                    LIMIT $5
                ))
                RETURNING upload, id, recipient, reference, variables
            ),
            made AS (
                INSERT INTO sequences (sender, campaign, id, recipient, reference, variables,
                                       length, due_at, ready_at, created_at, lane, gate,
                                       on_failure, policy, quiet_hours, single, status,
                                       work)
                SELECT $1, $2, b.id, b.recipient, b.reference, b.variables, $6, $7, $7, $8, $9,
                       $10, $11, $12, $13, false, 'running', 'ready'
                FROM batch b
                ORDER BY b.upload, b.id
            )
            SELECT upload, id, count(*) OVER () AS "n!" FROM batch
            ORDER BY upload DESC, id DESC
            LIMIT 1
            "#,
            id.sender.0,
            id.uuid,
            row.filled_n,
            row.filled_id,
            most,
            i32::try_from(campaign.steps.len()).unwrap_or(i32::MAX),
            now + delay,
            now,
            lane::in_campaign(id.uuid, &lane),
            Json(campaign.gate) as _,
            campaign.on_failure.as_str(),
            Json(campaign.policy) as _,
            campaign.quiet_hours.as_ref().map(Json) as _,
        )
        .fetch_optional(&mut *connection)
        .await?;
        let (n, filled_id, more) = filled.map_or((row.filled_n, row.filled_id, 0), |last| {
            (last.upload, last.id, last.n)
        });
        sqlx::query!(
            r#"
            -- fill_campaign: so far
            UPDATE campaigns c
            SET filled_n = $3, filled_id = $4, filled_count = filled_count + $5,
                filled = x.filled,
                status = CASE WHEN x.filled AND c.status = 'activating' THEN 'running'
                              ELSE c.status END
            FROM (SELECT NOT EXISTS (
                SELECT FROM campaign_recipients WHERE campaign = $2 AND (upload, id) > ($3, $4)
            )) AS x (filled)
            WHERE c.sender = $1 AND c.id = $2
            "#,
            id.sender.0,
            id.uuid,
            n,
            filled_id,
            more,
        )
        .execute(connection)
        .await?;
        Ok(CampaignWork::More)
    }

    /// Ends some sequences of a cancelled campaign, and forgets recipients that are none. A
    /// sequence that somebody has locked comes with the next batch.
    async fn end_some(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
    ) -> Result<CampaignWork, StoreError> {
        let done = sqlx::query!(
            r#"
            -- end_campaign
            WITH ended AS (
                UPDATE sequences
                SET status = 'cancelled', reason = NULL, work = 'done', lane = '', due_at = NULL,
                    ready_at = NULL, ready_because = NULL, deadline_at = NULL, paused_at = NULL,
                    claim_epoch = NULL, claim_until = NULL
                WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM sequences
                    WHERE campaign = $1 AND (work <> 'done') IS TRUE
                    LIMIT $2
                    FOR UPDATE SKIP LOCKED
                ))
                RETURNING id, attempt
            ),
            forgotten AS (
                DELETE FROM campaign_recipients
                WHERE ctid = ANY (ARRAY(
                    SELECT ctid FROM campaign_recipients WHERE campaign = $1 LIMIT $2
                ))
                RETURNING 1
            )
            SELECT (SELECT count(*) FROM ended) + (SELECT count(*) FROM forgotten) AS "n!",
                   ARRAY(SELECT id FROM ended WHERE attempt > 0) AS "posted!"
            "#,
            id.uuid,
            ENDED_AT_ONCE,
        )
        .fetch_one(&mut *connection)
        .await?;
        self.tell_failed_heads(connection, id.sender, &done.posted)
            .await?;
        if done.n > 0 {
            return Ok(CampaignWork::More);
        }
        if is_undone(connection, id).await? {
            return Ok(CampaignWork::Nothing);
        }
        close(connection, id).await?;
        Ok(CampaignWork::More)
    }

    /// Whoever makes an ended sequence go again waits for our lock, or we have waited for theirs.
    async fn end_if_done(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
    ) -> Result<CampaignWork, StoreError> {
        if is_undone(connection, id).await? {
            return Ok(CampaignWork::Nothing);
        }
        let completed = sqlx::query_scalar!(
            r#"
            -- complete_campaign
            UPDATE campaigns SET status = 'completed', ended_at = $3
            WHERE sender = $1 AND id = $2
            RETURNING recipients
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
        )
        .fetch_one(&mut *connection)
        .await?;
        let fact = OwnFact::of(id.sender.0, id.uuid, event::CAMPAIGN_COMPLETED, "sweep");
        let fact = fact.with(json!({"recipients": completed}));
        self.write_facts(connection, &[fact]).await?;
        close(connection, id).await?;
        Ok(CampaignWork::More)
    }

    /// Counts a campaign, if it is time and nobody else does. Not under its lock: it may take a
    /// while.
    pub async fn count_campaign(&self, id: CampaignId) -> Result<(), StoreError> {
        again!(self, "count_campaign", {
            let mut connection = self.pool.acquire().await?;
            let now = self.clock.now();
            let turn = sqlx::query_scalar!(
                r#"
                -- count_campaign: turn
                UPDATE campaigns SET count_due_at = $3
                WHERE sender = $1 AND id = $2 AND count_due_at <= $4
                RETURNING done
                "#,
                id.sender.0,
                id.uuid,
                now + COUNTING,
                now,
            )
            .fetch_optional(&mut *connection)
            .await?;
            let Some(is_last) = turn else {
                return Ok(());
            };
            let began = self.clock.monotonic();
            let counts = count(&mut connection, id, self.clock.now()).await?;
            let took = self.clock.monotonic().duration_since(began);
            sqlx::query!(
                r#"
                -- count_campaign
                UPDATE campaigns
                SET counts = $3, counted_at = $4, open = open AND NOT (done AND $7),
                    count_due_at = greatest($5::timestamptz,
                                            CASE WHEN status = 'paused' THEN $6::timestamptz END)
                WHERE sender = $1 AND id = $2
                "#,
                id.sender.0,
                id.uuid,
                Json(counts) as _,
                now,
                self.clock.now() + COUNT_EVERY.max(took * COUNT_SHARE),
                now + COUNT_PAUSED_EVERY,
                is_last,
            )
            .execute(&mut *connection)
            .await?;
            Ok(())
        })
    }
}

async fn lock(connection: &mut PgConnection, id: CampaignId) -> Result<Option<Locked>, StoreError> {
    let row = sqlx::query!(
        r#"
        -- work_on_campaign: lock
        SELECT status, uploads, upload_until IS NOT NULL AS "has_rest!", filled, filled_n, filled_id,
               filled_count, done
        FROM campaigns WHERE sender = $1 AND id = $2 AND open
        FOR UPDATE SKIP LOCKED
        "#,
        id.sender.0,
        id.uuid,
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        let status = CampaignStatus::parse(&row.status);
        Ok(Locked {
            status: status.ok_or_else(|| StoreError::Corrupt(format!("campaigns: {id}")))?,
            uploads: row.uploads,
            has_rest: row.has_rest,
            filled: row.filled,
            filled_n: row.filled_n,
            filled_id: row.filled_id,
            filled_count: row.filled_count,
            done: row.done,
        })
    })
    .transpose()
}

/// Whether a sequence of it has not ended. Asked with the campaign locked, in a statement of its
/// own: its snapshot is younger than the lock.
async fn is_undone(connection: &mut PgConnection, id: CampaignId) -> Result<bool, StoreError> {
    let undone = sqlx::query_scalar!(
        r#"
        -- campaign: undone
        SELECT EXISTS (
            SELECT FROM sequences WHERE campaign = $1 AND (work <> 'done') IS TRUE
        ) AS "undone!"
        "#,
        id.uuid,
    );
    Ok(undone.fetch_one(connection).await?)
}

/// Nothing is left to do but to count: its lanes, which every claim reads, go.
async fn close(connection: &mut PgConnection, id: CampaignId) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        -- close_campaign
        WITH lanes AS (DELETE FROM lanes WHERE campaign = $2)
        UPDATE campaigns SET done = true, count_due_at = '-infinity' WHERE sender = $1 AND id = $2
        "#,
        id.sender.0,
        id.uuid,
    )
    .execute(connection)
    .await?;
    Ok(())
}
