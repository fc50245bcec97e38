//! What is done to the service: sequences asked for over some seconds, a template paused and
//! unpaused while they run, and the wait until all of it is settled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep};

use super::api::Sequence;
use super::check::{Pause, Told, ToldSequence};
use super::history::Log;
use super::manifest::{Manifest, PAUSED_TEMPLATE, Planned};
use super::stage::Stage;

/// How long it takes to ask for all sequences, so that not all of them run in step.
const RAMP: Duration = Duration::from_secs(12);
/// How much of the load has been taken when the template is paused.
const PAUSE_AT: f64 = 0.4;
/// A claim made before the pause was known may still be on its way to the provider.
const GRACE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_secs(3);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long one look at the simulator waits for it to become idle.
const IDLE: Duration = Duration::from_secs(2);

/// What is going on, for the view.
pub type Phase = watch::Sender<&'static str>;

/// All of it, to the end. What the template's pause was, for the checker.
pub async fn play(stage: &Stage, manifest: &Manifest, phase: &Phase) -> anyhow::Result<Pause> {
    let ((), pause) = tokio::try_join!(
        ask(stage, manifest),
        pause(stage, manifest.messages(), phase)
    )?;
    settle(stage).await?;
    Ok(pause)
}

/// Asks for every sequence of the manifest, each at its time, however long an answer takes.
async fn ask(stage: &Stage, manifest: &Manifest) -> anyhow::Result<()> {
    let count = u32::try_from(manifest.sequences.len()).unwrap_or(u32::MAX);
    let mut pace = interval(RAMP / count.max(1));
    let mut asking = JoinSet::new();
    for planned in &manifest.sequences {
        pace.tick().await;
        let (service, request) = (Arc::clone(&stage.service), request(stage, planned)?);
        asking.spawn(async move { service.create_sequence(&request).await });
    }
    while let Some(asked) = asking.join_next().await {
        asked?.context("a sequence cannot be asked for")?;
    }
    Ok(())
}

/// Asks for one sequence.
pub async fn ask_for(stage: &Stage, planned: &Planned) -> anyhow::Result<()> {
    stage
        .service
        .create_sequence(&request(stage, planned)?)
        .await
}

fn request(stage: &Stage, planned: &Planned) -> anyhow::Result<Value> {
    let mut senders = stage.senders.iter();
    let sender = senders.find(|s| s.phone_number_id == planned.sender);
    let sender = sender.context("planned for a sender that is not there")?;
    Ok(planned.to_json(&sender.id))
}

/// Pauses a template in mid-flight, waits until the service knows, and unpauses it again. While
/// it is known to be paused no message may use it.
async fn pause(stage: &Stage, messages: usize, phase: &Phase) -> anyhow::Result<Pause> {
    let enough = (messages as f64 * PAUSE_AT) as u64;
    while stage.control.stats().await?.accepted < enough {
        sleep(LOOK).await;
    }
    phase.send_replace("template paused, not known yet");
    stage.control.change(PAUSED_TEMPLATE, "pause").await?;
    wait_until(stage, false).await?;
    phase.send_replace("template paused: its messages wait");
    sleep(GRACE).await;
    let from = stage.control.tick().await?;
    sleep(PAUSE).await;
    let until = stage.control.tick().await?;
    stage.control.change(PAUSED_TEMPLATE, "unpause").await?;
    wait_until(stage, true).await?;
    phase.send_replace("template unpaused: everything goes on");
    Ok(Pause {
        template: PAUSED_TEMPLATE.to_owned(),
        from,
        until,
    })
}

/// Waits until all processes see the template like this.
async fn wait_until(stage: &Stage, sendable: bool) -> anyhow::Result<()> {
    let (service, connection) = (&stage.service, &stage.connection);
    while !service
        .all_see(connection, PAUSED_TEMPLATE, sendable)
        .await?
    {
        sleep(LOOK).await;
    }
    Ok(())
}

/// All sequences of the connection, as the service tells.
pub async fn sequences(stage: &Stage) -> anyhow::Result<Vec<Sequence>> {
    let mut all = Vec::new();
    for sender in &stage.senders {
        all.extend(stage.service.sequences(&sender.id).await?);
    }
    Ok(all)
}

/// Waits until the provider has said everything and no sequence goes on by itself.
async fn settle(stage: &Stage) -> anyhow::Result<()> {
    loop {
        if stage.control.is_idle(IDLE).await? && unsettled(&sequences(stage).await?).is_empty() {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// Those that still go on by themselves.
pub fn unsettled(sequences: &[Sequence]) -> Vec<&Sequence> {
    let running = |s: &&Sequence| matches!(s.status.as_str(), "running" | "paused");
    sequences.iter().filter(running).collect()
}

/// What the service says in the end of all that the provider took.
pub async fn told(
    stage: &Stage,
    manifest: &Manifest,
    sequences: &[Sequence],
    log: &Log,
) -> anyhow::Result<Told> {
    let by_reference: HashMap<Option<&str>, &Sequence> = sequences
        .iter()
        .map(|sequence| (sequence.reference.as_deref(), sequence))
        .collect();
    let sequence = |planned: &Planned| {
        let sequence = by_reference.get(&Some(planned.reference.as_str()))?;
        Some(ToldSequence {
            id: sequence.id.clone(),
            status: sequence.status.clone(),
        })
    };
    let taken = log.posts.iter().filter_map(|post| post.wamid.clone());
    let taken: Vec<String> = taken.collect();
    Ok(Told {
        sequences: manifest.sequences.iter().map(sequence).collect(),
        messages: stage.service.look_up(&taken).await?,
    })
}
