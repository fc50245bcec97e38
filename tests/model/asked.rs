//! What people ask of the service, each under a name (`Idempotency-Key`), so that what was cut
//! off half-way is asked again and done once.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use twotick::model::ids::{AttemptId, KeyId, MessageId, SenderId, SequenceId};
use twotick::model::sequence as model;
use twotick::store::Changed;
use twotick::store::messages::Message;
use twotick::store::sequence_changes::{MessageChange, SequenceChange};
use twotick::store::sequence_create::{NewSequence, NewStep};
use twotick::store::sequences::SequenceRow;
use twotick::store::{Once, Reply, Store, StoreError};
use uuid::Uuid;

use crate::history::{Gate, History, OnDeadline, OnFailure, Sequence, What, Word};
use crate::provider::{LANGUAGE, Moment, template_name};

/// What was asked, and what became of it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub what: What,
    /// Of the history.
    pub sequence: usize,
    /// The history's step, where it is about a message.
    pub step: Option<usize>,
    pub begun: Moment,
    pub done: Moment,
    /// What was shown; `Err`: the code of the refusal.
    pub answer: Result<Shown, String>,
}

/// A sequence as the answer showed it.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    pub id: String,
    pub head: i32,
    /// Its messages, in order.
    pub messages: Vec<String>,
    /// Attempts that were being posted at that moment.
    pub in_flight: Vec<String>,
}

/// A request, complete.
#[derive(Clone)]
pub enum Call {
    Create(NewSequence),
    Append(SequenceId, Vec<NewStep>),
    Sequence(SequenceId, What),
    Message(MessageId, What),
}

#[derive(Serialize)]
struct View {
    id: String,
    head: i32,
    messages: Vec<String>,
    in_flight: Vec<String>,
}

fn in_flight(message: &Message) -> impl Iterator<Item = String> + '_ {
    let posted =
        |a: &&twotick::store::messages::Attempt| a.posted_at.is_some() && a.outcome.is_none();
    message.attempts.iter().filter(posted).map(|attempt| {
        let id = AttemptId {
            message: message.id,
            n: attempt.n,
        };
        id.to_callback()
    })
}

fn view(row: SequenceRow) -> View {
    View {
        id: row.id.to_string(),
        head: row.head,
        messages: row.messages.iter().map(|m| m.id.to_string()).collect(),
        in_flight: row.messages.iter().flat_map(in_flight).collect(),
    }
}

fn view_message(message: Message) -> View {
    let step = message.step.as_ref();
    View {
        id: step
            .map(|step| step.sequence.to_string())
            .unwrap_or_default(),
        head: step.map_or(0, |step| step.head),
        messages: vec![message.id.to_string()],
        in_flight: in_flight(&message).collect(),
    }
}

