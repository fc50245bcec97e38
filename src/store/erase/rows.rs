//! What was sent to a person, or is about to be: sequences with their messages, what is told of
//! these, and recipients of campaigns that are no sequences yet.

use sqlx::PgConnection;
use uuid::Uuid;

use super::super::facts::OwnFact;
use super::super::sequence_changes::lock;
use super::super::{Store, StoreError, again};
use super::facts::{erase_facts, erase_refusals};
use super::{Found, Whom};
use crate::model::erased::ERASED;
use crate::model::event;
use crate::model::ids::{MessageId, SenderId, SequenceId};
use crate::model::sequence::SequenceStatus;

/// Rows of one transaction.
const AT_ONCE: i64 = 500;

/// Campaigns' sequences that are looked at in one statement.
const LOOKED_AT: i64 = 20_000;

impl Store {
    /// The sequences to a person. Those of campaigns that came to no message are in no index; their
    /// ids are as old as the recipients that they were made from, whenever that was.
    pub(super) async fn sequences_of(&self, whom: &Whom) -> Result<Vec<SequenceId>, StoreError> {
        let mut found = again!(self, "erase: sequences", {
            let rows = sqlx::query!(
                r#"
                -- erase: sequences
                SELECT q.sender AS "sender!", q.id AS "id!"
                FROM (
                    SELECT m.sender, m.sequence AS id FROM messages m
                    WHERE m.recipient = ANY($1) AND m.sequence IS NOT NULL
                    UNION
                    SELECT o.sender, o.id
                    FROM unnest($2::integer[]) AS s (id)
                    CROSS JOIN LATERAL (
                        SELECT q.sender, q.id FROM sequences q
                        WHERE q.sender = s.id AND q.recipient = ANY($1)
                            AND (q.work <> 'done') IS TRUE
                    ) o
                ) x JOIN sequences q ON q.sender = x.sender AND q.id = x.id
                WHERE q.id < $3 AND q.recipient = ANY($1)
                ORDER BY q.sender, q.id
                "#,
                &whom.names,
                &whom.senders,
                whom.made,
            );
            let rows = rows.fetch_all(&mut *self.pool.acquire().await?).await?;
            let id = |sender, uuid| SequenceId {
                sender: SenderId(sender),
                uuid,
            };
            Ok(rows
                .into_iter()
                .map(|row| id(row.sender, row.id))
                .collect::<Vec<_>>())
        })?;
        let mut after = (Uuid::nil(), Uuid::nil());
        loop {
            let page = again!(self, "erase: sequences of campaigns", {
                let rows = sqlx::query!(
                    r#"
                    -- erase: sequences of campaigns
                    WITH page AS MATERIALIZED (
                        SELECT campaign, sender, id, recipient FROM sequences
                        WHERE (campaign IS NOT NULL) IS TRUE AND (campaign, id) > ($1, $2)
                        ORDER BY campaign, id
                        LIMIT $3
                    )
                    SELECT campaign AS "campaign!", sender, id,
                           recipient = ANY($4) AND id < $5 AS "theirs!"
                    FROM page
                    WHERE recipient = ANY($4) OR (campaign, id) = (
                        SELECT campaign, id FROM page ORDER BY campaign DESC, id DESC LIMIT 1)
                    ORDER BY campaign, id
                    "#,
                    after.0,
                    after.1,
                    LOOKED_AT,
                    &whom.names,
                    whom.made,
                );
                Ok(rows.fetch_all(&mut *self.pool.acquire().await?).await?)
            })?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = (last.campaign, last.id);
            for row in page.iter().filter(|row| row.theirs) {
                let id = SequenceId {
                    sender: SenderId(row.sender),
                    uuid: row.id,
                };
                if !found.contains(&id) {
                    found.push(id);
                }
            }
        }
    }

