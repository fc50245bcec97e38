//! Templates as each provider is asked to make them: `tests/managed/` has what callers give, and
//! beside it, a file a provider, the whole request that is made of it, or why it is refused. What
//! Infobip is asked fits the schemas that it publishes.

use serde_json::{Map, Value, json};
use twotick::model::proof::{Hash, Proof, ProofBy};
use twotick::model::provider::Provider;
use twotick::provider::flows;
use twotick::provider::media;
use twotick::provider::operations::{Ask, Body, form};
use twotick::provider::subscriptions::{Ours, Place, Wanted, infobip};
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
    let body = ask.body.clone().map(|body| match body {
        Body::Json(body) => body,
        other => panic!("no JSON: {other:?}"),
    });
    (said, body)
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

#[test]
fn flows_are_asked_for_as_the_providers_say() {
    use Provider::{Infobip, Meta};
    let given =
        json!({"name": "Quote form", "categories": ["LEAD_GENERATION"], "clone_flow_id": "7"});
    let Value::Object(given) = given else {
        panic!("an object");
    };
    let said = |provider: Provider, ask: &Ask| {
        let call = ask.operation.at(provider).unwrap();
        format!("{} {}", call.verb.as_str(), ask.address(&call))
    };
    let made = flows::write(Meta, &ACCOUNT, None, &given);
    assert_eq!(said(Meta, &made), "POST v25.0/204411887755301/flows");
    let Some(Body::Form(pairs)) = &made.body else {
        panic!("a form: {made:?}");
    };
    assert_eq!(
        form(pairs),
        "name=Quote%20form&categories=%5B%22LEAD_GENERATION%22%5D&clone_flow_id=7"
    );
    let made = flows::write(Infobip, &ACCOUNT, None, &given);
    let sender = "whatsapp/1/senders/441200000001/flows";
    assert_eq!(said(Infobip, &made), format!("POST {sender}"));
    let body = json!({"name": "Quote form", "categories": ["LEAD_GENERATION"], "cloneFlowId": "7"});
    assert_eq!(made.body, Some(Body::Json(body)));
    let upload = flows::upload(Meta, &ACCOUNT, "33", b"{}");
    assert_eq!(said(Meta, &upload), "POST v25.0/33/assets");
    let Some(Body::Raw {
        content_type,
        bytes,
    }) = upload.body
    else {
        panic!("bytes");
    };
    let (_, boundary) = content_type.split_once("boundary=").unwrap();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(text.matches(boundary).count(), 4);
    assert!(
        text.contains("name=\"asset_type\"\r\n\r\nFLOW_JSON\r\n"),
        "{text}"
    );
    assert!(
        text.ends_with(&format!("\r\n\r\n{{}}\r\n--{boundary}--\r\n")),
        "{text}"
    );
    let upload = flows::upload(Infobip, &ACCOUNT, "33", b"{}");
    assert_eq!(said(Infobip, &upload), format!("PUT {sender}/33/json"));
    let preview = flows::preview(Meta, &ACCOUNT, "33");
    assert_eq!(
        said(Meta, &preview),
        "GET v25.0/33?fields=preview.invalidate%28false%29"
    );
}

