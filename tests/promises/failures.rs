//! Who follows `message.failed` alone hears of every message that failed for good, once, whichever
//! way it failed.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use twotick::simulator::{self, Faults};

use crate::support::*;
use crate::users::USER;

/// Everything is refused for now: so often is it tried, with such a wait between.
async fn refused(attempts: usize, wait: Duration) -> App {
    let mut faults = Faults::default();
    faults.set("refuse_transient", 1.0).unwrap();
    let simulated = simulator::Config {
        faults,
        ..simulator::Config::default()
    };
    let settings = |settings: &mut twotick::config::Config| {
        settings.send.max_attempts = attempts;
        settings.send.backoff = wait;
    };
    App::start_with(settings, simulated).await
}

async fn lone(app: &App, to: &str) -> String {
    let made = app
        .create("/v1/messages", text(&app.sender, to, "hi"))
        .await;
    made["id"].as_str().unwrap().to_owned()
}

async fn until_failed(app: &App, message: &str) {
    let path = format!("/v1/messages/{message}");
    app.get_until(&path, |message| message["status"] == "failed")
        .await;
}

/// Message, attempt, code and class of what was told, once there is so much and everything before it
/// can be seen.
async fn told(app: &App, n: usize) -> Vec<(String, i64, i64, String)> {
    let path = "/v1/events?type=message.failed&limit=500";
    let wanted = |page: &Value| page["data"].as_array().unwrap().len() >= n;
    let page = app.get_until(path, wanted).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = page["data"].as_array().unwrap().iter();
    let told = events.map(|event| {
        let data = &event["data"];
        assert_eq!(data["errors"][0]["code"], data["code"], "{event:#}");
        let code = data["code"].as_i64().unwrap_or_default();
        let attempt = event["attempt"].as_i64().unwrap_or_default();
        (text(&event["subject"]), attempt, code, text(&data["class"]))
    });
    let mut told: Vec<_> = told.collect();
    told.sort();
    told
}

/// The messages of what was told.
fn messages(told: &[(String, i64, i64, String)]) -> Vec<&str> {
    told.iter().map(|(message, ..)| message.as_str()).collect()
}

#[tokio::test]
async fn what_failed_for_good_is_told_once_whichever_way_it_failed() {
    let app = refused(2, Duration::from_millis(10)).await;
    let answered = lone(&app, USER).await;
    let two = json!({"sender": app.sender, "to": USER, "on_failure": "skip",
        "messages": [step("one"), step("two")]});
    let (_, skipped) = app.sequence(two).await;
    for message in [&answered, &skipped[0], &skipped[1]] {
        until_failed(&app, message).await;
    }
    app.control_send(Method::PUT, "faults", json!({})).await;
    // Said by the provider, twice.
    let late = lone(&app, USER).await;
    let wamid = app.accepted(&late).await;
    app.say(&[status(&wamid, "failed", 1)]).await;
    app.say(&[status(&wamid, "failed", 1)]).await;
    // By our own rule: the user wrote too long ago.
    let wrote = json!({"id": "wamid.in", "from": USER, "type": "text", "text": {"body": "hello"},
        "timestamp": (app.clock.now().unix_timestamp() - 90_000).to_string()});
    let wrote = body(&[change(json!({"messages": [wrote]}))]);
    assert_eq!(app.webhook(&wrote).await, StatusCode::OK);
    let ruled = lone(&app, USER).await;
    until_failed(&app, &ruled).await;
    app.fence().await;

    let told = told(&app, 5).await;
    let mut expected = vec![&answered, &skipped[0], &skipped[1], &late, &ruled];
    expected.sort();
    assert_eq!(messages(&told), expected);
    let of = |message: &String| told.iter().find(|(of, ..)| of == message).unwrap();
    assert_eq!((of(&answered).1, of(&answered).3.as_str()), (2, "retry"));
    let class = "never_to_recipient";
    assert_eq!((of(&late).2, of(&late).3.as_str()), (131_026, class));
    assert_eq!((of(&ruled).2, of(&ruled).3.as_str()), (131_047, class));
}

#[tokio::test]
async fn what_a_person_ended_before_it_was_tried_again_is_told_too() {
    let app = refused(5, Duration::from_secs(3600)).await;
    let (sequence, ids) = app
        .sequence(json!({"sender": app.sender, "to": USER, "messages": [step("one")]}))
        .await;
    let new = json!({"sender": app.sender, "name": "offer", "messages": [step("two")]});
    let campaign = app.create("/v1/campaigns", new).await["id"].clone();
    let campaign = format!("/v1/campaigns/{}", campaign.as_str().unwrap());
    let recipient = app
        .request(Method::POST, &format!("{campaign}/recipients"))
        .header("Content-Type", "application/x-ndjson")
        .body(r#"{"to": "447700900999"}"#);
    assert_eq!(recipient.send().await.unwrap().status(), StatusCode::OK);
    app.create(&format!("{campaign}/activate"), json!({})).await;
    let waits = |message: &Value| message["waiting"]["reason"] == "retry";
    let path = format!("/v1/messages/{}", ids[0]);
    app.get_until(&path, waits).await;
    let list = "/v1/messages?to=447700900999";
    let list = app.get_until(list, |page| waits(&page["data"][0])).await;
    let of_campaign = list["data"][0]["id"].as_str().unwrap().to_owned();

    app.create(&format!("{campaign}/cancel"), json!({})).await;
    app.create(&format!("/v1/sequences/{sequence}/cancel"), json!({}))
        .await;
    until_failed(&app, &of_campaign).await;
    let told = told(&app, 2).await;
    let mut expected = [ids[0].as_str(), of_campaign.as_str()];
    expected.sort_unstable();
    assert_eq!(messages(&told), expected);
}

#[tokio::test]
async fn a_refusal_that_comes_while_a_person_ends_its_sequence_is_told_once() {
    let mut faults = Faults::default();
    faults.set("refuse_transient", 1.0).unwrap();
    let delays = simulator::Delays {
        answer_ms: simulator::Range {
            min: 1500,
            max: 1500,
        },
        ..simulator::Delays::default()
    };
    let simulated = simulator::Config {
        faults,
        delays,
        ..simulator::Config::default()
    };
    // Tried once, however late the person is.
    let settings = |settings: &mut twotick::config::Config| {
        settings.send.backoff = Duration::from_secs(3600);
    };
    let app = App::start_with(settings, simulated).await;
    let (sequence, ids) = app
        .sequence(json!({"sender": app.sender, "to": USER, "messages": [step("one")]}))
        .await;
    let path = format!("/v1/messages/{}", ids[0]);
    // It comes before the person's word or after it, as it happens: told once either way.
    app.get_until(&path, |message| message["attempts"] != json!([]))
        .await;
    app.create(&format!("/v1/sequences/{sequence}/cancel"), json!({}))
        .await;
    until_failed(&app, &ids[0]).await;
    assert_eq!(messages(&told(&app, 1).await), [ids[0].as_str()]);
}
