//! The simulator as Infobip.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;
use twotick::simulator::{Algorithm, Auth, Config, Dialect, Encoding, Faults, Signature, Target};

use crate::support::*;

const INFOBIP: Dialect = Dialect::Infobip;
const TEXT: &str = "/whatsapp/1/message/text";
const TEMPLATE: &str = "/whatsapp/1/message/template";
const NUMBER: &str = "441200000001";
const USER: &str = "385910000001";

fn text(id: &str) -> Value {
    json!({"from": NUMBER, "to": USER, "messageId": id, "content": {"text": format!("hi {id}")},
        "callbackData": "mine"})
}

fn offer(id: &str) -> Value {
    json!({"from": NUMBER, "to": USER, "messageId": id, "content": {"templateName": "offer",
        "language": "en_GB", "templateData": {"body": {"placeholders": [id]}}}})
}

fn to(target: Target) -> Config {
    Config {
        targets: BTreeMap::from([(INFOBIP, target)]),
        ..config()
    }
}

#[tokio::test]
async fn one_message_is_answered_alone_and_templates_in_bulk_each_with_its_id() {
    let scene = Scene::start(config()).await;
    let pending = json!({"groupId": 1, "groupName": "PENDING", "id": 7, "name": "PENDING_ENROUTE",
        "description": "Message sent to next instance"});
    let (http, answer) = scene.answer(INFOBIP, TEXT, &text("a.1")).await;
    assert_eq!(http, 200);
    let one = |id: &str| json!({"to": USER, "messageCount": 1, "messageId": id, "status": pending});
    assert_eq!(answer, one("a.1"));
    let bulk = json!({"bulkId": "run-1", "messages": [offer("b.1"), offer("b.2")]});
    let (http, answer) = scene.answer(INFOBIP, TEMPLATE, &bulk).await;
    assert_eq!(http, 200);
    let both = json!([one("b.1"), one("b.2")]);
    assert_eq!(answer, json!({"messages": both, "bulkId": "run-1"}));
    let buttons = json!({"from": NUMBER, "to": "GB.20514471930085527716",
        "content": {"body": {"text": "?"}, "action": {"buttons": []}}});
    let path = "/whatsapp/1/message/interactive/buttons";
    let (http, answer) = scene.answer(INFOBIP, path, &buttons).await;
    assert_eq!(http, 200);
    assert!(
        answer["messageId"].as_str().unwrap().len() > 20,
        "one is made up"
    );

    let log = scene.get("/_control/log").await;
    let posts = log["posts"].as_array().unwrap();
    let callbacks: Vec<_> = posts.iter().map(|post| &post["callback"]).collect();
    assert_eq!(callbacks[..3], ["a.1", "b.1", "b.2"]);
    assert_eq!(posts[2]["body"], offer("b.2"));
    assert!(
        posts
            .iter()
            .take(3)
            .all(|post| post["phone_number_id"] == NUMBER)
    );
}

#[tokio::test]
async fn reports_of_the_whatsapp_api_tell_of_delivery_and_what_was_seen() {
    let scene = Scene::start(config()).await;
    let bulk = json!({"bulkId": "run-1", "messages": [offer("b.1")]});
    scene.answer(INFOBIP, TEMPLATE, &bulk).await;
    scene.idle().await;
    let results = scene.inbox.items("infobip", "results");
    assert_eq!(results.len(), 2, "none of `sent`: {results:#?}");
    let delivered = results.iter().find(|r| r["doneAt"].is_string()).unwrap();
    assert_eq!(delivered["status"]["name"], "DELIVERED_TO_HANDSET");
    assert_eq!(delivered["error"]["name"], "NO_ERROR");
    assert_eq!(
        (&delivered["to"], &delivered["bulkId"]),
        (&json!(USER), &json!("run-1"))
    );
    assert!(delivered["doneAt"].as_str().unwrap().ends_with("+0000"));
    let seen = results.iter().find(|r| r["seenAt"].is_string()).unwrap();
    assert_eq!((&seen["from"], &seen["to"]), (&json!(USER), &json!(NUMBER)));
    assert!(results.iter().all(|r| r["messageId"] == "b.1"));
}

#[tokio::test]
async fn reports_of_the_messages_api_name_their_event_and_channel() {
    let scene = Scene::start(to(Target {
        messages_api: true,
        ..Target::default()
    }))
    .await;
    scene.answer(INFOBIP, TEXT, &text("a.1")).await;
    scene.idle().await;
    let results = scene.inbox.items("infobip", "results");
    let mut events: Vec<_> = results
        .iter()
        .map(|r| r["event"].as_str().unwrap())
        .collect();
    events.sort_unstable();
    assert_eq!(events, ["DELIVERY", "SEEN"]);
    for report in &results {
        assert_eq!(report["channel"], "WHATSAPP");
        assert_eq!(
            (&report["sender"], &report["destination"]),
            (&json!(NUMBER), &json!(USER))
        );
        assert_eq!(report["callbackData"], "mine");
    }
}

