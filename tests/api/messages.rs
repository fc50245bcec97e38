//! Lone messages, and how messages are shown.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, send, text, uuid};

async fn message(app: &App, sender: &str, more: Value) -> Value {
    let mut new = json!({"sender": sender, "to": "+447700900123"});
    if more.get("type").is_none() {
        new["type"] = "text".into();
        new["text"] = json!({"body": "hello"});
    }
    for (name, value) in more.as_object().unwrap() {
        new[name] = value.clone();
    }
    app.post("/v1/messages", new).await.ok()
}

fn path(message: &Value) -> String {
    format!("/v1/messages/{}", message["id"].as_str().unwrap())
}

async fn set(app: &App, message: &Value, columns: &str) {
    let sql = format!(
        "UPDATE sequences SET {columns} WHERE id = (SELECT sequence FROM messages WHERE id = $1)"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(uuid(&message["id"]));
    assert_eq!(query.execute(&app.pool).await.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn a_message_is_taken_as_given_and_shown_at_once() {
    let app = App::start().await;
    let sender = app.sender().await;
    let template = json!({"name": "order_ready", "language": {"code": "en-GB"}});
    let new = json!({"type": "template", "template": template, "reference": "order-1001"});
    let made = message(&app, &sender, new).await;
    assert_eq!(made["status"], "queued");
    assert_eq!(made["to"], "447700900123");
    assert_eq!(made["reference"], "order-1001");
    assert_eq!(made["origin"], "ours");
    assert_eq!(made["attempts"], json!([]));
    assert_eq!(made["waiting"], Value::Null);
    let shown = app.get(&path(&made)).await.ok();
    for (name, value) in made.as_object().unwrap() {
        assert_eq!(shown[name], *value, "{name}");
    }
    assert_eq!(shown["template"], template);
    let row: (Value, String, String) = sqlx::query_as(
        "SELECT m.content, q.lane, l.template_language FROM messages m
         JOIN sequences q ON q.id = m.sequence JOIN lanes l USING (lane)",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    let lane = "order_ready/en_GB".to_owned();
    assert_eq!(row, (template, lane, "en_GB".to_owned()));
}

#[tokio::test]
async fn what_was_asked_for_is_read_back() {
    let app = App::start().await;
    let sender = app.sender().await;
    let asked = json!({
        "at": "2099-12-01T09:00:00.000Z", "on_failure": "retry", "on_opt_out": "wait",
        "outside_window": "send", "on_template_pause": "fail", "on_unknown": "resend",
        "quiet_hours": {"from": "21:00", "to": "08:00", "time_zone": "Europe/Berlin"},
    });
    let made = message(&app, &sender, asked.clone()).await;
    let shown = app.get(&path(&made)).await.ok();
    for (name, value) in asked.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert_eq!(shown["gate"], Value::Null);
    // At nine in Berlin's winter it is ten, and not quiet; at four it is.
    assert_eq!(shown["next_attempt_at"], asked["at"]);
    let edit = async |at: Value| {
        let edit = app
            .request(Method::PATCH, &path(&made))
            .bearer_auth(&app.key);
        send(edit.json(&json!({"at": at}))).await.ok()
    };
    let edited = edit(json!("2099-12-01T04:00:00.000Z")).await;
    assert_eq!(edited["at"], "2099-12-01T04:00:00.000Z");
    assert_eq!(edited["next_attempt_at"], "2099-12-01T07:00:00.000Z");
    assert_eq!(edit(Value::Null).await["at"], Value::Null);

    // What nobody asked for is as it is where nothing is said.
    let made = message(&app, &sender, json!({})).await;
    let shown = app.get(&path(&made)).await.ok();
    for (name, value) in [
        ("at", Value::Null),
        ("on_failure", json!("stop")),
        ("on_opt_out", json!("fail")),
        ("outside_window", json!("fail")),
        ("on_template_pause", json!("wait")),
        ("quiet_hours", Value::Null),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    // A message of a sequence has it from its sequence.
    let new = json!({"sender": sender, "to": "447700900123", "on_failure": "skip",
        "on_opt_out": "stop", "messages": [text("one")]});
    let sequence = app.post("/v1/sequences", new).await.ok();
    let shown = app.get(&path(&sequence["messages"][0])).await.ok();
    assert_eq!(
        (&shown["on_failure"], &shown["on_opt_out"]),
        (&json!("skip"), &json!("stop"))
    );
    assert_eq!(shown["gate"]["status"], "delivered");
}

#[tokio::test]
async fn the_callback_data_of_a_caller_is_refused_by_name() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = json!({"sender": sender, "to": "1", "type": "text", "text": {"body": "1"},
                     "biz_opaque_callback_data": "mine"});
    let answer = app.post("/v1/messages", new).await;
    answer.names("biz_opaque_callback_data");
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("`reference`")
    );
    let nowhere = json!({"sender": "snd_aaaaaaa", "to": "1", "type": "text", "text": {}});
    app.post("/v1/messages", nowhere).await.names("sender");
}

#[tokio::test]
async fn a_message_says_what_it_waits_for() {
    let app = App::start().await;
    let sender = app.sender().await;
    let at = twotick::model::rfc3339(app.clock.now() + Duration::from_secs(3600));
    let later = message(&app, &sender, json!({"at": at})).await;
    assert_eq!(later["waiting"]["reason"], "schedule");
    assert_eq!(later["next_attempt_at"], at);

    let template = json!({"name": "order_ready", "language": {"code": "en_GB"}});
    let new = json!({"type": "template", "template": template});
    let paused = message(&app, &sender, new).await;
    sqlx::query(
        "INSERT INTO templates (id, connection, name, language, status, status_at, sendable,
                                created_at, updated_at)
         SELECT gen_random_uuid(), id, 'order_ready', 'en_GB', 'PAUSED', now(), false, now(), now()
         FROM connections",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let shown = app.get(&path(&paused)).await.ok();
    assert_eq!(shown["waiting"]["reason"], "template_paused");
    assert_eq!(shown["waiting"]["detail"], "PAUSED");

    // The provider took nothing and named a time: its number is not burnt.
    let limited = message(&app, &sender, json!({})).await;
    app.attempt(
        &limited,
        "watch, refusal",
        "2, '{\"code\": 130429, \"title\": \"Rate limit hit\"}'",
    )
    .await;
    let later = "due_at = now() + interval '1 minute', ready_at = now() + interval '1 minute'";
    set(&app, &limited, later).await;
    let shown = app.get(&path(&limited)).await.ok();
    assert_eq!(shown["waiting"]["reason"], "rate_limit");
    assert_eq!(shown["waiting"]["detail"], "130429: Rate limit hit");
    assert_eq!(shown["attempts"], json!([]));

    let blocked = message(&app, &sender, json!({})).await;
    assert_eq!(blocked["waiting"], Value::Null);
    sqlx::query("UPDATE senders SET status = 'blocked', status_reason = '368', status_at = now()")
        .execute(&app.pool)
        .await
        .unwrap();
    let shown = app.get(&path(&blocked)).await.ok();
    assert_eq!(shown["waiting"]["reason"], "sender_blocked");
    assert_eq!(shown["waiting"]["detail"], "368");
    sqlx::query("UPDATE connections SET stopped_at = now(), stopped_reason = 'token'")
        .execute(&app.pool)
        .await
        .unwrap();
    let shown = app.get(&path(&blocked)).await.ok();
    assert_eq!(shown["waiting"]["reason"], "connection_stopped");
}

#[tokio::test]
async fn a_failure_shows_its_error_and_can_be_retried() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = message(&app, &sender, json!({})).await;
    app.act(&format!("{}/retry", path(&made)))
        .await
        .is(409, "not_failed");
    app.attempt(
        &made,
        "provider_message_id, outcome, posted_at, accepted_at, failed_at, failed_code",
        "'wamid.1', 'accepted', now(), now(), now(), 131026",
    )
    .await;
    set(
        &app,
        &made,
        "status = 'completed', work = 'done', head = 2, due_at = NULL, ready_at = NULL",
    )
    .await;
    sqlx::query(
        "INSERT INTO facts (stream, n, id, subject, received_at, type, key, source, data)
         SELECT sender, 1, gen_random_uuid(), id, now(), 'message.failed', '', 'webhook',
                '{\"errors\": [{\"code\": 131026, \"title\": \"Undeliverable\"}]}'
         FROM messages",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let shown = app.get(&path(&made)).await.ok();
    assert_eq!(shown["status"], "failed");
    assert_eq!(shown["provider_message_id"], "wamid.1");
    assert_eq!(
        shown["error"],
        json!({"code": 131026, "title": "Undeliverable", "details": null,
               "class": "never_to_recipient"})
    );
    assert_eq!(shown["attempts"][0]["error"], shown["error"]);
    assert_ne!(shown["failed_at"], Value::Null);

    let again = app.act(&format!("{}/retry", path(&made))).await.ok();
    assert_eq!(again["status"], "queued");
    let facts = app.facts_of(&made).await;
    assert!(facts.contains(&"message.retrying".to_owned()), "{facts:?}");
}

#[tokio::test]
async fn delivery_wins_over_failure_and_the_contradiction_is_shown() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = message(&app, &sender, json!({})).await;
    app.attempt(
        &made,
        "outcome, posted_at, failed_at, failed_code, read_at",
        "'accepted', now(), now(), 131026, now()",
    )
    .await;
    let shown = app.get(&path(&made)).await.ok();
    assert_eq!(shown["status"], "read");
    assert_eq!(shown["contradiction"], true);
    assert_eq!(shown["delivered_at"], Value::Null);
    assert_eq!(shown["error"], Value::Null);
}

#[tokio::test]
async fn only_what_was_not_posted_can_be_cancelled() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = message(&app, &sender, json!({})).await;
    for _ in 0..2 {
        let cancelled = app.act(&format!("{}/cancel", path(&made))).await.ok();
        assert_eq!(cancelled["status"], "cancelled");
    }
    assert_eq!(app.facts_of(&made).await, ["message.cancelled"]);
    let work: Vec<String> = sqlx::query_scalar("SELECT status || ' ' || work FROM sequences")
        .fetch_all(&app.pool)
        .await
        .unwrap();
    assert_eq!(work, ["cancelled done"]);

    let posted = message(&app, &sender, json!({})).await;
    let claimed =
        "work = 'claimed', claim_epoch = 1, claim_until = now(), due_at = NULL, ready_at = NULL";
    set(&app, &posted, claimed).await;
    app.attempt(&posted, "posted_at", "now()").await;
    app.act(&format!("{}/cancel", path(&posted)))
        .await
        .is(409, "already_sent");
}

#[tokio::test]
async fn a_wait_ends_when_the_status_is_reached_or_cannot_be() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = message(&app, &sender, json!({})).await;
    let path = path(&made);
    let began = app.clock.monotonic();
    let timeout = app
        .get(&format!("{path}?wait=delivered&timeout=1s"))
        .await
        .ok();
    assert_eq!(timeout["status"], "queued");
    assert!(began.elapsed() >= Duration::from_secs(1));
    app.get(&format!("{path}?wait=delivered&timeout=61s"))
        .await
        .names("timeout");
    app.get(&format!("{path}?wait=there")).await.names("wait");

    let url = format!("{path}?wait=delivered&timeout=30s");
    let (shown, ()) = tokio::join!(app.get(&url), async {
        app.attempt(&made, "posted_at, read_at", "now(), now()")
            .await;
        app.signals.changed();
    });
    assert_eq!(shown.ok()["status"], "read");
    // What was delivered will never be one of these.
    for never in ["failed", "expired", "cancelled", "queued", "sending"] {
        let url = format!("{path}?wait={never}&timeout=30s");
        assert_eq!(app.get(&url).await.ok()["status"], "read");
    }
    let other = message(&app, &sender, json!({})).await;
    app.act(&format!("{}/cancel", self::path(&other)))
        .await
        .ok();
    let url = format!("{}?wait=sent&timeout=30s", self::path(&other));
    assert_eq!(app.get(&url).await.ok()["status"], "cancelled");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn messages_are_looked_up_by_our_ids_and_the_providers() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = message(&app, &sender, json!({})).await;
    let columns = "provider_message_id, outcome, accepted_at";
    app.attempt(&made, columns, "'wamid.1', 'accepted', now()")
        .await;
    sqlx::query(
        "INSERT INTO messages (sender, id, origin, created_at, adopted_by)
         SELECT sender, '00000000-0000-7000-8000-000000000001', 'external', now(), id FROM messages",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let alias = twotick::model::ids::MessageId {
        sender: sender.parse().unwrap(),
        uuid: "00000000-0000-7000-8000-000000000001".parse().unwrap(),
    };
    let ours = made["id"].as_str().unwrap();
    let ids = [ours, "wamid.1", &alias.to_string(), "wamid.2", "msg_x"];
    let found = app
        .post("/v1/messages/lookup", json!({"ids": ids}))
        .await
        .ok();
    for known in &ids[..3] {
        assert_eq!(found["data"][known]["id"], ours, "{known}");
        assert_eq!(found["data"][known]["status"], "accepted");
    }
    for unknown in &ids[3..] {
        assert_eq!(found["data"].get(unknown), Some(&Value::Null));
    }
    assert_eq!(
        app.get(&format!("/v1/messages/{alias}")).await.ok()["id"],
        ours
    );
    assert_eq!(
        app.get("/v1/messages").await.ok()["data"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let mut many: Vec<_> = (0..999).map(|n| format!("wamid.none.{n}")).collect();
    many.push(ours.to_owned());
    let found = app.post("/v1/messages/lookup", json!({"ids": many}));
    let found = found.await.ok()["data"].clone();
    assert_eq!(found.as_object().unwrap().len(), 1000);
    assert_eq!(found[ours]["id"], ours);
    many.push("wamid.one.too.many".to_owned());
    app.post("/v1/messages/lookup", json!({"ids": many}))
        .await
        .names("ids");
}

#[tokio::test]
async fn a_message_is_found_by_its_callers_reference_and_its_events_bear_it() {
    let app = App::start().await;
    let sender = app.sender().await;
    let mut made = Vec::new();
    for reference in ["order-1", "order-1", "order-2"] {
        let mut new = text("1");
        (new["sender"], new["to"]) = (json!(sender), json!("447700900123"));
        new["reference"] = json!(reference);
        made.push(app.post("/v1/messages", new).await.ok());
    }
    let ids = json!({"ids": ["order-1", "order-2", "order-3", made[0]["id"]]});
    let found = app.post("/v1/messages/lookup", ids).await.ok();
    let id = |name: &str| found["data"][name]["id"].clone();
    // The newest of those that bear it.
    assert_eq!(
        (id("order-1"), id("order-2")),
        (made[1]["id"].clone(), made[2]["id"].clone())
    );
    assert_eq!(found["data"]["order-3"], json!(null));
    let first = made[0]["id"].as_str().unwrap();
    assert_eq!(id(first), made[0]["id"]);
    app.act(&format!("/v1/messages/{first}/cancel")).await.ok();
    let history = app.get(&format!("/v1/messages/{first}/history")).await.ok();
    assert_eq!(history["data"][0]["reference"], "order-1");
}
