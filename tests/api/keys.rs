//! Keys: what each may do, to whose messages, until when and how fast; and that what is done with
//! the mighty ones is written down.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use twotick::model::ids::SenderId;

use crate::support::{Answer, App, send, text};

/// A key, and what it says.
async fn make(app: &App, key: Value) -> (String, String) {
    let made = app.post("/v1/keys", key).await.ok();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("id"), text("secret"))
}

async fn get(app: &App, secret: &str, path: &str) -> Answer {
    send(app.request(Method::GET, path).bearer_auth(secret)).await
}

async fn post(app: &App, secret: &str, path: &str, body: &Value) -> Answer {
    let request = app.request(Method::POST, path).bearer_auth(secret);
    send(request.json(body)).await
}

/// Every call there is, by method and path.
async fn calls(app: &App) -> Vec<(Method, String)> {
    let document = app.get("/openapi.json").await.ok();
    let paths = document["paths"].as_object().unwrap().clone();
    let calls = paths.into_iter().flat_map(|(path, operations)| {
        let methods: Vec<String> = operations.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(move |method| {
            let method = method.to_uppercase().parse::<Method>().unwrap();
            (method, path.clone())
        })
    });
    calls.filter(|(_, path)| path.starts_with("/v1/")).collect()
}

#[tokio::test]
async fn every_call_says_which_scope_the_key_lacks() {
    let app = App::start().await;
    let narrow = [
        ("messages:read", "events:read", "/v1/messages", "/v1/events"),
        ("events:read", "messages:read", "/v1/events", "/v1/messages"),
    ];
    for (scope, lacks, may, may_not) in narrow {
        let (_, secret) = make(&app, json!({"name": scope, "scopes": [scope]})).await;
        get(&app, &secret, may).await.ok();
        let refused = get(&app, &secret, may_not).await;
        refused.is(403, "missing_scope");
        let detail = refused.body["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("`{lacks}`")), "{detail}");
    }
    // A key that may do one thing is refused for every other, whatever else is wrong.
    let (_, secret) = make(&app, json!({"name": "events", "scopes": ["events:read"]})).await;
    for (method, path) in calls(&app).await {
        let reads = method == Method::GET;
        if reads && (path.starts_with("/v1/events") || path.starts_with("/v1/webhooks")) {
            continue;
        }
        let request = app.request(method.clone(), &path.replace(['{', '}'], ""));
        let refused = send(request.bearer_auth(&secret)).await;
        assert_eq!(
            refused.body["code"], "missing_scope",
            "{method} {path}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_restricted_key_leads_to_its_senders_alone() {
    let app = App::start().await;
    let (mine, other) = (app.sender().await, app.sender().await);
    let key =
        json!({"name": "one", "scopes": ["messages:read", "messages:write"], "senders": [mine]});
    let (_, secret) = make(&app, key).await;
    let new = |sender: &str| {
        let mut new = text("hello");
        new["sender"] = json!(sender);
        new["to"] = json!("447700900123");
        new
    };
    let made = post(&app, &secret, "/v1/messages", &new(&mine)).await.ok();
    post(&app, &secret, "/v1/messages", &new(&other))
        .await
        .is(403, "forbidden");
    let sequence = json!({"sender": other, "to": "447700900123", "messages": [text("1")]});
    post(&app, &secret, "/v1/sequences", &sequence)
        .await
        .is(403, "forbidden");
    let theirs = app.post("/v1/messages", new(&other)).await.ok();
    let id = |message: &Value| message["id"].as_str().unwrap().to_owned();
    get(&app, &secret, &format!("/v1/messages/{}", id(&made)))
        .await
        .ok();
    get(&app, &secret, &format!("/v1/messages/{}", id(&theirs)))
        .await
        .is(403, "forbidden");
    // Nobody's, also where it is written in another way.
    let written = id(&theirs).replacen('_', "%5f", 1);
    for nobody in ["msg_7", "nothing", &written] {
        get(&app, &secret, &format!("/v1/messages/{nobody}"))
            .await
            .is(404, "not_found");
    }
    let cancel = format!("/v1/messages/{}/cancel", id(&theirs));
    post(&app, &secret, &cancel, &json!({}))
        .await
        .is(403, "forbidden");
    // A list names whose it is, or it would show everybody's.
    get(&app, &secret, "/v1/messages")
        .await
        .is(403, "forbidden");
    get(&app, &secret, &format!("/v1/messages?sender={other}"))
        .await
        .is(403, "forbidden");
    let list = get(&app, &secret, &format!("/v1/messages?sender={mine}"))
        .await
        .ok();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    // What it does not lead to is not there.
    let ids = json!({"ids": [id(&made), id(&theirs)]});
    let found = post(&app, &secret, "/v1/messages/lookup", &ids).await.ok();
    assert_eq!(found["data"][id(&made)]["id"], made["id"]);
    assert_eq!(found["data"][id(&theirs)], Value::Null);
    // Two senders' messages may bear one id of the provider's: each caller finds their own.
    for message in [&made, &theirs] {
        let values = "now(), 'accepted', now(), 'wamid.both'";
        app.attempt(
            message,
            "posted_at, outcome, accepted_at, provider_message_id",
            values,
        )
        .await;
    }
    let key = json!({"name": "other", "scopes": ["messages:read"], "senders": [other]});
    let (_, others) = make(&app, key).await;
    let ids = json!({"ids": ["wamid.both"]});
    for (secret, own) in [(&secret, &made), (&others, &theirs)] {
        let found = post(&app, secret, "/v1/messages/lookup", &ids).await.ok();
        assert_eq!(found["data"]["wamid.both"]["id"], own["id"]);
    }
}

#[tokio::test]
async fn no_call_by_id_leads_a_restricted_key_to_what_is_not_its_own() {
    let app = App::start().await;
    let (mine, other) = (app.sender().await, app.sender().await);
    let scopes = ["messages:read", "messages:write", "events:read", "manage"];
    let key = json!({"name": "one", "scopes": scopes, "senders": [mine]});
    let (_, secret) = make(&app, key).await;
    let sequence = app.sequence(&other, 1).await;
    let id = |thing: &Value| thing["id"].as_str().unwrap().to_owned();
    let theirs = |resource: &str| match resource {
        "messages" => id(&sequence["messages"][0]),
        "sequences" => id(&sequence),
        "senders" => other.clone(),
        "campaigns" => id(&sequence).replace("seq_", "cmp_"),
        _ => "con_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
    };
    let by_id = calls(&app).await.into_iter();
    for (method, path) in by_id.filter(|(_, path)| path.contains("{id}")) {
        let theirs = theirs(path.split('/').nth(2).unwrap());
        for id in [theirs.clone(), theirs.replace('_', "%5F")] {
            let path = path.replace("{id}", &id);
            let request = app.request(method.clone(), &format!("{path}?sender={mine}"));
            let refused = request.bearer_auth(&secret).send().await.unwrap();
            // Written in another way it is nobody's, and so is what is no id.
            let expected = if id.contains('%') || id.starts_with("con_") {
                404
            } else {
                403
            };
            let status = refused.status().as_u16();
            assert!(
                [403, expected].contains(&status),
                "{method} {path} {status}"
            );
        }
    }
    let admin = json!({"name": "one", "scopes": ["admin"], "senders": [mine]});
    app.post("/v1/keys", admin).await.names("scopes");
}

#[tokio::test]
async fn a_key_for_a_connection_leads_to_its_senders_too() {
    let app = App::start().await;
    let connection = app.connection().await;
    let key = json!({"name": "one", "scopes": ["messages:read", "manage"],
                     "connections": [connection]});
    let new = json!({"connection": connection, "phone_number_id": "310022446688199"});
    let sender = app.post("/v1/senders", new).await.ok();
    let sender = sender["id"].as_str().unwrap();
    let (_, secret) = make(&app, key).await;
    get(&app, &secret, &format!("/v1/senders/{sender}"))
        .await
        .ok();
    get(
        &app,
        &secret,
        &format!("/v1/templates?connection={connection}"),
    )
    .await
    .ok();
    let other = app.connection().await;
    get(&app, &secret, &format!("/v1/connections/{other}"))
        .await
        .is(403, "forbidden");
    get(&app, &secret, "/v1/connections")
        .await
        .is(403, "forbidden");
}

#[tokio::test]
async fn what_a_key_said_before_it_was_rotated_is_good_for_as_long_as_it_was_told() {
    let app = App::start().await;
    let (id, first) = make(&app, json!({"name": "a", "scopes": ["messages:read"]})).await;
    let rotate = |overlap: &'static str| {
        let path = format!("/v1/keys/{id}/rotate");
        let app = &app;
        async move { app.post(&path, json!({"overlap": overlap})).await.ok() }
    };
    let rotated = rotate("1h").await;
    let second = rotated["secret"].as_str().unwrap();
    assert_eq!(rotated["id"], id);
    get(&app, &first, "/v1/messages").await.ok();
    get(&app, second, "/v1/messages").await.ok();
    let third = rotate("0s").await;
    let third = third["secret"].as_str().unwrap();
    get(&app, third, "/v1/messages").await.ok();
    // What was good a moment ago is remembered for one.
    until_refused(&app, second).await;
    get(&app, &first, "/v1/messages")
        .await
        .is(401, "unauthorized");
}

async fn until_refused(app: &App, secret: &str) {
    let refused = async {
        while get(app, secret, "/v1/messages").await.status != 401 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_key_that_was_revoked_or_has_expired_is_none() {
    let app = App::start().await;
    let (id, secret) = make(&app, json!({"name": "a", "scopes": ["messages:read"]})).await;
    get(&app, &secret, "/v1/messages").await.ok();
    let revoke = app.request(Method::DELETE, &format!("/v1/keys/{id}"));
    let revoked = send(revoke.bearer_auth(&app.key)).await.ok();
    assert!(revoked["revoked_at"].is_string());
    let used = async {
        while app.get(&format!("/v1/keys/{id}")).await.ok()["last_used_at"].is_null() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), used)
        .await
        .unwrap();
    until_refused(&app, &secret).await;
    app.post(&format!("/v1/keys/{id}/rotate"), json!({}))
        .await
        .is(404, "not_found");

    let at = app.clock.now() + Duration::from_secs(2);
    let at = at
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap();
    let key = json!({"name": "b", "scopes": ["messages:read"], "expires_at": at});
    let (_, secret) = make(&app, key).await;
    until_refused(&app, &secret).await;
    let key = json!({"name": "c", "scopes": [], "expires_at": "2020-01-01T00:00:00Z",
                     "senders": [SenderId(99)]});
    let refused = app.post("/v1/keys", key).await;
    for field in ["scopes", "expires_at", "senders[0]"] {
        refused.names(field);
    }
    let keys = app.get("/v1/keys").await.ok();
    let names: Vec<_> = keys["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["name"])
        .collect();
    assert_eq!(names, ["b", "a", "tests"]);
    assert!(!keys.to_string().contains(&secret));
}

#[tokio::test]
async fn a_key_that_asks_too_often_is_told_when_to_come_again() {
    let app = App::start().await;
    let key = json!({"name": "a", "scopes": ["messages:read"], "requests_per_second": 4});
    let (_, secret) = make(&app, key).await;
    let first = get(&app, &secret, "/v1/messages").await;
    assert_eq!(first.headers["ratelimit-limit"], "4");
    assert_eq!(first.headers["ratelimit-remaining"], "1");
    let refused = async {
        loop {
            let answer = get(&app, &secret, "/v1/messages").await;
            if answer.status == 429 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .unwrap();
    refused.is(429, "too_many_requests");
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.headers["ratelimit-reset"], "1");
}

#[tokio::test]
async fn what_is_done_with_a_mighty_key_is_written_down() {
    let app = App::start().await;
    let connection = app.connection().await;
    app.post("/v1/connections", json!({"name": "x"}))
        .await
        .names("provider");
    app.get("/v1/connections").await.ok();
    let acts = app.get("/v1/audit").await.ok();
    let acts: Vec<_> = acts["data"].as_array().unwrap().iter().collect();
    let shown: Vec<_> = acts
        .iter()
        .map(|act| (&act["action"], &act["status"]))
        .collect();
    let action = json!("POST /v1/connections");
    assert_eq!(shown, [(&action, &json!(422)), (&action, &json!(201))]);
    assert_eq!(acts[0]["name"], "tests");
    assert!(acts[0]["by"].as_str().unwrap().starts_with("key_"));
    let path = format!("/v1/connections/{connection}");
    let change = app.request(Method::PATCH, &path).bearer_auth(&app.key);
    send(change.json(&json!({"access_token": "another"})))
        .await
        .ok();
    let by = acts[0]["by"].as_str().unwrap();
    let acts = app.get(&format!("/v1/audit?key={by}&limit=1")).await.ok();
    assert_eq!(acts["data"][0]["action"], format!("PATCH {path}"));
}
