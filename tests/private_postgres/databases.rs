//! A migrated database a test, on a private cluster and on a given server.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};
use twotick::postgres::{Cluster, Options, TestServer};

use crate::{connect, until};

#[tokio::test]
async fn every_test_gets_a_migrated_database_of_its_own() {
    let server = TestServer::private(Options::default(), migrate).await;
    let server = server.unwrap();
    check_test_server(&server).await;
}

#[tokio::test]
async fn a_given_server_is_used_and_left_clean() {
    let cluster = Cluster::start(Options::default()).await.unwrap();
    let mut connection = connect(&cluster).await;
    for left in ["twotick_test_0123456789ab_7", "someone_elses"] {
        let sql = format!("CREATE DATABASE {left}");
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let kept = vec!["postgres".to_owned(), "someone_elses".to_owned()];
    let url = cluster.url("postgres");
    let living = TestServer::given(&url, migrate).await.unwrap();
    let used = living.create_database().await.unwrap();

    let server = TestServer::given(&url, migrate).await.unwrap();
    check_test_server(&server).await;
    drop(server);
    let pool = PgPool::connect(&used.url).await.unwrap();
    let query = sqlx::query_scalar("SELECT count(*) FROM migrated");
    let rows: i64 = query.fetch_one(&pool).await.unwrap();
    assert_eq!(rows, 1);

    drop((living, used));
    until(async || databases(&mut connection).await == kept).await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_migration_that_fails_says_why() {
    let fail = |_| async { Err("the disk is on fire") };
    let error = TestServer::private(Options::default(), fail)
        .await
        .unwrap_err();
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the disk is on fire");
}

/// Leaves a connection behind, as a careless migration would.
pub async fn migrate(url: String) -> Result<(), sqlx::Error> {
    let pool = PgPool::connect(&url).await?;
    pool.execute("CREATE TABLE migrated AS SELECT 1 AS one")
        .await?;
    std::mem::forget(pool);
    Ok(())
}

async fn check_test_server(server: &TestServer) {
    let (one, two, three) = tokio::try_join!(
        server.create_database(),
        server.create_database(),
        server.create_database()
    )
    .unwrap();
    let names = HashSet::from([&one.name, &two.name, &three.name]);
    assert_eq!(names.len(), 3);
    let pool = PgPool::connect(&one.url).await.unwrap();
    pool.execute("DELETE FROM migrated").await.unwrap();
    let other = PgPool::connect(&two.url).await.unwrap();
    let count = "SELECT count(*) FROM migrated";
    let rows: i64 = sqlx::query_scalar(count).fetch_one(&other).await.unwrap();
    assert_eq!(rows, 1);

    let gone = one.name.clone();
    drop(one);
    let mut connection = other.acquire().await.unwrap();
    until(async || !databases(&mut connection).await.contains(&gone)).await;
}

async fn databases(connection: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT datname::text FROM pg_database
               WHERE datname NOT LIKE 'template_' ORDER BY datname";
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}
