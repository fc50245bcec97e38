//! Every kind of template through the service to each provider and back: submitted and shown as it was
//! described, or refused by its field; found by its name, language and category. And every number of
//! Meta's that is known comes with its cause and what to do.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::managed::{accounts, managed, start};
use crate::managed_calls::{Does, Scripted, connect};
use crate::support::*;

fn file(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap()
}

/// The types of components, in their order.
fn parts(components: &Value) -> Vec<String> {
    let all = components.as_array().into_iter().flatten();
    all.map(|it| it["type"].as_str().unwrap().to_uppercase())
        .collect()
}

#[tokio::test]
async fn every_kind_of_template_is_submitted_and_shown_or_refused_by_its_field() {
    let app = start(true).await;
    let given = file(include_str!("../managed/given.json"));
    for account in accounts(&app).await {
        let expected = file(match account.provider {
            "meta" => include_str!("../managed/meta.json"),
            "dialog360" => include_str!("../managed/dialog360.json"),
            _ => include_str!("../managed/infobip.json"),
        });
        let mut marketing = 0;
        for (n, (kind, definition)) in given.iter().enumerate() {
            let said = format!("{kind} at {}", account.provider);
            let mut new = definition.clone();
            new["name"] = format!("kind_{n}").into();
            let whose = match account.provider {
                "infobip" => ("sender", &account.sender),
                _ => ("connection", &account.connection),
            };
            new[whose.0] = whose.1.clone().into();
            let before = managed(&app, account.provider).await;
            let (status, made) = app.send(Method::POST, "/v1/templates", new).await;
            if let Some(refused) = expected[kind]["refused"].as_object() {
                assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{said}: {made:#}");
                let errors = made["errors"].as_array().unwrap().iter();
                let fields = errors.map(|error| error["field"].as_str().unwrap());
                let fields: BTreeSet<_> = fields.collect();
                assert_eq!(fields, refused.keys().map(String::as_str).collect());
                assert_eq!(managed(&app, account.provider).await, before, "{said}");
                continue;
            }
            assert_eq!(status, StatusCode::CREATED, "{said}: {made:#}");
            let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
            let shown = app.get(&format!("{path}?fresh=true")).await;
            assert_eq!(shown["category"], definition["category"], "{said}");
            if account.provider == "infobip" {
                assert!(shown["provider"]["structure"].is_object(), "{said}");
            } else {
                // Samples and buttons of codes are shown as what the provider made of them.
                let had = parts(&shown["provider"]["components"]);
                assert_eq!(had, parts(&definition["components"]), "{said}");
            }
            marketing += usize::from(shown["category"] == "MARKETING");
        }
        let of = format!("/v1/templates?connection={}&limit=100", account.connection);
        for (narrowed, count) in [
            ("category=marketing", marketing),
            ("category=NEWS", 0),
            ("name=kind_0&language=en_GB", 1),
            ("name=kind_0&language=de", 0),
        ] {
            let found = app.get(&format!("{of}&{narrowed}")).await;
            let found = found["data"].as_array().unwrap().len();
            assert_eq!(found, count, "{narrowed} at {}", account.provider);
        }
    }
}

#[tokio::test]
async fn what_no_provider_takes_is_refused_by_its_field_at_each() {
    let app = start(true).await;
    let many: Vec<_> = (0..11)
        .map(|n| json!({"type": "QUICK_REPLY", "text": n.to_string()}))
        .collect();
    for account in accounts(&app).await {
        for (at, value, field) in [
            ("/category", json!("NEWS"), "category"),
            (
                "/components/2/buttons",
                json!(many),
                "components[2].buttons",
            ),
        ] {
            let mut new = crate::managed::definition("offer");
            *new.pointer_mut(at).unwrap() = value;
            new["sender"] = account.sender.clone().into();
            let (status, problem) = app.send(Method::POST, "/v1/templates", new).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
            assert_eq!(problem["errors"][0]["field"], field, "{}", account.provider);
        }
        assert_eq!(managed(&app, account.provider).await, 0);
    }
}

#[tokio::test]
async fn each_number_of_a_welcome_sequences_refusal_comes_with_its_cause_and_remedy() {
    const CODES: [(i64, u16, &str, &str); 7] = [
        (4_027_001, 422, "provider_refused", "ice_breakers"),
        (
            4_027_005,
            502,
            "provider_key",
            "whatsapp_business_management",
        ),
        (4_027_006, 422, "provider_refused", "compare the fields"),
        (4_027_007, 502, "provider_failed", "a day or two"),
        (4_027_010, 422, "provider_refused", "`name`"),
        (4_027_012, 409, "in_use", "another sequence"),
        (
            4_027_017,
            404,
            "not_found_at_provider",
            "list the account's",
        ),
    ];
    let app = App::start().await;
    let provider = Scripted::start(Box::new(|n, _| {
        let (code, ..) = CODES[n - 1];
        let error =
            json!({"code": 100, "error_subcode": code, "message": "no", "type": "OAuthException"});
        Does::Answer(400, json!({ "error": error }))
    }))
    .await;
    let connection = connect(&app, &provider).await;
    for (code, status, problem_code, remedy) in CODES {
        let new = json!({"connection": connection, "waba_id": WABA, "name": "x",
            "sequence": {"text": "Hi"}});
        let (answered, problem) = app.send(Method::POST, "/v1/welcome_sequences", new).await;
        assert_eq!(
            (answered.as_u16(), &problem["code"]),
            (status, &json!(problem_code)),
            "{code}: {problem:#}"
        );
        let error = &problem["provider_error"];
        assert_eq!(error["code"], format!("100/{code}"));
        assert!(error["cause"].is_string());
        let said = error["remedy"].as_str().unwrap();
        assert!(said.contains(remedy), "{code}: {said}");
    }
}
