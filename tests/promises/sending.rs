//! Promises 7 and 10: a POST is never repeated blindly, and a refusal costs what it should.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use twotick::config::Config;
use twotick::simulator::{self, Faults};
use twotick::store::CredentialsChange;

use crate::support::*;

async fn with_fault(name: &str) -> App {
    let mut faults = Faults::default();
    faults.set(name, 1.0).unwrap();
    let config = simulator::Config {
        faults,
        ..simulator::Config::default()
    };
    App::start_with(
        |settings| {
            settings.send.answer_timeout = Duration::from_millis(3500);
            settings.send.unknown_after = Duration::from_secs(3600);
            settings.send.rate_limit_wait = Duration::from_millis(50);
        },
        config,
    )
    .await
}

async fn end_faults(app: &App) {
    app.control_send(Method::PUT, "faults", json!({})).await;
}

async fn lone(app: &App) -> String {
    let message = app
        .create("/v1/messages", text(&app.sender, "447700900123", "hi"))
        .await;
    message["id"].as_str().unwrap().to_owned()
}

fn status_is(status: &'static str) -> impl Fn(&Value) -> bool {
    move |message| message["status"] == status
}

#[tokio::test]
async fn the_callers_object_goes_out_as_it_is_with_our_attempt_id() {
    let app = App::start().await;
    let mut message = template_step("order_ready", "Zoë 🚀");
    message["sender"] = app.sender.clone().into();
    message["to"] = "+447700900123".into();
    let template = message["template"].clone();
    let id = app.create("/v1/messages", message).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let post = app.posts_until(1).await.remove(0);
    assert_eq!(post["phone_number_id"], NUMBER);
    assert_eq!(post["body"]["to"], "447700900123");
    assert_eq!(post["body"]["template"], template);
    assert_eq!(post["callback"], format!("{id}.1"));
}

#[tokio::test]
async fn a_lost_answer_is_unknown_until_evidence_settles_it_and_is_not_sent_again() {
    let app = with_fault("lost_answer").await;
    let id = lone(&app).await;
    let path = format!("/v1/messages/{id}");
    app.get_until(&path, status_is("unknown")).await;
    end_faults(&app).await;
    app.fence().await;
    let posts = app.posts().await;
    assert_eq!(
        posts
            .iter()
            .filter(|post| post["callback"] == format!("{id}.1"))
            .count(),
        1
    );
    assert_eq!(posted_texts(&posts), ["hi"]);
    let mut sent = status(posts[0]["wamid"].as_str().unwrap(), "delivered", 1);
    sent["biz_opaque_callback_data"] = posts[0]["callback"].clone();
    app.say(&[sent]).await;
    let settled = app.get(&path).await;
    assert_eq!(settled["status"], "delivered");
    assert_eq!(settled["provider_message_id"], posts[0]["wamid"]);
}

