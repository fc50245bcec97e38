//! What callers say of templates that they submit: Meta's `components`, which 360dialog passes on,
//! and Infobip's `structure`; and how the provider shows them from then on.

use serde_json::{Map, Value, json};

use super::super::review::Submission;
use super::Dialect;

/// Reads what a body defines, or changes.
pub fn read(dialect: Dialect, body: &Value) -> Submission {
    let category = body["category"].as_str().map(str::to_ascii_uppercase);
    let submission = match dialect {
        Dialect::Infobip => of_structure(body, category.as_deref() == Some("AUTHENTICATION")),
        _ => of_components(body),
    };
    Submission {
        category,
        ..submission
    }
}

fn of_components(body: &Value) -> Submission {
    let mut content = Map::new();
    for name in [
        "parameter_format",
        "message_send_ttl_seconds",
        "sub_category",
    ] {
        if !body[name].is_null() {
            content.insert(name.to_owned(), body[name].clone());
        }
    }
    let components = body["components"].as_array();
    let components: Vec<_> = components.into_iter().flatten().map(shown).collect();
    let of = |kind: &str| {
        components
            .iter()
            .find(|component| component["type"] == kind)
    };
    let submission = Submission {
        body: of("BODY")
            .and_then(|body| body["text"].as_str())
            .map(str::to_owned),
        buttons: of("BUTTONS")
            .and_then(|it| it["buttons"].as_array())
            .map_or(0, Vec::len),
        has_content: !components.is_empty(),
        ..Submission::default()
    };
    if submission.has_content {
        content.insert("components".to_owned(), components.into());
    }
    Submission {
        content,
        ..submission
    }
}

/// Words come in any case and are shown in upper case; an authentication template gets WhatsApp's
/// own texts, and its button is shown as the URL that it is.
fn shown(component: &Value) -> Value {
    let mut shown = component.clone();
    let upper = |value: &Value| {
        value
            .as_str()
            .map(|word| Value::from(word.to_ascii_uppercase()))
    };
    for name in ["type", "format"] {
        if let Some(word) = upper(&component[name]) {
            shown[name] = word;
        }
    }
    if shown["example"]["header_handle"].is_array() {
        let address = "https://scontent.whatsapp.net/v/t61.29466-34/sample";
        shown["example"]["header_handle"] = json!([address]);
    }
    if let Some(buttons) = shown.get_mut("buttons").and_then(Value::as_array_mut) {
        for button in buttons {
            match upper(&button["type"]) {
                Some(word) if word == "OTP" => *button = otp(button),
                Some(word) => button["type"] = word,
                None => {}
            }
        }
    }
    if let Some(cards) = shown.get_mut("cards").and_then(Value::as_array_mut) {
        for card in cards {
            let parts = card["components"].as_array().into_iter().flatten();
            card["components"] = parts.map(self::shown).collect();
        }
    }
    if shown["type"] == "BODY" && shown["text"].is_null() {
        shown["text"] = "*{{1}}* is your verification code.".into();
        shown["example"] = json!({"body_text": [["123456"]]});
    }
    if let Some(minutes) = shown["code_expiration_minutes"].as_i64() {
        shown["text"] = format!("This code expires in {minutes} minutes.").into();
    }
    shown
}

fn otp(button: &Value) -> Value {
    let kind = button["otp_type"]
        .as_str()
        .unwrap_or_default()
        .to_ascii_uppercase();
    let text = button["text"].as_str().unwrap_or("Copy code");
    let url = format!("https://www.whatsapp.com/otp/code/?otp_type={kind}&code=otp{{{{1}}}}");
    let example = url.replace("{{1}}", "123456");
    json!({"type": "URL", "text": text, "url": url, "example": [example]})
}

fn of_structure(body: &Value, is_authentication: bool) -> Submission {
    let structure = &body["structure"];
    let mut content = Map::new();
    for name in ["validityPeriod", "platform", "subCategory"] {
        if !body[name].is_null() {
            content.insert(name.to_owned(), body[name].clone());
        }
    }
    if structure.is_object() {
        let shown = match is_authentication {
            true => json!({"body": {"text": "*{{1}}* is your verification code."},
                "buttons": [{"type": "URL", "text": "Copy code",
                    "url": "https://www.whatsapp.com/otp/code/?otp_type=COPY_CODE&code=otp{{1}}"}],
                "type": "TEXT"}),
            false => without_samples(structure),
        };
        content.insert("structure".to_owned(), shown);
    }
    Submission {
        body: structure["body"]["text"].as_str().map(str::to_owned),
        buttons: structure["buttons"].as_array().map_or(0, Vec::len),
        has_content: structure.is_object(),
        content,
        ..Submission::default()
    }
}

/// Samples are write-only.
fn without_samples(structure: &Value) -> Value {
    let mut shown = structure.clone();
    strip(&mut shown);
    let is_text = shown["header"].is_null() || shown["header"]["format"] == "TEXT";
    let has_buttons = shown["buttons"].is_array() || shown["carousel"].is_object();
    shown["type"] = match is_text && !has_buttons {
        true => "TEXT".into(),
        false => "MEDIA".into(),
    };
    shown
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| name != "example" && name != "examples");
            members.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}
