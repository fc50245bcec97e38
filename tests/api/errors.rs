//! What cannot be done is answered with a problem that says why.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{App, send, text};

#[tokio::test]
async fn nothing_under_v1_is_shown_without_a_valid_key() {
    let app = App::start().await;
    for path in ["/v1/messages", "/v1/connections", "/v1/events"] {
        let without = send(app.request(Method::GET, path)).await;
        without.is(401, "unauthorized");
        assert_eq!(without.headers["www-authenticate"], "Bearer");
        let wrong = app.request(Method::GET, path).bearer_auth("tt_wrong");
        send(wrong).await.is(401, "unauthorized");
    }
}

#[tokio::test]
async fn every_answer_bears_an_id_and_problems_repeat_it() {
    let app = App::start().await;
    let made = app.get("/v1/nothing").await;
    made.is(404, "not_found");
    assert_eq!(
        made.body["request_id"],
        made.headers["x-request-id"].to_str().unwrap()
    );
    let request = app
        .request(Method::DELETE, "/v1/messages")
        .header("x-request-id", "mine-1");
    let given = send(request).await;
    given.is(405, "method_not_allowed");
    assert_eq!(given.body["request_id"], "mine-1");
    assert_eq!(given.headers["x-request-id"], "mine-1");
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_by_field() {
    let app = App::start().await;
    let sender = app.sender().await;
    let post = async |body| app.post("/v1/sequences", body).await;
    let messages = json!([text("1")]);

    post(json!({"to": "1", "messages": messages}))
        .await
        .names("sender");
    post(json!({"sender": "con_x", "to": "1", "messages": messages}))
        .await
        .names("sender");
    post(json!({"sender": sender, "to": "1", "messages": messages, "color": 1}))
        .await
        .names("color");
    post(json!({"sender": sender, "to": "1", "messages": []}))
        .await
        .names("messages");
    post(json!({"sender": sender, "to": "zero", "messages": messages}))
        .await
        .names("to");
    let gate = |gate| json!({"sender": sender, "to": "1", "messages": messages, "gate": gate});
    post(gate(json!({"deadline": "1 day"})))
        .await
        .names("gate.deadline");
    post(gate(json!({"status": "opened"})))
        .await
        .names("gate.status");
    post(gate(json!({"until": "1d"}))).await.names("gate.until");
    let stop = json!({"sender": sender, "to": "1", "messages": messages, "on_opt_out": "ignore"});
    post(stop).await.names("on_opt_out");
    let step = |step| json!({"sender": sender, "to": "1", "messages": [text("1"), step]});
    post(step(json!({"type": "text"})))
        .await
        .names("messages[1].text");
    post(step(json!({"type": "text", "text": "hello"})))
        .await
        .names("messages[1].text");
    post(step(json!({"text": {}})))
        .await
        .names("messages[1].type");
    let nul = json!({"type": "text", "text": {"body": "a\u{0}"}});
    post(step(nul)).await.names("messages[1].text.body");
    let delay = json!({"type": "text", "text": {}, "delay": 5});
    post(step(delay)).await.names("messages[1].delay");
    let language = json!({"type": "template", "template": {"name": "order_ready"}});
    post(step(language))
        .await
        .names("messages[1].template.language.code");
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_said_by_field() {
    let app = App::start().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("cursor=!", "cursor"),
        ("status=lost", "status"),
        ("since=yesterday", "since"),
        ("sender=msg_x", "sender"),
        ("colour=red", "colour"),
    ] {
        app.get(&format!("/v1/messages?{query}")).await.names(field);
    }
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let app = App::start().await;
    let key = app.store.create_admin_key("another").await.unwrap();
    let key = secrecy::ExposeSecret::expose_secret(&key).to_owned();
    let request = app
        .request(Method::POST, "/v1/messages")
        .bearer_auth(&key)
        .body("{");
    send(request).await.is(400, "invalid_request");
    let large = app.request(Method::POST, "/v1/messages").bearer_auth(&key);
    let large = large.body(vec![b' '; 4 * 1024 * 1024 + 1]);
    send(large).await.is(413, "payload_too_large");
}

#[tokio::test]
async fn an_id_that_names_nothing_is_not_found() {
    let app = App::start().await;
    let sender = app.sender().await;
    for path in [
        "connections/con_x",
        "senders/snd_aaaaaaa",
        "messages/msg_x",
        "sequences/seq_x",
        "templates/tpl_x",
        "webhooks/whk_x",
        "messages/msg_x/history",
    ] {
        app.get(&format!("/v1/{path}")).await.is(404, "not_found");
    }
    // A lone message's sequence is nothing that callers can see.
    let message = json!({"sender": sender, "to": "1", "type": "text", "text": {"body": "1"}});
    let message = app.post("/v1/messages", message).await.ok();
    assert_eq!(message["sequence"], serde_json::Value::Null);
    assert_eq!(app.get("/v1/sequences").await.ok()["data"], json!([]));
}

#[tokio::test]
async fn what_was_expected_is_said_in_the_apis_words() {
    let app = App::start().await;
    let sender = app.sender().await;
    let with = |field: &str, value: serde_json::Value| {
        let mut new = json!({"sender": sender, "to": "1", "messages": [text("1")]});
        new[field] = value;
        new
    };
    let said = async |body, field: &str, message: &str| {
        let answer = app.post("/v1/sequences", body).await;
        answer.names(field);
        assert_eq!(answer.body["errors"][0]["message"], message, "{answer:?}");
    };
    said(json!([1]), "", "expected an object").await;
    said(json!("x"), "", "expected an object").await;
    said(with("gate", json!("read")), "gate", "expected an object").await;
    // A list is not taken for the object's fields in order.
    said(with("gate", json!(["read"])), "gate", "expected an object").await;
    said(with("to", json!(1)), "to", "expected a text").await;
    said(with("messages", json!({})), "messages", "expected a list").await;
    let steps = with("messages", json!(["x"]));
    said(steps, "messages[0]", "expected an object").await;
    let word = "expected one of `stop`, `skip`, `retry`";
    said(with("on_failure", json!("go")), "on_failure", word).await;
    said(
        with("on_failure", json!(1)),
        "on_failure",
        "expected a text",
    )
    .await;
    said(
        with("stop_on_reply", json!("no")),
        "stop_on_reply",
        "expected `true` or `false`",
    )
    .await;
    said(
        with("colour", json!("red")),
        "colour",
        "there is no such field",
    )
    .await;
    said(json!({"to": "1"}), "sender", "is missing").await;

    let sender = app
        .post("/v1/senders", json!({"messages_per_second": 1.5}))
        .await;
    sender.names("messages_per_second");
    let message = &sender.body["errors"][0]["message"];
    assert_eq!(message, "expected a whole number");
    let lookup = app.post("/v1/messages/lookup", json!([["msg_x"]])).await;
    lookup.names("");
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let app = App::start().await;
    let sender = app.sender().await;
    let path = format!("/v1/senders/{sender}");
    let first = app.get(&path).await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.headers["cache-control"], "private, no-cache");
    assert_eq!(first.headers["x-content-type-options"], "nosniff");
    let again = async || {
        let request = app.request(Method::GET, &path).bearer_auth(&app.key);
        send(request.header("if-none-match", &tag)).await
    };
    let same = again().await;
    assert_eq!(
        (same.status.as_u16(), same.body),
        (304, Value::String(String::new()))
    );
    assert_eq!(same.headers["etag"], tag.as_str());
    let change = app.request(Method::PATCH, &path).bearer_auth(&app.key);
    send(change.json(&json!({"messages_per_second": 40})))
        .await
        .ok();
    let changed = again().await.ok();
    assert_eq!(changed["messages_per_second"], 40);
}

