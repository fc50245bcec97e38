//! The generator: keep-alive connections, each posting one signed body after the other and
//! waiting for its 200. Bodies are made and signed while it runs, cheaply: from one template a
//! status.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::NUMBER;
use crate::ground::measured::Measured;
use crate::ground::service::SECRET;

/// A message that the service has posted.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its provider id.
    pub wamid: String,
    /// What comes back in `biz_opaque_callback_data`.
    pub callback: String,
}

/// Where to post to, and about what.
#[derive(Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub path: String,
    pub messages: Arc<[Known]>,
}

/// Messages that go through their statuses together.
const COHORT: usize = 3000;
/// The statuses of one message, in the order they come; every body is a new one.
const WORDS: [&str; 3] = ["sent", "delivered", "read"];

pub async fn run(
    threads: &Handle,
    target: &Target,
    connections: usize,
    statuses: usize,
    length: Duration,
) -> Measured {
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let until = started + length;
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let connection = Connection {
                next: Arc::clone(&next),
                messages: Arc::clone(&target.messages),
                address: target.address,
                path: target.path.clone(),
                statuses,
            };
            threads.spawn(connection.run(until))
        })
        .collect();
    let mut measured = Measured::default();
    for task in tasks {
        let latencies = task.await.unwrap();
        measured.count += latencies.len() as u64;
        measured.latencies_us.extend(latencies);
    }
    measured.elapsed = started.elapsed();
    let said = next.load(Ordering::Relaxed);
    assert!(
        said <= target.messages.len() * WORDS.len(),
        "ran out of messages"
    );
    measured
}

struct Connection {
    next: Arc<AtomicUsize>,
    messages: Arc<[Known]>,
    address: SocketAddr,
    path: String,
    statuses: usize,
}

impl Connection {
    async fn run(self, until: Instant) -> Vec<u32> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut latencies = Vec::new();
        let mut answer = [0; 4096];
        while Instant::now() < until {
            let request = self.request();
            let asked = Instant::now();
            stream.write_all(&request).await.unwrap();
            let n = stream.read(&mut answer).await.unwrap();
            assert!(
                answer[..n].starts_with(b"HTTP/1.1 200"),
                "{:?}",
                std::str::from_utf8(&answer[..n])
            );
            latencies.push(u32::try_from(asked.elapsed().as_micros()).unwrap());
        }
        latencies
    }

    fn request(&self) -> Vec<u8> {
        let mut body = String::with_capacity(400 * self.statuses + 300);
        body.push_str(r#"{"object":"whatsapp_business_account","entry":[{"id":"204411887755301","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550142217","phone_number_id":""#);
        body.push_str(NUMBER);
        body.push_str(r#""},"statuses":["#);
        for n in 0..self.statuses {
            if n > 0 {
                body.push(',');
            }
            self.status(&mut body);
        }
        body.push_str("]}}]}]}");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let signature = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
        format!(
            "POST {} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nX-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\n\r\n{body}",
            self.path,
            body.len()
        )
        .into_bytes()
    }

    fn status(&self, body: &mut String) {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        // All that are sent together are delivered together, and then read.
        let (cohort, at_cohort) = (at / (COHORT * WORDS.len()), at % (COHORT * WORDS.len()));
        let message = (cohort * COHORT + at_cohort % COHORT) % self.messages.len();
        let Known { wamid, callback } = &self.messages[message];
        let word = WORDS[at_cohort / COHORT];
        let time = 1_763_769_600 + at / 1000;
        write!(
            body,
            r#"{{"id":"{wamid}","status":"{word}","timestamp":"{time}","recipient_id":"447700900123","biz_opaque_callback_data":"{callback}","pricing":{{"billable":true,"pricing_model":"PMP","type":"regular","category":"marketing"}}}}"#
        )
        .unwrap();
    }
}
