//! Senders at the providers: what they show of numbers counts as every reading does, profiles are
//! in one vocabulary, and numbers are registered from here without anything keeping their secrets.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::managed::{accounts, connected, managed, start};
use crate::support::*;

/// The simulator's.
pub const CODE: &str = "482913";

/// The account's first sender.
async fn sender(app: &App, connection: &str) -> String {
    let path = format!("/v1/senders?connection={connection}&limit=1");
    let found = app.get(&path).await;
    found["data"][0]["id"].as_str().unwrap().to_owned()
}

async fn asked(app: &App, method: Method, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = app.send(method, path, body).await;
    (status.as_u16(), answer)
}

#[tokio::test]
async fn what_a_provider_shows_of_a_number_goes_the_way_of_every_reading() {
    let app = start(true).await;
    let path = format!("/v1/senders/{}", app.sender);
    let fields = json!({"quality_rating": "RED", "status": "BANNED",
        "whatsapp_business_manager_messaging_limit": "TIER_250"});
    app.control_send(Method::PUT, &format!("numbers/{NUMBER}"), fields)
        .await;
    assert_eq!(app.get(&path).await["provider"], Value::Null);
    let fresh = app.get(&format!("{path}?fresh=true")).await;
    assert_eq!(
        (&fresh["quality"], &fresh["limit"], &fresh["status"]),
        (&json!("RED"), &json!("TIER_250"), &json!("blocked")),
        "{fresh:#}"
    );
    assert_eq!(fresh["provider"]["code_verification_status"], "VERIFIED");
    assert_eq!(fresh["verified_name"], "Simulated Shop");
    // What differs is told, as what the poller finds is.
    let told = app
        .get_until("/v1/events?type=sender.quality", |it| {
            it["data"] != json!([])
        })
        .await;
    assert_eq!(told["data"][0]["data"]["quality"], "RED");
    let (status, _) = asked(&app, Method::GET, &format!("{path}?fresh=yes"), Value::Null).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn a_sync_reads_an_accounts_numbers_and_makes_senders_of_new_ones() {
    let app = start(true).await;
    let add = json!({"connection": app.connection, "waba_id": WABA, "country_code": "44",
        "phone_number": "7796344125", "display_name": "Shop 8"});
    let added = app.create("/v1/senders/registrations", add).await;
    let id = added["sender"]["phone_number_id"].clone();
    let other = app
        .create(
            "/v1/connections",
            json!({"name": "again", "provider": "meta", "base_url": app.simulator,
                "api_version": "v25.0", "access_token": "token", "app_secrets": [SECRET],
                "verify_token": "verify me"}),
        )
        .await;
    let sync = json!({"connection": other["id"], "waba_id": WABA});
    let synced = app.create("/v1/senders/sync", sync.clone()).await;
    let shown = synced["data"].as_array().unwrap();
    let found = shown.iter().find(|it| it["phone_number_id"] == id).unwrap();
    assert_eq!(
        (&found["state"], &found["waba_id"], &found["provider"]["id"]),
        (&json!("PENDING"), &json!(WABA), &id)
    );
    let again = app.create("/v1/senders/sync", sync).await;
    assert_eq!(again["data"].as_array().unwrap().len(), shown.len());
    assert_eq!(again["changes"], 0);

    // Infobip shows numbers that it is asked for.
    let (infobip, _) = connected(&app, 2).await;
    let named = json!({"connection": infobip, "numbers": ["441200000001", "441200000009"]});
    let synced = app.create("/v1/senders/sync", named).await;
    assert_eq!(synced["data"].as_array().unwrap().len(), 1, "{synced:#}");
    assert_eq!(synced["data"][0]["quality"], "GREEN");
    assert_eq!(synced["data"][0]["provider"]["currentLimit"], "LIMIT_10K");
    let wrong = json!({"connection": infobip, "numbers": ["+44"]});
    let (status, problem) = asked(&app, Method::POST, "/v1/senders/sync", wrong).await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("numbers[0]"))
    );
}

#[tokio::test]
async fn a_profile_is_changed_and_shown_in_one_vocabulary() {
    let app = start(true).await;
    let mut all: Vec<_> = accounts(&app)
        .await
        .into_iter()
        .map(|account| (account.provider, account.connection))
        .collect();
    all.push(("dialog360_onprem", connected(&app, 1).await.0));
    for (provider, connection) in all {
        let path = format!("/v1/senders/{}/profile", sender(&app, &connection).await);
        let change = json!({"about": "Boilers, serviced.", "email": "ops@alder.example",
            "websites": ["https://alder.example"], "vertical": "PROF_SERVICES"});
        let (status, done) = asked(&app, Method::PATCH, &path, change.clone()).await;
        assert_eq!(status, 200, "{provider}: {done:#}");
        let (status, _) = asked(&app, Method::PATCH, &path, json!({"address": "1 Elm Row"})).await;
        assert_eq!(status, 200);
        let shown = app.get(&path).await;
        for (name, value) in change.as_object().unwrap() {
            assert_eq!(&shown[name], value, "{provider}: {shown:#}");
        }
        assert_eq!(shown["address"], "1 Elm Row", "what is not named stays");
        let before = managed(&app, provider).await;
        let wrong = json!({"about": "x".repeat(140), "websites": ["alder.example"]});
        let (status, problem) = asked(&app, Method::PATCH, &path, wrong).await;
        let named = [
            &problem["errors"][0]["field"],
            &problem["errors"][1]["field"],
        ];
        assert_eq!(
            (status, named),
            (422, [&json!("about"), &json!("websites[0]")])
        );
        assert_eq!(managed(&app, provider).await, before, "nothing was sent");
    }
    let acts = app.get("/v1/audit").await;
    let act = &acts["data"][0];
    assert!(
        act["action"].as_str().unwrap().ends_with("/profile"),
        "{act:#}"
    );
    assert!(!act["detail"].to_string().contains("Boilers"));
}

