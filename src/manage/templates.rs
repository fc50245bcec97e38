//! Templates: what callers want of them, made into calls, and what comes back into their rows. A
//! row is one resource with what webhooks say of it, whichever comes first.
//!
//! What an answer to a change of ours says is newer than all that was known when the change was
//! made, and older than whatever the provider says of it by webhooks, which have whole seconds
//! alone: it is dated to just before the second in which it was asked for ([`dated`]). What only reads
//! is in `reading`.

mod closed;
mod reading;
pub(super) mod said;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use time::Duration;
use uuid::Uuid;

use self::said::said_of;
use super::{Account, Failed, Manage, shown};
use crate::config::EditBudget;
use crate::model::Timestamp;
use crate::model::ids::TemplateId;
use crate::model::reading::TemplateReading;
use crate::model::template::{Health, is_approved, is_editable};
use crate::provider::operations::templates::{
    DELETE_TEMPLATE, DELETE_TEMPLATE_NAME, UNPAUSE_TEMPLATE,
};
use crate::provider::templates::{self, Named};
use crate::store::ingest::{TemplateSaid, TemplateStatusSaid};
use crate::store::template_manage::Record;
use crate::store::templates_read::Template;
use crate::store::{Once, Reply, StoreError};

impl Account {
    fn template(&self, name: &str, language: &str) -> TemplateId {
        TemplateId::of(self.connection.id, &self.waba_id, name, language)
    }
}

pub use closed::{Reader, read_templates};
pub use reading::Synced;

/// A template after a change of ours.
#[derive(Debug)]
pub struct Changed {
    /// As it is known now.
    pub template: Template,
    /// The provider's answer to the change itself.
    pub answer: Value,
}

/// Why a template was not edited.
#[derive(Debug, thiserror::Error)]
pub enum EditRefused {
    /// It is in a state in which no template may be edited.
    #[error("it is {0}: only templates that are approved, rejected or paused can be edited")]
    State(String),
    /// An approved template keeps its category.
    #[error("the category of an approved template is fixed")]
    Category,
    /// It would be one edit too many; nothing was sent.
    #[error("an approved template may not be edited again yet")]
    TooMany {
        /// When it may be.
        at: Timestamp,
        /// How long that is from now.
        wait: std::time::Duration,
    },
    /// It has no id at the provider that is known here.
    #[error("its id at the provider is not known: read it first")]
    NoId,
    /// The call.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl From<StoreError> for EditRefused {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// When what an answer says holds from: see above. `known_at` is as of when the status was known
/// before the call.
fn dated(known_at: Option<Timestamp>, asked_at: Timestamp) -> Timestamp {
    let second = asked_at.replace_nanosecond(0).unwrap_or(asked_at);
    let before = second - Duration::MICROSECOND;
    match known_at.map(|at| at + Duration::MICROSECOND) {
        Some(after) => after.max(before),
        None => before,
    }
}

fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

impl Manage {
    /// Submits a new template, by Infobip's first API where that is asked for. It is in the table
    /// with the provider's answer.
    pub async fn create<V: Serialize>(
        &self,
        account: &Account,
        definition: &Value,
        by_v1: bool,
        once: &Once,
        show: impl Fn(Template) -> V,
    ) -> Result<Reply, Failed> {
        let work = self.submit(account, definition, by_v1, once, show);
        self.once_at_provider(once, work).await
    }

    async fn submit<V: Serialize>(
        &self,
        account: &Account,
        definition: &Value,
        by_v1: bool,
        once: &Once,
        show: impl Fn(Template) -> V,
    ) -> Result<Reply, Failed> {
        let text = |name: &str| definition[name].as_str().unwrap_or_default();
        let (name, language) = (text("name"), text("language"));
        let id = account.template(name, language);
        let known_at = self.store.template_status_at(id).await?;
        let asked_at = self.store.clock().now();
        let ask = match by_v1 {
            true => templates::create_v1(&account.named(), definition),
            false => templates::create(account.provider(), &account.named(), definition),
        };
        let answered = self.call(&account.connection, &ask).await?;
        let created = templates::created(account.provider(), &answered.body, name, language);
        let answer = shown(&answered.body);
        let (reading, object) =
            created.map_err(|error| Failed::unreadable(answer.clone(), error))?;
        let record = Record {
            said: self.said(account, dated(known_at, asked_at), reading),
            object: raw(object),
            asked_at,
            submitted: Some(definition.clone()),
            merges: false,
        };
        let recorded = self.store.record_created(&record, once, show).await;
        recorded.map_err(Failed::unrecorded(&answer))
    }

