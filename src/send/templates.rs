//! Reads templates that something opened or closed from the provider, and closed ones again and
//! again: a webhook may be late, out of order, or never come (they do not follow a WABA's
//! webhook override), and a lane must not stay shut for it.

use tokio_util::sync::CancellationToken;

use super::{Sending, ask};
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, TemplateId};
use crate::model::reading::TemplateReading;
use crate::model::template::{Health, UNKNOWN, is_sendable};
use crate::provider::meta::manage;
use crate::store::TemplateToRead;
use crate::store::ingest::{TemplateSaid, TemplateStatusSaid};

/// Far more than all languages of a name.
const BYTES: usize = 1 << 20;

/// Reads what is due, until `shutdown`, which waits for no provider: a reading that is cut off is
/// done again.
pub async fn read_templates(sending: Sending, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = read_all(&sending) => {}
    }
}

async fn read_all(sending: &Sending) {
    loop {
        tokio::time::sleep(sending.settings.poll).await;
        let next_at = sending.clock().now() + sending.settings.template_read;
        match sending.store.take_template_reads(next_at).await {
            Ok(due) => {
                for template in due {
                    if let Err(error) = read(sending, &template).await {
                        tracing::warn!(template = %template.id, %error, "a template was not read");
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "templates to read could not be found"),
        }
    }
}

async fn read(sending: &Sending, template: &TemplateToRead) -> anyhow::Result<()> {
    let asked_at = sending.clock().now();
    let said = match state_of(sending, template).await? {
        Some(state) => {
            let at = read_at(asked_at, &state.status);
            said_of(template.connection, &template.waba_id, at, state)
        }
        // Neither its id nor its WABA is known, so that it cannot be asked for. What closed it
        // was a refusal: one message tries again.
        None => TemplateSaid {
            status: Some(TemplateStatusSaid {
                health: Health {
                    at: asked_at,
                    status: UNKNOWN.to_owned(),
                },
                reason: None,
                pause_title: None,
                read: true,
            }),
            ..nothing(
                template.connection,
                &template.waba_id,
                &template.name,
                &template.language,
            )
        },
    };
    if sending.store.record_template_read(template, &said).await? {
        sending.signals.all_due_here();
        sending.signals.changed();
    }
    Ok(())
}

async fn state_of(
    sending: &Sending,
    template: &TemplateToRead,
) -> anyhow::Result<Option<TemplateReading>> {
    let Some(connection) = sending.connections.get(template.connection).await? else {
        anyhow::bail!("its connection is gone");
    };
    let Some(version) = &connection.api_version else {
        anyhow::bail!("templates are not read from its provider");
    };
    let path = match &template.provider_template_id {
        Some(id) => manage::template_by_id_request(version, id),
        None if template.waba_id.is_empty() => return Ok(None),
        None => manage::template_by_name_request(version, &template.waba_id, &template.name),
    };
    let body = ask::get(sending, &connection, &path, BYTES).await?;
    let found = manage::templates_answer(&body)?
        .into_iter()
        .find(|state| state.name == template.name && state.language == template.language);
    found
        .map(Some)
        .ok_or_else(|| anyhow::anyhow!("the provider does not list it"))
}

/// When what a reading shows holds from: to the second, as webhooks are, so that a stop that was said
/// in the same second wins. But a review: what ends it in that second came after it was seen. And one
/// that is open is seen before an edit of that second begins its review, and that before its end.
pub(crate) fn read_at(asked_at: Timestamp, status: &str) -> Timestamp {
    let second = asked_at.replace_nanosecond(0).unwrap_or(asked_at);
    match status {
        "PENDING" => second - time::Duration::MICROSECOND,
        word if is_sendable(word) => second - time::Duration::MICROSECOND * 2,
        _ => second,
    }
}

/// What a reading says, dated to when it was asked for.
pub(crate) fn said_of(
    connection: ConnectionId,
    waba_id: &str,
    at: Timestamp,
    read: TemplateReading,
) -> TemplateSaid {
    TemplateSaid {
        provider_template_id: read.provider_template_id,
        category: read.category.map(|category| (category, at)),
        status: Some(TemplateStatusSaid {
            health: Health {
                at,
                status: read.status,
            },
            reason: read.reason,
            pause_title: read.pause_title,
            read: true,
        }),
        quality: read.quality.map(|score| (score, at)),
        ..nothing(connection, waba_id, &read.name, &read.language)
    }
}

fn nothing(connection: ConnectionId, waba_id: &str, name: &str, language: &str) -> TemplateSaid {
    TemplateSaid {
        id: TemplateId::of(connection, waba_id, name, language),
        connection,
        waba_id: waba_id.to_owned(),
        name: name.to_owned(),
        language: language.to_owned(),
        provider_template_id: None,
        category: None,
        status: None,
        quality: None,
    }
}
