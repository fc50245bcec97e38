//! Events are published to NATS JetStream behind their commit: each at least once, those of one
//! subject in their order, whoever dies meanwhile; and nothing else waits for it. Needs `nats-server`
//! on the machine.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, stream};
use serde_json::Value;
use tokio::process::{Child, Command};
use twotick::config::Config;

use crate::endpoint::*;
use crate::support::*;

/// A server that may be killed, and started again with what it kept.
struct Server {
    port: u16,
    folder: PathBuf,
    process: Child,
}

impl Server {
    /// `None`: there is none on this machine.
    fn start() -> Option<Self> {
        let found = std::process::Command::new("nats-server")
            .arg("--version")
            .output();
        if found.is_err() {
            // Past what the harness keeps to itself.
            let _ = writeln!(std::io::stderr(), "skipped: there is no nats-server here");
            return None;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = free.local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("twotick-nats-{port}"));
        let process = Self::process(port, &folder);
        Some(Self {
            port,
            folder,
            process,
        })
    }

    fn process(port: u16, folder: &std::path::Path) -> Child {
        Command::new("nats-server")
            .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
            .args(["--jetstream", "--store_dir"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    fn start_again(&mut self) {
        self.process = Self::process(self.port, &self.folder);
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A stream of all that is published.
    async fn stream(&self) -> Stream {
        let connecting = async {
            loop {
                match async_nats::connect(self.url()).await {
                    Ok(client) => return client,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let client = tokio::time::timeout(PATIENCE, connecting).await.unwrap();
        let all = stream::Config {
            name: "twotick".to_owned(),
            subjects: vec!["twotick.events.>".to_owned()],
            max_message_size: 100_000,
            ..stream::Config::default()
        };
        let jetstream = jetstream::new(client);
        jetstream.get_or_create_stream(all).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until the stream has so many messages, and returns their keys after a look at each.
async fn published(stream: &Stream, many: u64) -> Vec<String> {
    let coming = async {
        while stream
            .get_info()
            .await
            .map_or(0, |info| info.state.messages)
            < many
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, coming).await;
    let there = stream.get_info().await.unwrap().state.messages;
    assert!(in_time.is_ok() && there == many, "{there} of {many}");
    let (mut keys, mut ids) = (Vec::new(), BTreeSet::new());
    for n in 1..=many {
        let message = stream.get_raw_message(n).await.unwrap();
        let event: Value = serde_json::from_slice(&message.payload).unwrap();
        let event = event.get("specversion").map_or(&event, |_| &event["data"]);
        assert_eq!(message.subject.as_str(), "twotick.events.inbound.fact");
        let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
        assert_eq!(event["id"], id.as_str());
        assert!(ids.insert(id), "once");
        keys.push(event["data"]["key"].as_str().unwrap().to_owned());
    }
    keys
}

/// Waits until somebody publishes, who is another than before.
async fn owned(session: &mut sqlx::PgConnection, epoch: i64) {
    let owned = "SELECT EXISTS (SELECT FROM sinks WHERE lease_until > clock_timestamp()
                                AND lease_epoch >= $1)";
    let taken = async {
        loop {
            let owned = sqlx::query_scalar(owned).bind(epoch);
            match owned.fetch_one(&mut *session).await.unwrap() {
                true => return,
                false => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, taken).await;
    in_time.expect("nobody publishes");
}

/// Of five subjects, in their order.
async fn write_some(session: &mut sqlx::PgConnection, from: u128, to: u128) {
    for n in from..to {
        write(session, &[(1 + n % 5, &format!("{n:03}"))]).await;
    }
}

#[tokio::test]
async fn events_are_published_in_their_order_whoever_dies_and_nothing_else_waits() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let stream = server.stream().await;
    let url = server.url();
    let publishing = move |config: &mut Config| {
        config.nats.url = url.clone();
        config.nats.types = "inbound.*".to_owned();
        config.nats.timeout = Duration::from_secs(1);
    };
    let app = app_with(publishing.clone()).await;
    let endpoint = Endpoint::start().await;
    subscribe(&app, &endpoint).await;
    let mut session = app.session().await;
    owned(&mut session, 1).await;
    write_some(&mut session, 0, 30).await;
    published(&stream, 30).await;

    // The server dies: what is subscribed to is told all the same.
    server.kill().await;
    write_some(&mut session, 30, 60).await;
    endpoint.takes(60).await;
    server.start_again();
    published(&server.stream().await, 60).await;

    // The publisher dies, in the middle.
    write_some(&mut session, 60, 75).await;
    app.instance.abort();
    let beside_settings = |config: &mut Config| {
        settings(config);
        publishing(config);
    };
    let (_, _another) = beside(&app.store_beside().await, beside_settings).await;
    owned(&mut session, 2).await;
    write_some(&mut session, 75, 90).await;
    let keys = published(&server.stream().await, 90).await;
    let all: BTreeSet<_> = (0..90).map(|n| format!("{n:03}")).collect();
    assert_eq!(keys.iter().cloned().collect::<BTreeSet<_>>(), all);
    for subject in 0..5 {
        let own = keys.iter().map(|key| key.parse::<u16>().unwrap());
        let own: Vec<_> = own.filter(|n| n % 5 == subject).collect();
        assert!(own.is_sorted(), "{own:?}");
    }
}

#[tokio::test]
async fn what_was_written_before_there_was_a_stream_is_published_once_there_is() {
    let Some(server) = Server::start() else {
        return;
    };
    let url = server.url();
    let app = app_with(|config| {
        config.nats.url = url.clone();
        config.nats.types = "inbound.*".to_owned();
        config.nats.format = twotick::config::Format::Cloudevents;
        config.nats.timeout = Duration::from_secs(1);
    });
    let app = app.await;
    let mut session = app.session().await;
    owned(&mut session, 1).await;
    write_some(&mut session, 0, 7).await;
    app.events(7).await;
    // One that no server takes keeps nothing back, nor does one that the stream does not take.
    for size in [2_000_000, 200_000] {
        sqlx::query(
            "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
             SELECT id, gen_random_uuid(), $1, now(), 'inbound.fact', $2::int::text, 'webhook',
                    jsonb_build_object('key', repeat('x', $2))
             FROM senders",
        )
        .bind(uuid::Uuid::from_u128(1))
        .bind(size)
        .execute(&mut session)
        .await
        .unwrap();
    }
    write_some(&mut session, 7, 9).await;
    let keys = published(&server.stream().await, 9).await;
    let written: Vec<_> = (0..9).map(|n| format!("{n:03}")).collect();
    assert_eq!(keys, written);
}
