//! Promise 8: the next message goes only when the one before has reached its gate.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::*;

fn sequence(app: &App, gate: Value, steps: &[&str]) -> Value {
    let messages: Vec<_> = steps.iter().map(|body| step(body)).collect();
    json!({"sender": app.sender, "to": "447700900123", "gate": gate, "messages": messages})
}

async fn outcome(app: &App, id: &str, status: &str) -> Value {
    app.get_until(&format!("/v1/sequences/{id}"), |sequence| {
        sequence["status"] == status
    })
    .await
}

#[tokio::test]
async fn the_next_message_goes_only_after_the_chosen_status_or_a_higher_one() {
    let app = App::start().await;
    let (id, messages) = app
        .sequence(sequence(
            &app,
            json!({"status": "delivered"}),
            &["one", "two"],
        ))
        .await;
    let wamid = app.accepted(&messages[0]).await;
    app.say(&[status(&wamid, "sent", 0)]).await;
    app.fence().await;
    assert_eq!(
        posted_texts(&app.posts().await),
        ["one"],
        "`sent` does not open it"
    );
    let second = app.get(&format!("/v1/messages/{}", messages[1])).await;
    assert_eq!(second["waiting"]["reason"], "gate");
    app.say(&[status(&wamid, "read", 1)]).await;
    let wamid = app.accepted(&messages[1]).await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "two"]);
    app.say(&[status(&wamid, "delivered", 2)]).await;
    assert_eq!(outcome(&app, &id, "completed").await["position"], 2);
}

