//! A keep-alive connection that asks for one thing after the other, without what a full client
//! would cost.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Wire {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            answer: Vec::with_capacity(1 << 16),
        }
    }

    /// Sends a request and returns the body of its answer, which must be a 2xx with a length.
    pub async fn ask(&mut self, request: &[u8]) -> &[u8] {
        self.stream.write_all(request).await.unwrap();
        self.answer.clear();
        let (head, length) = loop {
            self.read().await;
            if let Some(head) = find(&self.answer, b"\r\n\r\n") {
                break (head + 4, length(&self.answer[..head]));
            }
        };
        while self.answer.len() < head + length {
            self.read().await;
        }
        &self.answer[head..]
    }

    async fn read(&mut self) {
        let n = self.stream.read_buf(&mut self.answer).await.unwrap();
        assert!(n > 0, "the connection was closed");
    }
}

fn length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 2"), "{head}");
    let (_, rest) = head
        .split_once("content-length: ")
        .unwrap_or_else(|| panic!("no length: {head}"));
    rest.lines().next().unwrap().parse().unwrap()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A GET, or a POST where there is a body, with an API key where there is one.
pub fn request(path: &str, key: Option<&str>, body: Option<&str>) -> Vec<u8> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let key = key.map_or(String::new(), |key| {
        format!("Authorization: Bearer {key}\r\n")
    });
    let body = body.map_or("\r\n".to_owned(), |body| {
        format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{key}{body}").into_bytes()
}
