//! A follower of the feed, from the first event on, through every death: it asks for what comes
//! after its cursor, whoever answers, and counts the statuses that it is told of.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use twotick::clock::Clock;

use crate::api::Api;
use crate::check::Word;
use crate::progress::{Progress, moment};

/// How long after the end an event may still come: a transaction of a dead instance may hold the
/// feed back for as long as it lives.
const LATE: Duration = Duration::from_secs(15);

/// How often each status was an event, by provider id.
pub type Events = HashMap<String, [u16; 4]>;

/// Until everything is over, and as many statuses were seen as are `expected` then.
pub async fn follow(api: &Api, progress: &Progress, expected: impl Fn() -> usize) -> Events {
    let (mut events, mut count) = (Events::new(), 0);
    let mut after = String::new();
    let clock = Clock::system();
    let mut ended = None;
    loop {
        let page = api.get(&format!("/v1/events?limit=500{after}")).await;
        let data = page["data"].as_array().unwrap();
        for event in data {
            count += usize::from(note(&mut events, event));
        }
        after = format!("&after={}", page["next_cursor"].as_str().unwrap());
        if !data.is_empty() {
            continue;
        }
        if Progress::is(&progress.over) {
            let ended = ended.get_or_insert_with(|| clock.monotonic());
            if count >= expected() || ended.elapsed() > LATE {
                return events;
            }
        }
        moment(50).await;
    }
}

/// Whether it is a status that was not seen before.
fn note(events: &mut Events, event: &Value) -> bool {
    let word = event["type"].as_str().unwrap().strip_prefix("message.");
    let (Some(word), true) = (word.and_then(Word::parse), event["source"] == "webhook") else {
        return false;
    };
    let wamid = event["data"]["provider_message_id"].as_str();
    let wamid = wamid.unwrap_or_else(|| panic!("a status of nobody: {event:#}"));
    let times = &mut events.entry(wamid.to_owned()).or_default()[word as usize];
    *times += 1;
    *times == 1
}
