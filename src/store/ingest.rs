//! The one statement that commits webhooks: journal, evidence, facts, and the sequences that
//! are due because of them. One round trip a batch, because round trips bound the throughput.
//!
//! Dedupe is the key of `facts`; evidence is joined under the attempt's row lock, taken in key
//! order. A batch may be run any number of times, here or by another instance.

use serde_json::{Map, Value};
use sqlx::types::Json;
use uuid::Uuid;

use super::adopt::TAKEN;
use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::evidence::Evidence;
use crate::model::ids::{AttemptId, ConnectionId, MessageId, SenderId, TemplateId};

/// Rows of one batch, ready to be written.
#[derive(Debug, Default)]
pub struct Batch {
    /// The webhooks as they came.
    pub journal: Vec<JournalRow>,
    /// What statuses say, one value a provider id.
    pub attempts: Vec<AttemptSaid>,
    /// Every fact.
    pub facts: Vec<FactRow>,
    /// What was said of templates, one value each.
    pub templates: Vec<TemplateSaid>,
}

/// A webhook's row.
#[derive(Debug)]
#[allow(missing_docs, reason = "the columns of journal")]
pub struct JournalRow {
    pub id: Uuid,
    pub connection: ConnectionId,
    pub received_at: Timestamp,
    pub facts: i32,
    pub state: &'static str,
    pub reason: Option<String>,
    pub headers: Map<String, Value>,
    pub body: axum::body::Bytes,
}

/// What the statuses of a batch say of one attempt.
#[derive(Debug)]
pub struct AttemptSaid {
    /// Whose webhook it was.
    pub sender: SenderId,
    /// Our own ids, where the provider gave them back.
    pub ours: Option<(Uuid, i16)>,
    /// The provider's id.
    pub provider_message_id: String,
    /// To whom, as the provider says.
    pub recipient: Option<String>,
    /// The id of the external message, should nobody know this attempt.
    pub stranger: Uuid,
    /// What was said.
    pub evidence: Evidence,
}

/// A fact's row.
#[derive(Debug)]
#[allow(missing_docs, reason = "the columns of facts")]
pub struct FactRow {
    /// Whose stream.
    pub stream: i32,
    /// Position in [`Batch::attempts`] of the attempt it is about, if it is about one.
    pub attempt: Option<usize>,
    /// What else it is about; nil where nothing.
    pub subject: Uuid,
    pub id: Uuid,
    pub r#type: String,
    pub key: String,
    pub occurred_at: Option<Timestamp>,
    pub received_at: Timestamp,
    pub webhook: Uuid,
    pub item: i16,
    pub data: Map<String, Value>,
}

/// What a batch says of one template.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of templates")]
pub struct TemplateSaid {
    pub id: TemplateId,
    pub connection: ConnectionId,
    pub waba_id: String,
    pub name: String,
    pub language: String,
    pub provider_template_id: Option<String>,
    pub category: Option<String>,
    pub status: Option<TemplateStatusSaid>,
    /// The score, and when it was said.
    pub quality: Option<(String, Timestamp)>,
}

/// The latest word on a template's status.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of templates")]
pub struct TemplateStatusSaid {
    pub health: crate::model::template::Health,
    pub reason: Option<String>,
    pub pause_title: Option<String>,
}

/// The columns of `said`, as the statement takes them.
#[derive(Default)]
struct Said {
    sender: Vec<i32>,
    message: Vec<Option<Uuid>>,
    n: Vec<Option<i16>>,
    provider_message_id: Vec<String>,
    recipient: Vec<Option<String>>,
    stranger: Vec<Uuid>,
    sent_at: Vec<Option<Timestamp>>,
    delivered_at: Vec<Option<Timestamp>>,
    read_at: Vec<Option<Timestamp>>,
    played_at: Vec<Option<Timestamp>>,
    failed_at: Vec<Option<Timestamp>>,
    failed_code: Vec<Option<i64>>,
}

