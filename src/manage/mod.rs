//! Managing what is at the providers. One way of calling out for all of it ([`Manage::call`]): the
//! operation says which call ([`operations`](crate::provider::operations)), and whether it may be
//! made again; the limits that the provider has are kept before it is made; what comes back is told
//! as an answer, or as one of a few failures that keep the provider's own words.
//!
//! Each call is told to the audit (`ledger`): who, what, and what came of it.
//!
//! What is made of answers has a file a resource (`templates`). Nothing here writes secrets to the
//! log: addresses of calls have none, and neither bodies nor keys are logged.

mod account;
mod diff;
mod failed;
mod flows;
mod ledger;
mod lists;
mod logos;
mod media;
mod once;
mod pace;
mod poll;
mod senders;
mod subscriptions;
mod templates;
mod uploads;
mod welcome;

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::ledger::Ledger;
use self::lists::Lists;
use self::pace::Pace;
use crate::config;
use crate::model::error_class::{ErrorClass, Scope};
use crate::model::limits::backoff;
use crate::provider::operations::{Ask, Call, Limit, META_MANAGEMENT, Operation, Verb};
use crate::provider::refused::{self, Refused};
use crate::provider::remedy;
use crate::send::answer::without_keys;
use crate::send::ask::{self, Answered, Question, Unanswered};
use crate::store::{Connection, ConnectionCache, Store};

pub use account::Account;
pub use diff::{Diff, Step};
pub use failed::{Failed, Said};
pub use flows::Uploaded;
pub use ledger::{Caller, for_caller};
pub use logos::Logo;
pub use media::{Content, Kept, Parcel};
pub use once::Unsuccessful;
pub use poll::{Polling, poll};
pub use senders::SyncedSenders;
pub use subscriptions::{Overview, Wish};
pub use templates::{Changed, EditRefused, Reader, Synced, read_templates};

/// The longest answer: a page of templates with all of their content.
const ANSWER_BYTES: usize = 16 << 20;

/// A provider that refuses for its rate and does not say for how long is left alone for so long: or
/// for the span of its limit, where that is shorter.
const UNTOLD: Duration = Duration::from_secs(30);

/// Before a call is made again for the first time; it doubles.
const BEFORE_RETRY: Duration = Duration::from_millis(200);

/// What management works with. Clones share everything.
#[derive(Debug, Clone)]
pub struct Manage {
    store: Store,
    connections: ConnectionCache,
    client: reqwest::Client,
    settings: Arc<config::Manage>,
    pace: Pace,
    lists: Lists,
    ledger: Ledger,
}

impl Manage {
    /// `client` is the one that everything else at the providers is asked with.
    pub fn new(
        store: Store,
        connections: ConnectionCache,
        client: reqwest::Client,
        settings: config::Manage,
    ) -> Self {
        Self {
            store,
            connections,
            client,
            settings: Arc::new(settings),
            pace: Pace::default(),
            lists: Lists::default(),
            ledger: Ledger::default(),
        }
    }

    /// Makes a call. What only reads is made again a few times where a provider does not answer, or
    /// says that it failed; what changes something goes out once.
    pub async fn call(&self, connection: &Connection, ask: &Ask) -> Result<Answered, Failed> {
        self.call_within(connection, ask, ANSWER_BYTES).await
    }

    /// The same, once: for who comes again by himself.
    async fn call_once(&self, connection: &Connection, ask: &Ask) -> Result<Answered, Failed> {
        let call = call_of(connection, ask.operation)?;
        let address = ask.address(&call);
        let came = self.once(connection, &call, &address, ask, ANSWER_BYTES);
        let came = came.await;
        self.tell(connection, ask, &came);
        came
    }

    /// The same, with an answer of at most so many bytes.
    async fn call_within(
        &self,
        connection: &Connection,
        ask: &Ask,
        most: usize,
    ) -> Result<Answered, Failed> {
        let call = call_of(connection, ask.operation)?;
        let address = ask.address(&call);
        let mut tries = 0;
        loop {
            let came = self.once(connection, &call, &address, ask, most).await;
            self.tell(connection, ask, &came);
            let again = match &came {
                Err(Failed::Unreachable { said, .. } | Failed::Unknown { said, .. }) => {
                    // Who says when, is asked again by its caller.
                    said.as_ref().is_none_or(|said| said.wait.is_none())
                }
                _ => false,
            };
            if !again || !call.verb.is_harmless() || tries >= self.settings.retries {
                return came;
            }
            tries += 1;
            let tries = usize::try_from(tries).unwrap_or(usize::MAX);
            tokio::time::sleep(backoff(BEFORE_RETRY, tries)).await;
        }
    }

    async fn once(
        &self,
        connection: &Connection,
        call: &Call,
        address: &str,
        ask: &Ask,
        most: usize,
    ) -> Result<Answered, Failed> {
        self.take_turn(connection, call).await?;
        let question = Question {
            method: method(call.verb),
            path: address,
            body: ask.body.as_ref(),
            by: &ask.by,
            limit: self.settings.timeout,
            most,
        };
        let answered = ask::exchange(&self.client, connection, question).await;
        let answered = answered.map_err(|error| lost(call, error))?;
        self.judge(connection, call, answered)
    }