    /// Ends a sequence, and takes the person out of it, of its messages and of what is told of them.
    pub(super) async fn erase_sequence(
        &self,
        id: SequenceId,
        whom: &Whom,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        let (ended, messages, events) = again!(self, "erase_sequence", {
            let mut transaction = self.begin().await?;
            // Attempts before their sequence, as whoever records an answer.
            let posted = messages_of(&mut transaction, id).await?;
            erase_refusals(&mut transaction, id.sender.0, &posted, whom).await?;
            let Some(row) = lock(&mut transaction, id).await? else {
                return Ok((0, 0, 0));
            };
            let ended = !row.is_over();
            if ended {
                self.end_erased(&mut transaction, id, row.is_unposted_single())
                    .await?;
            }
            let (messages, events) = erase_rows(&mut transaction, id, whom).await?;
            transaction.commit().await?;
            Ok((u64::from(ended), messages, events))
        })?;
        found.cancelled += ended;
        found.messages += messages;
        found.events += events;
        Ok(())
    }

    async fn end_erased(
        &self,
        connection: &mut PgConnection,
        id: SequenceId,
        unposted_single: bool,
    ) -> Result<(), StoreError> {
        let row = sqlx::query!(
            r#"
            -- erase: head
            SELECT q.head, q.single, m.id AS "message?"
            FROM sequences q
            LEFT JOIN messages m ON m.sender = q.sender AND m.sequence = q.id
                AND m.position = q.head
            WHERE q.sender = $1 AND q.id = $2
            "#,
            id.sender.0,
            id.uuid,
        )
        .fetch_one(&mut *connection)
        .await?;
        self.end(connection, id, SequenceStatus::Cancelled, row.head)
            .await?;
        self.tell_failed_heads(connection, id.sender, &[id.uuid])
            .await?;
        let mut facts = Vec::new();
        if !row.single {
            let data = serde_json::json!({"position": row.head});
            facts.push(OwnFact::of_sequence(id, event::SEQUENCE_CANCELLED, "api").with(data));
        } else if let Some(uuid) = row.message.filter(|_| unposted_single) {
            let message = MessageId {
                sender: id.sender,
                uuid,
            };
            self.mark_cancelled(connection, message).await?;
            facts.push(OwnFact::of_message(
                message,
                event::MESSAGE_CANCELLED,
                "api",
            ));
        }
        self.write_facts(connection, &facts).await
    }

    /// Messages that others sent to them.
    pub(super) async fn erase_external_messages(
        &self,
        whom: &Whom,
        found: &mut Found,
    ) -> Result<(), StoreError> {
        loop {
            let (messages, events) = again!(self, "erase_external_messages", {
                let mut transaction = self.begin().await?;
                let rows = sqlx::query!(
                    r#"
                    -- erase_external_messages
                    UPDATE messages SET recipient = $4, content = NULL
                    WHERE (sender, id) IN (
                        SELECT sender, id FROM messages
                        WHERE recipient = ANY($1) AND sequence IS NULL AND created_at < $2
                        LIMIT $3
                    )
                    RETURNING sender, id
                    "#,
                    &whom.names,
                    whom.until,
                    AT_ONCE,
                    ERASED,
                )
                .fetch_all(&mut *transaction)
                .await?;
                let mut events = 0;
                for sender in &whom.senders {
                    let theirs = rows.iter().filter(|row| row.sender == *sender);
                    let subjects: Vec<_> = theirs.map(|row| row.id).collect();
                    if !subjects.is_empty() {
                        events += erase_facts(&mut transaction, *sender, &subjects, whom).await?;
                    }
                }
                transaction.commit().await?;
                Ok((rows.len() as u64, events))
            })?;
            found.messages += messages;
            found.events += events;
            if messages == 0 {
                return Ok(());
            }
        }
    }

