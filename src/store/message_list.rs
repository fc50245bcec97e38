//! Lists of messages by what is asked for.

use sqlx::PgConnection;
use uuid::Uuid;

use super::messages::{Message, read_messages};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{CampaignId, MessageId, SenderId, SequenceId};
use crate::model::message::MessageStatus;
use crate::model::sequence::RetryLimits;

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct MessageFilter {
    pub sender: Option<SenderId>,
    pub recipient: Option<String>,
    pub status: Option<MessageStatus>,
    pub reference: Option<String>,
    pub provider_message_id: Option<String>,
    pub sequence: Option<SequenceId>,
    pub campaign: Option<CampaignId>,
    pub template: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// How many messages one request for a status may look at. A page can so have fewer rows than
/// were asked for, and a successor all the same.
const LOOKED_AT: usize = 5_000;

/// How many are read at once while looking for a status.
const STRIDE: i64 = 500;

impl Store {
    /// A page, newest first, and where the next one begins, if there may be one.
    ///
    /// A status is a function in `model`, too rich for SQL. So SQL leaves out what certainly has
    /// another (`may_show`), and the function decides on the rest.
    pub async fn list_messages(
        &self,
        filter: &MessageFilter,
        before: Option<Uuid>,
        limit: i64,
        limits: &RetryLimits,
    ) -> Result<(Vec<Message>, Option<Uuid>), StoreError> {
        let wanted = usize::try_from(limit).unwrap_or(0);
        let stride = if filter.status.is_some() {
            STRIDE
        } else {
            limit
        };
        again!(self, "list_messages", {
            let (mut found, mut looked_at) = (Vec::new(), 0);
            let mut before = before;
            let mut list = self.begin_list().await?;
            loop {
                let ids = list_ids(&mut list, filter, before, stride).await?;
                let candidates = read_messages(&mut list, &ids).await?;
                looked_at += ids.len();
                for (id, message) in candidates {
                    let status = filter.status;
                    if status.is_none_or(|status| message.status(limits) == status) {
                        found.push(message);
                    }
                    before = Some(id.uuid);
                    if found.len() == wanted {
                        return Ok((found, before));
                    }
                }
                if ids.len() < usize::try_from(stride).unwrap_or(0) {
                    return Ok((found, None));
                }
                if looked_at >= LOOKED_AT {
                    return Ok((found, before));
                }
            }
        })
    }
}

async fn list_ids(
    connection: &mut PgConnection,
    filter: &MessageFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<MessageId>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- list_messages
        SELECT m.sender, m.id
        FROM messages m
        WHERE m.adopted_by IS NULL
            AND ($1::uuid IS NULL OR m.id < $1)
            AND ($2::integer IS NULL OR m.sender = $2)
            AND ($3::text IS NULL OR m.recipient = $3)
            AND ($4::text IS NULL OR m.reference = $4)
            AND ($5::text IS NULL OR m.template_name = $5)
            AND ($6::uuid IS NULL OR (m.sender = $7 AND m.sequence = $6))
            AND ($8::timestamptz IS NULL OR m.created_at >= $8)
            AND ($9::timestamptz IS NULL OR m.created_at < $9)
            AND ($10::text IS NULL OR (m.sender, m.id) IN (
                SELECT a.sender, a.message FROM attempts a WHERE a.provider_message_id = $10
            ))
            AND ($11::text IS NULL OR may_show(m, $11))
            AND ($12::uuid IS NULL OR m.campaign = $12)
        ORDER BY m.id DESC
        LIMIT $13
        "#,
        before,
        filter.sender.map(|sender| sender.0),
        filter.recipient,
        filter.reference,
        filter.template,
        filter.sequence.map(|sequence| sequence.uuid),
        filter.sequence.map(|sequence| sequence.sender.0),
        filter.since,
        filter.until,
        filter.provider_message_id,
        filter.status.map(MessageStatus::as_str),
        filter.campaign.map(|campaign| campaign.uuid),
        limit,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| MessageId {
            sender: SenderId(row.sender),
            uuid: row.id,
        })
        .collect())
}
