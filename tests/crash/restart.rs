//! A rolling restart: who is told to end, ends what is under way and lets go of the rest at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use sqlx::Connection as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use twotick::clock::Clock;

use crate::balancer::Balancer;
use crate::provider::*;
use crate::support::*;

const SENDERS: usize = 3;
const STEPS: usize = 3;
/// How soon the senders of one that ends must be somebody else's: not when their leases run out.
const HANDED_OVER: Duration = Duration::from_secs(6);
/// `http.shutdown_ms` here, and how long a busy machine may take beyond it.
const SHUTDOWN_MS: &str = "8000";
/// `http.drain_ms` here: what comes within it is answered.
const DRAIN_MS: &str = "1500";
const DRAIN: Duration = Duration::from_millis(1500);
const ENDED: Duration = Duration::from_secs(12);

/// Makes sequences through the balancer until told to stop; each of them is answered 202.
async fn make_sequences(
    ground: Arc<Ground>,
    url: String,
    senders: Vec<String>,
    made: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        let n = made.fetch_add(1, Ordering::Relaxed);
        let answer = ground
            .client
            .post(format!("{url}/v1/sequences"))
            .bearer_auth(&ground.key)
            .header("Idempotency-Key", format!("sequence-{n}"))
            .json(&sequence(&senders[n % SENDERS], n, STEPS))
            .send();
        assert_eq!(answer.await.unwrap().status(), StatusCode::ACCEPTED);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Clients that would wait for ever: one idle on an open connection, one in the middle of a head,
/// one in the middle of a body.
async fn slow_clients(ground: &Ground, process: &Process) -> Vec<TcpStream> {
    let body = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 1000\r\n\r\n{{",
        ground.key
    );
    let mut streams = Vec::new();
    let alive = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
    for said in [alive, "GET /health/live HTTP/1.1\r\nHo", &body] {
        let mut stream = TcpStream::connect(process.address()).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        streams.push(stream);
    }
    let mut answer = [0; 15];
    streams[0].read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    streams
}

/// How many senders are owned.
async fn owned(ground: &Ground) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM senders WHERE lease_until > clock_timestamp()")
        .fetch_one(&mut ground.session().await)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_rolling_restart_loses_nothing_repeats_nothing_and_resets_nobody() {
    let clock = Clock::system();
    let ground = Arc::new(Ground::prepare().await);
    // A lease so long that only a hand-over explains a new owner; a drain that a busy balancer
    // notices.
    let settings = [
        ("HTTP__SHUTDOWN_MS", SHUTDOWN_MS),
        ("HTTP__DRAIN_MS", DRAIN_MS),
        ("SEND__LEASE_MS", "15000"),
    ];
    let provider = Provider::start().await;
    let balancer = Balancer::start().await;
    let mut instances = Vec::new();
    for _ in 0..3 {
        instances.push(ground.serve_with(&settings).await);
    }
    balancer.set(&instances);
    let connection = ground.connect(&instances[0], &provider.url).await;
    provider.post_webhooks_to(&balancer.url, &connection).await;
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        let number = format!("31002244668{n}");
        senders.push(ground.register(&instances[0], &connection, &number).await);
    }
    balancer.ready(3).await;
    let (made, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let makers: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn(make_sequences(
                Arc::clone(&ground),
                balancer.url.clone(),
                senders.clone(),
                Arc::clone(&made),
                Arc::clone(&stop),
            ))
        })
        .collect();
    let mut drained_at = HashMap::new();
    for _ in 0..3 {
        until("all senders are owned", async || {
            (owned(&ground).await == SENDERS as i64).then_some(())
        })
        .await;
        let mut old = instances.remove(0);
        let _slow = slow_clients(&ground, &old).await;
        let signalled_at = clock.monotonic();
        old.signal("TERM").await;
        drained_at.insert(old.url.clone(), signalled_at + DRAIN);
        until("its senders are somebody else's", async || {
            let mut session = ground.session().await;
            let alive: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM senders s JOIN instances i ON i.id = s.lease_owner
                 WHERE s.lease_until > clock_timestamp()",
            )
            .fetch_one(&mut session)
            .await
            .unwrap();
            let instances: i64 = sqlx::query_scalar("SELECT count(*) FROM instances")
                .fetch_one(&mut session)
                .await
                .unwrap();
            (alive == SENDERS as i64 && instances == 2).then_some(())
        })
        .await;
        let took = signalled_at.elapsed();
        assert!(took < HANDED_OVER, "handed over after {took:?}");
        assert_eq!(old.ended().await, Some(0));
        let took = signalled_at.elapsed();
        assert!(took < ENDED, "ended after {took:?}");
        instances.push(ground.serve_with(&settings).await);
        balancer.set(&instances);
        balancer.ready(3).await;
    }
    stop.store(true, Ordering::Relaxed);
    for maker in makers {
        maker.await.unwrap();
    }
    let completed: i64 = i64::try_from(made.load(Ordering::Relaxed)).unwrap();
    until("all is sent", async || {
        let n: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sequences WHERE status = 'completed'")
                .fetch_one(&mut ground.session().await)
                .await
                .unwrap();
        (n == completed).then_some(())
    })
    .await;
    // What a balancer that is starved of CPU passes on later than that is broken off, and asked
    // again.
    for broken in balancer.broken() {
        let drained = drained_at.get(&broken.url);
        let late = drained.is_some_and(|drained_at| broken.begun >= *drained_at);
        assert!(late, "{} was reset: {}", broken.url, broken.why);
    }
    let posts = provider.posts().await;
    assert_eq!(accepted_once(&posts), made.load(Ordering::Relaxed) * STEPS);
    let unknown: i64 =
        sqlx::query_scalar("SELECT count(*) FROM attempts WHERE unknown_at IS NOT NULL")
            .fetch_one(&mut ground.session().await)
            .await
            .unwrap();
    assert_eq!(unknown, 0);
}

