//! The feed, a stream and a subscription tell the same, each event once, whatever commits late.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use twotick::clock;

use crate::endpoint::*;
use crate::support::*;

/// A stream that is read.
struct Reading {
    answer: reqwest::Response,
    rest: String,
    /// Of the last event.
    id: Option<String>,
}

impl Reading {
    async fn begin(app: &App, query: &str, from: Option<&str>) -> Self {
        let request = app.request(Method::GET, &format!("/v1/events/stream{query}"));
        let request = match from {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            rest: String::new(),
            id: from.map(str::to_owned),
        }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            while let Some((message, rest)) = self.rest.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = message.lines();
                    lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
                };
                let (id, data) = (field("id: "), field("data: "));
                self.rest = rest.to_owned();
                self.id = id.or(self.id.take());
                if let Some(data) = data {
                    return Some(serde_json::from_str(&data).unwrap());
                }
            }
            let piece = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let piece = piece.expect("nothing came").ok().flatten()?;
            self.rest += std::str::from_utf8(&piece).unwrap();
        }
    }

    async fn keys(&mut self, n: usize) -> Vec<String> {
        let mut keys = Vec::new();
        while keys.len() < n {
            let event = self.next().await.expect("the stream ended");
            keys.push(event["data"]["key"].as_str().unwrap().to_owned());
        }
        keys
    }
}

/// Transactions beside each other, each of a few facts, that commit when they please.
async fn write_beside_each_other(app: &App, writers: u128, each: usize) {
    let writing = (0..writers).map(|writer| async move {
        let mut session = app.session().await;
        for n in 0..each {
            let mut transaction = sqlx::Connection::begin(&mut session).await.unwrap();
            let key = format!("{writer} {n:03}");
            write(&mut transaction, &[(1 + writer, &key)]).await;
            let [pause] = clock::random::<1>();
            tokio::time::sleep(Duration::from_millis(u64::from(pause) / 8)).await;
            transaction.commit().await.unwrap();
        }
    });
    all(writing).await;
}

