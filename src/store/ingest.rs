//! The one statement that commits webhooks: journal, evidence, facts, and the sequences that
//! are due because of them. One round trip a batch, because round trips bound the throughput.
//!
//! Dedupe is the key of `facts`; evidence is joined under the attempt's row lock. All attempts that
//! exist are locked before the first fact is written; two batches may still wait for each other
//! (one names an attempt by our id and the other by the provider's), which Postgres finds and
//! `again!` mends. A batch may be run any number of times, here or by another instance.

use std::borrow::Cow;

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::adopt::TAKEN;
use super::dropped::closing;
use super::journal::{Block, ProblemRow};
use super::last_words::WordSaid;
use super::recipients::{Heard, MarketingSaid, NameSaid};
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::evidence::Evidence;
use crate::model::ids::{AttemptId, MessageId, SenderId};

pub use super::template_said::{TemplateSaid, TemplateStatusSaid, UntimedSaid};

/// Batches that are written at the same time, each in a session of its own.
pub const WRITERS: usize = 2;

/// A writer's own connection, made when it is needed: neither waits a webhook for a connection
/// that something else holds, nor is it asked first whether it is there.
#[derive(Debug, Default)]
pub struct Session(Option<PgConnection>);

/// Rows of one batch, ready to be written.
#[derive(Debug, Default)]
pub struct Batch<'a> {
    /// The webhooks as they came; `None` where an earlier batch has them.
    pub journal: Option<Block>,
    /// The webhooks of which not all was understood.
    pub problems: Vec<ProblemRow>,
    /// What statuses say, one value an attempt, in the order in which rows are to be locked.
    pub attempts: Vec<AttemptSaid<'a>>,
    /// Every fact.
    pub facts: Vec<FactRow<'a>>,
    /// What was said of templates, one value each.
    pub templates: Vec<TemplateSaid>,
    /// What was said of templates without a time.
    pub untimed: Vec<UntimedSaid>,
    /// What was said of accounts and numbers, one value a topic.
    pub words: Vec<WordSaid>,
    /// By which names users are known, one value a name.
    pub names: Vec<NameSaid>,
    /// The same, said along the way: not written with the rest.
    pub heard: Vec<NameSaid>,
    /// What users want, one value a name.
    pub marketing: Vec<MarketingSaid>,
    /// Which users wrote or said what they want, one value a name.
    pub users: Vec<Heard>,
}

impl Batch<'_> {
    /// Whether one statement says it all, as nearly always.
    fn is_plain(&self) -> bool {
        self.problems.is_empty()
            && self.templates.is_empty()
            && self.untimed.is_empty()
            && self.words.is_empty()
            && self.names.is_empty()
            && self.marketing.is_empty()
    }

    /// Whether it may have opened what was closed to many sequences.
    pub fn may_open(&self) -> bool {
        !self.templates.is_empty() || !self.untimed.is_empty() || !self.words.is_empty()
    }
}

/// What the statuses of a batch say of one attempt.
#[derive(Debug)]
pub struct AttemptSaid<'a> {
    /// Whose webhook it was.
    pub sender: SenderId,
    /// Our own ids, where the provider gave them back.
    pub ours: Option<(Uuid, i16)>,
    /// The provider's id.
    pub provider_message_id: &'a str,
    /// To whom, as the provider says.
    pub recipient: Option<&'a str>,
    /// The id of the external message, should nobody know this attempt.
    pub stranger: Uuid,
    /// What was said.
    pub evidence: Evidence,
}

/// A fact's row.
#[derive(Debug)]
#[allow(missing_docs, reason = "the columns of facts")]
pub struct FactRow<'a> {
    /// Whose stream.
    pub stream: i32,
    /// Position in [`Batch::attempts`] of the attempt it is about, if it is about one.
    pub attempt: Option<usize>,
    /// What else it is about; nil where nothing.
    pub subject: Uuid,
    pub id: Uuid,
    pub r#type: Cow<'static, str>,
    pub key: &'a str,
    pub occurred_at: Option<Timestamp>,
    pub received_at: Timestamp,
    pub webhook: Uuid,
    pub item: i16,
    /// JSON.
    pub data: &'a str,
}

