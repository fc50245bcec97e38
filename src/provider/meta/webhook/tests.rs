//! Bodies in Meta's shapes, with invented values. Here is what the tests build them from.

mod accounts;
mod beside;
mod calls;
mod coexistence;
mod content;
mod documented;
mod groups;
mod robustness;
mod statuses;
mod templates;
mod users;

use serde_json::{Value, json};

use super::*;
use crate::model::Timestamp;
use crate::model::event;
use crate::model::fact::{Fact, NewsFact, Said, StatusFact};

const WABA: &str = "204411887755301";

fn decoded(body: &Value) -> Decoded {
    decode(body.to_string().as_bytes())
}

fn body(entry: Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [entry]})
}

fn messages(mut value: Value) -> Value {
    value["messaging_product"] = "whatsapp".into();
    value["metadata"] =
        json!({"display_phone_number": "15550142217", "phone_number_id": "310022446688199"});
    json!({"field": "messages", "value": value})
}

fn in_messages(value: Value) -> Value {
    body(json!({"id": WABA, "changes": [messages(value)]}))
}

fn field(field: &str, value: Value) -> Value {
    let change = json!({"field": field, "value": value});
    body(json!({"id": WABA, "time": 1_763_771_000, "changes": [change]}))
}

fn status(id: &str, word: &str) -> Value {
    json!({"id": id, "status": word, "timestamp": "1763769612", "recipient_id": "15550190044"})
}

fn status_of(fact: &Fact) -> &StatusFact {
    match &fact.said {
        Said::Status(status) => status,
        other => panic!("not a status: {other:?}"),
    }
}

fn only(decoded: &Decoded) -> &Fact {
    assert_eq!(decoded.problems, []);
    assert_eq!(decoded.facts.len(), 1, "{decoded:?}");
    &decoded.facts[0]
}

fn data(fact: &Fact) -> Value {
    serde_json::from_str(&fact.data).unwrap()
}

fn seconds(fact: &Fact) -> Option<i64> {
    fact.at.map(Timestamp::unix_timestamp)
}

/// The one fact of a body: its type and its data.
fn golden(body: &Value) -> (String, Value) {
    let decoded = decoded(body);
    let fact = only(&decoded);
    (event::of(&fact.said).into_owned(), data(fact))
}

/// Each fact of a body: its type and its data.
fn goldens(body: &Value) -> Vec<(String, Value)> {
    let decoded = decoded(body);
    assert_eq!(decoded.problems, []);
    let facts = decoded.facts.iter();
    facts
        .map(|fact| (event::of(&fact.said).into_owned(), data(fact)))
        .collect()
}

fn shows(body: &Value, r#type: &str, shown: &Value) {
    let (found, data) = golden(body);
    assert_eq!((found.as_str(), &data), (r#type, shown));
}

/// A field of those that bear `metadata` and no time.
fn with_number(field: &str, mut value: Value) -> Value {
    value["messaging_product"] = "whatsapp".into();
    value["metadata"] =
        json!({"display_phone_number": "15550142217", "phone_number_id": "310022446688199"});
    body(json!({"id": WABA, "changes": [{"field": field, "value": value}]}))
}

fn news_of(fact: &Fact) -> &NewsFact {
    match &fact.said {
        Said::News(news) => news,
        other => panic!("not news: {other:?}"),
    }
}

/// What Meta documents, a body a field or more.
fn documented_examples() -> Vec<Value> {
    serde_json::from_str(include_str!("../../../../tests/documented.json")).unwrap()
}