#[tokio::test]
async fn a_lost_answer_is_held_or_resent_as_the_caller_chose() {
    let app = with_fault("lost_answer").await;
    let held = lone(&app).await;
    let mut body = text(&app.sender, "447700900123", "again");
    body["on_unknown"] = "resend".into();
    let resent = app.create("/v1/messages", body).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    app.get_until(&format!("/v1/messages/{held}"), status_is("unknown"))
        .await;
    app.get_until(&format!("/v1/messages/{resent}"), status_is("unknown"))
        .await;
    end_faults(&app).await;
    app.clock.advance(Duration::from_secs(3601));
    app.accepted(&resent).await;
    let message = app.get(&format!("/v1/messages/{resent}")).await;
    assert_eq!(message["attempts"].as_array().unwrap().len(), 2);
    let message = app.get(&format!("/v1/messages/{held}")).await;
    assert_eq!(message["status"], "unknown");
    assert_eq!(message["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_transient_refusal_is_a_new_attempt_and_ends_after_a_few() {
    let app = with_fault("refuse_transient").await;
    let id = lone(&app).await;
    let failed = app
        .get_until(&format!("/v1/messages/{id}"), status_is("failed"))
        .await;
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 5);
    assert_eq!(failed["error"]["class"], "retry");
    end_faults(&app).await;
    // A person tries again.
    app.create(&format!("/v1/messages/{id}/retry"), json!({}))
        .await;
    app.accepted(&id).await;
}

#[tokio::test]
async fn a_rate_limit_waits_and_burns_no_attempt() {
    let app = with_fault("rate_limited").await;
    let id = lone(&app).await;
    app.posts_until(3).await;
    end_faults(&app).await;
    app.accepted(&id).await;
    let message = app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(
        message["attempts"].as_array().unwrap().len(),
        1,
        "{message:#}"
    );
}

#[tokio::test]
async fn a_token_that_is_gone_stops_the_connection_and_loses_nothing() {
    let simulated = simulator::Config {
        access_token: Some("another token".to_owned()),
        ..simulator::Config::default()
    };
    let app = App::start_with(|_| {}, simulated).await;
    let id = lone(&app).await;
    let waiting = app
        .get_until(&format!("/v1/messages/{id}"), |message| {
            message["waiting"]["reason"] == "connection_stopped"
        })
        .await;
    assert_eq!(waiting["status"], "queued");
    lone(&app).await;
    let types: Vec<_> = app
        .events(3)
        .await
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(
        types
            .iter()
            .filter(|word| *word == "connection.stopped")
            .count(),
        1,
        "{types:?}"
    );
    assert_eq!(app.posts().await.len(), 1);
    // A renewed token lets everything go.
    let path = format!("/v1/connections/{}", app.connection);
    let (renewed, connection) = app
        .send(
            Method::PATCH,
            &path,
            json!({"access_token": "another token"}),
        )
        .await;
    assert!(renewed.is_success(), "{connection}");
    assert_eq!(connection["stopped_at"], Value::Null);
    app.accepted(&id).await;
    let message = app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(
        message["attempts"].as_array().unwrap().len(),
        1,
        "no attempt was burned"
    );
}

#[tokio::test]
async fn only_the_provider_blocks_a_sender_and_a_person_opens_it() {
    let app = App::start().await;
    let path = format!("/v1/senders/{}", app.sender);
    let (status, problem) = app
        .send(Method::PATCH, &path, json!({"status": "blocked"}))
        .await;
    assert_eq!(status.as_u16(), 422, "only a provider blocks: {problem}");
    let (status, sender) = app
        .send(
            Method::PATCH,
            &path,
            json!({"status": "active", "messages_per_second": 7}),
        )
        .await;
    assert!(status.is_success(), "{sender}");
    assert_eq!(
        (&sender["status"], &sender["messages_per_second"]),
        (&json!("active"), &json!(7))
    );
}

#[tokio::test]
async fn a_message_held_for_quality_keeps_its_sequence_waiting() {
    let app = with_fault("held").await;
    let steps = [template_step("new", "one"), template_step("new", "two")];
    let (_, messages) = app
        .sequence(json!({
            "sender": app.sender, "to": "447700900123",
            "gate": {"status": "delivered", "deadline": "1s", "on_deadline": "stop"},
            "messages": steps,
        }))
        .await;
    let path = format!("/v1/messages/{}", messages[0]);
    let held = app.get_until(&path, status_is("held")).await;
    end_faults(&app).await;
    app.clock.advance(Duration::from_secs(60));
    app.fence().await;
    let still = app.get(&path).await;
    assert_eq!(
        still["status"], "held",
        "the deadline stands still while held"
    );
    let wamid = held["provider_message_id"].as_str().unwrap();
    app.say(&[status(wamid, "sent", 1), status(wamid, "delivered", 2)])
        .await;
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn what_is_held_for_quality_opens_no_gate_not_even_that_of_accepted() {
    let app = with_fault("held").await;
    let steps = [template_step("new", "one"), template_step("new", "two")];
    let (_, messages) = app
        .sequence(json!({
            "sender": app.sender, "to": "447700900123", "gate": {"status": "accepted"},
            "messages": steps,
        }))
        .await;
    let path = format!("/v1/messages/{}", messages[0]);
    let held = app.get_until(&path, status_is("held")).await;
    end_faults(&app).await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await), ["one"]);
    let wamid = held["provider_message_id"].as_str().unwrap();
    app.say(&[status(wamid, "sent", 1)]).await;
    app.accepted(&messages[1]).await;
}

