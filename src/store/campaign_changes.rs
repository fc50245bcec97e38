//! What people do to campaigns: activate, pause, resume, cancel. Each changes the campaign's row,
//! and with it the lanes of all of its sequences; none touches a sequence.

use serde::Serialize;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::campaigns::{Campaign, read_campaign};
use super::facts::OwnFact;
use super::once::shown;
use super::wrong_state::{Changed, WrongState};
use super::{Once, Store, StoreError, again};
use crate::model::campaign::CampaignStatus;
use crate::model::ids::CampaignId;
use crate::model::{event, lane};

/// What a person wants of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CampaignChange {
    /// To go: all of its recipients become sequences.
    Activate,
    /// To stand still until it is resumed. What is being posted is posted.
    Pause,
    /// To go on.
    Resume,
    /// To end. What has been posted stays posted.
    Cancel,
}

/// A campaign's row, locked.
struct Locked {
    status: CampaignStatus,
    recipients: i64,
    is_uploading: bool,
}

impl CampaignChange {
    /// The statuses that it may be asked for in; `None` where it has been done.
    fn check(self, row: &Locked) -> Result<Option<&'static str>, WrongState> {
        use CampaignStatus as S;
        match (self, row.status) {
            (Self::Activate, S::Draft) if row.is_uploading => Err(WrongState::Uploading),
            (Self::Activate, S::Draft) if row.recipients == 0 => Err(WrongState::NoRecipients),
            (Self::Activate, S::Draft) => Ok(Some(event::CAMPAIGN_ACTIVATED)),
            (Self::Activate, S::Activating | S::Running) => Ok(None),
            (Self::Activate, _) => Err(WrongState::NotDraft),
            (Self::Pause, S::Paused) | (Self::Resume, S::Activating | S::Running) => Ok(None),
            (Self::Pause, S::Activating | S::Running) => Ok(Some(event::CAMPAIGN_PAUSED)),
            (Self::Pause, _) => Err(WrongState::CampaignNotRunning),
            (Self::Resume, S::Paused) => Ok(Some(event::CAMPAIGN_RESUMED)),
            (Self::Resume, _) => Err(WrongState::CampaignNotPaused),
            (Self::Cancel, S::Cancelled) => Ok(None),
            (Self::Cancel, S::Completed) => Err(WrongState::CampaignEnded),
            (Self::Cancel, _) => Ok(Some(event::CAMPAIGN_CANCELLED)),
        }
    }
}

