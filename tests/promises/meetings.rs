//! What comes at the same time, at moments that chance decides, ends as it does one after the other.

use std::time::Duration;

use serde_json::{Value, json};
use twotick::store::claim::Claim;

use crate::races::{accepted, first_claim, without_answers};
use crate::support::*;

/// A message whose answer was lost, and of which a stranger says that it was delivered.
struct Taken {
    message: String,
    wamid: String,
    claim: Claim,
}

async fn taken_for_strangers(app: &App, n: usize) -> Vec<Taken> {
    let mut asked = Vec::new();
    for _ in 0..n {
        let alone =
            json!({"sender": app.sender, "to": "447700900123", "messages": [step("alone")]});
        let (sequence, messages) = app.sequence(alone).await;
        asked.push((sequence, messages[0].clone()));
    }
    let posts = app.posts_until(n).await;
    let mut all = Vec::new();
    for (sequence, message) in asked {
        let path = format!("/v1/messages/{message}");
        app.get_until(&path, |message| message["status"] == "unknown")
            .await;
        let mut posts = posts.iter();
        let post = posts.find(|post| post["callback"] == format!("{message}.1"));
        let wamid = post.unwrap()["wamid"].as_str().unwrap().to_owned();
        let claim = first_claim(app, &sequence, &message).await;
        app.say(&[delivered(&wamid, 5, json!({"conversation": {"id": "5"}}))])
            .await;
        all.push(Taken {
            message,
            wamid,
            claim,
        });
    }
    all
}

fn delivered(wamid: &str, at: i64, beside: Value) -> Value {
    let mut delivered = status(wamid, "delivered", at);
    let members = delivered.as_object_mut().unwrap();
    members.extend(beside.as_object().unwrap().clone());
    delivered
}

/// One of three that meet: an adoption, by the answer or by a webhook with our id, and two copies
/// of what a stranger said.
async fn meet(app: &App, taken: &Taken, which: usize, by_answer: bool) {
    let Taken {
        message,
        wamid,
        claim,
    } = taken;
    match which {
        0 if by_answer => {
            let answer = accepted(wamid);
            app.store
                .record_accepted(claim, &answer, LIFETIMES)
                .await
                .unwrap();
        }
        0 => {
            let mut sent = status(wamid, "sent", 0);
            sent["biz_opaque_callback_data"] = format!("{message}.1").into();
            app.say(&[sent]).await;
        }
        1 => {
            let first = delivered(wamid, 1, json!({"conversation": {"id": "1"}}));
            app.say(&[first]).await;
        }
        _ => {
            let priced = delivered(wamid, 9, json!({"pricing": {"category": "utility"}}));
            app.say(&[priced]).await;
        }
    }
}

async fn after_meeting(app: &App, taken: &Taken) -> Value {
    let path = format!("/v1/messages/{}", taken.message);
    let message = app.get(&path).await;
    let history = app.get(&format!("{path}/history")).await;
    let facts = history["data"].as_array().unwrap().iter();
    let said = facts.filter_map(|fact| match fact["type"].as_str().unwrap() {
        "message.adopted" => Some(json!(["adopted", fact["attempt"]])),
        "message.delivered" => {
            let conversation = &fact["data"]["conversation"]["id"];
            let price = &fact["data"]["pricing"]["category"];
            Some(json!([
                fact["attempt"],
                fact["occurred_at"],
                conversation,
                price
            ]))
        }
        _ => None,
    });
    let mut said: Vec<_> = said.collect();
    said.sort_by_key(Value::to_string);
    json!([message["status"], message["delivered_at"], said])
}

/// Serially in every order, and at once from moments that chance decides.
#[tokio::test]
async fn a_copy_that_meets_the_adoption_of_its_attempt_is_joined_as_in_any_order() {
    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    const MEETINGS: usize = 36;
    let app = without_answers().await;
    let all = taken_for_strangers(&app, ORDERS.len() + MEETINGS).await;
    let (serial, racing) = all.split_at(ORDERS.len());
    let mut ends = Vec::new();
    for (n, (taken, order)) in serial.iter().zip(ORDERS).enumerate() {
        for which in order {
            meet(&app, taken, which, n % 2 == 0).await;
        }
        ends.push(after_meeting(&app, taken).await);
    }
    let expected = ends.remove(0);
    assert_eq!(expected[0], "delivered");
    assert_eq!(expected[2].as_array().unwrap().len(), 2, "{expected}");
    for (end, order) in ends.iter().zip(&ORDERS[1..]) {
        assert_eq!(*end, expected, "{order:?}");
    }
    for (n, taken) in racing.iter().enumerate() {
        // Commits take some milliseconds.
        let begins = twotick::clock::random::<3>().map(|byte| u64::from(byte % 80) * 100);
        let comes = async |which: usize| {
            tokio::time::sleep(Duration::from_micros(begins[which])).await;
            meet(&app, taken, which, n % 2 == 0).await;
        };
        tokio::join!(comes(0), comes(1), comes(2));
        assert_eq!(
            after_meeting(&app, taken).await,
            expected,
            "{n}: {begins:?}"
        );
    }
}
