//! Managing templates: which calls, and what their answers say. Callers speak Meta's words with
//! every provider (`meta::definition` says which); each provider's own shapes are in its
//! `manage/templates.rs`. What reads templates again and again is in `reading`.

use serde_json::Value;

use super::content::{Fault, Faults, Place, Wrong};
use super::lenient::{self, Members};
use super::operations::{Ask, templates as op};
use super::reading::{ReadError, TemplatePage, named, unreadable, word};
use super::{dialog360, infobip, meta};
use crate::model::provider::Provider;
use crate::model::reading::TemplateReading;

/// Whose templates, as the providers' calls name it.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Meta's version of its API.
    pub api_version: &'a str,
    /// Meta's id of the account.
    pub waba_id: &'a str,
    /// Infobip's: the digits of a number of the account.
    pub number: &'a str,
}

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct Filter {
    pub name: Option<String>,
    pub status: Option<String>,
    pub language: Option<String>,
    pub category: Option<String>,
}

impl Filter {
    /// Whether nothing is left out.
    pub fn is_all(&self) -> bool {
        [&self.name, &self.status, &self.language, &self.category]
            .iter()
            .all(|word| word.is_none())
    }

    /// Whether a template is among what was asked for: not every provider filters by all.
    pub fn takes(&self, template: &TemplateReading) -> bool {
        let is = |wanted: &Option<String>, word: Option<&str>| {
            let same = |wanted: &String| word.is_some_and(|word| word.eq_ignore_ascii_case(wanted));
            wanted.as_ref().is_none_or(same)
        };
        is(&self.name, Some(&template.name))
            && is(&self.status, Some(&template.status))
            && is(&self.language, Some(&template.language))
            && is(&self.category, template.category.as_deref())
    }
}

/// A template as calls name it.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The provider's id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// What keeps a template from being submitted, all of it.
pub fn check(provider: Provider, definition: &Value) -> Vec<Fault> {
    checked(provider, definition, meta::definition::check, false)
}

/// The same by Infobip's first API, whose categories are others.
pub fn check_v1(definition: &Value) -> Vec<Fault> {
    let faults = Faults::default();
    let place = Place::new("", Some(definition), &faults);
    meta::definition::check_in(&place, &infobip::manage::templates::CATEGORIES_V1);
    if !faults.are_of(Wrong::Malformed) {
        infobip::manage::templates::body_v1(&place);
    }
    faults.into_vec()
}

/// What keeps an edit from being submitted, of a template of this category.
pub fn check_edit(provider: Provider, change: &Value, category: Option<&str>) -> Vec<Fault> {
    checked(
        provider,
        change,
        |place| meta::definition::check_edit(place, category),
        true,
    )
}

fn checked(
    provider: Provider,
    definition: &Value,
    check: impl Fn(&Place<'_>),
    is_edit: bool,
) -> Vec<Fault> {
    let faults = Faults::default();
    let place = Place::new("", Some(definition), &faults);
    check(&place);
    // What is no template cannot be translated either.
    if !faults.are_of(Wrong::Malformed) {
        match provider {
            Provider::Meta => meta::manage::templates::check(&place),
            Provider::Dialog360 | Provider::Dialog360Onprem => {
                dialog360::manage::templates::check(&place);
            }
            Provider::Infobip => {
                infobip::manage::templates::body(&place, is_edit);
            }
        }
    }
    faults.into_vec()
}

/// A definition as the provider is told it. It was checked before.
fn body(provider: Provider, definition: &Value, is_edit: bool) -> Value {
    match provider {
        Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => definition.clone(),
        Provider::Infobip => {
            let faults = Faults::default();
            let place = Place::new("", Some(definition), &faults);
            infobip::manage::templates::body(&place, is_edit)
        }
    }
}

/// What names an account in paths, and a template.
pub(super) fn names<'a>(
    account: &Account<'a>,
    template: Option<Named<'a>>,
) -> [(&'static str, &'a str); 5] {
    [
        ("version", account.api_version),
        ("waba", account.waba_id),
        ("number", account.number),
        ("id", template.map_or("", |template| template.id)),
        ("name", template.map_or("", |template| template.name)),
    ]
}

/// Submits a new template.
pub fn create(provider: Provider, account: &Account<'_>, definition: &Value) -> Ask {
    let ask = Ask::of(&op::CREATE_TEMPLATE, &names(account, None));
    ask.body(body(provider, definition, false))
}

/// The same by Infobip's first API.
pub fn create_v1(account: &Account<'_>, definition: &Value) -> Ask {
    let faults = Faults::default();
    let place = Place::new("", Some(definition), &faults);
    let ask = Ask::of(&op::CREATE_TEMPLATE_V1, &names(account, None));
    ask.body(infobip::manage::templates::body_v1(&place))
}

/// Edits one: what is not named stays.
pub fn edit(provider: Provider, account: &Account<'_>, template: Named<'_>, change: &Value) -> Ask {
    let ask = Ask::of(&op::EDIT_TEMPLATE, &names(account, Some(template)));
    ask.body(body(provider, change, true))
}

