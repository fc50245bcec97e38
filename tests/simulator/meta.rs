//! The simulator as Meta's Cloud API, and what is the same for every dialect: fates out of a seed,
//! the log, the control API.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use twotick::clock::Clock;
use twotick::simulator::{self, Batches, Config, Delays, Faults};

use crate::support::*;

fn text(id: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": format!("+1555019{:0>4}", id.len()),
        "type": "text", "text": {"body": format!("message {id}")}, "biz_opaque_callback_data": id})
}

fn offer(id: &str) -> Value {
    json!({"messaging_product": "whatsapp", "to": "15550190044", "type": "template",
        "template": {"name": "offer", "language": {"code": "en_US"}},
        "biz_opaque_callback_data": id})
}

#[tokio::test]
async fn an_accepted_message_is_sent_delivered_and_read_in_signed_ascii() {
    let scene = Scene::start(config()).await;
    for n in 0..10 {
        let mut body = text(&format!("{n}/ü"));
        body["to"] = format!("1555019{n:0>4}").into();
        let (http, answer) = scene.send(&body).await;
        assert_eq!(http, 200);
        assert_eq!(answer["contacts"][0]["wa_id"], body["to"]);
        assert!(
            answer["messages"][0]["id"]
                .as_str()
                .unwrap()
                .starts_with("wamid.")
        );
    }
    scene.idle().await;

    let stories = scene.inbox.stories();
    assert_eq!(stories.len(), 10);
    for story in stories.values() {
        assert_eq!(story, &["delivered", "read", "sent"]);
    }
    let all = scene.inbox.bodies().concat();
    assert!(all.is_ascii());
    let all = String::from_utf8(all).unwrap();
    assert!(all.contains(r"\/\u00fc"));
    assert!(
        all.contains(r"\ud83d\ude80"),
        "no name beyond the first plane"
    );
    let status = &scene.inbox.statuses()[0];
    assert!(status["timestamp"].as_str().unwrap().parse::<i64>().is_ok());
}

#[tokio::test]
async fn a_webhook_comes_again_until_it_is_answered_exactly_200() {
    let scene = Scene::start(config()).await;
    scene
        .inbox
        .answers
        .lock()
        .unwrap()
        .extend([503, 202, 302, 200]);
    let body = json!({"body": {"any": "J\u{f6}rg", "n": 1.50}});
    assert_eq!(scene.control("POST", "/webhooks", &body).await, 200);
    scene.idle().await;
    let bodies = scene.inbox.bodies();
    assert_eq!(bodies.len(), 4);
    assert!(bodies.iter().all(|b| *b == bodies[0]));
    assert_eq!(bodies[0], body["body"].to_string());
    let stats = scene.get("/_control/stats").await;
    assert_eq!(
        (&stats["webhooks"], &stats["webhook_attempts"]),
        (&json!(1), &json!(4))
    );
}

#[tokio::test]
async fn a_paused_template_refuses_with_132015_until_it_is_unpaused() {
    let scene = Scene::start(config()).await;
    assert_eq!(
        scene
            .control("POST", "/templates/offer/pause", &json!({}))
            .await,
        404
    );
    let (_, answer) = scene.send(&offer("a")).await;
    assert_eq!(answer["messages"][0]["message_status"], "accepted");

    assert_eq!(
        scene
            .control("POST", "/templates/offer/pause", &json!({}))
            .await,
        200
    );
    let (http, answer) = scene.send(&offer("b")).await;
    assert_eq!((http, &answer["error"]["code"]), (400, &json!(132_015)));
    let list = format!("/v24.0/{}/message_templates?name=offer", config().waba_id);
    let listed = scene.get(&list).await["data"][0].clone();
    assert_eq!(listed["status"], "PAUSED");
    let id = listed["id"].as_str().unwrap();
    assert_eq!(scene.get(&format!("/v24.0/{id}")).await, listed);

    assert_eq!(
        scene
            .control("POST", "/templates/offer/unpause", &json!({}))
            .await,
        200
    );
    assert_eq!(scene.send(&offer("c")).await.0, 200);
    scene.idle().await;
    let mut events = scene.inbox.changes("message_template_status_update");
    events.sort_by_key(|(time, _)| time.as_i64());
    let [(paused_at, paused), (open_at, open)] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(open_at.as_i64() > paused_at.as_i64());
    assert_eq!(paused["event"], "PAUSED");
    assert_eq!(paused["other_info"]["title"], "FIRST_PAUSE");
    assert_eq!(paused["message_template_id"].to_string(), id);
    assert_eq!(
        (&open["event"], &open["other_info"]["title"]),
        (&json!("APPROVED"), &json!("UNPAUSE"))
    );
}

