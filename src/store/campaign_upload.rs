//! Recipients of campaigns, as they come: an upload is written in parts, a transaction each, so
//! that none of them is long, and counts as a whole when it has come to its end. One is under way
//! at a time; one that says nothing for a while has been given up, and whoever comes next removes
//! what it left.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::wrong_state::WrongState;
use super::{Store, StoreError, again};
use crate::model::campaign::{CampaignStatus, Variables};
use crate::model::ids::CampaignId;

/// How long an upload may write nothing.
pub const GIVEN_UP: Duration = Duration::from_secs(120);

/// Rows that one transaction deletes.
const REMOVED_AT_ONCE: i64 = 10_000;

/// An upload that is under way.
#[derive(Debug, Clone)]
pub struct Upload {
    /// Of which campaign.
    pub campaign: CampaignId,
    n: i32,
    allow_repeats: bool,
    /// What every recipient has to bring.
    pub variables: Vec<String>,
    /// How many recipients the campaign had before.
    pub recipients: i64,
}

/// One recipient of an upload.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of campaign_recipients")]
pub struct NewRecipient {
    pub recipient: String,
    pub reference: Option<String>,
    pub variables: Variables,
}

/// In which upload a recipient came, and their row's id.
pub type RecipientPlace = (i32, Uuid);

/// The upload was given up: it wrote nothing for too long.
#[derive(Debug)]
pub struct GivenUp;

impl Store {
    /// Begins an upload. `None`: there is no such campaign.
    pub async fn begin_upload(
        &self,
        id: CampaignId,
    ) -> Result<Option<Result<Upload, WrongState>>, StoreError> {
        loop {
            let begun = again!(self, "begin_upload", {
                let mut transaction = self.begin().await?;
                let begun = self.try_begin(&mut transaction, id).await?;
                transaction.commit().await?;
                Ok::<_, StoreError>(begun)
            })?;
            match begun {
                Some(Ok(Begin::Begun(upload))) => return Ok(Some(Ok(upload))),
                Some(Ok(Begin::After(given_up))) => self.remove_upload(id, given_up).await?,
                Some(Err(refused)) => return Ok(Some(Err(refused))),
                None => return Ok(None),
            }
        }
    }

