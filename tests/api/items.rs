//! `?include=raw`: the provider's item beside the event, as it came; and what is said where there is
//! none.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, send, sign, text};

const NUMBER: &str = "447700900123";
const OTHER: &str = "447700900999";

/// A webhook with these items, written as no serializer of ours would.
fn webhook(statuses: &[&str], messages: &[&str]) -> String {
    format!(
        r#"{{"object": "whatsapp_business_account", "entry": [{{"id": "204411887755301",
        "changes": [{{"field": "messages", "value": {{"messaging_product": "whatsapp",
        "metadata": {{"display_phone_number": "15550142217", "phone_number_id": "310022446688199"}},
        "statuses": [ {} ], "messages": [ {} ]}}}}]}}]}}"#,
        statuses.join(" , "),
        messages.join(" , ")
    )
}

fn status(of: &str, word: &str, to: &str) -> String {
    format!(
        r#"{{"timestamp":"1762335002", "status":"{word}","id":"{of}","recipient_id": "{to}" ,"unheard_of":{{"z":1.50,"a":[2, 1]}}}}"#
    )
}

fn inbound(id: &str, from: &str) -> String {
    format!(
        r#"{{"from":"{from}","id":"{id}","timestamp":"1762335000","type":"text","text":{{"body":"H\u00e4llo"}}}}"#
    )
}

async fn hear(app: &App, connection: &str, body: &str) {
    let heard = app.webhook(connection, body, &sign(body)).await;
    assert_eq!(heard.status, 200, "{heard:?}");
}

/// The body of an answer to this address, as it came: what is shown is not what is meant alone.
async fn raw(app: &App, path: &str) -> String {
    let request = app.request(Method::GET, path).bearer_auth(&app.key);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success());
    answer.text().await.unwrap()
}

/// The events of this address, once there are so many.
async fn events(app: &App, path: &str, n: usize) -> Vec<Value> {
    app.events_until(path, |events| events.len() >= n).await
}