    fn tell<T>(&self, connection: &Connection, ask: &Ask, came: &Result<T, Failed>) {
        let name = ask.operation.name;
        let (outcome, _) = ledger::outcome(came);
        metrics::counter!("twotick_managed_total", "outcome" => outcome).increment(1);
        match came {
            Ok(_) => {
                tracing::info!(connection = %connection.id, operation = name,
                    "the provider was called");
            }
            Err(error) => {
                tracing::warn!(connection = %connection.id, operation = name, %error,
                    "the provider was called in vain");
            }
        }
        self.ledger.note(&self.store, connection.id, name, came);
    }

    /// Writes down who called a provider for what, until nobody makes calls any more.
    pub fn keep_ledger(&self, ended: CancellationToken) -> impl Future<Output = ()> + use<> {
        self.ledger.clone().keep(self.store.clone(), ended)
    }

    /// Waits for the right to make a call.
    async fn take_turn(&self, connection: &Connection, call: &Call) -> Result<(), Failed> {
        let now = self.store.clock().monotonic();
        let refusals = call.refusals;
        if let Some(wait) = refusals.and_then(|it| self.pace.spent(connection.id, it, now)) {
            return Err(Failed::TooMany { wait });
        }
        match self.pace.take(connection.id, self.limit(call), now) {
            Ok(wait) => tokio::time::sleep(wait).await,
            Err(wait) => return Err(Failed::TooMany { wait }),
        }
        Ok(())
    }

    fn limit(&self, call: &Call) -> Option<Limit> {
        call.limit.map(|mut limit| {
            if limit.class == META_MANAGEMENT {
                limit.calls = self.settings.meta_calls_per_hour;
            }
            limit
        })
    }

    /// No more such calls for as long as the provider wants none.
    fn keep_away(&self, connection: &Connection, call: &Call, wait: Option<Duration>) {
        if let Some(wait) = wait {
            let now = self.store.clock().monotonic();
            self.pace.close(connection.id, self.limit(call), now, wait);
        }
    }

    /// What an answer means, and how long it wants nothing more.
    fn judge(
        &self,
        connection: &Connection,
        call: &Call,
        mut answered: Answered,
    ) -> Result<Answered, Failed> {
        let limit = self.limit(call);
        if answered.status >= 400 {
            let body = std::mem::take(&mut answered.body);
            answered.body = without_keys(body, connection.credentials.keys());
        }
        let refused = refused::read(connection.provider, answered.status, &answered.body);
        let scope = refused.as_ref().and_then(|it| match it.class {
            ErrorClass::RateLimit(scope) => Some(scope),
            _ => None,
        });
        if scope.is_some() {
            let untold = limit.map_or(UNTOLD, |limit| limit.per.min(UNTOLD));
            answered.wait = answered.wait.or(Some(untold));
        }
        // What one number has had too much of keeps the account's others from nothing.
        let is_shared = !matches!(scope, Some(Scope::Sender | Scope::Pair));
        self.keep_away(connection, call, answered.wait.filter(|_| is_shared));
        let Some(said) = refused.map(|refused| said(refused, &answered)) else {
            return Ok(answered);
        };
        if let Some(limit) = call.refusals {
            let now = self.store.clock().monotonic();
            self.pace.spend(connection.id, limit, now);
        }
        // What fails at the provider may fail after it has been done.
        // But not what it has a number for.
        let is_told = said.code.as_deref().and_then(remedy::of).is_some();
        let fails = said.status >= 500 && !is_told;
        // Graph says 400 also of what passes.
        let passes = said.class == ErrorClass::Retry;
        let reason = format!("it answered {}", said.status);
        Err(match call.verb.is_harmless() {
            true if fails || passes => Failed::Unreachable {
                reason,
                said: Some(said),
            },
            false if fails => Failed::Unknown {
                reason,
                said: Some(said),
            },
            _ => Failed::Refused(said),
        })
    }
}

/// Whether a connection's provider has a call for it: said before anything else is wrong.
pub(crate) fn has(connection: &Connection, operation: &'static Operation) -> Result<(), Failed> {
    known(connection, operation).map(|_| ())
}

fn known(connection: &Connection, operation: &'static Operation) -> Result<Call, Failed> {
    let provider = connection.provider;
    operation.at(provider).ok_or(Failed::Lacking {
        provider,
        operation,
    })
}

/// A provider's call, for whom there is a key.
fn call_of(connection: &Connection, operation: &'static Operation) -> Result<Call, Failed> {
    let call = known(connection, operation)?;
    match ask::has_key(connection) {
        true => Ok(call),
        false => Err(Failed::NoKey),
    }
}

/// A call that was not answered.
fn lost(call: &Call, error: Unanswered) -> Failed {
    match error {
        Unanswered::Lost(reason) if !call.verb.is_harmless() => {
            Failed::Unknown { reason, said: None }
        }
        Unanswered::Lost(reason) | Unanswered::NotSent(reason) => {
            Failed::Unreachable { reason, said: None }
        }
    }
}

fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Head => Method::HEAD,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
    }
}

fn said(refused: Refused, answered: &Answered) -> Box<Said> {
    Box::new(Said {
        status: answered.status,
        code: refused.code,
        message: refused.message,
        body: shown(&answered.body),
        wait: answered.wait,
        class: refused.class,
    })
}

/// A provider's answer as it is shown: the JSON that it is, else its text.
pub(crate) fn shown(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let text = crate::provider::lenient::storable(&text);
    serde_json::from_str(&text).unwrap_or_else(|_| match text.trim() {
        "" => Value::Null,
        text => Value::from(text),
    })
}
