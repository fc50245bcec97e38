//! Readers that follow cursors from instance to instance, until they have had all and the feed says
//! that there is no more; or until nothing has come for so long that nothing will.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::RngExt;
use serde::Deserialize;
use sqlx::{Connection as _, PgConnection};

use crate::Came;

/// Of a page.
const LIMIT: usize = 500;

/// A stream is dropped after so many events at most.
const DROPPED_AFTER: usize = 20_000;

/// How soon who was at the end looks again.
const AGAIN: Duration = Duration::from_millis(10);

/// Once all is written: how long something may be missing before it counts as missed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a reader needs to know.
#[derive(Debug, Clone)]
pub struct Reading {
    pub instances: [SocketAddr; 2],
    pub key: String,
    /// A cursor before the first.
    pub from: String,
    pub expected: u32,
    /// Whether all is written.
    pub written: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct Page {
    data: Vec<Event>,
    next_cursor: String,
}

#[derive(Deserialize)]
struct Event {
    data: Number,
}

#[derive(Deserialize)]
struct Number {
    n: u32,
}

impl Reading {
    /// By pages, each from the other instance.
    pub async fn list(self, first: usize) -> (Came, usize) {
        let client = reqwest::Client::new();
        let mut came = Came::new();
        let (mut after, mut failed) = (self.from.clone(), 0);
        let mut last_came = Instant::now();
        for turn in first.. {
            let was_written = self.written.load(Ordering::Acquire);
            let path = format!("events?type=inbound.bench&limit={LIMIT}&after={after}");
            let Some(answer) = self.ask(client.get(self.url(turn, &path))).await else {
                failed += 1;
                continue;
            };
            let Ok(page) = answer.json::<Page>().await else {
                failed += 1;
                continue;
            };
            after = page.next_cursor;
            if !page.data.is_empty() {
                last_came = Instant::now();
            }
            came.extend(page.data.iter().map(|event| event.data.n));
            if was_written && page.data.is_empty() && self.is_over(&came, last_came) {
                break;
            }
            if page.data.len() < LIMIT {
                tokio::time::sleep(AGAIN).await;
            }
        }
        (came, failed)
    }

    /// By streams, each from the other instance, which are dropped in the middle of an answer.
    pub async fn stream(self, first: usize) -> (Came, usize) {
        let client = reqwest::Client::new();
        let mut came = Came::new();
        let mut id = self.from.clone();
        let mut last_came = Instant::now();
        for turn in first.. {
            let ask = client.get(self.url(turn, "events/stream?type=inbound.bench"));
            let Some(mut answer) = self.ask(ask.header("last-event-id", &id)).await else {
                continue;
            };
            let most = came.len() + rand::rng().random_range(1..=DROPPED_AFTER);
            let mut rest = String::new();
            while came.len() < most {
                let piece = tokio::time::timeout(Duration::from_secs(1), answer.chunk()).await;
                let Ok(piece) = piece else {
                    if self.written.load(Ordering::Acquire) && self.is_over(&came, last_came) {
                        return (came, turn - first);
                    }
                    continue;
                };
                let Ok(Some(piece)) = piece else {
                    break;
                };
                rest += std::str::from_utf8(&piece).unwrap();
                while came.len() < most
                    && let Some((message, later)) = rest.split_once("\n\n")
                {
                    let mut lines = message.lines();
                    if let Some(place) = lines.clone().find_map(|line| line.strip_prefix("id: ")) {
                        id = place.to_owned();
                    }
                    if let Some(data) = lines.find_map(|line| line.strip_prefix("data: ")) {
                        let event: Event = serde_json::from_str(data).unwrap();
                        came.push(event.data.n);
                        last_came = Instant::now();
                    }
                    rest = later.to_owned();
                }
            }
        }
        unreachable!("a turn follows each")
    }

    fn url(&self, turn: usize, path: &str) -> String {
        format!("http://{}/v1/{path}", self.instances[turn % 2])
    }

    /// An answer; or none, where it has to be asked for again: a machine that does much else makes the
    /// service say so.
    async fn ask(&self, request: reqwest::RequestBuilder) -> Option<reqwest::Response> {
        let answer = request.bearer_auth(&self.key).send().await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(answer) => Some(answer),
            Err(error) => {
                let status = error.status();
                assert!(
                    status.is_none_or(|status| status.is_server_error()),
                    "{error}"
                );
                tokio::time::sleep(AGAIN * 10).await;
                None
            }
        }
    }

    fn is_over(&self, came: &Came, last_came: Instant) -> bool {
        came.len() >= self.expected as usize || last_came.elapsed() > PATIENCE
    }
}

/// Follows the table by the order of transactions, and takes what it sees for all there is.
pub async fn naive(url: String, expected: u32, written: Arc<AtomicBool>) -> Came {
    let mut session = PgConnection::connect(&url).await.unwrap();
    let (mut came, mut place) = (Came::new(), ("0".to_owned(), uuid::Uuid::nil()));
    loop {
        let was_written = written.load(Ordering::Acquire);
        let page: Vec<(String, uuid::Uuid, i32)> = sqlx::query_as(
            "SELECT xid::text, id, (data ->> 'n')::integer FROM facts
             WHERE (xid, id) > ($1::xid8, $2) AND type = 'inbound.bench'
             ORDER BY xid, id LIMIT 500",
        )
        .bind(&place.0)
        .bind(place.1)
        .fetch_all(&mut session)
        .await
        .unwrap();
        came.extend(page.iter().map(|(_, _, n)| n.cast_unsigned()));
        if let Some((xid, id, _)) = page.last() {
            place = (xid.clone(), *id);
        } else if was_written || came.len() >= expected as usize {
            session.close().await.unwrap();
            return came;
        } else {
            tokio::time::sleep(AGAIN).await;
        }
    }
}
