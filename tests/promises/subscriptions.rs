//! Events come to whoever subscribed to them: at least once, those of one subject in their order,
//! signed; and nobody's endpoint is in anybody else's way.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::sync::watch;

use twotick::config::Config;

use crate::endpoint::*;
use crate::support::*;

/// Waits until nothing is left to be told to a subscription.
async fn nothing_waits(app: &App, subscription: &Value) {
    let waiting = format!("{}/undelivered?state=waiting", path(subscription));
    app.get_until(&waiting, |page| page["data"] == json!([]))
        .await;
}

fn verifies(secret: &str, delivery: &Delivery) -> bool {
    let webhook = Webhook::new(secret).unwrap();
    webhook.verify(&delivery.body, &delivery.headers).is_ok()
}

#[tokio::test]
async fn an_event_comes_signed_as_the_feed_shows_it_and_only_to_who_wants_it() {
    let app = app().await;
    let (all, few) = (Endpoint::start().await, Endpoint::start().await);
    let new = json!({"url": all.url, "description": "everything"});
    let everything = app.create("/v1/subscriptions", new).await;
    let new = json!({"url": few.url, "types": ["message.accepted", "sequence.*"],
                     "senders": [app.sender], "connections": [app.connection],
                     "format": "cloudevents"});
    let some = app.create("/v1/subscriptions", new).await;
    let mut others = Vec::new();
    let another = app.register("15550142218").await;
    let connection = app.connect().await;
    for wants in [
        json!({"senders": [another]}),
        json!({"connections": [connection]}),
    ] {
        let endpoint = Endpoint::start().await;
        let mut new = wants;
        new["url"] = endpoint.url.clone().into();
        app.create("/v1/subscriptions", new).await;
        others.push(endpoint);
    }
    let new = text(&app.sender, "447700900123", "hello");
    let message = app.create("/v1/messages", new).await;
    app.accepted(message["id"].as_str().unwrap()).await;
    let ended = |page: &Value| {
        let events = page["data"].as_array().unwrap();
        events
            .iter()
            .any(|event| event["type"] == "sequence.completed")
    };
    let feed = app.get_until("/v1/events", ended).await;
    let feed = feed["data"].as_array().unwrap().clone();
    all.takes(feed.len()).await;

    let secret = everything["secret"].as_str().unwrap();
    for event in &feed {
        let got = all.got();
        let mut of_event = got.iter().filter(|got| got.event["id"] == event["id"]);
        let delivery = of_event.next().unwrap();
        assert_eq!(&delivery.event, event);
        assert_eq!(delivery.header("webhook-id"), event["id"]);
        assert_eq!(delivery.header("content-type"), "application/json");
        assert!(verifies(secret, delivery));
        assert!(!verifies(some["secret"].as_str().unwrap(), delivery));
    }
    let wanted = |event: &&Value| {
        let r#type = event["type"].as_str().unwrap();
        r#type == "message.accepted" || r#type.starts_with("sequence.")
    };
    let wanted: Vec<_> = feed.iter().filter(wanted).collect();
    few.takes(wanted.len()).await;
    let got = few.got();
    assert_eq!(got.len(), wanted.len());
    for event in wanted {
        let delivery = got.iter().find(|got| got.event["id"] == event["id"]);
        let delivery = delivery.unwrap();
        assert_eq!(
            delivery.header("content-type"),
            "application/cloudevents+json"
        );
        let cloud = &delivery.event;
        assert_eq!(cloud["specversion"], "1.0");
        assert_eq!(cloud["id"], event["id"]);
        assert_eq!(cloud["type"], event["type"]);
        assert_eq!(cloud["subject"], event["subject"]);
        assert_eq!(&cloud["data"], event);
    }
    let log = format!("{}/deliveries?failed=false", path(&everything));
    let log = app
        .get_until(&log, |page| {
            page["data"].as_array().unwrap().len() >= feed.len()
        })
        .await;
    assert_eq!(log["data"][0]["status"], 200);
    assert_eq!(log["data"][0]["attempt"], 1);

    // Nothing but what is of that sender, or of that connection.
    let new = text(&another, "447700900123", "hello");
    let of_another = app.create("/v1/messages", new).await;
    others[0]
        .until("it is accepted", |got| {
            got.iter()
                .any(|got| got.event["type"] == "message.accepted")
        })
        .await;
    let got = others[0].got();
    assert!(
        got.iter().all(|got| got.event["sender"] == *another),
        "{got:?}"
    );
    assert_eq!(got[0].event["subject"], of_another["id"]);
    assert!(others[1].got().is_empty());
}

