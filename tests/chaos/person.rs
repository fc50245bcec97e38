//! The person who looks after sequences that are held because an answer was lost. They ask the
//! provider: what it never took is posted again; what it took needs nothing, since evidence that
//! names it will come and settles it.

use serde_json::{Value, json};

use crate::api::Api;
use crate::progress::{Progress, moment};
use crate::provider::Provider;

/// Between two looks.
const LOOK_MS: u64 = 300;

/// Until everything is over.
pub async fn look_after(api: &Api, provider: &Provider, progress: &Progress) {
    while !Progress::is(&progress.over) {
        let mut held = Vec::new();
        api.list("/v1/sequences?status=held", |sequence| {
            held.extend(lost_attempt(sequence));
        })
        .await;
        if !held.is_empty() {
            // Read after them: nobody waits for an answer any more by the time they are held.
            let taken = provider.taken().await;
            held.retain(|(_, attempt)| !taken.contains_key(attempt));
            for (id, attempt) in held {
                let path = format!("/v1/sequences/{id}/retry");
                let (status, _) = api.post(&path, &json!({}), &attempt).await;
                Progress::add(&progress.retried, usize::from(status.is_success()));
            }
        }
        moment(LOOK_MS).await;
    }
}

/// The sequence, and the attempt that it is held for.
fn lost_attempt(sequence: &Value) -> Option<(String, String)> {
    assert_eq!(sequence["reason"], "unknown", "{sequence:#}");
    let position = usize::try_from(sequence["position"].as_u64()?).unwrap();
    let head = &sequence["messages"][position - 1];
    let attempt = head["attempts"].as_array()?.last()?;
    let name = format!("{}.{}", head["id"].as_str()?, attempt["n"]);
    (attempt["outcome"] == "unknown").then(|| (sequence["id"].as_str().unwrap().to_owned(), name))
}