#[tokio::test]
async fn whatever_is_read_twice_is_sent_once() {
    let app = App::start().await;
    let sender = app.sender().await;
    let sequence = app.sequence(&sender, 2).await;
    let message = sequence["messages"][0]["id"].as_str().unwrap();
    let sequence = sequence["id"].as_str().unwrap();
    for path in [
        "/v1/connections".to_owned(),
        format!("/v1/senders/{sender}"),
        format!("/v1/messages/{message}"),
        format!("/v1/messages/{message}/history"),
        format!("/v1/messages?sender={sender}"),
        format!("/v1/messages/counts?sender={sender}"),
        format!("/v1/sequences/{sequence}"),
        "/v1/campaigns".to_owned(),
        "/v1/templates".to_owned(),
        "/v1/webhooks".to_owned(),
        "/v1/subscriptions".to_owned(),
        "/v1/capabilities".to_owned(),
    ] {
        let first = app.get(&path).await;
        assert_eq!(first.status, 200, "{path}");
        let request = app.request(Method::GET, &path).bearer_auth(&app.key);
        let again = send(request.header("if-none-match", &first.headers["etag"])).await;
        assert_eq!(again.status, 304, "{path}");
        assert_eq!(again.headers["etag"], first.headers["etag"], "{path}");
        assert_eq!(again.body, "", "{path}");
        let request = app.request(Method::GET, &path).bearer_auth(&app.key);
        let other = send(request.header("if-none-match", "\"another\"")).await;
        assert_eq!(other.body, first.body, "{path}");
    }
    // A problem has none.
    assert!(
        !app.get("/v1/messages/msg_x")
            .await
            .headers
            .contains_key("etag")
    );
}