#[tokio::test]
async fn an_endpoint_that_was_down_gets_all_in_order_once_it_is_up() {
    let app = app().await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|_| Reply::Status(503));
    let subscription = subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    let keys: Vec<_> = (0..60).map(|n| format!("{n:02}")).collect();
    for (n, key) in keys.iter().enumerate() {
        write(&mut session, &[(1 + n as u128 % 3, key)]).await;
    }
    endpoint.until("it is tried", |got| got.len() >= 4).await;
    let failing = |shown: &Value| shown["failing_since"].is_string();
    app.get_until(&path(&subscription), failing).await;
    // While it is down it is tried seldom, whatever waits.
    assert!(endpoint.got().len() < 60, "{}", endpoint.got().len());
    endpoint.answer(|_| Reply::Status(204));
    endpoint.takes(60).await;
    for subject in 0..3 {
        let of_subject = |key: &&String| key.parse::<usize>().unwrap() % 3 == subject;
        let taken = endpoint.taken();
        let taken: Vec<_> = taken.iter().filter(of_subject).collect();
        let written: Vec<_> = keys.iter().filter(of_subject).collect();
        assert_eq!(taken, written);
    }
    nothing_waits(&app, &subscription).await;
    app.get_until(&path(&subscription), |shown| {
        shown["failing_since"].is_null()
    })
    .await;
}

