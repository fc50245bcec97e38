//! Webhooks: fail closed, and 200 only for what is committed.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, send, sign};

fn delivered(id: &str) -> String {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "204", "changes": [{
        "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550142217", "phone_number_id": "310"},
            "statuses": [{"id": id, "status": "delivered", "timestamp": "1750000000",
                          "recipient_id": "447700900123"}],
        },
    }]}]})
    .to_string()
}

async fn stored(app: &App) -> i64 {
    sqlx::query_scalar("SELECT coalesce(sum(webhooks), 0) FROM journal")
        .fetch_one(&app.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_handshake_is_answered_only_with_the_right_token() {
    let app = App::start().await;
    let connection = app.connection().await;
    let ask = async |connection: &str, query: &str| {
        let path = format!("/webhooks/{connection}?{query}");
        send(app.request(Method::GET, &path)).await
    };
    let right = "hub.mode=subscribe&hub.verify_token=a%20verify%20token&hub.challenge=0123";
    let answer = ask(&connection, right).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body),
        (200, &json!("0123"))
    );
    let wrong = "hub.mode=subscribe&hub.verify_token=b&hub.challenge=1";
    ask(&connection, wrong).await.is(403, "forbidden");
    ask(&connection, "").await.names("hub.mode");
    let no_challenge = "hub.mode=subscribe&hub.verify_token=a%20verify%20token";
    ask(&connection, no_challenge).await.names("hub.challenge");
    let unknown = "con_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    ask(unknown, right).await.is(404, "not_found");
}

#[tokio::test]
async fn what_did_not_prove_whose_it_is_stores_nothing() {
    let app = App::start().await;
    let connection = app.connection().await;
    let body = delivered("wamid.1");
    let unsigned = app.request(Method::POST, &format!("/webhooks/{connection}"));
    send(unsigned.body(body.clone()))
        .await
        .is(401, "unauthorized");
    let other = sign("another body");
    app.webhook(&connection, &body, &other)
        .await
        .is(401, "unauthorized");
    let unknown = "con_aaaaaaaaaaaaaaaaaaaaaaaaaa";
    app.webhook(unknown, &body, &sign(&body))
        .await
        .is(404, "not_found");
    app.webhook("con", &body, &sign(&body))
        .await
        .is(404, "not_found");
    let large = " ".repeat(4 * 1024 * 1024 + 1);
    let large = app.webhook(&connection, &large, &sign(&large)).await;
    large.is(413, "payload_too_large");
    assert_eq!(stored(&app).await, 0);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_committed_is_asked_for_again() {
    let app = App::start().await;
    let connection = app.connection().await;
    let body = delivered("wamid.1");
    // Seen once, so that its secrets are known when the database goes away.
    app.webhook(&connection, &body, "sha256=")
        .await
        .is(401, "unauthorized");
    app.store.close().await;
    let answer = app.webhook(&connection, &body, &sign(&body)).await;
    answer.is(503, "overloaded");
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_committed_webhook_is_answered_200_with_an_empty_body_and_can_be_read() {
    let app = App::start().await;
    let connection = app.connection().await;
    let body = delivered("wamid.1");
    let answer = app.webhook(&connection, &body, &sign(&body)).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, json!("")));

    let list = app.get("/v1/webhooks?state=applied").await.ok();
    let shown = &list["data"][0];
    assert_eq!(shown["connection"], connection);
    assert_eq!(shown["events"], 1);
    assert_eq!(shown["bytes"], body.len());
    let one = app
        .get(&format!("/v1/webhooks/{}", shown["id"].as_str().unwrap()))
        .await
        .ok();
    assert_eq!(one["body"], body);
    assert_eq!(one["body_encoding"], "text");
    assert_eq!(one["headers"]["x-hub-signature-256"], sign(&body));
    assert_eq!(
        app.get("/v1/webhooks?state=undecoded").await.ok()["data"],
        json!([])
    );
    let now = twotick::model::rfc3339(app.clock.now() + std::time::Duration::from_secs(1));
    assert_eq!(
        app.get(&format!("/v1/webhooks?since={now}")).await.ok()["data"],
        json!([])
    );
    let until = app.get(&format!("/v1/webhooks?until={now}")).await.ok();
    assert_eq!(until["data"].as_array().unwrap().len(), 1);

    // Nobody here posted it: an external message, found by the provider's id.
    let found = app
        .get("/v1/messages?provider_message_id=wamid.1")
        .await
        .ok();
    let message = &found["data"][0];
    assert_eq!(message["origin"], "external");
    assert_eq!(message["status"], "delivered");
    assert_eq!(message["delivered_at"], "2025-06-15T15:06:40.000Z");
    assert_eq!(message["sequence"], Value::Null);
    let id = message["id"].as_str().unwrap();
    app.act(&format!("/v1/messages/{id}/cancel"))
        .await
        .is(409, "already_sent");
    let history = app.get(&format!("/v1/messages/{id}/history")).await.ok();
    assert_eq!(history["data"][0]["type"], "message.delivered");
    assert_eq!(history["data"][0]["data"]["provider_message_id"], "wamid.1");
}

