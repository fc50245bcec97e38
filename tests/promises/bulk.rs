//! Messages that go as one request, where the provider takes several in one: each is an attempt of
//! its own all the same, and none depends on what becomes of another.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use twotick::simulator;

use crate::carriers::{Carrier, carrier, says, status_is};
use crate::simulated::pairs;
use crate::support::*;

/// When everything is due at once.
const THEN: &str = "2099-01-01T00:00:00Z";

async fn start() -> (App, Carrier) {
    let app = App::start_with(|_| {}, simulator::Config::default()).await;
    let infobip = carrier(&app, &pairs()[2]).await;
    (app, infobip)
}

/// Takes a message in, to a user of its own, for then.
async fn take(app: &App, mut message: Value, n: usize) -> String {
    message["to"] = format!("38591{n:07}").into();
    message["at"] = THEN.into();
    let message = app.create("/v1/messages", message).await;
    message["id"].as_str().unwrap().to_owned()
}

async fn take_offers(app: &App, infobip: &Carrier, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..n {
        ids.push(take(app, infobip.lone("offer", &format!("offer {n}")), n).await);
    }
    ids
}

/// Then comes.
fn all_are_due(app: &App) {
    app.clock.advance(Duration::from_secs(80 * 366 * 86_400));
}

/// The messages of each request to Infobip, by the ids of their attempts, in the order of their
/// arrival.
async fn requests(app: &App) -> Vec<BTreeSet<String>> {
    let mut requests: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
    for post in app.posts().await {
        let request = requests.entry(post["tick"].as_u64().unwrap()).or_default();
        request.insert(post["callback"].as_str().unwrap().to_owned());
    }
    requests.into_values().collect()
}

fn first_attempts(ids: &[String]) -> BTreeSet<String> {
    ids.iter().map(|id| format!("{id}.1")).collect()
}

async fn faults(app: &App, faults: Value) {
    app.control_send(Method::PUT, "faults", faults).await;
}

/// The types of what happened to a message, in order.
async fn history(app: &App, id: &str) -> Vec<String> {
    let history = app.get(&format!("/v1/messages/{id}/history")).await;
    let facts = history["data"].as_array().unwrap().iter();
    let types = facts.map(|fact| fact["type"].as_str().unwrap().to_owned());
    types.collect()
}

#[tokio::test]
async fn templates_that_are_due_at_once_go_in_one_request_and_each_keeps_its_own_id_and_end() {
    let (app, infobip) = start().await;
    let offers = take_offers(&app, &infobip, 20).await;
    let mut texts = Vec::new();
    for n in 20..22 {
        texts.push(take(&app, text(&infobip.sender, "", "hi"), n).await);
    }
    all_are_due(&app);
    for id in offers.iter().chain(&texts) {
        assert_eq!(app.accepted(id).await, format!("{id}.1"));
    }
    let mut requests = requests(&app).await;
    requests.sort_by_key(BTreeSet::len);
    assert_eq!(requests.len(), 3, "a text has a request of its own");
    assert_eq!(requests[2], first_attempts(&offers));
    // What is said of one is said of no other.
    says(&app, &format!("{}.1", offers[3]), "failed").await;
    says(&app, &format!("{}.1", offers[4]), "delivered").await;
    for (id, status) in [(3, "failed"), (4, "delivered"), (5, "accepted")] {
        let path = format!("/v1/messages/{}", offers[id]);
        app.get_until(&path, status_is(status)).await;
    }
}

#[tokio::test]
async fn one_poisoned_message_fails_alone_and_holds_up_none_of_those_it_went_with() {
    let (app, infobip) = start().await;
    let offers = take_offers(&app, &infobip, 20).await;
    // Infobip wants placeholders, and refuses all for one that has none.
    let content = json!({"templateName": "offer", "language": "en_US"});
    let poisoned = json!({"sender": infobip.sender, "type": "raw",
        "raw": {"endpoint": "template", "content": content}});
    let poisoned = take(&app, poisoned, 20).await;
    all_are_due(&app);
    let path = format!("/v1/messages/{poisoned}");
    let failed = app.get_until(&path, status_is("failed")).await;
    assert_eq!(failed["error"]["class"], "fix_request");
    assert_eq!(failed["attempts"].as_array().unwrap().len(), 1);
    for id in &offers {
        assert_eq!(
            app.accepted(id).await,
            format!("{id}.1"),
            "none was counted"
        );
        let told = ["released", "refused", "released", "accepted"];
        let told = told.map(|word| format!("message.{word}"));
        assert_eq!(history(&app, id).await, told);
    }
    let requests = requests(&app).await;
    assert_eq!(requests[0].len(), 21);
    assert_eq!(requests.len(), 1 + 21, "then each alone");
    assert!(requests[1..].iter().all(|request| request.len() == 1));
}

#[tokio::test]
async fn an_answer_that_is_lost_for_many_is_asked_for_again_for_each_and_each_is_sent_once() {
    let (app, infobip) = start().await;
    let offers = take_offers(&app, &infobip, 20).await;
    faults(&app, json!({"lost_answer": 1.0})).await;
    all_are_due(&app);
    app.posts_until(20).await;
    faults(&app, json!({})).await;
    for id in &offers {
        assert_eq!(app.accepted(id).await, format!("{id}.1"));
        let message = app.get(&format!("/v1/messages/{id}")).await;
        assert_eq!(message["attempts"].as_array().unwrap().len(), 1);
        let history = history(&app, id).await;
        let times = |word: &str| history.iter().filter(|told| *told == word).count();
        assert!(times("message.unknown") >= 1, "{history:?}");
        assert_eq!(times("message.accepted"), 1, "{history:?}");
    }
    let requests = requests(&app).await;
    assert_eq!(requests[0], first_attempts(&offers));
    assert!(requests[1..].iter().all(|request| request.len() == 1));
    let stats = app.control("stats").await;
    assert_eq!(stats["accepted"], 20, "{stats}");
    assert!(stats["refused"]["23"].as_u64().unwrap() >= 20, "{stats}");
}

#[tokio::test]
async fn what_is_refused_for_all_is_each_ones_refusal() {
    let app = App::start_with(
        |config| config.send.rate_limit_wait = Duration::from_millis(50),
        simulator::Config::default(),
    )
    .await;
    let infobip = carrier(&app, &pairs()[2]).await;
    let offers = take_offers(&app, &infobip, 5).await;
    faults(&app, json!({"rate_limited": 1.0})).await;
    all_are_due(&app);
    for id in &offers {
        let limited = |message: &Value| message["waiting"]["reason"] == "rate_limit";
        let path = format!("/v1/messages/{id}");
        let message = app.get_until(&path, limited).await;
        assert_eq!(message["attempts"], json!([]));
    }
    faults(&app, json!({})).await;
    for id in &offers {
        assert_eq!(app.accepted(id).await, format!("{id}.1"));
    }
    assert_eq!(requests(&app).await[0], first_attempts(&offers));
}
