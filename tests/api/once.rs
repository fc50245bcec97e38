//! Requests that their callers named by an `Idempotency-Key` are done once.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{Answer, App, connection, send, text};

const MESSAGES: &str = "/v1/messages";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn message(sender: &str, body: &str) -> Value {
    let mut new = text(body);
    new["sender"] = sender.into();
    new["to"] = "447700900123".into();
    new
}

async fn post(app: &App, key: &str, path: &str, body: &Value) -> Answer {
    send(app.once(key, path, body)).await
}

async fn rows(app: &App, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(count));
    count.fetch_one(&app.pool).await.unwrap()
}

fn is_replayed(answer: &Answer) -> bool {
    match answer.headers.get("idempotency-replayed") {
        Some(value) => value == "true",
        None => false,
    }
}

/// Whether `second` is `first`, told again.
#[track_caller]
fn assert_again(first: &Answer, second: &Answer) {
    assert!(first.status.is_success(), "{first:?}");
    assert!(!is_replayed(first) && is_replayed(second), "{second:?}");
    assert_eq!(first.status, second.status);
    assert_eq!(first.body, second.body);
    for same in ["content-type", "content-length"] {
        assert_eq!(first.headers[same], second.headers[same]);
    }
}

#[tokio::test]
async fn the_same_request_again_gets_the_first_answer_again() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = message(&sender, "hello");
    let first = post(&app, "order-1001", MESSAGES, &new).await;
    // What becomes of the message changes nothing in what was answered.
    let columns = "provider_message_id, outcome, accepted_at";
    app.attempt(&first.body, columns, "'wamid.1', 'accepted', now()")
        .await;
    let second = post(&app, "order-1001", MESSAGES, &new).await;
    assert_again(&first, &second);
    assert_eq!(second.body["status"], "queued");
    assert_eq!(rows(&app, "messages").await, 1);
    let other = post(&app, "order-1002", MESSAGES, &new).await.ok();
    assert_ne!(other["id"], first.body["id"]);
}

#[tokio::test]
async fn whatever_makes_or_changes_something_does_it_once() {
    let app = App::start().await;
    let twice = async |path: &str, body: Value| {
        let first = post(&app, "1", path, &body).await;
        assert_again(&first, &post(&app, "1", path, &body).await);
        first.body
    };
    let connection = twice("/v1/connections", connection()).await;
    let new = json!({"connection": connection["id"], "phone_number_id": "1"});
    let sender = twice("/v1/senders", new).await;
    let sender = sender["id"].as_str().unwrap();
    let messages: Vec<_> = ["1", "2"].map(text).into();
    let new = json!({"sender": sender, "to": "447700900123", "messages": messages});
    let sequence = twice("/v1/sequences", new).await;
    let path = format!("/v1/sequences/{}", sequence["id"].as_str().unwrap());
    let more = json!({"messages": [text("3")]});
    let appended = twice(&format!("{path}/messages"), more).await;
    assert_eq!(appended["messages"].as_array().unwrap().len(), 3);
    let paused = twice(&format!("{path}/pause"), Value::Null).await;
    assert_eq!(paused["status"], "paused");
    twice(&format!("{path}/resume"), Value::Null).await;
    // A sequence that has gone on is not paused by the same word again.
    let again = post(&app, "1", &format!("{path}/pause"), &Value::Null).await;
    assert!(is_replayed(&again));
    assert_eq!(again.body, paused);
    assert_eq!(app.get(&path).await.ok()["status"], "running");
    app.set(
        &sequence,
        "status = 'held', reason = 'unknown', work = 'waiting', lane = '', due_at = NULL, ready_at = NULL",
    )
    .await;
    twice(&format!("{path}/retry"), Value::Null).await;
    twice(&format!("{path}/cancel"), Value::Null).await;
    let lone = twice(MESSAGES, message(sender, "hello")).await;
    let cancel = format!("{MESSAGES}/{}/cancel", lone["id"].as_str().unwrap());
    twice(&cancel, Value::Null).await;
    assert_eq!(rows(&app, "connections").await, 1);
    assert_eq!(rows(&app, "senders").await, 1);
    assert_eq!(rows(&app, "sequences").await, 2);
    assert_eq!(rows(&app, "messages").await, 4);
}

