//! Writers whose transactions overlap: some facts, a while, some more, and the commit.

use std::time::Duration;

use rand::RngExt;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::Args;

/// The most facts of one transaction.
const MOST: u32 = 64;

/// Writes this writer's part.
pub async fn write(url: String, writer: u32, args: Args) {
    let mut session = PgConnection::connect(&url).await.unwrap();
    let each = args.events / args.writers;
    let (mut next, mut end) = (writer * each, (writer + 1) * each);
    if writer + 1 == args.writers {
        end = args.events;
    }
    while next < end {
        let (most, wait) = {
            let mut random = rand::rng();
            let long = if random.random_ratio(1, 100) { 10 } else { 1 };
            (
                random.random_range(1..=MOST),
                random.random_range(0..=args.delay_ms) * long,
            )
        };
        let to = end.min(next + most);
        let middle = next + (to - next) / 2;
        let mut transaction = session.begin().await.unwrap();
        insert(&mut transaction, next, middle).await;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        insert(&mut transaction, middle, to).await;
        transaction.commit().await.unwrap();
        next = to;
    }
    session.close().await.unwrap();
}

async fn insert(session: &mut PgConnection, from: u32, to: u32) {
    let numbers: Vec<_> = (from..to).map(u32::cast_signed).collect();
    let ids: Vec<_> = numbers.iter().map(|_| Uuid::now_v7()).collect();
    sqlx::query(
        "INSERT INTO facts (stream, id, subject, received_at, type, key, source, data)
         SELECT 1, x.id, '00000000-0000-0000-0000-000000000000', now(), 'inbound.bench', x.n::text,
                'api', jsonb_build_object('n', x.n)
         FROM unnest($1::uuid[], $2::integer[]) AS x (id, n)",
    )
    .bind(ids)
    .bind(numbers)
    .execute(session)
    .await
    .unwrap();
}
