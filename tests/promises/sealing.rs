//! Secrets that cannot be read any more: their key is lost, and they are given again.

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::*;

#[tokio::test]
async fn who_lost_the_sealing_key_gives_the_credentials_again() {
    let app = App::start().await;
    let store = app.store_with_another_key().await;
    let (address, _guard) = beside(&store, |_| {}).await;
    let path = format!("/v1/connections/{}", app.connection);
    let change = async |body: Value| {
        let url = format!("http://{address}{path}");
        let request = app.request(Method::PATCH, "").build().unwrap();
        let key = request.headers()["authorization"].clone();
        let client = Client::new();
        let list = client.get(format!("http://{address}/v1/connections"));
        let list = list.header("authorization", &key).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        let patch = client.patch(url).header("authorization", key).json(&body);
        (list, patch.send().await.unwrap().status())
    };
    let webhook = async |secret: &str| {
        let body = statuses_body(&[status("wamid.A", "sent", 1)]).to_string();
        let url = format!("http://{address}/webhooks/{}", app.connection);
        let request = Client::new().post(url).body(body.clone());
        let signature = signature(secret, body.as_bytes());
        let answer = request.header("X-Hub-Signature-256", signature).send();
        answer.await.unwrap().status()
    };
    // Not taken for forged: the provider posts it again.
    assert!(webhook(SECRET).await.is_server_error());
    let half = json!({"access_token": "token"});
    let (list, status) = change(half).await;
    let reason = list["data"][0]["stopped_reason"].as_str().unwrap();
    assert!(reason.contains("TWOTICK_SEALING_KEY"), "{reason}");
    assert!(status.is_server_error(), "half of them are lost");
    let all = json!({"access_token": "token", "app_secrets": ["new"], "verify_token": "v"});
    assert_eq!(change(all).await.1, StatusCode::OK);
    assert_eq!(webhook("new").await, StatusCode::OK);
    let (list, _) = change(json!({"verify_token": "w"})).await;
    assert_eq!(list["data"][0]["stopped_reason"], Value::Null);
}
