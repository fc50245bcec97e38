//! What a database must be for the service to start on it.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use twotick::clock::Clock;
use twotick::postgres::TestServer;
use twotick::seal::SealingKey;
use twotick::store::{self, OpenError, Store};

use crate::ground::settings;

/// Opens a database and closes it again.
pub async fn open(url: &str) -> Result<(), OpenError> {
    let key = SealingKey::parse(&SealingKey::generate()).unwrap();
    let store = Store::open(url, &settings().database, key, Clock::system()).await?;
    store.close().await;
    Ok(())
}

#[tokio::test]
async fn a_database_that_acknowledges_too_early_or_cannot_be_written_is_refused_at_start() {
    let server = TestServer::shared(|url| async move { store::migrate(&url).await });
    let database = server.await.unwrap().create_database().await.unwrap();
    let set = async |setting: &str| {
        let mut session = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql("SET default_transaction_read_only = off")
            .execute(&mut session)
            .await
            .unwrap();
        let sql = format!(
            "ALTER DATABASE {0} RESET ALL; ALTER DATABASE {0} SET {setting}",
            database.name
        );
        sqlx::raw_sql(AssertSqlSafe(sql))
            .execute(&mut session)
            .await
            .unwrap();
    };
    set("synchronous_commit = off").await;
    let refused = open(&database.url).await;
    assert!(matches!(refused, Err(OpenError::NotDurable)), "{refused:?}");
    set("default_transaction_read_only = on").await;
    let refused = open(&database.url).await;
    assert!(matches!(refused, Err(OpenError::ReadOnly)), "{refused:?}");
    // Without a standby that was configured, there is nobody to wait for.
    set("synchronous_commit = local").await;
    open(&database.url).await.unwrap();
}

#[tokio::test]
async fn what_an_instance_makes_due_is_due_everywhere_although_its_clock_is_wrong() {
    let server = TestServer::shared(|url| async move { store::migrate(&url).await });
    let database = server.await.unwrap().create_database().await.unwrap();
    let mut session = PgConnection::connect(&database.url).await.unwrap();
    let settings = settings();
    for wrong_by in [60, -60, 0] {
        let clock = Clock::wrong_by(time::Duration::seconds(wrong_by));
        let key = SealingKey::parse(&SealingKey::generate()).unwrap();
        sqlx::query("DELETE FROM sealing_check")
            .execute(&mut session)
            .await
            .unwrap();
        let store = Store::open(&database.url, &settings.database, key, clock.clone());
        let store = store.await.unwrap();
        let before = clock.now();
        let now: time::OffsetDateTime = sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&mut session)
            .await
            .unwrap();
        let off = now - before;
        assert!(off.abs() < time::Duration::seconds(5), "{off}");
        let ahead = store.follow_clock().await.unwrap();
        assert!((ahead - wrong_by as f64).abs() < 5.0, "{ahead}");
        store.close().await;
    }
}