/// What a batch has done.
struct Done {
    /// Whose sequences are due.
    due: Vec<SenderId>,
    /// Whether some of it was said before: as now, or otherwise.
    repeats: bool,
}

/// The columns of `said`, as the statement takes them.
#[derive(Default)]
struct Said<'a> {
    sender: Vec<i32>,
    message: Vec<Option<Uuid>>,
    n: Vec<Option<i16>>,
    provider_message_id: Vec<&'a str>,
    recipient: Vec<Option<&'a str>>,
    stranger: Vec<Uuid>,
    sent_at: Vec<Option<Timestamp>>,
    delivered_at: Vec<Option<Timestamp>>,
    read_at: Vec<Option<Timestamp>>,
    played_at: Vec<Option<Timestamp>>,
    failed_at: Vec<Option<Timestamp>>,
    failed_code: Vec<Option<i64>>,
}

impl<'a> Said<'a> {
    fn of(attempts: &[AttemptSaid<'a>]) -> Self {
        let mut said = Self::default();
        for attempt in attempts {
            let evidence = &attempt.evidence;
            said.sender.push(attempt.sender.0);
            said.message.push(attempt.ours.map(|(message, _)| message));
            said.n.push(attempt.ours.map(|(_, n)| n));
            said.provider_message_id.push(attempt.provider_message_id);
            said.recipient.push(attempt.recipient);
            said.stranger.push(attempt.stranger);
            said.sent_at.push(evidence.sent_at);
            said.delivered_at.push(evidence.delivered_at);
            said.read_at.push(evidence.read_at);
            said.played_at.push(evidence.played_at);
            said.failed_at.push(evidence.failed.map(|failed| failed.at));
            said.failed_code
                .push(evidence.failed.map(|failed| failed.code));
        }
        said
    }
}

impl Store {
    /// Commits a batch. Returns the senders that have sequences due because of it.
    pub async fn ingest(
        &self,
        session: &mut Session,
        batch: &Batch<'_>,
    ) -> Result<Vec<SenderId>, StoreError> {
        // Taken: whoever drops this future drops with it a session on which an answer may be due.
        let mut open = match session.0.take() {
            Some(open) => open,
            None => self.connect_writer().await?,
        };
        let due = self.ingest_adopting(&mut open, batch).await;
        // After any other error a session may be in any state.
        if due.as_ref().map_or_else(StoreError::is_refusal, |_| true) {
            session.0 = Some(open);
        }
        due
    }

    async fn connect_writer(&self) -> Result<PgConnection, StoreError> {
        let connecting = PgConnection::connect_with(&self.pools.options);
        tokio::time::timeout(self.pools.connect_timeout, connecting)
            .await
            .map_err(|_| StoreError::NoAnswer("connect_writer"))?
            .map_err(StoreError::from)
    }

