//! Claiming: of a sender's due sequences, decide the gates that are to be decided and take the
//! heads that may be posted *now*. One transaction: lease, open lanes, due rows under lock,
//! their messages in a fresh snapshot, the decisions of `model`, and what follows from them.
//! A sequence whose rows cannot be understood is put off, and costs the others nothing.

mod campaigns;
mod corrupt;
mod due;
mod plan;
mod planning;
mod reach;
mod steps;
mod write;

use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use self::campaigns::make;
use self::corrupt::put_off;
use self::due::{Poster, lock_due, lock_lease, next_due};
use self::plan::Plan;
use self::reach::{read_reach, write_opened};
use self::steps::read_steps;
use self::write::{Written, write};
use super::leases::Lease;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::error_class::ErrorClass;
use crate::model::ids::{AttemptId, MessageId, SequenceId};
use crate::model::lane::Turns;
use crate::model::limits::Pairs;
use crate::model::reach::Reach;
use crate::model::sequence::{Gate, RetryLimits, Rules};

/// What may be claimed.
#[derive(Debug, Clone, Copy)]
pub struct ClaimRequest<'a> {
    /// Whose sequences.
    pub lease: Lease,
    /// Who we are.
    pub instance: Uuid,
    /// How many POSTs have their rate token and their slot.
    pub posts: usize,
    /// The limits of trying again.
    pub limits: RetryLimits,
    /// What is not posted.
    pub rules: Rules,
    /// Who has been written to. What is claimed is spent, also where the claim fails in the end:
    /// it may have been made.
    pub pairs: &'a Mutex<Pairs>,
    /// To how many users more the account may write first; `None` where nobody is to wait for it.
    pub reach: Option<&'a Mutex<Reach>>,
    /// Which lanes have had POSTs.
    pub turns: &'a Mutex<Turns>,
    /// Whether the provider makes one message of an attempt that is posted again.
    pub repeats_harmlessly: bool,
    /// How long the answer to a POST may take. A lease that ends sooner permits none.
    pub post_timeout: Duration,
}

/// A message that is to be posted now.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Of which sequence.
    pub sequence: SequenceId,
    /// Where in it.
    pub position: i32,
    /// Under which ownership.
    pub epoch: i64,
    /// When it was claimed: an attempt that went back may be claimed again.
    pub posted_at: Timestamp,
    /// Since when it was due: its gate opened, its time came, or somebody asked for it.
    pub due_since: Timestamp,
    /// How often in a row it has been refused before and not counted.
    pub refusals: u32,
    /// Whether it was posted before and the answer lost: whatever comes of it now, it may have been
    /// taken then.
    pub repeated: bool,
    /// What the next message waits for.
    pub gate: Gate,
    /// The template's name and language, if it uses one.
    pub template: Option<(String, String)>,
    /// The sender's number, as the provider knows it.
    pub phone_number_id: String,
    /// The sender's WABA, where it is known.
    pub waba_id: Option<String>,
    /// To whom.
    pub recipient: String,
    /// `template`, `text` …
    pub kind: String,
    /// The object under the type.
    pub content: Value,
    /// What it goes out with as a marketing message, if as one.
    pub marketing: Option<Value>,
}

/// What a claim brought.
#[derive(Debug, Default)]
pub struct Claimed {
    /// To be posted now.
    pub claims: Vec<Claim>,
    /// Whether anything was decided or claimed.
    pub progress: bool,
    /// Whether something may be due still.
    pub more: bool,
    /// Of the gates that opened: how long their messages had been accepted.
    pub gate_waits: Vec<Duration>,
    /// For how long messages were put off, because their users have had too many.
    pub pair_waits: Vec<Duration>,
    /// The classes of what failed for good by an answer, or by our own rules.
    pub failed: Vec<ErrorClass>,
    /// When the next row that is not due yet will be.
    pub next_due: Option<Timestamp>,
}

impl Store {
    /// Decides and claims. `None` when the lease is no longer ours, or too short for a POST.
    /// After an error, `in_doubt` holds what may have been claimed all the same: its commit was
    /// not acknowledged. Nobody may post it; see [`Store::return_doubtful`].
    pub async fn claim(
        &self,
        request: &ClaimRequest<'_>,
        in_doubt: &mut Vec<Claim>,
    ) -> Result<Option<Claimed>, StoreError> {
        again!(self, "claim", {
            let now = self.clock.now();
            let mut transaction = self.begin().await?;
            let Some(mut poster) = lock_lease(&mut transaction, request, now).await? else {
                return Ok(None);
            };
            poster.lanes.take_turns(request.turns);
            let (mut rows, mut corrupt) =
                lock_due(&mut transaction, request, &poster.lanes, now).await?;
            let sender = request.lease.sender;
            if rows.is_empty() && corrupt.is_empty() {
                // Woken for what the claim before this one had taken already.
                let next_due = next_due(&mut transaction, sender, &poster.lanes, now).await?;
                return Ok(Some(Claimed {
                    next_due,
                    ..Claimed::default()
                }));
            }
            let mut steps = read_steps(&mut transaction, request, &mut rows, &mut corrupt).await?;
            self.add_unmade(&mut transaction, sender, &rows, &mut steps, &mut corrupt)
                .await?;
            rows.retain(|row| corrupt.iter().all(|corrupt| corrupt.sequence != row.id));
            put_off(&mut transaction, sender, &corrupt, now).await?;
            let reached = read_reach(
                &mut transaction,
                request,
                poster.messaging_limit,
                &rows,
                now,
            )
            .await?;
            let plan = Plan::make(request, rows, steps, &poster.lanes, reached, now);
            let (claims, next_due) = self
                .carry_out(&mut transaction, request, &poster, &plan, now)
                .await?;
            *in_doubt = claims;
            transaction.commit().await?;
            plan.give_turns(request.turns);
            Ok(Some(Claimed {
                claims: std::mem::take(in_doubt),
                progress: plan.has_progress(),
                more: plan.leaves_more(request.posts, now),
                gate_waits: plan.gate_waits,
                pair_waits: plan.pair_waits,
                failed: plan.failed,
                next_due,
            }))
        })
    }

    async fn carry_out(
        &self,
        connection: &mut PgConnection,
        request: &ClaimRequest<'_>,
        poster: &Poster,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<(Vec<Claim>, Option<Timestamp>), StoreError> {
        let sender = request.lease.sender;
        let facts = self.columns(&plan.facts);
        make(connection, sender, &plan.made, now).await?;
        let Written { contents, next_due } =
            write(connection, request, plan, &poster.lanes, &facts, now).await?;
        write_opened(connection, sender, &plan.opened, now).await?;
        let claims = plan.claimed().filter_map(|(row, step)| {
            let (recipient, kind, content, marketing) = contents.get(&step.message)?.clone();
            Some(Claim {
                attempt: AttemptId {
                    message: MessageId {
                        sender,
                        uuid: step.message,
                    },
                    n: step.next_n(),
                },
                sequence: SequenceId {
                    sender,
                    uuid: row.id,
                },
                position: step.position,
                epoch: request.lease.epoch,
                posted_at: now,
                due_since: row.due_since,
                refusals: step.refusals,
                repeated: step.repeats(),
                gate: step.gate,
                template: step.template.clone(),
                phone_number_id: poster.phone_number_id.clone(),
                waba_id: poster.waba_id.clone(),
                recipient,
                kind,
                content,
                marketing,
            })
        });
        Ok((claims.collect(), plan.next_due(next_due, now)))
    }
}
