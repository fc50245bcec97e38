//! Template updates: status, category, quality. What means the same as Meta's words becomes those,
//! so that one rule says when a template may be sent; the provider's own stand beside them.

use super::super::scale;
use super::{Item, inside};
use crate::model::fact::{
    Fact, Said, TemplateCategoryFact, TemplateQualityFact, TemplateRef, TemplateStatusFact,
};
use crate::provider::meta::webhook::Unreadable;
use crate::provider::meta::webhook::envelope::{needed, within};
use crate::provider::meta::webhook::shown::Shown;

pub(super) fn read(item: &Item<'_>) -> Result<Fact, Unreadable> {
    let change = inside(&item.members, "change");
    let template = template(item)?;
    let mut shown = Shown::of(&change);
    shown.without("type");
    shown.put("template_id", template.provider_template_id.clone());
    shown.put("name", Some(template.name.as_str()));
    shown.put("language", Some(template.language.as_str()));
    for name in ["entityId", "applicationId"] {
        shown.put(name, super::kept(&item.members, name)?);
    }
    let kind = needed("change.type", change.text("type").as_deref())?;
    let said = match kind.as_str() {
        "TEMPLATE_STATUS_UPDATE" => status(template, &mut shown)?,
        "TEMPLATE_CATEGORY_UPDATE" => category(template, &mut shown),
        "TEMPLATE_QUALITY_UPDATE" => quality(template, &mut shown)?,
        kind => return item.other(kind),
    };
    let at = item.at(&["timestamp"]);
    Ok(item.fact(&kind, at, said, shown.finish()?))
}

fn template(item: &Item<'_>) -> Result<TemplateRef, Unreadable> {
    let text = |name| needed(name, item.members.text(name).as_deref());
    let id = item.members.text("messageTemplateId");
    within("messageTemplateId", id.as_deref())?;
    Ok(TemplateRef {
        // Not named: of the connection, whichever account it is.
        waba_id: None,
        provider_template_id: id.map(|id| id.into_owned()),
        name: text("messageTemplateName")?,
        language: text("messageTemplateLanguage")?.replace('-', "_"),
    })
}

fn status(template: TemplateRef, shown: &mut Shown<'_, '_>) -> Result<Said, Unreadable> {
    let word = shown.word("newStatus", "event");
    let word = needed("newStatus", word.as_deref())?;
    let (event, pause_title) = scale::status(word);
    shown.put("event", Some(event.as_str()));
    shown.put("pause_title", pause_title.clone());
    let reason = shown.text("reason", "reason");
    let reason = reason.filter(|reason| reason != "NONE");
    if reason.is_none() {
        shown.take_back("reason");
    }
    Ok(Said::TemplateStatus(TemplateStatusFact {
        template,
        event,
        reason,
        pause_title,
        category: None,
    }))
}

fn category(template: TemplateRef, shown: &mut Shown<'_, '_>) -> Said {
    shown.word("previousCategory", "previous");
    let current = shown.word("newCategory", "new");
    Said::TemplateCategory(TemplateCategoryFact { template, current })
}

fn quality(template: TemplateRef, shown: &mut Shown<'_, '_>) -> Result<Said, Unreadable> {
    let previous = shown.word("previousQualityScore", "previous");
    shown.put("previous", previous.map(scale::score));
    let new = shown.word("newQualityScore", "new");
    let new = scale::score(needed("newQualityScore", new.as_deref())?);
    shown.put("new", Some(new.as_str()));
    Ok(Said::TemplateQuality(TemplateQualityFact { template, new }))
}
