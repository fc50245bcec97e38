//! How things stand: what wakes somebody at night must be true.

use std::time::Duration;

use serde_json::json;

use crate::support::{App, uuid};

async fn is_late(app: &App) -> bool {
    let standing = app.store.standing().await.unwrap();
    standing.due_since.is_some()
}

/// Other tests write to the same server, for moments.
async fn until_all_is_shown(app: &App) {
    let shown = async {
        while app.store.standing().await.unwrap().unshown_since.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), shown).await;
    in_time.expect("what was committed is shown at last");
}

#[tokio::test]
async fn only_what_could_be_worked_on_is_called_late() {
    let app = App::start().await;
    let sender = app.sender().await;
    assert!(!is_late(&app).await);
    let template = json!({"type": "template",
        "template": {"name": "order_ready", "language": {"code": "en_US"}}});
    let new = json!({"sender": sender, "to": "1", "messages": [template]});
    let sequence = app.post("/v1/sequences", new).await.ok();
    app.set(&sequence, "lane = lane").await;
    assert!(is_late(&app).await, "it is due, and nobody takes it");

    let write = async |sql: &'static str| {
        let done = sqlx::query(sql).execute(&app.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1, "{sql}");
    };
    write("UPDATE senders SET status = 'blocked'").await;
    assert!(!is_late(&app).await, "the sender is blocked");
    write("UPDATE senders SET status = 'active'").await;
    write("UPDATE connections SET stopped_at = now(), stopped_reason = 'expired'").await;
    assert!(!is_late(&app).await, "the connection is stopped");
    // A decision needs no provider.
    app.set(&sequence, "lane = ''").await;
    assert!(is_late(&app).await);
    app.set(&sequence, "due_at = now() + interval '1 hour'")
        .await;
    assert!(!is_late(&app).await, "its time has not come");
    app.clock.advance(Duration::from_secs(3700));
    assert!(is_late(&app).await);
}

#[tokio::test]
async fn what_waits_for_a_person_and_what_the_feed_holds_back_is_counted() {
    let app = App::start().await;
    let sender = app.sender().await;
    for reason in ["unknown", "unknown", "deadline"] {
        let sequence = app.sequence(&sender, 1).await;
        let held = format!(
            "status = 'held', work = 'waiting', ready_at = NULL, due_at = NULL, \
                            reason = '{reason}'"
        );
        app.set(&sequence, &held).await;
    }
    let standing = app.store.standing().await.unwrap();
    let mut held = standing.held;
    held.sort();
    assert_eq!(
        held,
        [("deadline".to_owned(), 1), ("unknown".to_owned(), 2)]
    );
    assert_eq!(standing.senders_unowned, 1);
    until_all_is_shown(&app).await;

    // Somebody writes, and does not commit.
    let mut open = app.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()")
        .execute(&mut *open)
        .await
        .unwrap();
    let sequence = app.sequence(&sender, 1).await;
    app.act(&format!(
        "/v1/sequences/{}/cancel",
        sequence["id"].as_str().unwrap()
    ))
    .await
    .ok();
    assert!(
        !app.facts_of(&sequence).await.is_empty(),
        "{}",
        uuid(&sequence["id"])
    );
    assert!(app.store.standing().await.unwrap().unshown_since.is_some());
    open.rollback().await.unwrap();
    until_all_is_shown(&app).await;
}
