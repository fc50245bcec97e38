//! Promise 5: the order in which webhooks come does not matter.

use std::sync::Arc;

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
use twotick::simulator::{self, Faults};

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
                user_id: None,
                parent_user_id: None,
                number: Arc::new(NumberRef {
                    waba_id: None,
                    phone_number_id: NUMBER.to_owned(),
                    display_phone_number: None,
                }),
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
        ..Attempt::default()
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

fn permutations<T: Copy>(items: &[T]) -> Vec<Vec<T>> {
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

/// Of two copies of a status the one with the smallest time counts, and the price is taken from
/// whichever has it: whatever came first, in one webhook or in many.
#[tokio::test]
async fn copies_of_a_status_that_differ_end_the_same_in_any_order() {
    let app = App::start().await;
    let copy = |wamid: &str, at: i64, beside: Value| {
        let mut copy = status(wamid, "delivered", at);
        copy.as_object_mut()
            .unwrap()
            .extend(beside.as_object().unwrap().clone());
        copy
    };
    let copies = [
        (5, json!({"conversation": {"id": "c5"}})),
        (
            3,
            json!({"pricing": {"billable": true, "category": "utility"}}),
        ),
        (
            9,
            json!({"pricing": {"billable": true, "category": "marketing"}}),
        ),
        (3, json!({"conversation": {"id": "c3"}})),
    ];
    let orders = permutations(&[0, 1, 2, 3]);
    let mut wamids = Vec::new();
    for (n, order) in orders.iter().enumerate() {
        let wamid = format!("wamid.copies-{n}");
        let all = order.iter().map(|at| {
            let (at, beside) = &copies[*at];
            copy(&wamid, *at, beside.clone())
        });
        let all: Vec<_> = all.collect();
        // As many to a webhook as the order's number says; then all of it once more.
        for some in all.chunks(1 + n % 4) {
            app.say(some).await;
        }
        app.say(&all).await;
        wamids.push(wamid);
    }
    let events = app.events(orders.len()).await;
    let of = |wamid: &String| {
        let mine = |event: &&Value| event["data"]["provider_message_id"] == **wamid;
        let mine: Vec<_> = events.iter().filter(mine).collect();
        assert_eq!(mine.len(), 1, "{wamid}");
        let mut data = mine[0]["data"].clone();
        data["provider_message_id"] = Value::Null;
        (mine[0]["occurred_at"].clone(), data)
    };
    let (occurred_at, data) = of(&wamids[0]);
    assert_eq!(data["conversation"]["id"], "c3");
    assert_eq!(data["pricing"]["category"], "marketing");
    for (wamid, order) in wamids.iter().zip(&orders) {
        assert_eq!(of(wamid), (occurred_at.clone(), data.clone()), "{order:?}");
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

/// A service whose provider answers only after it was heard of the message by webhook (or 2 s).
async fn with_late_answers() -> App {
    let mut faults = Faults::default();
    faults.set("answer_late", 1.0).unwrap();
    let config = simulator::Config {
        faults,
        ..simulator::Config::default()
    };
    App::start_with(|_| {}, config).await
}

#[tokio::test]
async fn a_status_with_our_id_comes_before_the_answer_and_finds_its_message() {
    let app = with_late_answers().await;
    let message = app
        .create("/v1/messages", text(&app.sender, "447700900123", "hi"))
        .await;
    let id = message["id"].as_str().unwrap();
    let post = app.posts_until(1).await.remove(0);
    let wamid = post["wamid"].as_str().unwrap();
    let mut early = status(wamid, "delivered", 1);
    early["biz_opaque_callback_data"] = post["callback"].clone();
    app.say(&[early]).await;
    let shown = app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(
        (&shown["status"], &shown["provider_message_id"]),
        (&json!("delivered"), &json!(wamid))
    );
    app.accepted(id).await;
    assert_eq!(
        app.get(&format!("/v1/messages/{id}")).await["status"],
        "delivered"
    );
}

#[tokio::test]
async fn statuses_without_our_id_before_the_answer_are_adopted_and_open_the_gate() {
    let app = with_late_answers().await;
    let (_, messages) = app
        .sequence(json!({
            "sender": app.sender, "to": "447700900123", "messages": [step("one"), step("two")],
        }))
        .await;
    let post = app.posts_until(1).await.remove(0);
    let wamid = post["wamid"].as_str().unwrap();
    app.say(&[status(wamid, "sent", 0), status(wamid, "delivered", 1)])
        .await;
    // Nobody can know yet that it is ours.
    let lookup = app
        .create("/v1/messages/lookup", json!({"ids": [wamid]}))
        .await;
    let stranger = lookup["data"][wamid]["id"].as_str().unwrap().to_owned();
    assert_eq!(lookup["data"][wamid]["origin"], "external");
    app.posts_until(2).await;
    let first = app.get(&format!("/v1/messages/{}", messages[0])).await;
    assert_eq!(first["status"], "delivered");
    let alias = app.get(&format!("/v1/messages/{stranger}")).await;
    assert_eq!(
        alias["id"], first["id"],
        "the external id stays as an alias"
    );
    let history = app
        .get(&format!("/v1/messages/{}/history", messages[0]))
        .await;
    let types: Vec<_> = history["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["type"].clone())
        .collect();
    for expected in [
        "message.sent",
        "message.delivered",
        "message.accepted",
        "message.adopted",
    ] {
        assert_eq!(
            types.iter().filter(|word| *word == expected).count(),
            1,
            "{types:?}"
        );
    }
}

#[tokio::test]
async fn a_status_with_our_id_joins_those_that_came_without_it() {
    let app = with_late_answers().await;
    let message = app
        .create("/v1/messages", text(&app.sender, "447700900123", "hi"))
        .await;
    let id = message["id"].as_str().unwrap();
    let post = app.posts_until(1).await.remove(0);
    let wamid = post["wamid"].as_str().unwrap();
    // `failed` may come without callback data.
    app.say(&[status(wamid, "failed", 1), status(wamid, "sent", 0)])
        .await;
    let mut ours = status(wamid, "sent", 0);
    ours["biz_opaque_callback_data"] = post["callback"].clone();
    app.say(&[ours]).await;
    let shown = app.get(&format!("/v1/messages/{id}")).await;
    assert_eq!(
        (&shown["status"], &shown["error"]["code"]),
        (&json!("failed"), &json!(131_026))
    );
    let found = app
        .get(&format!("/v1/messages?provider_message_id={wamid}"))
        .await;
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_error_is_shown_with_its_own_texts_whatever_came_first() {
    let app = App::start().await;
    let failed = |wamid: &str, code: i64, title: &str, at| {
        let mut failed = status(wamid, "failed", at);
        failed["errors"] = json!([{"code": code, "title": title}]);
        failed
    };
    let wamids = ["wamid.first-first", "wamid.last-first"].map(str::to_owned);
    let [ordered, turned] = &wamids;
    app.say(&[failed(ordered, 131_026, "undeliverable", 1)])
        .await;
    app.say(&[failed(ordered, 131_053, "media", 2)]).await;
    app.say(&[failed(turned, 131_053, "media", 2)]).await;
    app.say(&[failed(turned, 131_026, "undeliverable", 1)])
        .await;
    let found = lookup(&app, &wamids).await;
    let error = |wamid: &String| {
        let error = &found[wamid]["error"];
        (error["code"].clone(), error["title"].clone())
    };
    for wamid in [ordered, turned] {
        assert_eq!(error(wamid), (json!(131_026), json!("undeliverable")));
    }
}

/// Evidence and the fact are joined apart from each other; which of two failures of one second it
/// was, both have to say alike.
#[tokio::test]
async fn of_failures_of_one_second_the_error_that_counts_is_the_one_that_is_told() {
    let app = App::start().await;
    let failed = |wamid: &str, errors: &Value| {
        let mut failed = status(wamid, "failed", 1);
        failed["errors"] = errors.clone();
        failed
    };
    let titled = |code: i64| json!([{"code": code, "title": format!("of {code}")}]);
    // As texts they would be in the other order; or one has no code at all.
    let no_code = json!([{"title": "a secret"}]);
    let after = json!([{"code": 7.5, "title": "a half"}, {"code": "99", "title": "of 99"}]);
    let pairs = [
        (titled(99), titled(131_026)),
        (titled(131_026), no_code.clone()),
        (after, titled(1_000)),
        (titled(-5), titled(-40)),
    ];
    let mut wanted = Vec::new();
    for (n, (one, other)) in pairs.iter().enumerate() {
        for (turn, [first, second]) in [[one, other], [other, one]].into_iter().enumerate() {
            let wamid = format!("wamid.tie-{n}-{turn}");
            app.say(&[failed(&wamid, first)]).await;
            app.say(&[failed(&wamid, second)]).await;
            wanted.push((wamid, [99, 131_026, 99, -40][n]));
        }
    }
    let events = app.events(wanted.len()).await;
    let wamids: Vec<_> = wanted.iter().map(|(wamid, _)| wamid.clone()).collect();
    let found = lookup(&app, &wamids).await;
    for (wamid, code) in wanted {
        let told = events
            .iter()
            .find(|event| event["data"]["provider_message_id"] == wamid);
        let told = told.unwrap()["data"]["errors"].as_array().unwrap();
        let told = told.iter().find(|error| error["code"] == code);
        let error = &found[&wamid]["error"];
        assert_eq!(error["code"], code, "{wamid}");
        assert_eq!(error["title"], format!("of {code}"), "{wamid}");
        assert_eq!(told.unwrap()["title"], error["title"], "{wamid}");
    }
}

/// Numbers that no double holds, or no number of Postgres'.
#[tokio::test]
async fn a_status_is_not_lost_for_how_its_price_is_spelled() {
    let app = App::start().await;
    let long = "9".repeat(20_000);
    let numbers = ["1e400", "-1E+99999999999", "1e-99999", "0e-20000", &long];
    let mut wamids = Vec::new();
    for (n, number) in numbers.into_iter().enumerate() {
        for (place, beside) in [
            (
                "pricing",
                r#""pricing": {"billable": true, "amount": NUMBER}"#,
            ),
            (
                "nested",
                r#""conversation": {"id": "c", "pricing": {"amount": NUMBER}}"#,
            ),
            (
                "conversation",
                r#""conversation": {"id": "c", "origin": NUMBER}"#,
            ),
            ("errors", r#""errors": [{"code": 1, "href": NUMBER}]"#),
            ("unknown", r#""cost": NUMBER"#),
        ] {
            let wamid = format!("wamid.price-{n}-{place}");
            // Said twice, differently, so that the copies are joined too.
            for at in [2, 1] {
                let said = statuses_body(&[status(&wamid, "delivered", at)]).to_string();
                let beside = format!("\"delivered\",{}", beside.replace("NUMBER", number));
                let said = said.replace("\"delivered\"", &beside);
                let signature = signature(SECRET, said.as_bytes());
                let answer = app.webhook_bytes(said.as_bytes(), Some(&signature));
                assert_eq!(answer.await, StatusCode::OK);
            }
            wamids.push((wamid, number, place));
        }
    }
    let problems = app.get("/v1/webhooks?limit=500").await;
    for webhook in problems["data"].as_array().unwrap() {
        assert_eq!(webhook["reason"], Value::Null, "{webhook}");
    }
    let events = app.events(wamids.len()).await;
    assert_eq!(events.len(), wamids.len());
    for (wamid, number, place) in wamids {
        let told = events
            .iter()
            .find(|event| event["data"]["provider_message_id"] == wamid)
            .unwrap();
        assert_eq!(told["occurred_at"], "2025-11-22T00:00:01.000Z", "{wamid}");
        if place == "pricing" {
            assert_eq!(told["data"]["pricing"]["amount"], number, "{wamid}");
        }
    }
}
