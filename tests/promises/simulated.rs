//! Solution providers as the simulator plays them, end to end: a connection made over the API,
//! webhooks in the provider's own dialect with the proof that was agreed, what the service makes
//! of them, and what the provider does when it is refused.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use twotick::simulator::{self, Delays};

use crate::support::*;

const USER: &str = "385910000001";
const SENDER: &str = "441200000001";
/// What waits before retries are multiplied by: a minute is 6 ms.
const SCALE: f64 = 0.000_1;

/// A provider, as both sides know it.
pub struct Pair {
    pub provider: &'static str,
    /// What the service is told to ask for.
    asked: Value,
    /// What the simulator is told to bring.
    brought: Value,
    /// Behind the address.
    pub query: &'static str,
    messages_api: bool,
}

fn pair(provider: &'static str, asked: Value, brought: Value) -> Pair {
    Pair {
        provider,
        asked,
        brought,
        query: "",
        messages_api: false,
    }
}

pub fn pairs() -> Vec<Pair> {
    let headers =
        json!({"headers": {"X-Tenant": "7"}, "basic": {"username": "u", "password": "p"}});
    let hmac = json!({"hmac": {"secrets": ["k"], "algorithm": "sha512", "header": "X-Sig"}});
    let sha512 = json!({"secret": "k", "algorithm": "sha512", "header": "X-Sig",
        "encoding": "base64"});
    vec![
        pair(
            "dialog360",
            json!({"signature_secrets": ["platform"]}),
            json!({"signature": {"secret": "platform"}}),
        ),
        pair("dialog360_onprem", headers.clone(), headers),
        pair("infobip", hmac, json!({"signature": sha512})),
        Pair {
            query: "?secret=in%20the%20url",
            messages_api: true,
            ..pair("infobip", json!({"url_secret": "in the url"}), json!({}))
        },
    ]
}

async fn start() -> App {
    let simulated = simulator::Config {
        phone_number_id: SENDER.to_owned(),
        delays: Delays {
            retry_scale: SCALE,
            ..Delays::default()
        },
        ..simulator::Config::default()
    };
    App::start_with(|_| {}, simulated).await
}

/// Makes the connection and tells the simulator of it.
pub async fn connect(app: &App, pair: &Pair) -> String {
    let new = json!({"name": pair.provider, "provider": pair.provider,
        "base_url": app.simulator, "api_key": "key", "webhook_auth": pair.asked});
    let made = app.create("/v1/connections", new).await;
    let connection = made["id"].as_str().unwrap().to_owned();
    let url = format!("{}/webhooks/{connection}{}", app.url, pair.query);
    let target = json!({"provider": pair.provider, "url": url, "auth": pair.brought,
        "messages_api": pair.messages_api});
    app.control_send(Method::PUT, "webhook", target).await;
    connection
}

/// Posts a message to the provider itself, as somebody else would; the provider's id.
async fn accepted(app: &App, provider: &str, id: &str) -> String {
    let text = json!({"body": "hi"});
    let (path, header, key, body) = match provider {
        "dialog360" => (
            "/messages",
            "D360-API-KEY",
            "key",
            json!({"messaging_product": "whatsapp", "to": USER, "type": "text", "text": text}),
        ),
        "dialog360_onprem" => (
            "/v1/messages",
            "D360-API-KEY",
            "key",
            json!({"to": USER, "type": "text", "text": text}),
        ),
        _ => (
            "/whatsapp/1/message/text",
            "Authorization",
            "App key",
            json!({"from": SENDER, "to": USER, "messageId": id, "content": {"text": "hi"}}),
        ),
    };
    let request = reqwest::Client::new().post(format!("{}{path}", app.simulator));
    let answer = request
        .header(header, key)
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer: Value = answer.json().await.unwrap();
    let id = answer["messages"][0]["id"].as_str();
    id.or(answer["messageId"].as_str()).unwrap().to_owned()
}

async fn says(app: &App, id: &str, status: &str) {
    let path = format!("messages/{id}/status");
    app.control_send(Method::POST, &path, json!({"status": status}))
        .await;
}

/// Waits until all that the simulator had to say was taken.
async fn idle(app: &App) {
    let answer = app.control("idle?timeout_ms=20000").await;
    assert_eq!(answer["idle"], true, "{}", app.control("attempts").await);
}

async fn attempts(app: &App) -> Vec<Value> {
    app.control("attempts").await["attempts"]
        .as_array()
        .unwrap()
        .clone()
}

