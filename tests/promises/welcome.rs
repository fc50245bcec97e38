//! Meta's welcome message sequences: made, changed, shown and deleted, in either of the two forms
//! that Meta describes; what it refuses comes with its cause and a remedy.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::managed::{managed, start};

#[tokio::test]
async fn a_sequence_lives_until_an_ad_uses_it() {
    let app = start(true).await;
    let of = format!("?connection={}", app.connection);
    let sequence = json!({"text": "Grüße, from Alder", "autofill_message": {"content": "A quote"},
        "ice_breakers": [{"title": "Opening hours?"}]});
    for is_edge in [false, true] {
        let shape = json!({ "is_edge": is_edge });
        app.control_send(Method::PUT, "welcome", shape).await;
        let new = json!({"connection": app.connection, "name": "Leads", "sequence": sequence});
        let made = app.create("/v1/welcome_sequences", new).await;
        let id = made["id"].as_str().unwrap();
        let path = format!("/v1/welcome_sequences/{id}{of}");
        let change = async |method: Method, body: Value| {
            let (status, answer) = app.send(method, &path, body).await;
            (status.as_u16(), answer)
        };
        let (status, done) = change(Method::PATCH, json!({"name": "Boiler leads"})).await;
        assert_eq!(
            (status, &done["provider_answer"]["success"]),
            (200, &json!(true))
        );
        let shown = app.get(&path).await;
        assert_eq!(
            (&shown["name"], &shown["sequence"], &shown["is_used_in_ad"]),
            (&json!("Boiler leads"), &sequence, &json!(false))
        );
        assert!(shown["provider"]["welcome_message_sequence"].is_string());

        let used = json!({"is_used_in_ad": true});
        app.control_send(Method::PUT, &format!("welcome/{id}"), used)
            .await;
        let listed = app.get(&format!("/v1/welcome_sequences{of}")).await;
        let list = listed["data"].as_array().unwrap();
        assert!(
            list.iter()
                .any(|it| it["id"] == id && it["is_used_in_ad"] == true)
        );
        for (method, body) in [
            (Method::PATCH, json!({"name": "x"})),
            (Method::DELETE, Value::Null),
        ] {
            let (status, problem) = change(method, body).await;
            assert_eq!(
                (status, &problem["code"]),
                (409, &json!("in_use")),
                "{problem:#}"
            );
            let error = &problem["provider_error"];
            assert!(error["code"].as_str().unwrap().ends_with("4027012"));
            assert_eq!(error["cause"], "the sequence is used in an ad");
            assert!(
                error["remedy"]
                    .as_str()
                    .unwrap()
                    .contains("another sequence")
            );
            assert!(error["body"]["error"].is_object());
        }
        let unused = json!({"is_used_in_ad": false});
        app.control_send(Method::PUT, &format!("welcome/{id}"), unused)
            .await;
        assert_eq!(change(Method::DELETE, Value::Null).await.0, 200);
        let (status, problem) = change(Method::GET, Value::Null).await;
        assert_eq!(
            (status, &problem["code"]),
            (404, &json!("not_found_at_provider"))
        );
    }
    let acts = app.get("/v1/audit").await;
    assert!(
        acts["data"][0]["detail"]
            .as_str()
            .unwrap()
            .contains("welcome sequence 612")
    );
}

#[tokio::test]
async fn what_is_no_sequence_is_refused_before_anything_is_sent() {
    let app = start(true).await;
    let of = format!("?connection={}", app.connection);
    for (sequence, field) in [
        (json!({"text": 7}), "sequence.text"),
        (
            json!({"ice_breakers": [{}]}),
            "sequence.ice_breakers[0].title",
        ),
        (json!("Hi"), "sequence"),
    ] {
        let new = json!({"connection": app.connection, "name": "x", "sequence": sequence});
        let (status, problem) = app.send(Method::POST, "/v1/welcome_sequences", new).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(problem["errors"][0]["field"], field, "{problem:#}");
    }
    let nobody = format!("/v1/welcome_sequences/a{of}");
    let (status, _) = app.send(Method::GET, &nobody, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(managed(&app, "meta").await, 0);
    // What only the provider finds wrong it says with its number, which says what to do.
    let new = json!({"connection": app.connection, "name": "x", "sequence": {}});
    let (status, problem) = app.send(Method::POST, "/v1/welcome_sequences", new).await;
    assert_eq!(
        (status.as_u16(), &problem["code"]),
        (422, &json!("provider_refused"))
    );
    assert!(
        problem["provider_error"]["remedy"].is_string(),
        "{problem:#}"
    );
}

#[tokio::test]
async fn a_sequence_is_made_and_changed_once_by_one_key() {
    let app = start(true).await;
    let new = json!({"connection": app.connection, "name": "Leads", "sequence": {"text": "Hi"}});
    let once = async |method: Method, path: &str, body: &Value| {
        let before = managed(&app, "meta").await;
        let mut answers = Vec::new();
        for n in 0..2 {
            let request = app.request(method.clone(), path).json(body);
            let response = request.header("idempotency-key", "k").send().await.unwrap();
            assert!(response.status().is_success());
            let replayed = response.headers().contains_key("idempotency-replayed");
            assert_eq!(replayed, n == 1);
            answers.push(response.json::<Value>().await.unwrap());
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(managed(&app, "meta").await, before + 1);
        answers.remove(0)
    };
    let made = once(Method::POST, "/v1/welcome_sequences", &new).await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/welcome_sequences/{id}?connection={}", app.connection);
    once(Method::PATCH, &path, &json!({"name": "Boiler leads"})).await;
    let profile = format!("/v1/senders/{}/profile", app.sender);
    once(Method::PATCH, &profile, &json!({"about": "Open"})).await;
}
