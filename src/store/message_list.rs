//! Lists of messages by what is asked for.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::messages::{Message, read_messages};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{CampaignId, MessageId, SenderId, SequenceId, first_at};
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

/// How many messages one request looks at, where no index has what is asked for. A page can so have
/// fewer rows than were asked for, and a successor all the same.
const LOOKED_AT: i64 = 20_000;

impl MessageFilter {
    /// No message that it leaves has a smaller id: ids tell when they were made, as `created_at` does.
    fn oldest(&self) -> Uuid {
        /// Between the two, at most.
        const APART: time::Duration = time::Duration::seconds(60);
        self.since
            .map_or(Uuid::nil(), |since| first_at(since - APART))
    }

    /// The messages that are looked at, one by one. Most filters have an index; that of a template is
    /// none, and may leave nothing of millions.
    fn looked_through(&self) -> Self {
        let has_index = self.recipient.is_some()
            || self.reference.is_some()
            || self.provider_message_id.is_some()
            || self.sequence.is_some()
            || self.campaign.is_some();
        match self.template.is_some() && !has_index {
            true => Self {
                sender: self.sender,
                since: self.since,
                ..Self::default()
            },
            false => self.clone(),
        }
    }
}

/// Messages at once whose status is left to `model`: those whose failure nobody has looked at yet.
const UNDECIDED: i64 = 2_000;

/// How many messages show each status.
pub type StatusCounts = BTreeMap<MessageStatus, i64>;

/// A query of the messages that a filter leaves, older than a place and no older than another: what
/// stands before the filter and behind it, and what `$13` and later are.
macro_rules! narrowed {
    ($filter:expr, $before:expr, $from:expr, $begin:tt, $end:tt $(, $more:expr)*) => {
        sqlx::query!(
            $begin
                + r#"
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
            AND ($11::uuid IS NULL OR m.campaign = $11)
            AND m.id >= $12
        "# + $end,
            $before,
            $filter.sender.map(|sender| sender.0),
            $filter.recipient,
            $filter.reference,
            $filter.template,
            $filter.sequence.map(|sequence| sequence.uuid),
            $filter.sequence.map(|sequence| sequence.sender.0),
            $filter.since,
            $filter.until,
            $filter.provider_message_id,
            $filter.campaign.map(|campaign| campaign.uuid),
            $from
            $(, $more)*
        )
    };
}

impl Store {
    /// A page, newest first, and where the next one begins, if there may be one.
    ///
    /// A status is a function in `model`, which the view `message_statuses` repeats. Where that
    /// leaves it open, and once more where it does not, the function decides.
    pub async fn list_messages(
        &self,
        filter: &MessageFilter,
        before: Option<Uuid>,
        limit: i64,
        limits: &RetryLimits,
    ) -> Result<(Vec<Message>, Option<Uuid>), StoreError> {
        again!(self, "list_messages", {
            let mut list = self.begin_list().await?;
            let looked = match filter.status.is_some() || filter.template.is_some() {
                true => looked_until(&mut list, &filter.looked_through(), before).await?,
                false => None,
            };
            let from = looked.unwrap_or_default().max(filter.oldest());
            let ids = match filter.status {
                Some(status) => {
                    list_of_status(&mut list, filter, status, before, from, limit).await?
                }
                None => list_ids(&mut list, filter, before, from, limit).await?,
            };
            let last = ids.last().map(|id| id.uuid);
            let next = match usize::try_from(limit).is_ok_and(|limit| ids.len() >= limit) {
                true => last,
                false => looked,
            };
            let found = read_messages(&mut list, &ids).await?;
            let found = found.into_iter().map(|(_, message)| message);
            let of_status = |message: &Message| {
                let status = filter.status;
                status.is_none_or(|status| message.status(limits) == status)
            };
            Ok((found.filter(of_status).collect(), next))
        })
    }

    /// How many messages show each status.
    pub async fn count_messages(
        &self,
        filter: &MessageFilter,
        limits: &RetryLimits,
    ) -> Result<StatusCounts, StoreError> {
        again!(self, "count_messages", {
            let mut list = self.begin_list().await?;
            let mut counts = StatusCounts::from(MessageStatus::ALL.map(|status| (status, 0)));
            for (word, n) in count_by_status(&mut list, filter).await? {
                match word.as_deref().and_then(MessageStatus::parse) {
                    Some(status) => *counts.entry(status).or_default() += n,
                    None => {
                        let mut ids = undecided(&mut list, filter, None).await?;
                        while let Some(last) = ids.last().map(|id| id.uuid) {
                            for (_, message) in read_messages(&mut list, &ids).await? {
                                *counts.entry(message.status(limits)).or_default() += 1;
                            }
                            ids = undecided(&mut list, filter, Some(last)).await?;
                        }
                    }
                }
            }
            if let Some(wanted) = filter.status {
                counts.retain(|status, _| *status == wanted);
            }
            Ok(counts)
        })
    }