#[tokio::test]
async fn what_a_provider_says_in_its_dialect_is_evidence() {
    let app = start().await;
    for (n, pair) in pairs().iter().enumerate() {
        connect(&app, pair).await;
        for (word, end, status) in [("good", "read", "read"), ("bad", "failed", "failed")] {
            let id = accepted(&app, pair.provider, &format!("{word}-{n}")).await;
            for status in ["delivered", end] {
                // What failed was not delivered.
                if status != "delivered" || end != "failed" {
                    says(&app, &id, status).await;
                }
            }
            idle(&app).await;
            let path = format!("/v1/messages?provider_message_id={id}");
            let found = app.get(&path).await;
            let found = found["data"].as_array().unwrap();
            assert_eq!(found.len(), 1, "{}: {found:#?}", pair.provider);
            let message = &found[0];
            assert_eq!(
                (&message["status"], &message["to"]),
                (&json!(status), &json!(USER))
            );
            let is_good = end == "read";
            assert_eq!(message["delivered_at"].is_string(), is_good, "{message:#}");
            if !is_good {
                assert_eq!(message["error"]["class"], "never_to_recipient");
            }
        }
    }
    // None of them was refused, and each was understood.
    let all = attempts(&app).await;
    assert!(all.iter().all(|one| one["answer"] == 200), "{all:#?}");
    let undecoded = app.get("/v1/webhooks?state=undecoded").await;
    assert_eq!(undecoded["data"], json!([]));
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_tried_again_by_the_rule_until_it_is_right() {
    let app = start().await;
    let rules = [[1, 2, 4], [1, 2, 4], [1, 2, 5], [1, 2, 5]];
    for (n, (mut pair, rule)) in pairs().into_iter().zip(rules).enumerate() {
        let right = std::mem::replace(&mut pair.brought, json!({"signature": {"secret": "wrong"}}));
        let query = std::mem::replace(&mut pair.query, "?secret=wrong");
        let connection = connect(&app, &pair).await;
        let before = attempts(&app).await.len();
        let webhooks = app.get("/v1/webhooks").await["data"]
            .as_array()
            .unwrap()
            .len();
        let body = json!({"provider": pair.provider, "body": {"results": [{"n": n}]}});
        app.control_send(Method::POST, "webhooks", body).await;
        let refused = attempts_until(&app, before + rule.len()).await;
        for (one, minutes) in refused[before..].iter().zip(rule) {
            let expected = json!({"answer": 401, "again_after_ms": minutes * 60_000});
            let said = json!({"answer": one["answer"], "again_after_ms": one["again_after_ms"]});
            assert_eq!(said, expected, "{}", pair.provider);
        }
        let url = format!("{}/webhooks/{connection}{query}", app.url);
        let target = json!({"provider": pair.provider, "url": url, "auth": right});
        app.control_send(Method::PUT, "webhook", target).await;
        idle(&app).await;
        let all = attempts(&app).await;
        let last = all.last().unwrap();
        assert_eq!(
            (&last["answer"], &last["again_after_ms"]),
            (&json!(200), &Value::Null)
        );
        for pair in all[before..].windows(2) {
            let at = |one: &Value| one["at_us"].as_f64().unwrap();
            let wait_us = pair[0]["again_after_ms"].as_f64().unwrap() * 1_000.0 * SCALE;
            assert!(at(&pair[1]) >= at(&pair[0]) + wait_us, "{pair:#?}");
        }
        let stored = app.get("/v1/webhooks").await["data"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(stored, webhooks + 1, "nothing that was refused");
    }
}

/// Waits until the simulator has made this many attempts.
async fn attempts_until(app: &App, n: usize) -> Vec<Value> {
    let waiting = async {
        loop {
            let all = attempts(app).await;
            if all.len() >= n {
                return all;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let all = tokio::time::timeout(PATIENCE, waiting).await;
    all.unwrap_or_else(|_| panic!("there never were {n} attempts"))
}

#[tokio::test]
async fn a_provider_without_an_address_holds_up_no_other() {
    let app = start().await;
    let post = async |provider: &str, kind: &str| {
        let path = format!("kinds/{provider}/{kind}");
        app.control_send(Method::POST, &path, json!({})).await;
    };
    post("infobip", "seen").await;
    let pairs = pairs();
    let [dialog360, _, infobip, _] = &pairs[..] else {
        panic!("four pairs");
    };
    connect(&app, dialog360).await;
    post("dialog360", "messages.statuses.read").await;
    let all = attempts_until(&app, 1).await;
    assert_eq!(all[0]["provider"], "dialog360");
    connect(&app, infobip).await;
    idle(&app).await;
    let all = attempts(&app).await;
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|one| one["answer"] == 200), "{all:#?}");
}

/// The types of all facts.
async fn types(app: &App) -> Vec<String> {
    let said = "SELECT DISTINCT type FROM facts ORDER BY type";
    sqlx::query_scalar(said)
        .fetch_all(&mut app.session().await)
        .await
        .unwrap()
}

async fn post_every_kind(app: &App, provider: &str) -> usize {
    let kinds = app.control(&format!("kinds?provider={provider}")).await;
    let kinds = kinds["kinds"].as_array().unwrap();
    for kind in kinds {
        let path = format!("kinds/{provider}/{}", kind["kind"].as_str().unwrap());
        app.control_send(Method::POST, &path, json!({})).await;
    }
    idle(app).await;
    kinds.len()
}

/// Has every kind of a provider's webhooks posted to the connection that was made for it.
async fn every_kind(app: &App, provider: &str, wanted: &[&str]) {
    let posted = post_every_kind(app, provider).await;
    let all = attempts(app).await;
    assert_eq!(all.len(), posted, "each was taken at once");
    assert!(all.iter().all(|one| one["answer"] == 200));
    let undecoded = app.get("/v1/webhooks?state=undecoded&limit=500").await;
    assert_eq!(undecoded["data"], json!([]));
    let types = types(app).await;
    for wanted in wanted {
        assert!(
            types.iter().any(|known| known == wanted),
            "{wanted}: {types:?}"
        );
    }
    // 360dialog's own events about channels are kept, and mean nothing to us.
    let not_known = types.iter().any(|known| known == "webhook.other");
    assert_eq!(not_known, provider.starts_with("dialog360"), "{types:?}");
}

#[tokio::test]
async fn every_kind_of_metas_webhooks_is_taken_and_understood() {
    let app = start().await;
    let url = format!("{}/webhooks/{}", app.url, app.connection);
    let target = json!({"url": url, "app_secret": SECRET});
    app.control_send(Method::PUT, "webhook", target).await;
    every_kind(&app, "meta", META_TYPES).await;
}

#[tokio::test]
async fn every_kind_of_360dialogs_webhooks_is_taken_and_understood() {
    let app = start().await;
    connect(&app, &pairs()[0]).await;
    every_kind(&app, "dialog360", META_TYPES).await;
}

#[tokio::test]
async fn every_kind_of_on_premises_webhooks_is_taken_and_understood() {
    let app = start().await;
    connect(&app, &pairs()[1]).await;
    every_kind(&app, "dialog360_onprem", ON_PREMISES_TYPES).await;
}

#[tokio::test]
async fn every_kind_of_infobips_webhooks_is_taken_and_understood() {
    let app = start().await;
    connect(&app, &pairs()[2]).await;
    every_kind(&app, "infobip", INFOBIP_TYPES).await;
}

/// Every type that a webhook of Meta's can be, but those of users' messages.
const META_TYPES: &[&str] = &[
    "account.alert",
    "account.capability",
    "account.review",
    "account.update",
    "automatic.event",
    "call.event",
    "call.status",
    "contact.sync",
    "conversation.handover",
    "echo.text",
    "flow.update",
    "group.lifecycle",
    "group.participants",
    "group.settings",
    "group.status",
    "history.chunk",
    "history.error",
    "history.message",
    "inbound.button",
    "inbound.interactive",
    "inbound.reaction",
    "inbound.system",
    "inbound.text",
    "message.delivered",
    "message.failed",
    "message.played",
    "message.read",
    "message.sent",
    "message.status.deleted",
    "partner.solution",
    "payment.configuration",
    "payment.status",
    "sender.error",
    "sender.name",
    "sender.quality",
    "sender.security",
    "sender.settings",
    "sender.username",
    "template.category",
    "template.category_detected",
    "template.components",
    "template.quality",
    "template.status",
    "user.action",
    "user.id",
    "user.preference",
];

const ON_PREMISES_TYPES: &[&str] = &[
    "inbound.ephemeral",
    "inbound.text",
    "inbound.voice",
    "message.delivered",
    "message.failed",
    "message.read",
    "message.sent",
    "message.status.deleted",
    "message.status.warning",
    "sender.error",
    "template.category",
    "template.status",
];

const INFOBIP_TYPES: &[&str] = &[
    "inbound.order",
    "inbound.reaction",
    "inbound.text",
    "message.delivered",
    "message.failed",
    "message.read",
    "message.sent",
    "message.status.pending_enroute",
    "payment.status",
    "template.category",
    "template.quality",
    "template.status",
    "user.identity",
    "user.preference",
];