#[tokio::test]
async fn a_refusal_of_the_whole_request_is_a_service_exception() {
    let scene = Scene::start(Config {
        access_token: Some("key".to_owned()),
        ..config()
    })
    .await;
    let exception = |answer: &Value| answer["requestError"]["serviceException"].clone();
    let refused = scene.ask(INFOBIP, TEXT, "other", &text("a")).await;
    assert_eq!(refused.status(), 401);
    let refused: Value = refused.json().await.unwrap();
    let unauthorized = json!({"messageId": "UNAUTHORIZED", "text": "Unauthorized"});
    assert_eq!(exception(&refused), unauthorized);

    let mut empty = text("a");
    empty["content"]["text"] = "".into();
    let (http, answer) = scene.answer(INFOBIP, TEXT, &empty).await;
    let exception_said = exception(&answer);
    assert_eq!(
        (http, &exception_said["messageId"]),
        (400, &json!("BAD_REQUEST"))
    );
    let message = json!(["size must be between 1 and 4096"]);
    assert_eq!(
        exception_said["validationErrors"],
        json!({"content.text": message})
    );
    let (http, _) = scene
        .answer(INFOBIP, "/whatsapp/1/message/song", &text("a"))
        .await;
    assert_eq!(http, 404);

    let mut blank = offer("c.2");
    blank["content"]["templateData"]["body"]["placeholders"] = json!([""]);
    let bulk = json!({"messages": [offer("c.1"), blank, offer("c.3")]});
    let (http, answer) = scene.answer(INFOBIP, TEMPLATE, &bulk).await;
    assert_eq!(http, 400, "none is taken for the fault of one: {answer}");
    let log = scene.get("/_control/log").await;
    let posts = log["posts"].as_array().unwrap().iter();
    let posts = posts.filter(|post| {
        post["callback"]
            .as_str()
            .is_some_and(|id| id.starts_with("c."))
    });
    let said: Vec<_> = posts
        .map(|post| (post["outcome"].clone(), post["code"].clone()))
        .collect();
    assert_eq!(
        said,
        vec![(json!("refused"), json!(400)); 3],
        "each is in the log"
    );

    let limited = json!({"rate_limited": 1.0});
    assert_eq!(scene.control("PUT", "/faults", &limited).await, 200);
    let refused = scene.ask(INFOBIP, TEXT, "key", &text("b")).await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(exception(&refused)["messageId"], "TOO_MANY_REQUESTS");

    let transient = json!({"refuse_transient": 1.0});
    assert_eq!(scene.control("PUT", "/faults", &transient).await, 200);
    for n in 0..10 {
        let (http, answer) = scene.answer(INFOBIP, TEXT, &text(&n.to_string())).await;
        assert!([500, 503].contains(&http), "{answer}");
        assert!(exception(&answer)["text"].is_string());
    }
}

#[tokio::test]
async fn an_id_that_was_used_is_rejected_in_an_answer_of_200() {
    let scene = Scene::start(config()).await;
    scene.answer(INFOBIP, TEXT, &text("a.1")).await;
    let bulk = json!({"messages": [offer("a.1"), offer("a.2")]});
    let (http, answer) = scene.answer(INFOBIP, TEMPLATE, &bulk).await;
    assert_eq!(http, 200);
    let status = |n: usize| answer["messages"][n]["status"]["name"].clone();
    assert_eq!(status(0), "REJECTED_DUPLICATE_MESSAGE_ID");
    assert_eq!(status(1), "PENDING_ENROUTE");
    scene.idle().await;
    let results = scene.inbox.items("infobip", "results");
    assert_eq!(results.len(), 4, "of each that was taken one story");
    let stats = scene.get("/_control/stats").await;
    assert_eq!(
        (&stats["accepted"], &stats["refused"]["23"]),
        (&json!(2), &json!(1))
    );
}

