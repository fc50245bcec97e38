//! What an answer to a POST does, byte for byte: a provider that answers as it is told, and takes
//! everything once it has been told no more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::TcpListener;

use crate::support::*;

const KEY: &str = "EAAGthekeyofthescript";
const APP_SECRET: &str = "0123456789abcdef";

#[derive(Clone, Default)]
struct Script(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// Answers that are still to be given.
    answers: VecDeque<(u16, String)>,
    /// How often it was asked.
    posts: usize,
    /// A header of every answer.
    header: Option<(&'static str, &'static str)>,
}

impl Script {
    fn answer(&self) -> (StatusCode, HeaderMap, String) {
        let mut script = self.0.lock().unwrap();
        script.posts += 1;
        let taken = json!({"messages": [{"id": format!("wamid.{}", script.posts)}]});
        let told = script.answers.pop_front();
        let (status, body) = told.unwrap_or((200, taken.to_string()));
        let header = script
            .header
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        (
            StatusCode::from_u16(status).unwrap(),
            header.into_iter().collect(),
            body,
        )
    }

    fn posts(&self) -> usize {
        self.0.lock().unwrap().posts
    }
}

/// Such a provider, with a connection to it and a sender on that.
async fn scripted(app: &App, answers: &[(u16, &str)]) -> (Script, String) {
    let script = Script::default();
    let told = answers
        .iter()
        .map(|(status, body)| (*status, (*body).to_owned()));
    script.0.lock().unwrap().answers.extend(told);
    let provider = script.clone();
    let answer = any(move || async move { provider.answer() });
    let router = Router::new()
        .route("/v25.0/{number}/messages", answer.clone())
        .route("/v25.0/debug_token", answer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let connection = json!({
        "name": "scripted", "provider": "meta", "base_url": base_url, "api_version": "v25.0",
        "access_token": KEY, "app_secrets": [APP_SECRET], "verify_token": "v",
    });
    let connection = app.create("/v1/connections", connection).await["id"].clone();
    let sender = json!({
        "connection": connection, "phone_number_id": "998", "messages_per_second": 1000,
    });
    let sender = app.create("/v1/senders", sender).await["id"].clone();
    (script, sender.as_str().unwrap().to_owned())
}

async fn lone(app: &App, sender: &str) -> String {
    let message = text(sender, "447700900123", "hi");
    let message = app.create("/v1/messages", message).await;
    format!("/v1/messages/{}", message["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_refusal_that_passes_is_tried_again_whatever_its_code_means_elsewhere() {
    let app = App::start().await;
    let unlisted = r#"{"error": {"message": "new", "code": 987654, "is_transient": true}}"#;
    let answers = [(403, "<html>"), (410, ""), (402, ""), (500, unlisted)];
    let (script, sender) = scripted(&app, &answers).await;
    let path = lone(&app, &sender).await;
    let over = |message: &Value| message["status"] == "accepted" || message["status"] == "failed";
    let message = app.get_until(&path, over).await;
    let attempts = message["attempts"].as_array().unwrap();
    let said: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            (
                attempt["error"]["code"].as_i64(),
                attempt["error"]["class"].as_str(),
            )
        })
        .collect();
    let passing = Some("retry");
    let expected = [
        (Some(403), passing),
        (Some(410), passing),
        (Some(402), passing),
        (Some(987_654), passing),
        (None, None),
    ];
    assert_eq!(said, expected, "{message:#}");
    assert_eq!(script.posts(), 5);
}

#[tokio::test]
async fn what_is_used_up_is_waited_for_whether_it_was_refused_or_not() {
    let app = App::start().await;
    let limit = r#"{"error": {"message": "(#80007) Rate limit", "code": 80007}}"#;
    let (script, sender) = scripted(&app, &[(400, limit)]).await;
    let usage = r#"{"2044": [{"type": "whatsapp", "estimated_time_to_regain_access": 7}]}"#;
    script.0.lock().unwrap().header = Some(("X-Business-Use-Case-Usage", usage));
    let path = lone(&app, &sender).await;
    let limited = |message: &Value| message["waiting"]["reason"] == "rate_limit";
    let message = app.get_until(&path, limited).await;
    let at = OffsetDateTime::parse(message["next_attempt_at"].as_str().unwrap(), &Rfc3339).unwrap();
    let wait = at - app.clock.now();
    assert!(
        wait > time::Duration::minutes(6) && wait <= time::Duration::minutes(7),
        "{wait}"
    );

    // The same said beside an acceptance: the message behind it is not posted with the decision
    // that lets it go.
    let (script, sender) = scripted(&app, &[]).await;
    script.0.lock().unwrap().header = Some(("X-App-Usage", r#"{"call_count": 100}"#));
    let new = json!({"sender": sender, "to": "447700900123", "gate": {"status": "accepted"},
        "messages": [step("one"), step("two")]});
    let (sequence, _) = app.sequence(new).await;
    let path = format!("/v1/sequences/{sequence}");
    let advanced = app
        .get_until(&path, |sequence| sequence["position"] == 2)
        .await;
    assert_eq!(advanced["messages"][1]["status"], "queued");
    assert_eq!(script.posts(), 1);
}

#[tokio::test]
async fn a_key_that_a_provider_repeats_is_shown_nowhere() {
    let app = App::start().await;
    let said = format!("Malformed access token {KEY}");
    let refused = json!({"error": {"message": said, "code": 190}}).to_string();
    let other = format!("Malformed access token 42|{APP_SECRET}");
    let other = json!({"error": {"message": other, "code": 190}}).to_string();
    let (_, sender) = scripted(&app, &[(401, &refused), (401, &refused), (400, &other)]).await;
    let connection = app.get(&format!("/v1/senders/{sender}")).await["connection"].clone();
    let connection = format!("/v1/connections/{}", connection.as_str().unwrap());
    let path = lone(&app, &sender).await;
    let stopped = |message: &Value| message["waiting"]["reason"] == "connection_stopped";
    let message = app.get_until(&path, stopped).await;
    let shown = app.get(&connection).await;
    let events = app.get("/v1/events").await;
    let mut token = Vec::new();
    for _ in 0..2 {
        let asked = app.request(reqwest::Method::GET, &format!("{connection}/token"));
        token.push(asked.send().await.unwrap().text().await.unwrap());
    }
    assert!(shown["stopped_reason"].as_str().unwrap().contains("190"));
    assert!(token.iter().all(|it| it.contains("Malformed access token")));
    let all = format!("{message} {shown} {events} {token:?}");
    assert!(!all.contains(KEY) && !all.contains(APP_SECRET), "{all}");
}