/// Deletes all languages of a name.
pub fn delete_name(provider: Provider, account: &Account<'_>, name: &str) -> Ask {
    let named = Named { id: "", name };
    let ask = Ask::of(&op::DELETE_TEMPLATE_NAME, &names(account, Some(named)));
    ask.query("name", (provider == Provider::Meta).then_some(name))
}

/// Deletes one language of a name, by its id.
pub fn delete(account: &Account<'_>, template: Named<'_>) -> Ask {
    let ask = Ask::of(&op::DELETE_TEMPLATE, &names(account, Some(template)));
    ask.query("hsm_id", Some(template.id))
        .query("name", Some(template.name))
}

/// Ends a pause.
pub fn unpause(account: &Account<'_>, template: Named<'_>) -> Ask {
    Ask::of(&op::UNPAUSE_TEMPLATE, &names(account, Some(template)))
}

/// A page of a list, from the beginning or from where a page ended.
pub fn list(
    provider: Provider,
    account: &Account<'_>,
    filter: &Filter,
    from: Option<&str>,
    by_v1: bool,
) -> Ask {
    let operation = match by_v1 {
        true => &op::LIST_TEMPLATES_V1,
        false => &op::LIST_TEMPLATES,
    };
    let ask = Ask::of(operation, &names(account, None));
    match provider {
        Provider::Meta => meta::manage::templates::list(ask, filter, from),
        Provider::Dialog360 | Provider::Dialog360Onprem => {
            dialog360::manage::templates::list(ask, filter.name.as_deref(), from)
        }
        // All of them at once.
        Provider::Infobip => ask,
    }
}

/// A page of a list of all, for who wants to know how they stand and not what they say.
pub fn states(provider: Provider, account: &Account<'_>, from: Option<&str>) -> Ask {
    match provider {
        Provider::Meta => {
            let ask = Ask::of(&op::LIST_TEMPLATES, &names(account, None));
            meta::manage::templates::states(ask, from)
        }
        _ => list(provider, account, &Filter::default(), from, false),
    }
}

/// One template, or a list in which it is.
pub fn read(provider: Provider, account: &Account<'_>, template: Named<'_>) -> Ask {
    let ask = Ask::of(&op::READ_TEMPLATE, &names(account, Some(template)));
    match provider {
        Provider::Meta => meta::manage::templates::read(ask),
        Provider::Dialog360 | Provider::Dialog360Onprem => {
            dialog360::manage::templates::list(ask, Some(template.name), None)
        }
        Provider::Infobip => ask,
    }
}

/// Whether one template is read by its id; else by its name.
pub const fn reads_by_id(provider: Provider) -> bool {
    matches!(provider, Provider::Meta | Provider::Infobip)
}

/// What a page of a list says, each template beside the provider's own object.
pub fn listed(provider: Provider, body: &[u8]) -> Result<TemplatePage, ReadError> {
    super::reading::templates_answer(provider, body)
}

/// What the answer to a reading of one says.
pub fn one(provider: Provider, body: &[u8]) -> Result<TemplatePage, ReadError> {
    let text = text(body)?;
    let members = Members::open(&text).map_err(|error| unreadable(&error.to_string()))?;
    let template = match provider {
        Provider::Meta => meta::manage::template(&members),
        Provider::Infobip => infobip::manage::template(&members),
        Provider::Dialog360 | Provider::Dialog360Onprem => return listed(provider, body),
    };
    let template = template.ok_or_else(|| unreadable("id, name, language or status is missing"))?;
    Ok(TemplatePage {
        templates: vec![template],
        objects: vec![text],
        whole: true,
        next: None,
    })
}

/// What the answer to a creation says of a template of this name and language.
pub fn created(
    provider: Provider,
    body: &[u8],
    name: &str,
    language: &str,
) -> Result<(TemplateReading, String), ReadError> {
    let text = text(body)?;
    let members = Members::open(&text).map_err(|error| unreadable(&error.to_string()))?;
    let id = named(&members, "id").ok_or_else(|| unreadable("`id` is missing"))?;
    let status = word(&members, "status").unwrap_or_else(|| "PENDING".to_owned());
    let (status, pause_title) = match provider {
        Provider::Infobip => infobip::scale::status(status),
        _ => (status, None),
    };
    let template = TemplateReading {
        provider_template_id: Some(id),
        name: name.to_owned(),
        language: language.replace('-', "_"),
        status,
        reason: None,
        pause_title,
        category: word(&members, "category"),
        quality: None,
    };
    Ok((template, text))
}

/// Why nothing was done although the answer is no refusal: `success` is false.
pub fn undone(body: &[u8]) -> Option<String> {
    let text = text(body).ok()?;
    let members = Members::open(&text).ok()?;
    let raw = members.get("success")?;
    let reason = members.text("reason").map(|reason| reason.into_owned());
    (raw.get() == "false").then(|| reason.unwrap_or_else(|| "it does not say why".to_owned()))
}

fn text(body: &[u8]) -> Result<String, ReadError> {
    let text = std::str::from_utf8(body).map_err(|error| unreadable(&error.to_string()))?;
    Ok(lenient::storable(text).into_owned())
}
