//! The simulator as 360dialog: the Cloud API, which is Meta's behind a key, and On-Premises.

use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use twotick::simulator::{Auth, Basic, Config, Dialect, Faults, Signature, Target};

use crate::support::*;

const CLOUD: Dialect = Dialect::Dialog360;
const ON_PREMISES: Dialect = Dialect::Dialog360Onprem;
const USER: &str = "385910000001";

fn cloud(id: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": USER,
        "type": "text", "text": {"body": "hi"}, "biz_opaque_callback_data": id})
}

fn on_premises() -> Value {
    json!({"to": USER, "type": "text", "text": {"body": "hi"}})
}

fn template() -> Value {
    json!({"messaging_product": "whatsapp", "to": USER, "type": "template", "template": {
        "namespace": "1212e9fb", "name": "offer",
        "language": {"policy": "deterministic", "code": "en_GB"}}})
}

fn proved(auth: Auth) -> BTreeMap<Dialect, Target> {
    let target = Target {
        auth,
        ..Target::default()
    };
    BTreeMap::from([(CLOUD, target.clone()), (ON_PREMISES, target)])
}

#[tokio::test]
async fn the_cloud_is_metas_behind_a_key_that_is_a_number() {
    let signed = Auth {
        signature: Some(Signature::of("platform")),
        basic: Some(Basic {
            username: "u".to_owned(),
            password: "p".to_owned(),
        }),
        headers: BTreeMap::from([("X-Tenant".to_owned(), "7".to_owned())]),
    };
    let scene = Scene::start(Config {
        targets: proved(signed),
        channels: BTreeMap::from([("key".to_owned(), "106540352242922".to_owned())]),
        ..config()
    })
    .await;
    let (http, answer) = scene.answer(CLOUD, "/messages", &cloud("a")).await;
    assert_eq!(http, 200);
    let id = answer["messages"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("wamid."));
    assert_eq!(answer["contacts"], json!([{"input": USER, "wa_id": USER}]));
    scene.idle().await;
    let mut said = Vec::new();
    for got in scene.inbox.at("dialog360") {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"platform").unwrap();
        mac.update(&got.bytes);
        let tag = HEXLOWER.encode(&mac.finalize().into_bytes());
        assert_eq!(got.headers["x-360dialog-signature"], tag);
        let basic = format!("Basic {}", BASE64.encode(b"u:p"));
        assert_eq!(got.headers["authorization"], basic);
        assert_eq!(got.headers["x-tenant"], "7");
        assert!(!got.headers.contains_key("x-hub-signature-256"));
        let entries = got.body["entry"].as_array().unwrap();
        let changes = entries
            .iter()
            .flat_map(|e| e["changes"].as_array().unwrap());
        for change in changes {
            let value = &change["value"];
            assert_eq!(value["metadata"]["phone_number_id"], "106540352242922");
            for status in value["statuses"].as_array().unwrap() {
                assert_eq!(status["id"], id);
                assert_eq!(status["biz_opaque_callback_data"], "a");
                said.push(status["status"].as_str().unwrap().to_owned());
            }
        }
    }
    said.sort();
    assert_eq!(said, ["delivered", "read", "sent"]);
}

#[tokio::test]
async fn on_premises_answers_with_meta_and_says_statuses_at_the_top() {
    let labelled = Signature {
        labelled: Some(true),
        ..Signature::of("s")
    };
    let auth = Auth {
        signature: Some(labelled),
        ..Auth::default()
    };
    let scene = Scene::start(Config {
        targets: proved(auth),
        ..config()
    })
    .await;
    let (http, answer) = scene
        .answer(ON_PREMISES, "/v1/messages", &on_premises())
        .await;
    assert_eq!(http, 200);
    assert_eq!(answer["meta"]["api_status"], "stable");
    assert_eq!(answer["contacts"][0]["wa_id"], USER);
    let id = answer["messages"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("gBEG"));
    let inbound = json!({"provider": "dialog360_onprem", "phone_number_id": SENDER, "from": USER,
        "text": "Grüße"});
    assert_eq!(scene.control("POST", "/inbound", &inbound).await, 200);
    scene.idle().await;
    let at = "dialog360_onprem";
    let statuses = scene.inbox.items(at, "statuses");
    let mut said: Vec<_> = statuses.iter().map(|status| &status["status"]).collect();
    said.sort_by_key(|word| word.to_string());
    assert_eq!(said, ["delivered", "read", "sent"]);
    for status in &statuses {
        assert_eq!(
            (&status["id"], &status["recipient_id"]),
            (&json!(id), &json!(USER))
        );
        assert!(status.get("biz_opaque_callback_data").is_none());
    }
    let messages = scene.inbox.items(at, "messages");
    assert_eq!(messages[0]["text"]["body"], "Grüße");
    assert_eq!(scene.inbox.items(at, "contacts")[0]["wa_id"], USER);
    for got in scene.inbox.at(at) {
        let signature = got.headers["x-360dialog-signature"].to_str().unwrap();
        assert!(signature.starts_with("sha256="));
        assert!(got.body.get("entry").is_none());
    }
    // Nobody can tell whose they are but by the answer.
    let log = scene.get("/_control/log").await;
    assert_eq!(log["posts"][0]["provider"], "dialog360_onprem");
    assert!(
        log["statuses"]
            .as_array()
            .unwrap()
            .iter()
            .all(|s| s["callback"] == false)
    );
}

