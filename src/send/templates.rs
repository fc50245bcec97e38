//! Reads templates that something opened or closed from the provider, and closed ones again and
//! again: a webhook may be late, out of order, or never come (they do not follow a WABA's
//! webhook override), and a lane must not stay shut for it.

use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use super::{Sending, answer};
use crate::model::Timestamp;
use crate::model::template::{Health, UNKNOWN};
use crate::provider::meta::manage;
use crate::store::TemplateToRead;
use crate::store::ingest::{TemplateSaid, TemplateStatusSaid};

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
    // To the second, as webhooks are: a stop that was said in the same second wins.
    let at = asked_at.replace_nanosecond(0)?;
    let said = match ask(sending, template).await? {
        Some(state) => TemplateSaid {
            provider_template_id: Some(state.provider_template_id),
            category: state.category.map(|category| (category, at)),
            status: Some(status(at, state.status)),
            quality: state.quality.map(|score| (score, at)),
            ..nothing(template)
        },
        // Neither its id nor its WABA is known, so that it cannot be asked for. What closed it
        // was a refusal: one message tries again.
        None => TemplateSaid {
            status: Some(status(asked_at, UNKNOWN.to_owned())),
            ..nothing(template)
        },
    };
    if sending.store.record_template_read(template, &said).await? {
        sending.signals.all_due_here();
        sending.signals.changed();
    }
    Ok(())
}

async fn ask(
    sending: &Sending,
    template: &TemplateToRead,
) -> anyhow::Result<Option<manage::TemplateState>> {
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
    let answer = sending
        .client
        .get(format!("{}/{path}", connection.base_url))
        .bearer_auth(connection.credentials.access_token.expose_secret())
        .timeout(sending.settings.answer_timeout)
        .send()
        .await?;
    let body = answer::body(answer).await?;
    let found = manage::templates_answer(&body)?
        .into_iter()
        .find(|state| state.name == template.name && state.language == template.language);
    found
        .map(Some)
        .ok_or_else(|| anyhow::anyhow!("the provider does not list it"))
}

fn status(at: Timestamp, status: String) -> TemplateStatusSaid {
    TemplateStatusSaid {
        health: Health { at, status },
        reason: None,
        pause_title: None,
    }
}

fn nothing(template: &TemplateToRead) -> TemplateSaid {
    TemplateSaid {
        id: template.id,
        connection: template.connection,
        waba_id: template.waba_id.clone(),
        name: template.name.clone(),
        language: template.language.clone(),
        provider_template_id: None,
        category: None,
        status: None,
        quality: None,
    }
}
