//! The description of the API is in the repository, whole, shown to people without the internet, and
//! takes nothing away that was released. And answers go compressed where that is safe.

use std::io::Read as _;

use reqwest::{Method, header};
use serde_json::{Value, json};

use crate::compatible::broken;
use crate::support::{App, text};

const KEPT: &str = include_str!("../../docs/openapi.json");
/// As the last release served it. A release replaces it by what it serves.
const RELEASED: &str = include_str!("../released/openapi.json");

#[tokio::test]
async fn the_description_in_the_repository_is_the_one_that_is_served() {
    let written = twotick::http::openapi().unwrap();
    assert!(
        written == KEPT,
        "docs/openapi.json is out of date: cargo run -- openapi > docs/openapi.json"
    );
    let app = App::start().await;
    let served = app.get("/openapi.json").await.ok();
    assert_eq!(served, serde_json::from_str::<Value>(KEPT).unwrap());
}

#[test]
fn what_was_released_is_kept() {
    let released = serde_json::from_str(RELEASED).unwrap();
    let kept = serde_json::from_str(KEPT).unwrap();
    let broken = broken(&released, &kept);
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_call_has_an_example_of_what_it_takes_and_answers() {
    let document: Value = serde_json::from_str(KEPT).unwrap();
    let mut lacking = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let asked = [&operation["requestBody"]];
            let responses = operation["responses"].as_object().unwrap();
            let answers = responses
                .iter()
                .filter(|(status, _)| status.starts_with('2'));
            for body in answers.map(|(_, answer)| answer).chain(asked) {
                let json = &body["content"]["application/json"]["schema"];
                let Some(name) = json["$ref"].as_str() else {
                    continue;
                };
                let schema = document.pointer(name.trim_start_matches('#')).unwrap();
                if schema.get("example").is_none() {
                    lacking.push(format!("{method} {path}: {name}"));
                }
            }
        }
    }
    assert!(lacking.is_empty(), "{}", lacking.join("\n"));
}

#[tokio::test]
async fn the_page_of_the_api_asks_nobody_else() {
    let app = App::start().await;
    let page = app.request(Method::GET, "/docs").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    let page = page.text().await.unwrap();
    for outside in ["src=\"http", "src=\"//", "<script>"] {
        assert!(!page.contains(outside), "{page}");
    }
    let script = |coding: &'static str| {
        let request = app.request(Method::GET, "/docs/rapidoc-min.js");
        request.header(header::ACCEPT_ENCODING, coding).send()
    };
    let plain = script("identity").await.unwrap().bytes().await.unwrap();
    let packed = script("gzip, br").await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.bytes().await.unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*packed)
        .read_to_end(&mut unpacked)
        .unwrap();
    assert!(plain == unpacked && plain.starts_with(b"/*! RapiDoc"));
    let licence = app
        .request(Method::GET, "/docs/licence.txt")
        .send()
        .await
        .unwrap();
    assert!(licence.text().await.unwrap().starts_with("MIT License"));
    let guide = app.request(Method::GET, "/docs/guide/follow-events.md");
    let guide = guide.send().await.unwrap();
    assert_eq!(guide.headers()["content-type"], "text/html; charset=utf-8");
    assert!(guide.text().await.unwrap().contains("<h1"));
}

#[tokio::test]
async fn no_answer_is_anything_for_a_browser_to_run() {
    let app = App::start().await;
    for path in [
        "/v1/messages",
        "/openapi.json",
        "/health/live",
        "/metrics",
        "/nowhere",
        "/docs/nowhere",
    ] {
        let answer = app.request(Method::GET, path).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers());
        assert_eq!(
            headers["x-content-type-options"], "nosniff",
            "{path} {status}"
        );
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{path} {status}");
        assert!(
            !headers.contains_key("access-control-allow-origin"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn long_answers_go_compressed_and_say_the_same() {
    let app = App::start().await;
    let sender = app.sender().await;
    app.sequence(&sender, 20).await;
    let plain = app.get("/v1/messages").await.ok();
    for coding in ["zstd", "gzip"] {
        let ask = || {
            let request = app
                .request(Method::GET, "/v1/messages")
                .bearer_auth(&app.key);
            request.header(header::ACCEPT_ENCODING, coding)
        };
        let packed = ask().send().await.unwrap();
        assert_eq!(packed.headers()["content-encoding"], coding);
        assert_eq!(packed.headers()["vary"], "accept-encoding");
        let tag = packed.headers()["etag"].clone();
        let bytes = packed.bytes().await.unwrap();
        let unpacked = match coding {
            "zstd" => zstd::stream::decode_all(&*bytes).unwrap(),
            _ => {
                let mut unpacked = Vec::new();
                let mut gzip = flate2::read::GzDecoder::new(&*bytes);
                gzip.read_to_end(&mut unpacked).unwrap();
                unpacked
            }
        };
        assert_eq!(serde_json::from_slice::<Value>(&unpacked).unwrap(), plain);
        assert!(bytes.len() * 4 < unpacked.len());
        // What has not changed is not sent again, however it was coded.
        let again = ask()
            .header(header::IF_NONE_MATCH, tag)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), 304);
    }
    // Not what is short, nor what may have a secret in it.
    let mut keys = json!({"name": "a key", "scopes": ["messages:read"]});
    for n in 0..12 {
        keys["name"] = json!(format!(
            "key {n} of some that make a list long enough to compress"
        ));
        app.post("/v1/keys", keys.clone()).await.ok();
    }
    let mut new = text("1");
    (new["sender"], new["to"]) = (json!(sender), json!("447700900123"));
    for path in ["/v1/keys", "/v1/senders", "/health/live"] {
        let request = app.request(Method::GET, path).bearer_auth(&app.key);
        let answer = request.header(header::ACCEPT_ENCODING, "zstd, gzip").send();
        assert!(
            !answer
                .await
                .unwrap()
                .headers()
                .contains_key("content-encoding"),
            "{path}"
        );
    }
}
