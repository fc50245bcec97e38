//! What a panic costs: one sender for as long as a lease, or a process that ends and says so, and
//! never a service that is half there.

use reqwest::Method;
use serde_json::json;
use sqlx::Connection as _;

use crate::provider::*;
use crate::support::*;

/// A message of its own text; returns its path.
async fn send_one(ground: &Ground, to: &Process, sender: &str, text: &str) -> String {
    let message = json!({
        "sender": sender, "to": "447700900123", "type": "text", "text": {"body": text},
    });
    let made = ground.send(to, Method::POST, "/v1/messages", message).await;
    format!("/v1/messages/{}", made["id"].as_str().unwrap())
}

#[tokio::test]
async fn a_claimer_that_breaks_down_is_replaced_and_other_senders_go_on() {
    let ground = Ground::prepare().await;
    let provider = Provider::start().await;
    let settings = [("SEND__LEASE_MS", "1500"), ("SEND__POST_TIMEOUT_MS", "700")];
    let mut service = ground.serve_with(&settings).await;
    let connection = ground.connect(&service, &provider.url).await;
    provider.post_webhooks_to(&service.url, &connection).await;
    let broken = ground.register(&service, &connection, "310022446680").await;
    let whole = ground.register(&service, &connection, "310022446681").await;
    // A rate that the schema forbids: how long until the next message of none a second?
    let mut session = ground.session().await;
    for sql in [
        "ALTER TABLE senders DROP CONSTRAINT senders_messages_per_second_check",
        "UPDATE senders SET messages_per_second = 0 WHERE phone_number_id = '310022446680'",
    ] {
        sqlx::raw_sql(sql).execute(&mut session).await.unwrap();
    }
    let waits = send_one(&ground, &service, &broken, "waits").await;
    until("its lease runs out", async || {
        let ended = "SELECT lease_until < clock_timestamp() FROM senders
            WHERE phone_number_id = '310022446680'";
        let ended: Option<bool> = sqlx::query_scalar(ended)
            .fetch_one(&mut session)
            .await
            .unwrap();
        ended.is_some_and(|ended| ended).then_some(())
    })
    .await;
    let delivered = |message: &serde_json::Value| message["delivered_at"].is_string();
    let goes = send_one(&ground, &service, &whole, "goes").await;
    ground.get_until(&service, &goes, delivered).await;
    let mend = "UPDATE senders SET messages_per_second = 1000";
    sqlx::raw_sql(mend).execute(&mut session).await.unwrap();
    ground.get_until(&service, &waits, delivered).await;
    assert_eq!(accepted_once(&provider.posts().await), 2);
    session.close().await.unwrap();
    service.signal("TERM").await;
    assert_eq!(service.ended().await, Some(0));
}

#[tokio::test]
async fn a_process_whose_manager_of_senders_breaks_down_ends_with_an_error() {
    let ground = Ground::prepare().await;
    // More slots than there can be.
    let settings = [("SEND__IN_FLIGHT", "9223372036854775807")];
    let mut service = ground.serve_with(&settings).await;
    let connection = ground.connect(&service, "http://127.0.0.1:9").await;
    ground.register(&service, &connection, "310022446680").await;
    assert_eq!(service.ended().await, Some(1));
}
