//! Template events that change what we do: status, quality, category. They name the template by
//! its own values, not by `metadata`, which management fields do not have.

use super::Unreadable;
use super::envelope::{Change, needed, within};
use super::shown::Shown;
use crate::model::fact::{
    Fact, Said, TemplateCategoryFact, TemplateQualityFact, TemplateRef, TemplateStatusFact,
};
use crate::provider::lenient::Members;

/// `message_template_status_update`. Its events and reasons are an open vocabulary.
pub(super) fn status(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let (template, mut shown) = template(change, value)?;
    let event = shown.word("event", "event");
    within("event", event.as_deref())?;
    let event = event.ok_or(Unreadable::Missing("event"))?;
    let reason = value.text("reason").filter(|reason| reason != "NONE");
    let reason = reason.map(|reason| reason.into_owned());
    if value.text("reason").is_some() {
        shown.without("reason");
        shown.put("reason", reason.clone());
    }
    let category = shown.word("message_template_category", "category");
    // The description is the only place that says until when, in a sentence.
    let pause = [
        ("title", "pause_title"),
        ("description", "pause_description"),
    ];
    shown.inside("other_info", &pause)?;
    // Seconds as a number, seconds as text, or "January 31, 2021".
    shown.inside("disable_info", &[("disable_date", "disable_date")])?;
    let pause_title = shown.shown_text("pause_title");
    let data = shown.finish()?;
    let fact = TemplateStatusFact {
        template,
        event,
        reason,
        pause_title,
        category,
    };
    Ok(of(change, Said::TemplateStatus(fact), data))
}

/// `message_template_quality_update`.
pub(super) fn quality(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let (template, mut shown) = template(change, value)?;
    shown.word("previous_quality_score", "previous");
    let new = shown.word("new_quality_score", "new");
    let new = needed("new_quality_score", new.as_deref())?;
    let data = shown.finish()?;
    let fact = TemplateQualityFact { template, new };
    Ok(of(change, Said::TemplateQuality(fact), data))
}

/// `template_category_update`, a day ahead and when it is done. Ahead, Meta's `new_category` is
/// the one that the template has still, and `correct_category` the one that it gets.
pub(super) fn category(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let (template, mut shown) = template(change, value)?;
    let current = if value.text("correct_category").is_some() {
        shown.word("correct_category", "new");
        shown.time_shown("category_update_timestamp", "changes_at");
        shown.word("new_category", "previous")
    } else {
        shown.word("previous_category", "previous");
        shown.word("new_category", "new")
    };
    let data = shown.finish()?;
    let fact = TemplateCategoryFact { template, current };
    Ok(of(change, Said::TemplateCategory(fact), data))
}

pub(super) fn of(change: &Change<'_>, said: Said, data: String) -> Fact {
    Fact {
        item: change.path.clone(),
        key: change.digest(&change.field, None, change.value),
        at: change.at(),
        said,
        data,
    }
}

/// The template, and `data` that names it.
pub(super) fn template<'m, 'a>(
    change: &Change<'_>,
    value: &'m Members<'a>,
) -> Result<(TemplateRef, Shown<'m, 'a>), Unreadable> {
    let text = |name| needed(name, value.text(name).as_deref());
    let id = value.text("message_template_id");
    within("message_template_id", id.as_deref())?;
    let template = TemplateRef {
        waba_id: change.waba_id.as_deref().map(str::to_owned),
        provider_template_id: id.map(|id| id.into_owned()),
        name: text("message_template_name")?,
        // Meta's own examples have both `en_US` and `en-US`; templates are sent with the former.
        language: text("message_template_language")?.replace('-', "_"),
    };
    let mut shown = Shown::of_value(value);
    shown.text("message_template_id", "template_id");
    shown.text("message_template_name", "name");
    shown.without("message_template_language");
    shown.put("language", Some(template.language.as_str()));
    Ok((template, shown))
}
