//! Answers that say that the provider took the message: the usual ones, so as many as have come are
//! written in one statement. Like every answer they may come late (`answers.rs`).

use std::collections::BTreeMap;

use serde_json::json;
use uuid::Uuid;

use super::adopt::TAKEN;
use super::claim::Claim;
use super::facts::OwnFact;
use super::leases::interval;
use super::recipients::NameSaid;
use super::{Store, StoreError, again};
use crate::model::evidence::Rank;
use crate::model::limits::Lifetimes;
use crate::model::sequence::GateStatus;
use crate::model::{Timestamp, event};

/// The provider took the message.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// `wamid…`
    pub provider_message_id: String,
    /// The recipient's number as the provider spells it.
    pub wa_id: Option<String>,
    /// `accepted`, `held`, `paused`: the attempt's outcome.
    pub outcome: &'static str,
}

/// The outcome of an attempt that the provider keeps back for now.
const HELD: &str = "held";

/// What came of one claim.
pub type Acceptance<'a> = (&'a Claim, &'a Accepted);

impl Store {
    /// The provider answered with a message id. Returns whether the sequence is due because of it.
    pub async fn record_accepted(
        &self,
        claim: &Claim,
        answer: &Accepted,
        lifetimes: Lifetimes,
    ) -> Result<bool, StoreError> {
        let one = [(claim, answer)];
        let due = match self.record_acceptances(&one, lifetimes).await {
            // A webhook without our id was here first, and made an external attempt of it.
            Err(error) if error.is_on(TAKEN) => {
                let due = again!(self, "adopt_accepted", {
                    let mut transaction = self.begin().await?;
                    self.adopt(&mut transaction, claim.attempt, &answer.provider_message_id)
                        .await?;
                    let due = self
                        .write_acceptances(&mut transaction, &one, lifetimes)
                        .await?;
                    transaction.commit().await?;
                    Ok(due)
                })?;
                self.learn_names(&self.names(&one)).await?;
                // What it failed with came before it was known to be ours.
                let sender = claim.attempt.message.sender;
                let mut connection = self.pool.acquire().await?;
                let failed = [(sender, answer.provider_message_id.as_str())];
                self.close_dropped(&mut connection, &failed).await?;
                due
            }
            result => result?,
        };
        Ok(due == [true])
    }

