//! How bytes are passed on: at the provider's pace and never held whole; a sample goes on from where
//! its connection broke; and a key goes nowhere but to its provider. The provider is played by the
//! test.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::managed_calls::{Does, Scripted, connect};
use crate::support::*;

async fn sender(app: &App, connection: &str) -> String {
    let new = json!({"connection": connection, "phone_number_id": "310022446688199"});
    let made = app.create("/v1/senders", new).await;
    made["id"].as_str().unwrap().to_owned()
}

/// Of the longest document.
const LENGTH: u64 = 100 << 20;

/// What is under way between us and both sides: the sockets' buffers, far more than one body's share.
const UNDER_WAY: u64 = 40 << 20;

#[tokio::test]
async fn a_big_file_is_passed_on_at_the_providers_pace_and_never_held() {
    let app = App::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = Scripted {
        url: format!("http://{}", listener.local_addr().unwrap()),
        asked: Arc::default(),
    };
    let connection = connect(&app, &provider).await;
    let sender = sender(&app, &connection).await;
    let address = app.url.strip_prefix("http://").unwrap().to_owned();
    let mut caller = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /v1/media?sender={sender} HTTP/1.1\r\nHost: {address}\r\n\
         Authorization: Bearer {}\r\nContent-Type: application/pdf\r\n\
         Content-Length: {LENGTH}\r\nConnection: close\r\n\r\n",
        app.key
    );
    caller.write_all(head.as_bytes()).await.unwrap();
    let (mut answer, mut body) = caller.into_split();
    let given = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&given);
    let giving = tokio::spawn(async move {
        let chunk = vec![b'x'; 64 << 10];
        for _ in 0..LENGTH / chunk.len() as u64 {
            body.write_all(&chunk).await.unwrap();
            counted.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        body
    });
    // The provider takes the request and reads nothing: so does twotick, in the end.
    let (mut taken, _) = listener.accept().await.unwrap();
    let mut before = u64::MAX;
    while given.load(Ordering::Relaxed) != before {
        before = given.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert!(before < UNDER_WAY, "{before} bytes are somewhere");
    // Then all of it, with what stands around it.
    let mut got = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    let (mut length, mut whole) = (0_u64, u64::MAX);
    while length < whole {
        let n = taken.read(&mut buffer).await.unwrap();
        assert!(n > 0, "it ended after {length} of {whole}");
        length += n as u64;
        if got.len() < 4096 {
            got.extend_from_slice(&buffer[..n.min(4096)]);
            let text = String::from_utf8_lossy(&got);
            if let Some((head, _)) = text.split_once("\r\n\r\n") {
                let announced = head.to_lowercase();
                let announced = announced.split("content-length: ").nth(1).unwrap();
                let announced = announced.lines().next().unwrap().to_owned();
                whole = head.len() as u64 + 4 + announced.parse::<u64>().unwrap();
            }
        }
    }
    let text = String::from_utf8_lossy(&got);
    assert!(
        text.starts_with("POST /v25.0/310022446688199/media HTTP/1.1\r\n"),
        "{text}"
    );
    for part in [
        "name=\"messaging_product\"\r\n\r\nwhatsapp\r\n",
        "name=\"file\"; filename=\"file\"",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let said = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"id\":\"7\"}";
    taken.write_all(said.as_bytes()).await.unwrap();
    // Who closes its half is taken for gone.
    let _open = giving.await.unwrap();
    let mut answered = String::new();
    answer.read_to_string(&mut answered).await.unwrap();
    assert!(answered.starts_with("HTTP/1.1 201"), "{answered}");
}

/// A provider of samples that breaks the first transfer off.
#[derive(Debug, Default)]
struct Samples {
    /// Bytes that came, and from where each transfer went.
    came: Mutex<(u64, Vec<u64>)>,
}

async fn transfer(
    State(samples): State<Arc<Samples>>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let offset: u64 = headers["file_offset"].to_str().unwrap().parse().unwrap();
    let is_first = {
        let mut came = samples.came.lock().unwrap();
        came.1.push(offset);
        came.1.len() == 1
    };
    let mut body = request.into_body();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let length = frame.into_data().unwrap().len() as u64;
        samples.came.lock().unwrap().0 += length;
        if is_first {
            // The rest is not read: the connection ends.
            return axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    Json(json!({"h": "4::aW"})).into_response()
}

#[tokio::test]
async fn a_sample_goes_on_from_where_its_connection_broke() {
    let app = App::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let samples = Arc::new(Samples::default());
    let ask = async |State(samples): State<Arc<Samples>>| {
        let came = samples.came.lock().unwrap().0;
        Json(json!({"id": "upload:1", "file_offset": came}))
    };
    let router = axum::Router::new()
        .route(
            "/v25.0/app/uploads",
            post(async || Json(json!({"id": "upload:1?sig=a"}))),
        )
        .route("/v25.0/upload:1", post(transfer).get(ask))
        .with_state(Arc::clone(&samples));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let provider = Scripted {
        url,
        asked: Arc::default(),
    };
    let connection = connect(&app, &provider).await;
    let path = format!("/v1/media/samples?connection={connection}");
    let request = app.request(Method::POST, &path).body(vec![7_u8; 4 << 20]);
    let response = request
        .header("content-type", "image/png")
        .send()
        .await
        .unwrap();
    let status = response.status();
    let made: Value = response.json().await.unwrap();
    assert_eq!(
        (status, &made["handle"]),
        (StatusCode::CREATED, &json!("4::aW")),
        "{made:#}"
    );
    let came = samples.came.lock().unwrap();
    assert_eq!(came.0, 4 << 20, "each byte once");
    assert_eq!(came.1.len(), 2);
    assert!(
        came.1[0] == 0 && came.1[1] > 0 && came.1[1] < 4 << 20,
        "{:?}",
        came.1
    );
}

#[tokio::test]
async fn a_key_goes_nowhere_but_to_its_provider() {
    let app = App::start().await;
    let elsewhere = Scripted::start(Box::new(|_, _| Does::Answer(200, json!({})))).await;
    let url = format!("{}/x", elsewhere.url);
    let provider = Scripted::start(Box::new(move |_, _| {
        Does::Answer(
            200,
            json!({"id": "7", "mime_type": "image/png", "url": url}),
        )
    }))
    .await;
    let connection = connect(&app, &provider).await;
    let path = format!("/v1/media/7/content?connection={connection}");
    let (status, problem) = app.send(Method::GET, &path, Value::Null).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_GATEWAY, &json!("provider_failed")),
        "{problem:#}"
    );
    assert!(elsewhere.asked().is_empty());
}
