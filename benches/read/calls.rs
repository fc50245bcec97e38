//! The generator: each connection asks for one thing after the other, and looks whether it got
//! it.

use std::time::Instant;

use rand::RngExt;
use serde_json::{Value, json};

use crate::Target;
use crate::ground::wire::{Wire, request};

/// Messages in one look-up.
const LOOKED_UP: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Of the plain handler: one row by its key.
    Plain,
    One,
    LookUp,
    OfRecipient,
    OfStatus,
    Feed,
}

impl Call {
    /// Those of the service.
    pub const ALL: [Self; 5] = [
        Self::One,
        Self::LookUp,
        Self::OfRecipient,
        Self::OfStatus,
        Self::Feed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "one row",
            Self::One => "GET message",
            Self::LookUp => "POST lookup of 100",
            Self::OfRecipient => "GET messages?to, 50",
            Self::OfStatus => "GET messages?status, 50",
            Self::Feed => "GET events?after, 100",
        }
    }
}

pub struct Reader {
    target: Target,
    call: Call,
    wire: Wire,
    /// Where in the feed it is.
    after: Option<String>,
}

impl Reader {
    pub async fn new(target: Target, call: Call) -> Self {
        Self {
            wire: Wire::connect(target.address).await,
            target,
            call,
            after: None,
        }
    }

    pub async fn run(mut self, until: Instant) -> Vec<u32> {
        let mut latencies = Vec::new();
        while Instant::now() < until {
            let request = self.request();
            let asked = Instant::now();
            let answer = self.wire.ask(&request).await;
            latencies.push(u32::try_from(asked.elapsed().as_micros()).unwrap());
            self.after = check(self.call, answer);
        }
        latencies
    }

    fn request(&self) -> Vec<u8> {
        let Target { known, key, .. } = &self.target;
        let mut rng = rand::rng();
        let mut message = || &known[rng.random_range(0..known.len())];
        let (path, body) = match self.call {
            Call::Plain => (format!("/messages/{}", message().uuid), None),
            Call::One => (format!("/v1/messages/{}", message().id), None),
            Call::LookUp => {
                let ids: Vec<_> = (0..LOOKED_UP).map(|_| &message().id).collect();
                let body = json!({"ids": ids}).to_string();
                ("/v1/messages/lookup".to_owned(), Some(body))
            }
            Call::OfRecipient => {
                let to = &message().recipient;
                (format!("/v1/messages?limit=50&to={to}"), None)
            }
            Call::OfStatus => ("/v1/messages?limit=50&status=delivered".to_owned(), None),
            Call::Feed => {
                let after = self.after.as_ref();
                let after = after.map_or(String::new(), |after| format!("&after={after}"));
                (format!("/v1/events?limit=100{after}"), None)
            }
        };
        request(&path, Some(key), body.as_deref())
    }
}

/// Whether the answer is what was asked for; of the feed, where it goes on.
fn check(call: Call, answer: &[u8]) -> Option<String> {
    match call {
        Call::Plain | Call::One => {
            assert!(answer.starts_with(b"{\"id\""), "no message");
            None
        }
        // Reading it all would cost the machine more than what is measured.
        Call::LookUp | Call::OfRecipient | Call::OfStatus => {
            assert!(answer.starts_with(b"{\"data\""), "no list");
            None
        }
        Call::Feed => {
            let page: Value = serde_json::from_slice(answer).unwrap();
            let full = page["data"].as_array().unwrap().len() == 100;
            // At its end, from the start again.
            let next = page["next_cursor"].as_str().filter(|_| full);
            next.map(str::to_owned)
        }
    }
}