#[tokio::test]
async fn a_paused_template_is_taken_and_fails_with_7009() {
    let scene = Scene::start(config()).await;
    let bulk = |id: &str| json!({"messages": [offer(id)]});
    scene.answer(INFOBIP, TEMPLATE, &bulk("a")).await;
    scene.idle().await;
    let list = format!("/whatsapp/2/senders/{NUMBER}/templates");
    for (change, status) in [("pause", "FIRST_PAUSED"), ("unpause", "APPROVED")] {
        let path = format!("/templates/offer/{change}");
        assert_eq!(scene.control("POST", &path, &json!({})).await, 200);
        let template = scene.get(&list).await["templates"][0].clone();
        assert_eq!(template["status"], status);
        let one = format!("{list}/{}", template["id"].as_str().unwrap());
        assert_eq!(scene.get(&one).await, template);
        let (http, answer) = scene.answer(INFOBIP, TEMPLATE, &bulk(status)).await;
        assert_eq!(http, 200, "{answer}");
        assert_eq!(answer["messages"][0]["status"]["name"], "PENDING_ENROUTE");
    }
    scene.idle().await;
    let results = scene.inbox.items("infobip", "results");
    let of = |id: &'static str| results.iter().filter(move |r| r["messageId"] == id);
    let failed: Vec<_> = of("FIRST_PAUSED").collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["error"]["id"], 7009);
    assert_eq!(of("APPROVED").count(), 2);
    let got = scene.inbox.at("infobip");
    let changes = got.iter().filter(|got| got.body["change"].is_object());
    let mut said: Vec<_> = changes
        .map(|got| {
            assert_eq!(got.body["messageTemplateName"], "offer");
            got.body["change"]["newStatus"].as_str().unwrap().to_owned()
        })
        .collect();
    said.sort();
    assert_eq!(said, ["APPROVED", "FIRST_PAUSED"]);
}

#[tokio::test]
async fn a_signature_is_of_the_hash_in_the_header_that_were_chosen() {
    let signature = Signature {
        header: Some("X-Sig".to_owned()),
        algorithm: Algorithm::Sha1,
        encoding: Encoding::Base64,
        ..Signature::of("key")
    };
    let scene = Scene::start(to(Target {
        auth: Auth {
            signature: Some(signature),
            ..Auth::default()
        },
        ..Target::default()
    }))
    .await;
    scene.answer(INFOBIP, TEXT, &text("a")).await;
    let mut addressed = text("b");
    addressed["notifyUrl"] = format!("{}mine", scene.receiver).into();
    scene.answer(INFOBIP, TEXT, &addressed).await;
    scene.idle().await;
    assert!(!scene.inbox.at("infobip").is_empty());
    for got in scene.inbox.at("infobip") {
        let mut mac = Hmac::<Sha1>::new_from_slice(b"key").unwrap();
        mac.update(&got.bytes);
        let tag = BASE64.encode(&mac.finalize().into_bytes());
        assert_eq!(got.headers["x-sig"], tag);
        assert!(
            got.body["results"]
                .as_array()
                .unwrap()
                .iter()
                .all(|r| r["messageId"] == "a")
        );
    }
    // What goes to an address of its own has no subscription, and so no proof.
    let mine = scene.inbox.items("mine", "results");
    assert_eq!(mine.len(), 2);
    let got = scene.inbox.at("mine");
    assert!(got.iter().all(|got| !got.headers.contains_key("x-sig")));
}

#[tokio::test]
async fn the_same_fates_befall_the_messages_of_every_dialect() {
    let messages = [
        (
            Dialect::Dialog360,
            "/messages",
            json!({"messaging_product": "whatsapp", "to": USER,
            "type": "text", "text": {"body": "hi"}}),
        ),
        (
            Dialect::Dialog360Onprem,
            "/v1/messages",
            json!({"to": USER, "type": "text",
            "text": {"body": "hi"}}),
        ),
        (INFOBIP, TEXT, text("a")),
    ];
    for (dialect, path, body) in &messages {
        let at = dialect.name();
        let late = Scene::start(faulty(Faults {
            answer_late: 1.0,
            ..Faults::default()
        }))
        .await;
        assert_eq!(late.answer(*dialect, path, body).await.0, 200);
        assert!(
            !late.inbox.at(at).is_empty(),
            "{at}: its webhook came first"
        );

        let lost = Scene::start(faulty(Faults {
            lost_answer: 1.0,
            fail_permanent: 1.0,
            ..Faults::default()
        }))
        .await;
        let request = lost.client.post(format!("{}{path}", lost.url)).json(body);
        assert!(request.send().await.unwrap_err().is_request(), "{at}");
        lost.idle().await;
        let failed = serde_json::to_string(&lost.inbox.at(at)[0].body).unwrap();
        let unknown_number = ["\"code\":131026", "\"code\":1013", "\"id\":7002"];
        assert!(
            unknown_number.iter().any(|code| failed.contains(code)),
            "{failed}"
        );
        let log = lost.get("/_control/log").await;
        assert_eq!(log["posts"][0]["outcome"], "lost_answer");
        assert_eq!(log["posts"][0]["provider"], at);
    }
}