#[tokio::test]
async fn a_poisoned_event_holds_up_its_own_subject_alone_until_it_is_given_up() {
    let app = app_with(|config| config.forward.retry = vec![Duration::from_millis(50); 5]).await;
    let endpoint = Endpoint::start().await;
    // Its second attempt takes as long as the test wants.
    let (give_up, refused) = (watch::Sender::new(false), AtomicBool::new(false));
    let answer = give_up.subscribe();
    endpoint.answer(move |delivery| match delivery.key() {
        "poison" if refused.swap(true, Ordering::Relaxed) => Reply::When(answer.clone(), 500),
        "poison" => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let subscription = subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    write(
        &mut session,
        &[(1, "poison"), (1, "behind"), (2, "a"), (0, "b")],
    )
    .await;
    endpoint.takes(2).await;
    assert_eq!(
        BTreeSet::from_iter(endpoint.taken()),
        BTreeSet::from(["a".into(), "b".into()])
    );
    let tried = |got: &[Delivery]| got.iter().filter(|d| d.key() == "poison").count();
    endpoint
        .until("it is tried again", |got| tried(got) == 2)
        .await;
    write(&mut session, &[(1, "behind, too"), (3, "c")]).await;
    endpoint.takes(3).await;
    give_up.send_replace(true);
    endpoint.takes(5).await;
    let taken = endpoint.taken();
    let place = |key: &str| taken.iter().position(|taken| taken == key).unwrap();
    assert!(place("c") < place("behind") && place("behind") < place("behind, too"));
    assert_eq!(tried(&endpoint.got()), 6);

    let dead = format!("{}/undelivered?state=dead", path(&subscription));
    let page = app.get_until(&dead, |page| page["data"] != json!([])).await;
    assert_eq!(page["data"][0]["status"], 500);
    assert_eq!(page["data"][0]["attempts"], 6);
    nothing_waits(&app, &subscription).await;
    // Once it is put right, it goes again, under the same id.
    endpoint.answer(|_| Reply::Status(200));
    let replay = format!("{}/replay", path(&subscription));
    let answer = app.create(&replay, json!({"dead": true})).await;
    assert_eq!(answer["replayed"], 1);
    endpoint.takes(6).await;
    let got = endpoint.got();
    let ids: BTreeSet<_> = got
        .iter()
        .filter(|d| d.key() == "poison")
        .collect::<Vec<_>>()
        .iter()
        .map(|d| d.header("webhook-id").to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
    app.get_until(&dead, |page| page["data"] == json!([])).await;
}

#[tokio::test]
async fn what_an_owner_had_in_hand_when_it_died_is_delivered_by_another() {
    let app = app().await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|delivery| match delivery.key() {
        "first" => Reply::Status(200),
        _ => Reply::Hang,
    });
    subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    write(&mut session, &[(0, "first")]).await;
    endpoint.takes(1).await;
    write(&mut session, &[(1, "a"), (1, "b"), (2, "c"), (0, "d")]).await;
    endpoint.until("one is in hand", |got| got.len() >= 2).await;
    app.instance.abort();
    endpoint.answer(|_| Reply::Status(200));
    let (_, _another) = beside(&app.store, settings).await;
    endpoint.takes(5).await;
    let taken = endpoint.taken();
    let place = |key: &str| taken.iter().position(|taken| taken == key).unwrap();
    assert!(place("a") < place("b"), "{taken:?}");
    assert!(["c", "d"].iter().all(|key| taken.iter().any(|t| t == key)));
}

#[tokio::test]
async fn however_many_events_are_refused_the_others_are_posted() {
    let app = app_with(|config| {
        patient(config);
        config.forward.waiting = 3;
    });
    let app = app.await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|delivery| match delivery.key() {
        key if key.starts_with("bad") => Reply::Status(400),
        _ => Reply::Status(200),
    });
    let subscription = subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    // Each is of a subject of its own.
    for n in 0..8 {
        let (bad, good) = (format!("bad {n}"), format!("good {n}"));
        write(&mut session, &[(0, &bad), (0, &good)]).await;
        endpoint.takes(n + 1).await;
    }
    let dead = format!("{}/undelivered?state=dead", path(&subscription));
    let some = |page: &Value| page["data"].as_array().unwrap().len() >= 4;
    let page = app.get_until(&dead, some).await;
    let error = page["data"][0]["error"].as_str().unwrap();
    assert!(error.contains("too many wait"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_refuses_all_of_a_kind_is_asked_with_another() {
    let app = app_with(|config| {
        patient(config);
        config.forward.waiting = 3;
    });
    let app = app.await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|delivery| match delivery.key() {
        "good" => Reply::Status(200),
        _ => Reply::Status(400),
    });
    subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    // As many in a row as tell that it is down, and as may wait.
    for n in 0..3 {
        write(&mut session, &[(0, &format!("bad {n}"))]).await;
    }
    write(&mut session, &[(0, "good")]).await;
    endpoint.takes(1).await;
}

/// What is refused waits for longer than any test.
fn patient(config: &mut Config) {
    settings(config);
    config.forward.retry = vec![Duration::from_secs(3600)];
}

#[tokio::test]
async fn an_endpoint_that_is_up_again_is_asked_at_once_by_who_owns_its_subscription_then() {
    let app = app_with(patient).await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|_| Reply::Status(503));
    let subscription = subscribe(&app, &endpoint).await;
    write(&mut app.session().await, &[(1, "a"), (1, "b"), (2, "c")]).await;
    for key in ["a", "c"] {
        let tried = |got: &[Delivery]| got.iter().any(|d| d.key() == key);
        endpoint.until("both are tried", tried).await;
    }
    let undelivered = format!("{}/undelivered?state=waiting", path(&subscription));
    app.get_until(&undelivered, |page| {
        page["data"].as_array().unwrap().len() >= 2
    })
    .await;
    app.instance.abort();
    endpoint.answer(|_| Reply::Status(200));
    let (_, _another) = beside(&app.store, patient).await;
    endpoint.takes(3).await;
}

#[tokio::test]
async fn another_address_is_given_what_the_old_one_refused_at_once() {
    let app = app_with(patient).await;
    let (old, new) = (Endpoint::start().await, Endpoint::start().await);
    old.answer(|_| Reply::Status(503));
    let subscription = subscribe(&app, &old).await;
    write(&mut app.session().await, &[(1, "a"), (2, "b")]).await;
    let failing = |shown: &Value| shown["failing_since"].is_string();
    app.get_until(&path(&subscription), failing).await;
    let moved = json!({"url": new.url});
    let (_, shown) = app.send(Method::PATCH, &path(&subscription), moved).await;
    assert_eq!(shown["failing_since"], Value::Null);
    new.takes(2).await;
    nothing_waits(&app, &subscription).await;
    let shown = app.get(&path(&subscription)).await;
    assert_eq!(shown["failing_since"], Value::Null);
}

#[tokio::test]
async fn a_late_gone_of_the_old_address_does_not_disable_the_new_one() {
    let app = app_with(patient).await;
    let (old, new) = (Endpoint::start().await, Endpoint::start().await);
    let gone = watch::Sender::new(false);
    let said = gone.subscribe();
    old.answer(move |_| Reply::When(said.clone(), 410));
    let subscription = subscribe(&app, &old).await;
    write(&mut app.session().await, &[(1, "a")]).await;
    old.until("it is on its way", |got| got.len() == 1).await;
    let moved = json!({"url": new.url});
    app.send(Method::PATCH, &path(&subscription), moved).await;
    gone.send_replace(true);
    new.takes(1).await;
    let shown = app.get(&path(&subscription)).await;
    assert_eq!(shown["status"], "active");
}

#[tokio::test]
async fn endpoints_that_hang_slow_no_other() {
    let app = app().await;
    let (live, dead) = (Endpoint::start().await, Endpoint::start().await);
    dead.answer(|_| Reply::Hang);
    for _ in 0..20 {
        subscribe(&app, &dead).await;
    }
    subscribe(&app, &live).await;
    let mut session = app.session().await;
    write(&mut session, &[(0, "begin")]).await;
    live.takes(1).await;
    dead.until("all hang", |got| got.len() >= 20).await;
    let keys: Vec<_> = (0..100).map(|n| format!("{n}")).collect();
    let mut written = Vec::new();
    for key in &keys {
        write(&mut session, &[(0, key)]).await;
        written.push(app.clock.monotonic());
    }
    live.takes(101).await;
    // What another test's transaction holds back counts for nothing here; hanging takes 15 s.
    let got = live.got();
    let late = got.iter().skip(1).filter(|delivery| {
        let n: usize = delivery.key().parse().unwrap();
        delivery.at.duration_since(written[n]) > Duration::from_secs(5)
    });
    assert_eq!(late.count(), 0);
    assert!(
        dead.got().len() <= 21,
        "one at a time: {}",
        dead.got().len()
    );
}

#[tokio::test]
async fn failures_with_nothing_between_them_do_not_disable_an_endpoint() {
    const TOO_LONG: Duration = Duration::from_secs(3);
    let app = app_with(|config| {
        config.forward.disable_after = TOO_LONG;
        config.forward.retry = vec![Duration::from_millis(20)];
    });
    let app = app.await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|_| Reply::Status(500));
    let subscription = subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    let began = app.clock.monotonic();
    write(&mut session, &[(1, "a")]).await;
    let quiet = async |tries: usize| {
        endpoint
            .until("it is given up", |got| got.len() == tries)
            .await;
        let dead = format!("{}/undelivered?state=dead", path(&subscription));
        app.get_until(&dead, |page| {
            page["data"].as_array().unwrap().len() == tries / 2
        })
        .await;
        app.get(&path(&subscription)).await
    };
    assert!(quiet(2).await["failing_since"].is_null());
    tokio::time::sleep_until((began + TOO_LONG).into()).await;
    write(&mut session, &[(1, "b")]).await;
    let shown = quiet(4).await;
    assert_eq!(shown["status"], "active", "{shown}");
}

#[tokio::test]
async fn one_that_slept_longer_than_events_are_kept_says_so_and_goes_on_where_the_feed_begins() {
    let app = app_with(|_| {}).await;
    let endpoint = Endpoint::start().await;
    let mut session = app.session().await;
    write(&mut session, &[(1, "forgotten")]).await;
    let subscription = subscribe(&app, &endpoint).await;
    let set = async |status: &str| {
        let change = json!({"status": status});
        let (status, _) = app.send(Method::PATCH, &path(&subscription), change).await;
        assert_eq!(status, StatusCode::OK);
    };
    set("disabled").await;
    let leased = "SELECT count(*) FROM subscription_cursors WHERE lease_owner IS NOT NULL";
    while sqlx::query_scalar::<_, i64>(leased)
        .fetch_one(&mut session)
        .await
        .unwrap()
        > 0
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It has slept since before the first.
    sqlx::query("UPDATE subscription_cursors SET xid = '0', event = $1")
        .bind(uuid::Uuid::nil())
        .execute(&mut session)
        .await
        .unwrap();
    sqlx::query(
        "UPDATE retention SET begins =
             (SELECT (max(xid::text::bigint) + 1)::text::xid8 FROM facts)",
    )
    .execute(&mut session)
    .await
    .unwrap();
    write(&mut session, &[(1, "kept")]).await;
    set("active").await;
    endpoint.takes(1).await;
    assert_eq!(endpoint.taken(), ["kept"]);
    let told = |page: &Value| page["data"].as_array().unwrap().len() == 1;
    let events = app
        .get_until("/v1/events?type=subscription.events_gone", told)
        .await;
    assert_eq!(events["data"][0]["subject"], subscription["id"]);
}

#[tokio::test]
async fn one_that_is_disabled_catches_up_when_it_is_opened() {
    let app = app_with(|config| config.forward.disable_after = Duration::from_millis(300)).await;
    let (gone, failing) = (Endpoint::start().await, Endpoint::start().await);
    gone.answer(|_| Reply::Status(410));
    failing.answer(|_| Reply::Status(404));
    let subscriptions = [
        subscribe(&app, &gone).await,
        subscribe(&app, &failing).await,
    ];
    let mut session = app.session().await;
    write(&mut session, &[(1, "a"), (1, "b")]).await;
    for subscription in &subscriptions {
        let disabled = |shown: &Value| shown["status"] == "disabled";
        let shown = app.get_until(&path(subscription), disabled).await;
        assert!(shown["disabled_reason"].is_string() && shown["disabled_at"].is_string());
    }
    let told = |page: &Value| page["data"].as_array().unwrap().len() == 2;
    let events = app
        .get_until("/v1/events?type=subscription.disabled", told)
        .await;
    let about: BTreeSet<_> = [0, 1]
        .map(|n| events["data"][n]["subject"].to_string())
        .into();
    let ids: BTreeSet<_> = subscriptions
        .iter()
        .map(|made| made["id"].to_string())
        .collect();
    assert_eq!(about, ids);

    for endpoint in [&gone, &failing] {
        endpoint.answer(|_| Reply::Status(200));
    }
    let tries = gone.got().len();
    write(&mut session, &[(1, "c"), (2, "d")]).await;
    app.events(6).await;
    assert_eq!(gone.got().len(), tries, "nothing was posted meanwhile");
    for subscription in &subscriptions {
        let active = json!({"status": "active"});
        let (status, shown) = app.send(Method::PATCH, &path(subscription), active).await;
        assert_eq!(
            (status, &shown["status"]),
            (StatusCode::OK, &json!("active"))
        );
        assert_eq!(shown["failing_since"], Value::Null);
    }
    for endpoint in [&gone, &failing] {
        endpoint.takes(4).await;
        let taken = endpoint.taken();
        let of_first: Vec<_> = taken.iter().filter(|key| *key != "d").collect();
        assert_eq!(of_first, ["a", "b", "c"]);
    }
}

#[tokio::test]
async fn an_endpoint_is_left_alone_for_as_long_as_it_says() {
    let app = app().await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|_| Reply::Later(429, 1));
    subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    write(&mut session, &[(1, "a"), (2, "b")]).await;
    endpoint.until("it says when", |got| !got.is_empty()).await;
    endpoint.answer(|_| Reply::Status(200));
    endpoint.takes(2).await;
    let got = endpoint.got();
    let pause = got[1].at.duration_since(got[0].at);
    assert!(pause >= Duration::from_millis(990), "{pause:?}");
}

