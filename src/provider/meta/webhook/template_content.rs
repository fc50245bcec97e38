//! Template events that are shown alone: what a template says, and that a message was found to be
//! of another category than it was sent as.

use serde_json::Value;
use serde_json::value::RawValue;

use super::Unreadable;
use super::envelope::Change;
use super::shown::Shown;
use super::templates::{of, template};
use crate::model::event;
use crate::model::fact::{Fact, Said, TemplateNewsFact};
use crate::provider::lenient::{self, Members};

/// `message_template_components_update`: a template was edited.
pub(super) fn components(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let (template, mut shown) = template(change, value)?;
    shown.text("message_template_title", "title");
    shown.text("message_template_element", "element");
    shown.text("message_template_footer", "footer");
    if let Some(raw) = value.get("message_template_buttons")
        && let Ok(buttons) = lenient::elements(raw)
    {
        let buttons: Result<Vec<_>, _> = buttons.into_iter().map(button).collect();
        shown.without("message_template_buttons");
        shown.put("buttons", Some(Value::Array(buttons?)));
    }
    let news = TemplateNewsFact {
        template,
        r#type: event::TEMPLATE_COMPONENTS,
    };
    Ok(of(change, Said::TemplateNews(news), shown.finish()?))
}

/// With our short names; what is no object stays as it came.
fn button(raw: &RawValue) -> Result<Value, Unreadable> {
    let Ok(button) = Members::open(raw.get()) else {
        return Ok(lenient::tree(raw)?);
    };
    let mut shown = Shown::of(&button);
    shown.word("message_template_button_type", "type");
    shown.text("message_template_button_text", "text");
    shown.text("message_template_button_url", "url");
    shown.text("message_template_button_phone_number", "phone_number");
    Ok(Value::Object(shown.whole()?))
}

/// `template_correct_category_detection` (Direct Send). Only the id is always there: without name
/// and language it is about a template that nobody can send, and so about none of ours.
pub(super) fn detection(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let named = template(change, value);
    let r#type = event::TEMPLATE_CATEGORY_DETECTED;
    let (said, mut shown) = match named {
        Ok((template, shown)) => {
            let news = TemplateNewsFact { template, r#type };
            (Said::TemplateNews(news), shown)
        }
        Err(_) => {
            let mut shown = Shown::of_value(value);
            shown.text("message_template_id", "template_id");
            shown.text("message_template_name", "name");
            shown.text("message_template_language", "language");
            (super::accounts::news(r#type, Vec::new()), shown)
        }
    };
    shown.word("category", "previous");
    shown.word("correct_category", "new");
    Ok(of(change, said, shown.finish()?))
}