impl Said {
    fn of(attempts: &[AttemptSaid]) -> Self {
        let mut said = Self::default();
        for attempt in attempts {
            let evidence = &attempt.evidence;
            said.sender.push(attempt.sender.0);
            said.message.push(attempt.ours.map(|(message, _)| message));
            said.n.push(attempt.ours.map(|(_, n)| n));
            said.provider_message_id
                .push(attempt.provider_message_id.clone());
            said.recipient.push(attempt.recipient.clone());
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
    pub async fn ingest(&self, batch: &Batch) -> Result<Vec<SenderId>, StoreError> {
        /// Each run meets at most one more race; this many in a row are none.
        const TRIES: usize = 10;
        let mut tries = 1;
        loop {
            match self.ingest_again(batch).await {
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

    async fn ingest_again(&self, batch: &Batch) -> Result<Vec<SenderId>, StoreError> {
        again!("ingest", {
            if batch.templates.is_empty() {
                let mut connection = self.pool.acquire().await?;
                return self.ingest_rows(&mut connection, batch).await;
            }
            let mut transaction = self.begin().await?;
            let now = self.clock.now();
            self.join_templates(&mut transaction, &batch.templates, now)
                .await?;
            let due = self.ingest_rows(&mut transaction, batch).await?;
            transaction.commit().await?;
            Ok(due)
        })
    }

    async fn adopt_strangers(&self, attempts: &[AttemptSaid]) -> Result<(), StoreError> {
        for said in attempts {
            let Some((message, n)) = said.ours else {
                continue;
            };
            let message = MessageId {
                sender: said.sender,
                uuid: message,
            };
            let ours = AttemptId { message, n };
            again!("adopt", {
                let mut transaction = self.begin().await?;
                self.adopt(&mut transaction, ours, &said.provider_message_id)
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
        connection: &mut sqlx::PgConnection,
        batch: &Batch,
    ) -> Result<Vec<SenderId>, StoreError> {
        let said = Said::of(&batch.attempts);
        let journal = &batch.journal;
        let facts = &batch.facts;
        let headers: Vec<_> = journal.iter().map(|row| Json(&row.headers)).collect();
        let bodies: Vec<&[u8]> = journal.iter().map(|row| row.body.as_ref()).collect();
        let data: Vec<_> = facts.iter().map(|row| Json(&row.data)).collect();
        let due = sqlx::query_scalar!(
            r#"
            -- ingest
            WITH journalled AS (
                INSERT INTO journal
                    (id, connection, received_at, bytes, facts, state, reason, headers, body)
                SELECT w.id, w.connection, w.received_at, octet_length(w.body), w.facts,
                       w.state, w.reason, w.headers, w.body
                FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::integer[],
                            $5::text[], $6::text[], $7::jsonb[], $8::bytea[])
                    AS w (id, connection, received_at, facts, state, reason, headers, body)
            ),
            said AS MATERIALIZED (
                SELECT * FROM unnest(
                    $9::integer[], $10::uuid[], $11::smallint[], $12::text[], $13::text[],
                    $14::uuid[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[],
                    $18::timestamptz[], $19::timestamptz[], $20::bigint[]
                ) WITH ORDINALITY AS x (
                    sender, message, n, provider_message_id, recipient, stranger,
                    sent_at, delivered_at, read_at, played_at, failed_at, failed_code, entry
                )
            ),
            -- An attempt is found by our id where the provider gave it back, else by its own.
            found AS MATERIALIZED (
                SELECT x.entry, coalesce(a.message, b.message) AS message, coalesce(a.n, b.n) AS n
                FROM said x
                LEFT JOIN attempts a
                    ON a.sender = x.sender AND a.message = x.message AND a.n = x.n
                -- NULL finds nothing without a look into the index.
                LEFT JOIN attempts b
                    ON b.provider_message_id =
                           CASE WHEN a.message IS NULL THEN x.provider_message_id END
                    AND b.sender = x.sender
            ),
            -- Two entries may turn out to be one attempt; a row must be written once.
            joined AS MATERIALIZED (
                SELECT x.sender, f.message, f.n,
                       min(x.provider_message_id) AS provider_message_id,
                       min(x.sent_at) AS sent_at, min(x.delivered_at) AS delivered_at,
                       min(x.read_at) AS read_at, min(x.played_at) AS played_at,
                       min(x.failed_at) AS failed_at, min(x.failed_code) AS failed_code
                FROM said x JOIN found f USING (entry)
                WHERE f.message IS NOT NULL
                GROUP BY x.sender, f.message, f.n
            ),
            locked AS MATERIALIZED (
                SELECT j.*, a.watch, a.sequence, a.position,
                       a.sent_at IS NULL AND j.sent_at IS NOT NULL AS newly_sent,
                       a.delivered_at IS NULL AND j.delivered_at IS NOT NULL AS newly_delivered,
                       a.read_at IS NULL AND j.read_at IS NOT NULL AS newly_read,
                       a.played_at IS NULL AND j.played_at IS NOT NULL AS newly_played,
                       a.failed_at IS NULL AND j.failed_at IS NOT NULL AS newly_failed
                FROM joined j
                JOIN attempts a ON a.sender = j.sender AND a.message = j.message AND a.n = j.n
                ORDER BY j.sender, j.message, j.n
                FOR UPDATE OF a
            ),
            strangers AS (
                SELECT x.* FROM said x JOIN found f USING (entry) WHERE f.message IS NULL
            ),
            stranger_messages AS (
                INSERT INTO messages (sender, id, origin, recipient, created_at)
                SELECT sender, stranger, 'external', recipient, $21 FROM strangers
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
            -- The join of model::evidence: LEAST ignores NULL.
            evidence AS (
                UPDATE attempts a
                SET sent_at = LEAST(a.sent_at, k.sent_at),
                    delivered_at = LEAST(a.delivered_at, k.delivered_at),
                    read_at = LEAST(a.read_at, k.read_at),
                    played_at = LEAST(a.played_at, k.played_at),
                    failed_at = LEAST(a.failed_at, k.failed_at),
                    failed_code = CASE
                        WHEN k.failed_at IS NULL OR k.failed_at > a.failed_at THEN a.failed_code
                        WHEN k.failed_at = a.failed_at THEN LEAST(a.failed_code, k.failed_code)
                        ELSE k.failed_code
                    END,
                    provider_message_id = coalesce(a.provider_message_id, k.provider_message_id)
                FROM locked k
                WHERE a.sender = k.sender AND a.message = k.message AND a.n = k.n
                    AND (a.provider_message_id IS NULL
                        OR k.sent_at < coalesce(a.sent_at, 'infinity')
                        OR k.delivered_at < coalesce(a.delivered_at, 'infinity')
                        OR k.read_at < coalesce(a.read_at, 'infinity')
                        OR k.played_at < coalesce(a.played_at, 'infinity')
                        OR k.failed_at < coalesce(a.failed_at, 'infinity')
                        OR (k.failed_at = a.failed_at AND k.failed_code < a.failed_code))
            ),
            facts_written AS (
                INSERT INTO facts (stream, n, item, id, subject, webhook, occurred_at,
                                   received_at, type, key, source, data)
                SELECT y.stream,
                       CASE WHEN y.entry IS NULL THEN 0 ELSE coalesce(f.n, 1) END, y.item, y.id,
                       coalesce(f.message, x.stranger, y.subject), y.webhook, y.occurred_at,
                       y.received_at, y.type, y.key, 'webhook', y.data
                FROM unnest($22::integer[], $23::bigint[], $24::uuid[], $25::uuid[],
                            $26::text[], $27::text[], $28::timestamptz[], $29::timestamptz[],
                            $30::uuid[], $31::smallint[], $32::jsonb[])
                    AS y (stream, entry, subject, id, type, key, occurred_at, received_at,
                          webhook, item, data)
                LEFT JOIN said x ON x.entry = y.entry
                LEFT JOIN found f ON f.entry = y.entry
                -- Fewer are locked than were found: a stranger was adopted while its lock was
                -- waited for, and what was said of it belongs to the attempt it went into. The
                -- question also makes the locks come first. Who has written a fact and then
                -- waits for the lock would otherwise be waited for by the lock's owner.
                WHERE CASE
                    WHEN (SELECT count(*) FROM locked) = (SELECT count(*) FROM joined) THEN true
                    ELSE run_again()
                END
                ORDER BY y.stream, y.type, y.key
                ON CONFLICT (stream, subject, n, type, key) DO NOTHING
            )
            -- Not the successor, the sequence: an append that commits meanwhile is not missed.
            -- A paused one too: this waits for whoever is resuming it, and then marks it.
            UPDATE sequences q
            SET due_at = LEAST(q.due_at, $21),
                lane = CASE WHEN q.status = 'paused' THEN q.lane ELSE '' END
            FROM locked k
            WHERE q.sender = k.sender AND q.id = k.sequence AND q.head = k.position
                AND q.work <> 'done'
                AND ((k.watch <= 1 AND k.newly_sent) OR (k.watch <= 2 AND k.newly_delivered)
                    OR (k.watch <= 3 AND k.newly_read) OR (k.watch <= 4 AND k.newly_played)
                    OR (k.watch IS NOT NULL AND k.newly_failed))
            RETURNING q.sender
            "#,
            &journal.iter().map(|row| row.id).collect::<Vec<_>>(),
            &journal
                .iter()
                .map(|row| row.connection.0)
                .collect::<Vec<_>>(),
            &journal
                .iter()
                .map(|row| row.received_at)
                .collect::<Vec<_>>(),
            &journal.iter().map(|row| row.facts).collect::<Vec<_>>(),
            &journal
                .iter()
                .map(|row| row.state.to_owned())
                .collect::<Vec<_>>(),
            &journal
                .iter()
                .map(|row| row.reason.clone())
                .collect::<Vec<_>>() as &[Option<String>],
            &headers as &[Json<&Map<String, Value>>],
            &bodies as &[&[u8]],
            &said.sender,
            &said.message as &[Option<Uuid>],
            &said.n as &[Option<i16>],
            &said.provider_message_id,
            &said.recipient as &[Option<String>],
            &said.stranger,
            &said.sent_at as &[Option<Timestamp>],
            &said.delivered_at as &[Option<Timestamp>],
            &said.read_at as &[Option<Timestamp>],
            &said.played_at as &[Option<Timestamp>],
            &said.failed_at as &[Option<Timestamp>],
            &said.failed_code as &[Option<i64>],
            self.clock.now(),
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
                .map(|row| row.r#type.as_str())
                .collect::<Vec<_>>() as &[&str],
            &facts.iter().map(|row| row.key.as_str()).collect::<Vec<_>>() as &[&str],
            &facts.iter().map(|row| row.occurred_at).collect::<Vec<_>>() as &[Option<Timestamp>],
            &facts.iter().map(|row| row.received_at).collect::<Vec<_>>(),
            &facts.iter().map(|row| row.webhook).collect::<Vec<_>>(),
            &facts.iter().map(|row| row.item).collect::<Vec<_>>(),
            &data as &[Json<&Map<String, Value>>],
        )
        .fetch_all(connection)
        .await?;
        let mut due: Vec<_> = due.into_iter().map(SenderId).collect();
        due.sort_unstable();
        due.dedup();
        Ok(due)
    }

    /// Marks a webhook of which one item could not be written, although the database is well.
    pub async fn mark_not_applied(&self, webhook: Uuid, reason: &str) -> Result<(), StoreError> {
        sqlx::query!(
            r#"
            -- mark_not_applied
            UPDATE journal
            SET state = 'not_applied', reason = concat_ws('; ', reason, $2::text)
            WHERE id = $1
            "#,
            webhook,
            reason
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