#[tokio::test]
async fn held_messages_are_released_with_a_good_score() {
    let scene = Scene::start(faulty(Faults {
        held: 1.0,
        ..Faults::default()
    }))
    .await;
    let (_, answer) = scene.send(&offer("a")).await;
    assert_eq!(
        answer["messages"][0]["message_status"],
        "held_for_quality_assessment"
    );
    scene.idle().await;
    assert_eq!(scene.inbox.stories()["a"], ["delivered", "read", "sent"]);
    let scores = scene.inbox.changes("message_template_quality_update");
    assert_eq!(scores[0].1["new_quality_score"], "GREEN");
}

#[tokio::test]
async fn dropped_messages_fail_and_pause_their_template() {
    let scene = Scene::start(faulty(Faults {
        held: 1.0,
        held_dropped: 1.0,
        ..Faults::default()
    }))
    .await;
    scene.send(&offer("a")).await;
    scene.idle().await;
    let statuses = scene.inbox.statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0]["status"], "failed");
    assert_eq!(statuses[0]["errors"][0]["code"], 132_015);
    let events = scene.inbox.changes("message_template_status_update");
    assert_eq!(events[0].1["event"], "PAUSED");
    assert_eq!(scene.send(&offer("b")).await.0, 400);
}

#[tokio::test]
async fn a_lost_answer_is_a_closed_connection_and_a_message_that_arrives() {
    let scene = Scene::start(faulty(Faults {
        lost_answer: 1.0,
        ..Faults::default()
    }))
    .await;
    let error = scene.try_send(&text("a")).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    scene.idle().await;
    assert_eq!(scene.inbox.stories()["a"].len(), 3);
    let log = scene.get("/_control/log").await;
    assert_eq!(log["posts"][0]["outcome"], "lost_answer");
}

#[tokio::test]
async fn a_late_answer_comes_after_the_first_webhook() {
    let scene = Scene::start(faulty(Faults {
        answer_late: 1.0,
        ..Faults::default()
    }))
    .await;
    assert_eq!(scene.send(&text("a")).await.0, 200);
    assert!(!scene.inbox.statuses().is_empty());
}

#[tokio::test]
async fn the_same_seed_tells_the_same_story_in_any_order() {
    let faults = Faults {
        fail_permanent: 0.2,
        read_without_delivered: 0.2,
        no_read: 0.2,
        disorder: 0.3,
        refuse_transient: 0.2,
        rate_limited: 0.1,
        ..Faults::default()
    };
    let (one, other) = (
        Scene::start(faulty(faults)).await,
        Scene::start(faulty(faults)).await,
    );
    let mut answers = BTreeMap::new();
    for n in 0..60 {
        let body = text(&n.to_string());
        answers.insert(n, one.send(&body).await.0);
    }
    for (n, answer) in answers.iter().rev() {
        assert_eq!(other.send(&text(&n.to_string())).await.0, *answer);
    }
    one.idle().await;
    other.idle().await;
    assert_eq!(one.inbox.stories(), other.inbox.stories());
    let stats = one.get("/_control/stats").await;
    assert!(stats["refused"]["130429"].as_u64() > Some(0), "{stats}");
    assert!(stats["accepted"].as_u64() > Some(20), "{stats}");
}

