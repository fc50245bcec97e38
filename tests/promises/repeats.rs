//! An answer that was lost, where the same POST twice is one message: it is asked for again by
//! posting the same under the same id. With Meta and 360dialog nothing is (`sending`).

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use twotick::config::Config;
use twotick::model::Timestamp;
use twotick::model::error_class::ErrorClass;
use twotick::model::fact::ProviderError;
use twotick::simulator;
use twotick::store::answers::Refused;

use crate::carriers::{Carrier, carrier, says, status_is};
use crate::races::first_claim;
use crate::simulated::pairs;
use crate::support::*;

const USER: &str = "385910000001";

async fn start(settings: impl FnOnce(&mut Config)) -> (App, Carrier) {
    let app = App::start_with(settings, simulator::Config::default()).await;
    let infobip = carrier(&app, &pairs()[2]).await;
    (app, infobip)
}

async fn faults(app: &App, faults: Value) {
    app.control_send(Method::PUT, "faults", faults).await;
}

/// How long the provider takes to answer, from now on.
async fn answers_after(app: &App, ms: u64) {
    let delays = json!({"answer_ms": {"min": ms, "max": ms}});
    app.control_send(Method::PUT, "delays", delays).await;
}

async fn sequence(app: &App, infobip: &Carrier) -> (String, String) {
    let step = template_step("offer", "one");
    let new = json!({"sender": infobip.sender, "to": USER, "messages": [step]});
    let (sequence, messages) = app.sequence(new).await;
    (sequence, messages[0].clone())
}

fn is_to_be_repeated(shown: &Value) -> bool {
    shown["status"] == "unknown" && shown["next_attempt_at"].is_string()
}

/// Exactly one message went out, under the first attempt's id.
async fn went_once(app: &App, message: &str) {
    let stats = app.control("stats").await;
    assert_eq!(stats["accepted"], 1, "{stats}");
    for post in app.posts().await {
        assert_eq!(post["callback"], format!("{message}.1"));
    }
    let shown = app.get(&format!("/v1/messages/{message}")).await;
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 1, "{shown:#}");
}

#[tokio::test]
async fn what_stays_lost_is_repeated_under_its_id_so_often_and_then_held_for_a_person() {
    let (app, infobip) = start(|config| config.send.backoff = Duration::from_millis(1)).await;
    faults(&app, json!({"lost_answer": 1.0})).await;
    let (sequence_id, message) = sequence(&app, &infobip).await;
    app.posts_until(9).await;
    let path = format!("/v1/sequences/{sequence_id}");
    assert_eq!(app.get(&path).await["status"], "running");
    let shown = app.get(&format!("/v1/messages/{message}")).await;
    assert_eq!(shown["status"], "unknown");
    // So long evidence is waited for.
    app.clock.advance(Duration::from_secs(3600));
    let held = app.get_until(&path, status_is("held")).await;
    assert_eq!(held["reason"], "unknown");
    assert_eq!(app.posts().await.len(), 9);
    went_once(&app, &message).await;

    // A person who has it posted again cannot double it either.
    faults(&app, json!({})).await;
    app.create(&format!("{path}/retry"), json!({})).await;
    assert_eq!(app.accepted(&message).await, format!("{message}.1"));
    went_once(&app, &message).await;
}

#[tokio::test]
async fn an_answer_that_is_slow_is_overtaken_by_that_of_its_repeat() {
    // What takes longer from the claim on is not posted: a busy machine needs some time for that.
    let settings = |config: &mut Config| config.send.post_timeout = Duration::from_secs(1);
    let (app, infobip) = start(settings).await;
    answers_after(&app, 60_000).await;
    let (sequence_id, message) = sequence(&app, &infobip).await;
    app.posts_until(1).await;
    answers_after(&app, 0).await;
    assert_eq!(app.accepted(&message).await, format!("{message}.1"));
    went_once(&app, &message).await;
    says(&app, &format!("{message}.1"), "delivered").await;
    let path = format!("/v1/sequences/{sequence_id}");
    app.get_until(&path, status_is("completed")).await;
}

#[tokio::test]
async fn a_repeat_that_is_refused_for_now_leaves_open_what_became_of_the_first() {
    let (app, infobip) =
        start(|config| config.send.rate_limit_wait = Duration::from_millis(20)).await;
    faults(&app, json!({"lost_answer": 1.0})).await;
    let (_, message) = sequence(&app, &infobip).await;
    let path = format!("/v1/messages/{message}");
    app.posts_until(1).await;
    for trouble in ["rate_limited", "refuse_transient"] {
        faults(&app, json!({trouble: 1.0})).await;
        let before = app.posts().await.len();
        let posts = app.posts_until(before + 3).await;
        assert_eq!(posts.last().unwrap()["outcome"], "refused");
        let shown = app.get(&path).await;
        assert_eq!(shown["status"], "unknown", "{trouble}: {shown:#}");
    }
    faults(&app, json!({})).await;
    assert_eq!(app.accepted(&message).await, format!("{message}.1"));
    went_once(&app, &message).await;
}

