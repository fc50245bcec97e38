//! What a claim decides rests on what it has seen, and is written only of what is still so. Each test
//! holds back a claim that is being written, changes what it rests on, and lets it go.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Transaction};
use time::Duration;
use time::format_description::well_known::Rfc3339;

use crate::support::*;
use crate::users::USER;

/// Keeps claims from being written until it ends.
async fn hold_claims(session: &mut PgConnection) -> Transaction<'_, sqlx::Postgres> {
    let mut held = session.begin().await.unwrap();
    sqlx::query("SELECT FROM senders FOR UPDATE")
        .execute(&mut *held)
        .await
        .unwrap();
    held
}

/// Waits until one is being written.
async fn is_being_written(app: &App) {
    let mut looking = app.session().await;
    let waiting = async {
        loop {
            let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'
                    AND query LIKE '%claim: write%')";
            let waits = sqlx::query_scalar(waits);
            if waits.fetch_one(&mut looking).await.unwrap() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(in_time.is_ok(), "no claim was ever written");
}

/// A message that is due in a moment, before which claims can be held.
async fn soon(app: &App) -> String {
    let at = app.clock.now() + Duration::milliseconds(300);
    let mut message = text(&app.sender, USER, "old");
    message["at"] = at.format(&Rfc3339).unwrap().into();
    let made = app.create("/v1/messages", message).await;
    format!("/v1/messages/{}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn what_is_edited_while_its_claim_is_written_goes_as_edited() {
    let app = App::start().await;
    let message = soon(&app).await;
    let mut session = app.session().await;
    let held = hold_claims(&mut session).await;
    is_being_written(&app).await;
    let new = json!({"text": {"body": "new"}});
    let (status, answer) = app.send(Method::PATCH, &message, new).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    held.commit().await.unwrap();
    app.posts_until(1).await;
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await), ["new"]);
}

#[tokio::test]
async fn what_is_cancelled_while_its_claim_is_written_is_not_posted() {
    let app = App::start().await;
    let message = soon(&app).await;
    let mut session = app.session().await;
    let held = hold_claims(&mut session).await;
    is_being_written(&app).await;
    let cancel = format!("{message}/cancel");
    let (status, answer) = app.send(Method::POST, &cancel, Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{answer:#}");
    held.commit().await.unwrap();
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await), Vec::<String>::new());
    assert_eq!(app.get(&message).await["status"], "cancelled");
}

#[tokio::test]
async fn what_arrives_while_its_gates_deadline_is_written_opens_the_gate() {
    let app = App::start().await;
    let gate = json!({"status": "delivered", "deadline": "1s", "on_deadline": "stop"});
    let (sequence, messages) = app
        .sequence(json!({
            "sender": app.sender, "to": USER, "gate": gate, "messages": [step("one"), step("two")],
        }))
        .await;
    let wamid = app.accepted(&messages[0]).await;
    // From then on the service knows whose webhooks these are.
    app.say(&[status(&wamid, "sent", 0)]).await;
    let mut session = app.session().await;
    let held = hold_claims(&mut session).await;
    is_being_written(&app).await;
    app.say(&[status(&wamid, "delivered", 1)]).await;
    held.commit().await.unwrap();
    app.posts_until(2).await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "two"]);
    let shown = app.get(&format!("/v1/sequences/{sequence}")).await;
    assert_eq!(shown["status"], "running", "{shown:#}");
}
