//! Templates that callers submit: they wait for their review, which approves them after a delay
//! and posts the provider's own webhook; an edit begins a new one. What a dialect reads of a request
//! is a [`Submission`]; what is wrong with it is the same for all, as it is WhatsApp that reviews.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::dialect::Dialect;
use super::queue::Item;
use super::state::{Simulator, State};
use super::template::{Key, Template};
use super::trouble::Trouble;
use super::update::Update;

/// WhatsApp's limits, as the providers' pages have them.
const BODY: usize = 1024;
const BUTTONS: usize = 10;
const NAME: usize = 512;
const CATEGORIES: [&str; 3] = ["MARKETING", "UTILITY", "AUTHENTICATION"];
const DAY: i64 = 86_400;

/// A template as a caller wants it.
#[derive(Debug, Default)]
pub struct Submission {
    pub category: Option<String>,
    /// The text of its body, if there is one to be read.
    pub body: Option<String>,
    /// How many buttons it has.
    pub buttons: usize,
    /// Whether it brings content at all; an edit may not.
    pub has_content: bool,
    /// What is shown of it from then on, by the dialect's own names.
    pub content: Map<String, Value>,
}

/// What a review says.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    Approved,
    Rejected,
}

impl Submission {
    fn check(&self) -> Result<(), Trouble> {
        if let Some(category) = &self.category
            && !CATEGORIES.contains(&category.as_str())
        {
            let message = format!("Param category must be one of {CATEGORIES:?}");
            return Err(Trouble::invalid("category", message));
        }
        if self.buttons > BUTTONS {
            return Err(Trouble::invalid(
                "buttons",
                "There can be at most 10 buttons.",
            ));
        }
        let is_authentication = self.category.as_deref() == Some("AUTHENTICATION");
        match &self.body {
            None if self.has_content && !is_authentication => {
                Err(Trouble::invalid("body", "A body is required."))
            }
            Some(text) if text.chars().count() > BODY => Err(Trouble::Template {
                code: 2_388_040,
                message: "The body has more than 1024 characters.".to_owned(),
            }),
            Some(text) if text.starts_with("{{") || text.trim_end().ends_with("}}") => {
                Err(Trouble::Template {
                    code: 2_388_299,
                    message: "Variables can't be at the start or end of the template.".to_owned(),
                })
            }
            _ => Ok(()),
        }
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=NAME).contains(&name.len()) && name.chars().all(fits)
}

impl Simulator {
    /// Takes a new template; how it stands then is shown by `show`.
    pub fn submit(
        &self,
        key: Key,
        submission: Submission,
        show: impl Fn(&Template) -> Value,
    ) -> Result<Value, Trouble> {
        if !is_name(&key.name) {
            let message = "Name can only have lower case letters, digits and underscores.";
            return Err(Trouble::invalid("name", message));
        }
        if submission.category.is_none() {
            return Err(Trouble::invalid("category", "Param category is required."));
        }
        submission.check()?;
        let mut state = self.state();
        if state.templates.contains_key(&key) {
            return Err(Trouble::Template {
                code: 2_388_024,
                message: format!(
                    "Content in this language already exists for the template {}.",
                    key.name
                ),
            });
        }
        let mut template = Template::new(&self.config.waba_id, key.clone());
        template.quality = "UNKNOWN".to_owned();
        self.take(&mut state, template, submission, show)
    }

    /// Takes an edit. What it does not name stays.
    pub fn edit(
        &self,
        key: &Key,
        submission: Submission,
        show: impl Fn(&Template) -> Value,
    ) -> Result<Value, Trouble> {
        submission.check()?;
        let mut state = self.state();
        let template = state.templates.get_mut(key).ok_or_else(|| key.unknown())?;
        let now = self.clock.now().unix_timestamp();
        match template.status.as_str() {
            "APPROVED" => {
                if submission
                    .category
                    .as_ref()
                    .is_some_and(|new| *new != template.category)
                {
                    let message = "The category of an approved template can't be changed.";
                    return Err(Trouble::invalid("category", message));
                }
                template.edits.retain(|at| *at > now - 30 * DAY);
                let of_day = template.edits.iter().filter(|at| **at > now - DAY).count();
                if of_day >= self.config.edits_per_day || template.edits.len() >= 10 {
                    return Err(Trouble::Template {
                        code: 2_388_040,
                        message: "You can only edit an approved template 1 time in 24 hours and \
                                  10 times in 30 days."
                            .to_owned(),
                    });
                }
                template.edits.push(now);
            }
            "REJECTED" | "PAUSED" => {}
            _ => {
                return Err(Trouble::Template {
                    code: 2_388_039,
                    message: "This template can't be edited while it is in review.".to_owned(),
                });
            }
        }
        let template = state.templates.remove(key).ok_or_else(|| key.unknown())?;
        self.take(&mut state, template, submission, show)
    }

    fn take(
        &self,
        state: &mut State,
        mut template: Template,
        submission: Submission,
        show: impl Fn(&Template) -> Value,
    ) -> Result<Value, Trouble> {
        if let Some(category) = submission.category {
            template.category = category;
        }
        template.content.extend(submission.content);
        template.status = "PENDING".to_owned();
        template.reviews += 1;
        let shown = show(&template);
        if self.config.reviews {
            let at = self.after_ms(state.delays.template_review_ms);
            let review = Item::Review(template.key.clone(), template.reviews);
            self.queue.push(at, review);
        }
        state.templates.insert(template.key.clone(), template);
        Ok(shown)
    }

    /// The end of the review of this number, unless there has been another since.
    pub(super) fn end_review(&self, key: &Key, review: u64) {
        let mut state = self.state();
        let pending = |t: &&mut Template| t.status == "PENDING" && t.reviews == review;
        if let Some(template) = state.templates.get_mut(key).filter(pending) {
            let update = template.decide(&Verdict::Approved, None, self.clock.now());
            self.post(update);
        }
    }

    /// Ends a pause by its caller's wish; why not, in words, where it is none.
    pub fn unpause_by_caller(&self, key: &Key) -> Result<(), String> {
        let mut state = self.state();
        match state.templates.get_mut(key) {
            Some(template) if template.status == "PAUSED" => {
                let update = template.unpause(self.clock.now());
                self.post(update);
                Ok(())
            }
            _ => Err("The template is not paused.".to_owned()),
        }
    }
}

impl Template {
    /// What a review says of it.
    pub fn decide(
        &mut self,
        verdict: &Verdict,
        reason: Option<&str>,
        now: OffsetDateTime,
    ) -> Update {
        let (status, reason) = match verdict {
            Verdict::Approved => ("APPROVED", "NONE"),
            Verdict::Rejected => ("REJECTED", reason.unwrap_or("INVALID_FORMAT")),
        };
        status.clone_into(&mut self.status);
        reason.clone_into(&mut self.rejected_reason);
        self.reviewed(status, now)
    }
}

/// The template of a dialect with this id.
pub fn with_id(state: &State, dialect: Dialect, id: &str) -> Option<Key> {
    let of = |t: &&Template| t.key.dialect == dialect && t.id.to_string() == id;
    state.templates.values().find(of).map(|t| t.key.clone())
}
