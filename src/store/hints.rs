//! Hints between instances, by NOTIFY. They make a release quicker when the webhook reached
//! another instance than the one that owns the sender; nothing depends on their arrival.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::{Store, StoreError, again};
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

/// How long silence is believed. A connection that was cut off without a word is as silent as
/// one on which nobody hints.
const SILENCE: Duration = Duration::from_secs(5);

/// Hears what other instances hint. A lost connection is an error: whoever hears listens anew.
#[derive(Debug)]
pub struct Hints {
    listener: PgListener,
    store: Store,
}

impl Store {
    /// Tells every instance that these senders have something due.
    pub async fn send_hints(&self, senders: &[SenderId]) -> Result<(), StoreError> {
        let ids: Vec<_> = senders.iter().map(|sender| sender.0).collect();
        again!(self, "send_hints", {
            sqlx::query!(
                r#"
                -- send_hints
                SELECT pg_notify($1, string_agg(id::text, ',')) AS "sent?" FROM unnest($2::integer[]) AS id
                "#,
                DUE,
                &ids
            )
            .fetch_one(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Begins to listen, on a connection of its own: of no pool, because one that was cut off
    /// without a word keeps its place in a pool for a while.
    pub async fn listen(&self) -> Result<Hints, StoreError> {
        let listener = again!(self, "listen", {
            let alone = PgPoolOptions::new()
                .max_connections(1)
                .max_lifetime(None)
                .idle_timeout(None)
                .connect_lazy_with(self.pools.options.clone());
            let mut listener = PgListener::connect_with(&alone).await?;
            listener.eager_reconnect(false);
            listener.listen_all([DUE, FREE]).await?;
            Ok(listener)
        })?;
        Ok(Hints {
            listener,
            store: self.clone(),
        })
    }
}

impl Hints {
    /// The next hint; none, where nobody hinted for a while.
    pub async fn next(&mut self) -> Result<Option<Hint>, StoreError> {
        let Ok(hint) = tokio::time::timeout(SILENCE, self.listener.try_recv()).await else {
            self.is_heard().await?;
            return Ok(None);
        };
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into());
        let hint = hint?.ok_or_else(lost)?;
        if hint.channel() == FREE {
            return Ok(Some(Hint::Free));
        }
        let ids = hint.payload().split(',');
        let ids = ids.filter_map(|id| id.parse().ok()).map(SenderId);
        Ok(Some(Hint::Due(ids.collect())))
    }

    async fn is_heard(&mut self) -> Result<(), StoreError> {
        let Self { listener, store } = self;
        again!(store, "hints", {
            sqlx::query("-- hints\nSELECT")
                .execute(&mut *listener)
                .await?;
            Ok(())
        })
    }
}