#[tokio::test]
async fn the_log_has_every_status_once_however_often_it_is_posted() {
    let scene = Scene::start(faulty(Faults {
        duplicate: 1.0,
        ..Faults::default()
    }))
    .await;
    for n in 0..5 {
        scene.send(&text(&n.to_string())).await;
    }
    scene.idle().await;
    // Each is posted twice, and each body twice.
    assert!(
        scene
            .inbox
            .stories()
            .values()
            .all(|story| story.len() == 12)
    );
    let log = scene.get("/_control/log").await;
    let statuses = log["statuses"].as_array().unwrap();
    assert_eq!(statuses.len(), 15);
    let tick = |entry: &Value| entry["tick"].as_u64().unwrap();
    for post in log["posts"].as_array().unwrap() {
        assert_eq!(post["body"], text(post["callback"].as_str().unwrap()));
        let of = |s: &&Value| s["wamid"] == post["wamid"];
        assert!(statuses.iter().filter(of).all(|s| tick(s) > tick(post)));
    }
    let rest = scene
        .get(&format!("/_control/log?since_tick={}", log["next_tick"]))
        .await;
    assert_eq!(
        (&rest["posts"], &rest["statuses"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test]
async fn a_scripted_message_gets_the_statuses_that_are_asked_for() {
    let scene = Scene::start(Config {
        automatic: false,
        ..config()
    })
    .await;
    let (_, answer) = scene.send(&text("a")).await;
    scene.idle().await;
    assert!(scene.inbox.bodies().is_empty());

    let path = format!(
        "/messages/{}/status",
        answer["messages"][0]["id"].as_str().unwrap()
    );
    let bare = json!({"status": "failed", "without_callback": true});
    for status in [json!({"status": "delivered"}), bare] {
        assert_eq!(scene.control("POST", &path, &status).await, 200);
        scene.idle().await;
    }
    let statuses = scene.inbox.statuses();
    assert_eq!(statuses[0]["biz_opaque_callback_data"], "a");
    assert!(statuses[1].get("biz_opaque_callback_data").is_none());
    assert_eq!(statuses[1]["errors"][0]["code"], 131_026);
    assert_eq!(
        scene
            .control(
                "POST",
                "/messages/wamid.X/status",
                &json!({"status": "sent"})
            )
            .await,
        404
    );
}

#[tokio::test]
async fn a_sender_above_its_rate_or_without_the_token_is_refused() {
    let scene = Scene::start(Config {
        messages_per_second: Some(1),
        ..config()
    })
    .await;
    let mut codes = Vec::new();
    for n in 0..10 {
        codes.push(scene.send(&text(&n.to_string())).await.0);
    }
    assert_eq!(codes[0], 200);
    assert!(codes.contains(&429));
    assert!(scene.get("/_control/stats").await["violations"].as_u64() > Some(0));

    let scene = Scene::start(Config {
        access_token: Some("token".to_owned()),
        ..config()
    })
    .await;
    let (http, answer) = scene.send(&text("a")).await;
    assert_eq!((http, &answer["error"]["code"]), (401, &json!(190)));
    assert_eq!(scene.get("/v24.0/12").await["error"]["code"], 190);
}

#[tokio::test]
async fn many_updates_share_a_body_when_many_are_due() {
    let delays = config().delays;
    let scene = Scene::start(Config {
        webhooks_in_flight: 1,
        batches: Batches {
            max: 50,
            window_ms: 20,
        },
        delays: Delays {
            read_ms: delays.sent_ms,
            ..delays
        },
        ..config()
    })
    .await;
    for n in 0..40 {
        scene.send(&text(&n.to_string())).await;
    }
    scene.idle().await;
    assert_eq!(scene.inbox.statuses().len(), 120);
    assert!(scene.inbox.bodies().len() < 120);
}

#[tokio::test]
async fn a_user_writes_and_faults_change_while_it_runs() {
    let scene = Scene::start(config()).await;
    let inbound = json!({"phone_number_id": SENDER, "from": "15550190044", "text": "Grüße"});
    assert_eq!(scene.control("POST", "/inbound", &inbound).await, 200);
    scene.idle().await;
    let changes = scene.inbox.changes("messages");
    let message = &changes[0].1["messages"][0];
    assert_eq!(
        (&message["from"], &message["text"]["body"]),
        (&json!("15550190044"), &json!("Grüße"))
    );

    assert_eq!(
        scene
            .control("PUT", "/faults", &json!({"fail_permanent": 2}))
            .await,
        400
    );
    assert_eq!(
        scene.control("PUT", "/faults", &json!({"fails": 1})).await,
        422
    );
    assert_eq!(
        scene
            .control("PUT", "/faults", &json!({"fail_permanent": 1}))
            .await,
        200
    );
    assert_eq!(scene.get("/_control/faults").await["fail_permanent"], 1.0);
    scene.send(&text("a")).await;
    scene.idle().await;
    assert_eq!(scene.inbox.stories()["a"], ["failed"]);
}

#[tokio::test]
async fn no_message_has_the_id_of_another_whoever_wrote_it() {
    let scene = Scene::start(config()).await;
    let to_user = json!({"messaging_product": "whatsapp", "to": "15550190044", "type": "text",
        "text": {"body": "hi"}});
    let by_user = json!({"phone_number_id": SENDER, "from": "15550190044", "text": "hi"});
    let mut ids = Vec::new();
    for _ in 0..2 {
        assert_eq!(scene.control("POST", "/inbound", &by_user).await, 200);
        let (_, answer) = scene.send(&to_user).await;
        ids.push(answer["messages"][0]["id"].clone());
    }
    scene.idle().await;
    let changes = scene.inbox.changes("messages");
    let lists = changes.iter().filter_map(|(_, v)| v["messages"].as_array());
    ids.extend(lists.flatten().map(|message| message["id"].clone()));
    assert_eq!(ids.len(), 4);
    ids.sort_by_key(Value::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 4, "{ids:?}");
}

#[tokio::test]
async fn it_ends_when_told_though_a_webhook_waits_for_its_200() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    // A receiver that takes connections and never answers: nobody accepts them.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config {
        webhook_url: Some(format!("http://{}/", deaf.local_addr().unwrap())),
        ..config()
    };
    let run = simulator::run(listener, config, Clock::system(), stop.clone());
    let running = tokio::spawn(run);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let webhook = json!({"body": {}});
    let sent = client
        .post(format!("{url}/_control/webhooks"))
        .json(&webhook);
    assert_eq!(sent.send().await.unwrap().status(), 200);
    drop(deaf.accept().await.unwrap());
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_nodes_by_their_fields() {
    let scene = Scene::start(config()).await;
    for name in ["a", "b", "c"] {
        let wanted = json!({"language": "en_US", "quality": "YELLOW"});
        let path = format!("/templates/{name}");
        assert_eq!(scene.control("PUT", &path, &wanted).await, 200);
    }
    let list = format!(
        "/v25.0/{}/message_templates?fields=name,status&limit=2",
        config().waba_id
    );
    let first = scene.get(&list).await;
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    assert_eq!(first["data"][0]["name"], "a");
    assert!(first["paging"]["next"].is_string());
    assert!(first["data"][0].get("quality_score").is_none());
    let after = first["paging"]["cursors"]["after"].as_str().unwrap();
    let last = scene.get(&format!("{list}&after={after}")).await;
    assert_eq!(last["data"][0]["name"], "c");
    assert!(last["paging"].get("next").is_none());
    let lost = scene.get(&format!("{list}&after=nowhere")).await;
    assert_eq!(lost["error"]["code"], 131_059);

    let quality = json!({"quality_rating": "RED"});
    assert_eq!(scene.control("PUT", "/numbers/77", &quality).await, 200);
    let number = scene.get("/v25.0/77?fields=quality_rating,status").await;
    assert_eq!(
        number,
        json!({"id": "77", "quality_rating": "RED", "status": "CONNECTED"})
    );
    let refused = scene.get("/v25.0/77?fields=category").await;
    assert_eq!(refused["error"]["code"], 100);
    let portfolio = "/v23.0/77?fields=whatsapp_business_manager_messaging_limit";
    assert_eq!(scene.get(portfolio).await["error"]["code"], 100);

    let refusal = json!({"times": 1, "retry_after": 7});
    assert_eq!(scene.control("PUT", "/reads", &refusal).await, 204);
    assert_eq!(scene.get(&list).await["error"]["code"], 80_007);
    let reads = scene.get("/_control/reads").await;
    let statuses = reads["reads"].as_array().unwrap().iter();
    let statuses: Vec<_> = statuses.map(|read| read["status"].as_i64()).collect();
    let expected = [200, 200, 400, 200, 400, 400, 429];
    assert_eq!(statuses, expected.map(Some));
}
