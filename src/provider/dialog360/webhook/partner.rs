//! 360dialog's own events, `{id, event, data}`: of templates, which change what we do, and of
//! channels and clients, which are kept. They bear no time, and name a template by name and
//! language and by 360dialog's own ids: whose account it is, is the connection's.

use serde_json::value::RawValue;

use crate::model::fact::{
    Fact, ItemPath, Said, TemplateCategoryFact, TemplateRef, TemplateStatusFact,
};
use crate::provider::lenient::Members;
use crate::provider::meta::webhook::Unreadable;
use crate::provider::meta::webhook::envelope::{Change, needed, within};
use crate::provider::meta::webhook::shown::Shown;

pub(super) fn read(
    path: ItemPath,
    whole: &RawValue,
    members: &Members<'_>,
) -> Result<Fact, Unreadable> {
    let event = needed("event", members.text("event").as_deref())?;
    let change = Change {
        path,
        waba_id: None,
        time: None,
        field: event.into(),
        value: whole,
    };
    match &*change.field {
        "waba_template_status_changed" => status(&change, members),
        "waba_template_category_changed" => category(&change, members),
        _ => change.other(change.path.clone(), change.field.to_string(), None, whole),
    }
}

fn status(change: &Change<'_>, event: &Members<'_>) -> Result<Fact, Unreadable> {
    let data = opened(event, "data")?;
    let of = opened(&data, "template")?;
    let (template, mut shown) = template(&data, &of)?;
    let word = shown.word("new_status", "event");
    let word = needed("new_status", word.as_deref())?;
    let reason = of
        .text("rejected_reason")
        .filter(|reason| !reason.eq_ignore_ascii_case("none"));
    let reason = reason.map(|reason| reason.into_owned());
    shown.without("rejected_reason");
    shown.put("reason", reason.clone());
    let category = shown.word("category", "category");
    let fact = TemplateStatusFact {
        template,
        event: word,
        reason,
        pause_title: None,
        category,
    };
    Ok(fact_of(change, Said::TemplateStatus(fact), shown.finish()?))
}

fn category(change: &Change<'_>, event: &Members<'_>) -> Result<Fact, Unreadable> {
    let data = opened(event, "data")?;
    let of = opened(&data, "template")?;
    let (template, mut shown) = template(&data, &of)?;
    shown.word("previous_category", "previous");
    let current = shown.word("new_category", "new");
    let current = Some(needed("new_category", current.as_deref())?);
    let fact = TemplateCategoryFact { template, current };
    Ok(fact_of(
        change,
        Said::TemplateCategory(fact),
        shown.finish()?,
    ))
}

fn opened<'a>(parent: &Members<'a>, name: &'static str) -> Result<Members<'a>, Unreadable> {
    let raw = parent.get(name).ok_or(Unreadable::Missing(name))?;
    Ok(Members::open(raw.get())?)
}

/// The template, and `data` that names it. Its account's id is shown and not used: it may be
/// 360dialog's own, and the one of the senders is Meta's.
fn template<'m, 'a>(
    data: &Members<'a>,
    of: &'m Members<'a>,
) -> Result<(TemplateRef, Shown<'m, 'a>), Unreadable> {
    let text = |name| needed(name, of.text(name).as_deref());
    let external_id = of.text("external_id");
    within("external_id", external_id.as_deref())?;
    let template = TemplateRef {
        waba_id: None,
        provider_template_id: external_id.map(|id| id.into_owned()),
        name: text("name")?,
        language: text("language")?.replace('-', "_"),
    };
    let mut shown = Shown::of(of);
    shown.text("external_id", "template_id");
    shown.text("name", "name");
    shown.without("language");
    shown.put("language", Some(template.language.as_str()));
    shown.put("waba_id", data.text("id").map(|id| id.into_owned()));
    Ok((template, shown))
}

fn fact_of(change: &Change<'_>, said: Said, data: String) -> Fact {
    Fact {
        item: change.path.clone(),
        key: change.digest(&change.field, None, change.value),
        at: None,
        said,
        data,
    }
}
