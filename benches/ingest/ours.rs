//! The service, on a database with messages that have been posted: every second one is followed
//! by another in its sequence, which `delivered` releases; the others are alone.

use std::path::Path;

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use twotick::clock::Clock;
use twotick::config::Config;
use twotick::model::ids::{AttemptId, MessageId, SenderId};
use twotick::postgres::Cluster;
use twotick::seal::SealingKey;
use twotick::service::Service;
use twotick::store::{Credentials, NewConnection, Once, Store};

use crate::cpu::{self, Cpu};
use crate::load::{Known, Target};
use crate::{NUMBER, SECRET};

/// Posted messages; each takes three statuses.
const MESSAGES: i32 = 150_000;

pub struct Ours {
    pub target: Target,
    pool: sqlx::PgPool,
    stop: CancellationToken,
    service: tokio::task::JoinHandle<()>,
    wal_before: i64,
    cpu_before: Cpu,
}

/// What a webhook cost, in bytes, and how many updates stayed on their page.
#[derive(Debug, Default)]
pub struct Costs {
    pub wal_bytes: f64,
    pub table_bytes: f64,
    pub hot_share: f64,
    /// Microseconds of the service's threads, and of Postgres.
    pub cpu_us: [f64; 2],
}

/// A migrated database with a connection, a sender and posted messages. The service is not
/// running, and the sender's lease is held by nobody who exists: nothing is posted meanwhile.
pub async fn create_database(cluster: &Cluster, name: &str) -> Vec<Known> {
    let mut admin = PgConnection::connect(&cluster.socket_url("postgres"))
        .await
        .unwrap();
    let ddl = format!("CREATE DATABASE {name}");
    sqlx::query(sqlx::AssertSqlSafe(ddl))
        .execute(&mut admin)
        .await
        .unwrap();
    admin.close().await.unwrap();
    let url = cluster.socket_url(name);
    twotick::store::migrate(&url).await.unwrap();
    let mut database = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(preload()))
        .execute(&mut database)
        .await
        .unwrap();
    // Each alone: they refuse to be part of a transaction.
    for settle in ["VACUUM ANALYZE sequences, messages, attempts", "CHECKPOINT"] {
        sqlx::query(settle).execute(&mut database).await.unwrap();
    }
    // Statuses come about in the order of the posts, a few seconds apart.
    let rows = sqlx::query(
        "SELECT message, provider_message_id FROM attempts
         ORDER BY (row_number() OVER (ORDER BY message) + random() * 5000)",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    database.close().await.unwrap();
    rows.into_iter()
        .map(|row| {
            let message = MessageId {
                sender: SenderId(1),
                uuid: row.get(0),
            };
            Known {
                wamid: row.get(1),
                callback: AttemptId { message, n: 1 }.to_callback(),
            }
        })
        .collect()
}

fn preload() -> String {
    format!(
        r#"
        CREATE TEMPORARY TABLE made AS
        -- Ids in the order of creation, as the service makes them (UUID version 7).
        SELECT n, overlay(gen_random_uuid()::text PLACING id FROM 1 FOR 18)::uuid AS sequence,
               overlay(gen_random_uuid()::text PLACING id FROM 1 FOR 18)::uuid AS message
        FROM generate_series(1, {MESSAGES}) AS n
        CROSS JOIN LATERAL (
            SELECT to_hex(n / 4096 + x'1990000'::bigint) AS hex
        ) h
        CROSS JOIN LATERAL (
            SELECT '0' || h.hex || '-' || lpad(to_hex(n % 4096), 4, '0') || '-7'
                || lpad(to_hex(n % 4096), 3, '0') AS id
        ) i;
        INSERT INTO sequences (sender, id, head, length, created_at, single, status, work, lane,
                               recipient, gate, on_failure, deadline_at, due_at)
        SELECT 1, sequence, 1, 2, now(), false, 'running', 'waiting', '', '447700900123',
               '{{"status":"delivered","deadline_ms":86400000,"on_deadline":"stop"}}'::jsonb, 'stop',
               now() + interval '1 day', now() + interval '1 day'
        FROM made WHERE n % 2 = 1
        UNION ALL
        SELECT 1, sequence, 2, 1, now(), true, 'completed', 'done', '', '447700900123',
               '{{"status":"accepted","deadline_ms":86400000,"on_deadline":"stop"}}'::jsonb, 'stop',
               NULL, NULL
        FROM made WHERE n % 2 = 0;
        INSERT INTO messages (sender, sequence, id, position, created_at, origin, recipient, type, content)
        SELECT 1, sequence, message, 1, now(), 'ours', '447700900123', 'text', '{{"body":"hello"}}'::jsonb FROM made
        UNION ALL
        SELECT 1, sequence, gen_random_uuid(), 2, now(), 'ours', '447700900123', 'text', '{{"body":"again"}}'::jsonb
        FROM made WHERE n % 2 = 1;
        INSERT INTO attempts (sender, message, n, sequence, position, watch, posted_at, accepted_at,
                              outcome, provider_message_id)
        SELECT 1, message, 1, sequence, 1, CASE WHEN n % 2 = 1 THEN 2 END, now(), now(), 'accepted',
               'wamid.HBgLMTU1NTAxOTAwNDQVAgARGBI' || upper(replace(gen_random_uuid()::text, '-', ''))
        FROM made;
        "#
    )
}

