//! Webhooks of the journal, read again: what an earlier version could not understand, or the
//! database would not take. What was applied already changes nothing, because every fact is keyed
//! by what it says; nothing is ever sent because of it that was not due anyway.

use std::collections::HashMap;

use axum::body::Bytes;
use serde_json::Value;
use tokio::task::JoinSet;

use super::prepare::reason;
use super::{Ingest, NotCommitted, Webhook};
use crate::model::ids::WebhookId;
use crate::store::journal::{JournalFilter, WebhookRow};
use crate::store::{ConnectionCache, Store, StoreError};

/// Webhooks of a page that are under way at once: they share commits.
const AT_ONCE: usize = 64;

/// Reads webhooks again. Clones share everything.
#[derive(Debug, Clone)]
pub struct Replayer {
    /// Where the journal is.
    pub store: Store,
    /// Whose webhooks they are.
    pub connections: ConnectionCache,
    /// What takes them.
    pub ingest: Ingest,
}

/// It was not read again, or not to its end. It can be asked for once more.
#[derive(Debug, thiserror::Error)]
pub enum NotReplayed {
    /// Webhooks that arrive go first.
    #[error(transparent)]
    NotCommitted(#[from] NotCommitted),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A part of the work broke down.
    #[error("reading a webhook again broke down")]
    Broken,
}

impl Replayer {
    /// Reads one again; what became of it. `None`: the journal does not have it.
    pub async fn one(&self, id: WebhookId, by: &str) -> Result<Option<WebhookRow>, NotReplayed> {
        let Some((row, _, _)) = self.store.webhook(id).await? else {
            return Ok(None);
        };
        self.say(std::slice::from_ref(&row), by).await?;
        self.read_again(row.id).await
    }

    /// Reads a page of the journal again, newest first; what became of each.
    pub async fn page(
        &self,
        filter: &JournalFilter,
        before: Option<uuid::Uuid>,
        limit: i64,
        by: &str,
    ) -> Result<Vec<WebhookRow>, NotReplayed> {
        let rows = self.store.list_webhooks(filter, before, limit).await?;
        self.say(&rows, by).await?;
        let mut replaying = JoinSet::new();
        let mut todo = rows.iter().map(|row| row.id);
        let mut became = HashMap::new();
        loop {
            while replaying.len() < AT_ONCE
                && let Some(id) = todo.next()
            {
                let this = self.clone();
                replaying.spawn(async move { this.read_again(id).await });
            }
            match replaying.join_next().await {
                None => break,
                Some(Err(_)) => return Err(NotReplayed::Broken),
                Some(Ok(row)) => became.extend(row?.map(|row| (row.id, row))),
            }
        }
        // In their order; the journal may have forgotten one meanwhile.
        Ok(rows
            .into_iter()
            .map(|row| became.remove(&row.id).unwrap_or(row))
            .collect())
    }

    /// That it was asked for, and by whom: before it is done.
    async fn say(&self, rows: &[WebhookRow], by: &str) -> Result<(), NotReplayed> {
        let mut connections: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            connections.entry(row.connection).or_default().push(row.id);
        }
        for (connection, webhooks) in connections {
            if let Some(connection) = self.connections.get(connection).await? {
                let stream = connection.stream;
                self.store.say_replay(stream, &webhooks, by).await?;
            }
        }
        Ok(())
    }

    async fn read_again(&self, id: WebhookId) -> Result<Option<WebhookRow>, NotReplayed> {
        let Some((row, headers, body)) = self.store.webhook(id).await? else {
            return Ok(None);
        };
        let Some(connection) = self.connections.get(row.connection).await? else {
            return Ok(Some(row));
        };
        let deadline = self.ingest.clock.monotonic() + self.ingest.deadline;
        let body = Bytes::from(body);
        let decoding = self.ingest.decode(connection.provider, &body, deadline);
        let (decoded, share) = decoding.await?;
        let undecoded = (!decoded.problems.is_empty())
            .then(|| reason(&decoded.problems, decoded.more_problems));
        let webhook = Webhook {
            connection: row.connection,
            provider: connection.provider,
            stream: connection.stream,
            received_at: row.received_at,
            headers: match headers {
                Value::Object(headers) => headers,
                _ => serde_json::Map::new(),
            },
            body,
            decoded,
            share,
        };
        let replayed = self.ingest.commit_all(webhook, Some(id), deadline);
        replayed.await?;
        let became = self
            .store
            .settle_replay(
                id,
                row.connection,
                row.reason.as_deref(),
                undecoded.as_deref(),
            )
            .await?;
        Ok(Some(row.with(became)))
    }
}
