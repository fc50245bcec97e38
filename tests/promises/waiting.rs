//! What waits is measured as each message says it, within bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use twotick::clock::Clock;

use crate::support::*;

async fn measured(app: &App) -> BTreeMap<String, i64> {
    let counted = app.store.waiting_messages().await.unwrap();
    let counted = counted.expect("it was counted in time");
    counted.into_iter().filter(|(_, n)| *n > 0).collect()
}

#[tokio::test]
async fn the_measure_of_what_waits_says_what_each_message_says() {
    let app = App::start().await;
    let messages = json!([step("one"), step("two"), step("three")]);
    let three = json!({"sender": app.sender, "to": "447700900123", "messages": messages});
    let (_, posted) = app.sequence(three.clone()).await;
    app.accepted(&posted[0]).await;
    let (paused, ids) = app.sequence(three).await;
    app.accepted(&ids[0]).await;
    app.create(&format!("/v1/sequences/{paused}/pause"), json!({}))
        .await;
    let mut later = text(&app.sender, "447700900123", "later");
    later["at"] = "2099-01-01T00:00:00Z".into();
    app.create("/v1/messages", later).await;
    let mut later = template_step("open", "later");
    later["at"] = "2099-01-01T00:00:00Z".into();
    later["sender"] = app.sender.clone().into();
    later["to"] = "447700900123".into();
    app.create("/v1/messages", later).await;
    let stop = management_body(
        "message_template_status_update",
        T0,
        json!({"event": "PAUSED", "message_template_id": 7, "message_template_name": "offer",
            "message_template_language": "en_US", "reason": null}),
    );
    assert_eq!(app.webhook(&stop).await, StatusCode::OK);
    for _ in 0..2 {
        let mut stopped = template_step("offer", "x");
        stopped["sender"] = app.sender.clone().into();
        stopped["to"] = "447700900123".into();
        app.create("/v1/messages", stopped).await;
    }
    app.fence().await;

    let list = app.get("/v1/messages?limit=100").await;
    let mut said: BTreeMap<String, i64> = BTreeMap::new();
    for message in list["data"].as_array().unwrap() {
        if let Some(reason) = message["waiting"]["reason"].as_str() {
            *said.entry(reason.to_owned()).or_default() += 1;
        }
    }
    let expected = [
        ("gate", 2),
        ("paused", 2),
        ("schedule", 2),
        ("template_paused", 2),
    ];
    assert_eq!(
        said,
        expected.map(|(reason, n)| (reason.to_owned(), n)).into()
    );
    assert_eq!(measured(&app).await, said);
}

#[tokio::test]
async fn a_queue_of_any_length_is_counted_in_bounded_time_and_hides_no_other() {
    let app = App::start().await;
    let mut later = text(&app.sender, "447700900123", "later");
    later["at"] = "2099-01-01T00:00:00Z".into();
    app.create("/v1/messages", later).await;
    let mut session = app.session().await;
    // As many as nobody would read, in a lane of their own.
    sqlx::raw_sql(
        "INSERT INTO lanes (sender, lane, template_name, template_language)
         SELECT sender, 'long/en', 'long', 'en' FROM sequences;
         INSERT INTO templates (id, connection, name, language, sendable, created_at, updated_at)
         SELECT gen_random_uuid(), id, 'long', 'en', false, now(), now() FROM connections;
         INSERT INTO sequences (sender, id, length, due_at, ready_at, created_at, single, status,
                                work, lane, recipient, gate, on_failure)
         SELECT sender, gen_random_uuid(), 1, now(), now(), now(), true, 'running', 'ready',
                'long/en', '447700900123', gate, 'stop'
         FROM sequences, generate_series(1, 30000)",
    )
    .execute(&mut session)
    .await
    .unwrap();
    let counted = measured(&app).await;
    assert_eq!(counted["schedule"], 1);
    let long = counted["template_paused"];
    assert!((1_000..=10_000).contains(&long), "{long} were looked at");

    // Whatever holds it up, it ends.
    sqlx::raw_sql("BEGIN; LOCK TABLE sequences IN ACCESS EXCLUSIVE MODE")
        .execute(&mut session)
        .await
        .unwrap();
    let began = Clock::system().monotonic();
    assert!(app.store.waiting_messages().await.unwrap().is_none());
    assert!(began.elapsed() < Duration::from_secs(5));
}
