//! Webhooks and sequences under way while the database fails, and what must be true afterwards.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};
use twotick::clock::Clock;

use crate::ground::{Ground, PATIENCE, until};

/// Webhooks under way at once.
const POSTERS: usize = 6;
/// Messages of one sequence.
const STEPS: usize = 3;

/// What goes on until it is told to end.
pub struct Load {
    ground: Arc<Ground>,
    posters: Vec<JoinHandle<Vec<(usize, bool)>>>,
    next: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    answered: Arc<Answered>,
    sequences: usize,
    before: Level,
}

/// How webhooks were answered.
#[derive(Debug, Default)]
struct Answered {
    taken: AtomicUsize,
    refused: AtomicUsize,
    /// Those of the refused that the database could not commit.
    failed: AtomicUsize,
}

/// What the service has when it is at rest.
#[derive(Debug, Clone, Copy)]
struct Level {
    tasks: usize,
    connections: i64,
}

/// A webhook of somebody else's message, with two statuses.
fn body(n: usize) -> Value {
    let status = |word: &str| {
        json!({
            "id": format!("wamid.stranger.{n}"), "status": word, "timestamp": "1763769600",
            "recipient_id": "447700900123",
        })
    };
    json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{
        "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550142217", "phone_number_id": "310022446688199"},
            "statuses": [status("sent"), status("delivered")],
        },
    }]}]})
}

const CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'";

impl Load {
    /// Begins with webhooks, and with this many sequences.
    pub async fn begin(ground: Ground, sequences: usize) -> Self {
        let ground = Arc::new(ground);
        // A claim locks the sender's row, so that its claimer is there and counted. Whoever took
        // the sender has locked it as well, before anybody claims.
        until("the sender has its claimer", || async {
            ground
                .count(
                    "SELECT count(*) FROM senders
                     WHERE lease_owner IS NULL OR xmax = 0 OR xmax = xmin",
                )
                .await
                == 0
        })
        .await;
        let before = Level {
            tasks: ground.tasks(),
            // All that its pool may have, and this one that asks.
            connections: i64::from(crate::ground::settings().database.max_connections) + 1,
        };
        let mut load = Self {
            ground,
            posters: Vec::new(),
            next: Arc::default(),
            ended: Arc::default(),
            answered: Arc::default(),
            sequences: 0,
            before,
        };
        load.add_sequences(sequences).await;
        for _ in 0..POSTERS {
            load.posters.push(tokio::spawn(post(
                Arc::clone(&load.ground),
                Arc::clone(&load.next),
                Arc::clone(&load.ended),
                Arc::clone(&load.answered),
            )));
        }
        load
    }

    /// More of them.
    pub async fn add_sequences(&mut self, more: usize) {
        for n in self.sequences..self.sequences + more {
            let steps: Vec<_> = (0..STEPS)
                .map(|step| json!({"type": "text", "text": {"body": format!("{n}/{step}")}}))
                .collect();
            let sequence = json!({
                "sender": self.ground.sender, "to": format!("4477009{n:05}"), "messages": steps,
                "on_failure": "retry",
            });
            self.ground.create("/v1/sequences", sequence).await;
        }
        self.sequences += more;
    }

    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// Waits until this many more webhooks were answered 200.
    pub async fn goes_on(&self, n: usize) {
        grows(&self.answered.taken, n).await;
    }

    /// Waits until this many more webhooks were answered 503.
    pub async fn is_refused(&self, n: usize) {
        grows(&self.answered.refused, n).await;
    }

    /// Waits until every sequence is complete.
    pub async fn is_sent(&self) {
        every_sequence_is_complete(&self.ground, self.sequences).await;
    }

    /// How many webhooks were answered 200 so far.
    pub fn taken(&self) -> usize {
        self.answered.taken.load(Ordering::Relaxed)
    }

    /// How many webhooks the database could not commit so far.
    pub fn failed(&self) -> usize {
        self.answered.failed.load(Ordering::Relaxed)
    }

