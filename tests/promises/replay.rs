//! Promise 3: what could not be understood, or written, can be replayed. A replay has the effect of
//! once, says who asked, and sends nothing.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::*;

/// As if an earlier version had not understood any of these webhooks.
async fn forget(app: &App) {
    sqlx::raw_sql(
        "INSERT INTO journal_problems (webhook, connection, state, reason)
         SELECT DISTINCT f.webhook, c.id, 'undecoded', 'an earlier version'
         FROM facts f, connections c WHERE f.webhook IS NOT NULL;
         DELETE FROM facts WHERE webhook IS NOT NULL;
         DELETE FROM attempts; DELETE FROM messages",
    )
    .execute(&mut app.session().await)
    .await
    .unwrap();
}

/// Posts what no provider would.
async fn signed(app: &App, body: &[u8]) {
    let signature = signature(SECRET, body);
    assert_eq!(
        app.webhook_bytes(body, Some(&signature)).await,
        StatusCode::OK
    );
}

/// The ids of the webhooks in a state, newest first.
async fn webhooks(app: &App, state: &str) -> Vec<String> {
    let page = app.get(&format!("/v1/webhooks?state={state}")).await;
    let page = page["data"].as_array().unwrap();
    page.iter()
        .map(|webhook| webhook["id"].as_str().unwrap().to_owned())
        .collect()
}

/// Events that webhooks brought, once there are as many, without what says when they were read.
async fn said(app: &App, n: usize) -> Vec<Value> {
    let of_webhooks = |page: &Value| -> Vec<Value> {
        let events = page["data"].as_array().unwrap().iter();
        let said = events.filter(|event| event["source"] == "webhook");
        said.map(|e| json!([e["type"], e["data"], e["webhook"], e["received_at"]]))
            .collect()
    };
    let wanted = |page: &Value| of_webhooks(page).len() >= n;
    let mut said = of_webhooks(&app.get_until("/v1/events?limit=500", wanted).await);
    said.sort_by_key(Value::to_string);
    said
}

#[tokio::test]
async fn what_an_earlier_version_did_not_understand_is_understood_by_a_replay() {
    let app = App::start().await;
    for n in 0..3 {
        app.say(&[status(&format!("wamid.{n}"), "delivered", n)])
            .await;
    }
    let first = said(&app, 3).await;
    forget(&app).await;
    let [newest, _, oldest] = webhooks(&app, "undecoded").await.try_into().unwrap();

    let path = format!("/v1/webhooks/{newest}/replay");
    let (status, one) = app.send(Method::POST, &path, Value::Null).await;
    assert_eq!((status, &one["state"]), (StatusCode::OK, &json!("applied")));
    assert_eq!(one["reason"], Value::Null);
    let page = "/v1/webhooks/replay?state=undecoded&limit=1";
    let (_, page) = app.send(Method::POST, page, Value::Null).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = format!("/v1/webhooks/replay?state=undecoded&limit=1&cursor={cursor}");
    let (_, page) = app.send(Method::POST, &next, Value::Null).await;
    assert_eq!(
        (&page["data"][0]["id"], &page["data"][0]["state"]),
        (&json!(oldest), &json!("applied"))
    );

    assert!(webhooks(&app, "undecoded").await.is_empty());
    let again = said(&app, 3).await;
    assert_eq!(again, first, "as if it had been understood at once");
    let asked = app
        .get_until("/v1/events?type=webhooks.replayed", |page| {
            page["data"].as_array().unwrap().len() == 3
        })
        .await;
    let asked = asked["data"].as_array().unwrap();
    assert_eq!(asked[0]["data"]["webhooks"], json!([newest]));
    assert!(
        asked[0]["data"]["by"]
            .as_str()
            .unwrap()
            .starts_with("API key ")
    );
}

#[tokio::test]
async fn a_replay_of_what_was_applied_changes_and_sends_nothing() {
    let app = App::start().await;
    let message = text(&app.sender, "447700900123", "hello");
    let message = app.create("/v1/messages", message).await;
    let message = message["id"].as_str().unwrap().to_owned();
    let wamid = app.accepted(&message).await;
    app.say(&[status(&wamid, "delivered", 1)]).await;
    app.events(4).await;
    let posts = app.posts().await.len();
    let (before, shown) = (
        said(&app, 1).await,
        app.get(&format!("/v1/messages/{message}")).await,
    );
    for _ in 0..2 {
        let (status, page) = app
            .send(Method::POST, "/v1/webhooks/replay", Value::Null)
            .await;
        assert_eq!(
            (status, page["data"].as_array().unwrap().len()),
            (StatusCode::OK, 1)
        );
    }
    assert_eq!(app.posts().await.len(), posts);
    app.fence().await;
    // Whatever came before the fence is in the feed when that is.
    app.get_until("/v1/events?type=message.accepted", |page| {
        page["data"].as_array().unwrap().len() == 2
    })
    .await;
    assert_eq!(said(&app, 1).await, before);
    assert_eq!(app.get(&format!("/v1/messages/{message}")).await, shown);
    assert_eq!(app.posts().await.len(), posts + 1, "the fence alone");
}

#[tokio::test]
async fn what_can_not_be_understood_yet_stays_so_with_its_reason_once() {
    let app = App::start().await;
    signed(&app, b"{\"entry\": 7}").await;
    app.say(&[status("wamid.well", "sent", 0)]).await;
    let before = app.get("/v1/webhooks?state=undecoded").await;
    for _ in 0..2 {
        let (_, page) = app
            .send(Method::POST, "/v1/webhooks/replay", Value::Null)
            .await;
        assert_eq!(page["data"][1], before["data"][0]);
    }
    assert_eq!(app.get("/v1/webhooks?state=undecoded").await, before);
}

