//! Who called a provider, for what, and what came of it, for the audit. A change stands there already,
//! as the request that made it, with what its calls came to. What is only read, and what the service
//! asks by itself, is counted here: calls of an hour that are alike are one row, and of a day those that
//! nobody asked for, so that however often is read, little is written.
//!
//! A call never waits for this. It is written every few seconds; who dies between loses those.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Failed;
use crate::model::Timestamp;
use crate::model::ids::ConnectionId;
use crate::store::Store;
use crate::store::audit::CallsMade;
use crate::store::keys::Key;

tokio::task_local! {
    static CALLER: Caller;
}

/// Written this often.
const PERIOD: Duration = Duration::from_secs(2);

/// Kinds of calls in memory. More are counted by the metrics alone.
const MOST: usize = 50_000;

/// Seconds that a row is of: by a key.
const HOUR: i64 = 3600;

/// And by the service itself, which goes on for ever.
const DAY: i64 = 24 * HOUR;

/// What the service does by itself is done by it.
const ITSELF: &str = "twotick";

/// Who has calls made.
#[derive(Debug, Clone)]
pub struct Caller {
    /// By which key.
    pub key: Arc<Key>,
    /// Whether the request stands in the audit, and its calls with it.
    pub is_act: bool,
}

/// Does what somebody asked for.
pub async fn for_caller<F: Future>(caller: Caller, work: F) -> F::Output {
    CALLER.scope(caller, work).await
}

/// Calls that are one row.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Kind {
    /// The end of the hour, or the day.
    until: i64,
    by: String,
    operation: &'static str,
    connection: ConnectionId,
    outcome: &'static str,
    status: Option<u16>,
}

#[derive(Debug)]
struct Tally {
    row: CallsMade,
    is_written: bool,
}

/// Clones share one.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<HashMap<Kind, Tally>>>);

/// What came of a call, in a word, and the provider's status.
pub(super) fn outcome<T>(came: &Result<T, Failed>) -> (&'static str, Option<u16>) {
    let said = |said: &Option<Box<super::Said>>| said.as_ref().map(|said| said.status);
    match came {
        Ok(_) => ("done", Some(200)),
        Err(Failed::Refused(said)) => ("refused", Some(said.status)),
        Err(Failed::TooMany { .. }) => ("too_many", None),
        Err(Failed::Unknown { said: it, .. }) => ("unknown", said(it)),
        Err(Failed::Unreachable { said: it, .. }) => ("failed", said(it)),
        Err(_) => ("failed", None),
    }
}

impl Ledger {
    /// Notes a call that was made.
    pub(super) fn note<T>(
        &self,
        store: &Store,
        connection: ConnectionId,
        operation: &'static str,
        came: &Result<T, Failed>,
    ) {
        let caller = CALLER.try_with(Caller::clone).ok();
        // Nothing went out; or it stands there already.
        let is_told = caller.as_ref().is_some_and(|caller| caller.is_act);
        if is_told || matches!(came, Err(Failed::TooMany { .. })) {
            return;
        }
        let (by, name, span) = match caller {
            Some(Caller { key, .. }) => (key.id.to_string(), key.name.clone(), HOUR),
            None => (ITSELF.to_owned(), ITSELF.to_owned(), DAY),
        };
        let (outcome, status) = outcome(came);
        let now = store.clock().now();
        let kind = Kind {
            until: (now.unix_timestamp().div_euclid(span) + 1) * span,
            by,
            operation,
            connection,
            outcome,
            status,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = all.get_mut(&kind) {
            tally.row.calls = tally.row.calls.saturating_add(1);
            tally.is_written = false;
        } else if all.len() < MOST {
            let row = CallsMade {
                id: store.clock().new_id(),
                at: now,
                by_key: kind.by.clone(),
                by_name: name,
                action: operation,
                status: status.and_then(|status| status.try_into().ok()),
                detail: format!("{connection}: {outcome}"),
                calls: 1,
            };
            let is_written = false;
            all.insert(kind, Tally { row, is_written });
        } else {
            metrics::counter!("twotick_audit_lost_total").increment(1);
        }
    }

    /// Writes what is new, and forgets what is written and over.
    async fn write(&self, store: &Store) {
        let rows: Vec<_> = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let new = all.values().filter(|tally| !tally.is_written);
            new.map(|tally| tally.row.clone()).collect()
        };
        if rows.is_empty() {
            return self.forget(store.clock().now());
        }
        if let Err(error) = store.record_calls(&rows).await {
            tracing::warn!(%error, "calls to providers are not in the audit yet");
            return;
        }
        let counts: HashMap<_, _> = rows.iter().map(|row| (row.id, row.calls)).collect();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for tally in all.values_mut() {
            // One that was made meanwhile is not.
            tally.is_written |= counts.get(&tally.row.id) == Some(&tally.row.calls);
        }
    }

    fn forget(&self, now: Timestamp) {
        let now = now.unix_timestamp();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|kind, tally| kind.until > now || !tally.is_written);
    }

    /// Writes what calls there were, until nobody makes any more.
    pub(super) async fn keep(self, store: Store, ended: CancellationToken) {
        while !ended.is_cancelled() {
            tokio::select! {
                () = ended.cancelled() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
            self.write(&store).await;
        }
    }
}