/// All, beside each other.
async fn all<F: Future<Output = ()>>(all: impl Iterator<Item = F>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|one| one.as_mut().poll(context).is_pending());
        match all.is_empty() {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

/// What comes to one who asks these instances in turn for what lies behind the page before.
async fn pages(app: &App, instances: [String; 2], all: usize) -> Vec<String> {
    let client = reqwest::Client::new();
    let (mut keys, mut after) = (Vec::new(), String::new());
    let mut instances = instances.iter().cycle();
    let asking = async {
        while keys.len() < all {
            let url = instances.next().unwrap();
            let url = format!("{url}/v1/events?type=inbound.*&limit=7{after}");
            let page = client.get(url).bearer_auth(&app.key).send().await.unwrap();
            let page: Value = page.error_for_status().unwrap().json().await.unwrap();
            let events = page["data"].as_array().unwrap().iter();
            keys.extend(events.map(|event| event["data"]["key"].as_str().unwrap().to_owned()));
            after = format!("&after={}", page["next_cursor"].as_str().unwrap());
        }
    };
    let in_time = tokio::time::timeout(PATIENCE * 2, asking).await;
    in_time.expect("something is missing");
    keys
}

#[tokio::test]
async fn feed_streams_and_subscriptions_tell_every_event_in_the_same_order() {
    const WRITERS: u128 = 6;
    const EACH: usize = 40;
    const ALL: usize = 240;
    let app = app().await;
    let endpoint = Endpoint::start().await;
    subscribe(&app, &endpoint).await;
    let mut stream = Reading::begin(&app, "?type=inbound.*", None).await;
    // Another instance comes and goes meanwhile, and with it the subscription changes hands.
    let instances = async {
        for _ in 0..3 {
            let another = beside(&app.store_beside().await, settings).await;
            tokio::time::sleep(Duration::from_millis(400)).await;
            drop(another);
        }
    };
    let read = async {
        let mut keys = Vec::new();
        while keys.len() < ALL {
            keys.extend(stream.keys(30).await);
            // It breaks off, and comes back.
            let id = stream.id.clone();
            stream = Reading::begin(&app, "?type=inbound.*", id.as_deref()).await;
        }
        keys
    };
    let (address, _second) = beside(&app.store_beside().await, settings).await;
    let paged = pages(&app, [app.url.clone(), format!("http://{address}")], ALL);
    let writing = write_beside_each_other(&app, WRITERS, EACH);
    let ((), (), streamed, paged) = tokio::join!(writing, instances, read, paged);

    let feed = app.get("/v1/events?type=inbound.fact&limit=500").await;
    let feed = feed["data"].as_array().unwrap().iter();
    let feed: Vec<_> = feed
        .map(|event| event["data"]["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(feed.len(), ALL);
    assert_eq!(streamed, feed);
    assert_eq!(paged, feed);
    endpoint.takes(ALL).await;
    let taken = endpoint.taken();
    assert_eq!(BTreeSet::from_iter(&taken), BTreeSet::from_iter(&feed));
    for writer in 0..WRITERS {
        let own = |all: &[String]| {
            let own = all
                .iter()
                .filter(|key| key.starts_with(&format!("{writer} ")));
            own.cloned().collect::<Vec<_>>()
        };
        assert_eq!(own(&taken), own(&feed), "each subject in its order");
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_and_ends_when_the_service_does() {
    let app = app_with(|config| config.http.max_streams = 2).await;
    let mut session = app.session().await;
    let mut stream = Reading::begin(&app, "?type=inbound.*", None).await;
    write(&mut session, &[(0, "a"), (0, "b")]).await;
    let first = stream.keys(1).await;
    let id = stream.id.clone().unwrap();
    let mut again = Reading::begin(&app, "", Some(&id)).await;
    write(&mut session, &[(0, "c")]).await;
    let rest = again.keys(2).await;
    let all: BTreeSet<_> = first.into_iter().chain(rest).collect();
    assert_eq!(all, BTreeSet::from(["a".into(), "b".into(), "c".into()]));
    // A place in the list is a place in the stream.
    let page = app.get("/v1/events?type=inbound.fact&limit=1").await;
    drop(again);
    let after = format!("?after={}", page["next_cursor"].as_str().unwrap());
    let closed = async {
        loop {
            let request = app.request(Method::GET, &format!("/v1/events/stream{after}"));
            let answer = request.send().await.unwrap();
            if answer.status() == 200 {
                return answer;
            }
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()["retry-after"], "1");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let mut third = Reading {
        answer: tokio::time::timeout(PATIENCE, closed).await.unwrap(),
        rest: String::new(),
        id: None,
    };
    assert_eq!(third.keys(2).await.len(), 2);
    let full = app.request(Method::GET, "/v1/events/stream").send().await;
    assert_eq!(full.unwrap().status(), 503);

    let batch = app
        .request(Method::GET, "/v1/events?type=inbound.fact&limit=2")
        .header("accept", "application/cloudevents-batch+json");
    let batch = batch.send().await.unwrap();
    let link = batch.headers()["link"].to_str().unwrap().to_owned();
    assert!(
        link.starts_with("</v1/events?type=inbound.fact&limit=2&after="),
        "{link}"
    );
    let batch: Value = batch.json().await.unwrap();
    assert_eq!(batch.as_array().unwrap().len(), 2);
    assert_eq!(batch[0]["data"]["data"]["key"], "a");
    assert_eq!(batch[0]["datacontenttype"], json!("application/json"));

    app.stop();
    while let Some(event) = stream.next().await {
        assert_ne!(event, Value::Null);
    }
    assert!(third.next().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_with_its_key() {
    let app = App::start().await;
    let key = json!({"name": "reader", "scopes": ["events:read"]});
    let made = app.create("/v1/keys", key).await;
    let request = reqwest::Client::new().get(format!("{}/v1/events/stream", app.url));
    let request = request.bearer_auth(made["secret"].as_str().unwrap());
    let mut stream = Reading {
        answer: request.send().await.unwrap(),
        rest: String::new(),
        id: None,
    };
    assert_eq!(stream.answer.status(), 200);
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    let revoked = app.request(Method::DELETE, &path).send().await.unwrap();
    assert_eq!(revoked.status(), 200);
    // What happens until then it may still hear.
    while stream.next().await.is_some() {}
}
