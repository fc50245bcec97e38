//! Promises 1 to 4: what is answered 200 is there, whole, and once; what is not ours is refused.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::*;

async fn message_of(app: &App, wamid: &str) -> Value {
    let answer = app
        .create("/v1/messages/lookup", json!({"ids": [wamid]}))
        .await;
    answer["data"][wamid].clone()
}

#[tokio::test]
async fn the_handshake_echoes_the_challenge_byte_for_byte_and_only_for_our_token() {
    let app = App::start().await;
    let ask = |token: &str| {
        let path = format!(
            "/webhooks/{}?hub.mode=subscribe&hub.challenge=0012%3Cb%3E&hub.verify_token={token}",
            app.connection
        );
        app.request(Method::GET, &path).send()
    };
    let right = ask("verify%20me").await.unwrap();
    assert_eq!(right.status(), StatusCode::OK);
    let kind = right.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/plain"), "{kind}");
    assert_eq!(right.text().await.unwrap(), "0012<b>");
    assert_eq!(
        ask("verify%20m").await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_signature_is_over_the_raw_bytes_escaped_or_not() {
    let app = App::start().await;
    let escaped = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"x\/y","value":"\u00e4"}]}]}"#;
    let plain = "{\"object\":\"whatsapp_business_account\",\"entry\":[{\"id\":\"1\",\"changes\":[{\"field\":\"x\",\"value\":\"ä🚀\"}]}]}";
    for body in [escaped.as_slice(), plain.as_bytes()] {
        let right = signature(SECRET, body);
        assert_eq!(app.webhook_bytes(body, Some(&right)).await, StatusCode::OK);
        let upper = right.to_uppercase().replace("SHA256", "sha256");
        assert_eq!(app.webhook_bytes(body, Some(&upper)).await, StatusCode::OK);
    }
}

