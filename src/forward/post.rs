//! One POST of an event to an endpoint, and what came of it. Nothing is followed, nothing is asked
//! of a proxy, and of the answer no more is read than is shown.

use std::time::Duration;

use hyper::body::Bytes;
use reqwest::{Client, Response, StatusCode, Url, redirect};
use time::format_description::well_known::Rfc2822;
use uuid::Uuid;

use super::address::{Guard, NotAllowed};
use super::signature::signatures;
use crate::clock::Clock;
use crate::config;
use crate::feed::Event;
use crate::model::Timestamp;
use crate::store::subscriptions::Subscription;

/// What is read of an answer: a connection whose answer is longer is closed.
const MOST_READ: usize = 16 << 10;

/// What is kept of it.
const MOST_KEPT: usize = 512;

/// Connections to one endpoint that are kept for later, and for how long.
const IDLE: usize = 4;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// How long a connection may take to be there.
const CONNECT: Duration = Duration::from_secs(5);

/// The longest wait that an endpoint may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Posts events. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Poster {
    client: Client,
    guard: Guard,
    clock: Clock,
    allow_http: bool,
}

/// What came of a POST.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of the answer, if one came.
    pub status: Option<StatusCode>,
    /// How the answer begins.
    pub answer: String,
    /// From the first byte to the answer, or to when it was given up.
    pub latency: Duration,
    /// Why it does not count as taken.
    pub failure: Option<Failure>,
    /// For how long the endpoint wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// Why an event does not count as taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It answered, and not with 2xx.
    #[error("answered {0}")]
    Refused(StatusCode),
    /// It wants no events any more: 410.
    #[error("answered 410: it wants no events any more")]
    Gone,
    /// No answer came in time.
    #[error("did not answer in time")]
    TimedOut,
    /// It could not be reached, or hung up.
    #[error("could not be reached: {0}")]
    Unreachable(String),
    /// It may not be posted to.
    #[error("{0}")]
    NotAllowed(String),
}

impl Failure {
    /// For `/metrics`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::Gone => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable(_) => "unreachable",
            Self::NotAllowed(_) => "not_allowed",
        }
    }
}

impl Poster {
    /// A poster with connections of its own.
    pub fn new(settings: &config::Forward, clock: Clock) -> Result<Self, reqwest::Error> {
        let guard = Guard::new(settings.allow.clone());
        let client = Client::builder()
            .dns_resolver(guard.clone())
            .no_proxy()
            .redirect(redirect::Policy::none())
            .https_only(!settings.allow_http)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE)
            .pool_idle_timeout(IDLE_FOR)
            .user_agent(concat!("twotick/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            guard,
            clock,
            allow_http: settings.allow_http,
        })
    }

    /// What is wrong with a subscription's URL, as far as it tells by itself.
    pub fn check(&self, url: &str) -> Result<Url, String> {
        let url: Url = url.parse().map_err(|error| format!("{error}"))?;
        let is_http = url.scheme() == "http";
        if !(url.scheme() == "https" || is_http) || url.host_str().is_none_or(str::is_empty) {
            return Err("expected a URL that begins with https://".to_owned());
        }
        if is_http && !self.allow_http {
            return Err("expected https: the operator has not set `forward.allow_http`".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("expected no user and password: deliveries are signed".to_owned());
        }
        self.guard.check(&url).map_err(|error| error.to_string())?;
        Ok(url)
    }

    /// Posts an event as the subscription wants it.
    pub async fn post_event(&self, to: &Subscription, event: &Event) -> Outcome {
        let (kind, body) = match to.wanted.format.as_str() {
            "cloudevents" => ("application/cloudevents+json", event.cloud()),
            _ => ("application/json", event.json.clone()),
        };
        self.post(to, &event.id, kind, body).await
    }

    async fn post(&self, to: &Subscription, id: &str, kind: &str, body: Bytes) -> Outcome {
        let began = self.clock.monotonic();
        let since = || self.clock.monotonic().duration_since(began);
        let failed = |failure| Outcome {
            status: None,
            answer: String::new(),
            latency: since(),
            failure: Some(failure),
            retry_after: None,
        };
        // The settings may have changed since it was made.
        let url = match self.check(&to.wanted.url) {
            Ok(url) => url,
            Err(reason) => return failed(Failure::NotAllowed(reason)),
        };
        let Some(secrets) = &to.secrets else {
            let said = "its secret was sealed with another key: replace it (rotate-secret)";
            return failed(Failure::NotAllowed(said.to_owned()));
        };
        let now = self.clock.now();
        let signed = signatures(secrets, id, now, &body);
        let request = self
            .client
            .post(url)
            .timeout(to.wanted.timeout)
            .header("content-type", kind)
            .header("webhook-id", id)
            .header("webhook-timestamp", now.unix_timestamp().to_string())
            .header("webhook-signature", signed)
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return failed(failure_of(&error)),
        };
        let status = response.status();
        let wait = response.headers().get("retry-after");
        let wait = wait.and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|value| retry_after(value, self.clock.now()));
        let latency = since();
        let answer = read(response).await;
        let failure = match status {
            status if status.is_success() => None,
            StatusCode::GONE => Some(Failure::Gone),
            status => Some(Failure::Refused(status)),
        };
        Outcome {
            status: Some(status),
            answer,
            latency,
            retry_after: retry_after.filter(|_| failure.is_some()),
            failure,
        }
    }

    /// An id for what is in no feed.
    pub fn new_id(&self) -> Uuid {
        self.clock.new_id()
    }
}

fn failure_of(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::TimedOut;
    }
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    let mut deepest = String::new();
    while let Some(error) = cause {
        if error.is::<NotAllowed>() {
            return Failure::NotAllowed(error.to_string());
        }
        // Without the address: it may bear a token, and this is shown.
        deepest = match error.downcast_ref::<reqwest::Error>() {
            Some(_) => "the request failed".to_owned(),
            None => error.to_string(),
        };
        cause = error.source();
    }
    Failure::Unreachable(deepest)
}

/// Seconds, or a date as HTTP writes it.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // A date that is over asks for nothing.
        Err(_) => {
            let at = Timestamp::parse(value, &Rfc2822).ok()?;
            (at - now).try_into().unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// How an answer begins. What was read whole leaves its connection to others.
async fn read(mut response: Response) -> String {
    let (mut kept, mut read) = (Vec::new(), 0);
    while let Ok(Some(piece)) = response.chunk().await {
        let room = MOST_KEPT - kept.len();
        kept.extend_from_slice(&piece[..piece.len().min(room)]);
        read += piece.len();
        if read > MOST_READ {
            break;
        }
    }
    // What Postgres cannot keep.
    String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_says_in_seconds_or_by_a_date_how_long_it_is_to_be_left_alone() {
        let now = Timestamp::from_unix_timestamp(784_111_777).unwrap();
        let says = |value| retry_after(value, now);
        assert_eq!(says(" 7"), Some(Duration::from_secs(7)));
        assert_eq!(
            says("Sun, 06 Nov 1994 08:50:07 GMT"),
            Some(Duration::from_secs(30))
        );
        assert_eq!(says("Sun, 06 Nov 1994 08:40:00 GMT"), Some(Duration::ZERO));
        assert_eq!(says("Fri, 31 Dec 2100 23:59:59 GMT"), Some(LONGEST_WAIT));
        assert_eq!(says("soon"), None);
    }
}
