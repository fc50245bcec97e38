//! What one would write first: one row by its key, as JSON, with no key of an API to check.

use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use sqlx::postgres::PgPoolOptions;
use sqlx::types::time::OffsetDateTime;
use sqlx::{PgPool, Row as _};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

pub struct Plain {
    pub address: SocketAddr,
    pool: PgPool,
    _stop: DropGuard,
}

#[derive(Serialize)]
struct Shown {
    id: Uuid,
    recipient: String,
    r#type: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
}

pub async fn start(url: &str) -> Plain {
    let pool = PgPoolOptions::new().max_connections(8);
    let pool = pool.connect(url).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let app = Router::new()
        .route("/messages/{id}", get(one))
        .with_state(pool.clone());
    let serve = axum::serve(listener, app).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::spawn(async move { serve.await });
    Plain {
        address,
        pool,
        _stop: stop.drop_guard(),
    }
}

async fn one(State(pool): State<PgPool>, Path(id): Path<Uuid>) -> Json<Shown> {
    let row = sqlx::query(
        "SELECT id, recipient, type, created_at FROM messages WHERE sender = 1 AND id = $1",
    )
    .bind(id)
    .fetch_one(&pool)
    .await
    .unwrap();
    Json(Shown {
        id: row.get(0),
        recipient: row.get(1),
        r#type: row.get(2),
        created_at: row.get(3),
    })
}

impl Plain {
    pub async fn stop(self) {
        self.pool.close().await;
    }
}
