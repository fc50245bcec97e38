//! Asking a provider: one GET, for how things are, of which nobody waits for the answer but who
//! asked; and what every call has, such as the key, and how long a provider asks us to wait.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::ExposeSecret;

use super::call::describe;
use super::{Sending, answer};
use crate::model::error_class::ErrorClass;
use crate::model::provider::Provider;
use crate::provider;
use crate::provider::reading::{self, ReadError};
use crate::store::{Connection, StoreError};

/// A longer wait that a provider asks for is not believed: it is asked again by then.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Why nothing was learned.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unasked {
    /// No answer came, or not whole.
    #[error("{0}")]
    Unreachable(String),
    /// The answer says no, or nothing that we understand.
    #[error("{error}")]
    Unhelpful {
        error: ReadError,
        /// How long to wait, where the provider says so.
        retry_after: Option<Duration>,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another instance reads from this connection now.
    #[error("the turn was lost")]
    NotOurs,
}

impl From<ReadError> for Unasked {
    fn from(error: ReadError) -> Self {
        Self::Unhelpful {
            error,
            retry_after: None,
        }
    }
}

impl Unasked {
    /// Whether it says as much of whatever else would be asked of this connection.
    pub(super) fn is_of_all(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Unhelpful {
                error: ReadError::Refused { class, .. },
                ..
            } => matches!(
                class,
                ErrorClass::Retry | ErrorClass::RateLimit(_) | ErrorClass::ConnectionStops
            ),
            _ => false,
        }
    }

    /// Whether it says nothing of whatever else would be asked.
    pub(super) fn is_of_what_was_asked(&self) -> bool {
        matches!(self, Self::Unhelpful { .. }) && !self.is_of_all()
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unhelpful { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// For the metrics.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Unhelpful {
                error: ReadError::Refused { .. },
                ..
            } => "refused",
            Self::Unhelpful { .. } => "unreadable",
            _ => "unreachable",
        }
    }
}

/// Whether there is a key to ask with.
pub(super) fn has_key(connection: &Connection) -> bool {
    !connection
        .credentials
        .access_token
        .expose_secret()
        .is_empty()
}

/// The body of an answer that is no refusal, of at most `most` bytes.
pub(super) async fn get(
    sending: &Sending,
    connection: &Connection,
    path: &str,
    most: usize,
) -> Result<Vec<u8>, Unasked> {
    let call = sending
        .client
        .get(format!("{}/{path}", connection.base_url));
    let response = authorized(call, connection)
        .timeout(sending.settings.answer_timeout)
        .send()
        .await
        .map_err(|error| Unasked::Unreachable(describe(&error)))?;
    let status = response.status().as_u16();
    let used_up = used_up(connection.provider, response.headers(), false);
    let retry_after = retry_after(response.headers()).max(used_up);
    let body = answer::body_within(response, most).await;
    let body = body.map_err(|error| Unasked::Unreachable(error.to_string()))?;
    match reading::refusal(connection.provider, status, &body) {
        None => Ok(body),
        Some(error) => Err(Unasked::Unhelpful { error, retry_after }),
    }
}

/// A call with the connection's key, as its provider wants it.
pub(super) fn authorized(call: RequestBuilder, connection: &Connection) -> RequestBuilder {
    let (header, before) = provider::authorization(connection.provider);
    let key = connection.credentials.access_token.expose_secret();
    let text = format!("{before}{key}");
    let Ok(mut value) = HeaderValue::try_from(&text) else {
        // What is no header makes the call fail, by an error that does not show it.
        return call.header(header, text);
    };
    value.set_sensitive(true);
    call.header(header, value)
}

/// How long a provider asks us to wait.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = seconds.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
}

/// How long nothing more is allowed, because what the provider allows is used up: of messages, or
/// of what is read. An answer says so that is no refusal, too.
pub(super) fn used_up(provider: Provider, headers: &HeaderMap, sends: bool) -> Option<Duration> {
    let waits = provider::usage_headers(provider).iter().filter_map(|name| {
        let value = headers.get(*name)?.to_str().ok()?;
        provider::usage_wait(provider, name, value, sends)
    });
    waits.max().map(|wait| wait.min(LONGEST_WAIT))
}
