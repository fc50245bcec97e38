//! How far a campaign is: every sequence of it is looked at, and so big ones now and then.

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::StoreError;
use crate::model::Timestamp;
use crate::model::ids::CampaignId;

/// How many sequences of a campaign stand how. Recipients that are no sequences are in none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the words are the model's")]
pub struct Counts {
    pub queued: i64,
    pub in_progress: i64,
    pub completed: i64,
    pub stopped: i64,
    /// Stopped because a message failed.
    pub failed: i64,
    pub cancelled: i64,
    /// Messages that have not been taken up, of sequences that have not ended.
    pub messages_left: i64,
    /// What all wait for that could be posted, where they all do.
    #[serde(default)]
    pub waiting: Option<PutOff>,
}

/// Why nothing of a campaign is posted now, though it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutOff {
    /// What most of them wait for.
    pub reason: Because,
    /// Since when the first of them does.
    pub since: Timestamp,
    /// When the first of them is tried, where that is a matter of time.
    pub until: Option<Timestamp>,
}

/// Why the head of a sequence is put off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the API's own words")]
pub enum Because {
    Schedule,
    Retry,
    QuietHours,
    RateLimit,
    MessagingLimit,
    OptedOut,
    WindowClosed,
}

impl Because {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Retry => "retry",
            Self::QuietHours => "quiet_hours",
            Self::RateLimit => "rate_limit",
            Self::MessagingLimit => "messaging_limit",
            Self::OptedOut => "opted_out",
            Self::WindowClosed => "window_closed",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [
            Self::Schedule,
            Self::Retry,
            Self::QuietHours,
            Self::RateLimit,
            Self::MessagingLimit,
            Self::OptedOut,
            Self::WindowClosed,
        ]
        .into_iter()
        .find(|because| because.as_str() == word)
    }
}

impl Counts {
    /// All sequences.
    pub fn sequences(&self) -> i64 {
        self.queued
            + self.in_progress
            + self.completed
            + self.stopped
            + self.failed
            + self.cancelled
    }
}

/// Looks at every sequence of a campaign.
pub(super) async fn count(
    connection: &mut PgConnection,
    id: CampaignId,
    now: Timestamp,
) -> Result<Counts, StoreError> {
    let row = sqlx::query!(
        r#"
        -- count_campaign
        SELECT count(*) FILTER (WHERE state = 'queued') AS "queued!",
               count(*) FILTER (WHERE state = 'in_progress') AS "in_progress!",
               count(*) FILTER (WHERE state = 'completed') AS "completed!",
               count(*) FILTER (WHERE state = 'stopped') AS "stopped!",
               count(*) FILTER (WHERE state = 'failed') AS "failed!",
               count(*) FILTER (WHERE state = 'cancelled') AS "cancelled!",
               coalesce(sum(messages_left), 0)::bigint AS "messages_left!",
               count(*) FILTER (WHERE is_ready AND NOT is_put_off) AS "going!",
               mode() WITHIN GROUP (ORDER BY because) FILTER (WHERE is_put_off) AS because,
               min(coalesce(put_off_at, created_at)) FILTER (WHERE is_put_off) AS since,
               min(ready_at) FILTER (WHERE is_put_off AND ready_at > $2) AS until
        FROM (
            SELECT CASE
                       WHEN work = 'done' AND status = 'stopped' AND reason = 'failure' THEN 'failed'
                       WHEN work = 'done' THEN status
                       WHEN head = 1 AND attempt = 0 THEN 'queued'
                       ELSE 'in_progress'
                   END AS state,
                   CASE WHEN work = 'done' THEN 0
                        WHEN attempt > 0 THEN length - head
                        ELSE length - head + 1 END AS messages_left,
                   work = 'ready' AND status = 'running' AS is_ready,
                   work = 'ready' AND status = 'running' AND (ready_at > $2
                       OR coalesce(ready_because, '') IN ('opted_out', 'window_closed')) AS is_put_off,
                   CASE WHEN ready_because IS NOT NULL THEN ready_because
                        WHEN attempt > 0 THEN 'retry'
                        ELSE 'schedule' END AS because,
                   ready_at, put_off_at, created_at
            FROM sequences WHERE campaign = $1 AND (campaign IS NOT NULL) IS TRUE
        ) q
        "#,
        id.uuid,
        now,
    )
    .fetch_one(connection)
    .await?;
    let because = row.because.as_deref().and_then(Because::parse);
    let waiting = because.zip(row.since).filter(|_| row.going == 0);
    Ok(Counts {
        waiting: waiting.map(|(reason, since)| PutOff {
            reason,
            since,
            until: row.until,
        }),
        queued: row.queued,
        in_progress: row.in_progress,
        completed: row.completed,
        stopped: row.stopped,
        failed: row.failed,
        cancelled: row.cancelled,
        messages_left: row.messages_left,
    })
}
