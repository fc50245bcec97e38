//! A caller of the service who asks until somebody answers: whoever it asks may be dead.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::instances::Instances;
use crate::progress::moment;

/// How long one answer may take before another instance is asked.
const SLOW: Duration = Duration::from_secs(10);
const PAUSE_MS: u64 = 20;

#[derive(Clone)]
pub struct Api {
    pub client: reqwest::Client,
    pub instances: Arc<Instances>,
    key: String,
    /// Answers that nobody may get: that the service is broken.
    odd: Arc<Mutex<Vec<String>>>,
}

impl Api {
    pub fn new(instances: Arc<Instances>, key: &str) -> Self {
        let client = reqwest::Client::builder().timeout(SLOW).no_proxy().build();
        Self {
            client: client.unwrap(),
            instances,
            key: key.to_owned(),
            odd: Arc::default(),
        }
    }

    /// The answers so far that nobody may get.
    pub fn odd(&self) -> Vec<String> {
        self.odd.lock().unwrap().clone()
    }

    /// The first answer that does not say to come again. With a key, whatever is asked for is
    /// done once.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> (StatusCode, Value) {
        loop {
            match self.try_once(&method, path, body, key).await {
                Some((StatusCode::SERVICE_UNAVAILABLE, _)) | None => {}
                Some((status, why)) if status.is_server_error() => {
                    let odd = format!("{method} {path}: {status} {why}");
                    eprintln!("{odd}");
                    self.odd.lock().unwrap().push(odd);
                }
                Some(answer) => return answer,
            }
            moment(PAUSE_MS).await;
        }
    }

    async fn try_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Option<(StatusCode, Value)> {
        let url = self.instances.any()?;
        let request = self.client.request(method.clone(), format!("{url}{path}"));
        let mut request = request.bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let response = request.send().await.ok()?;
        let status = response.status();
        let bytes = response.bytes().await.ok()?;
        Some((status, serde_json::from_slice(&bytes).ok()?))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, None, None).await;
        assert!(status.is_success(), "GET {path}: {status} {answer}");
        answer
    }

    /// What the answer is; a refusal is one.
    pub async fn post(&self, path: &str, body: &Value, key: &str) -> (StatusCode, Value) {
        self.ask(Method::POST, path, Some(body), Some(key)).await
    }

    pub async fn create(&self, path: &str, body: &Value, key: &str) -> Value {
        let (status, answer) = self.post(path, body, key).await;
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    /// Asks for what may be asked again and changes nothing.
    pub async fn look_up(&self, ids: &[&str]) -> Value {
        let body = serde_json::json!({ "ids": ids });
        let path = "/v1/messages/lookup";
        let (status, answer) = self.ask(Method::POST, path, Some(&body), None).await;
        assert!(status.is_success(), "look-up: {status} {answer}");
        answer
    }

    /// Every page of a list.
    pub async fn list(&self, path: &str, mut take: impl FnMut(&Value)) {
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}&limit=500{cursor}")).await;
            page["data"].as_array().unwrap().iter().for_each(&mut take);
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return,
            }
        }
    }
}