impl Store {
    /// Changes a campaign, once, in one transaction with the fact that tells of it.
    pub async fn change_campaign<V: Serialize>(
        &self,
        id: CampaignId,
        change: CampaignChange,
        once: &Once,
        show: impl Fn(Campaign) -> V + Sync,
    ) -> Changed {
        again!(self, "change_campaign", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(Ok(reply)));
            }
            let Some(row) = self.lock_for_change(&mut transaction, id).await? else {
                return Ok(None);
            };
            match change.check(&row) {
                Err(refused) => return Ok(Some(Err(refused))),
                Ok(None) => {}
                Ok(Some(told)) => {
                    self.apply_change(&mut transaction, id, change).await?;
                    let fact = OwnFact::of(id.sender.0, id.uuid, told, "api")
                        .with(json!({"recipients": row.recipients}));
                    self.write_facts(&mut transaction, &[fact]).await?;
                }
            }
            let Some(changed) = read_campaign(&mut transaction, id).await? else {
                return Ok(None);
            };
            if change == CampaignChange::Activate {
                open_lanes(&mut transaction, &changed).await?;
            }
            let answer = shown(&show(changed))?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(Ok(reply)))
        })
    }

    async fn lock_for_change(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
    ) -> Result<Option<Locked>, StoreError> {
        let row = sqlx::query!(
            r#"
            -- lock_campaign
            SELECT status, recipients, coalesce(upload_until > $3, false) AS "is_uploading!"
            FROM campaigns WHERE sender = $1 AND id = $2
            FOR UPDATE
            "#,
            id.sender.0,
            id.uuid,
            self.clock.now(),
        )
        .fetch_optional(connection)
        .await?;
        row.map(|row| {
            let status = CampaignStatus::parse(&row.status);
            Ok(Locked {
                status: status.ok_or_else(|| StoreError::Corrupt(format!("campaigns: {id}")))?,
                recipients: row.recipients,
                is_uploading: row.is_uploading,
            })
        })
        .transpose()
    }

    async fn apply_change(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
        change: CampaignChange,
    ) -> Result<(), StoreError> {
        let status = match change {
            CampaignChange::Activate | CampaignChange::Resume => None,
            CampaignChange::Pause => Some(CampaignStatus::Paused),
            CampaignChange::Cancel => Some(CampaignStatus::Cancelled),
        };
        sqlx::query!(
            r#"
            -- change_campaign
            UPDATE campaigns
            SET status = coalesce($3, CASE WHEN filled THEN 'running' ELSE 'activating' END),
                activated_at = CASE WHEN $3 IS NULL THEN coalesce(activated_at, $4)
                                    ELSE activated_at END,
                paused_at = CASE WHEN $3 = 'paused' THEN $4 END,
                -- Who lets one go on that paused itself has decided about the rest.
                pace_first = CASE WHEN paused_because IS NULL THEN pace_first END,
                pace_watch_ms = CASE WHEN paused_because IS NULL THEN pace_watch_ms END,
                watch_until = CASE WHEN paused_because IS NULL THEN watch_until END,
                paused_because = NULL,
                ended_at = CASE WHEN $3 = 'cancelled' THEN $4 END,
                open = true, count_due_at = '-infinity'
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            status.map(CampaignStatus::as_str),
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// A sequence that had ended goes again, and so its campaign. Refused where that was
    /// cancelled. Whoever asks whether all of a campaign has ended holds its lock.
    pub(super) async fn reopen_campaign(
        &self,
        connection: &mut PgConnection,
        campaign: Option<CampaignId>,
    ) -> Result<Result<(), WrongState>, StoreError> {
        let Some(id) = campaign else {
            return Ok(Ok(()));
        };
        let row = self.lock_for_change(connection, id).await?;
        match row.map(|row| row.status) {
            // Or forgotten: nobody knows its messages any more.
            Some(CampaignStatus::Cancelled) | None => return Ok(Err(WrongState::CampaignEnded)),
            Some(CampaignStatus::Completed) => {}
            _ => return Ok(Ok(())),
        }
        sqlx::query!(
            r#"
            -- reopen_campaign
            UPDATE campaigns SET status = 'running', ended_at = NULL, open = true, done = false
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
        )
        .execute(&mut *connection)
        .await?;
        if let Some(campaign) = read_campaign(connection, id).await? {
            open_lanes(connection, &campaign).await?;
        }
        Ok(Ok(()))
    }
}

/// Makes the lanes that a campaign's messages use.
async fn open_lanes(connection: &mut PgConnection, campaign: &Campaign) -> Result<(), StoreError> {
    let id = campaign.id;
    let lanes = campaign.steps.iter();
    let lanes: Vec<_> = lanes
        .map(|step| lane::in_campaign(id.uuid, &step.lane()))
        .collect();
    let (names, languages): (Vec<_>, Vec<_>) = campaign
        .steps
        .iter()
        .map(|step| step.template.clone().unzip())
        .unzip();
    sqlx::query!(
        r#"
        -- open_campaign_lanes
        INSERT INTO lanes (sender, campaign, lane, template_name, template_language)
        SELECT DISTINCT $1::integer, $2::uuid, x.*
        FROM unnest($3::text[], $4::text[], $5::text[]) AS x (lane, name, language)
        ORDER BY 3
        ON CONFLICT DO NOTHING
        "#,
        id.sender.0,
        id.uuid,
        &lanes,
        &names as &[Option<String>],
        &languages as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The campaign that a sequence is of.
pub(super) fn campaign_of(
    sender: crate::model::ids::SenderId,
    uuid: Option<Uuid>,
) -> Option<CampaignId> {
    uuid.map(|uuid| CampaignId { sender, uuid })
}
