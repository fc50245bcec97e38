//! What is told beside a message's status, and read only where it is told: what keeps the sender of
//! one that is due from posting, and the texts of failures. Most messages that are read have long
//! been posted and have neither.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::StoreError;
use super::messages::{Closed, Message};
use crate::model::Timestamp;
use crate::model::ids::MessageId;
use crate::model::sequence::{SequenceStatus, SequenceWork};

/// Adds to messages what they are told with.
pub(super) async fn add_reasons<'a>(
    connection: &mut PgConnection,
    messages: impl Iterator<Item = &'a mut Message>,
) -> Result<(), StoreError> {
    let mut waiting: HashMap<Uuid, &mut Message> = messages
        .filter(|message| is_due(message))
        .map(|message| (message.id.uuid, message))
        .collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = waiting.values().map(|message| message.id).collect();
    for (message, reasons) in read_reasons(connection, &ids).await? {
        let Some(message) = waiting.remove(&message) else {
            continue;
        };
        message.closed = reasons.closed(message.created_at);
        if let Some(step) = &mut message.step {
            step.ready_because_since = reasons.user_since.or(step.ready_because_since);
            step.messaging_limit = reasons.messaging_limit;
        }
    }
    Ok(())
}

/// Whether it would be posted now if nothing kept its sender from it.
fn is_due(message: &Message) -> bool {
    let state = message.step.as_ref().map(|step| &step.state);
    message.is_head()
        && state.is_some_and(|state| {
            state.status == SequenceStatus::Running && state.work == SequenceWork::Ready
        })
}

/// Why a message waits.
struct Reasons {
    /// Since when, where it is the recipient's doing.
    user_since: Option<Timestamp>,
    messaging_limit: Option<(i32, Timestamp)>,
    connection: (Option<Timestamp>, Option<String>),
    sender: (String, Option<Timestamp>, Option<String>),
    template: (Option<Timestamp>, Option<String>),
}

impl Reasons {
    /// The worst first.
    fn closed(&self, created_at: Timestamp) -> Vec<Closed> {
        let mut closed = Vec::new();
        let mut add = |reason, since: Option<Timestamp>, detail: Option<&String>| {
            closed.push(Closed {
                reason,
                since: since.unwrap_or(created_at),
                detail: detail.cloned(),
            });
        };
        let (stopped_at, reason) = &self.connection;
        if stopped_at.is_some() {
            add("connection_stopped", *stopped_at, reason.as_ref());
        }
        let (status, since, reason) = &self.sender;
        if status != "active" {
            add("sender_blocked", *since, reason.as_ref().or(Some(status)));
        }
        let (since, status) = &self.template;
        if status.is_some() {
            add("template_paused", *since, status.as_ref());
        }
        closed
    }
}

async fn read_reasons(
    connection: &mut PgConnection,
    ids: &[MessageId],
) -> Result<Vec<(Uuid, Reasons)>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- message_reasons
        SELECT m.id,
               CASE q.ready_because
                   WHEN 'opted_out' THEN (
                       SELECT marketing_at FROM user_known(m.sender, q.recipient)
                   )
                   WHEN 'window_closed' THEN (
                       SELECT wrote_at FROM user_known(m.sender, q.recipient)
                   ) + interval '24 hours'
               END AS user_since,
               ml.users AS "limit_users?", ml.frees_at AS "limit_frees_at?",
               d.status AS "sender_status!", d.reason AS sender_reason, d.since AS sender_since,
               c.stopped_at, c.stopped_reason,
               t.status AS "template_status?", t.status_at AS "template_since?"
        FROM unnest($1::integer[], $2::uuid[]) AS x (sender, id)
        JOIN messages m ON m.sender = x.sender AND m.id = x.id
        JOIN sequences q ON q.sender = m.sender AND q.id = m.sequence
        JOIN senders s ON s.id = m.sender
        JOIN connections c ON c.id = s.connection
        CROSS JOIN LATERAL standing(s, now()) d
        LEFT JOIN messaging_limits ml
            ON q.ready_because = 'messaging_limit'
            AND ml.stream = c.stream AND ml.account = coalesce(s.waba_id, 'sender ' || s.id)
        LEFT JOIN LATERAL (
            SELECT t.status, t.status_at
            FROM templates t
            WHERE NOT t.sendable AND t.connection = c.id AND t.name = m.template_name
                AND t.language = m.template_language
                AND (s.waba_id IS NULL OR t.waba_id IN (s.waba_id, ''))
            LIMIT 1
        ) t ON true
        "#,
        &ids.iter().map(|id| id.sender.0).collect::<Vec<_>>(),
        &ids.iter().map(|id| id.uuid).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let reasons = Reasons {
                user_since: row.user_since,
                messaging_limit: row.limit_users.zip(row.limit_frees_at),
                connection: (row.stopped_at, row.stopped_reason),
                sender: (row.sender_status, row.sender_since, row.sender_reason),
                template: (row.template_since, row.template_status),
            };
            (row.id, reasons)
        })
        .collect())
}

/// What providers said with failures, by message and attempt. Of a failure the attempt keeps the
/// code alone; its texts are in the fact.
pub(super) async fn failure_texts(
    connection: &mut PgConnection,
    failed: &[(MessageId, i16)],
) -> Result<HashMap<(Uuid, i16), Value>, StoreError> {
    if failed.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        r#"
        -- failure_texts
        SELECT f.subject, f.n, f.data -> 'errors' AS errors
        FROM unnest($1::integer[], $2::uuid[], $3::smallint[]) AS x (stream, subject, n)
        -- What has a key was said of a member of a group.
        JOIN facts f ON f.stream = x.stream AND f.subject = x.subject AND f.n = x.n
            AND f.type = 'message.failed' AND f.key = ''
        "#,
        &failed.iter().map(|(id, _)| id.sender.0).collect::<Vec<_>>(),
        &failed.iter().map(|(id, _)| id.uuid).collect::<Vec<_>>(),
        &failed.iter().map(|(_, n)| *n).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    let texts = rows
        .into_iter()
        .filter_map(|row| Some(((row.subject, row.n), row.errors?)));
    Ok(texts.collect())
}
