//! The feed: every fact once, in an order that a follower can trust.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::support::App;

async fn fact(connection: &mut PgConnection, key: &str) {
    sqlx::query(
        "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
         SELECT id, gen_random_uuid(), '00000000-0000-0000-0000-000000000000', now(),
                'inbound.text', $1, 'webhook', jsonb_build_object('key', $1)
         FROM senders",
    )
    .bind(key)
    .execute(connection)
    .await
    .unwrap();
}

/// The keys of all facts behind a place, page by page, and the place behind them.
async fn follow(app: &App, limit: u16, mut after: Option<String>) -> (Vec<String>, String) {
    let mut keys = Vec::new();
    loop {
        let place = after
            .map(|after| format!("&after={after}"))
            .unwrap_or_default();
        let page = app
            .get(&format!("/v1/events?limit={limit}{place}"))
            .await
            .ok();
        let next = page["next_cursor"].as_str().unwrap().to_owned();
        let data = page["data"].as_array().unwrap();
        keys.extend(
            data.iter()
                .map(|e| e["data"]["key"].as_str().unwrap().to_owned()),
        );
        let full = data.len() == usize::from(limit);
        assert_eq!(page["has_more"], full, "nothing narrows it");
        if !full {
            return (keys, next);
        }
        after = Some(next);
    }
}

/// Follows until as many facts have come as are expected: transactions of other tests, in other
/// databases of the server, may keep them back for a while.
async fn expect(app: &App, limit: u16, after: Option<String>, expected: &[&str]) -> String {
    let (mut keys, mut place) = follow(app, limit, after).await;
    let coming = async {
        while keys.len() < expected.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let (more, next) = follow(app, limit, Some(place.clone())).await;
            keys.extend(more);
            place = next;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), coming).await;
    assert!(in_time.is_ok(), "{expected:?} never came: {keys:?}");
    assert_eq!(keys, expected);
    place
}

#[tokio::test]
async fn a_fact_that_commits_late_is_never_skipped() {
    let app = App::start().await;
    app.sender().await;
    let mut early = app.pool.begin().await.unwrap();
    fact(&mut early, "began first, commits last").await;
    let mut late = app.pool.acquire().await.unwrap();
    for n in 0..3 {
        fact(&mut late, &n.to_string()).await;
    }
    let (keys, place) = follow(&app, 2, None).await;
    assert_eq!(
        keys, [""; 0],
        "nothing that could still get a fact before it"
    );
    early.commit().await.unwrap();
    let all = ["began first, commits last", "0", "1", "2"];
    let place = expect(&app, 2, Some(place), &all).await;
    fact(&mut late, "3").await;
    expect(&app, 2, Some(place), &["3"]).await;
    expect(&app, 1, None, &[&all[..], &["3"]].concat()).await;
    app.get("/v1/events?after=x").await.names("after");
}

