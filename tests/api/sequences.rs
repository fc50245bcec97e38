//! Sequences, and what people do to them.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::{App, text, uuid};

const HELD: &str = "status = 'held', reason = 'unknown', work = 'waiting', lane = '', due_at = NULL, ready_at = NULL";
const WAITING: &str = "work = 'waiting', due_at = NULL, ready_at = NULL, lane = ''";

fn path(sequence: &Value, rest: &str) -> String {
    format!("/v1/sequences/{}{rest}", sequence["id"].as_str().unwrap())
}

fn statuses(sequence: &Value) -> Vec<&str> {
    let messages = sequence["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|m| m["status"].as_str().unwrap())
        .collect()
}

async fn row(app: &App, sequence: &Value) -> (String, i32, String, Option<OffsetDateTime>) {
    sqlx::query_as(
        "SELECT work, head, lane, coalesce(ready_at, due_at) FROM sequences WHERE id = $1",
    )
    .bind(uuid(&sequence["id"]))
    .fetch_one(&app.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_sequence_is_shown_with_its_messages_in_order() {
    let app = App::start().await;
    let sender = app.sender().await;
    let gate = json!({"deadline": "2h"});
    let step = |n: u8, more: Value| {
        let mut step = text(&n.to_string());
        step.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        step
    };
    let messages = [
        step(1, json!({"delay": "5m"})),
        step(
            2,
            json!({"gate": {"status": "read", "on_deadline": "skip"}}),
        ),
    ];
    let new = json!({"sender": sender, "to": "447700900123", "reference": "welcome-1001",
                     "gate": gate, "on_failure": "skip", "messages": messages});
    let made = app.post("/v1/sequences", new).await;
    assert_eq!(made.status, 202);
    let made = made.ok();
    assert_eq!(made["status"], "running");
    assert_eq!(made["position"], 1);
    assert_eq!(
        made["gate"],
        json!({"status": "delivered", "deadline": "2h", "on_deadline": "stop"})
    );
    assert_eq!(statuses(&made), ["queued", "queued"]);
    assert_eq!(made["messages"][0]["waiting"]["reason"], "schedule");
    assert_eq!(made["messages"][1]["waiting"]["reason"], "gate");
    assert_eq!(
        made["messages"][1]["sequence"],
        json!({"id": made["id"], "position": 2})
    );
    assert_eq!(made["messages"][1]["reference"], "welcome-1001");
    assert_eq!(app.get(&path(&made, "")).await.ok(), made);
    let gates: Vec<Option<Value>> =
        sqlx::query_scalar("SELECT gate FROM messages ORDER BY position")
            .fetch_all(&app.pool)
            .await
            .unwrap();
    let second = json!({"status": "read", "deadline_ms": 7_200_000, "on_deadline": "skip"});
    assert_eq!(gates, [None, Some(second)]);
    for query in [
        "reference=welcome-1001",
        "to=%2B447700900123",
        "status=running",
    ] {
        let list = app.get(&format!("/v1/sequences?{query}")).await.ok();
        assert_eq!(list["data"], json!([made]), "{query}");
    }
    assert_eq!(
        app.get("/v1/sequences?status=held").await.ok()["data"],
        json!([])
    );
}

#[tokio::test]
async fn a_group_is_never_waited_for_as_a_whole() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = |gate: &str| {
        json!({"sender": sender, "to": "Y2FwaV9ncm91cDox", "recipient_type": "group",
               "gate": {"status": gate}, "messages": [text("1")]})
    };
    app.post("/v1/sequences", new("delivered"))
        .await
        .names("gate.status");
    let made = app.post("/v1/sequences", new("sent")).await.ok();
    let more = json!({"messages": [{"type": "text", "text": {}, "gate": {"status": "read"}}]});
    let answer = app.post(&path(&made, "/messages"), more).await;
    answer.names("messages[0].gate.status");
}

#[tokio::test]
async fn an_append_to_a_completed_sequence_makes_it_run_again() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = app.sequence(&sender, 1).await;
    let more = json!({"messages": [text("2"), text("3")]});
    let longer = app.post(&path(&made, "/messages"), more.clone()).await;
    assert_eq!(longer.status, 202);
    assert_eq!(statuses(&longer.body).len(), 3);
    assert_eq!(row(&app, &made).await.1, 1);

    app.set(
        &made,
        "status = 'completed', work = 'done', head = 4, due_at = NULL, ready_at = NULL, lane = ''",
    )
    .await;
    let again = app.post(&path(&made, "/messages"), more.clone()).await.ok();
    assert_eq!(
        (&again["status"], &again["position"]),
        (&json!("running"), &json!(4))
    );
    let (work, head, lane, due_at) = row(&app, &made).await;
    assert_eq!((work.as_str(), head, lane.as_str()), ("ready", 4, ""));
    assert!(due_at.unwrap() <= app.clock.now());
    let facts = app.facts_of(&made).await;
    assert_eq!(facts, ["sequence.appended", "sequence.appended"]);

    app.act(&path(&made, "/cancel")).await.ok();
    app.post(&path(&made, "/messages"), more)
        .await
        .is(409, "sequence_ended");
}

#[tokio::test]
async fn a_paused_sequence_goes_on_when_it_would_have_gone() {
    let app = App::start().await;
    let sender = app.sender().await;
    let step = json!({"type": "text", "text": {"body": "1"}, "delay": "1h"});
    let new = json!({"sender": sender, "to": "447700900123", "messages": [step]});
    let made = app.post("/v1/sequences", new).await.ok();
    let due_at = row(&app, &made).await.3.unwrap();
    for _ in 0..2 {
        let paused = app.act(&path(&made, "/pause")).await.ok();
        assert_eq!(paused["status"], "paused");
        assert_eq!(paused["messages"][0]["waiting"]["reason"], "paused");
    }
    assert_eq!(
        row(&app, &made).await.2,
        "=",
        "in a lane that nobody claims from"
    );
    let resumed = app.act(&path(&made, "/resume")).await.ok();
    assert_eq!(resumed["status"], "running");
    let (_, _, lane, again) = row(&app, &made).await;
    assert_eq!(lane, "", "its claimer looks at what came meanwhile");
    assert_eq!(resumed["messages"][0]["waiting"]["reason"], "schedule");
    assert!(
        (again.unwrap() - due_at).abs() < Duration::from_millis(2),
        "{again:?} {due_at}"
    );
    assert_eq!(
        app.facts_of(&made).await,
        ["sequence.paused", "sequence.resumed"]
    );
}

#[tokio::test]
async fn a_deadline_stands_still_while_paused() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = app.sequence(&sender, 2).await;
    app.set(
        &made,
        &format!("{WAITING}, deadline_at = '2030-01-01T00:00:00Z'"),
    )
    .await;
    app.act(&path(&made, "/pause")).await.ok();
    app.clock.advance(Duration::from_secs(600));
    let resumed = app.act(&path(&made, "/resume")).await.ok();
    assert!(
        resumed["deadline_at"]
            .as_str()
            .unwrap()
            .starts_with("2030-01-01T00:10:0")
    );
    let (work, _, lane, due_at) = row(&app, &made).await;
    assert_eq!((work.as_str(), lane.as_str()), ("waiting", ""));
    assert!(due_at.is_some());
}

