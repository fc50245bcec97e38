//! A definition beside the template that a provider shows: what differs, by its place in the
//! provider's own shape. Samples are left out, which providers show changed or not at all; so is
//! what a definition does not name, where the provider fills it in.

use serde_json::{Map, Value};

use super::content::{Faults, Place};
use super::infobip;
use crate::model::provider::Provider;

/// Something that is not as it is defined.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where, such as `BODY.text` or `structure.body.text`.
    pub field: String,
    /// As it is defined; `null`: not at all.
    pub ours: Value,
    /// As the provider shows it; `null`: not at all.
    pub theirs: Value,
}

/// Words of closed lists, which come in any case.
const WORDS: [&str; 4] = ["type", "format", "otp_type", "flow_action"];

/// What differs. `None`: the provider does not show enough of such a template to tell.
pub fn differences(
    provider: Provider,
    definition: &Value,
    object: &Value,
) -> Option<Vec<Difference>> {
    let is_authentication = definition["category"] == "AUTHENTICATION";
    let mut found = Vec::new();
    compare(
        "category",
        &definition["category"],
        &object["category"],
        &mut found,
    );
    match provider {
        // It shows an ordinary template with WhatsApp's own texts.
        Provider::Infobip if is_authentication => return None,
        Provider::Infobip => {
            let faults = Faults::default();
            let place = Place::new("", Some(definition), &faults);
            let ours = infobip::manage::templates::body(&place, true);
            each_part(
                &ours["structure"],
                &object["structure"],
                "structure.",
                &mut found,
            );
            for name in ["validityPeriod", "subCategory"] {
                compare(name, &ours[name], &object[name], &mut found);
            }
        }
        Provider::Meta | Provider::Dialog360 | Provider::Dialog360Onprem => {
            let parts = |template: &Value| by_type(&template["components"], is_authentication);
            // What is made from a template of Meta's library has the library's texts.
            if !definition["components"].is_null() {
                each_part(&parts(definition), &parts(object), "", &mut found);
            }
            for name in ["message_send_ttl_seconds", "sub_category"] {
                compare(name, &definition[name], &object[name], &mut found);
            }
        }
    }
    Some(found)
}

/// The same of two definitions: of what is defined and what was last submitted.
pub fn since_submitted(definition: &Value, submitted: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    let parts = |template: &Value| by_type(&template["components"], false);
    each_part(&parts(definition), &parts(submitted), "", &mut found);
    let members = definition.as_object().into_iter().flatten();
    for (name, ours) in members.filter(|(name, _)| *name != "components") {
        compare(name, ours, &submitted[name.as_str()], &mut found);
    }
    found
}

/// Parts of a template: one that only one side has is a difference.
fn each_part(ours: &Value, theirs: &Value, before: &str, found: &mut Vec<Difference>) {
    let none = Map::new();
    let members = |value: &'_ Value| value.as_object().cloned().unwrap_or_else(|| none.clone());
    let (ours, theirs) = (members(ours), members(theirs));
    for (name, part) in &ours {
        let other = theirs.get(name).unwrap_or(&Value::Null);
        compare(&format!("{before}{name}"), part, other, found);
    }
    for (name, part) in &theirs {
        // What Infobip says of the whole.
        if !ours.contains_key(name) && name != "type" && !part.is_null() {
            found.push(Difference {
                field: format!("{before}{name}"),
                ours: Value::Null,
                theirs: part.clone(),
            });
        }
    }
}

/// What is defined and stands there otherwise. What is not defined may be anything.
fn compare(field: &str, ours: &Value, theirs: &Value, found: &mut Vec<Difference>) {
    match (ours, theirs) {
        (Value::Null, _) => {}
        (Value::Object(members), Value::Object(_)) => {
            // A flow that was given by its name or its JSON is shown by its id.
            let is_flow = !theirs["flow_id"].is_null();
            let elsewhere = |name: &str| is_flow && matches!(name, "flow_name" | "flow_json");
            for (name, ours) in members {
                if name != "example" && name != "examples" && !elsewhere(name) {
                    compare(
                        &format!("{field}.{name}"),
                        ours,
                        &theirs[name.as_str()],
                        found,
                    );
                }
            }
        }
        (Value::Array(items), Value::Array(others)) if items.len() == others.len() => {
            for (n, (ours, theirs)) in items.iter().zip(others).enumerate() {
                compare(&format!("{field}[{n}]"), ours, theirs, found);
            }
        }
        // What is left as it is need not be shown.
        (Value::Bool(false), Value::Null) => {}
        (Value::Number(none), Value::Null) if none.as_i64() == Some(-1) => {}
        _ if is_same(field, ours, theirs) => {}
        _ => found.push(Difference {
            field: field.to_owned(),
            ours: ours.clone(),
            theirs: theirs.clone(),
        }),
    }
}

