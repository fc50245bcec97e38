//! Reads all that matters from the providers again and again: templates of every account, and every
//! number. Webhooks can be missed for good, and some never come where a callback URL is overridden.
//! Off the way of messages and webhooks, at the pace of `[poll]`, by one instance at a time.
//!
//! A **turn** (`store/polls.rs`) is the right to read from a connection; within it whatever is due
//! is read, one after the other (`read.rs`). What a provider refuses is asked again later and later;
//! what it refuses as a whole, such as a rate, holds up the connection's next turn.

mod read;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pace::PATIENCE;
use super::{Failed, Manage};
use crate::config;
use crate::model::limits::backoff;
use crate::provider::operations::Ask;
use crate::send::ask::{self, Answered};
use crate::signals::Signals;
use crate::store::polls::{Poll, Turn};
use crate::store::{Connection, StoreError};

/// Connections that an instance reads from at once.
const TURNS: usize = 8;

/// Subjects read in one turn; then others have theirs.
const SUBJECTS: usize = 100;

/// A turn that is not kept for as long as a request may wait and take, and so long for what is
/// written of it, is another's.
const WRITING: Duration = Duration::from_secs(15);

/// The poller.
#[derive(Debug, Clone)]
pub struct Polling {
    /// By what the calls are made.
    pub manage: Manage,
    /// Who wakes claimers.
    pub signals: Signals,
    /// `[poll]`.
    pub settings: config::Poll,
}

/// Reads what is due, until `shutdown`, which waits for no provider: what is cut off is read again.
pub async fn poll(polling: Polling, shutdown: CancellationToken) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = polling.poll_all() => {}
    }
}

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error("{}", .0.in_words())]
    Failed(#[from] Failed),
    /// Another instance reads from this connection now.
    #[error("the turn was lost")]
    NotOurs,
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// For the metrics.
const fn outcome(failed: &Failed) -> &'static str {
    match failed {
        Failed::Refused(_) | Failed::TooMany { .. } => "refused",
        Failed::Unreachable {
            said: Some(said), ..
        } => match said.status {
            400.. => "refused",
            _ => "unreadable",
        },
        _ => "unreachable",
    }
}

/// Requests to a connection within a turn.
struct Line<'a> {
    polling: &'a Polling,
    turn: &'a Turn,
    connection: &'a Arc<Connection>,
    last: Option<Instant>,
}

impl Line<'_> {
    /// The answer, when it may be asked for: at the pace, and while the turn is ours.
    async fn ask(&mut self, ask: &Ask) -> Result<Answered, Unread> {
        let manage = &self.polling.manage;
        let clock = manage.store.clock();
        if let Some(last) = self.last {
            let next = last + self.polling.settings.pace;
            tokio::time::sleep(next.saturating_duration_since(clock.monotonic())).await;
        }
        if !manage.store.keep_turn(self.turn).await? {
            return Err(Unread::NotOurs);
        }
        self.last = Some(clock.monotonic());
        Ok(manage.call_once(self.connection, ask).await?)
    }
}

impl Polling {
    async fn poll_all(&self) {
        if self.settings.every.is_zero() {
            self.forget().await;
            return std::future::pending().await;
        }
        let mut turns = JoinSet::new();
        loop {
            tokio::time::sleep(self.settings.pace).await;
            while let Some(ended) = turns.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a turn broke down; its connection is read from later");
                }
            }
            match self.take_turns(TURNS.saturating_sub(turns.len())).await {
                Ok(taken) => {
                    for turn in taken {
                        turns.spawn(self.clone().take(turn));
                    }
                }
                Err(error) => tracing::debug!(%error, "what to poll could not be found"),
            }
        }
    }

    /// Nothing is polled: nothing may be taken for late.
    async fn forget(&self) {
        while let Err(error) = self.manage.store.forget_polls().await {
            tracing::debug!(%error, "what was polled could not be forgotten yet");
            tokio::time::sleep(self.settings.pace).await;
        }
    }

    async fn take_turns(&self, free: usize) -> Result<Vec<Turn>, StoreError> {
        let most = i64::try_from(free).unwrap_or(0);
        if most == 0 {
            return Ok(Vec::new());
        }
        let store = &self.manage.store;
        store.plan_polls().await?;
        let length = self.settings.pace + PATIENCE + self.manage.settings.timeout + WRITING;
        store.take_turns(length, most).await
    }

    /// One turn. One that the database does not let us give back ends by its time.
    async fn take(self, turn: Turn) {
        let wait = self.read_due(&turn).await.unwrap_or_else(|error| {
            tracing::debug!(connection = %turn.connection, %error, "what was due was not read");
            None
        });
        let pause = wait.unwrap_or(self.settings.pace);
        let ended = self.manage.store.end_turn(&turn, pause, wait.is_some());
        if let Err(error) = ended.await {
            tracing::debug!(connection = %turn.connection, %error, "a turn was not given back");
        }
    }

    /// Reads what is due of a connection. Returns for how long to leave it alone, where the
    /// provider as a whole refuses.
    async fn read_due(&self, turn: &Turn) -> Result<Option<Duration>, StoreError> {
        let Some(connection) = self.manage.connections.get(turn.connection).await? else {
            return Ok(None);
        };
        let store = &self.manage.store;
        let mut line = Line {
            polling: self,
            turn,
            connection: &connection,
            last: None,
        };
        let mut failures = turn.failures;
        for _ in 0..SUBJECTS {
            let Some(poll) = store.take_poll(turn).await? else {
                break;
            };
            if !ask::has_key(&connection) {
                // There is nothing to read it with.
                store
                    .record_polled(connection.id, &poll.subject, self.settings.every)
                    .await?;
                continue;
            }
            match self.read(&mut line, &poll.subject).await {
                Ok(told) => {
                    failures = 0;
                    self.count(told);
                    store
                        .record_polled(connection.id, &poll.subject, self.settings.every)
                        .await?;
                }
                Err(Unread::NotOurs) => return Ok(None),
                Err(Unread::Failed(Failed::Store(error))) => return Err(error),
                Err(Unread::Failed(error)) => {
                    self.put_off(&connection, &poll, &error).await?;
                    if error.is_of_all() {
                        return Ok(Some(self.wait(&error, failures)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Longer with each failure in a row, and not shorter than the provider says.
    fn wait(&self, error: &Failed, failures: u32) -> Duration {
        let failures = usize::try_from(failures).unwrap_or(usize::MAX);
        let wait = backoff(self.settings.pace, failures.saturating_add(1));
        error.wait().unwrap_or_default().max(wait)
    }

    async fn put_off(
        &self,
        connection: &Connection,
        poll: &Poll,
        error: &Failed,
    ) -> Result<(), StoreError> {
        metrics::counter!("twotick_polls_total", "outcome" => outcome(error)).increment(1);
        let error_text = error.in_words();
        tracing::warn!(connection = %connection.id, subject = %poll.subject, error = error_text,
            "it could not be read");
        let wait = self.wait(error, poll.failures);
        let store = &self.manage.store;
        store
            .record_unread(connection.id, &poll.subject, wait, &error_text)
            .await
    }

    fn count(&self, told: usize) {
        metrics::counter!("twotick_polls_total", "outcome" => "read").increment(1);
        self.count_differences(told);
    }

    /// What was found may have opened what many wait for.
    fn count_differences(&self, told: usize) {
        if told > 0 {
            let told = u64::try_from(told).unwrap_or(u64::MAX);
            metrics::counter!("twotick_poll_differences_total").increment(told);
            self.signals.all_due_here();
            self.signals.changed();
        }
    }
}