#[tokio::test]
async fn a_gate_of_accepted_needs_no_webhook() {
    let app = App::start().await;
    let body = sequence(
        &app,
        json!({"status": "accepted"}),
        &["one", "two", "three"],
    );
    let (id, _) = app.sequence(body).await;
    outcome(&app, &id, "completed").await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_message_may_have_a_gate_of_its_own() {
    let app = App::start().await;
    let mut body = sequence(&app, json!({"status": "read"}), &["one", "two"]);
    body["messages"][0]["gate"] = json!({"status": "sent"});
    let (_, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    app.say(&[status(&wamid, "sent", 0)]).await;
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn a_deadline_decides_as_its_policy_says() {
    let app = App::start().await;
    let gate = |policy| json!({"status": "delivered", "deadline": "1s", "on_deadline": policy});
    let (stopped, _) = app
        .sequence(sequence(&app, gate("stop"), &["s1", "s2"]))
        .await;
    let (skipped, _) = app
        .sequence(sequence(&app, gate("skip"), &["k1", "k2"]))
        .await;
    let (held, messages) = app
        .sequence(sequence(&app, gate("hold"), &["h1", "h2"]))
        .await;
    let wamid = app.accepted(&messages[0]).await;
    assert_eq!(
        outcome(&app, &stopped, "stopped").await["reason"],
        "deadline"
    );
    outcome(&app, &skipped, "completed").await;
    assert_eq!(outcome(&app, &held, "held").await["reason"], "deadline");
    let posted = posted_texts(&app.posts().await);
    assert!(posted.contains(&"k2".to_owned()));
    assert!(!posted.contains(&"s2".to_owned()) && !posted.contains(&"h2".to_owned()));
    // Late evidence releases what is held, and only that.
    app.say(&[status(&wamid, "delivered", 9)]).await;
    app.accepted(&messages[1]).await;
    let stopped = app.get(&format!("/v1/sequences/{stopped}")).await;
    assert_eq!(stopped["status"], "stopped");
    assert_eq!(stopped["messages"][1]["status"], "cancelled");
}

#[tokio::test]
async fn a_failure_decides_as_the_policy_says() {
    let app = App::start().await;
    let with = |policy: &str, steps: &[&str]| {
        let mut body = sequence(&app, json!({"status": "delivered"}), steps);
        body["on_failure"] = policy.into();
        body
    };
    let (stopped, stop) = app.sequence(with("stop", &["s1", "s2"])).await;
    let (skipped, skip) = app.sequence(with("skip", &["k1", "k2"])).await;
    let (retried, retry) = app.sequence(with("retry", &["r1", "r2"])).await;
    for message in [&stop[0], &skip[0]] {
        let wamid = app.accepted(message).await;
        app.say(&[status(&wamid, "failed", 1)]).await;
    }
    let wamid = app.accepted(&retry[0]).await;
    let mut transient = status(&wamid, "failed", 1);
    transient["errors"][0]["code"] = 131_016.into();
    app.say(&[transient]).await;
    assert_eq!(
        outcome(&app, &stopped, "stopped").await["reason"],
        "failure"
    );
    let failed = app.get(&format!("/v1/messages/{}", stop[0])).await;
    assert_eq!(failed["status"], "failed");
    assert_eq!(failed["error"]["code"], 131_026);
    assert_eq!(failed["error"]["class"], "never_to_recipient");
    app.accepted(&skip[1]).await;
    let again = app
        .get_until(&format!("/v1/messages/{}", retry[0]), |message| {
            message["attempts"].as_array().unwrap().len() == 2
                && message["attempts"][1]["outcome"] == "accepted"
        })
        .await;
    let second = again["provider_message_id"].as_str().unwrap();
    assert_ne!(second, wamid, "a new attempt has an id of its own");
    app.say(&[status(second, "delivered", 3)]).await;
    let last = app.accepted(&retry[1]).await;
    app.say(&[status(&last, "delivered", 4)]).await;
    outcome(&app, &retried, "completed").await;
    let _ = skipped;
}

#[tokio::test]
async fn an_append_while_the_last_step_is_being_delivered_is_sent_after_it() {
    let app = App::start().await;
    let (id, messages) = app
        .sequence(sequence(&app, json!({"status": "delivered"}), &["one"]))
        .await;
    let wamid = app.accepted(&messages[0]).await;
    // Both at once, many times over: the append must never be missed nor overtake.
    let path = format!("/v1/sequences/{id}/messages");
    let append = app.create(&path, json!({"messages": [step("two")]}));
    let delivered = [status(&wamid, "delivered", 1)];
    let (appended, ()) = tokio::join!(append, app.say(&delivered));
    let second = appended["messages"][1]["id"].as_str().unwrap().to_owned();
    let wamid = app.accepted(&second).await;
    app.say(&[status(&wamid, "delivered", 2)]).await;
    outcome(&app, &id, "completed").await;
    // A completed sequence runs again.
    let appended = app
        .create(
            &format!("/v1/sequences/{id}/messages"),
            json!({"messages": [step("three")]}),
        )
        .await;
    app.accepted(appended["messages"][2]["id"].as_str().unwrap())
        .await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "two", "three"]);
}

#[tokio::test]
async fn a_paused_sequence_waits_and_goes_on_where_it_was() {
    let app = App::start().await;
    let (id, messages) = app
        .sequence(sequence(
            &app,
            json!({"status": "delivered"}),
            &["one", "two"],
        ))
        .await;
    let wamid = app.accepted(&messages[0]).await;
    let paused = app
        .create(&format!("/v1/sequences/{id}/pause"), json!({}))
        .await;
    assert_eq!(paused["status"], "paused");
    app.say(&[status(&wamid, "delivered", 1)]).await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await), ["one"]);
    app.create(&format!("/v1/sequences/{id}/resume"), json!({}))
        .await;
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn a_cancelled_sequence_sends_nothing_more_and_keeps_its_evidence() {
    let app = App::start().await;
    let (id, messages) = app
        .sequence(sequence(
            &app,
            json!({"status": "delivered"}),
            &["one", "two"],
        ))
        .await;
    let wamid = app.accepted(&messages[0]).await;
    app.create(&format!("/v1/sequences/{id}/cancel"), json!({}))
        .await;
    app.say(&[status(&wamid, "delivered", 1)]).await;
    app.fence().await;
    let sequence = app.get(&format!("/v1/sequences/{id}")).await;
    assert_eq!(sequence["status"], "cancelled");
    assert_eq!(sequence["messages"][0]["status"], "delivered");
    assert_eq!(sequence["messages"][1]["status"], "cancelled");
    assert_eq!(posted_texts(&app.posts().await), ["one"]);
}

#[tokio::test]
async fn a_cancelled_step_is_passed_over() {
    let app = App::start().await;
    let body = sequence(
        &app,
        json!({"status": "delivered"}),
        &["one", "two", "three"],
    );
    let (_, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    let path = format!("/v1/messages/{}/cancel", messages[1]);
    assert_eq!(app.create(&path, json!({})).await["status"], "cancelled");
    let sent = format!("/v1/messages/{}/cancel", messages[0]);
    let (refused, problem) = app.send(Method::POST, &sent, json!({})).await;
    assert_eq!(refused, StatusCode::CONFLICT, "{problem}");
    app.say(&[status(&wamid, "delivered", 1)]).await;
    app.accepted(&messages[2]).await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "three"]);
}

