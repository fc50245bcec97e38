//! The service: sequences are made through its API, everything else it does by itself.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;
use twotick::postgres::Cluster;

use crate::ground::measured::Measured;
use crate::ground::wire::{Wire, request};
use crate::ground::{database, service};
use crate::{Work, crowd, number, provider, recipient, text};

/// Connections that make sequences.
const MAKERS: usize = 8;

pub async fn round(cluster: &Cluster, name: &str, load: &Handle, work: Work) -> Measured {
    let provider = provider::start(load, work).await;
    let mut database = database::create(cluster, name).await;
    let prepared = service::prepare(&cluster.socket_url(name), provider.url.clone()).await;
    let connection = prepared.connection;
    let key = prepared.store.create_admin_key("bench").await.unwrap();
    let key = key.expose_secret().to_owned();
    let running = prepared.run().await;
    let url = format!("http://{}/webhooks/{connection}", running.address);
    provider.post_to(url).await;
    let mut api = Wire::connect(running.address).await;
    let mut senders = Vec::new();
    for sender in 0..work.senders {
        let sender = json!({
            "connection": connection, "phone_number_id": number(sender),
            "messages_per_second": 1000,
        });
        let new = request("/v1/senders", Some(&key), Some(&sender.to_string()));
        let made: Value = serde_json::from_slice(api.ask(&new).await).unwrap();
        senders.push(made["id"].as_str().unwrap().to_owned());
    }
    until_none(
        &mut database,
        "SELECT count(*) FROM senders WHERE lease_owner IS NULL",
    )
    .await;
    if work.waiting > 0 {
        crowd::wait(&mut database, work.waiting).await;
    }
    let makers: Vec<_> = (0..MAKERS)
        .map(|maker| {
            let (key, senders) = (key.clone(), senders.clone());
            load.spawn(async move {
                let mut api = Wire::connect(running.address).await;
                for sequence in (maker..work.sequences).step_by(MAKERS) {
                    api.ask(&new_sequence(work, &key, &senders, sequence)).await;
                }
            })
        })
        .collect();
    for maker in makers {
        maker.await.unwrap();
    }
    provider.finished(work).await;
    until_none(
        &mut database,
        "SELECT count(*) FROM sequences WHERE status <> 'completed' AND lane <> 'offer/en_US'",
    )
    .await;
    running.stop().await;
    database.close().await.unwrap();
    provider.measured(work).await
}

fn new_sequence(work: Work, key: &str, senders: &[String], sequence: usize) -> Vec<u8> {
    let steps =
        (0..work.steps).map(|step| json!({"type": "text", "text": {"body": text(sequence, step)}}));
    let new = json!({
        "sender": senders[sequence % work.senders], "to": recipient(sequence),
        "messages": steps.collect::<Vec<_>>(),
    });
    request("/v1/sequences", Some(key), Some(&new.to_string()))
}

/// Waits until a count is zero.
async fn until_none(database: &mut PgConnection, count: &'static str) {
    let waiting = async {
        loop {
            let left: i64 = sqlx::query_scalar(count)
                .fetch_one(&mut *database)
                .await
                .unwrap();
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(in_time.is_ok(), "still not zero: {count}");
}
