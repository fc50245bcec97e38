//! Promise 5: the order in which webhooks come does not matter.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use reqwest::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use twotick::model::evidence::Evidence;
use twotick::model::fact::{NumberRef, ProviderError, Status, StatusFact};
use twotick::model::message::{Attempt, Work, status as status_of};
use twotick::model::rfc3339;

use crate::support::*;

const WORDS: [&str; 6] = ["sent", "delivered", "read", "played", "failed", "warning"];

/// What a message shows of its evidence.
fn shown(message: &Value) -> Value {
    let keys = [
        "status",
        "sent_at",
        "delivered_at",
        "read_at",
        "played_at",
        "failed_at",
        "contradiction",
    ];
    keys.iter()
        .map(|key| ((*key).to_owned(), message[*key].clone()))
        .collect()
}

/// What `model` says of a history of (word, second).
fn expected(history: &[(&str, i64)]) -> Value {
    let evidence = history
        .iter()
        .fold(Evidence::default(), |evidence, (word, at)| {
            let fact = StatusFact {
                number: NumberRef {
                    waba_id: None,
                    phone_number_id: NUMBER.to_owned(),
                    display_phone_number: None,
                },
                provider_message_id: String::new(),
                status: Status::from(*word),
                recipient: None,
                participant: None,
                callback: None,
                error: Some(ProviderError {
                    code: 131_026,
                    title: None,
                    details: None,
                }),
            };
            let at = OffsetDateTime::from_unix_timestamp(T0 + at).unwrap();
            evidence.join(Evidence::of(&fact, Some(at), at))
        });
    let attempt = Attempt {
        evidence,
        outcome: None,
    };
    let time = |at: Option<OffsetDateTime>| at.map(rfc3339);
    json!({
        "status": status_of(&[attempt], false, Work::Over).as_str(),
        "sent_at": time(evidence.sent_at),
        "delivered_at": time(evidence.delivered_at),
        "read_at": time(evidence.read_at),
        "played_at": time(evidence.played_at),
        "failed_at": time(evidence.failed.map(|failed| failed.at)),
        "contradiction": evidence.is_contradiction(),
    })
}

async fn lookup(app: &App, wamids: &[String]) -> Value {
    app.create("/v1/messages/lookup", json!({"ids": wamids}))
        .await["data"]
        .clone()
}

fn permutations(items: &[&'static str]) -> Vec<Vec<&'static str>> {
    match items {
        [] => vec![Vec::new()],
        _ => items
            .iter()
            .enumerate()
            .flat_map(|(at, first)| {
                let mut rest = items.to_vec();
                rest.remove(at);
                permutations(&rest).into_iter().map(move |mut rest| {
                    rest.insert(0, *first);
                    rest
                })
            })
            .collect(),
    }
}

#[tokio::test]
async fn every_permutation_of_the_four_statuses_ends_in_one_state() {
    let app = App::start().await;
    let words = ["sent", "delivered", "read", "failed"];
    let orders = permutations(&words);
    assert_eq!(orders.len(), 24);
    let wamids: Vec<_> = (0..orders.len())
        .map(|n| format!("wamid.permutation-{n}"))
        .collect();
    for step in 0..words.len() {
        for (wamid, order) in wamids.iter().zip(&orders) {
            // All at the same second, as Meta does: rank decides, never time.
            app.say(&[status(wamid, order[step], 7)]).await;
        }
    }
    let found = lookup(&app, &wamids).await;
    let expected = expected(&words.map(|word| (word, 7)));
    assert_eq!(expected["status"], "read");
    assert_eq!(expected["contradiction"], true);
    for (wamid, order) in wamids.iter().zip(&orders) {
        assert_eq!(shown(&found[wamid]), expected, "{order:?}");
    }
}

/// Random histories: each status at a time of its own, said any number of times, in any order,
/// split over webhooks in any way. The database, which joins in SQL, ends where `model` does.
#[tokio::test]
async fn any_history_shuffled_repeated_and_split_ends_where_the_model_says() {
    let app = App::start().await;
    let mut runner = TestRunner::deterministic();
    let history = prop::collection::vec((prop::sample::select(WORDS.to_vec()), 0_i64..4), 1..10);
    // A natural key holds one time: of two copies of a status that differ, the earlier counts.
    let cases: Vec<Vec<(&str, i64)>> = (0..60)
        .map(|_| history.new_tree(&mut runner).unwrap().current())
        .collect();
    let wamids: Vec<_> = (0..cases.len())
        .map(|n| format!("wamid.history-{n}"))
        .collect();
    let all: Vec<Value> = cases
        .iter()
        .zip(&wamids)
        .flat_map(|(case, wamid)| case.iter().map(move |(word, at)| status(wamid, word, *at)))
        .collect();
    for _ in 0..3 {
        let shuffled = Just(all.clone())
            .prop_shuffle()
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let size = (1_usize..40).new_tree(&mut runner).unwrap().current();
        let posts = shuffled.chunks(size).map(|chunk| app.say(chunk));
        futures(posts).await;
    }
    let found = lookup(&app, &wamids).await;
    for (wamid, case) in wamids.iter().zip(&cases) {
        assert_eq!(shown(&found[wamid]), expected(case), "{case:?}");
    }
}

/// Runs them side by side, so that batches mix them as they like.
async fn futures(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if all.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn read_without_delivered_counts_as_delivered_and_says_so_honestly() {
    let app = App::start().await;
    app.say(&[status("wamid.r", "read", 3)]).await;
    let found = lookup(&app, &["wamid.r".to_owned()]).await;
    let message = &found["wamid.r"];
    assert_eq!(message["status"], "read");
    assert_eq!(message["delivered_at"], Value::Null);
    let id = message["id"].as_str().unwrap();
    let waited = app
        .get(&format!("/v1/messages/{id}?wait=delivered&timeout=10s"))
        .await;
    assert_eq!(waited["status"], "read");
}

#[tokio::test]
async fn a_status_that_comes_before_the_answer_finds_its_message() {
    let app = App::start().await;
    let message = app
        .create("/v1/messages", text(&app.sender, "447700900123", "hi"))
        .await;
    let id = message["id"].as_str().unwrap();
    let wamid = app.accepted(id).await;
    let mut early = status(&wamid, "delivered", 1);
    early["biz_opaque_callback_data"] = app.posts().await[0]["callback"].clone();
    assert_eq!(app.webhook(&statuses_body(&[early])).await, StatusCode::OK);
    let found = app
        .get(&format!("/v1/messages?provider_message_id={wamid}"))
        .await;
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    assert_eq!(found["data"][0]["id"], id);
    assert_eq!(found["data"][0]["status"], "delivered");
}
