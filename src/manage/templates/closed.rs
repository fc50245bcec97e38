//! Reads templates that something opened or closed from the provider, and closed ones again and
//! again: a webhook may be late, out of order, or never come (they do not follow a WABA's
//! webhook override), and a lane must not stay shut for it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::said::{nothing, read_at, said_of};
use crate::manage::{Account, Failed, Manage};
use crate::model::Timestamp;
use crate::model::reading::TemplateReading;
use crate::model::template::{Health, UNKNOWN};
use crate::provider::refused::Refused;
use crate::signals::Signals;
use crate::store::TemplateToRead;
use crate::store::ingest::{TemplateSaid, TemplateStatusSaid};

/// Reads closed templates.
#[derive(Debug, Clone)]
pub struct Reader {
    /// By what the calls are made.
    pub manage: Manage,
    /// Who wakes claimers.
    pub signals: Signals,
    /// How often it is looked for what is due.
    pub poll: Duration,
    /// How often a closed one is read.
    pub every: Duration,
}

/// What the provider has of a template.
enum Seen {
    This(TemplateReading),
    /// Nothing.
    Gone,
    /// Nobody knows how to ask for it.
    Nameless,
}

/// Reads what is due, until `shutdown`, which waits for no provider: a reading that is cut off is
/// done again.
pub async fn read_templates(reader: Reader, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = reader.read_all() => {}
    }
}

impl Reader {
    async fn read_all(&self) {
        let store = &self.manage.store;
        loop {
            tokio::time::sleep(self.poll).await;
            let next_at = store.clock().now() + self.every;
            match store.take_template_reads(next_at).await {
                Ok(due) => {
                    for template in due {
                        if let Err(error) = self.read(&template).await {
                            tracing::warn!(template = %template.id, %error,
                                "a template was not read");
                        }
                    }
                }
                Err(error) => tracing::debug!(%error, "templates to read could not be found"),
            }
        }
    }

    async fn read(&self, template: &TemplateToRead) -> Result<(), Failed> {
        let store = &self.manage.store;
        let asked_at = store.clock().now();
        let said = match self.seen(template).await? {
            Seen::This(state) => {
                let at = read_at(asked_at, &state.status);
                said_of(template.connection, &template.waba_id, at, state)
            }
            // The list of all will tell; until something is heard of it nothing is to be learned.
            Seen::Gone => return Ok(store.forget_template_read(template).await?),
            // What closed it was a refusal: one message tries again.
            Seen::Nameless => unknown(template, asked_at),
        };
        if store.record_template_read(template, &said).await? {
            self.signals.all_due_here();
            self.signals.changed();
        }
        Ok(())
    }

    async fn seen(&self, template: &TemplateToRead) -> Result<Seen, Failed> {
        let account = self
            .manage
            .account_of(template.connection, &template.waba_id, None);
        let Some(account) = account.await? else {
            return Ok(Seen::Gone);
        };
        let id = template.provider_template_id.as_deref();
        if id.is_none() && account.waba_id.is_empty() {
            return Ok(Seen::Nameless);
        }
        match self.found(&account, template).await {
            Ok(Some(state)) => Ok(Seen::This(state)),
            Ok(None) => Ok(Seen::Gone),
            Err(Failed::Refused(said))
                if Refused::is_not_there(said.status, said.code.as_deref()) =>
            {
                Ok(Seen::Gone)
            }
            Err(failed) => Err(failed),
        }
    }

    async fn found(
        &self,
        account: &Account,
        template: &TemplateToRead,
    ) -> Result<Option<TemplateReading>, Failed> {
        let (name, language) = (&template.name, &template.language);
        let id = template.provider_template_id.as_deref();
        let page = self.manage.find(account, id, name, language).await?;
        let mut found = page.templates.into_iter();
        Ok(found.find(|it| it.name == *name && it.language == *language))
    }
}

/// It is tried again.
fn unknown(template: &TemplateToRead, at: Timestamp) -> TemplateSaid {
    TemplateSaid {
        status: Some(TemplateStatusSaid {
            health: Health {
                at,
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
    }
}
