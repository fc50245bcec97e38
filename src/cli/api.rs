//! The service, as a client of its API sees it: where it is, and what it says.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use reqwest::header::RETRY_AFTER;
use reqwest::tls::TlsInfo;
use reqwest::{Method, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use time::OffsetDateTime;
use x509_cert::certificate::Certificate;
use x509_cert::der::Decode as _;

/// Longer than the service waits for a provider, with all pages of a list.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Where the service is, and a key of its.
#[derive(Debug, Args)]
pub struct ServiceArgs {
    /// Where the service is
    #[arg(
        long,
        value_name = "URL",
        env = "TWOTICK_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: Url,
    /// A key with the scope `manage`; from the environment, or a shell's history has it
    #[arg(
        long,
        value_name = "KEY",
        env = "TWOTICK_API_KEY",
        hide_env_values = true
    )]
    api_key: Option<SecretString>,
}

/// A running service.
#[derive(Debug)]
pub(super) struct Service {
    http: reqwest::Client,
    url: String,
    key: SecretString,
}

/// What the service says instead of doing it: what is wrong, and the provider's own words, whole.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    /// When it makes sense to ask again.
    pub(super) wait: Option<Duration>,
    pub(super) said: Value,
}

/// What the service is asked.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<reqwest::Body>,
    pub(super) limit: Duration,
}

impl Request {
    /// Without a body.
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: Vec::new(),
            body: None,
            limit: TIMEOUT,
        }
    }

    /// Says something beside the body.
    pub(super) fn header(&mut self, name: &str, value: &str) {
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

impl Problem {
    /// What an answer that is no success tells.
    async fn of(answer: Response) -> anyhow::Result<Self> {
        let status = answer.status().as_u16();
        let wait = answer.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
        let said = answer
            .bytes()
            .await
            .context("the answer did not come whole")?;
        Ok(Self {
            status,
            wait: wait.map(Duration::from_secs),
            said: serde_json::from_slice(&said).unwrap_or_default(),
        })
    }
}

/// What answered at an address.
#[derive(Debug)]
pub(super) struct Knocked {
    /// Of the answer.
    pub(super) status: u16,
    /// The end of the certificate that it showed, if it is one of TLS.
    pub(super) good_until: Option<OffsetDateTime>,
}

/// The end of a certificate, which is DER.
fn good_until(certificate: &[u8]) -> Option<OffsetDateTime> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let end = certificate.tbs_certificate().validity().not_after;
    let seconds = end.to_unix_duration().as_secs();
    OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()
}

