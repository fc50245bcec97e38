//! Flows at the providers that have them: from a draft to its end, in one vocabulary, with the
//! provider's own words for what is wrong.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::managed::{accounts, managed, start};

#[tokio::test]
async fn a_flow_lives_from_its_draft_to_its_end() {
    let app = start(true).await;
    for account in accounts(&app).await {
        if account.provider == "dialog360" {
            continue;
        }
        let of = format!("?connection={}", account.connection);
        let new = json!({"connection": account.connection, "name": "Quote form",
            "categories": ["LEAD_GENERATION"]});
        let made = app.create("/v1/flows", new.clone()).await;
        assert_eq!(
            (&made["status"], &made["name"]),
            (&json!("DRAFT"), &json!("Quote form"))
        );
        let path = format!("/v1/flows/{}", made["id"].as_str().unwrap());
        let at = |end: &str| format!("{path}{end}{of}");
        // What is wrong is told, although the provider calls it a success.
        let wrong = json!({"version": "5.0", "screens": []});
        let (status, uploaded) = app.send(Method::PUT, &at("/json"), wrong).await;
        assert_eq!(
            (status, &uploaded["valid"]),
            (StatusCode::OK, &json!(false))
        );
        let error = &uploaded["validation_errors"][0];
        assert_eq!(
            (&error["error_type"], &error["line_start"]),
            (&json!("FLOW_JSON_ERROR"), &json!(1))
        );
        let (status, problem) = app.send(Method::POST, &at("/publish"), json!({})).await;
        assert_eq!(
            (status, &problem["code"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("provider_refused"))
        );
        assert!(problem["provider_error"]["body"].is_object());

        let flow = json!({"version": "5.0", "screens": [{"id": "WELCOME", "title": "Grüße"}]});
        let (_, uploaded) = app.send(Method::PUT, &at("/json"), flow.clone()).await;
        assert_eq!(uploaded["valid"], true, "{uploaded:#}");
        let told = app.get(&at("/json")).await;
        let url = told["download_url"].as_str().unwrap();
        let kept: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        assert_eq!(kept, flow, "as it was given");
        let preview = app.get(&at("/preview")).await;
        assert!(
            preview["preview_url"]
                .as_str()
                .unwrap()
                .starts_with("https://")
        );
        assert!(
            preview["expires_at"].as_str().unwrap().ends_with('Z'),
            "{preview:#}"
        );
        let (status, _) = app
            .send(Method::PATCH, &at(""), json!({"name": "Quotes"}))
            .await;
        assert_eq!(status, StatusCode::OK);
        let listed = app.get(&format!("/v1/flows{of}")).await;
        assert_eq!(listed["data"][0]["name"], "Quotes");

        let (status, _) = app.send(Method::POST, &at("/publish"), json!({})).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(app.get(&at("")).await["status"], "PUBLISHED");
        let (status, problem) = app.send(Method::DELETE, &at(""), Value::Null).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem:#}");
        let (status, _) = app.send(Method::POST, &at("/deprecate"), json!({})).await;
        assert_eq!(status, StatusCode::OK);
        let draft = app.create("/v1/flows", new).await;
        let draft = format!("/v1/flows/{}{of}", draft["id"].as_str().unwrap());
        let (status, _) = app.send(Method::DELETE, &draft, Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        let left = app.get(&format!("/v1/flows{of}")).await;
        assert_eq!(left["data"].as_array().unwrap().len(), 1, "{left:#}");
    }
}

#[tokio::test]
async fn what_is_no_flow_is_refused_before_anything_is_sent() {
    let app = start(true).await;
    let of = format!("?connection={}", app.connection);
    let new = |categories: Value| json!({"connection": app.connection, "name": "x", "categories": categories});
    for (categories, field) in [
        (json!([]), "categories"),
        (json!(["NEWS"]), "categories[0]"),
    ] {
        let (status, problem) = app.send(Method::POST, "/v1/flows", new(categories)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["errors"][0]["field"], field);
    }
    let json = format!("/v1/flows/330000000000001/json{of}");
    let big = app
        .request(Method::PUT, &json)
        .body(vec![b' '; (10 << 20) + 1]);
    assert_eq!(
        big.send().await.unwrap().status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let none = app.request(Method::PUT, &json).body("[1]");
    assert_eq!(none.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let (status, _) = app
        .send(Method::GET, &format!("/v1/flows/a{of}"), Value::Null)
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(managed(&app, "meta").await, 0);
}