    async fn ingest_adopting(
        &self,
        session: &mut PgConnection,
        batch: &Batch<'_>,
    ) -> Result<Vec<SenderId>, StoreError> {
        /// Each run meets at most one more race; this many in a row are none, but an attempt that
        /// the batch names twice, which cutting the batch mends.
        const TRIES: usize = 4;
        let mut tries = 1;
        loop {
            match self.ingest_again(session, batch).await {
                // Either another instance met the same stranger a moment ago, which the next run
                // finds; or a stranger holds the provider id of an attempt that says it is ours.
                Err(error) if tries < TRIES && error.is_on(TAKEN) => {
                    self.adopt_strangers(&batch.attempts).await?;
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    async fn ingest_again(
        &self,
        session: &mut PgConnection,
        batch: &Batch<'_>,
    ) -> Result<Vec<SenderId>, StoreError> {
        let mut done = again!(self, "ingest", {
            if batch.is_plain() {
                return self.ingest_rows(session, batch).await;
            }
            let mut transaction = session.begin().await?;
            let now = self.clock.now();
            let untimed = self.hear_untimed(&mut transaction, batch).await?;
            let templates = TemplateSaid::join_all(batch.templates.iter().chain(untimed));
            if !templates.is_empty() {
                self.join_templates(&mut transaction, &templates, now)
                    .await?;
            }
            self.join_words(&mut transaction, &batch.words).await?;
            self.join_recipients(&mut transaction, &batch.names, &batch.marketing)
                .await?;
            self.insert_problems(&mut transaction, &batch.problems)
                .await?;
            let done = self.ingest_rows(&mut transaction, batch).await?;
            transaction.commit().await?;
            Ok(done)
        })?;
        if done.repeats {
            // What it says stands already. If this is cut off nobody gets a 200, and it is said
            // again.
            again!(self, "join_copies", {
                let mut transaction = session.begin().await?;
                self.join_copies(&mut transaction, batch).await?;
                Ok(transaction.commit().await?)
            })?;
        }
        self.close_dropped(session, &closing(&batch.attempts))
            .await?;
        if !batch.users.is_empty() {
            let due = again!(self, "hear_users", {
                self.hear_users(session, &batch.users).await
            })?;
            done.due.extend(due);
        }
        Ok(done.due)
    }

    /// Adopts the strangers that hold the provider id of an attempt that is ours.
    async fn adopt_strangers(&self, attempts: &[AttemptSaid<'_>]) -> Result<(), StoreError> {
        let said = Said::of(attempts);
        let held = again!(self, "strangers", {
            let held = sqlx::query!(
                r#"
                -- strangers
                SELECT x.sender AS "sender!", x.message AS "message!", x.n AS "n!",
                       x.provider_message_id AS "provider_message_id!"
                FROM unnest($1::integer[], $2::uuid[], $3::smallint[], $4::text[])
                    AS x (sender, message, n, provider_message_id)
                JOIN attempts a ON a.sender = x.sender AND a.message = x.message AND a.n = x.n
                JOIN attempts s ON s.provider_message_id = x.provider_message_id
                    AND s.sender = x.sender
                WHERE a.provider_message_id IS NULL AND s.sequence IS NULL
                "#,
                &said.sender,
                &said.message as &[Option<Uuid>],
                &said.n as &[Option<i16>],
                &said.provider_message_id as &[&str],
            );
            Ok(held.fetch_all(&mut *self.pool.acquire().await?).await?)
        })?;
        for row in held {
            let message = MessageId {
                sender: SenderId(row.sender),
                uuid: row.message,
            };
            let ours = AttemptId { message, n: row.n };
            again!(self, "adopt", {
                let mut transaction = self.begin().await?;
                self.adopt(&mut transaction, ours, &row.provider_message_id)
                    .await?;
                Ok(transaction.commit().await?)
            })?;
        }
        Ok(())
    }

    #[allow(
        clippy::too_many_lines,
        reason = "one statement, and the columns it takes"
    )]
    async fn ingest_rows(
        &self,
        session: &mut PgConnection,
        batch: &Batch<'_>,
    ) -> Result<Done, StoreError> {
        let said = Said::of(&batch.attempts);
        let journal = batch.journal.as_ref();
        let facts = &batch.facts;
        let done = sqlx::query!(
            r#"
            -- ingest
            WITH said AS MATERIALIZED (
                SELECT * FROM unnest(
                    $1::integer[], $2::uuid[], $3::smallint[], $4::text[], $5::text[],
                    $6::uuid[], $7::timestamptz[], $8::timestamptz[], $9::timestamptz[],
                    $10::timestamptz[], $11::timestamptz[], $12::bigint[]
                ) WITH ORDINALITY AS x (
                    sender, message, n, provider_message_id, recipient, stranger,
                    sent_at, delivered_at, read_at, played_at, failed_at, failed_code, entry
                )
            ),
            -- The join of model::evidence: LEAST ignores NULL. First by our own id, where the
            -- provider gave it back. The update is the lock too: who waited for it sees the row as
            -- it is then. What was said before is written again and costs no more than to ask.
            ours AS (
                UPDATE attempts a
                SET sent_at = LEAST(a.sent_at, x.sent_at),
                    delivered_at = LEAST(a.delivered_at, x.delivered_at),
                    read_at = LEAST(a.read_at, x.read_at),
                    played_at = LEAST(a.played_at, x.played_at),
                    failed_at = LEAST(a.failed_at, x.failed_at),
                    failed_code = CASE
                        WHEN x.failed_at IS NULL OR x.failed_at > a.failed_at THEN a.failed_code
                        WHEN x.failed_at = a.failed_at THEN LEAST(a.failed_code, x.failed_code)
                        ELSE x.failed_code
                    END,
                    provider_message_id = coalesce(a.provider_message_id, x.provider_message_id)
                FROM said x
                WHERE a.sender = x.sender AND a.message = x.message AND a.n = x.n
                RETURNING x.entry, a.sender, a.message, a.n, a.sequence, a.position,
                    -- What was said just now is still here only if it was news.
                    (a.watch <= 1 AND a.sent_at = x.sent_at)
                        OR (a.watch <= 2 AND a.delivered_at = x.delivered_at)
                        OR (a.watch <= 3 AND a.read_at = x.read_at)
                        OR (a.watch <= 4 AND a.played_at = x.played_at)
                        OR (a.watch IS NOT NULL AND a.failed_at = x.failed_at) AS heard
            ),
            -- The rest by the provider's id. Each is looked up by itself (OFFSET 0): a plan that was
            -- kept from when there were few attempts would read them all.
            others AS MATERIALIZED (
                SELECT s.*, a.message AS found, a.n AS found_n
                FROM said s
                CROSS JOIN LATERAL (
                    SELECT a.message, a.n FROM attempts a
                    WHERE a.provider_message_id = s.provider_message_id AND a.sender = s.sender
                    OFFSET 0
                ) a
                WHERE NOT EXISTS (SELECT FROM ours o WHERE o.entry = s.entry)
            ),
            theirs AS (
                UPDATE attempts a
                SET sent_at = LEAST(a.sent_at, x.sent_at),
                    delivered_at = LEAST(a.delivered_at, x.delivered_at),
                    read_at = LEAST(a.read_at, x.read_at),
                    played_at = LEAST(a.played_at, x.played_at),
                    failed_at = LEAST(a.failed_at, x.failed_at),
                    failed_code = CASE
                        WHEN x.failed_at IS NULL OR x.failed_at > a.failed_at THEN a.failed_code
                        WHEN x.failed_at = a.failed_at THEN LEAST(a.failed_code, x.failed_code)
                        ELSE x.failed_code
                    END
                FROM others x
                WHERE a.sender = x.sender AND a.message = x.found AND a.n = x.found_n
                    AND a.provider_message_id = x.provider_message_id
                RETURNING x.entry, a.sender, a.message, a.n, a.sequence, a.position,
                    (a.watch <= 1 AND a.sent_at = x.sent_at)
                        OR (a.watch <= 2 AND a.delivered_at = x.delivered_at)
                        OR (a.watch <= 3 AND a.read_at = x.read_at)
                        OR (a.watch <= 4 AND a.played_at = x.played_at)
                        OR (a.watch IS NOT NULL AND a.failed_at = x.failed_at) AS heard
            ),
            known AS MATERIALIZED (SELECT * FROM ours UNION ALL SELECT * FROM theirs),
            strangers AS MATERIALIZED (
                SELECT * FROM said s
                WHERE NOT EXISTS (SELECT FROM known k WHERE k.entry = s.entry)
            ),
            stranger_messages AS (
                INSERT INTO messages (sender, id, origin, recipient, created_at)
                SELECT sender, stranger, 'external', recipient, $13 FROM strangers
            ),
            stranger_attempts AS (
                INSERT INTO attempts (sender, message, n, provider_message_id, sent_at,
                                      delivered_at, read_at, played_at, failed_at, failed_code)
                SELECT sender, stranger, 1, provider_message_id, sent_at,
                       delivered_at, read_at, played_at, failed_at, failed_code
                FROM strangers
                -- Two batches that meet the same strangers must not wait for each other.
                ORDER BY sender, provider_message_id
            ),
            journalled AS (
                INSERT INTO journal (id, webhooks, connections, directory, bodies)
                SELECT $14::uuid, $15::smallint, $16::uuid[], $17::bytea, $18::bytea
                WHERE $14 IS NOT NULL
            ),
            facts_written AS (
                INSERT INTO facts (stream, n, item, id, subject, webhook, occurred_at,
                                   received_at, type, key, source, data)
                SELECT y.stream, CASE WHEN y.entry IS NULL THEN 0 ELSE coalesce(k.n, 1) END,
                       y.item, y.id, coalesce(k.message, y.subject), y.webhook, y.occurred_at,
                       y.received_at, y.type, y.key, 'webhook', y.data::json
                FROM unnest($19::integer[], $20::bigint[], $21::uuid[], $22::uuid[],
                            $23::text[], $24::text[], $25::timestamptz[], $26::timestamptz[],
                            $27::uuid[], $28::smallint[], $29::text[])
                    AS y (stream, entry, subject, id, type, key, occurred_at, received_at,
                          webhook, item, data)
                -- All attempts are locked before the first of these is written: who has written a
                -- fact and then waits for a lock would be waited for by the lock's owner.
                LEFT JOIN known k ON k.entry = y.entry
                ORDER BY y.stream, y.type, y.key
                ON CONFLICT (stream, subject, n, type, key) DO NOTHING
                RETURNING 1
            ),
            -- Not the successor, the sequence: an append that commits meanwhile is not missed.
            -- A paused one too: this waits for whoever is resuming it, and then marks it.
            woken AS (
                UPDATE sequences q
                SET due_at = LEAST(q.due_at, $13),
                    lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
                FROM known k
                WHERE k.heard AND q.sender = k.sender AND q.id = k.sequence
                    AND q.head = k.position AND q.work <> 'done'
                RETURNING q.sender
            )
            SELECT ARRAY(SELECT DISTINCT sender FROM woken ORDER BY sender) AS "due!",
                   (SELECT count(*) FROM facts_written) AS "written!"
            "#,
            &said.sender,
            &said.message as &[Option<Uuid>],
            &said.n as &[Option<i16>],
            &said.provider_message_id as &[&str],
            &said.recipient as &[Option<&str>],
            &said.stranger,
            &said.sent_at as &[Option<Timestamp>],
            &said.delivered_at as &[Option<Timestamp>],
            &said.read_at as &[Option<Timestamp>],
            &said.played_at as &[Option<Timestamp>],
            &said.failed_at as &[Option<Timestamp>],
            &said.failed_code as &[Option<i64>],
            self.clock.now(),
            journal.map(|block| block.id),
            journal.map(|block| block.webhooks),
            journal.map(|block| block.connections.as_slice()),
            journal.map(|block| block.directory.as_slice()),
            journal.map(|block| block.bodies.as_slice()),
            &facts.iter().map(|row| row.stream).collect::<Vec<_>>(),
            // Ordinality counts from 1.
            &facts
                .iter()
                .map(|row| row.attempt.and_then(|at| i64::try_from(at + 1).ok()))
                .collect::<Vec<_>>() as &[Option<i64>],
            &facts.iter().map(|row| row.subject).collect::<Vec<_>>(),
            &facts.iter().map(|row| row.id).collect::<Vec<_>>(),
            &facts
                .iter()
                .map(|row| row.r#type.as_ref())
                .collect::<Vec<_>>() as &[&str],
            &facts.iter().map(|row| row.key).collect::<Vec<_>>() as &[&str],
            &facts.iter().map(|row| row.occurred_at).collect::<Vec<_>>() as &[Option<Timestamp>],
            &facts.iter().map(|row| row.received_at).collect::<Vec<_>>(),
            &facts.iter().map(|row| row.webhook).collect::<Vec<_>>(),
            &facts.iter().map(|row| row.item).collect::<Vec<_>>(),
            &facts.iter().map(|row| row.data).collect::<Vec<_>>() as &[&str],
        )
        .fetch_one(&mut *session)
        .await?;
        Ok(Done {
            due: done.due.into_iter().map(SenderId).collect(),
            repeats: usize::try_from(done.written).is_ok_and(|written| written < facts.len()),
        })
    }
}