#[tokio::test]
async fn one_event_that_is_to_come_later_keeps_no_other_back() {
    let app = app().await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|delivery| match delivery.key() {
        "a" => Reply::Later(500, 3600),
        _ => Reply::Status(200),
    });
    subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    write(&mut session, &[(1, "a")]).await;
    endpoint.until("it says when", |got| !got.is_empty()).await;
    write(&mut session, &[(2, "b"), (3, "c")]).await;
    endpoint.takes(2).await;
    assert_eq!(endpoint.taken(), ["b", "c"]);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_the_one_before_signs_until_its_end() {
    let app = app().await;
    let endpoint = Endpoint::start().await;
    let subscription = subscribe(&app, &endpoint).await;
    let old = subscription["secret"].as_str().unwrap().to_owned();
    let shown = app.get(&path(&subscription)).await;
    assert!(shown.get("secret").is_none());
    let kept: Vec<u8> = sqlx::query_scalar("SELECT secrets FROM subscriptions")
        .fetch_one(&mut app.session().await)
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("whsec_"));

    let rotate = format!("{}/rotate-secret", path(&subscription));
    let rotated = app.create(&rotate, json!({"overlap": "1h"})).await;
    let new = rotated["secret"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    let ping = format!("{}/ping", path(&subscription));
    let answer = app.create(&ping, Value::Null).await;
    assert_eq!(
        (&answer["taken"], &answer["status"]),
        (&json!(true), &json!(200))
    );
    let first = endpoint.got().pop().unwrap();
    assert_eq!(first.event["type"], "subscription.ping");
    assert_eq!(first.event["subject"], subscription["id"]);
    assert!(verifies(&old, &first) && verifies(&new, &first));
    // Again, before anybody has put the new one anywhere.
    let rotated = app.create(&rotate, json!({"overlap": "24h"})).await;
    let newest = rotated["secret"].as_str().unwrap().to_owned();
    app.create(&ping, Value::Null).await;
    let second = endpoint.got().pop().unwrap();
    assert!([&old, &new, &newest].map(|secret| verifies(secret, &second)) == [true; 3]);
    // The next one is over at once, and so are those before.
    let rotated = app.create(&rotate, json!({"overlap": "0s"})).await;
    app.create(&ping, Value::Null).await;
    let third = endpoint.got().pop().unwrap();
    assert!(verifies(rotated["secret"].as_str().unwrap(), &third));
    assert!([&old, &new, &newest].map(|secret| verifies(secret, &third)) == [false; 3]);

    let made = async || {
        let new = json!({"url": endpoint.url});
        let request = app.request(Method::POST, "/v1/subscriptions").json(&new);
        let answer = request.header("idempotency-key", "1").send().await.unwrap();
        answer.text().await.unwrap()
    };
    let made = (made().await, made().await);
    assert_eq!(made.0, made.1);
    assert!(made.0.contains("whsec_"));
    let kept: Vec<u8> = sqlx::query_scalar("SELECT answer FROM idempotency_keys")
        .fetch_one(&mut app.session().await)
        .await
        .unwrap();
    assert!(!String::from_utf8_lossy(&kept).contains("whsec_"));
}

