//! A number's picture: looked at before anything is sent, put there by each provider's own way, and
//! shown as it was given.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::managed::{accounts, connected, managed, start};
use crate::support::*;

/// A PNG, as far as anybody looks.
pub fn png(side: u32) -> Vec<u8> {
    let sides = [side.to_be_bytes(), side.to_be_bytes()].concat();
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".as_slice(),
        &sides,
        &[7; 4096],
    ]
    .concat()
}

async fn put(app: &App, path: &str, kind: &str, bytes: Vec<u8>) -> (u16, Value) {
    let request = app.request(Method::PUT, path).header("content-type", kind);
    let response = request.body(bytes).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_key_of_360dialogs_changes_no_other_number_than_its_own() {
    let app = start(true).await;
    let (connection, own) = connected(&app, 0).await;
    // What a webhook of the account makes of it.
    let other = json!({"connection": connection, "phone_number_id": "999000111222333"});
    let other = app.create("/v1/senders", other).await;
    let path = |sender: &str, what: &str| format!("/v1/senders/{sender}/{what}");
    let profile = app.get(&path(&own, "profile")).await;
    let other = other["id"].as_str().unwrap();
    let change = json!({"about": "we are the other one"});
    let refused = [
        app.send(Method::GET, &path(other, "profile"), Value::Null)
            .await,
        app.send(Method::PATCH, &path(other, "profile"), change)
            .await,
        app.send(Method::GET, &path(other, "logo"), Value::Null)
            .await,
    ];
    for (status, problem) in refused {
        let detail = problem["detail"].as_str().unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem:#}");
        assert!(detail.contains("key is another number's"), "{detail}");
    }
    let (status, _) = put(&app, &path(other, "logo"), "image/png", png(640)).await;
    assert_eq!(status, 404);
    assert_eq!(app.get(&path(&own, "profile")).await, profile);
}

#[tokio::test]
async fn a_picture_is_put_there_and_shown_as_it_was_given() {
    let app = start(true).await;
    let mut all: Vec<_> = accounts(&app)
        .await
        .into_iter()
        .map(|account| (account.provider, account.connection))
        .collect();
    all.push(("dialog360_onprem", connected(&app, 1).await.0));
    for (provider, connection) in all {
        let senders = app
            .get(&format!("/v1/senders?connection={connection}"))
            .await;
        let id = senders["data"][0]["id"].as_str().unwrap();
        let path = format!("/v1/senders/{id}/logo");
        let (status, problem) = put(&app, &path, "image/gif", b"GIF89a".to_vec()).await;
        let before = managed(&app, provider).await;
        if provider == "infobip" {
            assert_eq!(
                (status, &problem["code"]),
                (422, &json!("not_supported_by_provider"))
            );
            let address = json!({"url": "https://alder.example/logo.png"});
            let (status, done) = app.send(Method::PUT, &path, address).await;
            assert_eq!(status, StatusCode::OK, "{done:#}");
            let shown = app.request(Method::GET, &path).send().await.unwrap();
            assert_eq!(shown.headers()["content-type"], "image/png");
            assert!(shown.bytes().await.unwrap().ends_with(b"fetched"));
            continue;
        }
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (422, &json!("file"))
        );
        let (status, problem) = put(&app, &path, "image/png", png(191)).await;
        assert_eq!(status, 422);
        let said = problem["errors"][0]["message"].as_str().unwrap();
        assert!(said.contains("it has 191 by 191"), "{said}");
        let big = vec![0; (5 << 20) + 1];
        let (status, problem) = put(&app, &path, "image/png", big).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (413, &json!("file"))
        );
        let (status, _) = put(
            &app,
            &path,
            "application/json",
            b"{\"url\":\"https://a\"}".to_vec(),
        )
        .await;
        assert_eq!(status, 422);
        assert_eq!(managed(&app, provider).await, before, "nothing was sent");
        let (status, done) = put(&app, &path, "image/png", png(640)).await;
        assert_eq!(status, 200, "{provider}: {done:#}");
        let shown = app.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(shown.status(), StatusCode::OK, "{provider}");
        assert!(shown.bytes().await.unwrap() == png(640), "{provider}");
    }
}

#[tokio::test]
async fn a_picture_is_put_there_once_by_one_key() {
    let app = start(true).await;
    let path = format!("/v1/senders/{}/logo", app.sender);
    let mut calls = Vec::new();
    for (n, side) in [(0, 640), (1, 640), (2, 320)] {
        let request = app.request(Method::PUT, &path).body(png(side));
        let request = request.header("content-type", "image/png");
        let response = request.header("idempotency-key", "k").send().await.unwrap();
        let expected = [200, 200, 409][n];
        assert_eq!(response.status().as_u16(), expected);
        let replayed = response.headers().contains_key("idempotency-replayed");
        assert_eq!(replayed, n == 1);
        calls.push(managed(&app, "meta").await);
    }
    assert!(calls[0] > 0 && calls[0] == calls[2], "{calls:?}");
}
