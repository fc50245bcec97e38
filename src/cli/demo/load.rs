//! What is done to the service: sequences asked for over some seconds, a template paused and
//! unpaused while they run, whatever else the scene has, and the wait until all of it is settled.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::api::Sequence;
use super::check::{Pause, Told, ToldSequence};
use super::history::Log;
use super::manifest::{Manifest, PAUSED_TEMPLATE, Planned};
use super::stage::Stage;
use crate::simulator::Faults;

/// A claim made before the pause was known may still be on its way to the provider: for as long as a
/// POST may take.
const GRACE: Duration = Duration::from_millis(1_500);
const PAUSE: Duration = Duration::from_secs(3);
/// While users have had enough marketing, so many of them.
const ENOUGH_MARKETING: f64 = 0.5;
const BURST: Duration = Duration::from_secs(4);
/// Between two kills: long enough that what one has done is over.
const KILLS: std::ops::Range<u64> = 20..40;
/// Calls under way at once.
const MOST_ASKED: usize = 64;
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long one look at the simulator waits for it to become idle.
const IDLE: Duration = Duration::from_secs(2);

/// What is going on, for the view.
pub type Phase = watch::Sender<&'static str>;

/// What was done, for the checker.
#[derive(Debug, Default)]
pub struct Played {
    pub pauses: Vec<Pause>,
    /// When a process was killed, in microseconds since the simulator's start.
    pub kills: Vec<u64>,
}

/// All of it, to the end.
pub async fn play(
    stage: &Stage,
    manifest: &Manifest,
    seed: u64,
    phase: &Phase,
) -> anyhow::Result<Played> {
    let messages = manifest.messages();
    let load = async {
        let (pauses, (), ()) = tokio::try_join!(
            pause(stage, messages, phase),
            burst(stage, messages, phase),
            ask(stage, manifest),
        )?;
        settle(stage).await?;
        anyhow::Ok(pauses)
    };
    let over = CancellationToken::new();
    let load = async {
        let _over = over.clone().drop_guard();
        load.await
    };
    let (pauses, kills) = tokio::try_join!(load, kill(stage, seed, &over))?;
    Ok(Played { pauses, kills })
}

/// Kills one process after the other, each when the last is there again. All are there in the end.
async fn kill(stage: &Stage, seed: u64, over: &CancellationToken) -> anyhow::Result<Vec<u64>> {
    let mut kills = Vec::new();
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    if !stage.scene.kills {
        return Ok(kills);
    }
    loop {
        let wait = Duration::from_secs(rng.random_range(KILLS));
        if timeout(wait, over.cancelled()).await.is_ok() {
            return Ok(kills);
        }
        let victim = rng.random_range(0..stage.scene.processes);
        kills.push(stage.kill(victim).await?);
    }
}

/// Asks for every sequence of the manifest, each at its time, however long an answer takes.
async fn ask(stage: &Stage, manifest: &Manifest) -> anyhow::Result<()> {
    let count = u32::try_from(manifest.sequences.len()).unwrap_or(u32::MAX);
    let mut pace = interval(stage.scene.ramp / count.max(1));
    let mut asking = JoinSet::new();
    for planned in &manifest.sequences {
        pace.tick().await;
        while asking.len() >= MOST_ASKED {
            asked(asking.join_next().await)?;
        }
        let (service, request) = (Arc::clone(&stage.service), request(stage, planned)?);
        asking.spawn(async move { service.create_sequence(&request).await });
    }
    while !asking.is_empty() {
        asked(asking.join_next().await)?;
    }
    Ok(())
}

fn asked(asked: Option<Result<anyhow::Result<()>, JoinError>>) -> anyhow::Result<()> {
    match asked {
        Some(asked) => asked?.context("a sequence cannot be asked for"),
        None => Ok(()),
    }
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

/// Waits until this share of all messages has been taken.
async fn until_taken(stage: &Stage, messages: usize, share: f64) -> anyhow::Result<()> {
    let enough = (messages as f64 * share) as u64;
    while stage.control.stats().await?.accepted < enough {
        sleep(LOOK).await;
    }
    Ok(())
}

/// Users have had enough marketing, for a while.
async fn burst(stage: &Stage, messages: usize, phase: &Phase) -> anyhow::Result<()> {
    for &share in stage.scene.bursts {
        until_taken(stage, messages, share).await?;
        let faults = Faults {
            enough_marketing: ENOUGH_MARKETING,
            ..stage.scene.faults
        };
        phase.send_replace("users have had enough marketing");
        stage.control.set_faults(&faults).await?;
        sleep(BURST).await;
        stage.control.set_faults(&stage.scene.faults).await?;
        phase.send_replace("users want marketing again");
    }
    Ok(())
}

/// Pauses a template in mid-flight, waits until the service knows, and unpauses it again. While
/// it is known to be paused no message may use it.
async fn pause(stage: &Stage, messages: usize, phase: &Phase) -> anyhow::Result<Vec<Pause>> {
    let mut pauses = Vec::new();
    for &share in stage.scene.pauses {
        until_taken(stage, messages, share).await?;
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
        pauses.push(Pause {
            template: PAUSED_TEMPLATE.to_owned(),
            from,
            until,
        });
    }
    Ok(pauses)
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
        if stage.control.is_idle(IDLE).await? && !goes_on(stage).await? {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// Whether any sequence still goes on by itself.
async fn goes_on(stage: &Stage) -> anyhow::Result<bool> {
    for sender in &stage.senders {
        for status in ["running", "paused"] {
            if stage.service.has_sequence(&sender.id, status).await? {
                return Ok(true);
            }
        }
    }
    Ok(false)
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
            messages: sequence.messages.iter().map(|m| m.status.clone()).collect(),
        })
    };
    let taken = log.posts.iter().filter_map(|post| post.wamid.clone());
    let taken: Vec<String> = taken.collect();
    Ok(Told {
        sequences: manifest.sequences.iter().map(sequence).collect(),
        messages: stage.service.look_up(&taken).await?,
    })
}