#[tokio::test]
async fn nothing_is_posted_to_what_only_we_can_reach() {
    let app = app_with(|config| config.forward.allow = "127.0.0.0/8".parse().unwrap()).await;
    for url in [
        "http://10.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://0xa000001/",
        "http://100.64.0.1/",
        "http://[64:ff9b::a00:1]/",
        "ftp://example.com/",
        "https://user:password@example.com/",
        "https:///",
        "example.com",
    ] {
        let new = json!({"url": url});
        let (status, answer) = app.send(Method::POST, "/v1/subscriptions", new).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url} {answer}");
        assert_eq!(answer["errors"][0]["field"], "url", "{url}");
    }
    // A name tells only when it is resolved.
    let strict = App::start_with(
        |config| config.forward.allow_http = true,
        twotick::simulator::Config::default(),
    );
    let strict = strict.await;
    let endpoint = Endpoint::start().await;
    let url = endpoint.url.replace("127.0.0.1", "localhost");
    let made = strict
        .create("/v1/subscriptions", json!({"url": url}))
        .await;
    let answer = strict
        .create(&format!("{}/ping", path(&made)), Value::Null)
        .await;
    assert_eq!(answer["taken"], false);
    assert!(
        answer["error"].as_str().unwrap().contains("not public"),
        "{answer}"
    );
    assert_eq!(endpoint.got().len(), 0);
    // Nor where an answer leads.
    let moved = Endpoint::start().await;
    let elsewhere = endpoint.url.clone();
    moved.answer(move |_| Reply::Moved(elsewhere.clone()));
    let made = app
        .create("/v1/subscriptions", json!({"url": moved.url}))
        .await;
    let answer = app
        .create(&format!("{}/ping", path(&made)), Value::Null)
        .await;
    assert_eq!(
        (&answer["taken"], &answer["status"]),
        (&json!(false), &json!(307))
    );
    assert_eq!(endpoint.got().len(), 0);
}

