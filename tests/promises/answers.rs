//! What an answer to a POST does, byte for byte: a provider that answers as it is told, and takes
//! everything once it has been told no more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::*;

#[derive(Clone, Default)]
struct Script(Arc<Mutex<Told>>);

#[derive(Default)]
struct Told {
    /// Answers that are still to be given.
    answers: VecDeque<(u16, String)>,
    /// How often it was asked.
    posts: usize,
}

impl Script {
    fn answer(&self) -> (StatusCode, String) {
        let mut script = self.0.lock().unwrap();
        script.posts += 1;
        let taken = json!({"messages": [{"id": format!("wamid.{}", script.posts)}]});
        let told = script.answers.pop_front();
        let (status, body) = told.unwrap_or((200, taken.to_string()));
        (StatusCode::from_u16(status).unwrap(), body)
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
    let answer = post(move || async move { provider.answer() });
    let router = Router::new().route("/v25.0/{number}/messages", answer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let connection = json!({
        "name": "scripted", "provider": "meta", "base_url": base_url, "api_version": "v25.0",
        "access_token": "token", "app_secrets": ["s"], "verify_token": "v",
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
