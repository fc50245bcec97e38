//! Templates: what callers want of them, made into calls, and what comes back into their rows. A
//! row is one resource with what webhooks say of it, whichever comes first.
//!
//! What an answer to a change of ours says is newer than all that was known when the change was
//! made, and older than whatever the provider says of it by webhooks, which have whole seconds
//! alone: it is dated to just before the second in which it was asked for ([`dated`]).

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use time::Duration;

use super::{Account, Failed, Manage};
use crate::config::EditBudget;
use crate::model::Timestamp;
use crate::model::ids::TemplateId;
use crate::model::provider::Provider;
use crate::model::reading::TemplateReading;
use crate::model::template::{Health, is_editable};
use crate::provider::operations::templates::{DELETE_TEMPLATE, EDIT_TEMPLATE, UNPAUSE_TEMPLATE};
use crate::provider::reading::TemplatePage;
use crate::provider::templates::{self, Filter, Named};
use crate::send::{read_at, said_of};
use crate::store::ingest::{TemplateSaid, TemplateStatusSaid};
use crate::store::template_manage::Record;
use crate::store::template_readings::ListedOf;
use crate::store::templates_read::Template;
use crate::store::{Once, Reply, StoreError};

/// Pages of one list: more than the templates that an account may have.
const PAGES: usize = 200;

impl Account {
    fn template(&self, name: &str, language: &str) -> TemplateId {
        TemplateId::of(self.connection.id, &self.waba_id, name, language)
    }
}

/// A template after a change of ours.
#[derive(Debug)]
pub struct Changed {
    /// As it is known now.
    pub template: Template,
    /// The provider's answer to the change itself.
    pub answer: Value,
}

/// What a list of the provider's brought.
#[derive(Debug)]
pub struct Synced {
    /// All that were asked for, as they are known now.
    pub templates: Vec<TemplateId>,
    /// How many facts tell of what differed.
    pub told: usize,
    /// Whether the list was read to its end, and all of it understood.
    pub whole: bool,
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
    /// Submits a new template, by Infobip's first API where that is asked for. It is in the table with the provider's answer.
    pub async fn create<V: Serialize>(
        &self,
        account: &Account,
        definition: &Value,
        by_v1: bool,
        once: &Once,
        show: impl Fn(Template) -> V,
    ) -> Result<Reply, Failed> {
        if let Some(reply) = self.store.kept_reply(once).await? {
            return Ok(reply);
        }
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
        let (reading, object) = created.map_err(|error| Failed::Unreadable(error.to_string()))?;
        let record = Record {
            said: self.said(account, dated(known_at, asked_at), reading),
            object: raw(object),
            asked_at,
            submitted: Some(definition.clone()),
        };
        Ok(self.store.record_created(&record, once, show).await?)
    }

    /// Edits a template, and reads it again: what an edit is answered says little.
    pub async fn edit(
        &self,
        account: &Account,
        template: &Template,
        change: &Value,
    ) -> Result<Changed, EditRefused> {
        account.has(&EDIT_TEMPLATE)?;
        if !is_editable(&template.status) {
            return Err(EditRefused::State(template.status.clone()));
        }
        let is_approved = template.status == "APPROVED";
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
        let counted = match is_approved {
            true => {
                let EditBudget(budget) = &self.settings.template_edits;
                let counted = self.store.count_edit(id, budget).await?;
                Some(counted.map_err(|at| EditRefused::TooMany { at })?)
            }
            false => None,
        };
        let known_at = self.store.template_status_at(id).await?;
        let ask = templates::edit(account.provider(), &account.named(), named, change);
        let came = self.change(account, &ask).await;
        if let (Err(error), Some(edit)) = (&came, counted)
            && !matches!(error, Failed::Unknown { .. } | Failed::Unreadable(_))
        {
            self.store.uncount_edit(edit).await?;
        }
        let answer = came?;
        self.submitted(template, change, known_at).await?;
        Ok(self.read_after(account, template, answer, known_at).await?)
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
        let answer = self
            .change(account, &templates::unpause(&account.named(), named))
            .await?;
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
        let asked_at = self.store.clock().now();
        self.change(account, &ask).await?;
        let known = self.store.languages_of(connection, waba_id, name).await?;
        self.deleted(&known, asked_at).await?;
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
        let asked_at = self.store.clock().now();
        self.change(account, &templates::delete(&account.named(), named))
            .await?;
        self.deleted(std::slice::from_ref(template), asked_at)
            .await?;
        Ok(())
    }