/// An address that neither takes nor refuses connections: its queue of them is full.
async fn unreachable() -> (String, Vec<tokio::net::TcpStream>, tokio::net::TcpListener) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut taken = Vec::new();
    let a_while = Duration::from_millis(200);
    while let Ok(stream) =
        tokio::time::timeout(a_while, tokio::net::TcpStream::connect(address)).await
    {
        taken.push(stream.unwrap());
    }
    (format!("http://{address}"), taken, listener)
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_leaves_nothing_unknown() {
    let app = App::start_with(
        |settings| settings.send.post_timeout = Duration::from_millis(800),
        simulator::Config::default(),
    )
    .await;
    let (base_url, _taken, _listener) = unreachable().await;
    let connection = json!({
        "name": "away", "provider": "meta", "base_url": base_url, "api_version": "v25.0",
        "access_token": "token", "app_secrets": ["s"], "verify_token": "v",
    });
    let connection = app.create("/v1/connections", connection).await["id"].clone();
    let sender = json!({"connection": connection, "phone_number_id": "998"});
    let sender = app.create("/v1/senders", sender).await["id"].clone();
    let message = text(sender.as_str().unwrap(), "447700900123", "hi");
    let id = app.create("/v1/messages", message).await["id"].clone();
    let path = format!("/v1/messages/{}/history", id.as_str().unwrap());
    let history = app
        .get_until(&path, |history| {
            history["data"].as_array().unwrap().len() > 1
        })
        .await;
    assert_eq!(history["data"][1]["type"], "message.returned");
}

#[tokio::test]
async fn only_heads_are_claimed_whatever_the_number_of_sequences() {
    let app = App::start().await;
    for n in 0..20 {
        let steps: Vec<_> = (0..4)
            .map(|step_no| step(&format!("{n}/{step_no}")))
            .collect();
        let body = json!({"sender": app.sender, "to": format!("4477009{n:05}"), "messages": steps});
        app.sequence(body).await;
    }
    app.posts_until(20).await;
    app.fence().await;
    let mut posted = posted_texts(&app.posts().await);
    posted.sort();
    let mut heads: Vec<_> = (0..20).map(|n| format!("{n}/0")).collect();
    heads.sort();
    assert_eq!(posted, heads);
}

#[tokio::test]
async fn a_token_that_another_instance_has_renewed_is_not_stopped_for_the_old_one() {
    let simulated = simulator::Config {
        access_token: Some("another token".to_owned()),
        ..simulator::Config::default()
    };
    let app = App::start_with(|_| {}, simulated).await;
    let id = lone(&app).await;
    let path = format!("/v1/messages/{id}");
    app.get_until(&path, |message| {
        message["waiting"]["reason"] == "connection_stopped"
    })
    .await;
    // A webhook has the old token read; who renews it is another instance.
    app.say(&[status("wamid.any", "sent", 0)]).await;
    let renewed = CredentialsChange {
        access_token: Some("another token".to_owned().into()),
        ..CredentialsChange::default()
    };
    let connection = app.connection.parse().unwrap();
    let updated = app
        .store
        .update_credentials(connection, &renewed, None)
        .await;
    assert!(updated.unwrap().is_some());
    app.accepted(&id).await;
    let events = app.events(4).await;
    let stopped = events
        .iter()
        .filter(|event| event["type"] == "connection.stopped");
    assert_eq!(stopped.count(), 1, "{events:#?}");
}