#[tokio::test]
async fn what_was_meant_is_said_where_something_else_was_asked_for() {
    let app = App::start().await;
    let sender = app.sender().await;
    let mut new = text("hello");
    (new["sender"], new["to"]) = (json!(sender), json!("447700900123"));
    let message = app.post("/v1/messages", new).await.ok();
    let path = format!("/v1/messages/{}", message["id"].as_str().unwrap());
    for field in ["to", "quiet_hours", "on_failure"] {
        let change = app.request(Method::PATCH, &path).bearer_auth(&app.key);
        let mut asked = json!({});
        asked[field] = json!("x");
        let refused = send(change.json(&asked)).await;
        refused.names(field);
        assert_eq!(refused.body["errors"].as_array().unwrap().len(), 1);
    }
    let refused = app
        .post(
            "/v1/connections",
            json!({"name": "x", "provider": "twilio"}),
        )
        .await;
    refused.names("provider");
    assert!(refused.body["detail"].as_str().unwrap().contains("infobip"));
    let refused = app
        .post(
            "/v1/connections",
            json!({"name": "x", "provider": "infobip"}),
        )
        .await;
    refused.names("base_url");
    let refused = app.get("/v1/events?type=message.deliverd").await;
    refused.names("type");
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("`message.delivered`")
    );
    let new = json!({"url": "https://example.com/hook", "types": ["mesage.*"]});
    app.post("/v1/subscriptions", new).await.names("types[0]");
    let refused = send(
        app.request(Method::PUT, "/v1/messages")
            .bearer_auth(&app.key),
    )
    .await;
    refused.is(405, "method_not_allowed");
    let mut allowed: Vec<_> = refused.headers["allow"]
        .to_str()
        .unwrap()
        .split(',')
        .collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    let said = "this address takes `GET`, `POST`, and not `PUT`";
    assert_eq!(refused.body["detail"], said);
    let refused = app.get("/v1/events?type=template.approved").await;
    refused.names("type");
    assert!(
        refused.body["detail"]
            .as_str()
            .unwrap()
            .contains("`template.status`")
    );
    let mut new = json!({"sender": sender, "to": "447700900123", "messages": [text("1")]});
    new["stop_on_replay"] = json!(true);
    let refused = app.post("/v1/sequences", new).await;
    refused.names("stop_on_replay");
    let said = "there is no such field: did you mean `stop_on_reply`?";
    assert_eq!(refused.body["errors"][0]["message"], said);
    let mut new = text("hello");
    (new["sender"], new["to"], new["refrence"]) =
        (json!(sender), json!("447700900123"), json!("order-1"));
    let refused = app.post("/v1/messages", new).await;
    refused.names("refrence");
    let said = refused.body["errors"][0]["message"].as_str().unwrap();
    assert!(said.contains("did you mean `reference`?"), "{said}");
}