    /// Edits a template, and reads it again: what an edit is answered says little.
    pub async fn edit(
        &self,
        account: &Account,
        template: &Template,
        change: &Value,
    ) -> Result<Changed, EditRefused> {
        if !is_editable(&template.status) {
            return Err(EditRefused::State(template.status.clone()));
        }
        let is_approved = is_approved(&template.status);
        let category = change["category"].as_str();
        if is_approved && category.is_some() && category != template.category.as_deref() {
            return Err(EditRefused::Category);
        }
        let provider_id = template.provider_template_id.as_deref();
        let named = Named {
            id: provider_id.ok_or(EditRefused::NoId)?,
            name: &template.name,
        };
        let id = TemplateId(template.id);
        let known_at = self.store.template_status_at(id).await?;
        let counted = match is_approved {
            true => Some(self.count_edit(id).await?),
            false => None,
        };
        let ask = templates::edit(account.provider(), &account.named(), named, change);
        let came = self.change(account, &ask).await;
        if let (Err(error), Some(edit)) = (&came, counted)
            && !error.may_be_done()
        {
            self.uncount_edit(edit).await;
        }
        let answer = self.found_out(template, came).await?;
        let submitted = self.submitted(template, change, known_at).await;
        submitted.map_err(Failed::unrecorded(&answer))?;
        Ok(self.read_after(account, template, answer, known_at).await?)
    }

    /// Counts an edit that is about to be made.
    async fn count_edit(&self, template: TemplateId) -> Result<Uuid, EditRefused> {
        let EditBudget(budget) = &self.settings.template_edits;
        let edit = self.store.clock().new_id();
        match self.store.count_edit(edit, template, budget).await {
            Ok(counted) => counted.map(|()| edit).map_err(|at| self.too_many(at)),
            Err(error) => {
                // It may be counted although nobody was told.
                self.uncount_edit(edit).await;
                Err(error.into())
            }
        }
    }

    /// What came of the edit is worth more than that.
    async fn uncount_edit(&self, edit: Uuid) {
        if let Err(error) = self.store.uncount_edit(edit).await {
            tracing::warn!(%error, "an edit that was not made is counted");
        }
    }

    fn too_many(&self, at: Timestamp) -> EditRefused {
        let wait = at - self.store.clock().now();
        EditRefused::TooMany {
            at,
            wait: wait.try_into().unwrap_or_default(),
        }
    }

    /// Of what nobody knows the provider is asked as soon as may be: until then nothing is known to
    /// have changed.
    async fn found_out(
        &self,
        template: &Template,
        came: Result<Value, Failed>,
    ) -> Result<Value, Failed> {
        self.ask_where_unknown(template, &came).await;
        came
    }

    async fn ask_where_unknown(&self, template: &Template, came: &Result<Value, Failed>) {
        if came.as_ref().is_err_and(Failed::may_be_done)
            && let Err(error) = self.store.ask_for_reading(template).await
        {
            tracing::warn!(%error, "a template that may have changed is read late");
        }
    }

    /// Ends a pause, and reads the template again.
    pub async fn unpause(
        &self,
        account: &Account,
        template: &Template,
    ) -> Result<Changed, EditRefused> {
        account.has(&UNPAUSE_TEMPLATE)?;
        let id = TemplateId(template.id);
        let known_at = self.store.template_status_at(id).await?;
        let named = Named {
            id: template
                .provider_template_id
                .as_deref()
                .ok_or(EditRefused::NoId)?,
            name: &template.name,
        };
        let came = self
            .change(account, &templates::unpause(&account.named(), named))
            .await;
        let answer = self.found_out(template, came).await?;
        Ok(self.read_after(account, template, answer, known_at).await?)
    }

    /// Deletes all languages of a name; those that are known.
    pub async fn delete_name(
        &self,
        account: &Account,
        name: &str,
    ) -> Result<Vec<Template>, Failed> {
        let (connection, waba_id) = (account.connection.id, &account.waba_id);
        let ask = templates::delete_name(account.provider(), &account.named(), name);
        account.has(&DELETE_TEMPLATE_NAME)?;
        let known = self.store.languages_of(connection, waba_id, name).await?;
        let known = self.as_of(known).await?;
        let asked_at = self.store.clock().now();
        let came = self.change(account, &ask).await;
        for (template, _) in &known {
            self.ask_where_unknown(template, &came).await;
        }
        let answer = came?;
        let deleted = self.deleted(&known, asked_at).await;
        deleted.map_err(Failed::unrecorded(&answer))?;
        Ok(known.into_iter().map(|(template, _)| template).collect())
    }

