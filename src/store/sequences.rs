//! Sequences as they are shown. They are made in `sequence_create`; what changes them later is in
//! `sequence_changes` (people) and in `claim` (the sending side).

use std::collections::HashMap;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::campaign_changes::campaign_of;
use super::messages::{Message, read_messages};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::ids::{CampaignId, MessageId, SenderId, SequenceId};
use crate::model::quiet::QuietHours;
use crate::model::sequence::{Gate, OnFailure, Policy, Reason, SequenceStatus, SequenceWork};

/// A sequence as it is shown.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of sequences")]
pub struct SequenceRow {
    pub id: SequenceId,
    pub recipient: String,
    pub reference: Option<String>,
    pub gate: Gate,
    pub on_failure: OnFailure,
    pub policy: Policy,
    pub quiet_hours: Option<QuietHours>,
    pub status: SequenceStatus,
    pub reason: Option<Reason>,
    pub work: SequenceWork,
    pub head: i32,
    pub length: i32,
    pub deadline_at: Option<Timestamp>,
    pub paused_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub campaign: Option<CampaignId>,
    pub variables: Option<serde_json::Value>,
    pub messages: Vec<Message>,
}

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct SequenceFilter {
    pub sender: Option<SenderId>,
    pub recipient: Option<String>,
    pub reference: Option<String>,
    pub status: Option<SequenceStatus>,
    pub campaign: Option<CampaignId>,
}

impl Store {
    /// Reads one, with its messages. Lone messages are no sequences to callers.
    pub async fn sequence(&self, id: SequenceId) -> Result<Option<SequenceRow>, StoreError> {
        again!(self, "sequence", {
            let mut list = self.begin_list().await?;
            read_sequence(&mut list, id).await
        })
    }

    /// A page, newest first.
    pub async fn list_sequences(
        &self,
        filter: &SequenceFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<SequenceRow>, StoreError> {
        again!(self, "list_sequences", {
            let mut list = self.begin_list().await?;
            read_sequences(&mut list, None, filter, before, limit).await
        })
    }
}

/// See [`Store::sequence`]; within the caller's transaction, where `plan_each` has been called.
pub(super) async fn read_sequence(
    connection: &mut PgConnection,
    id: SequenceId,
) -> Result<Option<SequenceRow>, StoreError> {
    let one = SequenceFilter {
        sender: Some(id.sender),
        ..SequenceFilter::default()
    };
    let found = read_sequences(connection, Some(id.uuid), &one, None, 1).await?;
    Ok(found.into_iter().next())
}

async fn read_sequences(
    list: &mut PgConnection,
    id: Option<Uuid>,
    filter: &SequenceFilter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<SequenceRow>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- read_sequences
        SELECT sender, id, recipient, reference, gate AS "gate: Json<Gate>", on_failure,
               policy AS "policy: Json<Policy>", quiet_hours AS "quiet_hours: Json<QuietHours>",
               status, reason, work, head, length, deadline_at, paused_at, created_at, campaign,
               variables
        FROM sequences
        WHERE NOT single
            AND ($1::uuid IS NULL OR id = $1)
            AND ($2::uuid IS NULL OR id < $2)
            AND ($3::integer IS NULL OR sender = $3)
            AND ($4::text IS NULL OR recipient = $4)
            AND ($5::text IS NULL OR reference = $5)
            AND ($6::text IS NULL OR status = $6)
            AND ($7::uuid IS NULL OR (campaign = $7 AND (campaign IS NOT NULL) IS TRUE))
        ORDER BY id DESC
        LIMIT $8
        "#,
        id,
        before,
        filter.sender.map(|sender| sender.0),
        filter.recipient,
        filter.reference,
        filter.status.map(SequenceStatus::as_str),
        filter.campaign.map(|campaign| campaign.uuid),
        limit,
    )
    .fetch_all(&mut *list)
    .await?;
    let mut sequences = Vec::with_capacity(rows.len());
    for row in rows {
        let corrupt = || StoreError::Corrupt(format!("sequences: {} of {}", row.id, row.sender));
        sequences.push(SequenceRow {
            id: SequenceId {
                sender: SenderId(row.sender),
                uuid: row.id,
            },
            gate: row.gate.0,
            policy: row.policy.0,
            quiet_hours: row.quiet_hours.map(|hours| hours.0),
            on_failure: OnFailure::parse(&row.on_failure).ok_or_else(corrupt)?,
            status: SequenceStatus::parse(&row.status).ok_or_else(corrupt)?,
            reason: row.reason.as_deref().and_then(Reason::parse),
            work: SequenceWork::parse(&row.work).ok_or_else(corrupt)?,
            recipient: row.recipient,
            reference: row.reference,
            head: row.head,
            length: row.length,
            deadline_at: row.deadline_at,
            paused_at: row.paused_at,
            created_at: row.created_at,
            campaign: campaign_of(SenderId(row.sender), row.campaign),
            variables: row.variables,
            messages: Vec::new(),
        });
    }
    add_messages(list, &mut sequences).await?;
    Ok(sequences)
}

async fn add_messages(
    connection: &mut PgConnection,
    sequences: &mut [SequenceRow],
) -> Result<(), StoreError> {
    let ids = sqlx::query!(
        r#"
        -- messages_of_sequences
        SELECT m.sender, m.id
        FROM unnest($1::integer[], $2::uuid[]) AS x (sender, sequence)
        JOIN messages m ON m.sender = x.sender AND m.sequence = x.sequence
        ORDER BY m.sender, m.sequence, m.position
        "#,
        &sequences.iter().map(|s| s.id.sender.0).collect::<Vec<_>>(),
        &sequences.iter().map(|s| s.id.uuid).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<_> = ids
        .into_iter()
        .map(|row| MessageId {
            sender: SenderId(row.sender),
            uuid: row.id,
        })
        .collect();
    let places: HashMap<SequenceId, usize> = (sequences.iter().map(|sequence| sequence.id))
        .zip(0..)
        .collect();
    for (_, message) in read_messages(connection, &ids).await? {
        let of = message.step.as_ref().map(|step| step.sequence);
        let place = of.and_then(|of| places.get(&of));
        if let Some(sequence) = place.and_then(|place| sequences.get_mut(*place)) {
            sequence.messages.push(message);
        }
    }
    Ok(())
}
