//! Media at the providers: uploaded, read, downloaded and deleted by one API, what a user sent too;
//! and refused by its field before a byte is sent where WhatsApp does not take it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::managed::{Account, accounts, connected, definition, managed, start};
use crate::support::*;

/// Whose.
pub fn of(account: &Account) -> String {
    format!("?sender={}", account.sender)
}

/// What a user sent: its id.
pub async fn sent_by_user(app: &App, provider: &str) -> String {
    let sent = json!({"provider": provider, "mime_type": "image/png", "text": "a picture"});
    let url = format!("{}/_control/media", app.simulator);
    let made = reqwest::Client::new().post(url).json(&sent).send().await;
    let made: Value = made.unwrap().json().await.unwrap();
    made["id"].as_str().unwrap().to_owned()
}

/// A request about media: what is posted is a picture.
pub async fn send(app: &App, method: Method, path: &str) -> (StatusCode, Value) {
    let mut request = app.request(method.clone(), path);
    if method == Method::POST {
        request = request
            .header("content-type", "image/png")
            .body("a picture");
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn bytes(app: &App, path: &str) -> (StatusCode, String, Vec<u8>) {
    let response = app.request(Method::GET, path).send().await.unwrap();
    let kind = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let status = response.status();
    (status, kind, response.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn media_is_uploaded_read_downloaded_and_deleted() {
    let app = start(false).await;
    let mut all = accounts(&app).await;
    all.retain(|account| account.provider != "infobip");
    for account in all {
        let of = of(&account);
        let picture: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let path = format!("/v1/media{of}&filename=a%22b.jpg");
        let request = app.request(Method::POST, &path).body(picture.clone());
        let made = request
            .header("content-type", "image/jpeg")
            .send()
            .await
            .unwrap();
        assert_eq!(made.status(), StatusCode::CREATED);
        let made: Value = made.json().await.unwrap();
        let path = format!("/v1/media/{}", made["id"].as_str().unwrap());
        let read = app.get(&format!("{path}{of}")).await;
        assert_eq!(
            (&read["mime_type"], &read["size"]),
            (&json!("image/jpeg"), &json!(3_000_000)),
            "{read:#}"
        );
        assert_eq!(read["sha256"].as_str().unwrap().len(), 64);
        let (status, kind, content) = bytes(&app, &format!("{path}/content{of}")).await;
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "image/jpeg"));
        assert!(content == picture, "as it was given");
        let (status, gone) = send(&app, Method::DELETE, &format!("{path}{of}")).await;
        assert_eq!(status, StatusCode::OK, "{gone:#}");
        for (method, end) in [
            (Method::GET, ""),
            (Method::GET, "/content"),
            (Method::DELETE, ""),
        ] {
            let (status, problem) = send(&app, method, &format!("{path}{end}{of}")).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{problem:#}");
        }
    }
}

#[tokio::test]
async fn a_providers_patience_with_reads_in_vain_is_never_used_up() {
    let app = start(false).await;
    let all = accounts(&app).await;
    let account = all.iter().find(|it| it.provider == "dialog360").unwrap();
    let path = format!("/v1/media/990000000000404{}", of(account));
    for _ in 0..19 {
        let (status, problem) = send(&app, Method::GET, &path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem:#}");
    }
    let (status, problem) = send(&app, Method::GET, &path).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{problem:#}");
    let calls = format!("{}/_control/calls", app.simulator);
    let calls = reqwest::get(calls).await.unwrap().text().await.unwrap();
    assert_eq!(calls.matches("/990000000000404").count(), 19);
}

#[tokio::test]
async fn what_a_user_sent_is_downloaded_by_its_id_in_one_call() {
    let app = start(false).await;
    for account in accounts(&app).await {
        let of = of(&account);
        let id = sent_by_user(&app, account.provider).await;
        let (status, kind, content) = bytes(&app, &format!("/v1/media/{id}/content{of}")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            (kind.as_str(), content.as_slice()),
            ("image/png", b"a picture".as_slice())
        );
        let read = app.get(&format!("/v1/media/{id}{of}")).await;
        assert_eq!(
            (&read["mime_type"], &read["size"]),
            (&json!("image/png"), &json!(9))
        );
    }
    let app = start(false).await;
    let (_, sender) = connected(&app, 1).await;
    let id = sent_by_user(&app, "dialog360_onprem").await;
    let path = format!("/v1/media/{id}/content?sender={sender}");
    assert_eq!(bytes(&app, &path).await.2, b"a picture");
}

#[tokio::test]
async fn what_whatsapp_does_not_take_is_refused_by_its_field_before_a_byte_is_sent() {
    let app = start(false).await;
    let upload = |path: String, kind: &'static str, size: usize| {
        let request = app.request(Method::POST, &path).body(vec![0; size]);
        async move {
            let response = request.header("content-type", kind).send().await.unwrap();
            let status = response.status();
            (status, response.json::<Value>().await.unwrap())
        }
    };
    let path = format!("/v1/media?sender={}", app.sender);
    let samples = format!("/v1/media/samples?sender={}", app.sender);
    for (path, kind, size, field) in [
        (path.clone(), "image/gif", 9, "Content-Type"),
        (path.clone(), "image/png", (5 << 20) + 1, "Content-Length"),
        (
            path.clone(),
            "image/webp",
            (500 << 10) + 1,
            "Content-Length",
        ),
        (path.clone(), "image/png", 0, "Content-Length"),
        (samples, "audio/ogg", 9, "Content-Type"),
        (
            format!("/v1/media?connection={}", app.connection),
            "image/png",
            9,
            "sender",
        ),
    ] {
        let (status, problem) = upload(path, kind, size).await;
        assert_eq!(
            (status, &problem["errors"][0]["field"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!(field)),
            "{problem:#}"
        );
    }
    assert_eq!(managed(&app, "meta").await, 0);
}

#[tokio::test]
async fn what_a_provider_has_not_is_said_before_anything_else_is_wrong() {
    let app = start(false).await;
    let new = json!({"name": "no number yet", "provider": "infobip", "base_url": app.simulator,
        "api_key": "token", "webhook_auth": {"url_secret": "a secret of sixteen"}});
    let made = app.create("/v1/connections", new).await;
    let of = format!("connection={}", made["id"].as_str().unwrap());
    for path in [
        format!("/v1/media?{of}"),
        format!("/v1/media/samples?{of}"),
        format!("/v1/welcome_sequences?{of}"),
    ] {
        let method = match path.contains("media") {
            true => Method::POST,
            false => Method::GET,
        };
        let (status, problem) = send(&app, method, &path).await;
        assert_eq!(status, StatusCode::NOT_IMPLEMENTED, "{path} {problem:#}");
    }
}

#[tokio::test]
async fn what_is_no_media_is_neither_shown_nor_deleted_as_such() {
    let app = start(false).await;
    let mut wanted = definition("order_ready");
    wanted["connection"] = app.connection.clone().into();
    let made = app.create("/v1/templates", wanted).await;
    let id = made["provider_template_id"].as_str().unwrap();
    for (method, end) in [
        (Method::GET, ""),
        (Method::GET, "/content"),
        (Method::DELETE, ""),
    ] {
        let path = format!("/v1/media/{id}{end}?sender={}", app.sender);
        let (status, problem) = send(&app, method, &path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{problem:#}");
    }
    let fresh = format!("/v1/templates/{}?fresh=true", made["id"].as_str().unwrap());
    assert_eq!(app.get(&fresh).await["provider"]["id"], id);
}

#[tokio::test]
async fn a_sample_becomes_a_templates_header() {
    let app = start(false).await;
    let path = format!(
        "/v1/media/samples?connection={}&filename=a.png",
        app.connection
    );
    let (status, made) = send(&app, Method::POST, &path).await;
    assert_eq!(status, StatusCode::CREATED, "{made:#}");
    let mut wanted = definition("order_ready");
    wanted["connection"] = app.connection.clone().into();
    let header = json!({"type": "HEADER", "format": "IMAGE",
        "example": {"header_handle": [made["handle"]]}});
    wanted["components"].as_array_mut().unwrap().push(header);
    let template = app.create("/v1/templates", wanted).await;
    assert_eq!(template["status"], "PENDING");
}