/// Why a call failed, without the words of who made it: what happened last says most.
fn plain(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let why = cause.to_string();
    match error {
        _ if error.is_timeout() => "no answer came in time".to_owned(),
        _ if error.is_connect() => format!("nothing could be reached there: {why}"),
        _ => why,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = &self.said;
        let detail = said["detail"].as_str().unwrap_or("no problem was told");
        let code = said["code"].as_str().unwrap_or("-");
        write!(f, "{detail} ({} {code})", self.status)?;
        let theirs = &said["provider_error"];
        if !theirs["body"].is_null() {
            write!(f, "; the provider: {}", theirs["body"])?;
        }
        for more in [&theirs["cause"], &theirs["remedy"]] {
            if let Some(more) = more.as_str() {
                write!(f, "; {more}")?;
            }
        }
        match self.wait {
            Some(wait) => write!(f, "; again in {} s", wait.as_secs()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

impl Service {
    pub(super) fn new(args: &ServiceArgs) -> anyhow::Result<Self> {
        let key = args
            .api_key
            .clone()
            .context("TWOTICK_API_KEY is not set: a key with the scope manage (twotick keys)")?;
        let http = reqwest::Client::builder()
            .tls_info(true)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            url: args.url.as_str().trim_end_matches('/').to_owned(),
            key,
        })
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, path, Some(body)).await
    }

    /// Events as they come.
    pub(super) async fn stream(&self, path: &str) -> anyhow::Result<Response> {
        let request = self.http.get(format!("{}{path}", self.url));
        let answer = request.bearer_auth(self.key.expose_secret()).send().await?;
        Ok(answer.error_for_status()?)
    }

    /// Whether it can work.
    pub(super) async fn ready(&self) -> anyhow::Result<()> {
        let request = self.http.get(format!("{}/health/ready", self.url));
        let answer = request.timeout(Duration::from_secs(10)).send().await;
        let answer = answer.map_err(|error| anyhow::anyhow!(plain(&error)))?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "it answered {status}");
        Ok(())
    }

    /// Whether an address leads to this service: what proves nothing is refused there.
    pub(super) async fn knock(&self, address: &str) -> anyhow::Result<Knocked> {
        let request = self.http.post(address).timeout(Duration::from_secs(10));
        let answer = request.json(&serde_json::json!({})).send().await;
        // Its address may have a secret.
        let answer = answer.map_err(|error| anyhow::anyhow!(plain(&error.without_url())))?;
        let shown = answer.extensions().get::<TlsInfo>();
        let certificate = shown.and_then(TlsInfo::peer_certificate);
        Ok(Knocked {
            status: answer.status().as_u16(),
            good_until: certificate.and_then(good_until),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        Ok(self.exchange(method, path, body).await??)
    }

    /// The answer to a POST, or the problem that was told instead. `Err`: nobody knows what came of
    /// it.
    pub(super) async fn ask(
        &self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Result<Value, Problem>> {
        self.exchange(Method::POST, path, Some(body)).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Result<Value, Problem>> {
        let mut request = Request::new(method, format!("{}{path}", self.url).parse()?);
        if let Some(body) = body {
            request.header("content-type", "application/json");
            request.body = Some(body.to_string().into());
        }
        let answer = match self.open(request).await? {
            Ok(answer) => answer,
            Err(problem) => return Ok(Err(problem)),
        };
        if !answer.status().is_success() {
            return Ok(Err(Problem::of(answer).await?));
        }
        let said = answer
            .bytes()
            .await
            .context("the answer did not come whole")?;
        Ok(Ok(serde_json::from_slice(&said).unwrap_or_default()))
    }

    /// The answer, before what it says is read, or the problem that was told instead: it may also say
    /// that what was asked for is elsewhere. `Err`: nobody knows what came of it.
    pub(super) async fn open(&self, request: Request) -> anyhow::Result<Result<Response, Problem>> {
        let mut asked = self.http.request(request.method, request.url);
        for (name, value) in &request.headers {
            asked = asked.header(name, value);
        }
        if let Some(body) = request.body {
            asked = asked.body(body);
        }
        let answer = asked
            .bearer_auth(self.key.expose_secret())
            .timeout(request.limit)
            .send()
            .await
            .map_err(|error| anyhow::anyhow!("the service does not answer: {}", plain(&error)))?;
        let status = answer.status();
        Ok(match status.is_success() || status.is_redirection() {
            true => Ok(answer),
            false => Err(Problem::of(answer).await?),
        })
    }

    /// All rows of a list, page by page.
    pub(super) async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let (mut rows, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let more = match path.contains('?') {
                true => '&',
                false => '?',
            };
            let at = cursor
                .map(|cursor| format!("&cursor={cursor}"))
                .unwrap_or_default();
            let page = self.get(&format!("{path}{more}limit=100{at}")).await?;
            rows.extend(page["data"].as_array().cloned().unwrap_or_default());
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            if cursor.is_none() {
                return Ok(rows);
            }
        }
    }
}

/// The status of a refusal, if it is one.
pub(super) fn status(error: &anyhow::Error) -> Option<u16> {
    Some(error.downcast_ref::<Problem>()?.status)
}

/// The provider's own number for a refusal, if it has one.
pub(super) fn provider_code(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Problem>()?.said["provider_error"]["code"].as_str()
}

/// The `code` of a refusal, if it is one.
pub(super) fn code(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Problem>()?.said["code"].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_certificate_is_read() {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2031, 3, 9);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let end = good_until(certificate.der()).unwrap();
        assert_eq!(end, time::macros::datetime!(2031-03-09 00:00 UTC));
        assert!(good_until(b"no certificate").is_none());
    }
}
