//! Locks are taken in one order by everybody. Each test holds a lock that comes early in it, waits
//! until the service waits for it, and sees that the service has nothing that comes later: had it,
//! whoever goes by the order would now wait for it in turn, until Postgres finds the deadlock.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use twotick::model::ids::SenderId;
use twotick::model::provider::Provider;
use twotick::store::leases::Lease;

use crate::races::{
    accepted, first_claim, hold_attempt, lost, two_steps, uuid_of, without_answers,
};
use crate::support::*;

/// Locks one row. Whether it could: somebody else may have it.
async fn lock(session: &mut PgConnection, table: &str, condition: &str) -> bool {
    let sql = format!("SELECT FROM {table} WHERE {condition} FOR NO KEY UPDATE SKIP LOCKED");
    let locked = sqlx::query(AssertSqlSafe(sql)).execute(session).await;
    locked.unwrap().rows_affected() == 1
}

/// Waits until somebody waits for this session.
async fn waited_for(app: &App, session: &mut PgConnection) {
    let me: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(session)
        .await
        .unwrap();
    let mut looking = app.session().await;
    let waiting = async {
        loop {
            let waits = "SELECT EXISTS (SELECT FROM pg_stat_activity
                         WHERE $1 = ANY (pg_blocking_pids(pid)))";
            let waits = sqlx::query_scalar(waits).bind(me);
            if waits.fetch_one(&mut looking).await.unwrap() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(in_time.is_ok(), "nobody ever waited");
}

#[tokio::test]
async fn who_gives_up_a_claim_waits_for_its_attempt_and_holds_no_sequence() {
    let app = App::start().await;
    let (sequence, messages) = app.sequence(two_steps(&app)).await;
    let wamid = app.accepted(&messages[0]).await;
    let mut session = app.session().await;
    sqlx::query("UPDATE attempts SET outcome = NULL, accepted_at = NULL")
        .execute(&mut session)
        .await
        .unwrap();
    let mut webhook = session.begin().await.unwrap();
    hold_attempt(&mut webhook, &wamid).await;
    // Its owner died, and nobody knows of an answer.
    sqlx::query(
        "UPDATE sequences SET work = 'claimed', claim_epoch = 0, deadline_at = NULL,
                              due_at = NULL, claim_until = now() - interval '1 hour'",
    )
    .execute(&mut app.session().await)
    .await
    .unwrap();
    let sender: SenderId = app.sender.parse().unwrap();
    let lease = Lease {
        sender,
        connection: app.connection.parse().unwrap(),
        provider: Provider::Meta,
        epoch: 1,
        messages_per_second: 1,
        is_red: false,
    };
    let store = app.store.clone();
    let giving_up =
        tokio::spawn(async move { store.give_up_claims(&lease, PATIENCE).await.unwrap() });
    waited_for(&app, &mut webhook).await;
    let condition = format!("id = '{}'", uuid_of(&sequence));
    assert!(lock(&mut webhook, "sequences", &condition).await);
    webhook.commit().await.unwrap();
    giving_up.await.unwrap();
    app.get_until(
        &format!("/v1/messages/{}/history", messages[0]),
        |history| {
            let events = history["data"].as_array().unwrap();
            events
                .iter()
                .any(|event| event["type"] == "message.unknown")
        },
    )
    .await;
}

#[tokio::test]
async fn templates_are_locked_in_the_order_of_their_ids_whatever_a_webhook_names_first() {
    let app = App::start().await;
    // After a word on its status the service would lock a template to read it.
    let said = |name: &str, score: &str, time: i64| {
        json!({"id": WABA, "time": T0 + time, "changes": [{
            "field": "message_template_quality_update", "value": {
                "previous_quality_score": "UNKNOWN", "new_quality_score": score,
                "message_template_id": 1, "message_template_name": name,
                "message_template_language": "en_US"}}]})
    };
    let both = |names: [&str; 2], score: &str, time: i64| {
        let entries = names.map(|name| said(name, score, time));
        json!({"object": "whatsapp_business_account", "entry": entries})
    };
    let made = both(["one", "two"], "GREEN", 0);
    assert_eq!(app.webhook(&made).await, StatusCode::OK);
    let mut session = app.session().await;
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM templates ORDER BY id")
        .fetch_all(&mut session)
        .await
        .unwrap();
    for (n, score) in (1..).zip(["YELLOW", "RED"]) {
        let mut other = session.begin().await.unwrap();
        let (first, last) = (&names[0], &names[1]);
        assert!(lock(&mut other, "templates", &format!("name = '{first}'")).await);
        let named = if n == 1 {
            [&**last, first]
        } else {
            [&**first, last]
        };
        let changed = both(named, score, n);
        let meanwhile = async {
            waited_for(&app, &mut other).await;
            let free = lock(&mut other, "templates", &format!("name = '{last}'")).await;
            assert!(free, "{named:?}");
            other.rollback().await.unwrap();
        };
        let (answer, ()) = tokio::join!(app.webhook(&changed), meanwhile);
        assert_eq!(answer, StatusCode::OK);
    }
}

#[tokio::test]
async fn users_are_locked_in_one_order_whatever_is_said_of_them() {
    let app = App::start().await;
    let mut session = app.session().await;
    sqlx::query(
        "INSERT INTO recipients (sender, alias, marketing, marketing_at)
         SELECT id, unnest(ARRAY['1000', '15550190044']), 'resume', '2020-01-01' FROM senders",
    )
    .execute(&mut session)
    .await
    .unwrap();
    let stop = |user: serde_json::Value| {
        let mut item = user;
        item["category"] = "marketing_messages".into();
        item["value"] = "stop".into();
        item["timestamp"] = T0.into();
        item
    };
    // A name of one, and what another wants.
    let items = [
        stop(json!({"wa_id": "15550190044", "user_id": "US.7"})),
        stop(json!({"wa_id": "1000"})),
    ];
    let mut change = change(json!({"user_preferences": items}));
    change["field"] = "user_preferences".into();
    let said = body(&[change]);
    let mut other = session.begin().await.unwrap();
    assert!(lock(&mut other, "recipients", "alias = '1000'").await);
    let meanwhile = async {
        waited_for(&app, &mut other).await;
        assert!(lock(&mut other, "recipients", "alias = '15550190044'").await);
        other.rollback().await.unwrap();
    };
    let (answer, ()) = tokio::join!(app.webhook(&said), meanwhile);
    assert_eq!(answer, StatusCode::OK);
    let sender: SenderId = app.sender.parse().unwrap();
    for name in ["1000", "15550190044", "US.7"] {
        let said = app.store.marketing(sender, name).await.unwrap().unwrap();
        assert!(said.is_stopped(), "{name}");
    }
}

#[tokio::test]
async fn who_adopts_waits_for_no_user_while_it_holds_attempts() {
    let app = without_answers().await;
    let (sequence, messages, wamid) = lost(&app).await;
    app.say(&[status(&wamid, "sent", 0)]).await;
    let mut session = app.session().await;
    sqlx::query(
        "INSERT INTO recipients (sender, alias, marketing, marketing_at)
         SELECT id, '447700900123', 'resume', '2020-01-01' FROM senders",
    )
    .execute(&mut session)
    .await
    .unwrap();
    let mut webhook = session.begin().await.unwrap();
    assert!(lock(&mut webhook, "recipients", "alias = '447700900123'").await);
    let store = app.store.clone();
    let claim = first_claim(&app, &sequence, &messages[0]).await;
    let mut answer = accepted(&wamid);
    answer.wa_id = Some("447700900124".into());
    let answered =
        tokio::spawn(async move { store.record_accepted(&claim, &answer, LIFETIMES).await });
    waited_for(&app, &mut webhook).await;
    let condition = format!("sequence = '{}'", uuid_of(&sequence));
    assert!(lock(&mut webhook, "attempts", &condition).await);
    webhook.rollback().await.unwrap();
    answered.await.unwrap().unwrap();
    let learned: Option<String> = sqlx::query_scalar("SELECT leads_to FROM recipients")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(learned.as_deref(), Some("447700900124"));
}
