//! The service, as a client of its API sees it.

use std::time::Duration;

use anyhow::Context as _;
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

    async fn send(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        let request = request.bearer_auth(self.key.expose_secret()).json(body);
        let answer = request
            .send()
            .await
            .context("the service does not answer")?;
        let status = answer.status();
        let said = answer
            .bytes()
            .await
            .context("the answer did not come whole")?;
        let said: Value = serde_json::from_slice(&said).unwrap_or_default();
        anyhow::ensure!(status.is_success(), "{}", problem(status.as_u16(), &said));
        Ok(said)
    }
}

/// A problem for people: what is wrong, and the provider's own words, whole.
fn problem(status: u16, said: &Value) -> String {
    let detail = said["detail"].as_str().unwrap_or("no problem was told");
    let code = said["code"].as_str().unwrap_or("-");
    let mut out = format!("{detail} ({status} {code})");
    if said["provider_error"].is_object() {
        out.push_str(&format!(
            "\n             the provider: {}",
            said["provider_error"]["body"]
        ));
    }
    out
}