#[tokio::test]
async fn evidence_of_what_was_lost_comes_before_its_repeat_which_then_does_not_go() {
    let (app, infobip) = start(|config| config.send.backoff = Duration::from_secs(600)).await;
    faults(&app, json!({"lost_answer": 1.0})).await;
    let (sequence_id, message) = sequence(&app, &infobip).await;
    let path = format!("/v1/messages/{message}");
    let shown = app.get_until(&path, is_to_be_repeated).await;
    assert_eq!(shown["waiting"]["reason"], "retry");
    says(&app, &format!("{message}.1"), "delivered").await;
    let path = format!("/v1/sequences/{sequence_id}");
    app.get_until(&path, status_is("completed")).await;
    faults(&app, json!({})).await;
    app.clock.advance(Duration::from_secs(3600));
    app.fence_of(&infobip.sender).await;
    let offers = app.posts().await.into_iter();
    let offers = offers.filter(|post| post["callback"] == format!("{message}.1"));
    assert_eq!(offers.count(), 1);
}

#[tokio::test]
async fn what_has_waited_until_the_provider_may_have_forgotten_it_is_held_for_a_person() {
    let (app, infobip) = start(|config| config.send.backoff = Duration::from_secs(600)).await;
    faults(&app, json!({"lost_answer": 1.0})).await;
    let (sequence_id, message) = sequence(&app, &infobip).await;
    app.get_until(&format!("/v1/messages/{message}"), is_to_be_repeated)
        .await;
    faults(&app, json!({})).await;
    app.clock.advance(Duration::from_secs(4000));
    let path = format!("/v1/sequences/{sequence_id}");
    let held = app.get_until(&path, status_is("held")).await;
    assert_eq!(held["reason"], "unknown");
    assert_eq!(app.posts().await.len(), 1);
}

#[tokio::test]
async fn what_a_person_ends_meanwhile_is_not_repeated() {
    let (app, infobip) = start(|config| config.send.backoff = Duration::from_secs(600)).await;
    faults(&app, json!({"lost_answer": 1.0})).await;
    let (sequence_id, message) = sequence(&app, &infobip).await;
    let path = format!("/v1/messages/{message}");
    app.get_until(&path, is_to_be_repeated).await;
    let path = format!("/v1/sequences/{sequence_id}");
    app.create(&format!("{path}/cancel"), json!({})).await;
    faults(&app, json!({})).await;
    app.clock.advance(Duration::from_secs(3600));
    app.fence_of(&infobip.sender).await;
    assert_eq!(app.get(&path).await["status"], "cancelled");
    let posts = app.posts().await;
    assert_eq!(posts.len(), 2, "the other is the fence: {posts:#?}");
}

/// What the first POST's answer says while its repeat is out, and what was said then of it.
async fn first_is_told_of_while_its_repeat_is_out(again_at: Option<Timestamp>) {
    let slowly = |config: &mut Config| config.send.backoff = Duration::from_secs(600);
    let (app, infobip) = start(slowly).await;
    faults(&app, json!({"lost_answer": 1.0})).await;
    let (sequence_id, message) = sequence(&app, &infobip).await;
    let path = format!("/v1/messages/{message}");
    app.get_until(&path, is_to_be_repeated).await;
    let first = first_claim(&app, &sequence_id, &message).await;
    faults(&app, json!({})).await;
    answers_after(&app, 500).await;
    app.clock.advance(Duration::from_secs(1200));
    app.posts_until(2).await;
    let refused = Refused {
        error: ProviderError {
            code: 400,
            title: Some("no".to_owned()),
            details: None,
        },
        class: ErrorClass::FixRequest,
        again_at,
        closes: None,
    };
    app.store.record_refused(&first, &refused).await.unwrap();
    // It neither ends the sequence nor frees it for another POST beside the one that is out.
    let shown = app.get(&path).await;
    let stands = ["unknown", "accepted"].map(|word| shown["status"] == word);
    assert!(stands.contains(&true), "{shown:#}");
    assert_eq!(app.accepted(&message).await, format!("{message}.1"));
    let sequence = app.get(&format!("/v1/sequences/{sequence_id}")).await;
    assert_eq!(sequence["status"], "running");
    assert_eq!(app.posts().await.len(), 2);
    went_once(&app, &message).await;
}

#[tokio::test]
async fn a_late_refusal_does_not_decide_on_what_is_being_repeated() {
    first_is_told_of_while_its_repeat_is_out(None).await;
    let now = twotick::clock::Clock::system().now();
    first_is_told_of_while_its_repeat_is_out(Some(now)).await;
}
