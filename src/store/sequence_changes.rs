//! What people do to sequences and messages that are there: append, pause, resume, cancel, retry.
//! Each locks the sequence's row first and reads what else it needs after that, so that it sees
//! what whoever held the lock before has committed; and each writes its fact in its transaction.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::campaign_changes::campaign_of;
use super::facts::OwnFact;
use super::messages::{Message, read_messages};
use super::once::shown;
use super::sequence_create::NewStep;
use super::sequences::{SequenceRow, read_sequence};
use super::wrong_state::{Changed, WrongState};
use super::{Once, Store, StoreError, again, plan_each};
use crate::model::erased::ERASED;
use crate::model::event;
use crate::model::ids::{CampaignId, MessageId, SequenceId};
use crate::model::message::MessageStatus;
use crate::model::sequence::{Reason, RetryLimits, SequenceStatus, SequenceWork};

/// A sequence is read and shown as a whole.
pub(super) const MOST_MESSAGES: i32 = 1_000;

/// The locked row.
pub(super) struct Locked {
    id: SequenceId,
    recipient: String,
    single: bool,
    status: SequenceStatus,
    reason: Option<Reason>,
    work: SequenceWork,
    head: i32,
    length: i32,
    pub(super) campaign: Option<CampaignId>,
}

impl Locked {
    pub(super) fn is_over(&self) -> bool {
        self.work == SequenceWork::Done
    }

    /// A lone message that nobody has taken to be posted.
    pub(super) fn is_unposted_single(&self) -> bool {
        self.single && self.work == SequenceWork::Ready
    }

    /// Whether the person it went to was erased: nothing can be sent to them by it.
    pub(super) fn is_erased(&self) -> bool {
        self.recipient == ERASED
    }

