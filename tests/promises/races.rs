//! What two do at once. Each test brings about one interleaving by holding a lock until the
//! others wait for it, so that it happens every time.

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use twotick::model::sequence::{Gate, GateStatus, OnDeadline};
use twotick::simulator::{self, Faults};
use twotick::store::answers::Accepted;
use twotick::store::claim::Claim;

use crate::support::*;

/// A service whose provider takes messages and never answers.
async fn without_answers() -> App {
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

fn two_steps(app: &App) -> Value {
    json!({"sender": app.sender, "to": "447700900123", "messages": [step("one"), step("two")]})
}

/// The claim under which the first attempt of a sequence's message was posted.
fn first_claim(sequence: &str, message: &str, position: i32) -> Claim {
    Claim {
        attempt: twotick::model::ids::AttemptId {
            message: message.parse().unwrap(),
            n: 1,
        },
        sequence: sequence.parse().unwrap(),
        position,
        epoch: 1,
        gate: Gate {
            status: GateStatus::Delivered,
            deadline: std::time::Duration::from_secs(3600),
            on_deadline: OnDeadline::Stop,
        },
        lane: "-".to_owned(),
        template: None,
        phone_number_id: NUMBER.to_owned(),
        waba_id: None,
        recipient: "447700900123".to_owned(),
        kind: "text".to_owned(),
        content: json!({}),
    }
}

fn accepted(wamid: &str) -> Accepted {
    Accepted {
        provider_message_id: wamid.to_owned(),
        wa_id: None,
        outcome: "accepted",
    }
}

async fn hold_attempt(session: &mut PgConnection, wamid: &str) {
    let held = sqlx::query("SELECT FROM attempts WHERE provider_message_id = $1 FOR UPDATE");
    let held = held.bind(wamid).execute(session).await.unwrap();
    assert_eq!(held.rows_affected(), 1);
}

#[tokio::test]
async fn a_status_that_meets_the_adoption_of_its_attempt_opens_the_gate() {
    let app = without_answers().await;
    let (sequence, messages) = app.sequence(two_steps(&app)).await;
    app.get_until(&format!("/v1/messages/{}", messages[0]), |message| {
        message["status"] == "unknown"
    })
    .await;
    end_faults(&app).await;
    let wamid = app.posts().await[0]["wamid"].as_str().unwrap().to_owned();
    app.say(&[status(&wamid, "sent", 0)]).await;

    let mut session = app.session().await;
    let mut holder = session.begin().await.unwrap();
    hold_attempt(&mut holder, &wamid).await;
    // First the answer waits, to adopt the stranger; then a webhook that has found the stranger.
    let store = app.store.clone();
    let (claim, answer) = (first_claim(&sequence, &messages[0], 1), accepted(&wamid));
    let answered = tokio::spawn(async move { store.record_accepted(&claim, &answer).await });
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