#[tokio::test]
async fn webhooks_are_forgotten_by_whole_days_when_their_time_is_over() {
    let app = App::start().await;
    let connection = app.connection().await;
    let post = async |id: &str| {
        app.store.make_journal_partitions().await;
        let body = delivered(id);
        let answer = app.webhook(&connection, &body, &sign(&body)).await;
        assert_eq!(answer.status, 200);
    };
    let day = Duration::from_secs(86_400);
    post("wamid.first").await;
    app.clock.advance(10 * day);
    post("wamid.second").await;
    app.store.forget_webhooks(10).await.unwrap();
    assert_eq!(stored(&app).await, 2, "ten days ago is within ten days");
    app.clock.advance(day);
    post("wamid.third").await;

    // A dump reads all that the journal has; a webhook comes meanwhile.
    let mut dump = app.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM journal")
        .execute(&mut *dump)
        .await
        .unwrap();
    assert!(app.store.forget_webhooks(10).await.is_err());
    post("wamid.fourth").await;
    assert_eq!(stored(&app).await, 4, "nobody waits for the dump to end");
    dump.rollback().await.unwrap();

    app.store.forget_webhooks(10).await.unwrap();
    assert_eq!(stored(&app).await, 3);
    // What it said is known all the same.
    let said = "SELECT count(*) FROM facts WHERE type = 'message.delivered'";
    let said: i64 = sqlx::query_scalar(said).fetch_one(&app.pool).await.unwrap();
    assert_eq!(said, 4);
}

#[tokio::test]
async fn however_much_came_without_a_partition_is_forgotten_when_its_time_is_over() {
    let app = App::start().await;
    // More than are deleted at once, of a day long ago.
    for made in [
        "INSERT INTO journal (id, webhooks, connections, directory, bodies)
         SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, '{}', '', ''
         FROM generate_series(1, 2500) n",
        "INSERT INTO journal_problems (webhook, connection, state, reason)
         SELECT id, id, 'undecoded', '' FROM journal",
    ] {
        sqlx::query(made).execute(&app.pool).await.unwrap();
    }
    // One is being deleted by another instance.
    let mut other = app.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM journal_rest ORDER BY id LIMIT 1 FOR UPDATE")
        .execute(&mut *other)
        .await
        .unwrap();
    app.store.forget_webhooks(10).await.unwrap();
    assert_eq!(stored(&app).await, 1, "nobody waits for the other");
    other.rollback().await.unwrap();
    app.store.forget_webhooks(10).await.unwrap();
    assert_eq!(stored(&app).await, 0);
    let problems = "SELECT count(*) FROM journal_problems";
    let problems: i64 = sqlx::query_scalar(problems)
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(problems, 0);
}
