//! Promise 1 under load: who cannot be served in time is told so in time, and neither slow
//! commits nor busy API calls keep a webhook from being taken afterwards.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::PgConnection;
use tokio::task::JoinSet;
use twotick::config::Config;
use twotick::simulator;

use crate::support::*;

const DEADLINE: Duration = Duration::from_millis(800);
/// How long a busy machine may take beyond it.
const SLACK: Duration = Duration::from_secs(4);

async fn start(settings: impl FnOnce(&mut Config)) -> App {
    let with_deadline = |config: &mut Config| {
        config.ingest.deadline = DEADLINE;
        settings(config);
    };
    App::start_with(with_deadline, simulator::Config::default()).await
}

/// Posts webhooks of one status each at once; what came of each.
async fn post_all(app: &App, numbers: std::ops::Range<usize>) -> Vec<(usize, StatusCode)> {
    let mut posts = JoinSet::new();
    for n in numbers {
        let body = serde_json::to_vec(&statuses_body(&[status(&wamid(n), "sent", 0)])).unwrap();
        let request = app
            .request(Method::POST, &format!("/webhooks/{}", app.connection))
            .header("X-Hub-Signature-256", signature(SECRET, &body))
            .body(body);
        posts.spawn(async move {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            let retry = answer.headers().contains_key("retry-after");
            assert_eq!(retry, status == StatusCode::SERVICE_UNAVAILABLE);
            (n, status)
        });
    }
    posts.join_all().await
}

fn wamid(n: usize) -> String {
    format!("wamid.{n}")
}

/// Nothing else than these two is answered.
fn counts(answers: &[(usize, StatusCode)]) -> (usize, usize) {
    let count = |wanted| answers.iter().filter(|(_, s)| *s == wanted).count();
    let counts = (
        count(StatusCode::OK),
        count(StatusCode::SERVICE_UNAVAILABLE),
    );
    assert_eq!(counts.0 + counts.1, answers.len(), "{answers:?}");
    counts
}

async fn lock(session: &mut PgConnection, table: &str) {
    let lock = format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
    sqlx::query("BEGIN").execute(&mut *session).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(lock))
        .execute(session)
        .await
        .unwrap();
}

async fn unlock(session: &mut PgConnection) {
    sqlx::query("ROLLBACK").execute(session).await.unwrap();
}

#[tokio::test]
async fn while_commits_stand_still_webhooks_are_refused_in_time_and_taken_afterwards() {
    let app = start(|config| config.ingest.queue_webhooks = 4).await;
    let mut session = app.session().await;
    lock(&mut session, "facts").await;
    let began_at = app.clock.monotonic();
    let answers = post_all(&app, 0..40).await;
    assert!(began_at.elapsed() < DEADLINE + SLACK);
    assert_eq!(counts(&answers), (0, 40), "nothing was committed");
    unlock(&mut session).await;

    // The provider posts all of them again, also those that were committed after their 503.
    let mut open: Vec<usize> = (0..40).collect();
    while !open.is_empty() {
        let mut refused = Vec::new();
        for part in open.chunks(4) {
            for n in part {
                let answers = post_all(&app, *n..*n + 1).await;
                refused.extend(
                    answers
                        .iter()
                        .filter(|a| a.1 != StatusCode::OK)
                        .map(|a| a.0),
                );
            }
        }
        open = refused;
    }
    let facts: i64 = sqlx::query_scalar("SELECT count(*) FROM facts WHERE type = 'message.sent'")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(facts, 40, "each status is one fact");
}

#[tokio::test]
async fn what_is_answered_200_under_slow_commits_is_committed() {
    let app = start(|config| config.ingest.queue_webhooks = 16).await;
    let mut session = app.session().await;
    let mut taken = Vec::new();
    for round in 0..4 {
        lock(&mut session, "facts").await;
        let (answers, ()) = tokio::join!(post_all(&app, round * 20..round * 20 + 20), async {
            app.waiting_for_locks(1).await;
            unlock(&mut session).await;
        });
        taken.extend(
            answers
                .iter()
                .filter(|a| a.1 == StatusCode::OK)
                .map(|a| wamid(a.0)),
        );
        counts(&answers);
    }
    assert!(!taken.is_empty());
    let kept: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM attempts WHERE provider_message_id = ANY ($1) AND sent_at IS NOT NULL",
    )
    .bind(&taken)
    .fetch_one(&mut session)
    .await
    .unwrap();
    assert_eq!(kept, i64::try_from(taken.len()).unwrap());
}

#[tokio::test]
async fn a_look_up_that_hangs_is_within_the_deadline_too() {
    let app = start(|_| {}).await;
    let mut session = app.session().await;
    let connection = format!("/v1/connections/{}", app.connection);
    // A change makes the next webhook look its connection up.
    let (status, _) = app
        .send(Method::PATCH, &connection, json!({"verify_token": "other"}))
        .await;
    assert_eq!(status, StatusCode::OK);
    lock(&mut session, "connections").await;
    let began_at = app.clock.monotonic();
    let answers = post_all(&app, 0..3).await;
    assert_eq!(counts(&answers), (0, 3));
    assert!(began_at.elapsed() < DEADLINE + SLACK);
    unlock(&mut session).await;
    while counts(&post_all(&app, 0..3).await) != (3, 0) {}
}