#[tokio::test]
async fn what_is_not_signed_by_us_is_refused_and_stores_nothing() {
    let app = App::start().await;
    let body = serde_json::to_vec(&statuses_body(&[status("wamid.A", "sent", 0)])).unwrap();
    let wrong = signature("another secret", &body);
    for refused in [
        None,
        Some(wrong.as_str()),
        Some("sha256=00"),
        Some("sha1=00"),
    ] {
        assert_eq!(
            app.webhook_bytes(&body, refused).await,
            StatusCode::UNAUTHORIZED
        );
    }
    let elsewhere = format!("{}/webhooks/con_aaaaaaaaaaaaaaaaaaaaaaaaaa", app.url);
    let right = signature(SECRET, &body);
    let client = reqwest::Client::new();
    let unknown = client
        .post(elsewhere)
        .header("X-Hub-Signature-256", &right)
        .body(body);
    assert_eq!(
        unknown.send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(app.get("/v1/webhooks").await["data"], json!([]));
    assert_eq!(message_of(&app, "wamid.A").await, Value::Null);
}

#[tokio::test]
async fn two_secrets_are_valid_while_one_is_rotated() {
    let app = App::start().await;
    let connection = app
        .create(
            "/v1/connections",
            json!({
                "name": "rotating", "provider": "meta", "base_url": app.simulator,
                "api_version": "v25.0", "access_token": "token",
                "app_secrets": ["the new one", "the old one"], "verify_token": "v",
            }),
        )
        .await;
    let url = format!(
        "{}{}",
        app.url,
        connection["webhook_path"].as_str().unwrap()
    );
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    for (secret, expected) in [
        ("the new one", StatusCode::OK),
        ("the old one", StatusCode::OK),
        (SECRET, StatusCode::UNAUTHORIZED),
    ] {
        let request = reqwest::Client::new()
            .post(&url)
            .header("X-Hub-Signature-256", signature(secret, body))
            .body(body.to_vec());
        assert_eq!(request.send().await.unwrap().status(), expected, "{secret}");
    }
}

#[tokio::test]
async fn a_secret_rotated_by_the_api_is_valid_at_once() {
    let app = App::start().await;
    let body = br#"{"object":"whatsapp_business_account","entry":[]}"#;
    let right = signature("brand new", body);
    assert_eq!(
        app.webhook_bytes(body, Some(&right)).await,
        StatusCode::UNAUTHORIZED
    );
    let path = format!("/v1/connections/{}", app.connection);
    let both = json!({"app_secrets": ["brand new", SECRET]});
    let (status, _) = app.send(Method::PATCH, &path, both).await;
    assert!(status.is_success());
    assert_eq!(app.webhook_bytes(body, Some(&right)).await, StatusCode::OK);
    let old = signature(SECRET, body);
    assert_eq!(app.webhook_bytes(body, Some(&old)).await, StatusCode::OK);
}

#[tokio::test]
async fn a_body_of_a_thousand_statuses_in_several_entries_is_applied_whole() {
    let app = App::start().await;
    let entries: Vec<_> = (0..4)
        .map(|entry| {
            let changes: Vec<_> = (0..5)
                .map(|change_no| {
                    let statuses: Vec<_> = (0..50)
                        .map(|n| status(&format!("wamid.{entry}-{change_no}-{n}"), "sent", n))
                        .collect();
                    change(json!({"statuses": statuses}))
                })
                .collect();
            json!({"id": WABA, "changes": changes})
        })
        .collect();
    let body = json!({"object": "whatsapp_business_account", "entry": entries});
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
    let ids: Vec<_> = (0..4)
        .flat_map(|e| (0..5).flat_map(move |c| (0..50).map(move |n| format!("wamid.{e}-{c}-{n}"))))
        .collect();
    assert_eq!(ids.len(), 1000);
    let found = app.create("/v1/messages/lookup", json!({"ids": ids})).await;
    for id in &ids {
        assert_eq!(found["data"][id]["status"], "sent", "{id}");
    }
    let webhook = &app.get("/v1/webhooks").await["data"][0];
    assert_eq!(
        (&webhook["events"], &webhook["state"]),
        (&json!(1000), &json!("applied"))
    );
}

#[tokio::test]
async fn one_undecodable_item_never_costs_its_siblings() {
    let app = App::start().await;
    let nameless = json!({"status": "delivered", "timestamp": "1763769600"});
    let body = statuses_body(&[
        status("wamid.before", "sent", 0),
        nameless,
        json!(17),
        status("wamid.after", "delivered", 1),
    ]);
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
    assert_eq!(message_of(&app, "wamid.before").await["status"], "sent");
    assert_eq!(message_of(&app, "wamid.after").await["status"], "delivered");
    let listed = app.get("/v1/webhooks?state=undecoded").await;
    let webhook = &listed["data"][0];
    let reason = webhook["reason"].as_str().unwrap();
    assert!(
        reason.contains("statuses[1]") && reason.contains("statuses[2]"),
        "{reason}"
    );
    // Whoever follows the feed is told.
    let told = |page: &Value| page["data"] != json!([]);
    let page = app
        .get_until("/v1/events?type=webhook.undecoded", told)
        .await;
    let data = &page["data"][0]["data"];
    assert_eq!(
        (&data["webhook"], &data["reason"]),
        (&webhook["id"], &webhook["reason"])
    );
    let kept = app
        .get(&format!("/v1/webhooks/{}", webhook["id"].as_str().unwrap()))
        .await;
    let kept: Value = serde_json::from_str(kept["body"].as_str().unwrap()).unwrap();
    assert_eq!(kept, body);
}

#[tokio::test]
async fn what_is_no_json_is_kept_and_answered_200() {
    let app = App::start().await;
    for garbage in [
        b"".as_slice(),
        b"\xff\xfe",
        b"[1]",
        b"{\"entry\":",
        b"\"\\u0000\"",
    ] {
        let right = signature(SECRET, garbage);
        assert_eq!(
            app.webhook_bytes(garbage, Some(&right)).await,
            StatusCode::OK
        );
    }
    let listed = app.get("/v1/webhooks?state=undecoded").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn the_same_webhook_again_and_split_differently_has_the_effect_of_once() {
    let app = App::start().await;
    let statuses = [
        status("wamid.1", "sent", 0),
        status("wamid.1", "delivered", 1),
        status("wamid.2", "sent", 0),
        status("wamid.2", "failed", 2),
    ];
    for _ in 0..3 {
        app.say(&statuses).await;
    }
    for status in &statuses {
        app.say(&[status.clone(), status.clone()]).await;
    }
    app.say(&[statuses[3].clone(), statuses[0].clone()]).await;
    app.say(&[statuses[2].clone(), statuses[1].clone()]).await;
    let facts: Vec<_> = app
        .events(4)
        .await
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(facts.len(), 4, "{facts:?}");
    assert_eq!(message_of(&app, "wamid.1").await["status"], "delivered");
    assert_eq!(message_of(&app, "wamid.2").await["status"], "failed");
}

#[tokio::test]
async fn every_participant_of_a_group_is_kept() {
    let app = App::start().await;
    let of = |participant: &str, word: &str| {
        let mut status = status("wamid.group", word, 5);
        status["recipient_type"] = "group".into();
        status["recipient_participant_id"] = participant.into();
        status
    };
    let statuses = [
        of("15550190044", "read"),
        of("15550190051", "read"),
        of("15550190044", "read"),
    ];
    app.say(&statuses).await;
    app.say(&statuses).await;
    let mut participants: Vec<_> = app
        .events(2)
        .await
        .iter()
        .map(|event| event["data"]["participant"].as_str().unwrap().to_owned())
        .collect();
    participants.sort_unstable();
    assert_eq!(participants, ["15550190044", "15550190051"]);
}

#[tokio::test]
async fn what_we_do_not_understand_is_kept_and_shown() {
    let app = App::start().await;
    let body = management_body(
        "tracking_events",
        T0,
        json!({"event": "SOMETHING_NEW", "n": 1}),
    );
    assert_eq!(app.webhook(&body).await, StatusCode::OK);
    let odd = status("wamid.odd", "warning", 0);
    app.say(&[odd]).await;
    let events = app.events(2).await;
    assert_eq!(events[0]["type"], "webhook.other");
    assert_eq!(events[0]["data"]["field"], "tracking_events");
    assert_eq!(events[0]["data"]["value"]["event"], "SOMETHING_NEW");
    assert_eq!(events[1]["data"]["status"], "warning");
}

#[tokio::test]
async fn an_unknown_sender_is_registered_but_not_the_dashboards_test() {
    let app = App::start().await;
    let mut known = change(json!({"statuses": [status("wamid.n", "sent", 0)]}));
    known["value"]["metadata"]["phone_number_id"] = "999".into();
    assert_eq!(app.webhook(&body(&[known])).await, StatusCode::OK);
    let mut sample = change(json!({"statuses": [status("wamid.s", "sent", 0)]}));
    sample["value"]["metadata"]["phone_number_id"] = "123456123".into();
    let mut sample = body(&[sample]);
    sample["entry"][0]["id"] = "0".into();
    assert_eq!(app.webhook(&sample).await, StatusCode::OK);
    let senders = app.get("/v1/senders").await;
    let mut made: Vec<_> = senders["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sender| {
            (
                sender["phone_number_id"].as_str().unwrap(),
                sender["origin"].as_str(),
            )
        })
        .collect();
    made.sort_unstable();
    assert_eq!(made, [(NUMBER, Some("api")), ("999", Some("webhook"))]);
    assert_eq!(
        app.get("/v1/webhooks").await["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_webhook_touches_only_senders_of_its_own_connection() {
    let app = App::start().await;
    let message = app
        .create("/v1/messages", text(&app.sender, "447700900123", "hi"))
        .await;
    let id = message["id"].as_str().unwrap();
    app.accepted(id).await;
    let callback = app.posts().await[0]["callback"].clone();
    let other = app
        .create(
            "/v1/connections",
            json!({
                "name": "other", "provider": "meta", "base_url": app.simulator,
                "api_version": "v25.0", "access_token": "token",
                "app_secrets": ["other"], "verify_token": "v",
            }),
        )
        .await;
    let mut forged = status("wamid.forged", "read", 9);
    forged["biz_opaque_callback_data"] = callback;
    let forged = serde_json::to_vec(&statuses_body(&[forged])).unwrap();
    let url = format!("{}{}", app.url, other["webhook_path"].as_str().unwrap());
    let request = reqwest::Client::new()
        .post(url)
        .header("X-Hub-Signature-256", signature("other", &forged))
        .body(forged);
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        app.get(&format!("/v1/messages/{id}")).await["status"],
        "accepted"
    );
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let app = App::start().await;
    let big = vec![b' '; 4 * 1024 * 1024 + 1];
    let right = signature(SECRET, &big);
    assert_eq!(
        app.webhook_bytes(&big, Some(&right)).await,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn the_journal_gets_its_partitions_again_after_days_without_any() {
    let app = App::start().await;
    app.clock
        .advance(std::time::Duration::from_secs(10 * 86_400));
    app.say(&[status("wamid.rest", "sent", 0)]).await;
    let count = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM pg_inherits WHERE inhparent = 'journal'::regclass")
            .fetch_one(&mut app.session().await)
            .await
            .unwrap()
    };
    let before = count().await;
    app.store.make_journal_partitions().await;
    // Not today: what came today stays where it is.
    assert_eq!(count().await, before + 3);
    app.say(&[status("wamid.rest", "delivered", 1)]).await;
    let listed = app.get("/v1/webhooks").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let app = App::start_with(
        |settings| settings.http.body_timeout = std::time::Duration::from_millis(50),
        twotick::simulator::Config::default(),
    )
    .await;
    let address = app.url.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /webhooks/{} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
        app.connection
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}