#[tokio::test]
async fn a_stop_that_does_not_take_is_not_posted_into_at_full_rate() {
    let app = App::start_with(
        |settings| settings.send.backoff = Duration::from_secs(3600),
        simulator::Config::default(),
    )
    .await;
    // The provider's clock is ahead of ours, so that its word is the last for a while.
    let approved = management_body(
        "message_template_status_update",
        app.clock.now().unix_timestamp() + 7200,
        json!({"event": "APPROVED", "message_template_id": 1, "message_template_name": "offer",
               "message_template_language": "en_US"}),
    );
    assert_eq!(app.webhook(&approved).await, reqwest::StatusCode::OK);
    let paused = json!({"language": "en_US", "status": "PAUSED", "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", paused)
        .await;
    let mut message = template_step("offer", "one");
    message["sender"] = app.sender.clone().into();
    message["to"] = "447700900123".into();
    let id = app.create("/v1/messages", message).await["id"].clone();
    app.posts_until(1).await;
    let history = format!("/v1/messages/{}/history", id.as_str().unwrap());
    let refused = |history: &Value| {
        let facts = history["data"].as_array().unwrap();
        facts.iter().any(|fact| fact["type"] == "message.refused")
    };
    app.get_until(&history, refused).await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await), ["one"]);
    app.clock.advance(Duration::from_secs(3600));
    app.posts_until(3).await;
}

#[tokio::test]
async fn a_limit_that_does_not_pass_is_tried_ever_more_rarely() {
    let app = with_fault("rate_limited").await;
    let id = lone(&app).await;
    app.posts_until(4).await;
    let path = format!("/v1/messages/{id}/history");
    let refusals = |history: &Value| -> Vec<Value> {
        let facts = history["data"].as_array().unwrap().iter();
        facts
            .filter(|fact| fact["type"] == "message.refused")
            .cloned()
            .collect()
    };
    let history = app
        .get_until(&path, |history| refusals(history).len() >= 4)
        .await;
    let moment = |text: &Value| OffsetDateTime::parse(text.as_str().unwrap(), &Rfc3339).unwrap();
    let waits: Vec<_> = refusals(&history)
        .iter()
        .map(|fact| moment(&fact["data"]["next_attempt_at"]) - moment(&fact["occurred_at"]))
        .collect();
    assert!(waits[3] > 4 * waits[0], "{waits:?}");
    end_faults(&app).await;
    app.accepted(&id).await;
}

#[tokio::test]
async fn a_message_of_which_nothing_is_heard_expires_and_a_late_status_undoes_it() {
    let settings = |config: &mut Config| {
        config.send.ttl = Duration::from_secs(1);
        config.send.ttl_authentication = Duration::from_secs(3600);
    };
    let app = App::start_with(settings, simulator::Config::default()).await;
    let value = json!({"event": "APPROVED", "message_template_id": 7,
        "message_template_name": "code", "message_template_language": "en_US",
        "message_template_category": "AUTHENTICATION"});
    let approved = management_body("message_template_status_update", T0, value);
    assert!(app.webhook(&approved).await.is_success());
    let mut ids = Vec::new();
    for body in ["silent", "delivered"] {
        let message = app.create("/v1/messages", text(&app.sender, "447700900123", body));
        ids.push(message.await["id"].as_str().unwrap().to_owned());
    }
    let mut code = template_step("code", "1234");
    (code["sender"], code["to"]) = (app.sender.clone().into(), "447700900123".into());
    let code = app.create("/v1/messages", code).await;
    ids.push(code["id"].as_str().unwrap().to_owned());
    let mut wamids = Vec::new();
    for id in &ids {
        wamids.push(app.accepted(id).await);
    }
    app.say(&[
        status(&wamids[0], "sent", 0),
        status(&wamids[1], "delivered", 0),
    ])
    .await;
    let path = format!("/v1/messages/{}", ids[0]);
    let expired = app.get_until(&path, |message| message["status"] == "expired");
    assert!(expired.await["expires_at"].is_string());
    let listed = app.get("/v1/messages?status=expired").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let history = app.get(&format!("{path}/history")).await;
    let history = history["data"].as_array().unwrap();
    assert!(
        history
            .iter()
            .any(|event| event["type"] == "message.expired")
    );
    let shown = async |id: &str| app.get(&format!("/v1/messages/{id}")).await["status"].clone();
    assert_eq!(shown(&ids[1]).await, "delivered");
    assert_eq!(shown(&ids[2]).await, "accepted", "its time is another");
    app.say(&[status(&wamids[0], "delivered", 9)]).await;
    assert_eq!(shown(&ids[0]).await, "delivered");
}