    /// Ends it. The provider posts again what was not answered 200, and some that was; then all
    /// that was promised is looked at.
    pub async fn end(self) {
        let ground = &self.ground;
        self.ended.store(true, Ordering::Relaxed);
        let mut posted = 0;
        let mut again = JoinSet::new();
        for poster in self.posters {
            let numbers = poster.await.unwrap();
            posted += numbers.len();
            again.spawn(post_again(Arc::clone(&self.ground), numbers));
        }
        again.join_all().await;
        assert!(posted > 0);
        every_webhook_is_there_once(ground, posted).await;
        every_sequence_is_complete(ground, self.sequences).await;
        nothing_was_posted_twice(ground, self.sequences).await;
        every_fact_is_there_once(ground).await;
        assert_eq!(ground.status("/health/ready").await, StatusCode::OK);
        nothing_leaks(ground, self.before).await;
    }
}

async fn grows(count: &AtomicUsize, n: usize) {
    let target = count.load(Ordering::Relaxed) + n;
    until("webhooks are answered so", || async {
        count.load(Ordering::Relaxed) >= target
    })
    .await;
}

async fn post(
    ground: Arc<Ground>,
    next: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    answered: Arc<Answered>,
) -> Vec<(usize, bool)> {
    let mut posted = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        let answer = ground.webhook(&body(n)).await;
        posted.push((n, answer.is_ok()));
        match answer {
            Ok(()) => answered.taken.fetch_add(1, Ordering::Relaxed),
            Err(why) => {
                // Not that it took too long: a busy machine is no conflict.
                let failed = usize::from(why.contains("could not commit"));
                answered.failed.fetch_add(failed, Ordering::Relaxed);
                answered.refused.fetch_add(1, Ordering::Relaxed)
            }
        };
        // The machine has more to do than this.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    posted
}

/// All that were refused, and some that were not.
async fn post_again(ground: Arc<Ground>, posted: Vec<(usize, bool)>) {
    let lost = posted.into_iter().filter(|(n, taken)| !taken || n % 9 == 0);
    for (n, _) in lost {
        until("a webhook is taken again", || async {
            ground.webhook(&body(n)).await.is_ok()
        })
        .await;
    }
}

async fn every_webhook_is_there_once(ground: &Ground, posted: usize) {
    let mut session = ground.session().await;
    let (messages, facts): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE a.delivered_at IS NOT NULL AND a.sent_at IS NOT NULL),
                coalesce(sum((SELECT count(*) FROM facts f
                     WHERE f.stream = a.sender AND f.subject = a.message)), 0)::bigint
         FROM attempts a WHERE a.provider_message_id LIKE 'wamid.stranger.%'",
    )
    .fetch_one(&mut session)
    .await
    .unwrap();
    let posted = i64::try_from(posted).unwrap();
    assert_eq!((messages, facts), (posted, 2 * posted));
    let not_applied = ground.count("SELECT count(*) FROM journal_problems");
    assert_eq!(
        not_applied.await,
        0,
        "the database's failures are not the webhooks'"
    );
}

