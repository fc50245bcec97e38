//! A server that is there and refuses: full, out of connections, read-only. None of that is a
//! fault of what was to be written.

use reqwest::StatusCode;
use sqlx::{Connection as _, PgConnection};
use twotick::postgres::{Cluster, Options};

use crate::ground::{Ground, run, until};
use crate::load::Load;
use crate::network::{everything_is_503, nothing_is_written};

/// Every write fails as on a full disk.
const FULL: &str = "
    CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON journal EXECUTE FUNCTION disk_full();
    CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON attempts EXECUTE FUNCTION disk_full();
    CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON sequences EXECUTE FUNCTION disk_full();
    CREATE TRIGGER disk_full BEFORE INSERT OR UPDATE ON facts EXECUTE FUNCTION disk_full();";

#[tokio::test]
async fn a_full_disk_refuses_everything_and_loses_nothing() {
    let load = Load::begin(Ground::start().await, 20).await;
    load.goes_on(10).await;
    run(load.ground(), FULL).await;
    nothing_is_written(&load).await;
    // What only reads goes on.
    assert_eq!(load.ground().status("/v1/messages").await, StatusCode::OK);
    run(load.ground(), "DROP FUNCTION disk_full CASCADE").await;
    load.goes_on(10).await;
    load.end().await;
}

#[tokio::test]
async fn a_server_without_connections_or_without_writes_loses_nothing() {
    const MOST: usize = 24;
    let settings = [
        ("max_connections", MOST.to_string()),
        ("superuser_reserved_connections", "0".to_owned()),
    ];
    let options = Options {
        settings: settings
            .map(|(name, value)| (name.to_owned(), value))
            .to_vec(),
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let load = Load::begin(Ground::start_on(&cluster).await, 20).await;
    let ground = load.ground();
    load.goes_on(10).await;

    ground.proxy.shut();
    let mut taken = Vec::new();
    until("the service's sessions are gone", || async {
        ground
            .count("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
            .await
            == 1
    })
    .await;
    // Until the server says itself that it is full.
    while let Ok(session) = PgConnection::connect(&cluster.socket_url("postgres")).await {
        taken.push(session);
    }
    assert!(taken.len() > MOST / 2);
    ground.proxy.open();
    everything_is_503(&load).await;
    drop(taken);
    load.goes_on(10).await;

    run(
        ground,
        "ALTER SYSTEM SET default_transaction_read_only = on",
    )
    .await;
    run(ground, "SELECT pg_reload_conf()").await;
    everything_is_503(&load).await;
    run(ground, "ALTER SYSTEM RESET default_transaction_read_only").await;
    run(ground, "SELECT pg_reload_conf()").await;
    load.goes_on(10).await;
    load.end().await;
    cluster.stop().await.unwrap();
}