/// A signed webhook, as bytes on a connection.
fn request(connection: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST /webhooks/{connection} HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: {}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        signature(body.as_bytes()),
        body.len()
    )
    .into_bytes()
}

#[tokio::test]
async fn what_was_sent_before_the_signal_is_answered_and_a_second_signal_ends_all_at_once() {
    let ground = Ground::prepare().await;
    let mut process = ground.serve().await;
    let connection = ground.connect(&process, "http://127.0.0.1:9").await;
    let mut session = ground.session().await;
    let first = statuses_body([status("wamid.first", "sent")]);
    let answer = post_webhook(&ground.client, &process.url, &connection, &first).await;
    assert_eq!(answer, Some(StatusCode::OK));

    // Commits stand still while the signal comes.
    let mut lock = session.begin().await.unwrap();
    sqlx::query("LOCK TABLE facts IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let mut streams = Vec::new();
    for n in 0..20 {
        let webhook = statuses_body([status(&format!("wamid.{n}"), "sent")]);
        let mut stream = TcpStream::connect(process.address()).await.unwrap();
        stream
            .write_all(&request(&connection, &webhook))
            .await
            .unwrap();
        streams.push(stream);
    }
    process.signal("TERM").await;
    // Who still comes is told to go elsewhere.
    until("it says that it is not ready", async || {
        let asked = ground.client.get(format!("{}/health/ready", process.url));
        match asked.send().await {
            Ok(answer) => (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(()),
            Err(error) => panic!("{error:?}"),
        }
    })
    .await;
    lock.rollback().await.unwrap();
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    assert_eq!(process.ended().await, Some(0));

    let mut process = ground.serve_with(&[("HTTP__DRAIN_MS", "7000")]).await;
    process.signal("TERM").await;
    until("the first signal has come", async || {
        let ready = ground.client.get(format!("{}/health/ready", process.url));
        let status = ready.send().await.unwrap().status();
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(())
    })
    .await;
    let clock = Clock::system();
    let again_at = clock.monotonic();
    process.signal("INT").await;
    assert_eq!(process.ended().await, Some(130));
    assert!(again_at.elapsed() < Duration::from_secs(2));
}