    /// A page of the recipients of whole uploads that are no sequences yet, the newest first, behind
    /// a place. `None`: there is no such campaign.
    pub async fn list_recipients(
        &self,
        id: CampaignId,
        before: Option<RecipientPlace>,
        limit: i64,
    ) -> Result<Option<Vec<(RecipientPlace, NewRecipient)>>, StoreError> {
        let (upload, row) = before.unwrap_or((i32::MAX, Uuid::max()));
        again!(self, "list_recipients", {
            let rows = sqlx::query!(
                r#"
                -- list_recipients
                SELECT r.upload AS "upload?", r.id AS "id?", r.recipient AS "recipient?",
                       r.reference, r.variables AS "variables?: Json<Variables>"
                FROM campaigns c
                LEFT JOIN LATERAL (
                    SELECT * FROM campaign_recipients r
                    WHERE r.campaign = c.id AND (r.upload, r.id) < ($3, $4)
                        -- Not of one that is under way.
                        AND (c.upload_until IS NULL OR r.upload <> c.uploads)
                    ORDER BY r.upload DESC, r.id DESC
                    LIMIT $5
                ) r ON true
                WHERE c.sender = $1 AND c.id = $2
                ORDER BY r.upload DESC, r.id DESC
                "#,
                id.sender.0,
                id.uuid,
                upload,
                row,
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?;
            let is_there = !rows.is_empty();
            let recipients = rows.into_iter().filter_map(|row| {
                let recipient = NewRecipient {
                    recipient: row.recipient?,
                    reference: row.reference,
                    variables: row.variables?.0,
                };
                Some(((row.upload?, row.id?), recipient))
            });
            Ok(is_there.then(|| recipients.collect()))
        })
    }

    async fn try_begin(
        &self,
        connection: &mut PgConnection,
        id: CampaignId,
    ) -> Result<Option<Result<Begin, WrongState>>, StoreError> {
        let now = self.clock.now();
        let row = sqlx::query!(
            r#"
            -- begin_upload: lock
            SELECT status, uploads, upload_until, allow_repeats, variables, recipients
            FROM campaigns WHERE sender = $1 AND id = $2
            FOR UPDATE
            "#,
            id.sender.0,
            id.uuid,
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { return Ok(None) };
        if row.status != CampaignStatus::Draft.as_str() {
            return Ok(Some(Err(WrongState::NotDraft)));
        }
        match row.upload_until {
            Some(until) if until > now => return Ok(Some(Err(WrongState::Uploading))),
            Some(_) => return Ok(Some(Ok(Begin::After(row.uploads)))),
            None => {}
        }
        sqlx::query!(
            r#"
            -- begin_upload
            UPDATE campaigns SET uploads = uploads + 1, upload_until = $3
            WHERE sender = $1 AND id = $2
            "#,
            id.sender.0,
            id.uuid,
            now + GIVEN_UP,
        )
        .execute(connection)
        .await?;
        Ok(Some(Ok(Begin::Begun(Upload {
            campaign: id,
            n: row.uploads + 1,
            allow_repeats: row.allow_repeats,
            variables: row.variables,
            recipients: row.recipients,
        }))))
    }

    /// Writes some of its recipients, or says that it goes on. Returns how many of them were not there yet.
    pub async fn upload_part(
        &self,
        upload: &Upload,
        recipients: &[NewRecipient],
    ) -> Result<Result<u64, GivenUp>, StoreError> {
        let ids: Vec<_> = recipients.iter().map(|_| self.clock.new_id()).collect();
        let variables: Vec<_> = recipients
            .iter()
            .map(|recipient| Json(&recipient.variables))
            .collect();
        again!(self, "upload_part", {
            let mut transaction = self.begin().await?;
            if !self.keep_upload(&mut transaction, upload).await? {
                return Ok(Err(GivenUp));
            }
            let written = sqlx::query!(
                r#"
                -- upload_part
                INSERT INTO campaign_recipients
                    (campaign, upload, may_repeat, id, recipient, reference, variables)
                SELECT $1, $2, $3, x.*
                FROM unnest($4::uuid[], $5::text[], $6::text[], $7::jsonb[])
                    AS x (id, recipient, reference, variables)
                ON CONFLICT (campaign, recipient) WHERE NOT may_repeat DO NOTHING
                "#,
                upload.campaign.uuid,
                upload.n,
                upload.allow_repeats,
                &ids,
                &recipients
                    .iter()
                    .map(|recipient| recipient.recipient.as_str())
                    .collect::<Vec<_>>() as &[&str],
                &recipients
                    .iter()
                    .map(|recipient| recipient.reference.as_deref())
                    .collect::<Vec<_>>() as &[Option<&str>],
                &variables as &[Json<&Variables>],
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(Ok(written.rows_affected()))
        })
    }

    /// It is still under way, and has its row locked.
    async fn keep_upload(
        &self,
        connection: &mut PgConnection,
        upload: &Upload,
    ) -> Result<bool, StoreError> {
        let kept = sqlx::query!(
            r#"
            -- keep_upload
            UPDATE campaigns SET upload_until = $4
            -- One that was given up may be half removed.
            WHERE sender = $1 AND id = $2 AND uploads = $3 AND upload_until > $5
                AND status = 'draft'
            "#,
            upload.campaign.sender.0,
            upload.campaign.uuid,
            upload.n,
            self.clock.now() + GIVEN_UP,
            self.clock.now(),
        )
        .execute(connection)
        .await?;
        Ok(kept.rows_affected() > 0)
    }

    /// All of it has come: from now on its recipients count.
    pub async fn finish_upload(
        &self,
        upload: &Upload,
        added: u64,
    ) -> Result<Result<(), GivenUp>, StoreError> {
        again!(self, "finish_upload", {
            let finished = sqlx::query!(
                r#"
                -- finish_upload
                UPDATE campaigns SET recipients = recipients + $4, upload_until = NULL
                WHERE sender = $1 AND id = $2 AND uploads = $3 AND upload_until > $5
                    AND status = 'draft'
                "#,
                upload.campaign.sender.0,
                upload.campaign.uuid,
                upload.n,
                i64::try_from(added).unwrap_or(i64::MAX),
                self.clock.now(),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(match finished.rows_affected() {
                0 => Err(GivenUp),
                _ => Ok(()),
            })
        })
    }

    /// Leaves nothing of it. Who dies here has given it up.
    pub async fn drop_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.remove_upload(upload.campaign, upload.n).await
    }

    pub(super) async fn remove_upload(&self, id: CampaignId, n: i32) -> Result<(), StoreError> {
        while self.remove_some(id, n).await? {}
        again!(self, "remove_upload", {
            sqlx::query!(
                r#"
                -- remove_upload
                UPDATE campaigns SET upload_until = NULL
                WHERE sender = $1 AND id = $2 AND uploads = $3
                "#,
                id.sender.0,
                id.uuid,
                n,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Whether there may be more.
    async fn remove_some(&self, id: CampaignId, n: i32) -> Result<bool, StoreError> {
        again!(self, "remove_upload_rows", {
            let removed = sqlx::query!(
                r#"
                -- remove_upload_rows
                DELETE FROM campaign_recipients
                WHERE ctid = ANY (ARRAY(
                    SELECT r.ctid FROM campaign_recipients r
                    JOIN campaigns c ON c.sender = $1 AND c.id = r.campaign
                        -- It never came to its end.
                        AND c.uploads = $3 AND c.upload_until IS NOT NULL
                    WHERE r.campaign = $2 AND r.upload = $3
                    LIMIT $4
                ))
                "#,
                id.sender.0,
                id.uuid,
                n,
                REMOVED_AT_ONCE,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(removed.rows_affected() > 0)
        })
    }
}

/// What beginning an upload leads to.
enum Begin {
    Begun(Upload),
    /// What one that was given up has left is in the way.
    After(i32),
}