#[tokio::test]
async fn the_providers_item_stands_beside_its_event_as_it_came_and_nobody_elses() {
    let app = App::start().await;
    let sender = app.sender().await;
    let connection = app.get("/v1/connections").await.ok()["data"][0]["id"].clone();
    let connection = connection.as_str().unwrap();
    let first = status("wamid.one", "sent", NUMBER);
    let other = status("wamid.two", "delivered", OTHER);
    let wrote = inbound("wamid.in", OTHER);
    let body = webhook(&[&first, &other], &[&wrote]);
    hear(&app, connection, &body).await;
    hear(
        &app,
        connection,
        &webhook(&[&status("wamid.one", "read", NUMBER)], &[]),
    )
    .await;

    let path = format!("/v1/events?sender={sender}&include=raw");
    let found = events(&app, &path, 4).await;
    let shown = raw(&app, &path).await;
    for item in [&first, &other, &wrote] {
        let item = format!(r#""item":{item},"item_missing":null"#);
        assert!(shown.contains(&item), "{item} is not in {shown}");
    }
    for event in &found {
        let (item, data) = (&event["item"], &event["data"]);
        assert_eq!(item["id"], data["provider_message_id"], "{event}");
        assert_eq!(event["item_missing"], Value::Null);
    }
    // Who does not ask for it is not shown it.
    let plain = events(&app, &format!("/v1/events?sender={sender}"), 4).await;
    assert!(plain.iter().all(|event| event["item"] == Value::Null));

    // A message's history, which has two webhooks; and as CloudEvents.
    let message = app.get("/v1/messages?provider_message_id=wamid.one").await;
    let message = message.ok()["data"][0]["id"].clone();
    let history = format!("/v1/messages/{}/history", message.as_str().unwrap());
    let history = events(&app, &format!("{history}?include=raw"), 2).await;
    let words: Vec<_> = history
        .iter()
        .map(|event| &event["item"]["status"])
        .collect();
    assert_eq!(words, ["sent", "read"]);
    let request = app.request(Method::GET, &path).bearer_auth(&app.key);
    let batch = request.header("accept", "application/cloudevents-batch+json");
    let batch = send(batch).await.ok();
    assert_eq!(batch.as_array().unwrap().len(), 4);
    assert_eq!(batch[0]["data"]["item"], found[0]["item"]);

    let refused = app.get("/v1/events?include=raw&limit=101").await;
    refused.names("limit");
    app.get("/v1/events?include=all").await.names("include");
}

#[tokio::test]
async fn pages_with_large_items_end_sooner_and_none_is_left_out() {
    let app = App::start().await;
    app.sender().await;
    let connection = app.get("/v1/connections").await.ok()["data"][0]["id"].clone();
    let connection = connection.as_str().unwrap();
    let long = "x".repeat(900_000);
    for n in 0..7 {
        let item = inbound(&format!("wamid.{n}"), OTHER).replace("H", &long);
        hear(&app, connection, &webhook(&[], &[&item])).await;
    }
    let all = "/v1/events?type=inbound.text";
    app.events_until(all, |events| events.len() == 7).await;
    let mut after = String::new();
    let (mut pages, mut found) = (0, Vec::new());
    while found.len() < 7 {
        let path = format!("/v1/events?type=inbound.text&include=raw&limit=50{after}");
        let page = app.get(&path).await.ok();
        after = format!("&after={}", page["next_cursor"].as_str().unwrap());
        let events = page["data"].as_array().unwrap().clone();
        assert!(found.len() + events.len() >= 7 || page["has_more"] == true);
        pages += usize::from(!events.is_empty());
        found.extend(events);
        assert!(pages < 8);
    }
    let ids: Vec<_> = found
        .iter()
        .map(|event| event["item"]["id"].clone())
        .collect();
    let expected: Vec<_> = (0..7).map(|n| json!(format!("wamid.{n}"))).collect();
    assert_eq!(ids, expected);
    assert_eq!(pages, 2);
}

#[tokio::test]
async fn where_there_is_no_item_it_is_said_why() {
    let app = App::start().await;
    let sender = app.sender().await;
    let connection = app.get("/v1/connections").await.ok()["data"][0]["id"].clone();
    let connection = connection.as_str().unwrap();
    let mut new = text("hello");
    (new["sender"], new["to"]) = (json!(sender), json!(OTHER));
    let message = app.post("/v1/messages", new).await.ok();
    let cancel = format!("/v1/messages/{}/cancel", message["id"].as_str().unwrap());
    app.act(&cancel).await.ok();
    let statuses = [
        status("wamid.one", "sent", NUMBER),
        status("wamid.two", "sent", OTHER),
    ];
    let [theirs, others] = &statuses;
    hear(
        &app,
        connection,
        &webhook(&[theirs, others], &[&inbound("wamid.in", NUMBER)]),
    )
    .await;
    let missing = async |of: &str| {
        let path = format!("/v1/events?sender={sender}&include=raw");
        let found = events(&app, &path, 4).await;
        let event = found
            .iter()
            .find(|event| event["type"] == of || event["data"]["provider_message_id"] == of);
        let event = event.unwrap();
        assert_eq!(
            event["item"].is_null(),
            event["item_missing"].is_string(),
            "{event}"
        );
        event["item_missing"].clone()
    };
    assert_eq!(missing("message.cancelled").await, "no_webhook");
    assert_eq!(missing("wamid.one").await, Value::Null);

    // Of a person who was erased the journal still has the bytes, and nobody is shown them.
    let erase = app.request(Method::DELETE, &format!("/v1/recipients/{NUMBER}"));
    send(erase.bearer_auth(&app.key)).await.ok();
    assert_eq!(missing("wamid.one").await, "erased");
    assert_eq!(missing("wamid.in").await, "erased");
    assert_eq!(missing("wamid.two").await, Value::Null);
    let path = format!("/v1/events?sender={sender}&include=raw");
    assert!(!raw(&app, &path).await.contains(NUMBER));

    // Where a decoder of another version has counted otherwise, nothing else is shown for it.
    let other = "UPDATE facts SET item = 1 - item WHERE type = 'message.sent'";
    sqlx::query(other).execute(&app.pool).await.unwrap();
    let shown = raw(&app, &path).await;
    assert!(shown.contains(&format!(r#""item":{others},"#)), "{shown}");
    assert!(!shown.contains(NUMBER), "{shown}");
    sqlx::query("UPDATE facts SET type = 'message.status.odd' WHERE type = 'message.sent'")
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(missing("wamid.two").await, "unreadable");
    sqlx::query("DELETE FROM journal")
        .execute(&app.pool)
        .await
        .unwrap();
    assert_eq!(missing("wamid.two").await, "forgotten");
}