    fn fact(&self, r#type: &'static str, data: Value) -> OwnFact {
        OwnFact::of_sequence(self.id, r#type, "api").with(data)
    }
}

/// What a person wants of a sequence.
#[derive(Debug, Clone, Copy)]
pub enum SequenceChange<'a> {
    /// More messages at its end. A completed sequence runs again.
    Append(&'a [NewStep]),
    /// To stand still until it is resumed. What is being posted is posted.
    Pause,
    /// To go on: a paused one where it stood, a held one behind its head.
    Resume,
    /// To end. What has been posted stays posted.
    Cancel,
    /// To post the head of a held or stopped sequence again.
    Retry,
}

/// What a person wants of a message.
#[derive(Debug, Clone, Copy)]
pub enum MessageChange {
    /// Not to be posted. Its sequence goes on with the next.
    Cancel,
    /// To be posted again: it failed, or is held because its fate is unknown.
    Retry,
}

/// The facts that tell of a change, or why it cannot be.
type Told = Result<Result<Vec<OwnFact>, WrongState>, StoreError>;

impl Store {
    /// Changes a sequence, once, in one transaction with the facts that tell of it.
    pub async fn change_sequence<V: Serialize>(
        &self,
        id: SequenceId,
        change: SequenceChange<'_>,
        once: &Once,
        show: impl Fn(SequenceRow) -> V + Sync,
    ) -> Changed {
        again!(self, "change_sequence", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(Ok(reply)));
            }
            // Lone messages are no sequences to callers.
            let Some(row) = lock(&mut transaction, id).await?.filter(|row| !row.single) else {
                return Ok(None);
            };
            if row.is_erased() {
                return Ok(Some(Err(WrongState::Erased)));
            }
            let told = match change {
                SequenceChange::Append(steps) => self.append(&mut transaction, &row, steps).await,
                SequenceChange::Pause => self.pause(&mut transaction, &row).await,
                SequenceChange::Resume => self.resume(&mut transaction, &row).await,
                SequenceChange::Cancel => self.cancel(&mut transaction, &row).await,
                SequenceChange::Retry => self.retry(&mut transaction, &row).await,
            };
            match told? {
                Ok(facts) => self.write_facts(&mut transaction, &facts).await?,
                Err(refused) => return Ok(Some(Err(refused))),
            }
            plan_each(&mut transaction).await?;
            let Some(row) = read_sequence(&mut transaction, id).await? else {
                return Ok(None);
            };
            let answer = shown(&show(row))?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(Ok(reply)))
        })
    }

    /// Changes a message of ours, once: it is read behind the lock of its sequence.
    pub async fn change_message<V: Serialize>(
        &self,
        id: MessageId,
        change: MessageChange,
        limits: &RetryLimits,
        once: &Once,
        show: impl Fn(Message) -> V + Sync,
    ) -> Changed {
        again!(self, "change_message", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(Ok(reply)));
            }
            match self
                .steer_message(&mut transaction, id, change, limits)
                .await?
            {
                Some(Ok(())) => {}
                Some(Err(refused)) => return Ok(Some(Err(refused))),
                None => return Ok(None),
            }
            let Some(changed) = read_message(&mut transaction, id).await? else {
                return Ok(None);
            };
            let answer = shown(&show(changed))?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(Ok(reply)))
        })
    }

    async fn steer_message(
        &self,
        connection: &mut PgConnection,
        id: MessageId,
        change: MessageChange,
        limits: &RetryLimits,
    ) -> Result<Option<Result<(), WrongState>>, StoreError> {
        let Some(before) = read_message(connection, id).await? else {
            return Ok(None);
        };
        // Without a sequence it is somebody else's.
        let Some(step) = before.step else {
            return Ok(Some(Err(WrongState::AlreadySent)));
        };
        let row = lock(connection, step.sequence).await?;
        let message = read_message(connection, before.id).await?;
        let (Some(row), Some(message)) = (row, message) else {
            return Ok(None);
        };
        if row.is_erased() {
            return Ok(Some(Err(WrongState::Erased)));
        }
        let status = message.status(limits);
        let told = match change {
            MessageChange::Cancel => {
                self.cancel_message(connection, &row, &message, status)
                    .await
            }
            MessageChange::Retry => self.retry_message(connection, &row, &message, status).await,
        };
        match told? {
            Ok(facts) => self.write_facts(connection, &facts).await?,
            Err(refused) => return Ok(Some(Err(refused))),
        }
        Ok(Some(Ok(())))
    }

    async fn pause(&self, connection: &mut PgConnection, row: &Locked) -> Told {
        match row.status {
            SequenceStatus::Paused => Ok(Ok(Vec::new())),
            SequenceStatus::Running => {
                self.set_paused(connection, row.id).await?;
                let data = json!({"position": row.head});
                Ok(Ok(vec![row.fact(event::SEQUENCE_PAUSED, data)]))
            }
            _ => Ok(Err(WrongState::NotRunning)),
        }
    }

    async fn resume(&self, connection: &mut PgConnection, row: &Locked) -> Told {
        match row.status {
            SequenceStatus::Running => Ok(Ok(Vec::new())),
            SequenceStatus::Paused => {
                self.set_running(connection, row.id).await?;
                let data = json!({"position": row.head, "from": "paused"});
                Ok(Ok(vec![row.fact(event::SEQUENCE_RESUMED, data)]))
            }
            SequenceStatus::Held => self.go_on_behind(connection, row).await,
            _ => Ok(Err(WrongState::NotHeld)),
        }
    }

    async fn cancel(&self, connection: &mut PgConnection, row: &Locked) -> Told {
        if row.status == SequenceStatus::Cancelled {
            return Ok(Ok(Vec::new()));
        }
        if row.is_over() {
            return Ok(Err(WrongState::Ended));
        }
        self.end(connection, row.id, SequenceStatus::Cancelled, row.head)
            .await?;
        self.tell_failed_heads(connection, row.id.sender, &[row.id.uuid])
            .await?;
        let data = json!({"position": row.head});
        Ok(Ok(vec![row.fact(event::SEQUENCE_CANCELLED, data)]))
    }

    async fn retry(&self, connection: &mut PgConnection, row: &Locked) -> Told {
        match row.status {
            SequenceStatus::Held | SequenceStatus::Stopped => {
                // What is only late is posted again all the same: a person says so.
                let again = row.reason.filter(|reason| *reason != Reason::Deadline);
                self.post_again(connection, row, row.head, again).await
            }
            _ => Ok(Err(WrongState::NotHeld)),
        }
    }

    async fn cancel_message(
        &self,
        connection: &mut PgConnection,
        row: &Locked,
        message: &Message,
        status: MessageStatus,
    ) -> Told {
        match status {
            MessageStatus::Queued => {}
            // Shown so, as nothing of a stopped sequence is posted; somebody may retry that.
            MessageStatus::Cancelled
                if message.cancelled_at.is_none()
                    && row.status == SequenceStatus::Stopped
                    && !row.single => {}
            MessageStatus::Cancelled => return Ok(Ok(Vec::new())),
            _ => return Ok(Err(WrongState::AlreadySent)),
        }
        self.mark_cancelled(connection, message.id).await?;
        if row.single {
            self.end(connection, row.id, SequenceStatus::Cancelled, row.head)
                .await?;
        } else if message.is_head() && row.status == SequenceStatus::Running {
            self.decide_now(connection, row.id).await?;
        }
        let fact = OwnFact::of_message(message.id, event::MESSAGE_CANCELLED, "api");
        Ok(Ok(vec![fact]))
    }

    async fn retry_message(
        &self,
        connection: &mut PgConnection,
        row: &Locked,
        message: &Message,
        status: MessageStatus,
    ) -> Told {
        let waits = match row.status {
            SequenceStatus::Held | SequenceStatus::Stopped => message.is_head(),
            // The gate of a lone message is passed before it can fail on its way.
            SequenceStatus::Completed => row.single,
            // Failed, and its claimer has not looked yet.
            SequenceStatus::Running => message.is_head() && row.work == SequenceWork::Waiting,
            _ => false,
        };
        let again = match status {
            MessageStatus::Failed => Some(Reason::Failure),
            MessageStatus::Unknown => Some(Reason::Unknown),
            _ => None,
        };
        match &message.step {
            Some(step) if waits && again.is_some() => {
                self.post_again(connection, row, step.position, again).await
            }
            _ => Ok(Err(WrongState::NotFailed)),
        }
    }

    async fn append(&self, connection: &mut PgConnection, row: &Locked, steps: &[NewStep]) -> Told {
        if row.campaign.is_some() {
            return Ok(Err(WrongState::OfCampaign));
        }
        if row.is_over() && row.status != SequenceStatus::Completed {
            return Ok(Err(WrongState::Ended));
        }
        let added = i32::try_from(steps.len()).unwrap_or(i32::MAX);
        if added > MOST_MESSAGES - row.length {
            return Ok(Err(WrongState::TooLong));
        }
        let first = row.length + 1;
        self.insert_steps(connection, row.id, &row.recipient, first, steps)
            .await?;
        self.lengthen(connection, row.id, added).await?;
        if row.head == first {
            let delay = steps
                .first()
                .map_or(std::time::Duration::ZERO, |step| step.delay);
            let due_at = self.clock.now() + delay;
            self.make_ready(connection, row.id, first, due_at, None)
                .await?;
        }
        let data = json!({"position": first, "messages": added});
        Ok(Ok(vec![row.fact(event::SEQUENCE_APPENDED, data)]))
    }

    async fn go_on_behind(&self, connection: &mut PgConnection, row: &Locked) -> Told {
        let next = row.head + 1;
        let data = json!({"position": next, "from": "held"});
        let mut facts = vec![row.fact(event::SEQUENCE_RESUMED, data)];
        if next > row.length {
            self.end(connection, row.id, SequenceStatus::Completed, next)
                .await?;
            facts.push(row.fact(event::SEQUENCE_COMPLETED, json!({})));
        } else {
            let (_, delay) = self.message_at(connection, row.id, next).await?;
            let due_at = self.clock.now() + delay;
            self.make_ready(connection, row.id, next, due_at, None)
                .await?;
        }
        Ok(Ok(facts))
    }

    async fn post_again(
        &self,
        connection: &mut PgConnection,
        row: &Locked,
        position: i32,
        again: Option<Reason>,
    ) -> Told {
        if let Err(refused) = self.reopen_campaign(connection, row.campaign).await? {
            return Ok(Err(refused));
        }
        let now = self.clock.now();
        self.make_ready(connection, row.id, position, now, again)
            .await?;
        let (message, _) = self.message_at(connection, row.id, position).await?;
        // One of a campaign that nobody has taken up is not there yet.
        let message = message.map(|id| OwnFact::of_message(id, event::MESSAGE_RETRYING, "api"));
        let mut facts = Vec::from_iter(message);
        if !row.single {
            let data = json!({"position": position, "from": row.status.as_str()});
            facts.push(row.fact(event::SEQUENCE_RESUMED, data));
        }
        Ok(Ok(facts))
    }
}

