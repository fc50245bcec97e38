//! Where providers post webhooks is read, set and removed from here, at every level that they have;
//! what is wrong with it is told with its remedy; and what is set is what comes. No secret is shown.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::managed::{connected, definition, managed, start};
use crate::managed_calls::{Does, Scripted, connect as scripted};
use crate::support::*;

fn path(connection: &str, rest: &str) -> String {
    format!("/v1/connections/{connection}/webhook_subscriptions{rest}")
}

fn codes(overview: &Value) -> Vec<&str> {
    let problems = overview["problems"].as_array().unwrap();
    let codes = problems.iter().map(|it| it["code"].as_str().unwrap());
    codes.collect()
}

async fn set(app: &App, connection: &str, level: &str, body: Value) -> Value {
    let at = path(connection, &format!("/{level}"));
    let (status, answer) = app.send(Method::PUT, &at, body).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    answer
}

async fn submit(app: &App, name: &str) -> String {
    let mut new = definition(name);
    new["connection"] = app.connection.clone().into();
    let made = app.create("/v1/templates", new).await;
    format!("/v1/templates/{}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn metas_webhooks_are_told_to_come_here_and_come() {
    let app = start(true).await;
    let all = path(&app.connection, "");
    let ours = format!("{}/webhooks/{}", app.url, app.connection);
    let before = app.get(&all).await;
    assert_eq!(before["callback_url"], ours.as_str());
    assert_eq!(codes(&before), ["not_subscribed", "not_subscribed"]);
    for problem in before["problems"].as_array().unwrap() {
        assert_eq!(problem["severity"], "fail");
        assert!(!problem["remedy"].as_str().unwrap().is_empty());
    }

    let answer = set(&app, &app.connection, "app", json!({})).await;
    assert_eq!(answer["provider_answers"], json!([{"success": true}]));
    assert_eq!(answer["data"][0]["is_ours"], true);
    let answer = set(&app, &app.connection, "account", json!({})).await;
    assert_eq!(answer["data"][0]["active"], true);
    let after = app.get(&all).await;
    assert_eq!(codes(&after), Vec::<&str>::new(), "{after:#}");
    assert!(
        after["provider_clock_offset_seconds"]
            .as_i64()
            .unwrap()
            .abs()
            < 60
    );
    // Everything comes by it: what is approved there is told here.
    let template = submit(&app, "order_ready").await;
    app.get_until(&template, |it| it["status"] == "APPROVED")
        .await;

    // What was subscribed beside is kept, unless it is said what is to be.
    let few = json!({"events": ["messages", "calls"]});
    set(&app, &app.connection, "app", few).await;
    let lacking = app.get(&all).await;
    assert_eq!(codes(&lacking), ["missing_events"]);
    assert_eq!(lacking["problems"][0]["severity"], "warn");
    let answer = set(&app, &app.connection, "app", json!({})).await;
    let events = answer["data"][0]["events"].as_array().unwrap();
    assert!(events.contains(&json!("calls")), "{events:?}");
    assert!(events.contains(&json!("message_template_status_update")));
}

#[tokio::test]
async fn an_override_that_makes_us_blind_to_templates_is_told() {
    let app = start(true).await;
    let all = path(&app.connection, "");
    let fields = ["messages", "message_template_status_update"];
    let elsewhere = json!({"url": "http://127.0.0.1:9/", "fields": fields});
    app.control_send(Method::PUT, "app", elsewhere).await;
    let over = json!({"override": true});
    set(&app, &app.connection, "account", over).await;
    let blind = app.get(&all).await;
    assert!(codes(&blind).contains(&"blind_to_templates"), "{blind:#}");
    // What is said of messages comes, in spite of the app's own address.
    let message = app
        .create("/v1/messages", text(&app.sender, "447700900123", "hi"))
        .await;
    let wamid = app.accepted(message["id"].as_str().unwrap()).await;
    let status = format!("messages/{wamid}/status");
    app.control_send(Method::POST, &status, json!({"status": "delivered"}))
        .await;
    let at = format!("/v1/messages/{}", message["id"].as_str().unwrap());
    app.get_until(&at, |it| it["delivered_at"].is_string())
        .await;

    let number = json!({"phone_number_id": NUMBER, "callback_url": format!("{}/webhooks/{}", app.url, app.connection)});
    let answer = set(&app, &app.connection, "number", number).await;
    let numbers = answer["data"].as_array().unwrap();
    let own = numbers.iter().find(|it| it["id"] == NUMBER).unwrap();
    assert_eq!(
        (&own["is_ours"], &own["waba_id"]),
        (&json!(true), &json!(WABA))
    );
    set(&app, &app.connection, "app", json!({})).await;
    assert_eq!(codes(&app.get(&all).await), Vec::<&str>::new());
    let gone = format!("/number?phone_number_id={NUMBER}");
    let (status, left) = app
        .send(Method::DELETE, &path(&app.connection, &gone), Value::Null)
        .await;
    assert_eq!(status, StatusCode::OK);
    let numbers = left["data"].as_array().unwrap();
    let none = |it: &Value| it["callback_url"].is_null();
    assert!(numbers.iter().all(none), "{left:#}");
    // Without it said again an override of the account is gone, too.
    let answer = set(&app, &app.connection, "account", json!({})).await;
    assert_eq!(answer["data"][0]["callback_url"], Value::Null);
    let (status, left) = app
        .send(
            Method::DELETE,
            &path(&app.connection, "/account"),
            Value::Null,
        )
        .await;
    assert_eq!(
        (status, &left["data"][0]["active"]),
        (StatusCode::OK, &json!(false))
    );
}

#[tokio::test]
async fn what_meta_says_against_it_is_shown_whole() {
    let app = start(true).await;
    // The address does not prove to be ours: the token is another's.
    let other = format!("{}/webhooks/con_00000000000000000000000000", app.url);
    let at = path(&app.connection, "/app");
    let (status, problem) = app
        .send(Method::PUT, &at, json!({"callback_url": other}))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
    assert_eq!(problem["provider_error"]["code"], "2200");
    let message = problem["provider_error"]["message"].as_str().unwrap();
    assert!(message.contains("HTTP Status Code = 404"), "{message}");

    let token = format!("/v1/connections/{}/token", app.connection);
    let good = app.get(&token).await;
    assert_eq!(
        (&good["valid"], &good["waba_ids"]),
        (&json!(true), &json!([WABA]))
    );
    assert_eq!(good["missing_permissions"], json!([]));
    let few = json!({"permissions": ["whatsapp_business_messaging"], "expires_at": 1_893_456_000});
    app.control_send(Method::PUT, "token", few).await;
    let poor = app.get(&token).await;
    assert_eq!(
        poor["missing_permissions"],
        json!(["whatsapp_business_management"])
    );
    assert_eq!(poor["expires_at"], "2030-01-01T00:00:00.000Z");
    let (status, problem) = app
        .send(Method::PUT, &path(&app.connection, "/account"), json!({}))
        .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_GATEWAY, &json!("provider_key"))
    );
    assert_eq!(problem["provider_error"]["code"], "200");
    // One level that cannot be read hides no other.
    let overview = app.get(&path(&app.connection, "")).await;
    assert!(codes(&overview).contains(&"unreadable"), "{overview:#}");
    let unreadable = &overview["problems"].as_array().unwrap()[1];
    assert_eq!(unreadable["provider_error"]["code"], "10", "{unreadable:#}");

    let change = json!({"access_token": "another"});
    let connection = format!("/v1/connections/{}", app.connection);
    app.send(Method::PATCH, &connection, change).await;
    let (status, problem) = app
        .send(Method::GET, &path(&app.connection, ""), Value::Null)
        .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_GATEWAY, &json!("provider_key"))
    );
    assert_eq!(problem["provider_error"]["code"], "190");
}

