//! Those who ask for sequences: each is made with some of its messages, and the others are
//! appended later, whatever has become of it by then.

use std::sync::Arc;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::api::Api;
use crate::plan::{Plan, Planned};
use crate::progress::{Progress, moment};

/// At once.
const ASKERS: usize = 4;
/// The part of all messages that may wait to be sent, so that some are asked for all the while.
const WAITING: f64 = 0.5;
/// The part by which messages may be ahead of webhooks, so that both are there to the end.
const AHEAD: f64 = 0.3;

/// Asks for all of them. How many messages of each were promised with a 202.
pub async fn ask(
    api: &Api,
    plan: &Plan,
    senders: &[String],
    progress: &Arc<Progress>,
) -> Vec<usize> {
    let sequences = Arc::new(plan.sequences.clone());
    let (messages, webhooks) = (plan.messages as f64, plan.webhooks as f64);
    let mut askers = JoinSet::new();
    for asker in 0..ASKERS {
        let (api, progress) = (api.clone(), Arc::clone(progress));
        let (sequences, senders) = (Arc::clone(&sequences), senders.to_vec());
        askers.spawn(async move {
            let mut promised = Vec::new();
            for (n, planned) in sequences.iter().enumerate().skip(asker).step_by(ASKERS) {
                let part = |count, of| Progress::get(count) as f64 / of;
                while part(&progress.asked, messages)
                    > (part(&progress.accepted, messages) + WAITING)
                        .min(part(&progress.webhooks, webhooks) + AHEAD)
                {
                    moment(10).await;
                }
                promised.push((n, one(&api, planned, &senders[planned.sender]).await));
                Progress::add(&progress.asked, planned.steps);
            }
            promised
        });
    }
    let mut promised = vec![0; sequences.len()];
    for (n, steps) in askers.join_all().await.into_iter().flatten() {
        promised[n] = steps;
    }
    promised
}

async fn one(api: &Api, planned: &Planned, sender: &str) -> usize {
    let name = &planned.name;
    let sequence = json!({
        "sender": sender, "to": format!("4477{:08}", name[1..].parse::<usize>().unwrap()),
        "reference": name, "on_failure": planned.on_failure.word(),
        "messages": steps(planned, 0..planned.first),
    });
    let made = api.create("/v1/sequences", &sequence, name).await;
    if planned.first == planned.steps {
        return planned.steps;
    }
    let path = format!("/v1/sequences/{}/messages", made["id"].as_str().unwrap());
    let more = json!({"messages": steps(planned, planned.first..planned.steps)});
    match api.post(&path, &more, &format!("{name}+")).await {
        (StatusCode::ACCEPTED, _) => planned.steps,
        // A failure has ended it.
        (StatusCode::CONFLICT, why) => {
            assert_eq!(why["code"], "sequence_ended", "{why}");
            planned.first
        }
        (other, why) => panic!("POST {path}: {other} {why}"),
    }
}

fn steps(planned: &Planned, which: std::ops::Range<usize>) -> Vec<Value> {
    let step = |n| {
        let name = format!("{}/{n}", planned.name);
        json!({"type": "text", "text": {"body": name}, "reference": name})
    };
    which.map(step).collect()
}
