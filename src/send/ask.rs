//! Asking a provider: one request and its answer, of which nobody waits but who asked; and what
//! every call has, such as the key, and how long a provider asks us to wait. What is read goes out
//! here, and what is managed.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, RequestBuilder, Response};
use secrecy::ExposeSecret;
use time::format_description::well_known::Rfc2822;

use super::answer;
use super::call::describe;
use crate::model::Timestamp;
use crate::model::provider::Provider;
use crate::provider;
use crate::provider::dialog360;
use crate::provider::operations::{AsApp, Body, By, form};
use crate::store::Connection;

/// A longer wait that a provider asks for is not believed: it is asked again by then.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Whether there is a key to ask with.
pub(crate) fn has_key(connection: &Connection) -> bool {
    !connection
        .credentials
        .access_token
        .expose_secret()
        .is_empty()
}

/// A request that is to be made once.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// How.
    pub(crate) method: Method,
    /// Below the provider's address.
    pub(crate) path: &'a str,
    /// What it says beside.
    pub(crate) body: Option<&'a Body>,
    /// Who asks.
    pub(crate) by: &'a By,
    /// How long the whole of it may take.
    pub(crate) limit: Duration,
    /// The longest body of an answer.
    pub(crate) most: usize,
}

/// What a provider answered, whatever it says.
#[derive(Debug)]
pub struct Answered {
    /// The HTTP status.
    pub(crate) status: u16,
    /// How long to ask nothing more, where it says so.
    pub(crate) wait: Option<Duration>,
    /// When it was answered, by the provider's clock: whole seconds.
    pub(crate) date: Option<Timestamp>,
    /// As it came.
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// There was no connection: the provider knows nothing of it.
    #[error("{0}")]
    NotSent(String),
    /// It left, and no whole answer came.
    #[error("{0}")]
    Lost(String),
}

/// Asks with the connection's key.
pub(crate) async fn exchange(
    client: &Client,
    connection: &Connection,
    question: Question<'_>,
) -> Result<Answered, Unanswered> {
    let base = match question.by {
        By::Partner(_) => dialog360::hub(&connection.base_url),
        By::Connection | By::App(_) => &connection.base_url,
    };
    let call = client.request(question.method, format!("{base}/{}", question.path));
    let usual = provider::authorization(connection.provider);
    let call = match question.by {
        By::Connection => authorized(call, connection),
        By::App(app) => with_key(call, usual, &key_of_app(connection, app)),
        By::Partner(key) => with_key(call, dialog360::HUB_KEY, key.expose_secret()),
    };
    let mut call = call.timeout(question.limit);
    call = match question.body {
        None => call,
        Some(Body::Json(body)) => call.json(body),
        Some(Body::Form(pairs)) => {
            let bytes = form(pairs);
            call.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(bytes)
        }
        Some(Body::Raw {
            content_type,
            bytes,
        }) => call
            .header(CONTENT_TYPE, content_type.as_str())
            .body(Bytes::from_owner(Shared(Arc::clone(bytes)))),
    };
    let response = call.send().await.map_err(unanswered)?;
    let status = response.status().as_u16();
    let used_up = used_up(connection.provider, response.headers(), false);
    let wait = retry_after(response.headers()).max(used_up);
    let date = date(response.headers());
    let body = answer::body_within(response, question.most).await;
    let body = body.map_err(|error| Unanswered::Lost(error.to_string()))?;
    Ok(Answered {
        status,
        wait,
        date,
        body,
    })
}

/// A request whose body, or whose answer's, is passed on as it comes.
#[derive(Debug)]
pub(crate) struct Opening<'a> {
    /// How.
    pub(crate) method: Method,
    /// The whole address.
    pub(crate) address: &'a str,
    /// Whether the connection's key goes with it.
    pub(crate) with_key: bool,
    /// Beside what every request has.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// What goes out.
    pub(crate) body: Option<reqwest::Body>,
    /// How long the whole of it may take, the answer's body too.
    pub(crate) limit: Duration,
}

/// Asks, and leaves the answer's body where it is; how long nothing more may be asked.
pub(crate) async fn open(
    client: &Client,
    connection: &Connection,
    opening: Opening<'_>,
) -> Result<(Response, Option<Duration>), Unanswered> {
    let mut call = client.request(opening.method, opening.address);
    if opening.with_key {
        call = authorized(call, connection);
    }
    for (name, value) in opening.headers {
        call = call.header(name, value);
    }
    if let Some(body) = opening.body {
        call = call.body(body);
    }
    let response = call
        .timeout(opening.limit)
        .send()
        .await
        .map_err(unanswered)?;
    let used_up = used_up(connection.provider, response.headers(), false);
    let wait = retry_after(response.headers()).max(used_up);
    Ok((response, wait))
}

/// An answer's whole body, of at most `most` bytes.
pub(crate) async fn rest(response: Response, most: usize) -> Result<Vec<u8>, Unanswered> {
    let body = answer::body_within(response, most).await;
    body.map_err(|error| Unanswered::Lost(error.to_string()))
}

/// Bytes that are not copied to be sent.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn unanswered(error: reqwest::Error) -> Unanswered {
    match error.is_connect() || error.is_builder() {
        true => Unanswered::NotSent(describe(&error)),
        false => Unanswered::Lost(describe(&error)),
    }
}

/// A call with the connection's key, as its provider wants it.
pub(super) fn authorized(call: RequestBuilder, connection: &Connection) -> RequestBuilder {
    let key = connection.credentials.access_token.expose_secret();
    with_key(call, provider::authorization(connection.provider), key)
}

/// Meta's "app access token".
fn key_of_app(connection: &Connection, app: &AsApp) -> String {
    let secret = connection.credentials.app_secrets.get(app.secret);
    let secret = secret.map(ExposeSecret::expose_secret).unwrap_or_default();
    format!("{}|{secret}", app.id)
}

fn with_key(
    call: RequestBuilder,
    (header, before): (&'static str, &str),
    key: &str,
) -> RequestBuilder {
    let text = format!("{before}{key}");
    let Ok(mut value) = HeaderValue::try_from(&text) else {
        // What is no header makes the call fail, by an error that does not show it.
        return call.header(header, text);
    };
    value.set_sensitive(true);
    call.header(header, value)
}

/// What a provider's clock says.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::parse(headers.get(DATE)?.to_str().ok()?, &Rfc2822).ok()
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

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_providers_clock_is_read_as_servers_write_it() {
        let mut headers = HeaderMap::new();
        assert_eq!(date(&headers), None);
        let text = HeaderValue::from_static("Thu, 05 Nov 2026 09:30:00 GMT");
        headers.insert(DATE, text);
        assert_eq!(date(&headers), Some(datetime!(2026-11-05 09:30 UTC)));
    }
}
