//! Every kind of message as each provider is asked to send it: `tests/sent/` has a file a provider,
//! what a caller gives beside the whole request that is made of it, or beside why it is refused.

use serde_json::{Map, Value, json};

use super::content::Wrong;
use super::{Outgoing, authorization, check, check_recipient, request};
use crate::model::provider::Provider;

/// What callers give, as the API takes it, by name. All providers' files speak of these. Templates
/// have a namespace where there is no other way.
fn given(provider: Provider) -> Map<String, Value> {
    let given = include_str!("../../tests/sent/given.json");
    let mut given: Map<String, Value> = serde_json::from_str(given).unwrap();
    for (name, given) in &mut given {
        if provider == Provider::Dialog360Onprem && name.starts_with("template ") {
            given["template"]["namespace"] = "1212e9fb".into();
        }
    }
    given
}

/// What is made of a message: `{"path", "body"}`, or `{"refused": {field: reason}}`.
fn made(provider: Provider, given: &Value) -> Value {
    let text = |name: &str| given[name].as_str();
    let kind = text("type").unwrap();
    let to = text("to").unwrap_or("447700900123");
    let message = Outgoing {
        from: match provider {
            Provider::Meta => "710000000000021",
            Provider::Dialog360 | Provider::Dialog360Onprem => "",
            Provider::Infobip => "441200000001",
        },
        to,
        kind,
        content: &given[kind],
        marketing: given.get("marketing"),
        id: "msg_7.1",
    };
    let mut faults = check(provider, &message);
    faults.extend(check_recipient(provider, to));
    if !faults.is_empty() {
        assert!(
            faults
                .iter()
                .all(|fault| fault.wrong == Wrong::NotSupported),
            "{faults:?}"
        );
        let faults = faults
            .into_iter()
            .map(|fault| (fault.field, fault.reason.into()));
        return json!({"refused": faults.collect::<Map<_, _>>()});
    }
    let request = request(provider, Some("v25.0"), &message).unwrap();
    json!({"path": request.path, "body": request.body})
}

/// A file has an entry for whatever callers give, and others that bring with them what is given.
fn holds(provider: Provider, file: &str) {
    let file: Map<String, Value> = serde_json::from_str(file).unwrap();
    let given = given(provider);
    for name in given.keys() {
        assert!(file.contains_key(name), "{name} is not in the file");
    }
    for (name, mut expected) in file {
        let own = expected.as_object_mut().unwrap().remove("given");
        let given = own.as_ref().or(given.get(&name)).unwrap();
        let made = made(provider, given);
        assert_eq!(made, expected, "{name}: made of it is\n{made}");
    }
}

#[test]
fn meta_is_asked_to_send_every_kind() {
    holds(Provider::Meta, include_str!("../../tests/sent/meta.json"));
}

#[test]
fn dialog360_is_asked_to_send_every_kind() {
    holds(
        Provider::Dialog360,
        include_str!("../../tests/sent/dialog360.json"),
    );
}

#[test]
fn the_on_premises_api_is_asked_to_send_every_kind() {
    let expected = include_str!("../../tests/sent/dialog360_onprem.json");
    holds(Provider::Dialog360Onprem, expected);
}

#[test]
fn infobip_is_asked_to_send_every_kind() {
    holds(
        Provider::Infobip,
        include_str!("../../tests/sent/infobip.json"),
    );
}

#[test]
fn each_is_shown_the_key_in_its_own_way() {
    let shown = Provider::ALL.map(authorization);
    let dialog360 = ("d360-api-key", "");
    let others = [
        ("authorization", "Bearer "),
        dialog360,
        dialog360,
        ("authorization", "App "),
    ];
    assert_eq!(shown, others);
}
