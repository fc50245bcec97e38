//! What goes wrong on the way to a subscription costs it no event, and its other events no time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::endpoint::*;
use crate::support::*;

#[tokio::test]
async fn an_event_of_which_nothing_can_be_recorded_is_delivered_again() {
    let app = app().await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|delivery| match delivery.key() {
        "refused" => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let subscription = subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    let constrain = "ALTER TABLE undelivered ADD CONSTRAINT impossible CHECK (attempts = 0)";
    sqlx::query(constrain).execute(&mut session).await.unwrap();
    write(&mut session, &[(1, "refused")]).await;
    endpoint.until("it is tried", |got| !got.is_empty()).await;
    // Recording goes on behind what could not be.
    for key in ["a", "b", "c"] {
        write(&mut session, &[(0, key)]).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    endpoint.takes(3).await;
    let log = format!("{}/deliveries", path(&subscription));
    let recorded = async {
        for _ in 0..100 {
            if app.get(&log).await["data"] != json!([]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    recorded.await;
    app.instance.abort();
    let free = "ALTER TABLE undelivered DROP CONSTRAINT impossible";
    sqlx::query(free).execute(&mut session).await.unwrap();
    endpoint.answer(|_| Reply::Status(200));
    let (_, _another) = beside(&app.store, settings).await;
    endpoint.takes(4).await;
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_is_asked_with_one_event_at_a_time() {
    let app = app_with(|config| config.forward.retry = vec![Duration::from_secs(2); 300]).await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|_| Reply::Status(500));
    let subscription = subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    // Each of a subject of its own: it is the endpoint and not an event.
    for subject in 1..=30 {
        write(&mut session, &[(subject, &format!("of {subject}"))]).await;
    }
    let at = path(&subscription);
    app.get_until(&at, |it| it["failing_since"].is_string())
        .await;
    endpoint
        .until("three are refused", |got| {
            let keys: std::collections::BTreeSet<_> = got.iter().map(Delivery::key).collect();
            keys.len() >= 3
        })
        .await;
    let refused: std::collections::BTreeSet<_> = endpoint
        .got()
        .iter()
        .map(|got| got.key().to_owned())
        .collect();
    let again = move |got: &Delivery| refused.contains(got.key());
    let (let_go, held) = tokio::sync::watch::channel(false);
    let is_again = again.clone();
    endpoint.answer(move |got| match is_again(got) {
        true => Reply::When(held.clone(), 500),
        false => Reply::Status(500),
    });
    let before = endpoint.got().len();
    let holds = |got: &[Delivery]| got.iter().skip(before).position(&again);
    endpoint
        .until("one is held", |got| holds(got).is_some())
        .await;
    let at_most = before + holds(&endpoint.got()).unwrap() + 1;
    // The next probe would be due by now.
    let second = endpoint.until("another comes beside it", |got| got.len() > at_most);
    let second = tokio::time::timeout(Duration::from_secs(4), second).await;
    assert!(second.is_err(), "{:?}", endpoint.got().len());
    let_go.send_replace(true);
    endpoint
        .until("it is asked again", |got| got.len() > at_most)
        .await;
}

#[tokio::test]
async fn a_replayed_event_that_is_refused_keeps_no_other_back() {
    const MANY: usize = 1_200;
    // Refused for longer than the test may take; what only was slow goes again.
    let app = app_with(|config| config.forward.retry = vec![Duration::from_secs(1); 300]).await;
    let endpoint = Endpoint::start().await;
    endpoint.answer(|delivery| match delivery.key() {
        "0" => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let mut session = app.session().await;
    let ids: Vec<_> = (0..MANY).map(|_| app.clock.new_id()).collect();
    sqlx::query(
        "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
         SELECT s.id, x.id, '00000000-0000-0000-0000-000000000000', now(), 'inbound.fact',
                x.n::text, 'webhook', jsonb_build_object('key', (x.n - 1)::text)
         FROM senders s, unnest($1::uuid[]) WITH ORDINALITY AS x (id, n)",
    )
    .bind(ids)
    .execute(&mut session)
    .await
    .unwrap();
    app.get_until("/v1/events?type=inbound.fact&limit=1", |page| {
        page["data"] != json!([])
    })
    .await;
    let subscription = subscribe(&app, &endpoint).await;
    let replay = format!("{}/replay", path(&subscription));
    let mut cursor = Value::Null;
    let mut replayed = 0;
    loop {
        let until = "2100-01-01T00:00:00Z";
        let since = json!({"since": "2020-01-01T00:00:00Z", "until": until, "cursor": cursor});
        let answer = app.create(&replay, since).await;
        replayed += answer["replayed"].as_u64().unwrap();
        cursor = answer["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(replayed, MANY as u64);
    let waiting = format!("{}/undelivered?state=waiting&limit=2", path(&subscription));
    let refused = |page: &Value| {
        let left = page["data"].as_array().unwrap();
        left.len() == 1 && left[0]["status"] == 500
    };
    // Many, on a machine that may do much else.
    let all = async {
        while !refused(&app.get(&waiting).await) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE * 6, all).await;
    assert!(in_time.is_ok(), "{:#}", app.get(&waiting).await);
    assert_eq!(endpoint.taken().len(), MANY - 1);
}