#[tokio::test]
async fn a_message_is_retried_once() {
    let app = App::start().await;
    let sender = app.sender().await;
    let made = app.post(MESSAGES, message(&sender, "hello")).await.ok();
    let failed = "outcome, posted_at, accepted_at, failed_at, failed_code";
    let values = "'accepted', now(), now(), now(), 131026";
    app.attempt(&made, failed, values).await;
    sqlx::query(
        "UPDATE sequences SET status = 'completed', work = 'done', head = 2, due_at = NULL, ready_at = NULL, lane = ''",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let retry = format!("{MESSAGES}/{}/retry", made["id"].as_str().unwrap());
    let first = post(&app, "1", &retry, &Value::Null).await;
    // By another name it is another request, and there is nothing to retry any more.
    assert_again(&first, &post(&app, "1", &retry, &Value::Null).await);
    post(&app, "2", &retry, &Value::Null)
        .await
        .is(409, "not_failed");
    assert_eq!(app.facts_of(&made).await, ["message.retrying"]);
}

#[tokio::test]
async fn the_same_request_at_the_same_time_is_done_once() {
    let app = App::start().await;
    let sender = app.sender().await;
    for round in 0..20 {
        let (key, new) = (format!("order-{round}"), message(&sender, "hello"));
        let same = std::iter::repeat_with(|| app.once(&key, MESSAGES, &new));
        let answers = at_once(same).await;
        let first = answers.iter().find(|answer| !is_replayed(answer)).unwrap();
        let again: Vec<_> = answers.iter().filter(|a| is_replayed(a)).collect();
        assert_eq!(again.len(), answers.len() - 1);
        for second in again {
            assert_again(first, second);
        }
        assert_eq!(rows(&app, "messages").await, round + 1);
        assert_eq!(rows(&app, "idempotency_keys").await, round + 1);
    }
}

#[tokio::test]
async fn of_other_requests_at_the_same_time_one_gets_the_key() {
    let app = App::start().await;
    let sender = app.sender().await;
    for round in 0..20 {
        let key = format!("order-{round}");
        let other = |n: u32| app.once(&key, MESSAGES, &message(&sender, &n.to_string()));
        let answers = at_once((0..).map(other)).await;
        let (made, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 202);
        assert_eq!(made.len(), 1);
        for answer in refused {
            answer.is(409, "idempotency_conflict");
        }
        assert_eq!(rows(&app, "messages").await, round + 1);
    }
}

/// What twenty at the same time are answered.
async fn at_once(requests: impl Iterator<Item = RequestBuilder>) -> Vec<Answer> {
    let asking: Vec<_> = requests
        .take(20)
        .map(|one| tokio::spawn(send(one)))
        .collect();
    let mut answers = Vec::new();
    for answer in asking {
        answers.push(answer.await.unwrap());
    }
    answers
}

#[tokio::test]
async fn a_key_names_one_request_of_one_caller_at_one_address() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = message(&sender, "hello");
    let first = post(&app, "1", MESSAGES, &new).await.ok();
    post(&app, "1", MESSAGES, &message(&sender, "good bye"))
        .await
        .is(409, "idempotency_conflict");
    // The same to us, and yet not the same bytes.
    let spaced = serde_json::to_string_pretty(&new).unwrap();
    post_as(&app, &app.key, "1", spaced)
        .await
        .is(409, "idempotency_conflict");
    assert_eq!(rows(&app, "messages").await, 1);

    let other = app.store.create_admin_key("another").await.unwrap();
    let other = post_as(&app, other.expose_secret(), "1", new.to_string()).await;
    assert!(!is_replayed(&other));
    assert_ne!(other.ok()["id"], first["id"]);
    let sequence = json!({"sender": sender, "to": "447700900123", "messages": [text("1")]});
    let sequence = post(&app, "1", "/v1/sequences", &sequence).await;
    assert!(!is_replayed(&sequence));
    assert_eq!(sequence.status, 202);
    for sequence in [
        app.sequence(&sender, 1).await,
        app.sequence(&sender, 1).await,
    ] {
        let pause = format!("/v1/sequences/{}/pause", sequence["id"].as_str().unwrap());
        let paused = post(&app, "1", &pause, &Value::Null).await.ok();
        assert_eq!(paused["id"], sequence["id"]);
    }
}

async fn post_as(app: &App, api_key: &str, key: &str, body: String) -> Answer {
    let request = app.request(Method::POST, MESSAGES).bearer_auth(api_key);
    send(request.header("idempotency-key", key).body(body)).await
}

