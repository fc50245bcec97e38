//! What nobody has taken to be posted yet can be changed, and is posted as it is then; what has been
//! taken stays as it was, and says why.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use crate::support::*;
use crate::users::USER;

const LATER: &str = "2099-01-01T00:00:00Z";

fn path(message: &str) -> String {
    format!("/v1/messages/{message}")
}

async fn lone(app: &App, body: &str, at: &str) -> String {
    let mut message = text(&app.sender, USER, body);
    message["at"] = at.into();
    let made = app.create("/v1/messages", message).await;
    made["id"].as_str().unwrap().to_owned()
}

async fn edit(app: &App, message: &str, edit: Value) -> (StatusCode, Value) {
    app.send(Method::PATCH, &path(message), edit).await
}

async fn edited(app: &App, message: &str, change: Value) -> Value {
    let (status, answer) = edit(app, message, change).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    // It may have gone meanwhile; what it says has not changed.
    let shown = app.get(&path(message)).await;
    for name in [
        "type",
        "text",
        "image",
        "template",
        "gate",
        "delay",
        "reference",
    ] {
        assert_eq!(answer[name], shown[name], "{name}");
    }
    answer
}

async fn refused(app: &App, message: &str, code: &str) {
    let (status, answer) = edit(app, message, json!({"text": {"body": "never"}})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(answer["code"], code, "{answer:#}");
}

#[tokio::test]
async fn a_message_goes_as_it_was_last_edited_and_can_be_read_back() {
    let app = App::start().await;
    let id = lone(&app, "old", LATER).await;
    let shown = app.get(&path(&id)).await;
    assert_eq!(shown["text"], json!({"body": "old"}));
    assert_eq!(
        (&shown["gate"], &shown["delay"]),
        (&Value::Null, &Value::Null)
    );
    let shown = edited(&app, &id, json!({"reference": "a", "on_unknown": "resend"})).await;
    assert_eq!(shown["text"], json!({"body": "old"}));
    assert_eq!(
        (&shown["reference"], &shown["on_unknown"]),
        (&json!("a"), &json!("resend"))
    );
    let image = json!({"type": "image", "image": {"link": "https://example.com/a.png"}});
    assert_eq!(
        edited(&app, &id, image.clone()).await["image"],
        image["image"]
    );
    let now = json!({"type": "text", "text": {"body": "new"}, "at": null, "reference": null});
    assert_eq!(edited(&app, &id, now).await["reference"], Value::Null);
    app.accepted(&id).await;
    assert_eq!(posted_texts(&app.posts().await), ["new"]);

    refused(&app, &id, "already_sent").await;
    let history = app.get(&format!("{}/history", path(&id))).await;
    let history = history["data"].as_array().unwrap();
    let changed = history
        .iter()
        .filter(|fact| fact["type"] == "message.changed");
    let fields: Vec<_> = changed.map(|fact| fact["data"]["fields"].clone()).collect();
    let expected = json!([
        ["reference", "on_unknown"],
        ["content"],
        ["content", "reference", "at"]
    ]);
    assert_eq!(json!(fields), expected);
}

#[tokio::test]
async fn a_step_is_edited_where_it_stands_and_its_lane_with_it() {
    let app = App::start().await;
    let stop = management_body(
        "message_template_status_update",
        T0,
        json!({"event": "PAUSED", "message_template_id": 7, "message_template_name": "offer",
            "message_template_language": "en_US", "reason": null}),
    );
    assert_eq!(app.webhook(&stop).await, StatusCode::OK);
    let mut late = step("two");
    late["delay"] = "1h".into();
    let steps = json!([template_step("offer", "one"), late, step("three")]);
    let (_, ids) = app
        .sequence(json!({"sender": app.sender, "to": USER, "messages": steps}))
        .await;
    let waits =
        |reason: &'static str| move |message: &Value| message["waiting"]["reason"] == reason;
    app.get_until(&path(&ids[0]), waits("template_paused"))
        .await;
    let shown = app.get(&path(&ids[1])).await;
    assert_eq!(
        (&shown["delay"], &shown["gate"]["status"]),
        (&json!("1h"), &json!("delivered"))
    );

    // The head's lane is closed; that of its new text is not.
    let text = json!({"type": "text", "text": {"body": "one"}, "gate": {"status": "accepted"}});
    let shown = edited(&app, &ids[0], text).await;
    assert_eq!(
        shown["gate"],
        json!({"status": "accepted", "deadline": "1d", "on_deadline": "stop"})
    );
    app.get_until(&path(&ids[1]), waits("schedule")).await;
    // It has been counting since its gate opened.
    let before = app.get(&path(&ids[1])).await["next_attempt_at"].clone();
    let shown = edited(&app, &ids[1], json!({"delay": "2h"})).await;
    let read =
        |value: &Value| time::OffsetDateTime::parse(value.as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(
        read(&shown["next_attempt_at"]) - read(&before),
        time::Duration::HOUR
    );
    edited(&app, &ids[1], json!({"delay": "0s"})).await;
    app.accepted(&ids[1]).await;
    // Not open yet: the gate before it is its sequence's.
    let new = template_step("other", "three, at last");
    edited(&app, &ids[2], new).await;
    let wamid = app.get(&path(&ids[1])).await["provider_message_id"].clone();
    app.say(&[status(wamid.as_str().unwrap(), "delivered", 1)])
        .await;
    app.accepted(&ids[2]).await;
    assert_eq!(
        posted_texts(&app.posts().await),
        ["one", "two", "three, at last"]
    );
}

#[tokio::test]
async fn what_cannot_be_edited_says_why() {
    let app = App::start().await;
    let id = lone(&app, "x", LATER).await;
    for (change, field) in [
        (json!({"delay": "1h"}), "delay"),
        (json!({"gate": {"status": "read"}}), "gate"),
        (json!({"sender": app.sender}), "sender"),
        (json!({"type": "image"}), "image"),
        (json!({"text": {"body": ""}}), "text.body"),
        (json!({"reference": ""}), "reference"),
    ] {
        let (status, answer) = edit(&app, &id, change).await;
        assert_eq!(
            status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{field}: {answer}"
        );
        assert_eq!(answer["errors"][0]["field"], field, "{answer:#}");
    }
    let (_, ids) = app
        .sequence(json!({"sender": app.sender, "to": USER, "messages": [step("1"), step("2")]}))
        .await;
    let (status, answer) = edit(&app, &ids[1], json!({"at": null})).await;
    assert_eq!(
        (status, &answer["errors"][0]["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("at"))
    );
    app.create(&format!("{}/cancel", path(&id)), json!({}))
        .await;
    refused(&app, &id, "message_cancelled").await;
    app.accepted(&ids[0]).await;
    refused(&app, &ids[0], "already_sent").await;
    let sequence = app.get(&path(&ids[0])).await["sequence"]["id"].clone();
    let sequence = format!("/v1/sequences/{}/cancel", sequence.as_str().unwrap());
    app.create(&sequence, json!({})).await;
    refused(&app, &ids[1], "sequence_ended").await;
    let nobody = format!("{}{}", &id[..id.len() - 4], "aaaa");
    let (status, _) = edit(&app, &nobody, json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn whoever_edits_while_it_is_claimed_gets_what_is_posted_or_a_refusal() {
    const ALL: usize = 40;
    let app = Arc::new(App::start().await);
    let soon = app.clock.now() + time::Duration::milliseconds(400);
    let soon = soon.format(&Rfc3339).unwrap();
    let mut ids = Vec::new();
    for n in 0..ALL {
        ids.push(lone(&app, &format!("old {n}"), &soon).await);
    }
    // Most are edited while all of them come due.
    let mut edits = JoinSet::new();
    for (n, id) in ids.into_iter().enumerate() {
        let app = Arc::clone(&app);
        edits.spawn(async move {
            tokio::time::sleep(Duration::from_millis(n as u64 * 10)).await;
            let new = json!({"text": {"body": format!("new {n}")}});
            let (status, answer) = edit(&app, &id, new).await;
            match status {
                StatusCode::OK => (id, format!("new {n}")),
                StatusCode::CONFLICT => (id, format!("old {n}")),
                _ => panic!("{status}: {answer}"),
            }
        });
    }
    let expected: HashMap<_, _> = edits.join_all().await.into_iter().collect();
    app.posts_until(ALL).await;
    app.fence().await;
    let posts = app.posts().await;
    let posted = posts
        .iter()
        .filter(|post| post["body"]["text"]["body"] != "fence");
    let posted: Vec<_> = posted
        .map(|post| {
            let callback = post["callback"]
                .as_str()
                .unwrap()
                .trim_end_matches(".1")
                .to_owned();
            (
                callback,
                post["body"]["text"]["body"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(posted.len(), ALL, "each is posted once");
    let posted: HashMap<_, _> = posted.into_iter().collect();
    assert_eq!(posted, expected);
    for (id, said) in &posted {
        assert_eq!(app.get(&path(id)).await["text"]["body"], *said);
    }
}

#[tokio::test]
async fn a_step_that_is_cancelled_in_the_middle_is_passed_by() {
    let app = App::start().await;
    let steps = json!([step("one"), step("two"), step("three")]);
    let (sequence, ids) = app
        .sequence(json!({"sender": app.sender, "to": USER, "messages": steps}))
        .await;
    let wamid = app.accepted(&ids[0]).await;
    app.create(&format!("{}/cancel", path(&ids[1])), json!({}))
        .await;
    app.fence().await;
    assert_eq!(
        posted_texts(&app.posts().await),
        ["one"],
        "its place is waited for"
    );
    app.say(&[status(&wamid, "delivered", 1)]).await;
    let wamid = app.accepted(&ids[2]).await;
    app.say(&[status(&wamid, "delivered", 2)]).await;
    let path = format!("/v1/sequences/{sequence}");
    app.get_until(&path, |sequence| sequence["status"] == "completed")
        .await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "three"]);
}
