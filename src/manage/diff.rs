//! Definitions beside what is at the provider: what would have to be done so that both are the
//! same, and why. Nothing is changed but what is known of the templates, which are read for it.

use serde_json::Value;

use super::{Account, Failed, Manage};
use crate::model::Timestamp;
use crate::model::template::{is_approved, is_editable, next_edit};
use crate::provider::compare::{Difference, differences, since_submitted};
use crate::provider::operations::templates::EDIT_TEMPLATE;
use crate::provider::templates::Filter;
use crate::store::templates_read::Template;

/// What has to be done with a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is as it is defined.
    None,
    /// It is not there.
    Create,
    /// It is otherwise, and can be edited.
    Edit,
    /// It is otherwise, and cannot be edited now.
    Wait,
    /// It is otherwise, and cannot be edited at all.
    Impossible,
}

/// A definition beside what is there.
#[derive(Debug)]
pub struct Diff {
    /// What has to be done.
    pub step: Step,
    /// Why, where that is not all said by what differs.
    pub note: Option<String>,
    /// What differs.
    pub differences: Vec<Difference>,
    /// What is there, as it is known now.
    pub template: Option<Template>,
}

impl Diff {
    fn new(step: Step, template: Option<&Template>) -> Self {
        Self {
            step,
            note: None,
            differences: Vec::new(),
            template: template.cloned(),
        }
    }

    fn noting(self, note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            ..self
        }
    }
}

impl Manage {
    /// Compares definitions with what the provider shows now; beside them what it shows besides.
    pub async fn diff(
        &self,
        account: &Account,
        definitions: &[Value],
    ) -> Result<(Vec<Diff>, Vec<Template>), Failed> {
        let synced = self.sync(account, &Filter::default(), false).await?;
        let mut there = self.store.templates(&synced.templates).await?;
        let diffs = definitions.iter().map(|definition| {
            let is = |template: &&Template| {
                template.name == definition["name"] && template.language == definition["language"]
            };
            match there.iter().find(is) {
                None if !synced.whole => Diff::new(Step::Wait, None).noting(
                    "the provider's list could not be read whole: whether it is there is not known",
                ),
                found => self.compare(account, definition, found),
            }
        });
        let diffs = diffs.collect();
        there.retain(|template| {
            let is = |definition: &Value| {
                template.name == definition["name"] && template.language == definition["language"]
            };
            !definitions.iter().any(is)
        });
        Ok((diffs, there))
    }

    fn compare(&self, account: &Account, definition: &Value, template: Option<&Template>) -> Diff {
        let Some(template) = template else {
            return Diff::new(Step::Create, None);
        };
        let provider = account.connection.provider;
        let object = template.object.as_ref().unwrap_or(&Value::Null);
        let shown = differences(provider, definition, object);
        let mut differences = match (&shown, &template.submitted) {
            (Some(shown), _) => shown.clone(),
            (None, Some(submitted)) => since_submitted(definition, submitted),
            (None, None) => {
                return Diff::new(Step::None, Some(template)).noting(
                    "it was not submitted from here, and the provider does not show enough of it \
                     to compare",
                );
            }
        };
        let is_fixed = is_approved(&template.status);
        let category = differences.iter().position(|it| it.field == "category");
        let mut note = None;
        if let Some(at) = category.filter(|_| is_fixed) {
            let category = differences.remove(at);
            note = Some(format!(
                "the provider has it in the category {}: that of an approved template is fixed",
                category.theirs
            ));
        }
        let (step, why) = match differences.is_empty() {
            true => (Step::None, None),
            false => self.step(account, template),
        };
        Diff {
            step,
            note: why.or(note),
            differences,
            template: Some(template.clone()),
        }
    }

    /// What can be done about a template that is otherwise.
    fn step(&self, account: &Account, template: &Template) -> (Step, Option<String>) {
        if EDIT_TEMPLATE.at(account.connection.provider).is_none() {
            let note = "the provider has no call to edit templates: give it another name";
            return (Step::Impossible, Some(note.to_owned()));
        }
        if !is_editable(&template.status) {
            let note = format!(
                "it is {}: it can be edited after its review",
                template.status
            );
            return (Step::Wait, Some(note));
        }
        match self
            .next_edit(template)
            .filter(|_| is_approved(&template.status))
        {
            Some(at) => {
                let at = crate::model::rfc3339(at);
                (
                    Step::Wait,
                    Some(format!("it may be edited again from {at} on")),
                )
            }
            None => (Step::Edit, None),
        }
    }

    fn next_edit(&self, template: &Template) -> Option<Timestamp> {
        let budget = &self.settings.template_edits.0;
        next_edit(budget, &template.edits, self.store.clock().now())
    }
}
