//! What users do and want decides what is sent to them: a reply ends what is to end then, marketing
//! goes to nobody who wants none, and nothing but templates goes to who wrote too long ago.

use reqwest::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::*;

pub const USER: &str = "447700900123";
const BSUID: &str = "GB.13491208655302741918";

/// What a user writes, so many seconds from now. Meta shares both names of the user.
async fn writes(app: &App, id: &str, seconds: i64) {
    let at = app.clock.now().unix_timestamp() + seconds;
    let message = json!({
        "id": format!("wamid.in.{id}"), "from": USER, "from_user_id": BSUID,
        "timestamp": at.to_string(), "type": "text", "text": {"body": "hello"},
    });
    let contacts = json!([{"wa_id": USER, "user_id": BSUID, "profile": {"name": "Ana"}}]);
    let value = json!({"messages": [message], "contacts": contacts});
    assert_eq!(app.webhook(&body(&[change(value)])).await, StatusCode::OK);
}

/// A user says what they want of marketing.
pub async fn prefers(app: &App, value: &str, at: i64) {
    let preference = json!({
        "wa_id": USER, "user_id": BSUID, "detail": "asked for it",
        "category": "marketing_messages", "value": value, "timestamp": T0 + at,
    });
    let value = json!({"user_preferences": [preference],
        "contacts": [{"wa_id": USER, "user_id": BSUID}],
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550142217", "phone_number_id": NUMBER}});
    let body = management_body("user_preferences", T0 + at, value);
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
}

pub async fn is_marketing(app: &App, name: &str) {
    let value = json!({"message_template_id": 7, "message_template_name": name,
        "message_template_language": "en_US", "previous_category": "UTILITY",
        "new_category": "MARKETING"});
    let body = management_body("template_category_update", T0, value);
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
}

fn sequence(app: &App, to: &str, fields: Value, messages: &[Value]) -> Value {
    let mut sequence = json!({"sender": app.sender, "to": to, "messages": messages});
    for (name, value) in fields.as_object().unwrap() {
        sequence[name] = value.clone();
    }
    sequence
}

async fn shows(app: &App, message: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    app.get_until(&format!("/v1/messages/{message}"), wanted)
        .await
}

fn waits_for(reason: &str) -> impl Fn(&Value) -> bool {
    move |message| message["waiting"]["reason"] == reason
}

#[tokio::test]
async fn a_reply_by_any_name_ends_a_sequence_that_is_to_end_then() {
    let app = App::start().await;
    writes(&app, "before", -60).await;
    let messages = [step("one"), step("two")];
    let stops = json!({"stop_on_reply": true});
    // The same user, by either name; and the same without the wish.
    let (by_number, first) = app
        .sequence(sequence(&app, USER, stops.clone(), &messages))
        .await;
    let (by_id, second) = app.sequence(sequence(&app, BSUID, stops, &messages)).await;
    let (goes_on, third) = app
        .sequence(sequence(&app, USER, json!({}), &messages))
        .await;
    let mut wamids = Vec::new();
    for messages in [&first, &second, &third] {
        wamids.push(app.accepted(&messages[0]).await);
    }
    writes(&app, "reply", 5).await;
    for id in [by_number, by_id] {
        let path = format!("/v1/sequences/{id}");
        let ended = app.get_until(&path, |sequence| sequence["status"] == "stopped");
        let ended = ended.await;
        assert_eq!(ended["reason"], "reply");
        assert_eq!(ended["stop_on_reply"], true);
        assert_eq!(ended["messages"][1]["status"], "cancelled");
    }
    // What is delivered after all opens nothing any more, but that of the one that goes on.
    let delivered: Vec<_> = wamids.iter().map(|id| status(id, "delivered", 9)).collect();
    app.say(&delivered).await;
    app.accepted(&third[1]).await;
    let path = format!("/v1/sequences/{goes_on}");
    assert_eq!(app.get(&path).await["status"], "running");
    app.fence().await;
    let texts = posted_texts(&app.posts().await);
    assert_eq!(texts.iter().filter(|text| *text == "two").count(), 1);
}

#[tokio::test]
async fn marketing_waits_fails_or_ends_for_who_wants_none() {
    let app = App::start().await;
    is_marketing(&app, "offer").await;
    prefers(&app, "stop", 1).await;
    let offer = || template_step("offer", "offer");
    let of = |policy: &str, messages: &[Value]| {
        sequence(
            &app,
            USER,
            json!({"on_opt_out": policy, "on_failure": "skip"}),
            messages,
        )
    };
    let notice = template_step("notice", "notice");
    let (stopped, _) = app.sequence(of("stop", &[offer(), notice.clone()])).await;
    let (failed, fails) = app.sequence(of("fail", &[offer(), notice])).await;
    let (_, waits) = app.sequence(of("wait", &[offer()])).await;

    let path = format!("/v1/sequences/{stopped}");
    let stopped = app.get_until(&path, |sequence| sequence["status"] == "stopped");
    let stopped = stopped.await;
    assert_eq!(stopped["reason"], "opt_out");
    assert_eq!(stopped["messages"][0]["status"], "failed");
    // What is no marketing goes on.
    app.accepted(&fails[1]).await;
    let failed = app.get(&format!("/v1/sequences/{failed}")).await;
    let message = &failed["messages"][0];
    assert_eq!(message["status"], "failed");
    assert_eq!(message["error"]["code"], 131_050);
    assert_eq!(message["error"]["class"], "never_to_recipient");
    assert_eq!(message["attempts"][0]["posted_at"], Value::Null);
    assert!(message["failed_at"].is_string());
    let waiting = shows(&app, &waits[0], waits_for("opted_out")).await;
    let since = OffsetDateTime::from_unix_timestamp(T0 + 1).unwrap();
    assert_eq!(waiting["waiting"]["since"], twotick::model::rfc3339(since));
    assert_eq!(posted_texts(&app.posts().await), ["notice"]);
    // Somebody who wants it again gets it by itself.
    prefers(&app, "resume", 2).await;
    app.accepted(&waits[0]).await;
    assert_eq!(posted_texts(&app.posts().await), ["notice", "offer"]);
}

#[tokio::test]
async fn free_form_messages_go_only_while_the_window_may_be_open() {
    const DAY: i64 = 24 * 3600;
    let app = App::start().await;
    writes(&app, "long ago", -DAY - 5).await;
    let of = |policy: Value, body: &str| {
        let mut message = text(&app.sender, USER, body);
        if let Some(policy) = policy.as_str() {
            message["outside_window"] = policy.into();
        }
        message
    };
    let id = |message: Value| message["id"].as_str().unwrap().to_owned();
    let fails = id(app.create("/v1/messages", of(Value::Null, "fails")).await);
    let waits = id(app.create("/v1/messages", of("wait".into(), "waits")).await);
    let goes = id(app.create("/v1/messages", of("send".into(), "goes")).await);
    let failed = shows(&app, &fails, |message| message["status"] == "failed").await;
    assert_eq!(failed["error"]["code"], 131_047);
    shows(&app, &waits, waits_for("window_closed")).await;
    app.accepted(&goes).await;
    assert_eq!(posted_texts(&app.posts().await), ["goes"]);
    // Of somebody of whom nothing was heard nothing is known.
    let stranger = app.create(
        "/v1/messages",
        text(&app.sender, "447700900999", "stranger"),
    );
    app.accepted(&id(stranger.await)).await;
    writes(&app, "now", 0).await;
    app.accepted(&waits).await;
    assert_eq!(
        posted_texts(&app.posts().await),
        ["goes", "stranger", "waits"]
    );
}

#[tokio::test]
async fn the_wait_after_too_much_marketing_ends_when_the_user_writes() {
    let app = App::start().await;
    let messages = [step("one")];
    let retries = json!({"on_failure": "retry"});
    let (_, ids) = app.sequence(sequence(&app, USER, retries, &messages)).await;
    let wamid = app.accepted(&ids[0]).await;
    let mut failed = status(&wamid, "failed", 1);
    failed["errors"][0]["code"] = 131_049.into();
    app.say(&[failed]).await;
    let decided = |message: &Value| message["next_attempt_at"].is_string();
    let waiting = shows(&app, &ids[0], decided).await;
    assert_eq!(waiting["waiting"]["reason"], "retry");
    assert_eq!(waiting["status"], "queued");
    assert_eq!(waiting["error"]["class"], "wait_a_day");
    let at = waiting["next_attempt_at"].as_str().unwrap();
    let tomorrow = app.clock.now() + time::Duration::hours(23);
    assert!(at > twotick::model::rfc3339(tomorrow).as_str(), "{at}");
    writes(&app, "at last", 0).await;
    assert_eq!(app.posts_until(2).await.len(), 2);
}

#[tokio::test]
async fn marketing_to_the_united_states_is_not_posted() {
    let app = App::start().await;
    is_marketing(&app, "offer").await;
    let message = |to: &str| {
        let mut message = template_step("offer", to);
        (message["sender"], message["to"]) = (app.sender.clone().into(), to.into());
        message
    };
    let to_us = app.create("/v1/messages", message("12125550142")).await;
    let to_canada = app.create("/v1/messages", message("14165550142")).await;
    let failed = shows(&app, to_us["id"].as_str().unwrap(), |message| {
        message["status"] == "failed"
    });
    let failed = failed.await;
    assert_eq!(failed["error"]["code"], 131_049);
    assert_eq!(failed["error"]["class"], "never_to_recipient");
    app.accepted(to_canada["id"].as_str().unwrap()).await;
    assert_eq!(posted_texts(&app.posts().await), ["14165550142"]);
}

#[tokio::test]
async fn nothing_is_posted_while_it_is_quiet_where_the_user_is() {
    let app = App::start().await;
    // Quiet from an hour ago until an hour from now, in London and not in Tokyo.
    let zone = |name: &str| {
        let mut message = text(&app.sender, USER, name);
        let minute = app.clock.now().hour() as i64 * 60 + app.clock.now().minute() as i64;
        let time = |minutes: i64| {
            let minutes = (minute + minutes).rem_euclid(24 * 60);
            format!("{:02}:{:02}", minutes / 60, minutes % 60)
        };
        message["quiet_hours"] = json!({"from": time(-60), "to": time(60), "time_zone": name});
        message
    };
    let quiet = app.create("/v1/messages", zone("Etc/UTC")).await;
    // At once, before anybody has looked at it.
    assert_eq!(quiet["waiting"]["reason"], "quiet_hours", "{quiet}");
    assert!(quiet["waiting"]["since"].is_string(), "{quiet}");
    let told = quiet["next_attempt_at"].clone();
    let awake = app.create("/v1/messages", zone("Asia/Tokyo")).await;
    app.accepted(awake["id"].as_str().unwrap()).await;
    let waiting = shows(
        &app,
        quiet["id"].as_str().unwrap(),
        waits_for("quiet_hours"),
    );
    let waiting = waiting.await;
    assert_eq!(waiting["next_attempt_at"], told);
    let at = told.as_str().unwrap().to_owned();
    // The claimer has looked, and keeps since when.
    let path = format!("/v1/messages/{}", quiet["id"].as_str().unwrap());
    let since = app.get(&path).await["waiting"]["since"].clone();
    assert!(since.as_str() >= quiet["created_at"].as_str(), "{since}");
    assert!(since.as_str() < Some(&twotick::model::rfc3339(app.clock.now())));
    let soon = app.clock.now() + time::Duration::minutes(62);
    assert!(at < twotick::model::rfc3339(soon), "{at}");
    assert_eq!(posted_texts(&app.posts().await), ["Asia/Tokyo"]);
    for wrong in [
        json!({"from": "9:00", "to": "21:00"}),
        json!({"from": "21:00", "to": "08:00", "time_zone": "London"}),
        json!({"from": "21:00", "to": "21:00"}),
    ] {
        let mut message = text(&app.sender, USER, "never");
        message["quiet_hours"] = wrong;
        let sequence = sequence(
            &app,
            USER,
            json!({"quiet_hours": message["quiet_hours"]}),
            &[step("never")],
        );
        for (path, body) in [("/v1/messages", message), ("/v1/sequences", sequence)] {
            let (status, answer) = app.send(reqwest::Method::POST, path, body).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
        }
    }
}

#[tokio::test]
async fn a_lone_message_that_fails_behind_its_acceptance_is_tried_again_where_it_is_asked_for() {
    let app = App::start().await;
    let mut retried = text(&app.sender, USER, "retried");
    retried["on_failure"] = "retry".into();
    let fails = async |message: Value, at: i64| {
        let message = app.create("/v1/messages", message).await;
        let id = message["id"].as_str().unwrap().to_owned();
        let wamid = app.accepted(&id).await;
        let mut failed = status(&wamid, "failed", at);
        failed["errors"][0]["code"] = 131_016.into();
        app.say(&[failed]).await;
        id
    };
    let once = fails(text(&app.sender, USER, "once"), 1).await;
    let again = fails(retried, 2).await;
    let again = shows(&app, &again, |message| {
        message["attempts"][1]["outcome"] == "accepted"
    });
    assert_eq!(again.await["status"], "accepted");
    let failed = shows(&app, &once, |message| message["status"] == "failed").await;
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_reply_ended_can_be_taken_up_again() {
    let app = App::start().await;
    let body = sequence(
        &app,
        USER,
        json!({"stop_on_reply": true, "on_failure": "stop"}),
        &[step("one"), step("two")],
    );
    let (id, messages) = app.sequence(body).await;
    app.accepted(&messages[0]).await;
    // The provider's clock has whole seconds: what comes in the second of the beginning is no reply.
    let begun = app.clock.now().unix_timestamp();
    while app.clock.now().unix_timestamp() == begun {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    writes(&app, "reply", 0).await;
    let path = format!("/v1/sequences/{id}");
    app.get_until(&path, |sequence| sequence["status"] == "stopped")
        .await;
    // Who goes on knows of what was written so far, and not of what comes later.
    app.create(&format!("{path}/retry"), json!({})).await;
    let again = app.posts_until(2).await;
    assert_eq!(posted_texts(&again), ["one", "one"]);
    writes(&app, "again", 30).await;
    let stopped = |sequence: &Value| sequence["reason"] == "reply";
    app.get_until(&path, stopped).await;
}

#[tokio::test]
async fn what_went_back_and_then_waits_for_the_user_is_posted_when_they_write() {
    const DAY: i64 = 24 * 3600;
    let app = App::start().await;
    writes(&app, "long ago", -DAY - 5).await;
    let mut message = text(&app.sender, USER, "waits");
    message["outside_window"] = "wait".into();
    let message = app.create("/v1/messages", message).await;
    let id = message["id"].as_str().unwrap();
    shows(&app, id, waits_for("window_closed")).await;
    // As if it had been claimed and given back before the window closed.
    let given_back = "INSERT INTO attempts (sender, n, message, sequence, position, refusal)
         SELECT sender, 1, id, sequence, position, '{\"title\": \"no connection\"}' FROM messages";
    let mut session = app.session().await;
    sqlx::raw_sql(given_back)
        .execute(&mut session)
        .await
        .unwrap();
    let waiting = shows(&app, id, waits_for("window_closed")).await;
    assert_eq!(waiting["status"], "queued");
    writes(&app, "now", 0).await;
    app.accepted(id).await;
}
