//! Templates that are managed from here: the same call at every provider, on the provider's real
//! calls; one row with what webhooks say, whichever comes first; refused before anything is sent
//! where it cannot be, and with the provider's own words where the provider says no.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use twotick::simulator::{self, Delays};

use crate::simulated::{connect, pairs};
use crate::support::*;

const SENDER: &str = "441200000001";

fn simulated(reviews: bool) -> simulator::Config {
    simulator::Config {
        reviews,
        access_token: Some("token".to_owned()),
        phone_number_id: SENDER.to_owned(),
        delays: Delays {
            template_review_ms: 20,
            ..Delays::default()
        },
        ..simulator::Config::default()
    }
}

pub async fn start(reviews: bool) -> App {
    let app = App::start_with(|_| {}, simulated(reviews)).await;
    let url = format!("{}/webhooks/{}", app.url, app.connection);
    let target = json!({"url": url, "app_secret": SECRET});
    app.control_send(Method::PUT, "webhook", target).await;
    app
}

/// In Meta's words.
pub fn definition(name: &str) -> Value {
    json!({
        "name": name, "language": "en_GB", "category": "UTILITY",
        "components": [
            {"type": "BODY", "text": "Hi {{1}}, order {{2}} is ready.",
                "example": {"body_text": [["Ana", "A-1"]]}},
            {"type": "FOOTER", "text": "Shop 7"},
            {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Stop"}]},
        ],
    })
}

fn of(connection: &str, mut definition: Value) -> Value {
    definition["connection"] = connection.into();
    definition
}

async fn asked(app: &App, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    app.send(method, path, body).await
}

/// What the simulator was asked to manage.
pub async fn managed(app: &App, provider: &str) -> u64 {
    let stats = app.control("stats").await;
    stats["managed"][provider].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn a_template_lives_from_its_submission_to_its_deletion_at_meta() {
    let app = start(true).await;
    let new = of(&app.connection, definition("order_ready"));
    let made = app.create("/v1/templates", new).await;
    assert_eq!(
        (&made["status"], &made["category"]),
        (&json!("PENDING"), &json!("UTILITY"))
    );
    assert_eq!(made["provider"]["id"], made["provider_template_id"]);
    assert_eq!(made["waba_id"], WABA);
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    let approved = app.get_until(&path, |it| it["status"] == "APPROVED").await;
    assert_eq!(approved["sendable"], true);

    let mut other = definition("order_ready");
    other["components"][0]["text"] = "Hello {{1}}, order {{2}} waits.".into();
    let change = json!({"components": other["components"]});
    let (status, edited) = asked(&app, Method::PATCH, &path, change.clone()).await;
    assert_eq!(status, StatusCode::OK, "{edited:#}");
    assert_eq!(edited["provider_answer"]["success"], true);
    let body = &edited["provider"]["components"][0]["text"];
    assert_eq!(body, "Hello {{1}}, order {{2}} waits.");
    app.get_until(&path, |it| it["status"] == "APPROVED").await;

    // One edit a day is allowed; the second is not even tried.
    let before = managed(&app, "meta").await;
    let response = app
        .request(Method::PATCH, &path)
        .json(&change)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    let problem: Value = response.json().await.unwrap();
    assert_eq!(problem["code"], "provider_limit", "{problem:#}");
    assert_eq!(managed(&app, "meta").await, before);
    assert!(app.get(&path).await["next_edit_at"].is_string());

    let (status, gone) = asked(&app, Method::DELETE, &path, Value::Null).await;
    assert_eq!(
        (status, &gone["status"]),
        (StatusCode::OK, &json!("DELETED"))
    );
    let listed = json!({"connection": app.connection});
    let synced = app.create("/v1/templates/sync", listed).await;
    assert_eq!(
        (&synced["data"], &synced["whole"]),
        (&json!([]), &json!(true))
    );
    // A name that is free again begins anew.
    let again = of(&app.connection, definition("order_ready"));
    let again = app.create("/v1/templates", again).await;
    assert_eq!(
        (&again["id"], &again["status"]),
        (&made["id"], &json!("PENDING"))
    );
    let acts = app.get("/v1/audit").await;
    let said = acts["data"].as_array().unwrap().iter().any(|act| {
        act["action"] == "POST /v1/templates"
            && act["detail"]
                .as_str()
                .unwrap()
                .contains("template order_ready en_GB")
            && act["status"] == 201
    });
    assert!(said, "{acts:#}");
}

/// An account at a provider.
pub struct Account {
    pub provider: &'static str,
    pub connection: String,
    pub sender: String,
}

/// One at each provider. 360dialog's two have one address in the simulator, which tells them apart
/// by who listens: they are made one after the other.
pub async fn accounts(app: &App) -> Vec<Account> {
    let mut all = vec![Account {
        provider: "meta",
        connection: app.connection.clone(),
        sender: app.sender.clone(),
    }];
    for (n, provider) in [(0, "dialog360"), (2, "infobip")] {
        let (connection, sender) = connected(app, n).await;
        all.push(Account {
            provider,
            connection,
            sender,
        });
    }
    all
}

/// A connection of a provider whose key is the simulator's, and a sender of it.
pub async fn connected(app: &App, n: usize) -> (String, String) {
    let pair = &pairs()[n];
    let connection = connect(app, pair).await;
    let path = format!("/v1/connections/{connection}");
    let (status, _) = asked(app, Method::PATCH, &path, json!({"api_key": "token"})).await;
    assert_eq!(status, StatusCode::OK);
    let mut sender = json!({"connection": connection});
    if pair.provider != "dialog360_onprem" {
        sender["phone_number_id"] = SENDER.into();
    }
    let sender = app.create("/v1/senders", sender).await;
    (connection, sender["id"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_template_lives_from_its_submission_to_its_deletion_at_infobip() {
    let app = start(true).await;
    let (connection, sender) = connected(&app, 2).await;
    let mut new = definition("order_ready");
    new["sender"] = sender.into();
    let made = app.create("/v1/templates", new).await;
    assert_eq!(
        (&made["status"], &made["waba_id"]),
        (&json!("PENDING"), &Value::Null)
    );
    assert_eq!(
        made["provider"]["structure"]["body"]["text"],
        "Hi {{1}}, order {{2}} is ready."
    );
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    app.get_until(&path, |it| it["status"] == "APPROVED").await;
    let mut other = definition("order_ready");
    other["components"][1]["text"] = "Shop 8".into();
    let change = json!({"components": other["components"]});
    let (status, edited) = asked(&app, Method::PATCH, &path, change).await;
    assert_eq!(status, StatusCode::OK, "{edited:#}");
    assert_eq!(
        edited["provider_answer"]["structure"]["footer"]["text"],
        "Shop 8"
    );
    let fresh = app.get(&format!("{path}?fresh=true")).await;
    assert_eq!(fresh["provider"]["structure"]["footer"]["text"], "Shop 8");
    app.get_until(&path, |it| it["status"] == "APPROVED").await;
    // Names alone are deleted there.
    let (status, problem) = asked(&app, Method::DELETE, &path, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
    assert_eq!(problem["code"], "not_supported_by_provider", "{problem:#}");
    let name = format!("/v1/templates?connection={connection}&name=order_ready");
    let (status, gone) = asked(&app, Method::DELETE, &name, Value::Null).await;
    assert_eq!(
        (status, &gone["data"][0]["status"]),
        (StatusCode::OK, &json!("DELETED"))
    );
    let (status, problem) = asked(&app, Method::DELETE, &name, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["code"], "not_found_at_provider");
    let error = &problem["provider_error"];
    assert_eq!(
        (&error["status"], &error["code"]),
        (&json!(404), &json!("NOT_FOUND"))
    );
    assert_eq!(
        error["body"]["requestError"]["serviceException"]["messageId"],
        "NOT_FOUND"
    );
}

#[tokio::test]
async fn a_template_lives_from_its_submission_to_its_deletion_at_360dialog() {
    for n in [0, 1] {
        let app = start(true).await;
        let (connection, _) = connected(&app, n).await;
        let made = app
            .create("/v1/templates", of(&connection, definition("order_ready")))
            .await;
        assert_eq!(made["status"], "PENDING");
        let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
        app.get_until(&path, |it| it["status"] == "APPROVED").await;
        let fresh = app.get(&format!("{path}?fresh=true")).await;
        assert_eq!(fresh["provider"]["components"][1]["text"], "Shop 7");
        for (method, path) in [
            (Method::PATCH, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::POST, format!("{path}/unpause")),
        ] {
            let change = json!({"category": "MARKETING"});
            let (status, problem) = asked(&app, method, &path, change).await;
            assert_eq!(status, StatusCode::NOT_IMPLEMENTED, "{problem:#}");
            assert_eq!(problem["code"], "not_supported_by_provider");
        }
        let list = json!({"connection": connection, "name": "order_ready", "status": "approved"});
        let synced = app.create("/v1/templates/sync", list).await;
        assert_eq!(synced["data"].as_array().unwrap().len(), 1);
        let name = format!("/v1/templates?connection={connection}&name=order_ready");
        let (status, gone) = asked(&app, Method::DELETE, &name, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{gone:#}");
        assert_eq!(app.get(&path).await["status"], "DELETED");
    }
}

#[tokio::test]
async fn a_pause_is_ended_at_meta_and_a_success_that_is_none_is_a_refusal() {
    let app = start(true).await;
    let made = app
        .create("/v1/templates", of(&app.connection, definition("offer")))
        .await;
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    app.get_until(&path, |it| it["status"] == "APPROVED").await;
    let unpause = format!("{path}/unpause");
    let (status, problem) = asked(&app, Method::POST, &unpause, json!({})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let error = &problem["provider_error"];
    assert_eq!(
        (&problem["code"], &error["status"]),
        (&json!("provider_refused"), &json!(200))
    );
    assert_eq!(error["body"]["reason"], "The template is not paused.");
    app.control_send(Method::POST, "templates/offer/pause", json!({}))
        .await;
    app.get_until(&path, |it| it["status"] == "PAUSED").await;
    let (status, unpaused) = asked(&app, Method::POST, &unpause, json!({})).await;
    assert_eq!(
        (status, &unpaused["status"]),
        (StatusCode::OK, &json!("APPROVED"))
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_its_field_before_anything_is_sent() {
    let app = start(true).await;
    let (infobip, _) = connected(&app, 2).await;
    let many: Vec<_> = (0..11)
        .map(|n| json!({"type": "QUICK_REPLY", "text": n.to_string()}))
        .collect();
    let with = |at: &str, value: Value| {
        let mut new = definition("offer");
        *new.pointer_mut(at).unwrap() = value;
        new
    };
    let sample =
        json!({"type": "HEADER", "format": "IMAGE", "example": {"header_handle": ["4::aW"]}});
    for (connection, new, field, code) in [
        (
            &app.connection,
            with("/category", json!("NEWS")),
            "category",
            "invalid_request",
        ),
        (
            &app.connection,
            with("/components/2/buttons", json!(many)),
            "components[2].buttons",
            "invalid_request",
        ),
        (
            &app.connection,
            with("/components/0/text", json!("x".repeat(1025))),
            "components[0].text",
            "invalid_request",
        ),
        (
            &app.connection,
            with("/components/0/text", json!("Hi {{1}}, {{3}} is it.")),
            "components[0].text",
            "invalid_request",
        ),
        (
            &app.connection,
            with("/components/0/example", Value::Null),
            "components[0].example.body_text",
            "invalid_request",
        ),
        (
            &infobip,
            with("/components/1", sample),
            "components[1].example.header_handle",
            "not_supported_by_provider",
        ),
    ] {
        let (status, problem) =
            asked(&app, Method::POST, "/v1/templates", of(connection, new)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
        assert_eq!(
            (&problem["code"], &problem["errors"][0]["field"]),
            (&json!(code), &json!(field))
        );
    }
    assert_eq!(
        managed(&app, "meta").await + managed(&app, "infobip").await,
        0
    );
}

#[tokio::test]
async fn a_providers_own_words_are_never_hidden() {
    let app = start(false).await;
    let new = of(&app.connection, definition("offer"));
    let made = app.create("/v1/templates", new.clone()).await;
    let (status, problem) = asked(&app, Method::POST, "/v1/templates", new).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("already_exists"))
    );
    let error = &problem["provider_error"];
    assert_eq!(
        (&error["status"], &error["code"]),
        (&json!(400), &json!("100/2388024"))
    );
    assert_eq!(error["body"]["error"]["error_subcode"], 2_388_024);
    // In review: we know.
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    let change = json!({"category": "MARKETING"});
    let (status, problem) = asked(&app, Method::PATCH, &path, change.clone()).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("wrong_template_state"))
    );
    app.control_send(Method::POST, "templates/offer/review", json!({}))
        .await;
    app.get_until(&path, |it| it["status"] == "APPROVED").await;
    let (status, problem) = asked(&app, Method::PATCH, &path, change.clone()).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("category"))
    );
    // A rejection is editable, as often as one likes, and its category is free.
    let verdict = json!({"verdict": "REJECTED", "reason": "TAG_CONTENT_MISMATCH"});
    app.control_send(Method::POST, "templates/offer/review", verdict)
        .await;
    let rejected = app.get_until(&path, |it| it["status"] == "REJECTED").await;
    assert_eq!(rejected["reason"], "TAG_CONTENT_MISMATCH");
    let (status, edited) = asked(&app, Method::PATCH, &path, change).await;
    assert_eq!(
        (status, &edited["category"]),
        (StatusCode::OK, &json!("MARKETING")),
        "{edited:#}"
    );
    // A key that is none is the connection's fault, and not the caller's.
    let connection = format!("/v1/connections/{}", app.connection);
    asked(
        &app,
        Method::PATCH,
        &connection,
        json!({"access_token": "wrong"}),
    )
    .await;
    let (status, problem) = asked(
        &app,
        Method::GET,
        &format!("{path}?fresh=true"),
        Value::Null,
    )
    .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_GATEWAY, &json!("provider_key"))
    );
    assert_eq!(problem["provider_error"]["code"], "190");
}
