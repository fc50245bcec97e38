//! Messages that the provider took, and failed with word that nothing of their template or their
//! sender goes: what a refusal in the answer closes, such a failure closes too. Numbers whose
//! template webhooks go elsewhere hear of a pause in no other way.

use std::collections::BTreeMap;

use sqlx::{Connection as _, PgConnection};

use super::facts::OwnFact;
use super::ingest::{AttemptSaid, TemplateSaid};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::error_class::{ErrorClass, classify};
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::provider::Provider;

/// A message of ours that failed so.
struct Dropped {
    sender: SenderId,
    class: ErrorClass,
    code: i64,
    at: Timestamp,
    template: Option<TemplateSaid>,
}

impl Store {
    /// Closes what these attempts failed with, by the provider's ids, if it closes anything and that
    /// is news. Their failures are committed by then; if this is cut off nobody gets a 200, and
    /// they are said again.
    pub(super) async fn close_dropped(
        &self,
        session: &mut PgConnection,
        failed: &[(SenderId, &str)],
    ) -> Result<(), StoreError> {
        if failed.is_empty() {
            return Ok(());
        }
        again!(self, "close_dropped", {
            let mut transaction = session.begin().await?;
            let dropped = read(&mut transaction, failed).await?;
            let mut facts = Vec::new();
            for dropped in &dropped {
                facts.extend(self.close_for(&mut transaction, dropped).await?);
            }
            self.write_facts(&mut transaction, &facts).await?;
            Ok(transaction.commit().await?)
        })
    }

    async fn close_for(
        &self,
        connection: &mut PgConnection,
        dropped: &Dropped,
    ) -> Result<Option<OwnFact>, StoreError> {
        let reason = dropped.code.to_string();
        match (dropped.class, &dropped.template) {
            (ErrorClass::TemplateStops, Some(said)) => {
                self.close_template(connection, said, &reason, "webhook")
                    .await
            }
            (ErrorClass::SenderStops, _) => {
                let at = dropped.at;
                self.block_sender(connection, dropped.sender, &reason, at, "webhook")
                    .await
            }
            _ => Ok(None),
        }
    }
}

/// Those of a batch that may close something.
pub(super) fn closing<'a>(attempts: &[AttemptSaid<'a>]) -> Vec<(SenderId, &'a str)> {
    let closing = attempts.iter().filter(|said| {
        said.evidence.failed.is_some_and(|failed| {
            let class = classify(failed.code);
            matches!(class, ErrorClass::TemplateStops | ErrorClass::SenderStops)
        })
    });
    closing
        .map(|said| (said.sender, said.provider_message_id))
        .collect()
}

/// Those that are ours, in the order in which templates are locked.
async fn read(
    connection: &mut PgConnection,
    failed: &[(SenderId, &str)],
) -> Result<Vec<Dropped>, StoreError> {
    let rows = sqlx::query!(
        r#"
        -- dropped
        SELECT a.sender, a.failed_at AS "failed_at!", a.failed_code AS "failed_code!",
               m.template_name, m.template_language, s.waba_id, s.connection, c.provider
        FROM unnest($1::integer[], $2::text[]) AS x (sender, provider_message_id)
        JOIN attempts a ON a.provider_message_id = x.provider_message_id AND a.sender = x.sender
        JOIN messages m ON m.sender = a.sender AND m.id = a.message
        JOIN senders s ON s.id = a.sender
        JOIN connections c ON c.id = s.connection
        WHERE m.origin = 'ours' AND a.failed_code IS NOT NULL
            -- What reached the user after all did not fail.
            AND num_nonnulls(a.delivered_at, a.read_at, a.played_at) = 0
        "#,
        &failed
            .iter()
            .map(|(sender, _)| sender.0)
            .collect::<Vec<_>>(),
        &failed.iter().map(|(_, id)| *id).collect::<Vec<_>>() as &[&str],
    )
    .fetch_all(connection)
    .await?;
    let mut dropped = Vec::with_capacity(rows.len());
    for row in rows {
        let provider = Provider::parse(&row.provider).ok_or_else(|| {
            StoreError::Corrupt(format!("connections.provider: {}", row.provider))
        })?;
        let template = row.template_name.zip(row.template_language);
        let template = template.map(|(name, language)| {
            let waba_id = provider.account_of_templates(row.waba_id.as_deref());
            let id = ConnectionId(row.connection);
            TemplateSaid::refused(
                id,
                waba_id,
                &name,
                &language,
                row.failed_code,
                row.failed_at,
            )
        });
        dropped.push(Dropped {
            sender: SenderId(row.sender),
            class: classify(row.failed_code),
            code: row.failed_code,
            at: row.failed_at,
            template,
        });
    }
    Ok(latest(dropped))
}

/// A template's pause takes many messages down: the last of each template, and of each sender, in the
/// order in which these are locked.
fn latest(dropped: Vec<Dropped>) -> Vec<Dropped> {
    let mut latest: BTreeMap<_, Dropped> = BTreeMap::new();
    for dropped in dropped {
        let template = dropped.template.as_ref().map(|said| said.id.0);
        let template = template.filter(|_| dropped.class == ErrorClass::TemplateStops);
        let sender = template.is_none().then_some(dropped.sender);
        let known = latest.get(&(template, sender));
        if known.is_none_or(|known| known.at < dropped.at) {
            latest.insert((template, sender), dropped);
        }
    }
    latest.into_values().collect()
}
