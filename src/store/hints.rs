//! Hints between instances, by NOTIFY. They make a release quicker when the webhook reached
//! another instance than the one that owns the sender; nothing depends on their arrival.

use sqlx::postgres::PgListener;

use super::{Store, StoreError};
use crate::model::ids::SenderId;

const DUE: &str = "twotick_due";
/// `release_lease` notifies here.
const FREE: &str = "twotick_free";

/// What another instance says.
#[derive(Debug)]
pub enum Hint {
    /// These senders have something due.
    Due(Vec<SenderId>),
    /// A sender was given back.
    Free,
}

/// Hears what other instances hint.
#[derive(Debug)]
pub struct Hints(PgListener);

impl Store {
    /// Tells every instance that these senders have something due.
    pub async fn send_hints(&self, senders: &[SenderId]) -> Result<(), StoreError> {
        let ids: Vec<_> = senders.iter().map(|sender| sender.0).collect();
        sqlx::query!(
            r#"
            -- send_hints
            SELECT pg_notify($1, string_agg(id::text, ',')) AS "sent?" FROM unnest($2::integer[]) AS id
            "#,
            DUE,
            &ids
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(())
    }

    /// Begins to listen, on a connection of its own.
    pub async fn listen(&self) -> Result<Hints, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all([DUE, FREE]).await?;
        Ok(Hints(listener))
    }
}

impl Hints {
    /// The next hint.
    pub async fn next(&mut self) -> Result<Hint, StoreError> {
        let hint = self.0.recv().await?;
        if hint.channel() == FREE {
            return Ok(Hint::Free);
        }
        let ids = hint.payload().split(',');
        let ids = ids.filter_map(|id| id.parse().ok()).map(SenderId);
        Ok(Hint::Due(ids.collect()))
    }
}