    /// Each with when its status was known as of. Before a call: what is heard meanwhile may be
    /// newer than what the call does.
    async fn as_of(
        &self,
        templates: Vec<Template>,
    ) -> Result<Vec<(Template, Option<Timestamp>)>, StoreError> {
        let mut known = Vec::with_capacity(templates.len());
        for template in templates {
            let at = self.store.template_status_at(TemplateId(template.id));
            let at = at.await?;
            known.push((template, at));
        }
        Ok(known)
    }

    /// Deletes one language of a name.
    pub async fn delete(&self, account: &Account, template: &Template) -> Result<(), EditRefused> {
        account.has(&DELETE_TEMPLATE)?;
        let named = Named {
            id: template
                .provider_template_id
                .as_deref()
                .ok_or(EditRefused::NoId)?,
            name: &template.name,
        };
        let known = self.as_of(vec![template.clone()]).await?;
        let asked_at = self.store.clock().now();
        let came = self
            .change(account, &templates::delete(&account.named(), named))
            .await;
        let answer = self.found_out(template, came).await?;
        let deleted = self.deleted(&known, asked_at).await;
        Ok(deleted.map_err(Failed::unrecorded(&answer))?)
    }

    async fn deleted(
        &self,
        templates: &[(Template, Option<Timestamp>)],
        asked_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut records = Vec::new();
        for (template, known_at) in templates {
            let at = dated(*known_at, asked_at);
            let said = known(template, Some(status("DELETED", at)));
            records.push(Record {
                said,
                object: None,
                asked_at,
                submitted: None,
                merges: false,
            });
        }
        self.store.record_managed(&records).await?;
        Ok(())
    }

    /// What was submitted with an edit stands over what was before.
    async fn submitted(
        &self,
        template: &Template,
        change: &Value,
        asked_at: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let record = Record {
            said: known(template, None),
            object: None,
            asked_at: asked_at.unwrap_or_else(|| self.store.clock().now()),
            submitted: Some(change.clone()),
            merges: true,
        };
        self.store.record_managed(&[record]).await?;
        Ok(())
    }

    /// The template as the provider shows it after a change. Where it does not, webhooks and
    /// readings tell later: the change is made.
    async fn read_after(
        &self,
        account: &Account,
        template: &Template,
        answer: Value,
        known_at: Option<Timestamp>,
    ) -> Result<Changed, Failed> {
        let asked_at = self.store.clock().now();
        let at = dated(known_at, asked_at);
        if let Err(error) = self.read_dated(account, template, asked_at, Some(at)).await {
            tracing::warn!(template = %TemplateId(template.id), %error,
                "a template that was changed could not be read");
        }
        let now = self.store.template(TemplateId(template.id)).await;
        let now = now.map_err(Failed::unrecorded(&answer))?;
        Ok(Changed {
            template: now.unwrap_or_else(|| template.clone()),
            answer,
        })
    }

    fn said(&self, account: &Account, at: Timestamp, reading: TemplateReading) -> TemplateSaid {
        said_of(account.connection.id, &account.waba_id, at, reading)
    }
}

fn status(word: &str, at: Timestamp) -> TemplateStatusSaid {
    TemplateStatusSaid {
        health: Health {
            at,
            status: word.to_owned(),
        },
        reason: None,
        pause_title: None,
        read: true,
    }
}

/// What is known already, with a status perhaps.
fn known(template: &Template, status: Option<TemplateStatusSaid>) -> TemplateSaid {
    TemplateSaid {
        id: TemplateId(template.id),
        connection: template.connection,
        waba_id: template.waba_id.clone(),
        name: template.name.clone(),
        language: template.language.clone(),
        provider_template_id: None,
        category: None,
        status,
        quality: None,
    }
}

#[cfg(test)]
mod tests {
    use super::said::read_at;
    use super::*;

    fn at(seconds: i64, nanoseconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Duration::new(seconds, nanoseconds as i32)
    }

    #[test]
    fn a_review_that_begins_and_ends_in_one_second_ends() {
        // Seen open, edited and approved again within a second; webhooks have whole seconds.
        let read = read_at(at(100, 200_000_000), "APPROVED");
        let edited = dated(Some(read), at(100, 400_000_000));
        assert!(read < edited && edited < at(100, 0));
        let seen = read_at(at(100, 600_000_000), "PENDING");
        assert!(
            seen < at(100, 0),
            "a reading of the review does not outlive it"
        );
        // What was known before the change is older than the change.
        assert!(dated(Some(at(100, 0)), at(100, 500_000_000)) > at(100, 0));
        assert!(dated(Some(at(107, 0)), at(100, 0)) > at(107, 0));
        assert!(dated(None, at(100, 0)) < at(100, 0));
        assert_eq!(read_at(at(100, 9), "PAUSED"), at(100, 0));
    }
}
