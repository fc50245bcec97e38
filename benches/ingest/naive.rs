//! What one would write first: check the signature, parse, one INSERT a status, commit, answer.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use secrecy::SecretString;
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use twotick::postgres::Cluster;
use twotick::provider::meta::webhook::verify_signature;

use crate::ground::service::SECRET;
use crate::load::Target;

pub struct Naive {
    pub target: Target,
    pool: PgPool,
    _stop: DropGuard,
}

impl Naive {
    pub async fn stop(self) {
        self.pool.close().await;
    }
}

pub async fn start(cluster: &Cluster, database: &str) -> Naive {
    let messages = crate::ours::create_database(cluster, database).await;
    let pool = PgPoolOptions::new().max_connections(32);
    let pool = pool.connect(&cluster.socket_url(database)).await.unwrap();
    sqlx::query("CREATE TABLE statuses (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, wamid text, status text, at timestamptz, raw jsonb)")
        .execute(&pool)
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let app = Router::new()
        .route("/webhook", post(take))
        .with_state(pool.clone());
    let serve = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::spawn(async move { serve.await });
    let target = crate::target(address, "/webhook".to_owned(), messages);
    Naive {
        target,
        pool,
        _stop: stop.drop_guard(),
    }
}

async fn take(State(pool): State<PgPool>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let secrets = [SecretString::from(SECRET)];
    let signature = headers
        .get("x-hub-signature-256")
        .map(|value| value.as_bytes());
    if verify_signature(signature, &body, &secrets).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut transaction = pool.begin().await.unwrap();
    for status in body["entry"][0]["changes"][0]["value"]["statuses"]
        .as_array()
        .unwrap()
    {
        sqlx::query("INSERT INTO statuses (wamid, status, at, raw) VALUES ($1, $2, to_timestamp($3::bigint), $4)")
            .bind(status["id"].as_str())
            .bind(status["status"].as_str())
            .bind(status["timestamp"].as_str().unwrap().parse::<i64>().unwrap())
            .bind(status)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
    StatusCode::OK
}
