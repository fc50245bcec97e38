//! The service, as a client of its API sees it.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

/// Longer than the service waits for a provider, with all pages of a list.
const TIMEOUT: Duration = Duration::from_secs(300);

/// A running service.
#[derive(Debug)]
pub(super) struct Service {
    http: reqwest::Client,
    url: String,
    key: SecretString,
}

impl Service {
    pub(super) fn new(url: &Url, key: SecretString) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self {
            http,
            url: url.as_str().trim_end_matches('/').to_owned(),
            key,
        })
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, body).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, body).await
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::GET, path, &Value::Null).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.exchange(method, path, body).await?;
        answer.map_err(|problem| anyhow::anyhow!("{problem}"))
    }

    /// The answer to a POST, or the problem that was told instead. `Err`: nobody knows what came of
    /// it.
    pub(super) async fn ask(
        &self,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Result<Value, Problem>> {
        self.exchange(Method::POST, path, body).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> anyhow::Result<Result<Value, Problem>> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let mut request = request.bearer_auth(self.key.expose_secret());
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request
            .send()
            .await
            .context("the service does not answer")?;
        let status = answer.status();
        let wait = answer.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
        let said = answer
            .bytes()
            .await
            .context("the answer did not come whole")?;
        let said: Value = serde_json::from_slice(&said).unwrap_or_default();
        Ok(match status.is_success() {
            true => Ok(said),
            false => Err(Problem {
                status: status.as_u16(),
                wait: wait.map(Duration::from_secs),
                said,
            }),
        })
    }
}

/// A problem for people: what is wrong, and the provider's own words, whole.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    /// When it makes sense to ask again.
    pub(super) wait: Option<Duration>,
    said: Value,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = &self.said;
        let detail = said["detail"].as_str().unwrap_or("no problem was told");
        let code = said["code"].as_str().unwrap_or("-");
        write!(f, "{detail} ({} {code})", self.status)?;
        if said["provider_error"].is_object() {
            let body = &said["provider_error"]["body"];
            write!(f, "\n             the provider: {body}")?;
        }
        Ok(())
    }
}
