//! The first recipients of a campaign that has a pace: the rest goes when nothing spoke against its
//! templates while these were watched. Else the campaign pauses itself, and a person decides.

use serde_json::json;
use sqlx::PgConnection;

use super::campaign_work::CampaignWork;
use super::campaigns::Campaign;
use super::facts::OwnFact;
use super::{Store, StoreError};
use crate::model::campaign::CampaignStatus;
use crate::model::event;

/// How the first ones stand.
struct First {
    /// The template that may not be sent, or whose quality is low.
    against: Option<String>,
    /// Some of them have not been taken up.
    queued: bool,
}

impl Store {
    /// Looks at those who went first, with the campaign locked.
    pub(super) async fn watch(
        &self,
        connection: &mut PgConnection,
        campaign: &Campaign,
    ) -> Result<CampaignWork, StoreError> {
        let Some(pace) = campaign.pace else {
            return Ok(CampaignWork::Nothing);
        };
        if campaign.status != CampaignStatus::Activating {
            return Ok(CampaignWork::Nothing);
        }
        let now = self.clock.now();
        let first = look(connection, campaign).await?;
        match (first.against, campaign.watch_until) {
            (Some(template), _) => {
                self.pause_by_itself(connection, campaign, &template)
                    .await?;
                Ok(CampaignWork::More)
            }
            (None, None) if !first.queued => {
                set_watch(connection, campaign, Some(now + pace.then_watch)).await?;
                Ok(CampaignWork::Nothing)
            }
            (None, Some(until)) if until <= now => {
                set_watch(connection, campaign, None).await?;
                Ok(CampaignWork::More)
            }
            _ => Ok(CampaignWork::Nothing),
        }
    }

    async fn pause_by_itself(
        &self,
        connection: &mut PgConnection,
        campaign: &Campaign,
        template: &str,
    ) -> Result<(), StoreError> {
        let id = campaign.id;
        sqlx::query!(
            r#"
            -- watch: pause
            UPDATE campaigns SET status = 'paused', paused_at = $3, paused_because = 'template'
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
        )
        .execute(&mut *connection)
        .await?;
        let fact = OwnFact::of(id.sender.0, id.uuid, event::CAMPAIGN_PAUSED, "sweep");
        let fact = fact.with(json!({"reason": "template", "template": template}));
        self.write_facts(connection, &[fact]).await
    }
}

async fn look(connection: &mut PgConnection, campaign: &Campaign) -> Result<First, StoreError> {
    let row = sqlx::query!(
        r#"
        -- watch: look
        SELECT (
                   SELECT min(t.name)
                   FROM lanes l JOIN senders s ON s.id = l.sender
                   JOIN templates t ON t.connection = s.connection
                       AND (t.name, t.language) = (l.template_name, l.template_language)
                       AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
                   WHERE l.campaign = $1 AND (NOT t.sendable OR t.quality = 'RED')
               ) AS against,
               EXISTS (
                   SELECT FROM sequences
                   WHERE campaign = $1 AND (work <> 'done') IS TRUE AND head = 1 AND attempt = 0
                       -- Who waits for their user, or for a person, may do so for ever.
                       AND status = 'running'
                       AND coalesce(ready_because, '') NOT IN ('opted_out', 'window_closed')
               ) AS "queued!"
        "#,
        campaign.id.uuid,
    )
    .fetch_one(connection)
    .await?;
    Ok(First {
        against: row.against,
        queued: row.queued,
    })
}

/// Until when they are watched; `None`: the rest goes.
async fn set_watch(
    connection: &mut PgConnection,
    campaign: &Campaign,
    until: Option<crate::model::Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
        -- watch
        UPDATE campaigns
        SET watch_until = $3::timestamptz,
            pace_first = CASE WHEN $3::timestamptz IS NOT NULL THEN pace_first END,
            pace_watch_ms = CASE WHEN $3::timestamptz IS NOT NULL THEN pace_watch_ms END
        WHERE sender = $1 AND id = $2
        "#,
        campaign.id.sender.0,
        campaign.id.uuid,
        until,
    )
    .execute(connection)
    .await?;
    Ok(())
}