#[tokio::test]
async fn a_held_sequence_goes_on_behind_or_again_as_a_person_says() {
    let app = App::start().await;
    let gate = json!({"status": "delivered", "deadline": "1s", "on_deadline": "hold"});
    let (on, _) = app
        .sequence(sequence(&app, gate.clone(), &["a1", "a2"]))
        .await;
    let (again, _) = app.sequence(sequence(&app, gate, &["b1", "b2"])).await;
    outcome(&app, &on, "held").await;
    outcome(&app, &again, "held").await;
    app.create(&format!("/v1/sequences/{on}/resume"), json!({}))
        .await;
    app.create(&format!("/v1/sequences/{again}/retry"), json!({}))
        .await;
    let posted = posted_texts(&app.posts_until(4).await);
    assert_eq!(
        posted.iter().filter(|text| *text == "a2").count(),
        1,
        "{posted:?}"
    );
    assert_eq!(
        posted.iter().filter(|text| *text == "b1").count(),
        2,
        "{posted:?}"
    );
}

#[tokio::test]
async fn a_delay_passes_between_the_gate_and_the_next_message() {
    let app = App::start().await;
    let mut body = sequence(&app, json!({"status": "accepted"}), &["one", "two"]);
    body["messages"][1]["delay"] = "1h".into();
    let (_, messages) = app.sequence(body).await;
    app.accepted(&messages[0]).await;
    let waiting = app
        .get_until(&format!("/v1/messages/{}", messages[1]), |message| {
            message["waiting"]["reason"] == "schedule"
        })
        .await;
    assert_eq!(waiting["status"], "queued");
    app.clock.advance(std::time::Duration::from_secs(3600));
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn a_message_that_is_cancelled_while_its_sequence_is_stopped_is_not_sent_when_that_goes_on() {
    let app = App::start().await;
    let body = sequence(
        &app,
        json!({"status": "delivered"}),
        &["one", "two", "three"],
    );
    let (id, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    app.say(&[status(&wamid, "failed", 0)]).await;
    outcome(&app, &id, "stopped").await;
    // It is shown as cancelled already, since nothing is to be posted.
    let path = format!("/v1/messages/{}", messages[1]);
    assert_eq!(app.get(&path).await["status"], "cancelled");
    app.create(&format!("{path}/cancel"), json!({})).await;
    app.create(&format!("/v1/sequences/{id}/retry"), json!({}))
        .await;
    app.posts_until(2).await;
    let retried = app.posts().await[1]["wamid"].as_str().unwrap().to_owned();
    app.say(&[status(&retried, "delivered", 1)]).await;
    app.accepted(&messages[2]).await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "one", "three"]);
    assert_eq!(app.get(&path).await["status"], "cancelled");
}

#[tokio::test]
async fn a_delay_passes_also_behind_messages_that_were_cancelled() {
    let app = App::start().await;
    let steps = ["one", "two", "three", "four"];
    let mut body = sequence(&app, json!({"status": "delivered"}), &steps);
    body["messages"][3]["delay"] = "24h".into();
    let (_, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    for cancelled in &messages[1..3] {
        app.create(&format!("/v1/messages/{cancelled}/cancel"), json!({}))
            .await;
    }
    app.say(&[status(&wamid, "delivered", 1)]).await;
    let last = format!("/v1/messages/{}", messages[3]);
    let decided = |last: &Value| {
        last["waiting"]["reason"] == "schedule" || last["provider_message_id"].is_string()
    };
    app.get_until(&last, decided).await;
    assert_eq!(posted_texts(&app.posts().await), ["one"]);
    app.clock.advance(std::time::Duration::from_secs(24 * 3600));
    app.accepted(&messages[3]).await;
}

#[tokio::test]
async fn what_one_member_of_a_group_did_not_get_fails_no_message() {
    let app = App::start().await;
    let body = json!({
        "sender": app.sender, "to": "Y2FwaV9ncm91cDox", "recipient_type": "group",
        "gate": {"status": "sent"},
        "messages": [step("one"), step("two")],
    });
    let (_, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    let of = |member: &str, word: &str| {
        let mut status = status(&wamid, word, 1);
        status["recipient_type"] = "group".into();
        status["recipient_participant_id"] = member.into();
        status
    };
    app.say(&[of("15550190051", "failed")]).await;
    app.say(&[of("15550190044", "sent")]).await;
    app.accepted(&messages[1]).await;
    let path = format!("/v1/messages/{}", messages[0]);
    let first = app.get(&path).await;
    assert_eq!(
        (&first["status"], &first["error"], &first["failed_at"]),
        (&json!("sent"), &Value::Null, &Value::Null)
    );
    let history = app.get(&format!("{path}/history")).await;
    let history = history["data"].as_array().unwrap();
    let failed = history.iter().find(|fact| fact["type"] == "message.failed");
    assert_eq!(failed.unwrap()["data"]["participant"], "15550190051");
}