async fn every_sequence_is_complete(ground: &Ground, sequences: usize) {
    let running = "SELECT count(*) FROM sequences WHERE status = 'running'";
    // However long it takes on a busy machine, as long as it goes on.
    let (mut facts, mut since) = (0, Clock::system().monotonic());
    while ground.count(running).await > 0 {
        let now = Clock::system().monotonic();
        match ground
            .count("SELECT count(*) FROM facts WHERE source <> 'webhook'")
            .await
        {
            more if more > facts => (facts, since) = (more, now),
            _ if now - since > PATIENCE => {
                panic!("still running: {:#?}", what_runs(ground).await)
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut session = ground.session().await;
    let ends: Vec<(String, Option<String>, i64)> =
        sqlx::query_as("SELECT status, reason, count(*) FROM sequences GROUP BY 1, 2")
            .fetch_all(&mut session)
            .await
            .unwrap();
    let sequences = i64::try_from(sequences).unwrap();
    assert_eq!(ends, [("completed".to_owned(), None, sequences)]);
}

/// Each sequence that runs, with its sender's lease and its attempts: what it waits for.
async fn what_runs(ground: &Ground) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT jsonb_build_object('now', clock_timestamp(), 'sequence', to_jsonb(q),
             'lease', s.lease_until, 'owner', s.lease_owner, 'status', s.status, 'attempts', (
                 SELECT jsonb_agg(to_jsonb(a)) FROM attempts a
                 WHERE a.sender = q.sender AND a.sequence = q.id))
         FROM sequences q JOIN senders s ON s.id = q.sender
         WHERE q.status = 'running'",
    )
    .fetch_all(&mut ground.session().await)
    .await
    .unwrap()
}

async fn nothing_was_posted_twice(ground: &Ground, sequences: usize) {
    let mut times: HashMap<String, usize> = HashMap::new();
    let posts = ground.posts().await;
    for post in posts.iter().filter(|post| post["wamid"].is_string()) {
        let text = post["body"]["text"]["body"].as_str().unwrap().to_owned();
        *times.entry(text).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "accepted twice: {twice:?}");
    assert_eq!(times.len(), sequences * STEPS);
    // What the provider saw, and what we say of it: one fact a refusal, however often it had to
    // be recorded.
    let refused = posts.iter().filter(|post| !post["wamid"].is_string());
    let refused = i64::try_from(refused.count()).unwrap();
    let told = ground.count("SELECT count(*) FROM facts WHERE type = 'message.refused'");
    assert_eq!(told.await, refused);
}

/// Also our own: what was recorded again because nobody said that it had been.
async fn every_fact_is_there_once(ground: &Ground) {
    // An attempt that is unknown, and then known not to have been taken, is released again and may
    // be unknown again.
    let twice = "SELECT count(*) FROM (
        SELECT FROM facts WHERE n > 0
        GROUP BY stream, subject, n
        HAVING count(*) FILTER (WHERE type = 'message.accepted') > 1
            OR count(*) FILTER (WHERE type = 'message.unknown')
                > count(*) FILTER (WHERE type = 'message.released')) AS twice";
    assert_eq!(ground.count(twice).await, 0, "an own fact is there twice");
    let released = "SELECT count(*) FROM (
        SELECT FROM facts WHERE n > 0
        GROUP BY stream, subject, n
        HAVING count(*) FILTER (WHERE type = 'message.released') > 0
            AND count(*) FILTER (WHERE type = 'message.released')
                <> 1 + count(*) FILTER (WHERE type = 'message.returned' OR
                    (type = 'message.refused' AND data ->> 'next_attempt_at' IS NOT NULL))
        ) AS wrong";
    assert_eq!(
        ground.count(released).await,
        0,
        "each release but the last was returned"
    );
    let completed = "SELECT count(*) FROM facts WHERE type = 'sequence.completed'";
    let sequences = "SELECT count(*) FROM sequences";
    assert_eq!(ground.count(completed).await, ground.count(sequences).await);
}

async fn nothing_leaks(ground: &Ground, before: Level) {
    ground.stop_simulator();
    // One more looks after the idle connections to the provider, since the first of them.
    let most = before.tasks + 1;
    let waiting = async {
        while ground.tasks() > most {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        panic!(
            "{} tasks, {most} would do; sessions: {:#?}",
            ground.tasks(),
            sessions(ground).await
        );
    }
    until("the connections are no more than the pool's", || async {
        ground.count(CONNECTIONS).await <= before.connections
    })
    .await;
}

/// What the service's sessions do.
async fn sessions(ground: &Ground) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT concat_ws(' ', pid, state, clock_timestamp() - state_change, wait_event, query)
         FROM pg_stat_activity
         WHERE datname = current_database() AND backend_type = 'client backend'",
    )
    .fetch_all(&mut ground.session().await)
    .await
    .unwrap()
}