#[tokio::test]
async fn an_app_secret_that_is_good_no_more_keeps_the_other_from_nothing() {
    let app = start(true).await;
    let change = json!({"app_secrets": ["an older secret", SECRET]});
    let connection = format!("/v1/connections/{}", app.connection);
    app.send(Method::PATCH, &connection, change).await;
    let answer = set(&app, &app.connection, "app", json!({})).await;
    assert_eq!(answer["data"][0]["is_ours"], true);
}

#[tokio::test]
async fn webhooks_of_360dialog_are_set_with_what_proves_them_and_it_is_not_shown() {
    for n in [0, 1] {
        let app = start(true).await;
        let (connection, sender) = connected(&app, n).await;
        let change = json!({"webhook_auth": {
            "headers": {"X-Webhook-Token": "a generated secret"},
            "basic": {"username": "twotick", "password": "another secret"},
            "url_secret": "a third secret"}});
        let at = format!("/v1/connections/{connection}");
        let (status, _) = app.send(Method::PATCH, &at, change).await;
        assert_eq!(status, StatusCode::OK);
        let answer = set(&app, &connection, "number", json!({})).await;
        assert_eq!(answer["data"][0]["is_ours"], true, "{answer:#}");
        let overview = app.get(&path(&connection, "")).await;
        assert_eq!(codes(&overview), Vec::<&str>::new(), "{overview:#}");
        for said in [answer.to_string(), overview.to_string()] {
            assert!(!said.contains("secret") || said.contains("?…"), "{said}");
            for secret in ["generated", "another", "third", "dHdvdGljazph"] {
                assert!(!said.contains(secret), "{said}");
            }
        }
        let elsewhere = json!({"callback_url": "https://elsewhere.example/hook"});
        let answer = set(&app, &connection, "number", elsewhere).await;
        assert_eq!(answer["data"][0]["is_ours"], false, "{answer:#}");
        set(&app, &connection, "number", json!({})).await;
        // The receiver takes what comes by it.
        let message = app
            .create("/v1/messages", text(&sender, "447700900123", "hi"))
            .await;
        let id = app.accepted(message["id"].as_str().unwrap()).await;
        let status = format!("messages/{id}/status");
        app.control_send(Method::POST, &status, json!({"status": "delivered"}))
            .await;
        let at = format!("/v1/messages/{}", message["id"].as_str().unwrap());
        app.get_until(&at, |it| it["delivered_at"].is_string())
            .await;
        // With another secret here nothing would: that is told.
        let change = json!({"webhook_auth": {"headers": {"X-Webhook-Token": "a newer one"}}});
        app.send(
            Method::PATCH,
            &format!("/v1/connections/{connection}"),
            change,
        )
        .await;
        assert_eq!(codes(&app.get(&path(&connection, "")).await).len(), 1);
    }
}