#[test]
fn media_is_asked_for_as_the_providers_say() {
    use Provider::{Dialog360, Dialog360Onprem, Infobip, Meta};
    let account = Account {
        number: "310022446688199",
        ..ACCOUNT
    };
    let said = |provider: Provider, ask: &Ask| {
        let call = ask.operation.at(provider);
        call.map(|call| format!("{} {}", call.verb.as_str(), ask.address(&call)))
    };
    let file = media::File {
        kind: "image/jpeg".to_owned(),
        name: "a\"\r\nb.jpg".to_owned(),
        length: 7,
    };
    let upload = media::upload(&account);
    for (provider, expected) in [
        (Meta, Some("POST v25.0/310022446688199/media")),
        (Dialog360, Some("POST media")),
        (Dialog360Onprem, Some("POST v1/media")),
        (Infobip, None),
    ] {
        assert_eq!(said(provider, &upload).as_deref(), expected);
    }
    // The fields of Meta's multipart/form-data, and nothing of a name ends its line.
    let (head, tail, kind) = media::frame(Meta, &file, "b7");
    assert_eq!(kind, "multipart/form-data; boundary=b7");
    assert_eq!(
        head,
        "--b7\r\nContent-Disposition: form-data; name=\"messaging_product\"\r\n\r\nwhatsapp\r\n\
         --b7\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nimage/jpeg\r\n\
         --b7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a___b.jpg\"\r\n\
         Content-Type: image/jpeg\r\n\r\n"
    );
    assert_eq!(tail, "\r\n--b7--\r\n");
    // The On-Premises API takes the bytes alone.
    let raw = media::frame(Dialog360Onprem, &file, "b7");
    assert_eq!(raw, (String::new(), String::new(), "image/jpeg".to_owned()));
    let base = "https://x.api.infobip.com";
    for (provider, id, read, deleted) in [
        (
            Meta,
            "77",
            Some("GET v25.0/77?phone_number_id=310022446688199"),
            "DELETE v25.0/77?phone_number_id=310022446688199",
        ),
        (Dialog360, "77", Some("GET 77"), "DELETE 77"),
        (Dialog360Onprem, "a-7", None, "DELETE v1/media/a-7"),
        (
            Infobip,
            "20250_13_a",
            Some("HEAD whatsapp/1/senders/310022446688199/media/20250_13_a"),
            "DELETE whatsapp/1/senders/310022446688199/media",
        ),
    ] {
        assert_eq!(
            said(provider, &media::read(provider, &account, id)).as_deref(),
            read
        );
        let delete = media::delete(provider, &account, id, base);
        assert_eq!(said(provider, &delete).as_deref(), Some(deleted));
        let url = format!("{base}/whatsapp/1/senders/310022446688199/media/20250_13_a");
        let body = (provider == Infobip).then(|| Body::Json(json!({"url": url})));
        assert_eq!(delete.body, body);
    }
    let begun = media::begin_sample(&account, None, &file);
    assert_eq!(
        said(Meta, &begun).as_deref(),
        Some(
            "POST v25.0/app/uploads?file_name=a%22%0D%0Ab.jpg&file_length=7&file_type=image%2Fjpeg"
        )
    );
    let on = media::sample(&account, "upload:MTph?sig=ARZ", true);
    assert_eq!(
        said(Meta, &on).as_deref(),
        Some("GET v25.0/upload:MTph?sig=ARZ")
    );
}

#[test]
fn what_infobip_is_asked_to_tell_fits_its_schemas() {
    let schemas = include_str!("../managed/infobip_subscriptions_schema.json");
    let schemas: Value = serde_json::from_str(schemas).unwrap();
    let place = Place {
        own: "twotick-con-1".to_owned(),
        ..Place::default()
    };
    let fits = |name: &str, ask: &Ask| {
        let (said, body) = shown(Provider::Infobip, ask);
        let schema = json!({"$ref": format!("#/components/schemas/{name}")});
        let body = body.unwrap();
        let errors = Schemas(&schemas, From::Service).errors(&schema, &body, "");
        assert!(errors.is_empty(), "{said}: {}\n{body}", errors.join("\n"));
    };
    let hashes = [
        Hash::Md5,
        Hash::Sha1,
        Hash::Sha224,
        Hash::Sha256,
        Hash::Sha384,
        Hash::Sha512,
    ];
    let signed = hashes.map(|hash| ProofBy::Signature {
        header: "x-signature".to_owned(),
        hash,
    });
    let others = [
        ProofBy::Basic,
        ProofBy::Header("x-secret".to_owned()),
        ProofBy::Url,
    ];
    for by in signed.into_iter().chain(others) {
        let proofs = [Proof {
            by,
            secrets: vec!["shop:secret".to_owned().into()],
        }];
        let ours = Ours::new("https://alder.example/webhooks/con_1", "verify", &proofs);
        let wanted = Wanted::default();
        fits(
            "WhatsappSubscriptionRequest",
            &infobip::create(&place, &ours, &wanted),
        );
        fits(
            "WhatsappSubscriptionRequest",
            &infobip::create_with_profile(&place, &wanted),
        );
        fits(
            "NoIdProfileRequest",
            &infobip::update_profile(&place, &Value::Null, &ours),
        );
        let known = infobip::found(
            json!({"subscriptionId": "twotick-con-1", "events": ["DELIVERY"], "users": ["a"]}),
            json!({}),
        );
        let update = infobip::update(&place, &known.unwrap(), &wanted);
        fits("WhatsappNoIdSubscriptionRequest", &update);
        if let Some(security) = &ours.security {
            let write = |is_new| infobip::write_security(&place, security, is_new);
            fits("SecurityRequest", &write(true));
            fits("NoIdSecurityRequest", &write(false));
        }
    }
}
