//! Memory under a load that nobody can serve: bodies that become many times as large when decoded.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::task::JoinSet;

use crate::support::*;

/// Connections at once.
const POSTERS: usize = 500;
/// What each posts; Meta's largest.
const BODY: usize = 3 << 20;
/// What the process may ever take: 64 MiB of bodies as they came, 128 MiB and one body more of what
/// they say, 800 connections' buffers, and the rest of it.
const MOST_KIB: usize = 512 << 10;

/// A body of tiny statuses, signed.
fn body() -> (Vec<u8>, String) {
    let mut body = String::from(
        r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages",
        "value":{"messaging_product":"whatsapp","metadata":{"phone_number_id":"310022446688199"},
        "statuses":[{"id":"0","status":"sent"}"#,
    );
    let mut n = 0;
    while body.len() < BODY {
        n += 1;
        body.push_str(&format!(r#",{{"id":"{n}","status":"sent"}}"#));
    }
    body.push_str("]}}]}]}");
    let signature = signature(body.as_bytes());
    (body.into_bytes(), signature)
}

fn most_ever_kib(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn memory_stays_bounded_under_many_large_bodies_of_tiny_items() {
    let ground = Ground::prepare().await;
    let process = ground.serve().await;
    let connection = ground.connect(&process, "http://127.0.0.1:9").await;
    let url = format!("{}/webhooks/{connection}", process.url);
    let (body, signature) = body();
    let body = axum::body::Bytes::from(body);
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let mut posters = JoinSet::new();
    for _ in 0..POSTERS {
        let request = client
            .post(&url)
            .header("X-Hub-Signature-256", &signature)
            .body(body.clone());
        posters.spawn(request.send());
    }
    let answers = posters.join_all().await;
    // Who is refused in the middle of a body may hear of it or not.
    for answer in answers.into_iter().flatten() {
        let status = answer.status();
        let told = [
            StatusCode::OK,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::REQUEST_TIMEOUT,
        ];
        assert!(told.contains(&status), "{status}");
    }
    let most = most_ever_kib(&process);
    assert!(most < MOST_KIB, "{most} KiB");

    let small = statuses_body([status("wamid.small", "sent")]);
    until("small ones are taken", async || {
        let answer = post_webhook(&ground.client, &process.url, &connection, &small).await;
        (answer == Some(StatusCode::OK)).then_some(())
    })
    .await;
}