#[tokio::test]
async fn what_is_rare_is_found_far_behind_and_no_request_looks_at_everything() {
    let app = App::start().await;
    let sender = app.sender().await;
    let mut session = app.pool.acquire().await.unwrap();
    fact(&mut session, "first").await;
    // Of another type, all of one transaction.
    sqlx::query(
        "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
         SELECT s.id, gen_random_uuid(), '00000000-0000-0000-0000-000000000000', now(),
                'webhook.other', n::text, 'webhook', '{}'
         FROM senders s, generate_series(1, 60000) n",
    )
    .execute(&mut *session)
    .await
    .unwrap();
    fact(&mut session, "last").await;
    app.events_until("/v1/events?type=inbound.*", |events| !events.is_empty())
        .await;
    for narrowed in [
        "type=inbound.text",
        "type=inbound.*",
        &format!("sender={sender}&type=inbound.text"),
    ] {
        let first = app.get(&format!("/v1/events?{narrowed}")).await.ok();
        assert_eq!(first["data"][0]["data"]["key"], "first", "{narrowed}");
        assert_eq!(
            first["has_more"], true,
            "it ends where it was looked no further"
        );
        let after = first["next_cursor"].as_str().unwrap();
        // A page looks no further than it must.
        let path = format!("/v1/events?{narrowed}&after={after}");
        let rest = app.events_until(&path, |events| !events.is_empty()).await;
        assert_eq!(rest[0]["data"]["key"], "last");
        assert_eq!(
            (first["data"].as_array().unwrap().len(), rest.len()),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn a_database_that_was_restored_elsewhere_shows_its_history_and_goes_on_behind_it() {
    let app = App::start().await;
    app.sender().await;
    let mut session = app.pool.acquire().await.unwrap();
    for key in ["0", "1"] {
        fact(&mut session, key).await;
    }
    // The server it came from had counted further.
    let counted = "UPDATE facts SET xid = (xid::text::bigint + 1000000000)::text::xid8";
    sqlx::query(counted).execute(&mut *session).await.unwrap();
    app.start_another().await;
    fact(&mut session, "2").await;
    let seen = expect(&app, 2, None, &["0", "1", "2"]).await;
    let first = app.get("/v1/events?limit=1").await.ok();
    let first = first["next_cursor"].as_str().unwrap().to_owned();

    // The same of one that had been restored before. Followers go on from where they were.
    let counts_anew = "CREATE OR REPLACE FUNCTION feed_place(xid xid8) RETURNS xid8
                       LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN xid";
    sqlx::query(counts_anew)
        .execute(&mut *session)
        .await
        .unwrap();
    app.start_another().await;
    fact(&mut session, "3").await;
    expect(&app, 2, Some(seen), &["3"]).await;
    expect(&app, 2, Some(first), &["1", "2", "3"]).await;
    let lag = app.store.standing().await.unwrap().unshown_since;
    assert!(lag.is_none(), "{lag:?}");

    // To an older moment of its own: its followers are ahead of it.
    let ahead = expect(&app, 2, None, &["0", "1", "2", "3"]).await;
    sqlx::query("DELETE FROM facts WHERE key = '3'")
        .execute(&mut *session)
        .await
        .unwrap();
    sqlx::query("SELECT restart_feed()")
        .execute(&mut *session)
        .await
        .unwrap();
    fact(&mut session, "4").await;
    expect(&app, 2, Some(ahead), &["4"]).await;
}

/// Where the feed has the first transaction of all: at the beginning, until it is restarted.
async fn beginning(session: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT feed_place('3')::text::bigint - 3")
        .fetch_one(session)
        .await
        .unwrap()
}

/// A server that was made for the database may count only a little lower than its followers have
/// come, and behind the last fact all the same.
#[tokio::test]
async fn a_database_that_was_moved_is_known_by_its_server_and_goes_on_behind_what_was_shown() {
    let app = App::start().await;
    app.sender().await;
    let mut session = app.pool.acquire().await.unwrap();
    fact(&mut session, "0").await;
    let seen = expect(&app, 2, None, &["0"]).await;
    // The same server, or a standby of it.
    app.start_another().await;
    assert_eq!(beginning(&mut session).await, 0);

    let elsewhere = "UPDATE feed_server SET system_identifier = system_identifier + 1";
    let moved = sqlx::query(elsewhere).execute(&mut *session).await.unwrap();
    assert_eq!(moved.rows_affected(), 1);
    tokio::join!(app.start_another(), app.start_another());
    let restarted = beginning(&mut session).await;
    assert!(restarted > 1_000_000_000_000_000, "{restarted}");
    fact(&mut session, "1").await;
    expect(&app, 2, Some(seen), &["1"]).await;
    app.start_another().await;
    assert_eq!(beginning(&mut session).await, restarted, "once");
}

#[tokio::test]
async fn a_server_that_does_not_say_which_it_is_is_served_all_the_same() {
    let app = App::start().await;
    let mut session = app.pool.acquire().await.unwrap();
    let known: i64 = sqlx::query_scalar("SELECT system_identifier FROM feed_server")
        .fetch_one(&mut *session)
        .await
        .unwrap();
    // Nobody but a superuser may ask, and the service is none.
    let refuse = "
        REVOKE ALL ON FUNCTION pg_control_system() FROM PUBLIC;
        DO $$ BEGIN
            EXECUTE format('REVOKE ALL ON FUNCTION pg_control_system() FROM %I', current_user);
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'asks_nothing') THEN
                EXECUTE format('CREATE ROLE asks_nothing IN ROLE %I', current_user);
            END IF;
        END $$";
    sqlx::raw_sql(refuse).execute(&mut *session).await.unwrap();
    app.start_another_as("asks_nothing").await;
    let still: i64 = sqlx::query_scalar("SELECT system_identifier FROM feed_server")
        .fetch_one(&mut *session)
        .await
        .unwrap();
    assert_eq!((still, beginning(&mut session).await), (known, 0));
}

#[tokio::test]
async fn an_event_says_what_it_is_about() {
    let app = App::start().await;
    let sender = app.sender().await;
    let sequence = app.sequence(&sender, 2).await;
    let id = sequence["id"].as_str().unwrap();
    app.act(&format!("/v1/sequences/{id}/pause")).await.ok();
    let message = &sequence["messages"][0];
    app.attempt(message, "provider_message_id", "'wamid.1'")
        .await;
    sqlx::query(
        "INSERT INTO facts (stream, n, id, subject, received_at, type, key, source, data)
         SELECT sender, n, gen_random_uuid(), message, now(), 'message.accepted', '', 'answer', '{}'
         FROM attempts",
    )
    .execute(&app.pool)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
         SELECT stream, gen_random_uuid(), '00000000-0000-0000-0000-000000000000', now(),
                'webhook.other', '', 'webhook', '{\"field\": \"flows\"}'
         FROM connections",
    )
    .execute(&app.pool)
    .await
    .unwrap();

    let all = async |query: String| {
        let page = app.get(&format!("/v1/events?{query}")).await.ok();
        page["data"].as_array().unwrap().clone()
    };
    app.events_until("/v1/events", |events| events.len() >= 3)
        .await;
    let one = async |query: &str| {
        let found = all(query.to_owned()).await;
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        found[0].clone()
    };
    let paused = one("type=sequence.paused").await;
    assert_eq!(
        (&paused["subject"], &paused["sender"]),
        (&sequence["id"], &json!(sender))
    );
    assert_eq!(paused["source"], "api");
    let accepted = one("type=message.accepted,message.expired").await;
    assert_eq!(accepted["subject"], message["id"]);
    assert_eq!(accepted["attempt"], 1);
    assert_eq!(
        accepted["data"],
        json!({"provider_message_id": "wamid.1", "status": "accepted"})
    );
    let other = one("type=webhook.other").await;
    assert_eq!(
        (&other["subject"], &other["sender"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(other["connection"], paused["connection"]);

    assert_eq!(all(format!("sender={sender}")).await.len(), 2);
    let connection = paused["connection"].as_str().unwrap();
    assert_eq!(all(format!("connection={connection}")).await.len(), 3);
    let id = message["id"].as_str().unwrap();
    let history = app.get(&format!("/v1/messages/{id}/history")).await.ok();
    assert_eq!(history["data"], json!([accepted]));
}