/// By which 360dialog tells a partner of templates.
#[tokio::test]
async fn what_a_partner_of_360dialog_is_told_comes_here_and_its_key_is_shown_nowhere() {
    let app = start(true).await;
    let (connection, _) = connected(&app, 0).await;
    let at = path(&connection, "/partner");
    let partner = |key: &str| json!({"partner": {"id": "9Mg0AiPA", "api_key": key}});
    let before = managed(&app, "dialog360").await;
    // Nobody but the partner may ask.
    for method in [Method::GET, Method::DELETE] {
        let (status, problem) = app.send(method, &at, Value::Null).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED);
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("partner's key")
        );
    }
    // Its webhooks would bring no header.
    let auth = |auth: Value| json!({"webhook_auth": auth});
    let of_connection = format!("/v1/connections/{connection}");
    let proved = auth(json!({"headers": {"X-Webhook-Token": "a header"}}));
    app.send(Method::PATCH, &of_connection, proved).await;
    for (body, field) in [
        (partner("token"), "partner"),
        (json!({}), "partner"),
        (
            json!({"partner": {"id": "../x", "api_key": "token"}}),
            "partner.id",
        ),
        (
            json!({"partner": {"id": "9Mg0AiPA", "api_key": ""}}),
            "partner.api_key",
        ),
    ] {
        let (status, problem) = app.send(Method::PUT, &at, body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let (status, problem) = app
        .send(Method::PUT, &path(&connection, "/number"), partner("token"))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
    assert_eq!(managed(&app, "dialog360").await, before);

    let proved = auth(json!({"url_secret": "a third secret"}));
    app.send(Method::PATCH, &of_connection, proved).await;
    let (status, problem) = app.send(Method::PUT, &at, partner("a wrong key")).await;
    assert_eq!(status, StatusCode::BAD_GATEWAY, "{problem:#}");
    assert!(!problem.to_string().contains("a wrong key"), "{problem:#}");
    let (status, answer) = app.send(Method::PUT, &at, partner("token")).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    let set = &answer["data"][0];
    assert_eq!(
        (&set["level"], &set["id"]),
        (&json!("partner"), &json!("9Mg0AiPA"))
    );
    assert_eq!(set["is_ours"], true, "{answer:#}");
    assert!(!answer.to_string().contains("third"), "{answer:#}");
    // What 360dialog posts there is taken.
    let url = format!("{}/api/v2/partners/9Mg0AiPA/webhook_url", app.simulator);
    let there = reqwest::Client::new().get(url).header("x-api-key", "token");
    let there: Value = there.send().await.unwrap().json().await.unwrap();
    let event = json!({"id": "evt-1", "event": "waba_template_status_changed", "data": {
        "id": WABA, "template": {"id": "t1", "external_id": "77", "name": "of_a_partner",
            "language": "en_GB", "new_status": "REJECTED", "rejected_reason": "INVALID_FORMAT"}}});
    let posted = reqwest::Client::new().post(there["webhook_url"].as_str().unwrap());
    let posted = posted.json(&event).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::OK);
    let templates = app.get("/v1/templates?name=of_a_partner").await;
    assert_eq!(templates["data"][0]["status"], "REJECTED", "{templates:#}");
}