#[tokio::test]
async fn a_post_under_way_survives_pause_and_resume() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = app.sequence(&sender, 2).await;
    let claimed =
        "work = 'claimed', claim_epoch = 7, claim_until = now(), due_at = NULL, ready_at = NULL";
    app.set(&made, claimed).await;
    app.act(&path(&made, "/pause")).await.ok();
    app.act(&path(&made, "/resume")).await.ok();
    assert_eq!(row(&app, &made).await.0, "claimed");
    app.act(&path(&made, "/cancel")).await.ok();
    assert_eq!(row(&app, &made).await.0, "done");
}

#[tokio::test]
async fn a_held_sequence_is_retried_or_gone_on_with() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = app.sequence(&sender, 2).await;
    for act in ["/retry", "/messages/retry"] {
        let answer = app.act(&path(&made, act)).await;
        assert!(answer.status.is_client_error());
    }
    app.set(&made, HELD).await;
    app.attempt(
        &made["messages"][0],
        "outcome, unknown_at",
        "'unknown', now()",
    )
    .await;
    app.act(&path(&made, "/pause")).await.is(409, "not_running");
    let again = app.act(&path(&made, "/retry")).await.ok();
    assert_eq!(
        (&again["status"], &again["position"]),
        (&json!("running"), &json!(1))
    );
    assert_eq!(row(&app, &made).await.0, "ready");

    app.set(&made, HELD).await;
    let on = app.act(&path(&made, "/resume")).await.ok();
    assert_eq!(
        (&on["status"], &on["position"]),
        (&json!("running"), &json!(2))
    );
    assert_eq!(on["reason"], Value::Null);
    app.set(&made, HELD).await;
    let end = app.act(&path(&made, "/resume")).await.ok();
    assert_eq!(end["status"], "completed");
    assert_eq!(row(&app, &made).await.1, 3);
    app.act(&path(&made, "/resume")).await.is(409, "not_held");
    app.act(&path(&made, "/cancel"))
        .await
        .is(409, "sequence_ended");
    let mut facts = app.facts_of(&made).await;
    // Two of one millisecond have no order.
    facts.sort();
    let resumed = "sequence.resumed";
    assert_eq!(facts, ["sequence.completed", resumed, resumed, resumed]);
}

#[tokio::test]
async fn what_failed_in_a_stopped_sequence_can_be_retried() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = app.sequence(&sender, 2).await;
    let first = &made["messages"][0];
    let refusal = r#"'refused', '{"code": 132001, "title": "No such template"}', now()"#;
    app.attempt(first, "outcome, refusal, posted_at", refusal)
        .await;
    app.set(
        &made,
        "status = 'stopped', reason = 'failure', work = 'done', due_at = NULL, ready_at = NULL, lane = ''",
    )
    .await;
    let stopped = app.get(&path(&made, "")).await.ok();
    assert_eq!(statuses(&stopped), ["failed", "cancelled"]);
    assert_eq!(stopped["messages"][0]["error"]["title"], "No such template");
    let id = first["id"].as_str().unwrap();
    app.act(&format!("/v1/messages/{id}/retry")).await.ok();
    let again = app.get(&path(&made, "")).await.ok();
    assert_eq!(again["status"], "running");
    assert_eq!(statuses(&again), ["queued", "queued"]);
}

#[tokio::test]
async fn a_cancelled_message_is_passed_over() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = app.sequence(&sender, 3).await;
    let cancel = async |n: usize| {
        let id = made["messages"][n]["id"].as_str().unwrap();
        app.act(&format!("/v1/messages/{id}/cancel")).await.ok()
    };
    cancel(1).await;
    assert_eq!(row(&app, &made).await.2, "-");
    cancel(0).await;
    let (work, head, lane, _) = row(&app, &made).await;
    assert_eq!((work.as_str(), head, lane.as_str()), ("ready", 1, ""));
    let shown = app.get(&path(&made, "")).await.ok();
    assert_eq!(statuses(&shown), ["cancelled", "cancelled", "queued"]);
    assert_eq!(shown["status"], "running");
}
