//! A server that goes and comes back.

use twotick::postgres::{Cluster, Options};

use crate::ground::Ground;
use crate::load::Load;
use crate::network::everything_is_503;

#[tokio::test]
async fn a_server_that_stops_is_killed_and_restarts_loses_nothing_and_doubles_nothing() {
    let mut cluster = Cluster::start(Options::default()).await.unwrap();
    let load = Load::begin(Ground::start_on(&cluster).await, 30).await;
    load.goes_on(10).await;
    cluster.halt().await.unwrap();
    everything_is_503(&load).await;
    cluster.start_again().await.unwrap();
    load.goes_on(10).await;
    cluster.kill().await.unwrap();
    everything_is_503(&load).await;
    cluster.start_again().await.unwrap();
    load.goes_on(10).await;
    cluster.restart().await.unwrap();
    load.goes_on(10).await;
    load.end().await;
    cluster.stop().await.unwrap();
}
