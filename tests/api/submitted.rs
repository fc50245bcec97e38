//! Templates as each provider is asked to make them: `tests/managed/` has what callers give, and
//! beside it, a file a provider, the whole request that is made of it, or why it is refused. What
//! Infobip is asked fits the schemas that it publishes.

use serde_json::{Map, Value, json};
use twotick::model::provider::Provider;
use twotick::provider::operations::Ask;
use twotick::provider::templates::{Account, Filter, Named};
use twotick::provider::templates::{check, create, delete, delete_name, edit, list, read, unpause};

use crate::schema::{From, Schemas};

const ACCOUNT: Account<'_> = Account {
    api_version: "v25.0",
    waba_id: "204411887755301",
    number: "441200000001",
};

fn file(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

fn given() -> Map<String, Value> {
    file(include_str!("../managed/given.json"))
}

/// A call as it goes out: `METHOD path`, and its body.
fn shown(provider: Provider, ask: &Ask) -> (String, Option<Value>) {
    let call = ask.operation.at(provider).unwrap();
    let said = format!("{} {}", call.verb.as_str(), ask.address(&call));
    (said, ask.body.clone())
}

/// What is made of a definition.
fn made(provider: Provider, definition: &Value) -> Value {
    let faults = check(provider, definition);
    if !faults.is_empty() {
        let faults = faults
            .into_iter()
            .map(|fault| (fault.field, fault.reason.into()));
        return json!({"refused": faults.collect::<Map<_, _>>()});
    }
    shown(provider, &create(provider, &ACCOUNT, definition))
        .1
        .unwrap()
}

fn holds(provider: Provider, expected: &str) {
    let mut expected = file(expected);
    let mut wrong = String::new();
    for (name, definition) in given() {
        let made = made(provider, &definition);
        let known = expected.remove(&name);
        // What is passed on as it is given is not written a second time.
        let known = known.map(|known| {
            if known == "as given" {
                definition
            } else {
                known
            }
        });
        if known.as_ref() != Some(&made) {
            wrong.push_str(&format!("{}: {made},\n", json!(name)));
        }
    }
    assert!(wrong.is_empty(), "{} is asked:\n{wrong}", provider.as_str());
    assert!(expected.is_empty(), "nobody gives {expected:?}");
}

#[test]
fn meta_is_asked_to_make_every_kind_of_template() {
    holds(Provider::Meta, include_str!("../managed/meta.json"));
}

#[test]
fn dialog360_is_asked_to_make_every_kind_of_template() {
    let expected = include_str!("../managed/dialog360.json");
    holds(Provider::Dialog360, expected);
    holds(Provider::Dialog360Onprem, expected);
}

#[test]
fn infobip_is_asked_to_make_every_kind_of_template_as_its_schemas_have_it() {
    holds(Provider::Infobip, include_str!("../managed/infobip.json"));
    let schemas = include_str!("../managed/infobip_schema.json");
    let schemas: Value = serde_json::from_str(schemas).unwrap();
    let fits = |name: &str, body: &Value| {
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        let errors = Schemas(&schemas, From::Service).errors(&schema, body, "");
        assert!(errors.is_empty(), "{}\n{body}", errors.join("\n"));
    };
    for (_, definition) in given() {
        if !check(Provider::Infobip, &definition).is_empty() {
            continue;
        }
        let (_, body) = shown(
            Provider::Infobip,
            &create(Provider::Infobip, &ACCOUNT, &definition),
        );
        fits("TemplatePublicApiRequest", &body.unwrap());
        let mut change = definition.clone();
        let members = change.as_object_mut().unwrap();
        members.retain(|name, _| name != "name" && name != "language");
        let named = Named {
            id: "734512",
            name: "a_template",
        };
        let (_, body) = shown(
            Provider::Infobip,
            &edit(Provider::Infobip, &ACCOUNT, named, &change),
        );
        fits("TemplateEditPublicApiRequest", &body.unwrap());
    }
}

/// Paths as the providers' pages have them.
#[test]
fn every_call_goes_where_the_providers_say() {
    use Provider::{Dialog360, Infobip, Meta};
    let named = Named {
        id: "734512",
        name: "order_ready",
    };
    let all = Filter::default();
    let by = Filter {
        name: Some("order_ready".to_owned()),
        status: Some("approved".to_owned()),
        ..Filter::default()
    };
    let definition = json!({"name": "a", "language": "en", "category": "UTILITY"});
    let fields = "fields=id%2Cname%2Clanguage%2Cstatus%2Ccategory%2Csub_category%2C\
                  previous_category%2Ccomponents%2Cparameter_format%2Cmessage_send_ttl_seconds%2C\
                  quality_score%2Crejected_reason";
    let waba = "v25.0/204411887755301/message_templates";
    let sender = "whatsapp/2/senders/441200000001/templates";
    let configs = "v1/configs/templates";
    let page = "limit=100&offset=0&sort=business_templates.name";
    for (provider, ask, expected) in [
        (
            Meta,
            create(Meta, &ACCOUNT, &definition),
            format!("POST {waba}"),
        ),
        (
            Meta,
            edit(Meta, &ACCOUNT, named, &definition),
            "POST v25.0/734512".to_owned(),
        ),
        (
            Meta,
            read(Meta, &ACCOUNT, named),
            format!("GET v25.0/734512?{fields}"),
        ),
        (
            Meta,
            list(Meta, &ACCOUNT, &by, Some("MjQ"), false),
            format!("GET {waba}?name=order_ready&status=APPROVED&{fields}&limit=100&after=MjQ"),
        ),
        (
            Meta,
            delete_name(Meta, &ACCOUNT, "order_ready"),
            format!("DELETE {waba}?name=order_ready"),
        ),
        (
            Meta,
            delete(&ACCOUNT, named),
            format!("DELETE {waba}?hsm_id=734512&name=order_ready"),
        ),
        (
            Meta,
            unpause(&ACCOUNT, named),
            "POST v25.0/734512/unpause".to_owned(),
        ),
        (
            Dialog360,
            create(Dialog360, &ACCOUNT, &definition),
            format!("POST {configs}"),
        ),
        (
            Dialog360,
            list(Dialog360, &ACCOUNT, &all, None, false),
            format!("GET {configs}?{page}"),
        ),
        (
            Dialog360,
            list(Dialog360, &ACCOUNT, &by, None, false),
            format!(
                "GET {configs}?{page}&filters=%7B%22business_templates.name%22%3A%22order_ready%22%7D"
            ),
        ),
        (
            Dialog360,
            delete_name(Dialog360, &ACCOUNT, "order_ready"),
            format!("DELETE {configs}/order_ready"),
        ),
        (
            Infobip,
            create(Infobip, &ACCOUNT, &definition),
            format!("POST {sender}"),
        ),
        (
            Infobip,
            edit(Infobip, &ACCOUNT, named, &definition),
            format!("PATCH {sender}/734512"),
        ),
        (
            Infobip,
            read(Infobip, &ACCOUNT, named),
            format!("GET {sender}/734512"),
        ),
        (
            Infobip,
            list(Infobip, &ACCOUNT, &by, None, false),
            format!("GET {sender}"),
        ),
        (
            Infobip,
            list(Infobip, &ACCOUNT, &all, None, true),
            format!("GET {}", sender.replace("/2/", "/1/")),
        ),
        (
            Infobip,
            delete_name(Infobip, &ACCOUNT, "order_ready"),
            format!("DELETE {sender}/order_ready"),
        ),
    ] {
        assert_eq!(shown(provider, &ask).0, expected);
    }
}
