//! Clients that do nothing, little, or too much: they cost a bounded amount of memory and time,
//! and others do not notice.

use std::time::Duration;

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use twotick::clock::Clock;

use crate::support::*;

/// How soon a webhook must be taken while others hold connections.
const PROMPT: Duration = Duration::from_secs(3);

/// Writes, and reads the whole answer until the connection is closed.
async fn exchange(process: &Process, said: &[u8]) -> String {
    let mut stream = TcpStream::connect(process.address()).await.unwrap();
    // What is refused early may be refused before all is written.
    let _ = stream.write_all(said).await;
    answer(stream).await
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(n) = tokio::time::timeout(PATIENCE, stream.read(&mut part))
        .await
        .unwrap_or_else(|_| panic!("it stays open: {}", String::from_utf8_lossy(&answer)))
    {
        if n == 0 {
            break;
        }
        answer.extend_from_slice(&part[..n]);
    }
    String::from_utf8(answer).unwrap()
}

async fn a_webhook_is_taken(process: &Process, connection: &str, n: usize) {
    let body = statuses_body([status(&format!("wamid.{n}"), "sent")]);
    // On a connection of its own.
    let client = reqwest::Client::new();
    let posted = post_webhook(&client, &process.url, connection, &body);
    let taken = tokio::time::timeout(PROMPT, posted).await;
    assert_eq!(taken.expect("it was kept waiting"), Some(StatusCode::OK));
}

#[tokio::test]
async fn connections_that_say_nothing_or_trickle_keep_nobody_out_and_are_closed() {
    let ground = Ground::prepare().await;
    let process = ground
        .serve_with(&[
            ("HTTP__MAX_CONNECTIONS", "40"),
            ("HTTP__HEADER_TIMEOUT_MS", "2000"),
            ("HTTP__BODY_TIMEOUT_MS", "1000"),
        ])
        .await;
    let connection = ground.connect(&process, "http://127.0.0.1:9").await;
    a_webhook_is_taken(&process, &connection, 0).await;

    // Many times more than there are places.
    let mut idle = Vec::new();
    for n in 0..400 {
        let mut stream = TcpStream::connect(process.address()).await.unwrap();
        if n % 2 == 0 {
            let _ = stream.write_all(b"POST /webhooks/con").await;
        }
        idle.push(stream);
        if n % 40 == 39 {
            a_webhook_is_taken(&process, &connection, n).await;
        }
    }
    let mut closed = JoinSet::new();
    for stream in idle {
        closed.spawn(answer(stream));
    }
    for answer in closed.join_all().await {
        assert_eq!(answer, "", "nothing was asked");
    }

    // A head that trickles is cut off, however lively it looks.
    let mut stream = TcpStream::connect(process.address()).await.unwrap();
    let began_at = Clock::system().monotonic();
    for byte in b"GET /health/live HTTP/1.1\r\nX-Long: "
        .iter()
        .chain(&[b'x'; 10_000])
    {
        if stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began_at.elapsed() < Duration::from_secs(10));

    // A body that trickles is answered.
    let mut stream = TcpStream::connect(process.address()).await.unwrap();
    let head =
        format!("POST /webhooks/{connection} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let trickle = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let mut start = [0; 12];
    read.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 408");
    trickle.abort();
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_what_is_pipelined_is_answered_in_order() {
    let ground = Ground::prepare().await;
    let process = ground
        .serve_with(&[("HTTP__MAX_BODY_BYTES", "100000")])
        .await;
    let connection = ground.connect(&process, "http://127.0.0.1:9").await;
    let path = format!("POST /webhooks/{connection} HTTP/1.1\r\nHost: x\r\n");

    // By what it announces: nothing of the body is waited for.
    let announced = format!("{path}Content-Length: 100001\r\n\r\n");
    let refused = exchange(&process, announced.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");

    // By what comes.
    let mut chunked = format!("{path}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..11 {
        chunked.extend_from_slice(format!("{:x}\r\n", 10_000).as_bytes());
        chunked.extend_from_slice(&[b'x'; 10_000]);
        chunked.extend_from_slice(b"\r\n");
    }
    let refused = exchange(&process, &chunked).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");

    let head = format!("{path}X-Long: {}\r\n\r\n", "x".repeat(100_000));
    let refused = exchange(&process, head.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");
    let head = format!("{path}{}\r\n", "X-Many: x\r\n".repeat(1000));
    let refused = exchange(&process, head.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 431 "), "{refused}");

    let pipelined = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n\
                     GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n\
                     GET /health/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = exchange(&process, pipelined.as_bytes()).await;
    let statuses: Vec<_> = answers
        .match_indices("HTTP/1.1 ")
        .map(|(at, _)| &answers[at + 9..at + 12])
        .collect();
    assert_eq!(statuses, ["200", "404", "200"]);
    a_webhook_is_taken(&process, &connection, 0).await;
}