#[tokio::test]
async fn an_error_is_360dialogs_own_or_metas() {
    let scene = Scene::start(Config {
        access_token: Some("key".to_owned()),
        messages_per_second: Some(1),
        ..config()
    })
    .await;
    for (dialect, path, body) in [
        (CLOUD, "/messages", cloud("a")),
        (ON_PREMISES, "/v1/messages", on_premises()),
    ] {
        let refused = scene.ask(dialect, path, "other", &body).await;
        assert_eq!(refused.status(), 401);
        let refused: Value = refused.json().await.unwrap();
        let meta =
            json!({"success": false, "http_code": 401, "developer_message": "Invalid api_key"});
        assert_eq!(refused, json!({"meta": meta}));
        // It says its own limit with 400.
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(scene.answer(dialect, path, &body).await);
        }
        let (http, limited) = answers.iter().find(|(http, _)| *http != 200).unwrap();
        let message = &limited["meta"]["developer_message"];
        assert_eq!(
            (*http, message),
            (400, &json!("You have exceeded the endpoint rate limit."))
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_the_number_of_its_api() {
    let scene = Scene::start(config()).await;
    let mut body = cloud("a");
    body["type"] = "telegram".into();
    let (http, answer) = scene.answer(CLOUD, "/messages", &body).await;
    assert_eq!((http, &answer["error"]["code"]), (400, &json!(100)));
    let mut body = template();
    body["template"]["namespace"] = Value::Null;
    let (http, answer) = scene.answer(ON_PREMISES, "/v1/messages", &body).await;
    assert_eq!((http, &answer["errors"][0]["code"]), (400, &json!(1008)));
    assert_eq!(answer["meta"]["api_status"], "stable");

    let limited = json!({"rate_limited": 1.0});
    assert_eq!(scene.control("PUT", "/faults", &limited).await, 200);
    let (http, answer) = scene.answer(CLOUD, "/messages", &cloud("b")).await;
    assert_eq!((http, &answer["error"]["code"]), (429, &json!(130_429)));
    let (http, answer) = scene
        .answer(ON_PREMISES, "/v1/messages", &on_premises())
        .await;
    assert_eq!((http, &answer["errors"][0]["code"]), (429, &json!(1015)));

    let failing = json!({"fail_permanent": 1.0});
    assert_eq!(scene.control("PUT", "/faults", &failing).await, 200);
    scene
        .answer(ON_PREMISES, "/v1/messages", &on_premises())
        .await;
    scene.idle().await;
    let statuses = scene.inbox.items("dialog360_onprem", "statuses");
    assert_eq!(statuses[0]["status"], "failed");
    assert_eq!(statuses[0]["errors"][0]["code"], 1013);
}

#[tokio::test]
async fn a_paused_template_is_refused_on_the_cloud_and_fails_on_premises() {
    let scene = Scene::start(config()).await;
    for (dialect, path) in [(CLOUD, "/messages"), (ON_PREMISES, "/v1/messages")] {
        assert_eq!(scene.answer(dialect, path, &template()).await.0, 200);
    }
    scene.idle().await;
    let pause = scene
        .control("POST", "/templates/offer/pause", &json!({}))
        .await;
    assert_eq!(pause, 200);
    let (http, answer) = scene.answer(CLOUD, "/messages", &template()).await;
    assert_eq!((http, &answer["error"]["code"]), (400, &json!(132_015)));
    let (http, answer) = scene.answer(ON_PREMISES, "/v1/messages", &template()).await;
    assert_eq!(http, 200, "{answer}");
    scene.idle().await;
    let statuses = scene.inbox.items("dialog360_onprem", "statuses");
    let failed = statuses.iter().find(|s| s["status"] == "failed").unwrap();
    assert_eq!(failed["id"], answer["messages"][0]["id"]);
    assert_eq!(failed["errors"][0]["code"], 2061);
    // Both are told of it in 360dialog's own way.
    for path in ["dialog360", "dialog360_onprem"] {
        let got = scene.inbox.at(path);
        let event = got
            .iter()
            .find(|got| got.body["event"].is_string())
            .unwrap();
        assert_eq!(event.body["event"], "waba_template_status_changed");
        let of = &event.body["data"]["template"];
        assert_eq!(
            (&of["name"], &of["new_status"]),
            (&json!("offer"), &json!("PAUSED"))
        );
    }
    let filters = "%7B%22business_templates.name%22:%22offer%22%7D";
    let list = scene
        .get(&format!("/v1/configs/templates?filters={filters}"))
        .await;
    assert_eq!(list["waba_templates"][0]["status"], "paused");
    assert_eq!(list["total"], 2);
}

#[tokio::test]
async fn held_messages_are_dropped_with_the_number_of_their_api() {
    let scene = Scene::start(faulty(Faults {
        held: 1.0,
        held_dropped: 1.0,
        ..Faults::default()
    }))
    .await;
    let (_, answer) = scene.answer(CLOUD, "/messages", &template()).await;
    let status = &answer["messages"][0]["message_status"];
    assert_eq!(status, "held_for_quality_assessment");
    scene.answer(ON_PREMISES, "/v1/messages", &template()).await;
    scene.idle().await;
    let statuses = scene.inbox.items("dialog360_onprem", "statuses");
    assert_eq!(statuses[0]["errors"][0]["code"], 2061);
    let got = scene.inbox.at("dialog360");
    let said = got.iter().map(|got| got.body.to_string());
    assert!(
        said.into_iter()
            .any(|body| body.contains("\"code\":132015"))
    );
}
