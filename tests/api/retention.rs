//! What was settled long ago goes, nothing else does, and who follows the feed from before is told.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use twotick::model::Timestamp;
use twotick::store::retention::Gone;

use crate::support::{App, send, text, uuid};

/// By then all that the tests make is old; what bears a later time is not.
fn cutoff(app: &App) -> Timestamp {
    app.clock.now() + time::Duration::minutes(30)
}

/// Makes the last fact of a subject as late as if it were said after the cutoff.
async fn say_late(app: &App, subject: Uuid) {
    let late = twotick::model::ids::first_at(app.clock.now() + time::Duration::hours(2));
    let late = Uuid::from_u128(late.as_u128() | (7 << 76) | subject.as_u128() & 0xffff);
    let made = sqlx::query(
        "INSERT INTO facts (stream, n, id, subject, received_at, type, key, source, data)
         SELECT sender, 1, $2, id, now(), 'message.read', '', 'webhook', '{}'
         FROM messages WHERE id = $1",
    )
    .bind(subject)
    .bind(late)
    .execute(&app.pool)
    .await
    .unwrap();
    assert_eq!(made.rows_affected(), 1);
}

/// A sequence of two, whose first message has been posted and told of.
async fn told(app: &App, sender: &str) -> Value {
    let sequence = app.sequence(sender, 2).await;
    let message = &sequence["messages"][0];
    app.attempt(
        message,
        "posted_at, outcome, accepted_at",
        "now(), 'accepted', now()",
    )
    .await;
    sqlx::query(
        "INSERT INTO facts (stream, n, id, subject, received_at, type, key, source, data)
         SELECT sender, 1, $2, id, now(), 'message.delivered', '', 'webhook', '{}'
         FROM messages WHERE id = $1",
    )
    .bind(uuid(&message["id"]))
    .bind(app.clock.new_id())
    .execute(&app.pool)
    .await
    .unwrap();
    sequence
}

const DONE: &str = "status = 'completed', work = 'done', due_at = NULL, ready_at = NULL, lane = ''";

/// Forgets once the feed shows all: transactions of other tests, in other databases of the server,
/// may keep it back for a while.
async fn forget(app: &App) -> Gone {
    let shown = async {
        while !sqlx::query_scalar::<_, bool>(
            "SELECT coalesce(bool_and(xid < pg_snapshot_xmin(pg_current_snapshot())), true)
             FROM facts",
        )
        .fetch_one(&app.pool)
        .await
        .unwrap()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), shown)
        .await
        .unwrap();
    app.store
        .forget_settled(cutoff(app))
        .await
        .unwrap()
        .unwrap()
}

async fn rows(app: &App, of: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {of}");
    let rows = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    rows.fetch_one(&app.pool).await.unwrap()
}

#[tokio::test]
async fn what_is_done_goes_after_its_time_and_what_is_not_done_or_was_said_since_stays() {
    let app = App::start().await;
    let sender = app.sender().await;
    let done = [told(&app, &sender).await, told(&app, &sender).await];
    for sequence in &done {
        app.set(sequence, DONE).await;
    }
    let undone = [
        ("", "paused_at = NULL"),
        (
            "held",
            "status = 'held', work = 'waiting', due_at = NULL, ready_at = NULL",
        ),
        ("paused", "status = 'paused', paused_at = now(), lane = '='"),
        ("waiting", "work = 'waiting', ready_at = NULL"),
    ];
    let mut kept = Vec::new();
    for (_, columns) in undone {
        let sequence = told(&app, &sender).await;
        app.set(&sequence, columns).await;
        kept.push(sequence);
    }
    let late = told(&app, &sender).await;
    app.set(&late, DONE).await;
    // A message that somebody else sent, and what a user wrote.
    sqlx::query(
        "INSERT INTO messages (sender, id, origin, created_at)
         SELECT id, $1, 'external', now() FROM senders",
    )
    .bind(app.clock.new_id())
    .execute(&app.pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
         SELECT id, $1, '00000000-0000-0000-0000-000000000000', now(), 'inbound.text', 'x',
                'webhook', '{}' FROM senders",
    )
    .bind(app.clock.new_id())
    .execute(&app.pool)
    .await
    .unwrap();
    say_late(&app, uuid(&late["messages"][0]["id"])).await;
    kept.push(late);
    let facts = rows(&app, "facts").await;

    let gone = forget(&app).await;
    assert_eq!((gone.sequences, gone.messages), (2, 5), "{gone:?}");
    assert_eq!(
        rows(&app, "facts").await,
        facts - i64::try_from(gone.facts).unwrap()
    );
    assert_eq!(gone.facts, 3);
    for sequence in &kept {
        let id = sequence["id"].as_str().unwrap();
        let shown = app.get(&format!("/v1/sequences/{id}")).await.ok();
        assert_eq!(shown["messages"].as_array().unwrap().len(), 2);
        let message = sequence["messages"][0]["id"].as_str().unwrap();
        let history = app
            .get(&format!("/v1/messages/{message}/history"))
            .await
            .ok();
        assert!(!history["data"].as_array().unwrap().is_empty());
    }
    for sequence in &done {
        let id = sequence["id"].as_str().unwrap();
        app.get(&format!("/v1/sequences/{id}"))
            .await
            .is(404, "not_found");
    }
    assert_eq!(rows(&app, "attempts").await, 5);
    assert_eq!(forget(&app).await, Gone::default());
}

