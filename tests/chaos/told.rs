//! What the service says in the end, over its API.

use std::collections::HashMap;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::api::Api;
use crate::check::{Evidence, Told, ToldMessage, ToldSequence, Word};

/// Ids of one look-up.
const LOOK_UP: usize = 1000;

/// Asks for every sequence, and for every message that only strangers could have sent.
pub async fn ask<'a>(api: &Api, strangers: impl Iterator<Item = &'a String>) -> Told {
    let mut told = Told::default();
    api.list("/v1/sequences?", |sequence| {
        let name = sequence["reference"].as_str().unwrap().to_owned();
        told.sequences.entry(name).or_default().push(read(sequence));
    })
    .await;
    let ids: Vec<&str> = strangers.map(String::as_str).collect();
    for ids in ids.chunks(LOOK_UP) {
        let mut found = api.look_up(ids).await;
        let found: HashMap<String, Value> = serde_json::from_value(found["data"].take()).unwrap();
        let known = found.into_iter().filter(|(_, message)| !message.is_null());
        told.strangers
            .extend(known.map(|(wamid, message)| (wamid, evidence(&message))));
    }
    told
}

/// Webhooks that it kept and did not apply: a database that fails is no fault of theirs.
pub async fn problems(api: &Api) -> Vec<String> {
    let mut problems = Vec::new();
    for state in ["undecoded", "not_applied"] {
        let page = api
            .get(&format!("/v1/webhooks?state={state}&limit=10"))
            .await;
        let webhooks = page["data"].as_array().unwrap().iter();
        problems.extend(webhooks.map(|webhook| format!("{state}: {webhook}")));
    }
    problems
}

fn read(sequence: &Value) -> ToldSequence {
    let messages = sequence["messages"].as_array().unwrap();
    let messages = messages.iter().map(|message| ToldMessage {
        name: message["reference"].as_str().unwrap().to_owned(),
        status: message["status"].as_str().unwrap().to_owned(),
        wamid: message["provider_message_id"].as_str().map(str::to_owned),
        evidence: evidence(message),
    });
    ToldSequence {
        status: sequence["status"].as_str().unwrap().to_owned(),
        messages: messages.collect(),
    }
}

fn evidence(message: &Value) -> Evidence {
    Word::ALL.map(|word| {
        let at = message[format!("{}_at", word.as_str())].as_str()?;
        let at = OffsetDateTime::parse(at, &Rfc3339).unwrap();
        Some(at.unix_timestamp())
    })
}
