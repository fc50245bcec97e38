//! Campaigns: made as drafts, read, listed, counted.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::campaign_counts::{Counts, count};
use super::once::shown;
use super::sequence_create::NewStep;
use super::{Once, Reply, Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::campaign::CampaignStatus;
use crate::model::ids::{self, CampaignId, SenderId};
use crate::model::quiet::QuietHours;
use crate::model::sequence::{Gate, OnFailure, Policy};

/// What a campaign is made from.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of campaigns")]
pub struct NewCampaign {
    pub sender: SenderId,
    pub name: String,
    pub label: Option<String>,
    pub gate: Gate,
    pub on_failure: OnFailure,
    pub policy: Policy,
    pub quiet_hours: Option<QuietHours>,
    pub allow_repeats: bool,
    /// What the messages take from each recipient.
    pub variables: Vec<String>,
    pub pace: Option<Pace>,
    pub steps: Vec<NewStep>,
}

/// Some go first, and are watched before the rest goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How many.
    pub first: i64,
    /// Counted from when all of them have been taken up.
    pub then_watch: Duration,
}

/// One as it stands.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of campaigns")]
pub struct Campaign {
    pub id: CampaignId,
    pub name: String,
    pub label: Option<String>,
    pub status: CampaignStatus,
    pub gate: Gate,
    pub on_failure: OnFailure,
    pub policy: Policy,
    pub quiet_hours: Option<QuietHours>,
    pub allow_repeats: bool,
    pub variables: Vec<String>,
    pub steps: Vec<NewStep>,
    /// Until the rest goes.
    pub pace: Option<Pace>,
    pub watch_until: Option<Timestamp>,
    pub paused_because: Option<String>,
    pub recipients: i64,
    /// How its sequences stood.
    pub counts: Option<Counts>,
    pub counted_at: Option<Timestamp>,
    /// Messages of it that were taken up in the last minute.
    pub last_minute: i64,
    /// The most that its sender posts.
    pub messages_per_second: i32,
    /// For how long of that minute it has been going.
    pub going_for: Duration,
    pub created_at: Timestamp,
    pub activated_at: Option<Timestamp>,
    pub paused_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct CampaignFilter {
    pub sender: Option<SenderId>,
    pub label: Option<String>,
    pub status: Option<CampaignStatus>,
}

/// Campaigns of at most so many recipients are counted whenever they are shown; bigger ones now
/// and then.
const COUNTED_WHEN_SHOWN: i64 = 5_000;

impl Store {
    /// Makes a draft, once; `None` when there is no such sender, or none that can send.
    pub async fn create_campaign<V: Serialize>(
        &self,
        new: &NewCampaign,
        once: &Once,
        show: impl Fn(Campaign) -> V + Sync,
    ) -> Result<Option<Reply>, StoreError> {
        again!(self, "create_campaign", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(reply));
            }
            let id = CampaignId {
                sender: new.sender,
                uuid: self.clock.new_id(),
            };
            if !self.insert_campaign(&mut transaction, id, new).await? {
                return Ok(None);
            }
            let made = read_campaign(&mut transaction, id).await?;
            let made = made.ok_or_else(|| StoreError::Corrupt(format!("campaigns: {id}")))?;
            let answer = shown(&show(made))?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(reply))
        })
    }

    async fn insert_campaign(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
        new: &NewCampaign,
    ) -> Result<bool, StoreError> {
        let made = sqlx::query!(
            r#"
            -- create_campaign
            INSERT INTO campaigns (sender, id, status, created_at, name, label, gate, on_failure,
                                   policy, allow_repeats, variables, steps, pace_first,
                                   pace_watch_ms, quiet_hours)
            SELECT s.id, $2, 'draft', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
            FROM senders s WHERE s.id = $1
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
            new.name,
            new.label,
            Json(new.gate) as _,
            new.on_failure.as_str(),
            Json(new.policy) as _,
            new.allow_repeats,
            &new.variables,
            Json(&new.steps) as _,
            new.pace.map(|pace| pace.first),
            new.pace
                .map(|pace| i64::try_from(pace.then_watch.as_millis()).unwrap_or(i64::MAX)),
            new.quiet_hours.as_ref().map(Json) as _,
        )
        .execute(connection)
        .await?;
        Ok(made.rows_affected() > 0)
    }

    /// Reads one, counted now if it is small.
    pub async fn campaign(&self, id: CampaignId) -> Result<Option<Campaign>, StoreError> {
        again!(self, "campaign", {
            let mut connection = self.pool.acquire().await?;
            let Some(mut campaign) = read_campaign(&mut connection, id).await? else {
                return Ok(None);
            };
            if campaign.recipients <= COUNTED_WHEN_SHOWN {
                campaign.counts = Some(count(&mut connection, id, self.clock.now()).await?);
                campaign.counted_at = Some(self.clock.now());
            }
            let now = self.clock.now();
            let minute_ago = ids::first_at(now - MINUTE);
            let going_for = campaign.activated_at.map(|at| (now - at).try_into());
            campaign.going_for = going_for.and_then(Result::ok).unwrap_or_default();
            let rates = sqlx::query!(
                r#"
                -- campaign: rates
                SELECT (SELECT count(*) FROM messages WHERE campaign = $1 AND id >= $2)
                           AS "last_minute!",
                       messages_per_second
                FROM senders WHERE id = $3
                "#,
                id.uuid,
                minute_ago,
                id.sender.0,
            )
            .fetch_one(&mut *connection)
            .await?;
            campaign.last_minute = rates.last_minute;
            campaign.messages_per_second = rates.messages_per_second;
            Ok(Some(campaign))
        })
    }

    /// A page, newest first. What they have sent in the last minute is not read.
    pub async fn list_campaigns(
        &self,
        filter: &CampaignFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Campaign>, StoreError> {
        again!(self, "list_campaigns", {
            let mut list = self.begin_list().await?;
            read_campaigns(&mut list, None, filter, before, limit).await
        })
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Reads one, as it was counted last.
pub(super) async fn read_campaign(
    connection: &mut PgConnection,
    id: CampaignId,
) -> Result<Option<Campaign>, StoreError> {
    let one = CampaignFilter {
        sender: Some(id.sender),
        ..CampaignFilter::default()
    };
    let found = read_campaigns(connection, Some(id.uuid), &one, None, 1).await?;
    Ok(found.into_iter().next())
}

async fn read_campaigns(
    connection: &mut PgConnection,
    id: Option<Uuid>,
    filter: &CampaignFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Campaign>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- read_campaigns
        SELECT sender, id, name, label, status, gate AS "gate: Json<Gate>", on_failure,
               policy AS "policy: Json<Policy>", quiet_hours AS "quiet_hours: Json<QuietHours>",
               allow_repeats, variables,
               steps AS "steps: Json<Vec<NewStep>>", recipients, pace_first, pace_watch_ms,
               watch_until, paused_because,
               counts AS "counts: Json<Counts>", counted_at, created_at, activated_at, paused_at,
               ended_at
        FROM campaigns
        WHERE ($1::uuid IS NULL OR id = $1)
            AND ($2::uuid IS NULL OR id < $2)
            AND ($3::integer IS NULL OR sender = $3)
            AND ($4::text IS NULL OR label = $4)
            AND ($5::text IS NULL OR status = $5)
        ORDER BY id DESC
        LIMIT $6
        "#,
        id,
        before,
        filter.sender.map(|sender| sender.0),
        filter.label,
        filter.status.map(CampaignStatus::as_str),
        limit,
    )
    .fetch_all(connection)
    .await?;
    let rows = rows.into_iter().map(|row| {
        let corrupt = || StoreError::Corrupt(format!("campaigns: {} of {}", row.id, row.sender));
        Ok(Campaign {
            id: CampaignId {
                sender: SenderId(row.sender),
                uuid: row.id,
            },
            status: CampaignStatus::parse(&row.status).ok_or_else(corrupt)?,
            on_failure: OnFailure::parse(&row.on_failure).ok_or_else(corrupt)?,
            name: row.name,
            label: row.label,
            gate: row.gate.0,
            policy: row.policy.0,
            quiet_hours: row.quiet_hours.map(|hours| hours.0),
            allow_repeats: row.allow_repeats,
            variables: row.variables,
            steps: row.steps.0,
            pace: row
                .pace_first
                .zip(row.pace_watch_ms)
                .map(|(first, ms)| Pace {
                    first,
                    then_watch: Duration::from_millis(ms.unsigned_abs()),
                }),
            watch_until: row.watch_until,
            paused_because: row.paused_because,
            recipients: row.recipients,
            counts: row.counts.map(|counts| counts.0),
            counted_at: row.counted_at,
            last_minute: 0,
            messages_per_second: 0,
            going_for: Duration::ZERO,
            created_at: row.created_at,
            activated_at: row.activated_at,
            paused_at: row.paused_at,
            ended_at: row.ended_at,
        })
    });
    rows.collect()
}