#[tokio::test]
async fn a_campaign_goes_as_a_whole_when_it_has_ended_and_not_before() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = json!({"sender": sender, "name": "offer", "messages": [text("1")]});
    let campaign = app.post("/v1/campaigns", new).await.ok()["id"].clone();
    let sequence = told(&app, &sender).await;
    app.set(&sequence, &format!("{DONE}, variables = '{{}}'"))
        .await;
    sqlx::query("UPDATE sequences SET campaign = $1")
        .bind(uuid(&campaign))
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(forget(&app).await, Gone::default());
    let path = format!("/v1/campaigns/{}", campaign.as_str().unwrap());
    app.get(&path).await.ok();
    sqlx::query(
        "UPDATE campaigns SET status = 'completed', filled = true, done = true, open = false,
                              ended_at = now()",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    // Of one of its sequences something was said since.
    let late = told(&app, &sender).await;
    app.set(&late, DONE).await;
    app.set(&late, "status = 'stopped', reason = 'failed', head = 1")
        .await;
    sqlx::query("UPDATE sequences SET campaign = $1, variables = '{}' WHERE id = $2")
        .bind(uuid(&campaign))
        .bind(uuid(&late["id"]))
        .execute(&app.pool)
        .await
        .unwrap();
    say_late(&app, uuid(&late["messages"][0]["id"])).await;
    let gone = forget(&app).await;
    assert_eq!((gone.campaigns, gone.sequences), (1, 1));
    app.get(&path).await.is(404, "not_found");
    // Nobody would post it: there is nobody left who knows what.
    let retry = format!("/v1/sequences/{}/retry", late["id"].as_str().unwrap());
    app.act(&retry).await.is(409, "campaign_ended");
}

/// What the feed shows behind a cursor, once it shows so much.
async fn page(app: &App, query: &str, least: usize) -> Value {
    let path = format!("/v1/events?{query}");
    app.events_page(&path, |events| events.len() >= least).await
}

#[tokio::test]
async fn a_cursor_of_before_the_feed_is_told_where_it_begins_now() {
    let app = App::start().await;
    let sender = app.sender().await;
    let old = [told(&app, &sender).await, told(&app, &sender).await];
    let first = page(&app, "limit=1&type=message.*", 1).await;
    let passed = first["next_cursor"].as_str().unwrap().to_owned();
    // The second stays, with what is told of it, but lies before the beginning.
    app.set(&old[0], DONE).await;
    page(&app, "type=message.*", 2).await;
    let last = page(&app, "limit=500", 2).await["next_cursor"].clone();
    let last = last.as_str().unwrap();
    forget(&app).await;

    for path in ["events", "events/stream"] {
        let refused = app.get(&format!("/v1/{path}?after={passed}")).await;
        refused.is(410, "cursor_expired");
        let oldest = refused.body["oldest_cursor"].as_str().unwrap();
        app.get(&format!("/v1/events?after={oldest}")).await.ok();
    }
    let resumed = app
        .request(Method::GET, "/v1/events/stream")
        .bearer_auth(&app.key);
    let resumed = send(resumed.header("last-event-id", &passed)).await;
    resumed.is(410, "cursor_expired");
    // Who has seen all of what went goes on, and who begins now begins where it is whole.
    app.get(&format!("/v1/events?after={last}")).await.ok();
    let begun = app.get("/v1/events?type=message.delivered").await.ok();
    assert_eq!(begun["data"], json!([]));
    say_late(&app, uuid(&old[1]["messages"][0]["id"])).await;
    let new = page(&app, &format!("after={last}"), 1).await;
    assert_eq!(new["data"][0]["type"], "message.read");
    assert_eq!(page(&app, "", 1).await["data"], new["data"]);
}

