//! Subscriptions, and what is answered of their deliveries.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, send};

const ALL: &str = "/v1/subscriptions";

async fn change(app: &App, path: &str, body: Value) -> crate::support::Answer {
    let request = app.request(Method::PATCH, path).bearer_auth(&app.key);
    send(request.json(&body)).await
}

#[tokio::test]
async fn a_subscription_is_made_shown_changed_and_deleted() {
    let app = App::start().await;
    let sender = app.sender().await;
    let new = json!({"url": "https://example.com/hook", "types": ["message.*"],
                     "senders": [sender], "description": "orders", "timeout": "5s"});
    let made = app.post(ALL, new.clone()).await;
    assert_eq!(made.status, 201);
    let mut made = made.body;
    let secret = made["secret"].take();
    assert!(secret.as_str().unwrap().starts_with("whsec_"));
    for (field, value) in new.as_object().unwrap() {
        assert_eq!(made[field], *value);
    }
    assert_eq!(made["status"], "active");
    assert_eq!(made["format"], "event");
    let path = format!("{ALL}/{}", made["id"].as_str().unwrap());
    let shown = app.get(&path).await.ok();
    made.as_object_mut().unwrap().remove("secret");
    assert_eq!(shown, made);
    assert_eq!(app.get(ALL).await.ok()["data"], json!([shown]));

    let less = json!({"types": [], "senders": [], "description": "", "format": "cloudevents",
                      "timeout": "30s", "url": "https://example.com/other"});
    let changed = change(&app, &path, less).await.ok();
    assert_eq!(changed["senders"], json!([]));
    assert_eq!(changed["description"], Value::Null);
    assert_eq!(changed["url"], "https://example.com/other");
    let off = change(&app, &path, json!({"status": "disabled"}))
        .await
        .ok();
    assert_eq!(off["status"], "disabled");
    let again = change(&app, &path, json!({"status": "disabled"}))
        .await
        .ok();
    assert_eq!(again["disabled_at"], off["disabled_at"]);
    let on = change(&app, &path, json!({"status": "active"})).await.ok();
    assert_eq!(on["disabled_reason"], Value::Null);
    assert_eq!(
        app.facts_of(&made).await,
        ["subscription.disabled", "subscription.resumed"]
    );

    let rotated = app
        .post(&format!("{path}/rotate-secret"), json!({}))
        .await
        .ok();
    assert_ne!(rotated["secret"], secret);
    assert!(rotated["previous_secret_until"].is_string());
    for list in [
        "deliveries?failed=true",
        "undelivered",
        "undelivered?state=waiting",
    ] {
        let page = app.get(&format!("{path}/{list}")).await.ok();
        assert_eq!(page["data"], json!([]));
    }
    let replay = app
        .post(&format!("{path}/replay"), json!({"dead": true}))
        .await;
    assert_eq!(replay.status, 202);
    assert_eq!(replay.body, json!({"replayed": 0, "next_cursor": null}));
    // Nobody is at home there, and we do not go where only we can.
    let at_home = json!({"url": "https://localhost/"});
    change(&app, &path, at_home).await.ok();
    let ping = app.act(&format!("{path}/ping")).await.ok();
    assert_eq!(ping["taken"], false);

    let delete = || send(app.request(Method::DELETE, &path).bearer_auth(&app.key));
    assert_eq!(delete().await.status, 204);
    delete().await.is(404, "not_found");
    app.get(&path).await.is(404, "not_found");
}

#[tokio::test]
async fn the_log_finds_what_is_rare_and_no_request_looks_at_everything() {
    let app = App::start().await;
    let made = app.post(ALL, json!({"url": "https://example.com/hook"}));
    let made = made.await.ok();
    let path = format!("{ALL}/{}", made["id"].as_str().unwrap());
    // The oldest failed; it and the newest are of one event.
    sqlx::query(
        "INSERT INTO deliveries (subscription, id, at, xid, event, stream, type, attempt, status,
                                 latency_ms, error)
         SELECT s.id, ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now(), '3',
                CASE WHEN n IN (1, 60000) THEN $1 ELSE gen_random_uuid() END, 1, 'inbound.text', 1, 200,
                1, CASE WHEN n = 1 THEN 'refused' END
         FROM subscriptions s, generate_series(1, 60000) n",
    )
    .bind(app.clock.new_id())
    .execute(&app.pool)
    .await
    .unwrap();
    let log = async |query: &str| app.get(&format!("{path}/deliveries?{query}")).await.ok();
    let failed = log("failed=true").await;
    assert_eq!(failed["data"][0]["error"], "refused");
    assert_eq!(failed["next_cursor"], Value::Null);
    let event = failed["data"][0]["event"].as_str().unwrap();
    let newest = log(&format!("event={event}")).await;
    assert_eq!(newest["data"].as_array().unwrap().len(), 1);
    let next = newest["next_cursor"].as_str().unwrap();
    let oldest = log(&format!("event={event}&cursor={next}")).await;
    assert_eq!(oldest["data"], failed["data"]);
    assert_eq!(oldest["next_cursor"], Value::Null);
    let all = log("limit=500").await;
    assert_eq!(all["data"].as_array().unwrap().len(), 500);
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused_by_name() {
    let app = App::start().await;
    let with = async |field: &str, value: Value| {
        let mut new = json!({"url": "https://example.com/hook"});
        new[field] = value;
        app.post(ALL, new).await
    };
    with("url", json!("http://example.com")).await.names("url");
    with("url", json!("https://127.0.0.1/")).await.names("url");
    with("types", json!(["message.*", "*x"]))
        .await
        .names("types[1]");
    with("types", json!(vec!["a"; 101])).await.names("types");
    with("senders", json!(["con_1"])).await.names("senders[0]");
    with("format", json!("xml")).await.names("format");
    with("timeout", json!("31s")).await.names("timeout");
    with("secret", json!("mine")).await.names("secret");
    app.get("/v1/events/stream?type=a*b").await.names("type");
    app.get("/v1/events/stream?after=x").await.names("after");
}