fn is_same(field: &str, ours: &Value, theirs: &Value) -> bool {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (a, b) = (text(ours), text(theirs));
    let name = field.rsplit('.').next().unwrap_or(field);
    match name {
        _ if a == b => true,
        _ if WORDS.contains(&name) => a.eq_ignore_ascii_case(&b),
        "phone_number" | "phoneNumber" => digits(&a) == digits(&b),
        _ => false,
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Components by their types, whatever their order. Of an authentication template only what a
/// caller can say of one.
fn by_type(components: &Value, is_authentication: bool) -> Value {
    let mut out = Map::new();
    for component in components.as_array().into_iter().flatten() {
        let kind = component["type"]
            .as_str()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let mut part = component.clone();
        if let Some(cards) = part["cards"].as_array_mut() {
            for card in cards {
                *card = by_type(&card["components"], false);
            }
        }
        if let Some(members) = part.as_object_mut() {
            members.retain(|name, value| name != "type" && !value.is_null());
            if is_authentication {
                members.remove("text");
            }
        }
        if is_authentication && kind == "BUTTONS" {
            part = otp_types(&component["buttons"]);
        }
        out.insert(kind, part);
    }
    out.into()
}

/// WhatsApp shows a button for a password as the URL that it is.
fn otp_types(buttons: &Value) -> Value {
    let kind = |button: &Value| {
        let of_url = || {
            let (_, rest) = button["url"].as_str()?.split_once("otp_type=")?;
            rest.split('&').next()
        };
        let kind = button["otp_type"].as_str().or_else(of_url);
        Value::from(kind.unwrap_or_default().to_ascii_uppercase())
    };
    buttons.as_array().into_iter().flatten().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(provider: Provider, ours: &Value, theirs: &Value) -> Vec<String> {
        let found = differences(provider, ours, theirs).unwrap();
        found
            .into_iter()
            .map(|difference| difference.field)
            .collect()
    }

    fn ours() -> Value {
        json!({"name": "a", "language": "en", "category": "UTILITY", "components": [
            {"type": "body", "text": "Hi {{1}} x", "example": {"body_text": [["Ana"]]}},
            {"type": "BUTTONS", "buttons": [{"type": "phone_number", "text": "Call", "phone_number": "16467043595"}]},
        ]})
    }

    #[test]
    fn what_a_provider_fills_in_or_writes_otherwise_is_no_difference() {
        let theirs = json!({"id": "7", "category": "UTILITY", "status": "APPROVED", "components": [
            {"type": "BUTTONS", "buttons": [{"type": "PHONE_NUMBER", "text": "Call", "phone_number": "+16467043595"}]},
            {"type": "BODY", "text": "Hi {{1}} x", "example": {"body_text": [["Bob"]]}},
        ]});
        assert_eq!(
            fields(Provider::Meta, &ours(), &theirs),
            Vec::<String>::new()
        );
        let theirs = json!({"category": "UTILITY", "structure": {"type": "MEDIA", "body": {"text": "Hi {{1}} x"},
            "buttons": [{"type": "PHONE_NUMBER", "text": "Call", "phoneNumber": "16467043595"}]}});
        assert_eq!(
            fields(Provider::Infobip, &ours(), &theirs),
            Vec::<String>::new()
        );
    }

    #[test]
    fn what_stands_there_in_another_form_is_no_difference() {
        let template = |button: Value, body: Value| {
            json!({"category": "UTILITY", "components": [body,
                {"type": "BUTTONS", "buttons": [button]}]})
        };
        let mut ours = template(
            json!({"type": "FLOW", "text": "Go", "flow_name": "book"}),
            json!({"type": "BODY", "text": "Hi", "add_security_recommendation": false}),
        );
        ours["message_send_ttl_seconds"] = json!(-1);
        let theirs = template(
            json!({"type": "FLOW", "text": "Go", "flow_id": 77}),
            json!({"type": "BODY", "text": "Hi"}),
        );
        let none = Vec::<String>::new();
        assert_eq!(fields(Provider::Meta, &ours, &theirs), none);
        ours["components"][1]["buttons"][0]["text"] = "Stop".into();
        let found = fields(Provider::Meta, &ours, &theirs);
        assert_eq!(found, ["BUTTONS.buttons[0].text"]);
    }

    #[test]
    fn what_is_made_from_a_library_has_the_librarys_texts() {
        let ours = json!({"name": "a", "language": "en", "category": "UTILITY",
            "library_template_name": "delivery_update_1"});
        let theirs = json!({"category": "UTILITY", "components": [
            {"type": "BODY", "text": "Good news! Your order is on its way."}]});
        assert!(fields(Provider::Meta, &ours, &theirs).is_empty());
    }

    #[test]
    fn what_differs_is_named() {
        let theirs = json!({"category": "MARKETING", "components": [
            {"type": "BODY", "text": "Hi {{1}} y"}, {"type": "FOOTER", "text": "z"},
            {"type": "BUTTONS", "buttons": []},
        ]});
        let found = fields(Provider::Meta, &ours(), &theirs);
        assert_eq!(
            found,
            ["category", "BODY.text", "BUTTONS.buttons", "FOOTER"]
        );
        let theirs = json!({"category": "UTILITY", "structure": {"body": {"text": "Hi {{1}} y"}}});
        let found = fields(Provider::Infobip, &ours(), &theirs);
        assert_eq!(found, ["structure.body.text", "structure.buttons"]);
    }

    #[test]
    fn an_authentication_template_is_told_by_what_can_be_said_of_one() {
        let ours = |kind: &str| {
            json!({"category": "AUTHENTICATION", "components": [
                {"type": "BODY", "add_security_recommendation": true},
                {"type": "BUTTONS", "buttons": [{"type": "OTP", "otp_type": kind, "text": "Copy"}]}]})
        };
        let theirs = json!({"category": "AUTHENTICATION", "components": [
            {"type": "BODY", "text": "*{{1}}* is your code.", "add_security_recommendation": true},
            {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Copy",
                "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}"}]}]});
        assert_eq!(
            fields(Provider::Meta, &ours("copy_code"), &theirs),
            Vec::<String>::new()
        );
        assert_eq!(
            fields(Provider::Meta, &ours("ONE_TAP"), &theirs),
            ["BUTTONS[0]"]
        );
        assert_eq!(
            differences(Provider::Infobip, &ours("COPY_CODE"), &json!({})),
            None
        );
        let since = since_submitted(&ours("COPY_CODE"), &ours("ONE_TAP"));
        assert_eq!(since.len(), 1);
    }
}