#[tokio::test]
async fn what_the_database_refused_is_written_by_a_replay() {
    let app = App::start().await;
    let mut session = app.session().await;
    crate::refusals::refuse(&mut session, "refused").await;
    let mut one = status("wamid.one", "sent", 0);
    one["recipient_participant_id"] = "refused".into();
    app.say(&[one, status("wamid.two", "sent", 0)]).await;
    let [marked] = webhooks(&app, "not_applied").await.try_into().unwrap();
    let path = format!("/v1/webhooks/{marked}/replay");
    let refusal = app.get(&format!("/v1/webhooks/{marked}")).await["reason"].clone();
    let (_, again) = app.send(Method::POST, &path, Value::Null).await;
    assert_eq!(
        (&again["state"], &again["reason"]),
        (&json!("not_applied"), &refusal)
    );

    sqlx::raw_sql("DROP TRIGGER refuse ON facts")
        .execute(&mut session)
        .await
        .unwrap();
    let (_, again) = app.send(Method::POST, &path, Value::Null).await;
    assert_eq!(again["state"], "applied");
    assert_eq!(said(&app, 2).await.len(), 2);
}

#[tokio::test]
async fn the_command_line_replays_all_that_is_not_understood() {
    let app = App::start().await;
    for n in 0..3 {
        app.say(&[status(&format!("wamid.{n}"), "delivered", n)])
            .await;
    }
    signed(&app, b"no JSON").await;
    let first = said(&app, 3).await;
    forget(&app).await;
    let sum = app.command(&["replay", "--by", "the night shift"]).await;
    assert_eq!(sum, "applied: 3, undecoded: 1, not applied: 0\n");
    assert_eq!(said(&app, 3).await, first);
    let asked = app
        .get_until("/v1/events?type=webhooks.replayed", |page| {
            !page["data"].as_array().unwrap().is_empty()
        })
        .await;
    assert_eq!(
        asked["data"][0]["data"]["by"],
        "twotick replay, the night shift"
    );
}

/// Rows of these tables that name somebody.
async fn named(app: &App, name: &str) -> i64 {
    let count = "SELECT (SELECT count(*) FROM facts f WHERE strpos(f::text, $1) > 0)
                      + (SELECT count(*) FROM messages m WHERE strpos(m::text, $1) > 0)
                      + (SELECT count(*) FROM recipients r WHERE strpos(r::text, $1) > 0)";
    let count = sqlx::query_scalar(count).bind(name);
    count.fetch_one(&mut app.session().await).await.unwrap()
}

#[tokio::test]
async fn a_replay_beside_an_erasure_brings_nobody_back() {
    const ERASED: &str = "447700900123";
    const OTHER: &str = "447700900124";
    const EACH: usize = 40;
    let app = App::start().await;
    let wrote = |n: usize, from: &str| {
        // No part of a number is in it.
        let whose = if from == ERASED { "theirs" } else { "others" };
        json!({"id": format!("wamid.{whose}.{n}"), "from": from, "timestamp": T0.to_string(),
            "type": "text", "text": {"body": "hello"}})
    };
    for n in 0..EACH {
        let messages = json!([wrote(n, ERASED), wrote(n, OTHER)]);
        let contacts = json!([{"wa_id": ERASED}, {"wa_id": OTHER}]);
        let value = json!({"messages": messages, "contacts": contacts});
        assert_eq!(app.webhook(&body(&[change(value)])).await, StatusCode::OK);
        app.say(&[status(&format!("wamid.{n}"), "delivered", 1)])
            .await;
    }
    said(&app, 3 * EACH).await;
    forget(&app).await;

    // The command reads, and somebody is erased in the middle of it.
    let replay = app.command(&["replay", "--state", "all"]);
    let erase = async {
        app.get_until("/v1/webhooks?state=undecoded&limit=500", |page| {
            page["data"].as_array().unwrap().len() < 2 * EACH
        })
        .await;
        let path = format!("/v1/recipients/{ERASED}");
        app.send(Method::DELETE, &path, Value::Null).await
    };
    let (sum, (status, erased)) = tokio::join!(replay, erase);
    assert!(status.is_success(), "{erased}");
    assert_eq!(
        sum,
        format!("applied: {}, undecoded: 0, not applied: 0\n", 2 * EACH)
    );
    // The second look, now: it finds what was under way.
    sqlx::query("UPDATE erasures SET again_at = now()")
        .execute(&mut app.session().await)
        .await
        .unwrap();
    while app.store.erase_again().await.unwrap() {}
    assert_eq!(named(&app, ERASED).await, 0);
    assert!(named(&app, OTHER).await >= EACH as i64);
    let events = said(&app, 3 * EACH).await;
    assert_eq!(events.len(), 3 * EACH, "something was lost with the person");

    // And read again afterwards it stays so.
    let sum = app.command(&["replay", "--state", "all"]).await;
    assert_eq!(
        sum,
        format!("applied: {}, undecoded: 0, not applied: 0\n", 2 * EACH)
    );
    assert_eq!(named(&app, ERASED).await, 0);
    assert_eq!(said(&app, 3 * EACH).await.len(), 3 * EACH);
}
