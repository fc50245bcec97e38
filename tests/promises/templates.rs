//! Promise 9: a template that must not be sent closes its lane, and opens it again by itself.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::*;

fn event(name: &str, event: &str, time: i64) -> Value {
    management_body(
        "message_template_status_update",
        time,
        json!({
            "event": event, "message_template_id": 1_402_993_871_104_426_i64,
            "message_template_name": name, "message_template_language": "en_US",
            "message_template_category": "MARKETING", "reason": "NONE",
            "other_info": {"title": "FIRST_PAUSE", "description": "paused"},
        }),
    )
}

async fn lone(app: &App, template: &str, marker: &str) -> String {
    let mut message = template_step(template, marker);
    message["sender"] = app.sender.clone().into();
    message["to"] = "447700900123".into();
    app.create("/v1/messages", message).await["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_pause_stops_claiming_and_an_unpause_releases_in_order() {
    let app = App::start().await;
    // The provider's own word agrees, so that reading it heals nothing too early.
    let state =
        |status: &str| json!({"language": "en_US", "status": status, "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", state("PAUSED"))
        .await;
    assert_eq!(
        app.webhook(&event("offer", "PAUSED", T0 + 10)).await,
        StatusCode::OK
    );
    let steps = [template_step("offer", "one"), template_step("offer", "two")];
    let (_, messages) = app
        .sequence(json!({
            "sender": app.sender, "to": "447700900123", "gate": {"status": "accepted"},
            "messages": steps,
        }))
        .await;
    let other = lone(&app, "another", "other").await;
    app.accepted(&other).await;
    app.fence().await;
    assert_eq!(
        posted_texts(&app.posts().await),
        ["other"],
        "another lane is not touched"
    );
    let waiting = app.get(&format!("/v1/messages/{}", messages[0])).await;
    assert_eq!(waiting["status"], "queued");
    assert_eq!(waiting["waiting"]["reason"], "template_paused");
    let template = &app.get("/v1/templates?name=offer").await["data"][0];
    assert_eq!(
        (&template["status"], &template["sendable"]),
        (&json!("PAUSED"), &json!(false))
    );
    assert_eq!(template["pause"]["title"], "FIRST_PAUSE");
    app.control_send(Method::PUT, "templates/offer", state("APPROVED"))
        .await;
    // Late news of before the pause changes nothing.
    assert_eq!(
        app.webhook(&event("offer", "APPROVED", T0 + 5)).await,
        StatusCode::OK
    );
    assert_eq!(
        app.webhook(&event("offer", "APPROVED", T0 + 20)).await,
        StatusCode::OK
    );
    app.accepted(&messages[1]).await;
    assert_eq!(posted_texts(&app.posts().await), ["other", "one", "two"]);
}

#[tokio::test]
async fn template_state_is_a_function_of_the_set_of_its_facts() {
    let app = App::start().await;
    let facts = [
        ("PAUSED", 10),
        ("APPROVED", 10),
        ("APPROVED", 5),
        ("FLAGGED", 7),
    ];
    for (n, order) in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]]
        .into_iter()
        .enumerate()
    {
        let name = format!("t{n}");
        for at in order {
            let (word, time) = facts[at];
            assert_eq!(
                app.webhook(&event(&name, word, T0 + time)).await,
                StatusCode::OK
            );
        }
        let template = &app.get(&format!("/v1/templates?name={name}")).await["data"][0];
        assert_eq!(
            template["status"], "PAUSED",
            "a stop wins a tie, in any order"
        );
    }
}

#[tokio::test]
async fn a_refusal_for_a_paused_template_burns_no_attempt_and_waits() {
    let app = App::start().await;
    let first = lone(&app, "promo", "first").await;
    app.accepted(&first).await;
    app.control_send(Method::POST, "templates/promo/pause", json!({}))
        .await;
    let second = lone(&app, "promo", "second").await;
    let path = format!("/v1/messages/{second}");
    let waiting = app
        .get_until(&path, |message| {
            message["waiting"]["reason"] == "template_paused"
        })
        .await;
    assert_eq!(waiting["status"], "queued");
    app.control_send(Method::POST, "templates/promo/unpause", json!({}))
        .await;
    let id = app.get("/v1/templates?name=promo").await["data"][0]["id"].clone();
    assert!(id.is_string());
    let opened = management_body(
        "message_template_status_update",
        app.clock.now().unix_timestamp() + 2,
        json!({
            "event": "APPROVED", "message_template_id": 1, "message_template_name": "promo",
            "message_template_language": "en-US", "reason": "NONE",
        }),
    );
    assert_eq!(app.webhook(&opened).await, StatusCode::OK);
    app.accepted(&second).await;
    let message = app.get(&path).await;
    assert_eq!(
        message["attempts"].as_array().unwrap().len(),
        1,
        "{message:#}"
    );
}

#[tokio::test]
async fn quality_is_kept_with_the_template() {
    let app = App::start().await;
    let quality = |new: &str, time| {
        management_body(
            // Meta's own page prints this field name in the quality webhook.
            "message_template_status_update",
            time,
            json!({
                "previous_quality_score": "GREEN", "new_quality_score": new,
                "message_template_id": 1, "message_template_name": "offer",
                "message_template_language": "en_US",
            }),
        )
    };
    assert_eq!(app.webhook(&quality("RED", T0 + 9)).await, StatusCode::OK);
    assert_eq!(
        app.webhook(&quality("YELLOW", T0 + 3)).await,
        StatusCode::OK
    );
    let template = app.get("/v1/templates?name=offer").await["data"][0].clone();
    assert_eq!(template["quality"], "RED");
    assert_eq!(template["sendable"], true);
    let history = app
        .get(&format!(
            "/v1/templates/{}/history",
            template["id"].as_str().unwrap()
        ))
        .await;
    assert_eq!(history["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_open_template_is_read_once_and_not_for_ever() {
    let app = App::start().await;
    let approved = json!({"language": "en_US", "status": "APPROVED", "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", approved)
        .await;
    let mut session = app.session().await;
    // Without an id it is read by its name, where the simulator has it.
    let value = json!({
        "event": "APPROVED", "message_template_name": "offer",
        "message_template_language": "en_US",
    });
    let event = management_body("message_template_status_update", T0 + 10, value);
    assert_eq!(app.webhook(&event).await, StatusCode::OK);
    // Every reading is a newer word than the one before, and says the same.
    for _ in 0..200 {
        app.clock.advance(std::time::Duration::from_secs(2));
        let due: bool = sqlx::query_scalar("SELECT read_due_at IS NOT NULL FROM templates")
            .fetch_one(&mut session)
            .await
            .unwrap();
        if !due {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it is still to be read");
}