#[tokio::test]
async fn what_was_refused_leaves_its_key_free() {
    let app = App::start().await;
    let sender = app.sender().await;
    let free = async || assert_eq!(rows(&app, "idempotency_keys").await, 0);
    // Refused by the transaction itself, after it had taken the key.
    for _ in 0..2 {
        let nobody = message("snd_aaaaaaa", "hello");
        post(&app, "1", MESSAGES, &nobody).await.names("sender");
        free().await;
    }
    let nowhere = json!({"connection": "con_aaaaaaaaaaaaaaaaaaaaaaaaaa", "phone_number_id": "1"});
    post(&app, "1", "/v1/senders", &nowhere)
        .await
        .names("connection");
    free().await;
    let sequence = app.sequence(&sender, 1).await;
    let path = format!("/v1/sequences/{}", sequence["id"].as_str().unwrap());
    post(&app, "1", &format!("{path}/retry"), &Value::Null)
        .await
        .is(409, "not_held");
    free().await;
    // And before.
    post(&app, "1", MESSAGES, &json!({})).await.names("sender");
    free().await;
    let made = post(&app, "1", MESSAGES, &message(&sender, "hello")).await;
    assert_eq!(made.status, 202);
}

#[tokio::test]
async fn what_the_database_could_not_do_leaves_its_key_free() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = message(&sender, "hello");
    let alter = async |sql: &'static str| sqlx::query(sql).execute(&app.pool).await.unwrap();
    // The answer cannot be kept: so nothing was done either.
    alter("ALTER TABLE idempotency_keys ADD CONSTRAINT broken CHECK (answer IS NULL)").await;
    post(&app, "1", MESSAGES, &new).await.is(500, "internal");
    for table in ["messages", "sequences", "idempotency_keys"] {
        assert_eq!(rows(&app, table).await, 0, "{table}");
    }
    alter("ALTER TABLE idempotency_keys DROP CONSTRAINT broken").await;
    let first = post(&app, "1", MESSAGES, &new).await;
    assert_again(&first, &post(&app, "1", MESSAGES, &new).await);
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = message(&sender, "hello");
    let first = post(&app, "1", MESSAGES, &new).await;
    app.clock.advance(DAY - Duration::from_secs(60));
    app.store.forget_idempotency_keys().await.unwrap();
    assert_again(&first, &post(&app, "1", MESSAGES, &new).await);
    app.clock.advance(Duration::from_secs(60));
    // Its time is over, though it has not been deleted; and it may name another request then.
    let other = message(&sender, "good bye");
    let later = post(&app, "1", MESSAGES, &other).await;
    assert_ne!(later.body["id"], first.body["id"]);
    assert_again(&later, &post(&app, "1", MESSAGES, &other).await);
    app.store.forget_idempotency_keys().await.unwrap();
    assert_eq!(rows(&app, "idempotency_keys").await, 1);
    app.clock.advance(DAY);
    app.store.forget_idempotency_keys().await.unwrap();
    assert_eq!(rows(&app, "idempotency_keys").await, 0);
}

#[tokio::test]
async fn all_old_keys_are_deleted_however_many() {
    let app = App::start().await;
    sqlx::query(
        "INSERT INTO idempotency_keys (api_key, created_at, endpoint, key, digest, answer)
         SELECT gen_random_uuid(), now() - interval '24 hours', '', n::text, sha256(''), ''
         FROM generate_series(1, 2500) n",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    app.store.forget_idempotency_keys().await.unwrap();
    assert_eq!(rows(&app, "idempotency_keys").await, 0);
}

#[tokio::test]
async fn a_key_is_1_to_255_visible_characters() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = message(&sender, "hello");
    let longest = "k".repeat(255);
    assert_eq!(post(&app, &longest, MESSAGES, &new).await.status, 202);
    for key in ["", "a key", "schl\u{fc}ssel", &"k".repeat(256)] {
        let refused = post(&app, key, MESSAGES, &new).await;
        refused.names("Idempotency-Key");
    }
    let two = app.request(Method::POST, MESSAGES).bearer_auth(&app.key);
    let two = two.header("idempotency-key", "1");
    send(two.header("idempotency-key", "2").json(&new))
        .await
        .names("Idempotency-Key");
    assert_eq!(rows(&app, "messages").await, 1);
}