pub async fn start(cluster: &Cluster, database: &str) -> Ours {
    let messages = create_database(cluster, database).await;
    let mut config = Config::load(None::<&Path>).unwrap();
    config.database.max_connections = 12;
    let key = SealingKey::parse(&SealingKey::generate()).unwrap();
    let url = cluster.socket_url(database);
    let store = Store::open(&url, &config.database, key, Clock::system())
        .await
        .unwrap();
    let new = NewConnection {
        name: "bench".to_owned(),
        provider: "meta".to_owned(),
        base_url: "http://127.0.0.1:9".to_owned(),
        api_version: "v25.0".to_owned(),
        credentials: Credentials {
            access_token: "token".to_owned().into(),
            app_secrets: vec![SECRET.to_owned().into()],
            verify_token: "verify".to_owned().into(),
        },
    };
    store
        .create_connection(new, &Once::default(), |made| made.id)
        .await
        .unwrap();
    let connection = store.list_connections(None, 1).await.unwrap().remove(0);
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    // What is released is left due: this measures what happens before the 200.
    sqlx::query(
        "INSERT INTO senders (id, connection, phone_number_id, origin, status, created_at,
                              lease_owner, lease_until)
         VALUES (1, $1, $2, 'api', 'active', now(), gen_random_uuid(), now() + interval '1 day')",
    )
    .bind(connection.id.0)
    .bind(NUMBER)
    .execute(&pool)
    .await
    .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let service = Service {
        config,
        store,
        metrics: None,
    }
    .run(listener, stop.clone());
    let service = tokio::spawn(async move { service.await.unwrap() });
    let wal_before = wal(&pool).await;
    let cpu_before = cpu::now(&pool).await;
    let target = crate::target(address, format!("/webhooks/{}", connection.id), messages);
    Ours {
        target,
        pool,
        stop,
        service,
        wal_before,
        cpu_before,
    }
}

async fn wal(pool: &sqlx::PgPool) -> i64 {
    sqlx::query_scalar("SELECT (pg_current_wal_lsn() - '0/0')::bigint")
        .fetch_one(pool)
        .await
        .unwrap()
}

impl Ours {
    /// What was answered 200 is there, once, with its effects.
    pub async fn check(&self, statuses: u64) {
        let facts: i64 = sqlx::query_scalar("SELECT count(*) FROM facts WHERE source = 'webhook'")
            .fetch_one(&self.pool)
            .await
            .unwrap();
        assert_eq!(facts.unsigned_abs(), statuses, "every status is one fact");
        let wrong: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM attempts a JOIN sequences q ON (q.sender, q.id) = (a.sender, a.sequence)
             WHERE (a.delivered_at IS NOT NULL AND q.work <> 'done') <> coalesce(q.due_at <= now(), false)",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        assert_eq!(
            wrong, 0,
            "a sequence is due exactly when its head was delivered"
        );
    }

    pub async fn costs(&self, webhooks: u64) -> Costs {
        let cpu_us = cpu::now(&self.pool)
            .await
            .per_webhook(self.cpu_before, webhooks);
        let per_webhook = |bytes: i64| bytes as f64 / webhooks as f64;
        let wal = wal(&self.pool).await - self.wal_before;
        let tables: i64 = sqlx::query_scalar(
            "SELECT (pg_total_relation_size('facts') + coalesce((SELECT sum(pg_total_relation_size(inhrelid))
                 FROM pg_inherits WHERE inhparent = 'journal'::regclass), 0))::bigint",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        sqlx::query("SELECT pg_stat_force_next_flush()")
            .execute(&self.pool)
            .await
            .unwrap();
        let hot: f64 = sqlx::query_scalar(
            "SELECT (n_tup_hot_upd::float8 / greatest(n_tup_upd, 1)) FROM pg_stat_user_tables WHERE relname = 'attempts'",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap();
        Costs {
            wal_bytes: per_webhook(wal),
            table_bytes: per_webhook(tables),
            hot_share: hot,
            cpu_us,
        }
    }

    pub async fn stop(self) {
        self.pool.close().await;
        self.stop.cancel();
        self.service.await.unwrap();
    }
}
