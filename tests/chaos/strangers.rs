//! Statuses of messages that nobody here sent, as many as are wanted, no two alike.

use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use crate::check::Word;
use crate::mail::Item;

/// What may be said of a message: all, or what a provider leaves out.
const STORIES: [&[Word]; 6] = [
    &[Word::Sent, Word::Delivered, Word::Read],
    &[Word::Sent, Word::Delivered],
    &[Word::Sent, Word::Read],
    &[Word::Delivered],
    &[Word::Sent],
    &[Word::Failed],
];
/// The first of their timestamps, in Unix seconds.
const BEGAN: i64 = 1_763_769_600;

pub struct Strangers {
    rng: Xoshiro256PlusPlus,
    numbers: Vec<Arc<str>>,
    made: usize,
}

impl Strangers {
    /// Of these senders.
    pub fn new(seed: u64, numbers: &[String]) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(!seed),
            numbers: numbers
                .iter()
                .map(|number| number.as_str().into())
                .collect(),
            made: 0,
        }
    }

    /// All that will be said of one more message.
    pub fn next(&mut self) -> Vec<Item> {
        self.made += 1;
        let wamid = format!("wamid.stranger.{}", self.made);
        let number = self.numbers.choose(&mut self.rng).unwrap();
        let mut at = BEGAN + i64::try_from(self.made).unwrap();
        let story = STORIES.choose(&mut self.rng).unwrap();
        let mut items = Vec::new();
        for word in *story {
            at += self.rng.random_range(0..3);
            let mut status = json!({
                "id": wamid, "status": word.as_str(), "timestamp": at.to_string(),
                "recipient_id": "447700900123",
            });
            if *word == Word::Failed {
                status["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
            }
            items.push(Item {
                number: Arc::clone(number),
                wamid: wamid.clone(),
                word: *word,
                at,
                json: status.to_string(),
            });
        }
        items
    }
}
