//! What two do at once. Each test brings about one interleaving by holding a lock until the
//! others wait for it, so that it happens every time.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use twotick::model::error_class::{ErrorClass, Scope};
use twotick::model::fact::ProviderError;
use twotick::model::ids::{SenderId, SequenceId};
use twotick::model::provider::Provider;
use twotick::model::sequence::{Gate, GateStatus, OnDeadline};
use twotick::simulator::{self, Faults};
use twotick::store::acceptances::Accepted;
use twotick::store::answers::{Closes, Refused};
use twotick::store::claim::Claim;
use twotick::store::leases::Lease;

use crate::support::*;

/// A service whose provider takes messages and never answers.
pub async fn without_answers() -> App {
    let mut faults = Faults::default();
    faults.set("lost_answer", 1.0).unwrap();
    let config = simulator::Config {
        faults,
        ..simulator::Config::default()
    };
    App::start_with(|_| {}, config).await
}

async fn end_faults(app: &App) {
    app.control_send(Method::PUT, "faults", json!({})).await;
}

pub fn two_steps(app: &App) -> Value {
    json!({"sender": app.sender, "to": "447700900123", "messages": [step("one"), step("two")]})
}

/// The claim under which the first attempt of a sequence's first message was posted.
pub async fn first_claim(app: &App, sequence: &str, message: &str) -> Claim {
    let posted_at = sqlx::query_scalar(
        "SELECT posted_at FROM attempts a JOIN messages m ON m.id = a.message
         WHERE m.sequence = $1 AND m.position = 1 AND a.n = 1",
    )
    .bind(uuid_of(sequence))
    .fetch_one(&mut app.session().await)
    .await
    .unwrap();
    Claim {
        attempt: twotick::model::ids::AttemptId {
            message: message.parse().unwrap(),
            n: 1,
        },
        sequence: sequence.parse().unwrap(),
        position: 1,
        epoch: 1,
        posted_at,
        refusals: 0,
        repeated: false,
        due_since: posted_at,
        gate: Gate {
            status: GateStatus::Delivered,
            deadline: Duration::from_secs(3600),
            on_deadline: OnDeadline::Stop,
        },
        template: None,
        phone_number_id: NUMBER.to_owned(),
        waba_id: None,
        recipient: "447700900123".to_owned(),
        kind: "text".to_owned(),
        marketing: None,
        content: json!({}),
    }
}

pub fn uuid_of(sequence: &str) -> uuid::Uuid {
    sequence.parse::<SequenceId>().unwrap().uuid
}

async fn work_of(app: &App, sequence: &str) -> String {
    sqlx::query_scalar("SELECT work FROM sequences WHERE id = $1")
        .bind(uuid_of(sequence))
        .fetch_one(&mut app.session().await)
        .await
        .unwrap()
}

/// A sequence of two whose first message was posted, and whose answer was lost.
pub async fn lost(app: &App) -> (String, Vec<String>, String) {
    let (sequence, messages) = app.sequence(two_steps(app)).await;
    app.get_until(&format!("/v1/messages/{}", messages[0]), |message| {
        message["status"] == "unknown"
    })
    .await;
    end_faults(app).await;
    let wamid = app.posts().await[0]["wamid"].as_str().unwrap().to_owned();
    (sequence, messages, wamid)
}

pub fn accepted(wamid: &str) -> Accepted {
    Accepted {
        provider_message_id: wamid.to_owned(),
        wa_id: None,
        outcome: "accepted",
    }
}

pub async fn hold_attempt(session: &mut PgConnection, wamid: &str) {
    let held = sqlx::query("SELECT FROM attempts WHERE provider_message_id = $1 FOR UPDATE");
    let held = held.bind(wamid).execute(session).await.unwrap();
    assert_eq!(held.rows_affected(), 1);
}

