//! Promise 7 when a process is stalled for longer than its leases hold (SIGSTOP stands for a
//! paused machine, a swapped-out process, a long collection of a hypervisor): another takes over,
//! and the one that wakes up posts nothing for what it has lost.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use twotick::clock::Clock;
use twotick::model::ids::MessageId;

use crate::balancer::Balancer;
use crate::provider::*;
use crate::support::*;

const ROUNDS: usize = 10;
const SENDERS: usize = 2;
/// Sequences made right before each stall.
const SEQUENCES: usize = 16;
const STEPS: usize = 2;
/// Short, so that there may be many stalls.
const SETTINGS: [(&str, &str); 4] = [
    ("SEND__LEASE_MS", "1600"),
    ("SEND__POST_TIMEOUT_MS", "800"),
    ("SEND__ANSWER_TIMEOUT_MS", "8000"),
    ("SEND__UNKNOWN_AFTER_MS", "20000"),
];
/// A POST that comes so long after its claim is one that a stall held up. Stalls are longer.
const LATE: Duration = Duration::from_millis(1400);

/// Who owns which epoch of each sender, of leases that hold.
async fn epochs(session: &mut PgConnection) -> Vec<(uuid::Uuid, i64)> {
    sqlx::query_as(
        "SELECT lease_owner, lease_epoch FROM senders
         WHERE lease_until > clock_timestamp() ORDER BY id",
    )
    .fetch_all(session)
    .await
    .unwrap()
}

/// Waits until every sender is owned, by so many instances.
async fn owned_by(session: &mut PgConnection, n: usize) -> Vec<(uuid::Uuid, i64)> {
    until("the senders are owned", async || {
        let epochs = epochs(&mut *session).await;
        let mut owners: Vec<_> = epochs.iter().map(|(owner, _)| *owner).collect();
        owners.sort_unstable();
        owners.dedup();
        (epochs.len() == SENDERS && owners.len() == n).then_some(epochs)
    })
    .await
}

#[tokio::test]
async fn a_stalled_process_posts_nothing_for_senders_it_has_lost_and_works_on() {
    let clock = Clock::system();
    let ground = Ground::prepare().await;
    let provider = Provider::start().await;
    let started_at = clock.now();
    let balancer = Balancer::start().await;
    let instances = [
        ground.serve_with(&SETTINGS).await,
        ground.serve_with(&SETTINGS).await,
    ];
    balancer.set(&instances);
    let connection = ground.connect(&instances[0], &provider.url).await;
    provider.post_webhooks_to(&balancer.url, &connection).await;
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        let number = format!("31002244668{n}");
        senders.push(ground.register(&instances[0], &connection, &number).await);
    }
    let mut session = ground.session().await;
    for round in 0..ROUNDS {
        let before = owned_by(&mut session, 2).await;
        balancer.ready(2).await;
        let (stalled, awake) = (&instances[round % 2], &instances[(round + 1) % 2]);
        for n in 0..SEQUENCES {
            let sequence = sequence(&senders[n % SENDERS], round * SEQUENCES + n, STEPS);
            ground
                .send(awake, Method::POST, "/v1/sequences", sequence)
                .await;
        }
        // At another moment each time, always with POSTs under way.
        tokio::time::sleep(Duration::from_millis(round as u64 * 7)).await;
        stalled.signal("STOP").await;
        let after = owned_by(&mut session, 1).await;
        assert!(before.iter().zip(&after).any(|(b, a)| b.1 < a.1));
        stalled.signal("CONT").await;
    }
    owned_by(&mut session, 2).await;
    // Whatever was stalled knows what it did not post, and gives it back; and it hears late what
    // was answered. So nothing is unknown in the end.
    let page = ground
        .get_until(&instances[0], "/v1/sequences?limit=500", |page| {
            let mut sequences = page["data"].as_array().unwrap().iter();
            sequences.all(|sequence| sequence["status"] == "completed")
        })
        .await;
    let made = ROUNDS * SEQUENCES;
    assert_eq!(page["data"].as_array().unwrap().len(), made);
    let posts = provider.posts().await;
    assert_eq!(accepted_once(&posts), made * STEPS);
    assert_eq!(posts.len(), made * STEPS, "no POST was made twice");
    nothing_was_posted_late(&mut session, &posts, started_at).await;
}

/// When each attempt was claimed, and when its POST came.
async fn nothing_was_posted_late(
    session: &mut PgConnection,
    posts: &[Value],
    provider_started_at: OffsetDateTime,
) {
    let attempts: Vec<(String, OffsetDateTime)> =
        sqlx::query_as("SELECT provider_message_id, posted_at FROM attempts")
            .fetch_all(session)
            .await
            .unwrap();
    for (wamid, posted_at) in attempts {
        let post = posts.iter().find(|post| post["wamid"] == wamid.as_str());
        let came = Duration::from_micros(post.unwrap()["at_us"].as_u64().unwrap());
        let late = provider_started_at + came - posted_at;
        assert!(late < LATE, "{wamid} came {late} after its claim");
    }
}

#[tokio::test]
async fn a_process_stalled_in_the_middle_of_a_claim_does_not_keep_its_sender() {
    let ground = Ground::prepare().await;
    let provider = Provider::start().await;
    let stalled = ground.serve_with(&SETTINGS).await;
    let connection = ground.connect(&stalled, &provider.url).await;
    let sender = ground.register(&stalled, &connection, "310022446680").await;
    provider.post_webhooks_to(&stalled.url, &connection).await;
    let mut session = ground.session().await;
    until("the sender is owned", async || {
        (!epochs(&mut session).await.is_empty()).then_some(())
    })
    .await;
    // Its claim waits until there is a message, and then, with the sender's row locked, for an
    // attempt that somebody else is writing.
    let mut locking = ground.session().await;
    let mut gate = locking.begin().await.unwrap();
    sqlx::query("SELECT FROM senders FOR NO KEY UPDATE")
        .execute(&mut *gate)
        .await
        .unwrap();
    let message = json!({
        "sender": sender, "to": "447700900123", "type": "text", "text": {"body": "once"},
    });
    let message = ground
        .send(&stalled, Method::POST, "/v1/messages", message)
        .await;
    let id: MessageId = message["id"].as_str().unwrap().parse().unwrap();
    let mut writing = ground.session().await;
    let mut lock = writing.begin().await.unwrap();
    sqlx::query("INSERT INTO attempts (sender, message, n) VALUES ($1, $2, 1)")
        .bind(id.sender.0)
        .bind(id.uuid)
        .execute(&mut *lock)
        .await
        .unwrap();
    gate.rollback().await.unwrap();
    until("the claim waits", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND wait_event_type = 'Lock' AND query LIKE '%claim: write%'",
        )
        .fetch_one(&mut session)
        .await
        .unwrap();
        (waiting > 0).then_some(())
    })
    .await;
    stalled.signal("STOP").await;
    lock.rollback().await.unwrap();

    let awake = ground.serve_with(&SETTINGS).await;
    provider.post_webhooks_to(&awake.url, &connection).await;
    let path = format!("/v1/messages/{}", message["id"].as_str().unwrap());
    let sent = |message: &Value| message["delivered_at"].is_string();
    ground.get_until(&awake, &path, sent).await;
    stalled.signal("CONT").await;
    // It owns a sender again: it works on.
    ground.register(&stalled, &connection, "310022446681").await;
    owned_by(&mut session, 2).await;
    assert_eq!(provider.posts().await.len(), 1, "posted once");
}
