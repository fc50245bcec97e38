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

#[tokio::test]
async fn a_closed_template_that_is_deleted_or_gone_is_not_read_for_ever() {
    let app = App::start().await;
    let deleted = json!({"language": "en_US", "status": "DELETED", "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", deleted)
        .await;
    let mut session = app.session().await;
    for (n, (name, event)) in [("offer", "PAUSED"), ("gone", "DISABLED")]
        .iter()
        .enumerate()
    {
        let value = json!({"event": event, "message_template_name": name,
            "message_template_language": "en_US"});
        let at = T0 + 10 + i64::try_from(n).unwrap();
        let event = management_body("message_template_status_update", at, value);
        assert_eq!(app.webhook(&event).await, StatusCode::OK);
    }
    let reading = async {
        loop {
            app.clock.advance(std::time::Duration::from_secs(2));
            let due: i64 =
                sqlx::query_scalar("SELECT count(*) FROM templates WHERE read_due_at IS NOT NULL")
                    .fetch_one(&mut session)
                    .await
                    .unwrap();
            if due == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, reading).await;
    assert!(in_time.is_ok(), "they are still to be read");
    // Each once or twice, by the service itself.
    let mine = |act: &Value| act["by"] == "twotick" && act["action"] == "templates.list";
    let told = |page: &Value| page["data"].as_array().unwrap().iter().any(mine);
    let page = app.get_until("/v1/audit?limit=100", told).await;
    let acts = page["data"].as_array().unwrap();
    let calls = acts.iter().filter(|act| mine(act)).map(|act| &act["calls"]);
    let calls: i64 = calls.map(|calls| calls.as_i64().unwrap()).sum();
    assert!((2..8).contains(&calls), "{page:#}");
}

#[tokio::test]
async fn a_template_is_not_read_while_its_provider_wants_to_be_left_alone() {
    let settings = |config: &mut twotick::config::Config| {
        config.send.template_read = std::time::Duration::from_millis(100);
    };
    let app = App::start_with(settings, twotick::simulator::Config::default()).await;
    let refusal = json!({"times": 1000, "retry_after": 3600});
    app.control_send(Method::PUT, "reads", refusal).await;
    let value = json!({"event": "PAUSED", "message_template_name": "offer",
        "message_template_language": "en_US", "message_template_id": 7});
    let event = management_body("message_template_status_update", T0 + 10, value);
    assert_eq!(app.webhook(&event).await, StatusCode::OK);
    let mut session = app.session().await;
    // It is due again and again, and the provider is asked once.
    let first: time::OffsetDateTime = due(&mut session).await;
    let again = async {
        while due(&mut session).await < first + std::time::Duration::from_secs(1) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, again).await.is_ok());
    let reads = app.control("reads").await;
    assert_eq!(reads["reads"].as_array().unwrap().len(), 1, "{reads:#}");
}

/// When the one template is read next.
async fn due(session: &mut sqlx::PgConnection) -> time::OffsetDateTime {
    sqlx::query_scalar("SELECT read_due_at FROM templates")
        .fetch_one(session)
        .await
        .unwrap()
}

/// `failed` of a message with this code.
fn failed(wamid: &str, code: i64, at: i64) -> Value {
    let mut failed = status(wamid, "failed", at);
    failed["errors"][0]["code"] = code.into();
    failed
}

#[tokio::test]
async fn what_a_pause_took_down_closes_the_template_and_goes_again_when_it_opens() {
    let app = App::start().await;
    // Asked, the provider says the same.
    let state = json!({"language": "en_US", "status": "PAUSED", "category": "MARKETING"});
    let steps = [template_step("offer", "one"), template_step("offer", "two")];
    let body = json!({"sender": app.sender, "to": "447700900123", "messages": steps});
    let (_, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    app.control_send(Method::PUT, "templates/offer", state)
        .await;
    // No template webhook reaches us: only that the message was dropped.
    app.say(&[failed(&wamid, 132_015, 20)]).await;
    app.fence().await;
    let path = format!("/v1/messages/{}", messages[0]);
    let waits = |message: &Value| message["waiting"]["reason"] == "template_paused";
    let waiting = app.get_until(&path, waits).await;
    assert_eq!(waiting["status"], "queued");
    // The template closes after the failure is committed: one more try may come between, which the
    // provider refuses, at the cost of no attempt.
    let tries = posted_texts(&app.posts().await);
    assert!(tries.len() <= 2 && tries.iter().all(|text| text == "one"));
    let template = app.get("/v1/templates?name=offer").await;
    assert_eq!(template["data"][0]["status"], "PAUSED");
    let state = json!({"language": "en_US", "status": "APPROVED", "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", state)
        .await;
    // Later than when the provider was asked.
    let opened = event("offer", "UNPAUSED", app.clock.now().unix_timestamp() + 60);
    assert_eq!(app.webhook(&opened).await, StatusCode::OK);
    let again = app.get_until(&path, |message| {
        let attempts = message["attempts"].as_array().unwrap();
        attempts[1..]
            .iter()
            .any(|attempt| attempt["outcome"] == "accepted")
    });
    let wamid = again.await["provider_message_id"]
        .as_str()
        .unwrap()
        .to_owned();
    app.say(&[status(&wamid, "delivered", 40)]).await;
    app.accepted(&messages[1]).await;
    let posts = posted_texts(&app.posts().await);
    assert_eq!(posts[tries.len()..], ["one", "two"]);
}

#[tokio::test]
async fn a_drop_that_is_told_before_its_answer_closes_the_template_too() {
    let app = App::start().await;
    let (_, messages) = app
        .sequence(json!({"sender": app.sender, "to": "447700900123",
            "messages": [template_step("offer", "one")]}))
        .await;
    let wamid = app.accepted(&messages[0]).await;
    // As another's first: what is said of it names neither our id nor one that is known.
    let mut session = app.session().await;
    sqlx::query(
        "UPDATE attempts SET provider_message_id = NULL, accepted_at = NULL, outcome = NULL",
    )
    .execute(&mut session)
    .await
    .unwrap();
    app.say(&[failed(&wamid, 132_015, 20)]).await;
    assert_eq!(app.get("/v1/templates").await["data"], json!([]));
    let mut named = failed(&wamid, 132_015, 20);
    named["biz_opaque_callback_data"] = format!("{}.1", messages[0]).into();
    app.say(&[named]).await;
    let template = app.get("/v1/templates?name=offer").await;
    assert_eq!(template["data"][0]["status"], "PAUSED");
}

#[tokio::test]
async fn a_failure_that_blocks_the_sender_blocks_it() {
    let app = App::start().await;
    let message = app.create("/v1/messages", text(&app.sender, "447700900123", "one"));
    let wamid = app.accepted(message.await["id"].as_str().unwrap()).await;
    let now = app.clock.now().unix_timestamp() - T0;
    app.say(&[failed(&wamid, 131_042, now)]).await;
    let path = format!("/v1/senders/{}", app.sender);
    assert_eq!(app.get(&path).await["status"], "blocked");
    // What the sender decides of the message may be told before it.
    let told = |answer: &Value| answer["data"][0].is_object();
    let blocked = app.get_until("/v1/events?type=sender.blocked", told).await;
    assert_eq!(blocked["data"][0]["data"]["code"], 131_042);
    // A person opens it, and what was said before counts no more.
    let (opened, _) = app
        .send(Method::PATCH, &path, json!({"status": "active"}))
        .await;
    assert!(opened.is_success());
    app.say(&[failed(&wamid, 131_042, now - 5)]).await;
    assert_eq!(app.get(&path).await["status"], "active");
}