#[tokio::test]
async fn a_stream_that_is_slower_than_events_are_forgotten_says_so_and_ends() {
    let app = App::start().await;
    app.sender().await;
    let stream = app.request(Method::GET, "/v1/events/stream");
    let mut stream = stream.bearer_auth(&app.key).send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    // More than is kept in memory, and more than lies in the sockets of who does not read.
    sqlx::query(
        "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
         SELECT s.id, gen_random_uuid(), gen_random_uuid(), now(), 'inbound.text', n::text,
                'webhook', json_build_object('text', repeat('x', 4000))
         FROM senders s, generate_series(1, 15000) n",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    // All of it has been read into memory once another has seen the last.
    let last = page(&app, "limit=1&type=inbound.text", 1).await;
    let after = last["next_cursor"].as_str().unwrap();
    let other = app.request(Method::GET, &format!("/v1/events/stream?after={after}"));
    let mut other = other.bearer_auth(&app.key).send().await.unwrap();
    let mut seen = 0;
    // What a piece ends with may be the beginning of what is counted.
    let mut rest = Vec::new();
    while seen < 14_999 {
        let piece = tokio::time::timeout(Duration::from_secs(20), other.chunk()).await;
        rest.extend_from_slice(&piece.unwrap().unwrap().unwrap());
        seen += rest.windows(6).filter(|bytes| *bytes == b"\ndata:").count();
        rest.drain(..rest.len().saturating_sub(5));
    }
    sqlx::query(
        "UPDATE retention SET begins =
             (SELECT (max(xid::text::bigint) + 1)::text::xid8 FROM facts)",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(20), stream.text());
    let rest = rest.await.unwrap().unwrap();
    let (_, end) = rest.rsplit_once("event: cursor_expired\n").unwrap();
    let said = end.trim().strip_prefix("data: ").unwrap();
    let said: Value = serde_json::from_str(said).unwrap();
    let oldest = said["oldest_cursor"].as_str().unwrap();
    app.get(&format!("/v1/events?after={oldest}")).await.ok();
}

#[tokio::test]
async fn one_instance_forgets_at_a_time() {
    let app = App::start().await;
    sqlx::query("UPDATE retention SET taken_until = now() + interval '1 minute'")
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(app.store.forget_settled(cutoff(&app)).await.unwrap(), None);
    // It died.
    sqlx::query("UPDATE retention SET taken_until = now() - interval '1 second'")
        .execute(&app.pool)
        .await
        .unwrap();
    forget(&app).await;
}

#[tokio::test]
async fn who_is_too_slow_to_forget_loses_its_turn_and_gives_nobody_elses_away() {
    let app = App::start().await;
    let sender = app.sender().await;
    for _ in 0..2 {
        let sequence = told(&app, &sender).await;
        app.set(&sequence, DONE).await;
    }
    // So many messages that each goes alone.
    sqlx::query("UPDATE sequences SET length = 1000, head = 1001")
        .execute(&app.pool)
        .await
        .unwrap();
    // Another takes its turn while it deletes the first.
    sqlx::query(
        "CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             UPDATE retention SET owner = '00000000-0000-0000-0000-000000000007';
             RETURN NULL; END $$",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    sqlx::query(
        "CREATE TRIGGER other AFTER DELETE ON sequences
         FOR EACH STATEMENT EXECUTE FUNCTION other()",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    assert_eq!(forget(&app).await.sequences, 1);
    let owner: Uuid = sqlx::query_scalar("SELECT owner FROM retention WHERE taken_until > now()")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(owner, Uuid::from_u128(7));
}

#[tokio::test]
async fn a_subscription_that_slept_too_long_goes_on_and_says_that_it_missed_something() {
    let app = App::start().await;
    let sender = app.sender().await;
    let resumed = async |path: &str| {
        for status in ["disabled", "active"] {
            let request = app.request(Method::PATCH, path).bearer_auth(&app.key);
            send(request.json(&json!({"status": status}))).await.ok();
        }
        let told: Value = sqlx::query_scalar(
            "SELECT data FROM facts WHERE type = 'subscription.resumed' ORDER BY id DESC LIMIT 1",
        )
        .fetch_one(&app.pool)
        .await
        .unwrap();
        told
    };
    let new = json!({"url": "https://example.com/hook"});
    let made = app.post("/v1/subscriptions", new).await.ok();
    let path = format!("/v1/subscriptions/{}", made["id"].as_str().unwrap());
    assert_eq!(resumed(&path).await, json!({}));
    let sequence = told(&app, &sender).await;
    app.set(&sequence, DONE).await;
    forget(&app).await;
    assert_eq!(resumed(&path).await, json!({"events_gone": true}));
}