    /// Recipients that are no sequences yet are removed: nothing goes to them.
    pub(super) async fn erase_campaign_recipients(&self, whom: &Whom) -> Result<u64, StoreError> {
        let campaigns = again!(self, "erase: campaigns", {
            let rows = sqlx::query!(
                r#"
                -- erase: campaigns
                SELECT sender, id FROM campaigns WHERE NOT filled AND created_at < $1
                ORDER BY sender, id
                "#,
                whom.at,
            );
            Ok(rows.fetch_all(&mut *self.pool.acquire().await?).await?)
        })?;
        let mut removed = 0;
        for campaign in campaigns {
            removed += again!(self, "erase_campaign_recipients", {
                let removed = sqlx::query_scalar!(
                    r#"
                    -- erase_campaign_recipients
                    WITH campaign AS MATERIALIZED (
                        SELECT sender, id, uploads, upload_until FROM campaigns
                        WHERE sender = $1 AND id = $2
                        FOR UPDATE
                    ),
                    removed AS (
                        DELETE FROM campaign_recipients r USING campaign c
                        WHERE r.campaign = c.id AND r.recipient = ANY($3) AND r.id < $4
                        RETURNING r.upload
                    ),
                    -- Those of an upload that is under way do not count yet.
                    counted AS (
                        UPDATE campaigns c SET recipients = c.recipients - x.n
                        FROM (
                            SELECT count(*) AS n FROM removed r, campaign l
                            WHERE r.upload < l.uploads
                                OR (r.upload = l.uploads AND l.upload_until IS NULL)
                        ) x
                        WHERE c.sender = $1 AND c.id = $2 AND x.n > 0
                    )
                    SELECT count(*) AS "removed!" FROM removed
                    "#,
                    campaign.sender,
                    campaign.id,
                    &whom.names,
                    whom.made,
                );
                let mut connection = self.pool.acquire().await?;
                Ok(removed.fetch_one(&mut *connection).await?)
            })?
            .unsigned_abs();
        }
        Ok(removed)
    }
}

async fn erase_rows(
    connection: &mut PgConnection,
    id: SequenceId,
    whom: &Whom,
) -> Result<(u64, u64), StoreError> {
    sqlx::query!(
        r#"
        -- erase_sequence
        UPDATE sequences
        SET recipient = $3, variables = CASE WHEN variables IS NOT NULL THEN '{}'::jsonb END
        WHERE sender = $1 AND id = $2
        "#,
        id.sender.0,
        id.uuid,
        ERASED,
    )
    .execute(&mut *connection)
    .await?;
    let messages = sqlx::query_scalar!(
        r#"
        -- erase_messages
        UPDATE messages SET recipient = $3, content = '{}', marketing = NULL
        WHERE sender = $1 AND sequence = $2
        RETURNING id
        "#,
        id.sender.0,
        id.uuid,
        ERASED,
    )
    .fetch_all(&mut *connection)
    .await?;
    tell_late(connection, &messages, whom).await?;
    let events = erase_facts(connection, id.sender.0, &messages, whom).await?;
    Ok((messages.len() as u64, events))
}

/// Messages that a campaign made since: what is said of them later is of before, too.
async fn tell_late(
    connection: &mut PgConnection,
    messages: &[Uuid],
    whom: &Whom,
) -> Result<(), StoreError> {
    let late = messages.iter().copied().filter(|id| *id >= whom.made);
    let late: Vec<_> = late.collect();
    if !late.is_empty() {
        sqlx::query!(
            r#"
            -- erase: late messages
            UPDATE erasures SET messages = messages || $2::uuid[] WHERE id = $1
            "#,
            whom.erasure,
            &late,
        )
        .execute(connection)
        .await?;
    }
    Ok(())
}

async fn messages_of(
    connection: &mut PgConnection,
    id: SequenceId,
) -> Result<Vec<Uuid>, StoreError> {
    let messages = sqlx::query_scalar!(
        r#"
        -- erase: messages
        SELECT id FROM messages WHERE sender = $1 AND sequence = $2
        "#,
        id.sender.0,
        id.uuid,
    );
    Ok(messages.fetch_all(connection).await?)
}
