//! The messages of campaigns: they stand once with the campaign, and get their rows when an
//! attempt of theirs does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::sequence_create::NewStep;
use super::super::{Store, StoreError};
use super::corrupt::Corrupt;
use super::plan::{Made, Row, Step};
use super::steps::STEPS_READ;
use crate::model::Timestamp;
use crate::model::ids::SenderId;

impl Store {
    /// Adds the messages that have no rows yet to those that were read.
    pub(super) async fn add_unmade(
        &self,
        connection: &mut PgConnection,
        sender: SenderId,
        rows: &[Row],
        steps: &mut HashMap<Uuid, Vec<Step>>,
        corrupt: &mut Vec<Corrupt>,
    ) -> Result<(), StoreError> {
        let campaigns: HashSet<_> = rows.iter().filter_map(|row| row.campaign).collect();
        if campaigns.is_empty() {
            return Ok(());
        }
        let campaigns = read_campaigns(connection, sender, campaigns).await?;
        let of_campaigns = rows.iter().filter_map(|row| Some((row, row.campaign?)));
        for (row, campaign) in of_campaigns {
            let Some(of) = campaigns.get(&campaign) else {
                corrupt.push(Corrupt {
                    sequence: row.id,
                    what: format!("campaigns.steps of {campaign}"),
                });
                continue;
            };
            let read = steps.entry(row.id).or_default();
            for position in row.head..row.head + STEPS_READ {
                let at = usize::try_from(position - 1).ok();
                let is_there = read.iter().any(|step| step.position == position);
                if let (false, Some(of)) = (is_there, at.and_then(|at| of.get(at))) {
                    read.push(self.unmade(row, campaign, position, of));
                }
            }
            read.sort_unstable_by_key(|step| step.position);
        }
        Ok(())
    }

    fn unmade(&self, row: &Row, campaign: Uuid, position: i32, of: &Arc<NewStep>) -> Step {
        Step {
            message: self.clock.new_id(),
            unmade: Some(Arc::clone(of)),
            campaign: Some(campaign),
            position,
            cancelled: false,
            gate: of.gate.unwrap_or(row.gate),
            delay: of.delay,
            on_unknown: of.on_unknown,
            template: of.template.clone(),
            raw: of.kind == "raw",
            attempts: Vec::new(),
            refusals: 0,
            // It has no attempt that could be repeated.
            harmless: false,
            refused: None,
        }
    }
}

/// The messages of campaigns; one that cannot be understood is left out.
async fn read_campaigns(
    connection: &mut PgConnection,
    sender: SenderId,
    campaigns: HashSet<Uuid>,
) -> Result<HashMap<Uuid, Vec<Arc<NewStep>>>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- claim: campaigns
        SELECT id, steps FROM campaigns WHERE sender = $1 AND id = ANY ($2)
        "#,
        sender.0,
        &Vec::from_iter(campaigns),
    )
    .fetch_all(connection)
    .await?;
    let read = rows.into_iter().filter_map(|row| {
        let steps = Vec::<NewStep>::deserialize(&row.steps).ok()?;
        Some((row.id, steps.into_iter().map(Arc::new).collect()))
    });
    Ok(read.collect())
}

/// Writes the messages that are claimed, or refused, for the first time.
pub(super) async fn make(
    connection: &mut PgConnection,
    sender: SenderId,
    made: &[Made],
    now: Timestamp,
) -> Result<(), StoreError> {
    if made.is_empty() {
        return Ok(());
    }
    let steps: Vec<_> = made.iter().map(|made| &made.of).collect();
    let template = |step: &&Arc<NewStep>| step.template.clone().unzip();
    let (names, languages): (Vec<_>, Vec<_>) = steps.iter().map(template).unzip();
    sqlx::query!(
        r#"
        -- claim: make messages
        INSERT INTO messages (sender, created_at, origin, id, sequence, position, campaign,
                              recipient, reference, content, type, template_name,
                              template_language, gate, delay_ms, on_unknown, marketing)
        SELECT $1, $2, 'ours', x.*
        FROM unnest($3::uuid[], $4::uuid[], $5::integer[], $6::uuid[], $7::text[], $8::text[],
                    $9::jsonb[], $10::text[], $11::text[], $12::text[], $13::jsonb[],
                    $14::bigint[], $15::text[], $16::jsonb[])
            AS x (id, sequence, position, campaign, recipient, reference, content, type,
                  template_name, template_language, gate, delay_ms, on_unknown, marketing)
        "#,
        sender.0,
        now,
        &made.iter().map(|made| made.message).collect::<Vec<_>>(),
        &made.iter().map(|made| made.sequence).collect::<Vec<_>>(),
        &made.iter().map(|made| made.position).collect::<Vec<_>>(),
        &made.iter().map(|made| made.campaign).collect::<Vec<_>>() as &[Option<Uuid>],
        &made
            .iter()
            .map(|made| made.recipient.as_str())
            .collect::<Vec<_>>() as &[&str],
        &made
            .iter()
            .map(|made| made.reference.as_deref())
            .collect::<Vec<_>>() as &[Option<&str>],
        &made
            .iter()
            .map(|made| made.content.clone())
            .collect::<Vec<_>>(),
        &steps
            .iter()
            .map(|step| step.kind.as_str())
            .collect::<Vec<_>>() as &[&str],
        &names as &[Option<String>],
        &languages as &[Option<String>],
        &steps
            .iter()
            .map(|step| step.gate.map(sqlx::types::Json))
            .collect::<Vec<_>>()
            as &[Option<sqlx::types::Json<crate::model::sequence::Gate>>],
        &steps.iter().map(|step| step.delay_ms()).collect::<Vec<_>>(),
        &steps
            .iter()
            .map(|step| step.on_unknown.as_str())
            .collect::<Vec<_>>() as &[&str],
        &steps
            .iter()
            .map(|step| step.marketing.clone())
            .collect::<Vec<_>>() as &[Option<serde_json::Value>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
