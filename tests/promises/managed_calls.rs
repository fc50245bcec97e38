//! How providers are called by those who manage: a call that changes something goes out once and
//! its outcome is told honestly, one that reads is made again, the provider's limits are kept, and
//! a webhook may come before the answer. Here the provider is played by the test, as no simulator
//! loses its answers at will.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use twotick::simulator;

use crate::managed::definition;
use crate::support::*;

/// What a scripted provider does with a request.
pub enum Does {
    Answer(u16, Value),
    /// With `Retry-After`.
    Later(u16, Value, u64),
    /// Nothing, for longer than anybody waits.
    Hang,
}

pub type Script = Box<dyn Fn(usize, &str) -> Does + Send + Sync>;

/// A provider of the test's own: what it was asked, as `METHOD path`.
#[derive(Clone)]
pub struct Scripted {
    pub url: String,
    pub asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let script = Arc::new(script);
        let take = async move |request: Request| {
            let path = request.uri().path_and_query().unwrap().as_str().to_owned();
            let said = format!("{} {path}", request.method());
            let _: Bytes = axum::body::to_bytes(request.into_body(), 1 << 20)
                .await
                .unwrap();
            let n = {
                let mut asked = log.lock().unwrap();
                asked.push(said.clone());
                asked.len()
            };
            match script(n, &said) {
                Does::Answer(status, body) => answer(status, &body),
                Does::Later(status, body, seconds) => {
                    let mut response = answer(status, &body);
                    response.headers_mut().insert("retry-after", seconds.into());
                    response
                }
                Does::Hang => std::future::pending().await,
            }
        };
        let router = axum::Router::new().fallback(take);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(status: u16, body: &Value) -> Response {
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    (status, axum::Json(body.clone())).into_response()
}

/// A connection to the scripted provider.
pub async fn connect(app: &App, provider: &Scripted) -> String {
    let made = app
        .create(
            "/v1/connections",
            json!({
                "name": "scripted", "provider": "meta", "base_url": provider.url,
                "api_version": "v25.0", "access_token": "token", "app_secrets": [SECRET],
                "verify_token": "verify me",
            }),
        )
        .await;
    made["id"].as_str().unwrap().to_owned()
}

pub fn new(connection: &str, name: &str) -> Value {
    let mut new = definition(name);
    new["connection"] = connection.into();
    new["waba_id"] = WABA.into();
    new
}

pub fn pending() -> Value {
    json!({"id": "594425479261596", "status": "PENDING", "category": "UTILITY"})
}

pub async fn post(app: &App, body: &Value, key: &str) -> (StatusCode, Value, bool) {
    let request = app.request(Method::POST, "/v1/templates").json(body);
    let response = request.header("idempotency-key", key).send().await.unwrap();
    let (status, replayed) = (
        response.status(),
        response.headers().contains_key("idempotency-replayed"),
    );
    (status, response.json().await.unwrap(), replayed)
}

#[tokio::test]
async fn a_lost_answer_is_told_as_one_and_the_change_goes_out_once() {
    // Long enough for whoever answers at all, on a busy machine too.
    let settings =
        |config: &mut twotick::config::Config| config.manage.timeout = Duration::from_secs(4);
    let app = App::start_with(settings, simulator::Config::default()).await;
    let provider = Scripted::start(Box::new(|n, _| match n {
        1 => Does::Hang,
        2 => Does::Answer(
            503,
            json!({"error": {"code": 2, "message": "Unavailable", "is_transient": true}}),
        ),
        _ => Does::Answer(200, pending()),
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let wanted = new(&connection, "order_ready");
    for (key, answered) in [("a", false), ("b", true)] {
        let (status, problem, _) = post(&app, &wanted, key).await;
        assert_eq!(
            (status.as_u16(), &problem["code"]),
            (504, &json!("outcome_unknown")),
            "{problem:#}"
        );
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("/v1/templates/sync")
        );
        assert_eq!(problem["provider_error"].is_object(), answered);
    }
    assert_eq!(provider.asked().len(), 2, "each went out once");
    assert_eq!(
        app.get("/v1/templates?name=order_ready").await["data"],
        json!([])
    );
    // What nobody knows the end of is not done again under its key.
    for key in ["a", "b"] {
        let (status, problem, _) = post(&app, &wanted, key).await;
        assert_eq!(
            (status.as_u16(), &problem["code"]),
            (504, &json!("outcome_unknown"))
        );
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("this Idempotency-Key"), "{detail}");
    }
    assert_eq!(provider.asked().len(), 2);
    let (status, made, replayed) = post(&app, &wanted, "k").await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false), "{made:#}");
    let (status, again, replayed) = post(&app, &wanted, "k").await;
    assert_eq!(
        (status, replayed, &again),
        (StatusCode::CREATED, true, &made)
    );
    assert_eq!(provider.asked().len(), 3);
    let (status, problem, _) = post(&app, &new(&connection, "other"), "k").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("idempotency_conflict"))
    );
}

