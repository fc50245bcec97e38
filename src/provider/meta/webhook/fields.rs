//! Who reads which field. A field that is not known, and a value of a known one that is no
//! object, is kept whole.

use super::envelope::Change;
use super::{
    Unreadable, accounts, business, coexistence, lists, numbers, routing, template_content,
    templates,
};
use crate::model::fact::{Decoded, Fact};
use crate::provider::lenient::Members;

/// The sample that the app dashboard's "Test" button posts has these: `entry.id` and
/// `phone_number_id`.
const TEST_SAMPLE: (&str, &str) = ("0", "123456123");

/// Reads what a change says.
pub(in crate::provider) fn read(
    change: &Change<'_>,
    opened: Result<Members<'_>, serde_json::Error>,
    out: &mut Decoded,
) -> Result<(), Unreadable> {
    let value = match opened {
        Ok(value) => value,
        Err(error) if change.field == "messages" => return Err(error.into()),
        Err(_) => Members::default(),
    };
    if is_test_sample(change, &value) {
        out.note = Some("the sample that the app dashboard's \"Test\" button posts");
        return Ok(());
    }
    if lists::walks(&change.field) {
        lists::walk(change, &value, out);
        return Ok(());
    }
    match &*change.field {
        "history" => coexistence::history(change, &value, out),
        "standby" => routing::standby(change, &value, out),
        _ => out.take(change.path.clone(), whole(change, &value)),
    }
    Ok(())
}

/// A value that is one fact.
fn whole(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    match &*change.field {
        // Meta's page prints the status field's name over a quality update.
        _ if value.get("new_quality_score").is_some() => templates::quality(change, value),
        "message_template_status_update" => templates::status(change, value),
        "message_template_quality_update" => templates::quality(change, value),
        _ if value.iter().next().is_none() => other(change, value),
        "message_template_components_update" => template_content::components(change, value),
        "template_category_update" => templates::category(change, value),
        "template_correct_category_detection" => template_content::detection(change, value),
        "phone_number_quality_update" => numbers::quality(change, value),
        "phone_number_name_update" => numbers::name(change, value),
        "security" => numbers::security(change, value),
        "business_username_updates" => numbers::username(change, value),
        "account_settings_update" => numbers::settings(change, value),
        "account_update" => accounts::update(change, value),
        "account_alerts" => accounts::alert(change, value),
        "account_review_update" => accounts::review(change, value),
        "business_capability_update" => accounts::capability(change, value),
        "messaging_handovers" => routing::handover(change, value),
        "flows" => business::flow(change, value),
        "payment_configuration_update" => business::payment_configuration(change, value),
        "partner_solutions" => business::partner_solution(change, value),
        _ => other(change, value),
    }
}

fn other(change: &Change<'_>, value: &Members<'_>) -> Result<Fact, Unreadable> {
    let number = lists::number(change, value);
    change.other(
        change.path.clone(),
        change.field.to_string(),
        number,
        change.value,
    )
}

fn is_test_sample(change: &Change<'_>, value: &Members<'_>) -> bool {
    change.waba_id.as_deref() == Some(TEST_SAMPLE.0)
        && lists::number(change, value)
            .is_some_and(|number| number.phone_number_id == TEST_SAMPLE.1)
}
