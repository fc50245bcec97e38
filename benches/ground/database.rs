//! A migrated database of its own for each round.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use twotick::postgres::Cluster;

/// Makes it and returns a session in it.
pub async fn create(cluster: &Cluster, name: &str) -> PgConnection {
    let mut admin = PgConnection::connect(&cluster.socket_url("postgres"))
        .await
        .unwrap();
    let ddl = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(ddl))
        .execute(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
    let url = cluster.socket_url(name);
    twotick::store::migrate(&url).await.unwrap();
    PgConnection::connect(&url).await.unwrap()
}

/// Runs statements one behind the other.
pub async fn execute(database: &mut PgConnection, statements: String) {
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(database)
        .await
        .unwrap();
}

/// As it would be after a while: with statistics, and nothing left to write. Each statement is
/// alone: they refuse to be part of a transaction.
pub async fn settle(database: &mut PgConnection) {
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::query(statement)
            .execute(&mut *database)
            .await
            .unwrap();
    }
}