#[tokio::test]
async fn a_status_that_meets_the_adoption_of_its_attempt_opens_the_gate() {
    let app = without_answers().await;
    let (sequence, messages, wamid) = lost(&app).await;
    app.say(&[status(&wamid, "sent", 0)]).await;

    let mut session = app.session().await;
    let mut holder = session.begin().await.unwrap();
    hold_attempt(&mut holder, &wamid).await;
    // First the answer waits, to adopt the stranger; then a webhook that has found the stranger.
    let store = app.store.clone();
    let claim = first_claim(&app, &sequence, &messages[0]).await;
    let answer = accepted(&wamid);
    let answered =
        tokio::spawn(async move { store.record_accepted(&claim, &answer, LIFETIMES).await });
    app.waiting_for_locks(1).await;
    let delivered = [status(&wamid, "delivered", 1)];
    let release = async {
        app.waiting_for_locks(2).await;
        holder.rollback().await.unwrap();
    };
    tokio::join!(app.say(&delivered), release);
    answered.await.unwrap().unwrap();

    let first = app.get(&format!("/v1/messages/{}", messages[0])).await;
    assert_eq!(first["status"], "delivered");
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn a_status_that_meets_a_resume_opens_the_gate() {
    let app = App::start().await;
    let (sequence, messages) = app.sequence(two_steps(&app)).await;
    let wamid = app.accepted(&messages[0]).await;
    let path = format!("/v1/sequences/{sequence}");
    app.create(&format!("{path}/pause"), json!({})).await;

    let mut session = app.session().await;
    let mut holder = session.begin().await.unwrap();
    hold_attempt(&mut holder, &wamid).await;
    let delivered = [status(&wamid, "delivered", 1)];
    let resume = async {
        // The webhook's statement has begun: to it, the sequence is paused.
        app.waiting_for_locks(1).await;
        app.create(&format!("{path}/resume"), json!({})).await;
        // And its claimer has looked, and seen nothing yet.
        app.fence().await;
        holder.rollback().await.unwrap();
    };
    tokio::join!(app.say(&delivered), resume);
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn evidence_does_not_bring_a_retry_forward() {
    let app = App::start().await;
    let mut body = two_steps(&app);
    body["gate"] = json!({"status": "sent"});
    body["on_failure"] = "retry".into();
    let (_, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    // Not again before 24 hours have passed. Its `sent` comes late.
    let mut failed = status(&wamid, "failed", 1);
    failed["errors"][0]["code"] = 131_049.into();
    app.say(&[failed]).await;
    let path = format!("/v1/messages/{}", messages[0]);
    let wanted = |message: &Value| message["next_attempt_at"].is_string();
    let before = app.get_until(&path, wanted).await;
    app.say(&[status(&wamid, "sent", 0)]).await;
    app.fence().await;
    let after = app.get(&path).await;
    assert_eq!(after["next_attempt_at"], before["next_attempt_at"]);
    assert_eq!(posted_texts(&app.posts().await), ["one"]);
}

#[tokio::test]
async fn a_late_refusal_of_an_old_attempt_posts_nothing_again() {
    let app = without_answers().await;
    let (sequence, messages, _) = lost(&app).await;
    let claim = first_claim(&app, &sequence, &messages[0]).await;
    let path = format!("/v1/messages/{}", messages[0]);
    app.create(&format!("{path}/retry"), json!({})).await;
    app.accepted(&messages[0]).await;
    let too_fast = Refused {
        error: ProviderError {
            code: 130_429,
            title: None,
            details: None,
        },
        class: ErrorClass::RateLimit(Scope::Sender),
        again_at: Some(app.clock.now()),
        closes: None,
    };
    app.store.record_refused(&claim, &too_fast).await.unwrap();
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await), ["one", "one"]);
    assert_eq!(work_of(&app, &sequence).await, "waiting");
}

/// Each look of the claimer costs a claim; `sent` mostly overtakes the answer.
#[tokio::test]
async fn only_what_the_gate_waits_for_makes_an_answered_sequence_due() {
    for (word, looks) in [("sent", false), ("delivered", true)] {
        let mut faults = Faults::default();
        faults.set("answer_late", 1.0).unwrap();
        let config = simulator::Config {
            faults,
            ..simulator::Config::default()
        };
        let app = App::start_with(|_| {}, config).await;
        let (sequence, messages) = app.sequence(two_steps(&app)).await;
        app.posts_until(1).await;
        let claim = first_claim(&app, &sequence, &messages[0]).await;
        let wamid = app.posts().await[0]["wamid"].as_str().unwrap().to_owned();
        let mut said = status(&wamid, word, 0);
        said["biz_opaque_callback_data"] = claim.attempt.to_callback().into();
        app.say(&[said]).await;
        let answer = accepted(&wamid);
        let due = app.store.record_accepted(&claim, &answer, LIFETIMES).await;
        assert_eq!(due.unwrap(), looks, "{word}");
    }
}

#[tokio::test]
async fn a_late_answer_does_not_end_the_claim_of_a_later_attempt() {
    let app = without_answers().await;
    let (sequence, messages, wamid) = lost(&app).await;
    let claim = first_claim(&app, &sequence, &messages[0]).await;
    // The second attempt is under way until a webhook says so.
    app.control_send(Method::PUT, "faults", json!({"answer_late": 1.0}))
        .await;
    let path = format!("/v1/messages/{}", messages[0]);
    app.create(&format!("{path}/retry"), json!({})).await;
    app.posts_until(2).await;
    app.store
        .record_accepted(&claim, &accepted(&wamid), LIFETIMES)
        .await
        .unwrap();
    assert_eq!(work_of(&app, &sequence).await, "claimed");
    app.say(&[status(&wamid, "delivered", 1)]).await;
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn a_late_answer_keeps_a_resend_from_being_posted() {
    let app = without_answers().await;
    let mut body = two_steps(&app);
    body["messages"][0] = template_step("offer", "one");
    body["messages"][0]["on_unknown"] = "resend".into();
    let (sequence, messages) = app.sequence(body).await;
    let path = format!("/v1/messages/{}", messages[0]);
    app.get_until(&path, |message| message["status"] == "unknown")
        .await;
    end_faults(&app).await;
    let wamid = app.posts().await[0]["wamid"].as_str().unwrap().to_owned();
    // The lane is closed, so that the resend has to wait.
    let paused = json!({"language": "en_US", "status": "PAUSED", "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", paused)
        .await;
    let closed = management_body(
        "message_template_status_update",
        app.clock.now().unix_timestamp(),
        json!({"event": "PAUSED", "message_template_id": 1, "message_template_name": "offer",
               "message_template_language": "en_US"}),
    );
    assert_eq!(app.webhook(&closed).await, reqwest::StatusCode::OK);
    app.clock.advance(Duration::from_secs(121));
    app.fence().await;
    assert_eq!(work_of(&app, &sequence).await, "ready");
    let claim = first_claim(&app, &sequence, &messages[0]).await;
    let answer = accepted(&wamid);
    app.store
        .record_accepted(&claim, &answer, LIFETIMES)
        .await
        .unwrap();
    app.fence().await;
    assert_eq!(work_of(&app, &sequence).await, "waiting");
    assert_eq!(app.get(&path).await["status"], "accepted");
    app.say(&[status(&wamid, "delivered", 1)]).await;
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn a_delivery_keeps_a_retry_that_was_given_back_from_being_posted() {
    let app = App::start().await;
    let mut body = two_steps(&app);
    body["messages"][0] = template_step("offer", "one");
    body["gate"] = json!({"status": "read"});
    body["on_failure"] = "retry".into();
    let (sequence, messages) = app.sequence(body).await;
    let wamid = app.accepted(&messages[0]).await;
    // The retry is posted into a pause, and comes back.
    let paused = json!({"language": "en_US", "status": "PAUSED", "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", paused)
        .await;
    let mut failed = status(&wamid, "failed", 1);
    failed["errors"][0]["code"] = 131_000.into();
    app.say(&[failed]).await;
    app.posts_until(2).await;
    let given_back = async {
        while work_of(&app, &sequence).await != "ready" {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    // A claim that began before the pause was known may have posted it once more.
    app.fence().await;
    tokio::time::timeout(PATIENCE, given_back).await.unwrap();
    let posted = posted_texts(&app.posts().await);
    // It was delivered after all, and the pause ends.
    app.say(&[status(&wamid, "delivered", 0)]).await;
    let open = json!({"language": "en_US", "status": "APPROVED", "category": "MARKETING"});
    app.control_send(Method::PUT, "templates/offer", open).await;
    let opened = management_body(
        "message_template_status_update",
        app.clock.now().unix_timestamp() + 60,
        json!({"event": "APPROVED", "message_template_id": 1, "message_template_name": "offer",
               "message_template_language": "en_US"}),
    );
    assert_eq!(app.webhook(&opened).await, reqwest::StatusCode::OK);
    app.fence().await;
    assert_eq!(posted_texts(&app.posts().await), posted);
    assert_eq!(work_of(&app, &sequence).await, "waiting");
    app.say(&[status(&wamid, "read", 2)]).await;
    app.accepted(&messages[1]).await;
}

#[tokio::test]
async fn a_person_can_post_again_what_is_late_although_its_answer_was_lost() {
    let app = without_answers().await;
    let mut body = two_steps(&app);
    body["gate"] = json!({"status": "delivered", "deadline": "1s", "on_deadline": "hold"});
    let (sequence, messages) = app.sequence(body).await;
    let path = format!("/v1/messages/{}", messages[0]);
    app.get_until(&path, |message| message["status"] == "unknown")
        .await;
    end_faults(&app).await;
    let post = app.posts().await.remove(0);
    let mut sent = status(post["wamid"].as_str().unwrap(), "sent", 0);
    sent["biz_opaque_callback_data"] = post["callback"].clone();
    app.say(&[sent]).await;
    let path = format!("/v1/sequences/{sequence}");
    app.get_until(&path, |sequence| sequence["status"] == "held")
        .await;
    app.create(&format!("{path}/retry"), json!({})).await;
    let posts = app.posts_until(2).await;
    assert_eq!(posted_texts(&posts), ["one", "one"]);
}

#[tokio::test]
async fn an_old_lease_that_ends_leaves_the_new_one_alone() {
    let app = App::start().await;
    let me = app.clock.new_id();
    let mut session = app.session().await;
    let sender: SenderId = app.sender.parse().unwrap();
    let taken = sqlx::query(
        "UPDATE senders SET lease_owner = $1, lease_epoch = 10, lease_until = now() + '1 hour'
         WHERE id = $2",
    );
    let taken = taken.bind(me).bind(sender.0);
    taken.execute(&mut session).await.unwrap();
    let lease = |epoch| Lease {
        sender,
        connection: app.connection.parse().unwrap(),
        provider: Provider::Meta,
        epoch,
        messages_per_second: 1,
        is_red: false,
    };
    let owned = async |session: &mut PgConnection| -> bool {
        sqlx::query_scalar("SELECT (lease_owner = $1) IS TRUE FROM senders WHERE id = $2")
            .bind(me)
            .bind(sender.0)
            .fetch_one(session)
            .await
            .unwrap()
    };
    app.store.release_lease(me, &lease(9)).await.unwrap();
    assert!(owned(&mut session).await);
    app.store.release_lease(me, &lease(10)).await.unwrap();
    assert!(!owned(&mut session).await);
}

#[tokio::test]
async fn a_refusal_from_before_a_repair_closes_nothing() {
    let app = without_answers().await;
    let (sequence, messages, _) = lost(&app).await;
    let claim = first_claim(&app, &sequence, &messages[0]).await;
    let path = format!("/v1/senders/{}", app.sender);
    let status = async || app.get(&path).await["status"].clone();
    let spam = Refused {
        error: ProviderError {
            code: 131_048,
            title: None,
            details: None,
        },
        class: ErrorClass::SenderStops,
        again_at: Some(app.clock.now() + Duration::from_secs(3600)),
        closes: Some(Closes::Sender),
    };
    app.store.record_refused(&claim, &spam).await.unwrap();
    assert_eq!(status().await, "blocked");
    // A person opens it. Then the same comes again: its acknowledgement was lost.
    app.send(Method::PATCH, &path, json!({"status": "active"}))
        .await;
    app.store.record_refused(&claim, &spam).await.unwrap();
    assert_eq!(status().await, "active");

    // A later one blocks it; the provider reinstates the account, and only then the answer of one
    // that was posted before that is recorded.
    let mut later = claim.clone();
    later.posted_at = app.clock.now();
    let reinstated = management_body(
        "account_update",
        app.clock.now().unix_timestamp() + 1,
        json!({"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "REINSTATE"}}),
    );
    assert_eq!(app.webhook(&reinstated).await, reqwest::StatusCode::OK);
    app.store.record_refused(&later, &spam).await.unwrap();
    assert_eq!(status().await, "active");
    // In the feed's order: what was said later shows that nothing before it is held back.
    let of = |answer: &Value, wanted: &str| {
        let events = answer["data"].as_array().unwrap().iter();
        events.filter(|event| event["type"] == wanted).count()
    };
    let is_there = |answer: &Value| of(answer, "account.update") == 1;
    let events = app.get_until("/v1/events?limit=500", is_there).await;
    assert_eq!(of(&events, "sender.blocked"), 1);
}

/// The answer came while the database was away, and long before that it had been given up.
#[tokio::test]
async fn an_answer_that_comes_while_the_database_is_away_is_not_lost() {
    const POST_TIMEOUT: Duration = Duration::from_millis(1500);
    const ANSWER_TIMEOUT: Duration = Duration::from_millis(2500);
    let mut faults = Faults::default();
    faults.set("answer_late", 1.0).unwrap();
    let config = simulator::Config {
        faults,
        ..simulator::Config::default()
    };
    let shorter = |settings: &mut twotick::config::Config| {
        settings.send.post_timeout = POST_TIMEOUT;
        settings.send.answer_timeout = ANSWER_TIMEOUT;
    };
    let app = App::start_with(shorter, config).await;
    let message = text(&app.sender, "447700900123", "hi");
    let id = app.create("/v1/messages", message).await["id"].clone();
    app.posts_until(1).await;
    let given_up = app.clock.monotonic() + ANSWER_TIMEOUT + Duration::from_millis(300);
    let mut session = app.session().await;
    let mut holder = session.begin().await.unwrap();
    sqlx::query("SELECT FROM attempts FOR UPDATE")
        .execute(&mut *holder)
        .await
        .unwrap();
    // The simulator answers 2 s after it was asked: between the two time limits. Only their passing
    // shows what is wrong.
    app.waiting_for_locks(1).await;
    tokio::time::sleep_until(given_up.into()).await;
    holder.rollback().await.unwrap();
    app.accepted(id.as_str().unwrap()).await;
}

#[tokio::test]
async fn what_a_webhook_has_spoken_of_is_not_told_as_unknown_when_its_poster_is_gone() {
    let app = App::start().await;
    let (_, messages) = app.sequence(two_steps(&app)).await;
    let wamid = app.accepted(&messages[0]).await;
    let mut session = app.session().await;
    for forgotten in [
        "UPDATE attempts SET outcome = NULL, accepted_at = NULL",
        "UPDATE sequences SET work = 'claimed', claim_epoch = 0, deadline_at = NULL, due_at = NULL,
                              claim_until = now() + interval '1 hour'",
    ] {
        sqlx::query(forgotten).execute(&mut session).await.unwrap();
    }
    app.say(&[status(&wamid, "delivered", 0)]).await;
    sqlx::query("UPDATE sequences SET claim_until = now() - interval '1 hour'")
        .execute(&mut session)
        .await
        .unwrap();
    let lease = Lease {
        sender: app.sender.parse().unwrap(),
        connection: app.connection.parse().unwrap(),
        provider: Provider::Meta,
        epoch: 1,
        messages_per_second: 1,
        is_red: false,
    };
    // Or the service did it by itself.
    app.store.give_up_claims(&lease, PATIENCE).await.unwrap();

    app.accepted(&messages[1]).await;
    let history = format!("/v1/messages/{}/history", messages[0]);
    let history = app.get(&history).await["data"].to_string();
    assert!(history.contains("message.delivered"), "{history}");
    assert!(!history.contains("message.unknown"), "{history}");
}
