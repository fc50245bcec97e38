//! Numbers, their profiles and their registration as each provider is asked: where to, and with
//! bodies that fit what Infobip and Meta publish (`tests/managed/senders_schema.json`).

use secrecy::SecretString;
use serde_json::{Value, json};
use twotick::model::provider::Provider;
use twotick::provider::operations::{Ask, Body};
use twotick::provider::profile;
use twotick::provider::registration::{Change, Method, NewNumber, add};
use twotick::provider::senders;
use twotick::provider::templates::Account;

use crate::schema::{From, Schemas};

const ACCOUNT: Account<'_> = Account {
    api_version: "v25.0",
    waba_id: "204411887755301",
    number: "441200000001",
};

fn shown(provider: Provider, ask: &Ask) -> (String, Value) {
    let call = ask.operation.at(provider).unwrap();
    let said = format!("{} {}", call.verb.as_str(), ask.address(&call));
    let body = match ask.body.clone() {
        None => Value::Null,
        Some(Body::Json(body)) => body,
        Some(other) => panic!("no JSON: {other:?}"),
    };
    (said, body)
}

fn fits(name: &str, body: &Value) {
    let schemas = include_str!("../managed/senders_schema.json");
    let schemas: Value = serde_json::from_str(schemas).unwrap();
    let schema = json!({"$ref": format!("#/components/schemas/{name}")});
    let errors = Schemas(&schemas, From::Service).errors(&schema, body, "");
    assert!(errors.is_empty(), "{name}: {}\n{body}", errors.join("\n"));
}

#[test]
fn profiles_are_changed_as_the_providers_have_it() {
    let given = json!({"about": "Boilers", "address": "1 Elm Row", "description": "We service.",
        "email": "ops@alder.example", "websites": ["https://alder.example"],
        "vertical": "PROF_SERVICES"});
    let members = given.as_object().unwrap();
    for (provider, path, schema) in [
        (
            Provider::Meta,
            "POST v25.0/441200000001/whatsapp_business_profile",
            "meta_profile",
        ),
        (
            Provider::Dialog360,
            "POST whatsapp_business_profile",
            "meta_profile",
        ),
        (
            Provider::Infobip,
            "PATCH whatsapp/1/senders/441200000001/business-info",
            "infobip_profile",
        ),
    ] {
        assert!(profile::check(provider, &given).is_empty());
        let asks = profile::update(provider, &ACCOUNT, members);
        let (said, body) = shown(provider, &asks[0]);
        assert_eq!((asks.len(), said.as_str()), (1, path));
        fits(schema, &body);
        let words = ["PROF_SERVICES", "PROFESSIONAL_SERVICES"];
        assert_eq!(
            body["vertical"],
            words[usize::from(provider == Provider::Infobip)]
        );
    }
}

#[test]
fn every_word_for_a_business_is_one_of_the_providers() {
    let given = |word: &str| json!({ "vertical": word });
    let schemas: Value =
        serde_json::from_str(include_str!("../managed/senders_schema.json")).unwrap();
    let words = &schemas["components"]["schemas"]["meta_profile"]["properties"]["vertical"];
    for word in words["enum"].as_array().unwrap() {
        let given = given(word.as_str().unwrap());
        for (provider, schema) in [
            (Provider::Meta, "meta_profile"),
            (Provider::Infobip, "infobip_profile"),
        ] {
            let faults = profile::check(provider, &given);
            if faults.is_empty() {
                let members = given.as_object().unwrap();
                let asks = profile::update(provider, &ACCOUNT, members);
                fits(schema, &shown(provider, &asks[0]).1);
            }
            assert!(faults.is_empty() || provider == Provider::Infobip, "{word}");
        }
    }
}

#[test]
fn numbers_are_added_and_registered_as_the_providers_have_it() {
    use Provider::{Infobip, Meta};
    let new = NewNumber {
        country_code: "44".to_owned(),
        phone_number: "7796344125".to_owned(),
        display_name: "Shop 8".to_owned(),
        method: Method::Voice,
        language: "en_GB".to_owned(),
    };
    assert!(new.check().is_empty());
    let code = || Change::Verify(SecretString::from("482913"));
    let request = || Change::RequestCode {
        method: Method::Sms,
        language: "en_US".to_owned(),
    };
    let pin = || SecretString::from("318204");
    let register = Change::Register {
        pin: pin(),
        region: Some("DE".to_owned()),
    };
    let signup = "whatsapp/1/embedded-signup/registrations";
    let own = format!("{signup}/senders/441200000001/verification");
    let number = "v25.0/441200000001";
    let asks = [
        (
            Infobip,
            add(Infobip, &ACCOUNT, &new),
            format!("POST {signup}/business-account/204411887755301/senders"),
            "infobip_add",
        ),
        (
            Infobip,
            request().ask(Infobip, &ACCOUNT),
            format!("PUT {own}"),
            "infobip_code",
        ),
        (
            Infobip,
            code().ask(Infobip, &ACCOUNT),
            format!("POST {own}"),
            "infobip_verify",
        ),
        (
            Meta,
            add(Meta, &ACCOUNT, &new),
            "POST v25.0/204411887755301/phone_numbers".to_owned(),
            "meta_add",
        ),
        (
            Meta,
            request().ask(Meta, &ACCOUNT),
            format!("POST {number}/request_code"),
            "meta_code",
        ),
        (
            Meta,
            code().ask(Meta, &ACCOUNT),
            format!("POST {number}/verify_code"),
            "meta_verify",
        ),
        (
            Meta,
            register.ask(Meta, &ACCOUNT),
            format!("POST {number}/register"),
            "meta_register",
        ),
        (
            Meta,
            Change::SetPin(pin()).ask(Meta, &ACCOUNT),
            format!("POST {number}"),
            "meta_pin",
        ),
    ];
    for (provider, ask, path, schema) in asks {
        let (said, body) = shown(provider, &ask);
        assert_eq!(said, path);
        fits(schema, &body);
    }
    let gone = Change::Deregister.ask(Meta, &ACCOUNT);
    let expected = (format!("POST {number}/deregister"), Value::Null);
    assert_eq!(shown(Meta, &gone), expected);
    assert!(!format!("{:?}", Change::SetPin(pin())).contains("318204"));
}

#[test]
fn numbers_are_read_where_the_providers_say() {
    use Provider::{Dialog360, Infobip, Meta};
    let two = ["441".to_owned(), "442".to_owned()];
    let list = senders::list(Meta, &ACCOUNT, &[], Some("MjQ"));
    let said = shown(Meta, &list).0;
    assert!(
        said.starts_with("GET v25.0/204411887755301/phone_numbers?fields=id%2C"),
        "{said}"
    );
    assert!(said.ends_with("&limit=100&after=MjQ"), "{said}");
    let quality = "GET whatsapp/1/senders/quality?senders=";
    let list = senders::list(Infobip, &ACCOUNT, &two, None);
    assert_eq!(shown(Infobip, &list).0, format!("{quality}441%2C442"));
    let read = senders::read(Infobip, &ACCOUNT);
    assert_eq!(shown(Infobip, &read).0, format!("{quality}441200000001"));
    let health = senders::read(Dialog360, &ACCOUNT);
    assert_eq!(shown(Dialog360, &health).0, "GET health_status");
}