#[tokio::test]
async fn who_cannot_be_reached_did_nothing() {
    let app = App::start().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let gone = Scripted {
        url,
        asked: Arc::default(),
    };
    let connection = connect(&app, &gone).await;
    let (status, problem, _) = post(&app, &new(&connection, "order_ready"), "k").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_GATEWAY, &json!("provider_failed"))
    );
    assert_eq!(problem["provider_error"], Value::Null);
}

#[tokio::test]
async fn providers_that_hang_hold_up_their_own_lists_and_no_others() {
    let settings =
        |config: &mut twotick::config::Config| config.manage.timeout = Duration::from_secs(60);
    let app = Arc::new(App::start_with(settings, simulator::Config::default()).await);
    let list = |connection: &str| json!({"connection": connection, "waba_id": WABA});
    let mut hanging = Vec::new();
    for _ in 0..3 {
        let provider = Scripted::start(Box::new(|_, _| Does::Hang)).await;
        let connection = connect(&app, &provider).await;
        for _ in 0..2 {
            let (app, list) = (Arc::clone(&app), list(&connection));
            hanging.push(tokio::spawn(async move {
                app.create("/v1/templates/sync", list).await;
            }));
        }
        until(|| !provider.asked().is_empty()).await;
    }
    let empty = Box::new(|_: usize, _: &str| Does::Answer(200, json!({"data": []})));
    let other = connect(&app, &Scripted::start(empty).await).await;
    let synced = app.create("/v1/templates/sync", list(&other)).await;
    assert_eq!(synced["whole"], true, "{synced:#}");
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Waits for it.
async fn until(is: impl Fn() -> bool) {
    let waiting = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(in_time.is_ok());
}

#[tokio::test]
async fn what_reads_is_made_again_and_all_pages_are_read() {
    let app = App::start().await;
    let template = |n: usize| {
        json!({"id": n.to_string(), "name": format!("t{n}"), "language": "en", "status": "APPROVED",
            "category": "UTILITY", "components": [{"type": "BODY", "text": "x"}]})
    };
    let provider = Scripted::start(Box::new(move |n, said| match (n, said.contains("after=")) {
        (1, _) => Does::Answer(502, json!("<html>")),
        (_, false) => Does::Answer(200, json!({"data": [template(1)], "paging": {
            "cursors": {"before": "a", "after": "b"}, "next": "https://graph.facebook.com/x?after=b"}})),
        (_, true) => Does::Answer(200, json!({"data": [template(2)], "paging": {"cursors": {"before": "b", "after": "c"}}})),
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let list = json!({"connection": connection, "waba_id": WABA});
    let synced = app.create("/v1/templates/sync", list).await;
    let names: Vec<_> = synced["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].clone())
        .collect();
    assert_eq!(
        (names, &synced["whole"]),
        (vec![json!("t1"), json!("t2")], &json!(true))
    );
    assert_eq!(provider.asked().len(), 3);
    assert_eq!(synced["data"][1]["provider"]["components"][0]["text"], "x");
}

#[tokio::test]
async fn a_providers_limit_is_passed_on_and_kept() {
    let app = App::start().await;
    let provider = Scripted::start(Box::new(|_, _| {
        Does::Later(
            429,
            json!({"error": {"code": 80007, "message": "too many calls"}}),
            7,
        )
    }))
    .await;
    let connection = connect(&app, &provider).await;
    for told in [true, false] {
        let body = new(&connection, "order_ready");
        let request = app.request(Method::POST, "/v1/templates").json(&body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let wait: u64 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((5..=7).contains(&wait), "{wait}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "provider_limit");
        assert_eq!(problem["provider_error"].is_object(), told, "{problem:#}");
    }
    assert_eq!(provider.asked().len(), 1, "the second was not even tried");
}

#[tokio::test]
async fn what_one_number_has_had_too_much_of_keeps_no_other_from_being_asked_for() {
    let app = App::start().await;
    let provider = Scripted::start(Box::new(|n, _| match n {
        1 => Does::Answer(
            400,
            json!({"error": {"code": 133016, "message": "too often"}}),
        ),
        _ => Does::Answer(200, pending()),
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let (status, problem, _) = post(&app, &new(&connection, "one"), "a").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("provider_limit"))
    );
    let (status, made, _) = post(&app, &new(&connection, "two"), "b").await;
    assert_eq!(status, StatusCode::CREATED, "{made:#}");
}

#[tokio::test]
async fn what_passes_is_told_as_passing_whatever_its_status() {
    let app = App::start().await;
    let provider = Scripted::start(Box::new(|n, said| match (n, said.starts_with("GET")) {
        (1 | 3, _) => Does::Answer(
            400,
            json!({"error": {"code": 2, "is_transient": true, "message": "unavailable"}}),
        ),
        (_, true) => Does::Answer(200, json!({"data": []})),
        (_, false) => Does::Answer(200, pending()),
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let list = json!({"connection": connection, "waba_id": WABA});
    assert_eq!(
        app.create("/v1/templates/sync", list).await["whole"],
        json!(true),
        "a read is made again"
    );
    let body = new(&connection, "order_ready");
    let (status, problem, _) = post(&app, &body, "a").await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_GATEWAY, &json!("provider_failed")),
        "{problem:#}"
    );
    // It was not done, so that the same request may do it.
    let (status, _, replayed) = post(&app, &body, "a").await;
    assert_eq!((status, replayed), (StatusCode::CREATED, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_comes_before_the_answer_finds_or_makes_the_same_row() {
    let app = App::start().await;
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    // Answers only once the test has posted the webhook.
    let provider = Scripted::start(Box::new(move |_, asked| {
        said.send(asked.to_owned()).unwrap();
        tokio::task::block_in_place(|| wait.lock().unwrap().recv().unwrap());
        Does::Answer(200, pending())
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let wanted = new(&connection, "order_ready");
    let request = app
        .request(Method::POST, "/v1/templates")
        .json(&wanted)
        .send();
    let asking = tokio::spawn(request);
    heard.recv().await.unwrap();
    let approved = management_body(
        "message_template_status_update",
        app.clock.now().unix_timestamp(),
        json!({
            "event": "APPROVED", "message_template_id": 594_425_479_261_596_i64,
            "message_template_name": "order_ready", "message_template_language": "en_GB",
            "message_template_category": "UTILITY", "reason": "NONE",
        }),
    );
    let bytes = serde_json::to_vec(&approved).unwrap();
    let webhook = reqwest::Client::new()
        .post(format!("{}/webhooks/{connection}", app.url))
        .header("X-Hub-Signature-256", signature(SECRET, &bytes))
        .body(bytes)
        .send();
    assert_eq!(webhook.await.unwrap().status(), StatusCode::OK);
    go.send(()).unwrap();
    let answered = asking.await.unwrap().unwrap();
    assert_eq!(answered.status(), StatusCode::CREATED);
    let made: Value = answered.json().await.unwrap();
    assert_eq!(
        (&made["status"], &made["sendable"]),
        (&json!("APPROVED"), &json!(true)),
        "{made:#}"
    );
    let all = app.get("/v1/templates?name=order_ready").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 1);
    assert_eq!(all["data"][0]["submitted"]["category"], "UTILITY");
}

#[tokio::test]
async fn of_two_edits_at_once_that_one_is_left_for_one_goes_out() {
    let settings = |config: &mut twotick::config::Config| {
        config.manage.template_edits = "1/1d".to_owned().try_into().unwrap();
    };
    let app = App::start_with(settings, simulator::Config::default()).await;
    let provider = Scripted::start(Box::new(|_, said| match said.starts_with("GET") {
        true => Does::Answer(
            400,
            json!({"error": {"code": 100, "message": "no reading here"}}),
        ),
        false if said.ends_with("/message_templates") => Does::Answer(
            200,
            json!({"id": "7", "status": "APPROVED", "category": "UTILITY"}),
        ),
        false => Does::Answer(200, json!({"success": true})),
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let made = app
        .create("/v1/templates", new(&connection, "order_ready"))
        .await;
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    let change = json!({"components": definition("order_ready")["components"]});
    let edit = || app.send(Method::PATCH, &path, change.clone());
    let (one, other) = tokio::join!(edit(), edit());
    let mut came = [one.0.as_u16(), other.0.as_u16()];
    came.sort_unstable();
    assert_eq!(came, [200, 429], "{one:?} {other:?}");
    let edits = provider
        .asked()
        .into_iter()
        .filter(|said| said == "POST /v25.0/7");
    assert_eq!(edits.count(), 1);
}

#[tokio::test]
async fn an_edit_that_was_refused_does_not_count() {
    let settings = |config: &mut twotick::config::Config| {
        config.manage.template_edits = "1/1d".to_owned().try_into().unwrap();
    };
    let app = App::start_with(settings, simulator::Config::default()).await;
    let provider = Scripted::start(Box::new(|n, said| match (said.starts_with("GET"), n) {
        (true, _) => Does::Answer(
            400,
            json!({"error": {"code": 100, "message": "no reading here"}}),
        ),
        (_, 1) => Does::Answer(
            200,
            json!({"id": "7", "status": "APPROVED", "category": "UTILITY"}),
        ),
        (_, 2) => Does::Answer(
            400,
            json!({"error": {"code": 100, "message": "Invalid parameter"}}),
        ),
        _ => Does::Answer(200, json!({"success": true})),
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let made = app
        .create("/v1/templates", new(&connection, "order_ready"))
        .await;
    let path = format!("/v1/templates/{}", made["id"].as_str().unwrap());
    let change = json!({"components": definition("order_ready")["components"]});
    for expected in [422, 200, 429] {
        let (status, answer) = app.send(Method::PATCH, &path, change.clone()).await;
        assert_eq!(status.as_u16(), expected, "{answer:#}");
    }
}
