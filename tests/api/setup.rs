//! Connections and senders.

use serde_json::{Value, json};

use crate::support::{App, SECRET, connection, send};

#[tokio::test]
async fn a_connections_secrets_never_come_out() {
    let app = App::start().await;
    let made = app.post("/v1/connections", connection()).await;
    assert_eq!(made.status, 201);
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(made.body["webhook_path"], format!("/webhooks/{id}"));
    assert_eq!(made.body["base_url"], "https://graph.facebook.com");
    let one = app.get(&format!("/v1/connections/{id}")).await.ok();
    let list = app.get("/v1/connections").await.ok();
    assert_eq!(list["data"], json!([one]));
    for shown in [made.body.to_string(), one.to_string()] {
        for secret in ["a token", SECRET, "a verify token"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let stored: Vec<u8> = sqlx::query_scalar("SELECT secrets FROM connections")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains("a token"));
}

#[tokio::test]
async fn a_connection_that_could_not_work_is_not_made() {
    let app = App::start().await;
    let with = async |field: &str, value: Value| {
        let mut new = connection();
        new[field] = value;
        app.post("/v1/connections", new).await
    };
    with("base_url", json!("graph.facebook.com"))
        .await
        .names("base_url");
    with("base_url", json!("ftp://graph.facebook.com"))
        .await
        .names("base_url");
    with("api_version", json!("25")).await.names("api_version");
    with("app_secrets", json!([])).await.names("app_secrets");
    with("app_secrets", json!([""])).await.names("app_secrets");
    with("verify_token", json!("")).await.names("verify_token");
    with("provider", json!("smoke")).await.names("provider");
}

#[tokio::test]
async fn a_number_is_one_sender_of_its_connection() {
    let app = App::start().await;
    let connection = app.connection().await;
    let new = json!({"connection": connection, "phone_number_id": "1", "waba_id": "2"});
    let made = app.post("/v1/senders", new.clone()).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.body["messages_per_second"], 80);
    assert_eq!(made.body["status"], "active");
    app.post("/v1/senders", new).await.is(409, "already_exists");
    let nowhere = json!({"connection": "con_aaaaaaaaaaaaaaaaaaaaaaaaaa", "phone_number_id": "1"});
    app.post("/v1/senders", nowhere).await.names("connection");
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(app.get(&format!("/v1/senders/{id}")).await.ok(), made.body);
    let list = app
        .get(&format!("/v1/senders?connection={connection}"))
        .await
        .ok();
    assert_eq!(list["data"], json!([made.body]));
}

#[tokio::test]
async fn a_sender_that_a_webhook_made_is_taken_over() {
    let app = App::start().await;
    let connection = app.connection().await;
    let id: i32 = sqlx::query_scalar(
        "INSERT INTO senders (connection, phone_number_id, waba_id, origin, created_at)
         SELECT id, '1', '2', 'webhook', now() FROM connections RETURNING id",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    let new = json!({"connection": connection, "phone_number_id": "1", "messages_per_second": 5});
    let made = app.post("/v1/senders", new).await.ok();
    assert_eq!(made["id"], twotick::model::ids::SenderId(id).to_string());
    assert_eq!(made["origin"], "api");
    assert_eq!(made["waba_id"], "2");
    assert_eq!(made["messages_per_second"], 5);
}

#[tokio::test]
async fn health_needs_no_key() {
    let app = App::start().await;
    for path in ["/health/live", "/health/ready"] {
        let answer = send(app.request(reqwest::Method::GET, path)).await;
        assert_eq!(answer.status, 200);
    }
    app.store.close().await;
    let ready = send(app.request(reqwest::Method::GET, "/health/ready")).await;
    ready.is(503, "overloaded");
    assert_eq!(ready.headers["retry-after"], "1");
}
