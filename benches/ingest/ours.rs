//! The service, on a database with messages that have been posted.

use sqlx::{Connection as _, Row as _};
use twotick::model::ids::{AttemptId, MessageId, SenderId};
use twotick::postgres::Cluster;

use crate::NUMBER;
use crate::cpu::{self, Cpu};
use crate::ground::service::Running;
use crate::ground::{database, posted, service};
use crate::load::{Known, Target};

pub struct Ours {
    pub target: Target,
    pool: sqlx::PgPool,
    service: Running,
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
    let mut database = database::create(cluster, name).await;
    database::execute(&mut database, posted::messages()).await;
    database::settle(&mut database).await;
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

pub async fn start(cluster: &Cluster, name: &str) -> Ours {
    let messages = create_database(cluster, name).await;
    let url = cluster.socket_url(name);
    let prepared = service::prepare(&url, "http://127.0.0.1:9".to_owned()).await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    // What is released is left due: this measures what happens before the 200.
    sqlx::query(
        "INSERT INTO senders (id, connection, phone_number_id, origin, status, created_at,
                              lease_owner, lease_until)
         VALUES (1, $1, $2, 'api', 'active', now(), gen_random_uuid(), now() + interval '1 day')",
    )
    .bind(prepared.connection.0)
    .bind(NUMBER)
    .execute(&pool)
    .await
    .unwrap();
    let connection = prepared.connection;
    let service = prepared.run().await;
    let wal_before = wal(&pool).await;
    let cpu_before = cpu::now(&pool).await;
    let target = crate::target(service.address, format!("/webhooks/{connection}"), messages);
    Ours {
        target,
        pool,
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
        self.service.stop().await;
    }
}
