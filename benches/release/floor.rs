//! The least that a sender must do: check the signature, find `delivered`, post the next message.
//! It keeps nothing, so a restart loses everything.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use twotick::provider::meta::webhook::verify_signature;

use crate::ground::measured::Measured;
use crate::ground::service::SECRET;
use crate::{Work, place, provider, recipient, text};

#[derive(Clone)]
struct Responder {
    client: reqwest::Client,
    provider: Arc<str>,
    work: Work,
}

pub async fn round(load: &Handle, work: Work) -> Measured {
    let provider = provider::start(load, work).await;
    let responder = Responder {
        client: reqwest::Client::new(),
        provider: provider.url.as_str().into(),
        work,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new()
        .route("/webhook", post(take))
        .with_state(responder.clone());
    let stop = CancellationToken::new();
    let serve = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::spawn(async move { serve.await });
    provider.post_to(format!("http://{address}/webhook")).await;
    for sequence in 0..work.sequences {
        tokio::spawn(responder.clone().send(sequence, 0));
    }
    provider.finished(work).await;
    stop.cancel();
    provider.measured(work).await
}

async fn take(State(responder): State<Responder>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let secrets = [SecretString::from(SECRET)];
    let signature = headers
        .get("x-hub-signature-256")
        .map(|value| value.as_bytes());
    if verify_signature(signature, &body, &secrets).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    for entry in body["entry"].as_array().unwrap() {
        for change in entry["changes"].as_array().unwrap() {
            for status in change["value"]["statuses"].as_array().unwrap() {
                if status["status"] == "delivered" {
                    let (sequence, step) =
                        place(status["biz_opaque_callback_data"].as_str().unwrap());
                    tokio::spawn(responder.clone().send(sequence, step + 1));
                }
            }
        }
    }
    StatusCode::OK
}

impl Responder {
    async fn send(self, sequence: usize, step: usize) {
        if step == self.work.steps {
            return;
        }
        let number = self.work.number(sequence);
        let text = text(sequence, step);
        let sent = self
            .client
            .post(format!("{}/v25.0/{number}/messages", self.provider))
            .bearer_auth("token")
            .json(&json!({
                "messaging_product": "whatsapp", "to": recipient(sequence), "type": "text",
                "text": {"body": text}, "biz_opaque_callback_data": text,
            }))
            .send();
        let answer = sent.await.unwrap();
        assert!(answer.status().is_success());
        answer.bytes().await.unwrap();
    }
}