#[tokio::test]
async fn calls_that_hold_all_their_connections_stop_neither_webhooks_nor_leases() {
    let lease = Duration::from_millis(3000);
    let app = start(|config| {
        config.ingest.deadline = Duration::from_secs(4);
        config.send.lease = lease;
        config.send.post_timeout = Duration::from_millis(700);
        // So long that only a connection of its own explains that somebody is served.
        config.database.acquire_timeout = Duration::from_secs(15);
        config.database.statement_timeout = Duration::from_secs(60);
    })
    .await;
    let later = json!({
        "sender": app.sender, "to": "447700900123",
        "messages": [step("one"), step("two")],
    });
    let (sequence, _) = app.sequence(later).await;
    app.posts_until(1).await;
    let mut session = app.session().await;
    sqlx::query("BEGIN").execute(&mut session).await.unwrap();
    sqlx::query("SELECT FROM sequences FOR UPDATE")
        .execute(&mut session)
        .await
        .unwrap();
    let mut calls = JoinSet::new();
    for _ in 0..30 {
        let pause = app.request(Method::POST, &format!("/v1/sequences/{sequence}/pause"));
        calls.spawn(pause.send());
    }
    app.waiting_for_locks(2).await;

    let end = async |session: &mut PgConnection| -> time::OffsetDateTime {
        sqlx::query_scalar("SELECT coalesce(lease_until, 'epoch') FROM senders")
            .fetch_one(session)
            .await
            .unwrap()
    };
    let mut looking = app.session().await;
    let before = end(&mut looking).await;
    let renewed = async {
        while end(&mut looking).await < before + lease * 2 {
            assert_eq!(counts(&post_all(&app, 0..5).await), (5, 0));
        }
    };
    let in_time = tokio::time::timeout(lease * 6, renewed).await;
    assert!(in_time.is_ok(), "the lease was not renewed");
    let ready = app.request(Method::GET, "/health/ready").send();
    assert_eq!(ready.await.unwrap().status(), StatusCode::OK);
    assert!(calls.try_join_next().is_none(), "the calls still wait");
    unlock(&mut session).await;
    for answer in calls.join_all().await {
        assert!(!answer.unwrap().status().is_server_error());
    }
}

#[tokio::test]
async fn a_webhook_of_a_hundred_thousand_facts_goes_on_when_it_is_posted_again() {
    const FACTS: usize = 100_000;
    let app = start(|config| {
        config.ingest.deadline = Duration::from_secs(8);
        config.http.max_body_bytes = 16 << 20;
    })
    .await;
    let statuses: Vec<_> = (0..FACTS)
        .map(|n| json!({"id": wamid(n), "status": "sent", "timestamp": T0.to_string()}))
        .collect();
    let big = serde_json::to_vec(&statuses_body(&statuses)).unwrap();
    let signed = signature(SECRET, &big);
    let (times, is_taken) = (AtomicUsize::new(0), AtomicBool::new(false));
    let taken = async {
        while app.webhook_bytes(&big, Some(&signed)).await != StatusCode::OK {
            times.fetch_add(1, Ordering::Relaxed);
        }
        is_taken.store(true, Ordering::Relaxed);
    };
    // Others are served between its parts.
    let others = async {
        for n in 0..20 {
            let other = statuses_body(&[status(&format!("wamid.other.{n}"), "sent", 0)]);
            while app.webhook(&other).await != StatusCode::OK {}
        }
        is_taken.load(Ordering::Relaxed)
    };
    let both = async { tokio::join!(taken, others) };
    let in_time = tokio::time::timeout(Duration::from_secs(300), both).await;
    let ((), was_taken) = in_time.unwrap_or_else(|_| panic!("not taken: {times:?} times"));
    assert!(
        !was_taken,
        "it held the others up until it was there itself"
    );
    let facts: i64 = sqlx::query_scalar("SELECT count(*) FROM facts WHERE type = 'message.sent'")
        .fetch_one(&mut app.session().await)
        .await
        .unwrap();
    assert_eq!(facts, i64::try_from(FACTS).unwrap() + 20);
}

#[tokio::test]
async fn requests_that_wait_take_no_more_places_than_they_may() {
    let app = start(|config| config.http.max_waits = 1).await;
    let mut later = text(&app.sender, "447700900123", "later");
    later["at"] = "2099-01-01T00:00:00Z".into();
    let made = app.create("/v1/messages", later).await;
    let path = format!("/v1/messages/{}", made["id"].as_str().unwrap());
    let wait = |word: &str, time: &str| {
        app.request(Method::GET, &format!("{path}?wait={word}&timeout={time}"))
            .send()
    };
    let mut waits: JoinSet<_> = [wait("delivered", "60s"), wait("delivered", "60s")]
        .into_iter()
        .collect();
    let full = tokio::time::timeout(PATIENCE, waits.join_next()).await;
    let full = full.unwrap().unwrap().unwrap().unwrap();
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.headers()["retry-after"], "1");
    // Who does not wait is answered, and who waits gets its answer.
    assert_eq!(app.get(&path).await["status"], "queued");
    app.create(&format!("{path}/cancel"), json!({})).await;
    let held = waits.join_next().await.unwrap().unwrap().unwrap();
    let held: serde_json::Value = held.json().await.unwrap();
    assert_eq!(held["status"], "cancelled");
    assert_eq!(
        wait("delivered", "60s").await.unwrap().status(),
        StatusCode::OK
    );
}
