//! Template events: status and quality. Both name the template by its own values, not by
//! `metadata`, which management fields do not have.

use serde_json::Map;

use super::{Change, Unreadable, needed, put};
use crate::model::fact::{Fact, Said, TemplateQualityFact, TemplateRef, TemplateStatusFact};
use crate::provider::lenient::{self, Members};

/// `message_template_status_update`.
pub(super) fn status(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let template = template(change, value)?;
    let event = needed("event", value.text("event").as_deref())?.to_ascii_uppercase();
    let inside = |object: &str, name: &str| {
        let object = Members::open(value.get(object)?.get()).ok()?;
        object.text(name).map(|text| text.into_owned())
    };
    let fact = TemplateStatusFact {
        reason: value
            .text("reason")
            .filter(|reason| reason != "NONE")
            .map(|reason| reason.into_owned()),
        pause_title: inside("other_info", "title"),
        category: value
            .text("message_template_category")
            .map(|text| text.into_owned()),
        template,
        event,
    };
    let mut data = shown(&fact.template);
    put(&mut data, "event", Some(fact.event.as_str()));
    put(&mut data, "reason", fact.reason.as_deref());
    put(&mut data, "pause_title", fact.pause_title.as_deref());
    // The only place that says until when, in a sentence.
    put(
        &mut data,
        "pause_description",
        inside("other_info", "description"),
    );
    // Seconds as a number, seconds as text, or "January 31, 2021".
    put(
        &mut data,
        "disable_date",
        inside("disable_info", "disable_date"),
    );
    put(&mut data, "category", fact.category.as_deref());
    let rejection = value.get("rejection_info").map(lenient::tree).transpose()?;
    put(&mut data, "rejection_info", rejection);
    Ok(Fact {
        item: change.path.clone(),
        key: change.digest(&change.field, None, change.value),
        at: change.at(),
        said: Said::TemplateStatus(fact),
        data: super::text(data),
    })
}

/// `message_template_quality_update`.
pub(super) fn quality(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let template = template(change, value)?;
    let new = needed(
        "new_quality_score",
        value.text("new_quality_score").as_deref(),
    )?
    .to_ascii_uppercase();
    let previous = value
        .text("previous_quality_score")
        .map(|text| text.to_ascii_uppercase());
    let mut data = shown(&template);
    put(&mut data, "previous", previous);
    put(&mut data, "new", Some(new.as_str()));
    Ok(Fact {
        item: change.path.clone(),
        key: change.digest(&change.field, None, change.value),
        at: change.at(),
        said: Said::TemplateQuality(TemplateQualityFact { template, new }),
        data: super::text(data),
    })
}

fn template(change: &Change<'_>, value: &Members<'_>) -> Result<TemplateRef, Unreadable> {
    let text = |name| needed(name, value.text(name).as_deref());
    let id = value.text("message_template_id");
    super::within("message_template_id", id.as_deref())?;
    Ok(TemplateRef {
        waba_id: change.waba_id.as_deref().map(str::to_owned),
        provider_template_id: id.map(|id| id.into_owned()),
        name: text("message_template_name")?,
        // Meta's own examples have both `en_US` and `en-US`; templates are sent with the former.
        language: text("message_template_language")?.replace('-', "_"),
    })
}

fn shown(template: &TemplateRef) -> Map<String, serde_json::Value> {
    let mut data = Map::new();
    put(
        &mut data,
        "template_id",
        template.provider_template_id.as_deref(),
    );
    put(&mut data, "name", Some(template.name.as_str()));
    put(&mut data, "language", Some(template.language.as_str()));
    data
}