    async fn deleted(&self, templates: &[Template], asked_at: Timestamp) -> Result<(), StoreError> {
        let mut records = Vec::new();
        for template in templates {
            let id = TemplateId(template.id);
            let known_at = self.store.template_status_at(id).await?;
            let at = dated(known_at, asked_at);
            let said = known(template, Some(status("DELETED", at)));
            records.push(Record {
                said,
                object: None,
                asked_at,
                submitted: None,
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
        let mut submitted = match &template.submitted {
            Some(Value::Object(before)) => before.clone(),
            _ => serde_json::Map::new(),
        };
        if let Value::Object(change) = change {
            submitted.extend(change.clone());
        }
        let record = Record {
            said: known(template, None),
            object: None,
            asked_at: asked_at.unwrap_or_else(|| self.store.clock().now()),
            submitted: Some(submitted.into()),
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
        let now = self.store.template(TemplateId(template.id)).await?;
        Ok(Changed {
            template: now.unwrap_or_else(|| template.clone()),
            answer,
        })
    }

    /// Reads one from the provider, into its row. `false`: the provider does not show it.
    pub async fn read(&self, account: &Account, template: &Template) -> Result<bool, Failed> {
        let asked_at = self.store.clock().now();
        self.read_dated(account, template, asked_at, None).await
    }

    async fn read_dated(
        &self,
        account: &Account,
        template: &Template,
        asked_at: Timestamp,
        at: Option<Timestamp>,
    ) -> Result<bool, Failed> {
        let provider = account.provider();
        let id = template.provider_template_id.as_deref();
        let page = match id.filter(|_| templates::reads_by_id(provider)) {
            None => {
                let filter = Filter {
                    name: Some(template.name.clone()),
                    language: Some(template.language.clone()),
                    ..Filter::default()
                };
                self.list(account, &filter, false).await?.0
            }
            Some(id) => {
                let name = &template.name;
                let ask = templates::read(provider, &account.named(), Named { id, name });
                let answered = self.call(&account.connection, &ask).await?;
                let one = templates::one(provider, &answered.body);
                one.map_err(|error| Failed::Unreadable(error.to_string()))?
            }
        };
        let found = page.templates.into_iter().zip(page.objects);
        let records: Vec<_> = found
            .filter(|(found, _)| found.name == template.name && found.language == template.language)
            .map(|(reading, object)| {
                let from = at.unwrap_or_else(|| read_at(asked_at, &reading.status));
                let mut said = self.said(account, from, reading);
                // A reading that was asked for before a change of ours may have been written since.
                if let (Some(_), Some((_, said_at))) = (at, &mut said.category) {
                    *said_at = asked_at.max(from);
                }
                Record {
                    said,
                    object: raw(object),
                    asked_at,
                    submitted: None,
                }
            })
            .take(1)
            .collect();
        self.store.record_managed(&records).await?;
        Ok(!records.is_empty())
    }

    /// Reads an account's templates from the provider, all pages of what is asked for, into their
    /// rows; with all of them, those that are gone are noticed as the poller notices them.
    pub async fn sync(
        &self,
        account: &Account,
        filter: &Filter,
        by_v1: bool,
    ) -> Result<Synced, Failed> {
        let asked_at = self.store.clock().now();
        let (page, whole) = self.list(account, filter, by_v1).await?;
        let found = page.templates.into_iter().zip(page.objects);
        let found = found.filter(|(template, _)| filter.takes(template));
        let mut records: Vec<Record> = Vec::new();
        for (reading, object) in found {
            let said = self.said(account, read_at(asked_at, &reading.status), reading);
            // One that two pages show while the list moves on.
            if records.iter().all(|known| known.said.id != said.id) {
                records.push(Record {
                    said,
                    object: raw(object),
                    asked_at,
                    submitted: None,
                });
            }
        }
        let mut told = self.store.record_managed(&records).await?;
        let templates: Vec<_> = records.iter().map(|record| record.said.id).collect();
        // Infobip lists by a number; another of the connection's may be of another account.
        if whole && filter.is_all() && account.provider() != Provider::Infobip {
            let of = ListedOf {
                connection: account.connection.id,
                waba_id: &account.waba_id,
                asked_at,
            };
            told += self.store.record_unlisted(&of, &templates).await?;
        }
        Ok(Synced {
            templates,
            told,
            whole,
        })
    }

    /// A list to its end.
    async fn list(
        &self,
        account: &Account,
        filter: &Filter,
        by_v1: bool,
    ) -> Result<(TemplatePage, bool), Failed> {
        let provider = account.provider();
        let mut all = TemplatePage::default();
        let mut whole = true;
        let mut from: Option<String> = None;
        for _ in 0..PAGES {
            let ask = templates::list(provider, &account.named(), filter, from.as_deref(), by_v1);
            let answered = self.call(&account.connection, &ask).await?;
            let page = templates::listed(provider, &answered.body);
            let page = page.map_err(|error| Failed::Unreadable(error.to_string()))?;
            whole &= page.whole;
            all.templates.extend(page.templates);
            all.objects.extend(page.objects);
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok((all, whole)),
            }
        }
        Ok((all, false))
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