#[tokio::test]
async fn what_was_taken_goes_again_when_somebody_asks() {
    let app = app().await;
    let endpoint = Endpoint::start().await;
    let new = json!({"url": endpoint.url, "types": ["message.*"]});
    let subscription = app.create("/v1/subscriptions", new).await;
    let new = text(&app.sender, "447700900123", "hello");
    let message = app.create("/v1/messages", new).await;
    app.accepted(message["id"].as_str().unwrap()).await;
    endpoint.takes(2).await;
    let ids: Vec<_> = endpoint
        .got()
        .iter()
        .map(|d| d.event["id"].clone())
        .collect();
    let replay = format!("{}/replay", path(&subscription));
    let answer = app.create(&replay, json!({"event": ids[0]})).await;
    assert_eq!(answer["replayed"], 1);
    endpoint.until("the one again", |got| got.len() >= 3).await;
    assert_eq!(endpoint.got()[2].event["id"], ids[0]);
    nothing_waits(&app, &subscription).await;
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    let answer = app.create(&replay, since).await;
    assert_eq!(answer, json!({"replayed": 2, "next_cursor": null}));
    endpoint.until("both again", |got| got.len() >= 5).await;
    let again: Vec<_> = endpoint.got()[3..]
        .iter()
        .map(|d| d.event["id"].clone())
        .collect();
    assert_eq!(again, ids);
    for wrong in [
        json!({}),
        json!({"dead": false}),
        json!({"event": ids[0], "dead": true}),
    ] {
        let (status, _) = app.send(Method::POST, &replay, wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
}