pub(super) async fn read_message(
    connection: &mut PgConnection,
    id: MessageId,
) -> Result<Option<Message>, StoreError> {
    let found = read_messages(connection, &[id]).await?;
    Ok(found.into_iter().next().map(|(_, message)| message))
}

pub(super) async fn lock(
    connection: &mut PgConnection,
    id: SequenceId,
) -> Result<Option<Locked>, StoreError> {
    let row = sqlx::query!(
        r#"
        -- lock_sequence
        SELECT recipient, single, status, reason, work, head, length, campaign
        FROM sequences WHERE sender = $1 AND id = $2
        FOR UPDATE
        "#,
        id.sender.0,
        id.uuid,
    )
    .fetch_optional(connection)
    .await?;
    let corrupt = || StoreError::Corrupt(format!("sequences: {id}"));
    row.map(|row| {
        Ok(Locked {
            id,
            recipient: row.recipient,
            single: row.single,
            status: SequenceStatus::parse(&row.status).ok_or_else(corrupt)?,
            reason: row.reason.as_deref().and_then(Reason::parse),
            work: SequenceWork::parse(&row.work).ok_or_else(corrupt)?,
            head: row.head,
            length: row.length,
            campaign: campaign_of(id.sender, row.campaign),
        })
    })
    .transpose()
}