#[tokio::test]
async fn infobips_events_come_here_with_what_proves_them_and_nobody_elses_are_touched() {
    let app = start(true).await;
    let (connection, sender) = connected(&app, 2).await;
    let all = path(&connection, "");
    assert_eq!(codes(&app.get(&all).await), ["not_subscribed"]);
    let auth = |password: &str| {
        json!({"webhook_auth": {"basic": {"username": "twotick", "password": password},
            "headers": {"X-Tenant": "s3cr3t-4"}}})
    };
    let at = format!("/v1/connections/{connection}");
    // Made, then brought up to date with another password, then with a signature.
    for (n, auth) in [
        auth("s3cr3t-1"),
        auth("s3cr3t-2"),
        json!({"webhook_auth": {"hmac": {"secrets": ["s3cr3t-3"], "algorithm": "sha512",
            "header": "X-Signature"}}}),
    ]
    .into_iter()
    .enumerate()
    {
        let (status, _) = app.send(Method::PATCH, &at, auth).await;
        assert_eq!(status, StatusCode::OK);
        let answer = set(&app, &connection, "events", json!({})).await;
        assert_eq!(answer["data"].as_array().unwrap().len(), 1, "{answer:#}");
        let overview = app.get(&all).await;
        assert_eq!(codes(&overview), Vec::<&str>::new(), "{overview:#}");
        for said in [answer.to_string(), overview.to_string()] {
            assert!(!said.contains("s3cr3t"), "{said}");
        }
        let new = text(&sender, &format!("44770090012{n}"), "hi");
        let message = app.create("/v1/messages", new).await;
        let id = app.accepted(message["id"].as_str().unwrap()).await;
        let status = format!("messages/{id}/status");
        app.control_send(Method::POST, &status, json!({"status": "delivered"}))
            .await;
        let at = format!("/v1/messages/{}", message["id"].as_str().unwrap());
        app.get_until(&at, |it| it["delivered_at"].is_string())
            .await;
    }
    // Infobip takes what it does not know, and tells nothing of it.
    let typo = json!({"events": ["SEEN", "DELIVERED"]});
    let at_events = path(&connection, "/events");
    let (status, problem) = app.send(Method::PUT, &at_events, typo).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
    assert_eq!(problem["errors"][0]["field"], "events[1]");
    let said = problem["errors"][0]["message"].as_str().unwrap();
    assert!(said.contains("`DELIVERY`"), "{said}");
    let few = json!({"events": ["DELIVERY"]});
    set(&app, &connection, "events", few).await;
    let lacking = app.get(&all).await;
    assert_eq!(codes(&lacking), ["missing_events"]);
    assert_eq!(lacking["problems"][0]["severity"], "warn");
    let gone = path(&connection, "/events");
    let (status, left) = app.send(Method::DELETE, &gone, Value::Null).await;
    assert_eq!((status, &left["data"]), (StatusCode::OK, &json!([])));
    let (status, problem) = app.send(Method::DELETE, &gone, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem:#}");
    assert_eq!(problem["code"], "not_found_at_provider");

    // Its profile is there still, and leads where the next one does.
    let (status, _) = app.send(Method::PATCH, &at, auth("s3cr3t-5")).await;
    assert_eq!(status, StatusCode::OK);
    set(&app, &connection, "events", json!({})).await;
    let overview = app.get(&all).await;
    assert_eq!(codes(&overview), Vec::<&str>::new(), "{overview:#}");
    let message = app
        .create("/v1/messages", text(&sender, "447700900129", "hi"))
        .await;
    let id = app.accepted(message["id"].as_str().unwrap()).await;
    let status = format!("messages/{id}/status");
    app.control_send(Method::POST, &status, json!({"status": "delivered"}))
        .await;
    let at = format!("/v1/messages/{}", message["id"].as_str().unwrap());
    app.get_until(&at, |it| it["delivered_at"].is_string())
        .await;
}

/// Asks with a key of its own.
async fn with_key(app: &App, key: Value, at: &str, body: Value) -> (StatusCode, Value) {
    let made = app.create("/v1/keys", key).await;
    let key = made["secret"].as_str().unwrap();
    let request = reqwest::Client::new().put(format!("{}{at}", app.url));
    let response = request.bearer_auth(key).json(&body).send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

#[tokio::test]
async fn no_key_that_only_manages_has_secrets_sent_elsewhere() {
    let app = start(true).await;
    let (connection, _) = connected(&app, 0).await;
    let at = path(&connection, "/number");
    let manages = json!({"name": "manages", "scopes": ["manage"]});
    for address in [
        "https://elsewhere.example/in".to_owned(),
        format!("http://127.0.0.1/webhooks/{connection}"),
        format!("{}@elsewhere.example/webhooks/{connection}", app.url),
    ] {
        let body = json!({"callback_url": address});
        let (status, problem) = with_key(&app, manages.clone(), &at, body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
        assert_eq!(problem["errors"][0]["field"], "callback_url");
        let said = problem["errors"][0]["message"].as_str().unwrap();
        assert!(said.contains("http.public_url") && said.contains("`admin`"));
    }
    assert_eq!(managed(&app, "dialog360").await, 0);
    let here = json!({"callback_url": format!("{}/webhooks/{connection}", app.url)});
    let (status, answer) = with_key(&app, manages, &at, here).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    let all = json!({"name": "all", "scopes": ["admin"]});
    let elsewhere = json!({"callback_url": "https://elsewhere.example/in"});
    let (status, answer) = with_key(&app, all, &at, elsewhere).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    assert_eq!(answer["data"][0]["is_ours"], false);
}

#[tokio::test]
async fn a_key_of_one_connection_changes_the_webhooks_of_its_own_numbers_alone() {
    let app = start(true).await;
    let own = json!({"name": "one", "scopes": ["manage"], "connections": [app.connection]});
    for (level, body) in [
        ("app", json!({})),
        ("account", json!({})),
        ("number", json!({"phone_number_id": "310022446688190"})),
    ] {
        let at = path(&app.connection, &format!("/{level}"));
        let (status, problem) = with_key(&app, own.clone(), &at, body).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{level} {problem:#}");
    }
    assert_eq!(managed(&app, "meta").await, 0);
    let at = path(&app.connection, "/number");
    let number = json!({"phone_number_id": NUMBER});
    let (status, answer) = with_key(&app, own, &at, number).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
}

/// A provider whose key is for two accounts.
async fn of_two_accounts(set: fn(&str) -> Does, read: fn() -> Does) -> (App, String) {
    let app = App::start().await;
    let token = json!({"data": {"app_id": "66", "is_valid": true, "scopes": [],
        "granular_scopes": [{"scope": "whatsapp_business_management", "target_ids": ["71", "72"]}]}});
    let script = move |_: usize, asked: &str| match asked.split_once(' ').unwrap() {
        ("GET", path) if path.contains("debug_token") => Does::Answer(200, token.clone()),
        ("GET", _) => read(),
        (_, path) => set(path),
    };
    let provider = Scripted::start(Box::new(script)).await;
    let connection = scripted(&app, &provider).await;
    (app, connection)
}

fn well() -> Does {
    Does::Answer(200, json!({"success": true}))
}

fn ours() -> Value {
    json!({"callback_url": "https://twotick.example/webhooks/con_a"})
}

#[tokio::test]
async fn of_several_places_it_is_told_which_were_changed() {
    let second = |path: &str| match path.contains("/72/") {
        true => Does::Answer(
            400,
            json!({"error": {"code": 100, "message": "Invalid parameter"}}),
        ),
        false => well(),
    };
    let (app, connection) = of_two_accounts(second, well).await;
    let at = path(&connection, "/account");
    for (method, body) in [(Method::PUT, ours()), (Method::DELETE, Value::Null)] {
        let (status, problem) = app.send(method, &at, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::BAD_GATEWAY, &json!("partly_done")),
            "{problem:#}"
        );
        let detail = problem["detail"].as_str().unwrap();
        let told = "done: account 71; not done: account 72: the provider refused it";
        assert!(detail.starts_with(told), "{detail}");
        assert_eq!(problem["provider_error"]["code"], "100");
    }
}

#[tokio::test]
async fn what_was_set_is_set_though_it_cannot_be_read_afterwards() {
    let (app, connection) = of_two_accounts(
        |_| well(),
        || Does::Answer(500, json!({"error": {"code": 2, "message": "Unavailable"}})),
    )
    .await;
    let answer = set(&app, &connection, "account", ours()).await;
    assert_eq!(answer["provider_answers"].as_array().unwrap().len(), 2);
    assert_eq!(answer["data"], json!([]));
    assert_eq!(answer["problems"][0]["code"], "unreadable", "{answer:#}");
}

#[tokio::test]
async fn a_refusal_shows_no_secret_that_was_sent() {
    let says = |_: &str| {
        let message = "the token `verify me` or verify%20me is not good";
        Does::Answer(
            400,
            json!({"error": {"code": 100, "message": message, "error_data": {
                "sent": {"headers": {"Authorization": "Basic abc"}, "verify_token": "verify me",
                    "url": "https://twotick.example/?secret=sesame"}}}}),
        )
    };
    let (app, connection) = of_two_accounts(says, well).await;
    let mut over = ours();
    over["override"] = true.into();
    let at = path(&connection, "/account");
    let (status, problem) = app.send(Method::PUT, &at, over).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
    let said = problem.to_string();
    assert!(said.contains("is not good"), "{said}");
    for secret in ["verify me", "verify%20me", "Basic abc", "sesame"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_by_its_field_before_anything_is_sent() {
    let app = start(true).await;
    for (level, body, field) in [
        (
            "app",
            json!({"callback_url": "twotick.example"}),
            "callback_url",
        ),
        (
            "app",
            json!({"callback_url": "https://twotick.example/?a=b"}),
            "callback_url",
        ),
        ("app", json!({"override": true}), "override"),
        ("app", json!({"events": []}), "events"),
        ("account", json!({"events": ["messages"]}), "events"),
        ("number", json!({}), "phone_number_id"),
    ] {
        let at = path(&app.connection, &format!("/{level}"));
        let (status, problem) = app.send(Method::PUT, &at, body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let (status, _) = app
        .send(Method::PUT, &path(&app.connection, "/nobody"), json!({}))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(managed(&app, "meta").await, 0);
}