    /// The newest message that bears each of these references, of each sender.
    pub async fn messages_of_references(
        &self,
        references: &[String],
    ) -> Result<Vec<(String, MessageId)>, StoreError> {
        let rows = again!(self, "messages_of_references", {
            let rows = sqlx::query!(
                r#"
                -- messages_of_references
                SELECT x.reference AS "reference!", m.sender, m.id
                FROM unnest($1::text[]) AS x (reference)
                CROSS JOIN LATERAL (
                    SELECT DISTINCT ON (m.sender) m.sender, m.id FROM messages m
                    WHERE m.reference = x.reference AND m.adopted_by IS NULL
                    ORDER BY m.sender, m.id DESC
                ) m
                ORDER BY m.id
                "#,
                references,
            );
            Ok(rows.fetch_all(&mut *self.pool.acquire().await?).await?)
        })?;
        Ok(rows
            .into_iter()
            .map(|row| (row.reference, id(row.sender, row.id)))
            .collect())
    }
}

async fn list_ids(
    connection: &mut PgConnection,
    filter: &MessageFilter,
    before: Option<Uuid>,
    from: Uuid,
    limit: i64,
) -> Result<Vec<MessageId>, StoreError> {
    let rows = narrowed!(
        filter,
        before,
        from,
        r#"
        -- list_messages
        SELECT m.sender, m.id FROM messages m"#,
        "ORDER BY m.id DESC LIMIT $13",
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| id(row.sender, row.id)).collect())
}

fn id(sender: i32, uuid: Uuid) -> MessageId {
    MessageId {
        sender: SenderId(sender),
        uuid,
    }
}

/// Those down to a place that show a status, or may.
async fn list_of_status(
    connection: &mut PgConnection,
    filter: &MessageFilter,
    status: MessageStatus,
    before: Option<Uuid>,
    from: Uuid,
    limit: i64,
) -> Result<Vec<MessageId>, StoreError> {
    let rows = narrowed!(
        filter,
        before,
        from,
        r#"
        -- list_messages of a status
        SELECT m.sender AS "sender!", m.id AS "id!" FROM message_statuses m"#,
        "AND (m.status = $13 OR (m.status IS NULL AND $13 IN ('queued', 'failed')))
        ORDER BY m.id DESC LIMIT $14",
        status.as_str(),
        limit
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| id(row.sender, row.id)).collect())
}

/// The last of those that one request looks at; `None`: there are no more.
async fn looked_until(
    connection: &mut PgConnection,
    filter: &MessageFilter,
    before: Option<Uuid>,
) -> Result<Option<Uuid>, StoreError> {
    let last = narrowed!(
        filter,
        before,
        filter.oldest(),
        r#"
        -- list_messages: until
        SELECT m.id FROM messages m"#,
        "ORDER BY m.id DESC OFFSET $13 LIMIT 1",
        LOOKED_AT - 1
    );
    let last = last.fetch_optional(connection).await?;
    Ok(last.map(|last| last.id))
}

async fn count_by_status(
    connection: &mut PgConnection,
    filter: &MessageFilter,
) -> Result<Vec<(Option<String>, i64)>, StoreError> {
    let rows = narrowed!(
        filter,
        None::<Uuid>,
        filter.oldest(),
        r#"
        -- count_messages
        SELECT m.status, count(*) AS "n!" FROM message_statuses m"#,
        "GROUP BY m.status"
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.status, row.n)).collect())
}

/// The next of those of which the view does not say.
async fn undecided(
    connection: &mut PgConnection,
    filter: &MessageFilter,
    before: Option<Uuid>,
) -> Result<Vec<MessageId>, StoreError> {
    let rows = narrowed!(
        filter,
        before,
        filter.oldest(),
        r#"
        -- count_messages: undecided
        SELECT m.sender AS "sender!", m.id AS "id!" FROM message_statuses m"#,
        "AND m.status IS NULL ORDER BY m.id DESC LIMIT $13",
        UNDECIDED
    );
    let rows = rows.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| id(row.sender, row.id)).collect())
}