impl Shown {
    fn read(reply: &Reply) -> Self {
        let (Reply::Done(bytes) | Reply::Replayed(bytes)) = reply else {
            panic!("the name of a request was taken for another's");
        };
        let shown: Value = serde_json::from_slice(bytes).unwrap();
        let texts = |name: &str| {
            let list = shown[name].as_array().unwrap().iter();
            list.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        Self {
            id: shown["id"].as_str().unwrap().to_owned(),
            head: i32::try_from(shown["head"].as_i64().unwrap()).unwrap(),
            messages: texts("messages"),
            in_flight: texts("in_flight"),
        }
    }
}

/// Asks. Cut off after `cut` milliseconds, it is asked once more.
pub async fn ask(
    store: &Store,
    call: &Call,
    limits: model::RetryLimits,
    cut: Option<u64>,
    name: String,
) -> Result<Result<Shown, String>, StoreError> {
    if let Some(ms) = cut {
        let (store, call, name) = (store.clone(), call.clone(), name.clone());
        let first = tokio::spawn(async move { once(&store, &call, limits, name).await });
        tokio::time::sleep(Duration::from_millis(ms)).await;
        first.abort();
        let _ = first.await;
    }
    once(store, call, limits, name).await
}

async fn once(
    store: &Store,
    call: &Call,
    limits: model::RetryLimits,
    name: String,
) -> Result<Result<Shown, String>, StoreError> {
    let once = Once::named(KeyId(Uuid::nil()), "POST /".to_owned(), None, name, b"");
    let changed: Changed = match call {
        Call::Create(new) if new.single => {
            let made = store.create_message(new, &once, view_message).await?;
            Ok(made.map(Ok))
        }
        Call::Create(new) => Ok(store.create_sequence(new, &once, view).await?.map(Ok)),
        Call::Append(id, steps) => {
            let change = SequenceChange::Append(steps);
            store.change_sequence(*id, change, &once, view).await
        }
        Call::Sequence(id, what) => {
            let change = match what {
                What::Pause => SequenceChange::Pause,
                What::Resume => SequenceChange::Resume,
                What::Cancel => SequenceChange::Cancel,
                _ => SequenceChange::Retry,
            };
            store.change_sequence(*id, change, &once, view).await
        }
        Call::Message(id, what) => {
            let change = match what {
                What::CancelMessage => MessageChange::Cancel,
                _ => MessageChange::Retry,
            };
            let changed = store.change_message(*id, change, &limits, &once, view_message);
            changed.await
        }
    };
    Ok(match changed? {
        Some(Ok(reply)) => Ok(Shown::read(&reply)),
        Some(Err(refused)) => Err(refused.code().to_owned()),
        None => Err("not_found".to_owned()),
    })
}

/// A sequence of the history as it is asked for.
pub fn new_sequence(history: &History, sequence: &Sequence, sender: SenderId) -> NewSequence {
    NewSequence {
        sender,
        recipient: "447700900123".to_owned(),
        reference: None,
        gate: gate(sequence.gate),
        on_failure: match sequence.on_failure {
            OnFailure::Stop => model::OnFailure::Stop,
            OnFailure::Skip => model::OnFailure::Skip,
            OnFailure::Retry => model::OnFailure::Retry,
        },
        policy: model::Policy::default(),
        quiet_hours: None,
        single: sequence.lone,
        at: None,
        steps: new_steps(history, &sequence.steps),
    }
}

pub fn new_steps(history: &History, steps: &[usize]) -> Vec<NewStep> {
    steps.iter().map(|step| new_step(history, *step)).collect()
}

/// The step's number is in the message, where the provider finds it.
fn new_step(history: &History, number: usize) -> NewStep {
    let step = &history.steps[number];
    let marker = number.to_string();
    let (kind, content) = match step.template {
        Some(template) => {
            let parameters = json!([{"type": "text", "text": marker}]);
            let content = json!({
                "name": template_name(template), "language": {"code": LANGUAGE},
                "components": [{"type": "body", "parameters": parameters}],
            });
            ("template", content)
        }
        None => ("text", json!({"body": marker})),
    };
    NewStep {
        kind: kind.to_owned(),
        content,
        marketing: None,
        template: step
            .template
            .map(|template| (template_name(template), LANGUAGE.to_owned())),
        reference: None,
        gate: step.gate.map(gate),
        delay: seconds(step.delay),
        on_unknown: match step.resend {
            true => model::OnUnknown::Resend,
            false => model::OnUnknown::Hold,
        },
    }
}

fn gate(gate: Gate) -> model::Gate {
    model::Gate {
        status: match gate.word {
            Word::Accepted => model::GateStatus::Accepted,
            Word::Sent => model::GateStatus::Sent,
            Word::Delivered => model::GateStatus::Delivered,
            _ => model::GateStatus::Read,
        },
        deadline: seconds(gate.deadline),
        on_deadline: match gate.on_deadline {
            OnDeadline::Stop => model::OnDeadline::Stop,
            OnDeadline::Skip => model::OnDeadline::Skip,
            OnDeadline::Hold => model::OnDeadline::Hold,
        },
    }
}

pub fn seconds(n: i64) -> Duration {
    Duration::from_secs(n.unsigned_abs())
}
