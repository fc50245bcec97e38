//! Meta's welcome message sequences: what users see who come from an ad. Meta describes the answers
//! in two ways (a bare list of `sequence_id`, an edge of nodes with `id`); both are read.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::content::{Fault, Faults, Place};
use super::lenient::{self, plain};
use super::operations::{Ask, Body, Operation, welcome as op};
use super::templates::{Account, names};
use crate::model::Timestamp;

/// Sequences of one page.
const PAGE: &str = "100";

/// The lists that an answer may have, where it is none itself.
const LISTS: [&str; 2] = ["data", "welcome_message_sequences"];

/// A sequence as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Welcome {
    /// The provider's.
    pub id: String,
    /// For whoever makes ads.
    pub name: Option<String>,
    /// What it says.
    pub sequence: Option<Value>,
    /// Whether it can be neither changed nor deleted.
    pub is_used_in_ad: Option<bool>,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

/// What keeps a sequence from being made or changed. How long its texts may be Meta does not say.
pub fn check(given: &Value, is_new: bool) -> Vec<Fault> {
    let faults = Faults::default();
    let place = Place::new("", Some(given), &faults);
    let (name, sequence) = (place.member("name"), place.member("sequence"));
    if is_new || name.value().is_some() {
        name.text();
    }
    if (is_new || sequence.value().is_some()) && sequence.object().is_some() {
        sequence.member("text").maybe_text();
        let autofill = sequence.member("autofill_message");
        if autofill.value().is_some() && autofill.object().is_some() {
            autofill.member("content").text();
        }
        for breaker in sequence.member("ice_breakers").maybe_items() {
            breaker.member("title").text();
        }
    }
    faults.into_vec()
}

fn about(operation: &'static Operation, account: &Account<'_>) -> Ask {
    Ask::of(operation, &names(account, None))
}

/// A page of the list.
pub fn list(account: &Account<'_>, after: Option<&str>) -> Ask {
    about(&op::LIST_WELCOME, account)
        .query("limit", Some(PAGE))
        .query("after", after)
}

/// One of them.
pub fn read(account: &Account<'_>, id: &str) -> Ask {
    about(&op::READ_WELCOME, account).query("sequence_id", Some(id))
}

/// Makes one, or changes the one of this id. A form, in which the sequence is its JSON.
pub fn write(account: &Account<'_>, id: Option<&str>, given: &Map<String, Value>) -> Ask {
    let operation = match id {
        None => &op::CREATE_WELCOME,
        Some(_) => &op::UPDATE_WELCOME,
    };
    let name = given.get("name").and_then(plain);
    let sequence = given.get("sequence").map(Value::to_string);
    let pairs = [
        ("sequence_id", id.map(str::to_owned)),
        ("name", name),
        ("welcome_message_sequence", sequence),
    ];
    let said = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    about(operation, account).saying(Body::Form(said.collect()))
}

/// Deletes one.
pub fn delete(account: &Account<'_>, id: &str) -> Ask {
    about(&op::DELETE_WELCOME, account).query("sequence_id", Some(id))
}

/// The id that a new one got.
pub fn created(answer: &Value) -> Option<String> {
    plain(&answer["sequence_id"]).or_else(|| plain(&answer["id"]))
}

/// Sequences, with the provider's own object of each, and where the next page begins.
pub type Page = (Vec<(Welcome, Value)>, Option<String>);

/// The sequences of an answer.
pub fn page(answer: &Value) -> Option<Page> {
    let inside = || LISTS.iter().find_map(|list| answer[*list].as_array());
    let list = answer.as_array().or_else(inside)?;
    let read = list
        .iter()
        .filter_map(|object| Some((welcome(object)?, object.clone())));
    let paging = &answer["paging"];
    let has_next = !paging["next"].is_null();
    let next = has_next.then(|| plain(&paging["cursors"]["after"]));
    Some((read.collect(), next.flatten()))
}

fn welcome(object: &Value) -> Option<Welcome> {
    let sequence = match &object["welcome_message_sequence"] {
        Value::Null => None,
        // Its JSON as text; what is none is shown as it is.
        Value::String(text) => {
            Some(serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()))
        }
        value => Some(value.clone()),
    };
    let updated = plain(&object["last_update_time"]).and_then(|time| {
        let raw = RawValue::from_string(Value::from(time).to_string()).ok()?;
        lenient::date(&raw)
    });
    Some(Welcome {
        id: created(object)?,
        name: plain(&object["name"]),
        sequence,
        is_used_in_ad: object["is_used_in_ad"].as_bool(),
        updated_at: updated,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_of_metas_descriptions_are_read_alike() {
        let text = r#"{"text":"Hi","ice_breakers":[{"title":"Opening hours?"}]}"#;
        let bare = json!([{"sequence_id": "186473890", "name": "Leads",
            "welcome_message_sequence": text, "is_used_in_ad": true}]);
        let edge = json!({"data": [{"id": 186473890, "name": "Leads", "is_used_in_ad": true,
            "welcome_message_sequence": serde_json::from_str::<Value>(text).unwrap()}],
            "paging": {"cursors": {"before": "a", "after": "b"}, "next": "https://x"}});
        let (bare, none) = page(&bare).unwrap();
        let (edge, next) = page(&edge).unwrap();
        assert_eq!(bare[0].0, edge[0].0);
        assert_eq!(bare[0].0.sequence.as_ref().unwrap()["text"], "Hi");
        assert_eq!((none, next.as_deref()), (None, Some("b")));
        assert_eq!(
            created(&json!({"sequence_id": "186473890"})).as_deref(),
            Some("186473890")
        );
        assert_eq!(page(&json!({"success": true})), None);
    }

    #[test]
    fn a_sequence_goes_out_as_the_documented_form() {
        let account = Account {
            api_version: "v25.0",
            waba_id: "880000000000033",
            number: "",
        };
        let given = json!({"name": "Boiler leads", "sequence": {"text": "Hi"}});
        let ask = write(&account, None, given.as_object().unwrap());
        let call = ask.operation.meta.unwrap();
        assert_eq!(
            ask.address(&call),
            "v25.0/880000000000033/welcome_message_sequences"
        );
        let expected = vec![
            ("name", "Boiler leads".to_owned()),
            ("welcome_message_sequence", r#"{"text":"Hi"}"#.to_owned()),
        ];
        assert_eq!(ask.body, Some(Body::Form(expected)));
        let gone = delete(&account, "7");
        assert!(gone.address(&call).ends_with("?sequence_id=7"));
    }

    #[test]
    fn what_is_no_sequence_is_named() {
        let of = |given: Value, is_new| -> Vec<_> {
            check(&given, is_new)
                .into_iter()
                .map(|it| it.field)
                .collect()
        };
        let wrong = json!({"sequence": {"text": 7, "autofill_message": {},
            "ice_breakers": [{"title": "x"}, {}]}});
        let expected = [
            "name",
            "sequence.text",
            "sequence.autofill_message.content",
            "sequence.ice_breakers[1].title",
        ];
        assert_eq!(of(wrong, true), expected);
        assert_eq!(of(json!({"name": "x"}), true), ["sequence"]);
        assert!(of(json!({"name": "x"}), false).is_empty());
    }
}