    /// The same of several answers, of which no two may be of one sequence, in the order of their
    /// attempts: in that order every writer locks them. Of each: whether its sequence is due
    /// because of it. Where it fails, nothing was written, or all but how recipients are spelt,
    /// which is a commit of its own. Each may be recorded again: what is written is written once.
    pub async fn record_acceptances(
        &self,
        answers: &[Acceptance<'_>],
        lifetimes: Lifetimes,
    ) -> Result<Vec<bool>, StoreError> {
        let due = again!(self, "record_acceptances", {
            let mut connection = self.pool.acquire().await?;
            self.write_acceptances(&mut connection, answers, lifetimes)
                .await
        })?;
        // Behind the commit: ingest locks users before attempts.
        self.learn_names(&self.names(answers)).await?;
        Ok(due)
    }

    /// An answer is evidence whoever brings it; only the sequence whose claim it answers goes on
    /// from it, and for one that has gone on the claimer has to look.
    async fn write_acceptances(
        &self,
        connection: &mut sqlx::PgConnection,
        answers: &[Acceptance<'_>],
        lifetimes: Lifetimes,
    ) -> Result<Vec<bool>, StoreError> {
        let now = self.clock.now();
        let columns = Columns::of(answers, now);
        let facts: Vec<_> = answers.iter().map(fact).collect();
        let facts = self.columns(&facts);
        let due = sqlx::query!(
            r#"
            -- record_acceptances
            WITH x AS (
                SELECT * FROM unnest($2::integer[], $3::uuid[], $4::smallint[], $5::bigint[],
                                     $6::text[], $7::text[], $8::smallint[], $9::timestamptz[],
                                     $10::boolean[])
                    WITH ORDINALITY AS x (sender, message, n, epoch, provider_message_id, outcome,
                                          watch, deadline_at, opens, place)
            ),
            a AS (
                UPDATE attempts a
                SET provider_message_id = coalesce(a.provider_message_id, x.provider_message_id),
                    -- No function of the schema: one with a query in it is planned anew each time.
                    expires_at = coalesce(a.expires_at, $1::timestamptz + CASE WHEN EXISTS (
                        SELECT FROM messages m
                        JOIN senders s ON s.id = m.sender
                        JOIN templates t ON t.connection = s.connection
                            AND t.name = m.template_name AND t.language = m.template_language
                        WHERE m.sender = a.sender AND m.id = a.message
                            AND t.category = 'AUTHENTICATION'
                            AND (t.waba_id = '' OR s.waba_id IS NULL OR t.waba_id = s.waba_id)
                    ) THEN $17::interval ELSE $16::interval END),
                    accepted_at = LEAST(a.accepted_at, $1),
                    held_at = CASE WHEN x.outcome = 'held' THEN LEAST(a.held_at, $1)
                        ELSE a.held_at END,
                    outcome = x.outcome, refusal = NULL, watch = x.watch
                FROM x
                WHERE a.sender = x.sender AND a.message = x.message AND a.n = x.n
                RETURNING x.*, a.sequence, a.position,
                    -- What the gate waits for came first, or acceptance is all it asks: the claimer
                    -- has to look.
                    x.opens OR a.failed_at IS NOT NULL
                        OR num_nonnulls(CASE WHEN x.watch <= 1 THEN a.sent_at END,
                                        CASE WHEN x.watch <= 2 THEN a.delivered_at END,
                                        CASE WHEN x.watch <= 3 THEN a.read_at END,
                                        a.played_at) > 0 AS look
            ),
            q AS (
                UPDATE sequences q
                SET claim_epoch = CASE WHEN q.work = 'claimed' AND q.claim_epoch = a.epoch AND q.attempt = a.n
                        THEN NULL ELSE q.claim_epoch END,
                    claim_until = CASE WHEN q.work = 'claimed' AND q.claim_epoch = a.epoch AND q.attempt = a.n
                        THEN NULL ELSE q.claim_until END,
                    deadline_at = CASE WHEN q.work = 'claimed' AND q.claim_epoch = a.epoch AND q.attempt = a.n
                        THEN a.deadline_at ELSE q.deadline_at END,
                    due_at = CASE WHEN q.work = 'claimed' AND q.claim_epoch = a.epoch AND q.attempt = a.n
                            AND NOT a.look AND q.due_at IS NULL
                        THEN a.deadline_at ELSE LEAST(q.due_at, $1) END,
                    work = CASE WHEN q.work = 'claimed' AND q.claim_epoch = a.epoch AND q.attempt = a.n
                        THEN 'waiting' ELSE q.work END,
                    reason = CASE WHEN q.work = 'claimed' AND q.claim_epoch = a.epoch AND q.attempt = a.n
                        THEN NULL ELSE q.reason END,
                    lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
                FROM a
                WHERE q.sender = a.sender AND q.id = a.sequence AND q.head = a.position
                    AND q.work <> 'done'
                RETURNING a.place, q.due_at <= $1 AS due
            ),
            told AS (
                INSERT INTO facts
                    (stream, subject, n, type, source, data, id, key, occurred_at, received_at)
                SELECT f.*, $1::timestamptz, $1::timestamptz
                FROM unnest($2::integer[], $3::uuid[], $4::smallint[], $11::text[], $12::text[],
                            $13::json[], $14::uuid[], $15::text[])
                    AS f (stream, subject, n, type, source, data, id, key)
                ON CONFLICT (stream, subject, n, type, key) DO NOTHING
            )
            SELECT place AS "place!" FROM q WHERE due
            "#,
            now,
            &columns.senders,
            &columns.messages,
            &columns.ns,
            &columns.epochs,
            &columns.provider_message_ids as &[&str],
            &columns.outcomes as &[&str],
            &columns.watches,
            &columns.deadlines as &[Option<Timestamp>],
            &columns.open,
            &facts.types as &[&str],
            &facts.sources as &[&str],
            &facts.data,
            &facts.ids,
            &facts.keys,
            interval(lifetimes.others),
            interval(lifetimes.authentication),
        )
        .fetch_all(&mut *connection)
        .await?;
        let is_due = |n: usize| {
            due.iter()
                .any(|row| usize::try_from(row.place - 1) == Ok(n))
        };
        Ok((0..answers.len()).map(is_due).collect())
    }

    /// What answers say of how recipients are spelt: nearly always as they were given.
    fn names(&self, answers: &[Acceptance<'_>]) -> Vec<NameSaid> {
        let now = self.clock.now();
        let names = answers.iter().filter_map(|(claim, answer)| {
            let sender = claim.attempt.message.sender;
            NameSaid::of_answer(sender, now, &claim.recipient, answer.wa_id.as_deref()?)
        });
        let by_alias = names.map(|said| ((said.sender, said.alias.alias.clone()), said));
        by_alias.collect::<BTreeMap<_, _>>().into_values().collect()
    }
}

/// Answers as the arrays of their columns.
#[derive(Debug, Default)]
struct Columns<'a> {
    senders: Vec<i32>,
    messages: Vec<Uuid>,
    ns: Vec<i16>,
    epochs: Vec<i64>,
    provider_message_ids: Vec<&'a str>,
    outcomes: Vec<&'static str>,
    /// What the sequence must hear of: while held, anything that ends it.
    watches: Vec<i16>,
    /// When the gate is decided without its status; it stands still while held.
    deadlines: Vec<Option<Timestamp>>,
    /// Whether acceptance is all that the gate asks.
    open: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn of(answers: &[Acceptance<'a>], now: Timestamp) -> Self {
        let mut columns = Self::default();
        for (claim, answer) in answers {
            let held = answer.outcome == HELD;
            let gate = claim.gate;
            let watch = if held { Rank::Sent } else { gate.status.rank() };
            columns.senders.push(claim.attempt.message.sender.0);
            columns.messages.push(claim.attempt.message.uuid);
            columns.ns.push(claim.attempt.n);
            columns.epochs.push(claim.epoch);
            columns
                .provider_message_ids
                .push(&answer.provider_message_id);
            columns.outcomes.push(answer.outcome);
            columns.watches.push(watch as i16);
            columns.deadlines.push((!held).then(|| now + gate.deadline));
            columns.open.push(gate.status == GateStatus::Accepted);
        }
        columns
    }
}

fn fact((claim, answer): &Acceptance<'_>) -> OwnFact {
    let r#type = match answer.outcome {
        HELD => event::MESSAGE_HELD,
        _ => event::MESSAGE_ACCEPTED,
    };
    OwnFact::of_claim(claim, r#type, "answer").with(json!({
        "provider_message_id": answer.provider_message_id,
        "recipient": answer.wa_id,
    }))
}