#[tokio::test]
async fn a_number_is_registered_with_its_pin_and_nothing_keeps_it() {
    let app = start(true).await;
    let path = format!("/v1/senders/{}", app.sender);
    let at = |end: &str| format!("{path}/{end}");
    let pin = |pin: &str| json!({ "pin": pin });
    let (status, done) = asked(&app, Method::PUT, &at("pin"), pin("318204")).await;
    assert_eq!(
        (status, &done["provider_answer"]["success"]),
        (200, &json!(true))
    );
    let register = at("register");
    let (status, problem) = asked(&app, Method::POST, &register, pin("318204")).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("provider_refused")),
        "it is registered already"
    );
    let (status, _) = asked(&app, Method::POST, &at("deregister"), json!({})).await;
    assert_eq!(status, 200);
    let fresh = app.get(&format!("{path}?fresh=true")).await;
    assert_eq!(fresh["state"], "DISCONNECTED");
    let (status, problem) = asked(&app, Method::POST, &register, pin("000000")).await;
    assert_eq!(
        (status, &problem["provider_error"]["code"]),
        (422, &json!("133005")),
        "{problem:#}"
    );
    let before = managed(&app, "meta").await;
    for wrong in ["31820", "31820a", "3182044"] {
        let (status, problem) = asked(&app, Method::POST, &register, pin(wrong)).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (422, &json!("pin"))
        );
        assert!(!problem.to_string().contains(wrong), "{problem:#}");
    }
    assert_eq!(managed(&app, "meta").await, before, "nothing was sent");
    // Named by a key or not: neither the audit nor what is kept of requests has the PIN.
    let request = app.request(Method::POST, &register).json(&pin("318204"));
    let named = request.header("idempotency-key", "register-1");
    assert_eq!(named.send().await.unwrap().status(), StatusCode::OK);
    let kept: Vec<String> = sqlx::query_scalar(
        "SELECT to_jsonb(a)::text FROM audit a UNION ALL
         SELECT to_jsonb(k)::text FROM idempotency_keys k",
    )
    .fetch_all(&mut app.session().await)
    .await
    .unwrap();
    assert!(kept.iter().any(|row| row.contains("/register")), "{kept:?}");
    assert!(
        !kept
            .iter()
            .any(|row| row.contains("318204") || row.contains("register-1"))
    );
    // Ten times in 72 hours, says the provider; this limit is told as one.
    for _ in 0..8 {
        let (_, last) = asked(&app, Method::POST, &register, pin("318204")).await;
        if last["code"] == "provider_limit" {
            assert_eq!(last["provider_error"]["code"], "133016");
            return;
        }
    }
    panic!("the provider's limit was never told");
}

#[tokio::test]
async fn a_new_number_is_verified_by_its_code() {
    let app = start(true).await;
    let (infobip, _) = connected(&app, 2).await;
    for (connection, code_comes) in [(app.connection.clone(), false), (infobip, true)] {
        let add = json!({"connection": connection, "waba_id": WABA, "country_code": "44",
            "phone_number": "7796344125", "display_name": "Shop 8"});
        let request = app.request(Method::POST, "/v1/senders/registrations");
        let request = request
            .json(&add)
            .header("idempotency-key", connection.as_str());
        let again = request.try_clone().unwrap();
        let made: Value = request.send().await.unwrap().json().await.unwrap();
        let replayed = again.send().await.unwrap();
        assert!(replayed.headers().contains_key("idempotency-replayed"));
        let id = made["sender"]["id"].as_str().unwrap();
        assert_eq!(replayed.json::<Value>().await.unwrap(), made);
        assert_eq!(made["status"] == "OTP_REQUESTED", code_comes, "{made:#}");
        let at = |end: &str| format!("/v1/senders/{id}/{end}");
        let voice = json!({"method": "VOICE", "language": "en_GB"});
        let (status, _) = asked(&app, Method::POST, &at("code"), voice).await;
        assert_eq!(status, 200);
        let code = |code: &str| json!({ "code": code });
        let (status, problem) = asked(&app, Method::POST, &at("verify"), code("000000")).await;
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("provider_refused"))
        );
        assert!(problem["provider_error"]["body"].is_object(), "{problem:#}");
        let (status, done) = asked(&app, Method::POST, &at("verify"), code(CODE)).await;
        assert_eq!(status, 200, "{done:#}");
        let (status, _) = asked(&app, Method::POST, &at("code"), json!({})).await;
        assert_eq!(status, 422, "it is verified");
        let wrong = json!({"language": "english"});
        let (status, problem) = asked(&app, Method::POST, &at("code"), wrong).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (422, &json!("language"))
        );
    }
    // That a provider has no such call is said before anything else is wrong.
    let (dialog360, _) = connected(&app, 0).await;
    let add = json!({"connection": dialog360, "waba_id": "x", "country_code": "0",
        "phone_number": "07796", "display_name": "S"});
    let (status, _) = asked(&app, Method::POST, "/v1/senders/registrations", add).await;
    assert_eq!(status, 501);
    let wrong = json!({"connection": app.connection, "waba_id": "x", "country_code": "0",
        "phone_number": "07796", "display_name": "S"});
    let (status, _) = asked(&app, Method::POST, "/v1/senders/registrations", wrong).await;
    assert_eq!(status, 422);
}