#[tokio::test]
async fn the_feed_is_a_batch_of_cloudevents_for_whoever_asks() {
    let app = App::start().await;
    let sender = app.sender().await;
    let sequence = app.sequence(&sender, 1).await;
    let cancel = format!("/v1/sequences/{}/cancel", sequence["id"].as_str().unwrap());
    app.act(&cancel).await.ok();
    let batch = async || {
        let request = app.request(Method::GET, "/v1/events").bearer_auth(&app.key);
        send(request.header("accept", "application/cloudevents-batch+json")).await
    };
    let waiting = async {
        loop {
            let answer = batch().await;
            if answer
                .body
                .as_array()
                .is_some_and(|events| !events.is_empty())
            {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await;
    let answer = answer.unwrap();
    assert_eq!(
        answer.headers["content-type"],
        "application/cloudevents-batch+json"
    );
    assert_eq!(answer.body[0]["type"], "sequence.cancelled");
    assert_eq!(answer.body[0]["subject"], sequence["id"]);
    let next = answer.headers["link"].to_str().unwrap().to_owned();
    let next = next.strip_prefix('<').unwrap().split_once('>').unwrap().0;
    let request = app.request(Method::GET, next).bearer_auth(&app.key);
    let rest = request.header("accept", "application/cloudevents-batch+json");
    assert_eq!(send(rest).await.body, json!([]));
}

#[tokio::test]
async fn what_waits_is_listed_whole_however_it_is_paged_also_beside_replays() {
    let app = App::start().await;
    let new = json!({"url": "https://example.com/hook"});
    let made = app.post(ALL, new).await.ok();
    for n in 1..=6 {
        let row = sqlx::query(
            "INSERT INTO undelivered
                (subscription, xid, event, stream, subject, type, state, replay, attempts)
             VALUES ($1, $2::text::xid8, $3, 1, $3, 'message.sent', 'waiting', $4, 1)",
        );
        // The first of them are asked for again.
        row.bind(crate::support::uuid(&made["id"]))
            .bind(n.to_string())
            .bind(app.clock.new_id())
            .bind(n <= 3)
            .execute(&app.pool)
            .await
            .unwrap();
    }
    let path = format!("{ALL}/{}/undelivered", made["id"].as_str().unwrap());
    let whole = app.get(&format!("{path}?state=waiting")).await.ok();
    assert_eq!(whole["data"].as_array().unwrap().len(), 6);
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("{path}?state=waiting&limit=2{cursor}");
        let page = app.get(&query).await.ok();
        paged.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(json!(paged), whole["data"]);
}

#[tokio::test]
async fn all_that_was_given_up_is_revived_however_much_it_is() {
    let app = App::start().await;
    let new = json!({"url": "https://example.com/hook"});
    let made = app.post(ALL, new).await.ok();
    sqlx::query(
        "INSERT INTO undelivered
            (subscription, xid, event, stream, subject, type, state, attempts, failed_at)
         SELECT $1, (n / 3)::text::xid8, gen_random_uuid(), 1, gen_random_uuid(),
                'message.sent', 'dead', 9, now()
         FROM generate_series(3, 10003) n",
    )
    .bind(crate::support::uuid(&made["id"]))
    .execute(&app.pool)
    .await
    .unwrap();
    let path = format!("{ALL}/{}/replay", made["id"].as_str().unwrap());
    let replay = || app.post(&path, json!({"dead": true}));
    assert_eq!(replay().await.ok()["replayed"], 10_001);
    assert_eq!(replay().await.ok()["replayed"], 0);
    let left: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM undelivered WHERE state = 'dead' OR NOT replay OR attempts > 0",
    )
    .fetch_one(&app.pool)
    .await
    .unwrap();
    assert_eq!(left, 0);
}
