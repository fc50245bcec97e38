//! Webhooks as they came, byte for byte, in blocks of one commit each. What is not `applied`
//! stands in `journal_problems` beside.

mod block;
mod replay;

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

pub use self::block::{Block, Blocks, JournalRow, id_at};
use self::block::{Entry, open_body, open_directory, place_of};
use super::facts::OwnFact;
use super::{Store, StoreError, again};
use crate::model::ids::{ConnectionId, WebhookId};
use crate::model::{Timestamp, event};

/// A webhook, without its bytes.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct WebhookRow {
    pub id: WebhookId,
    pub connection: ConnectionId,
    pub received_at: Timestamp,
    pub bytes: usize,
    pub facts: usize,
    pub state: State,
    pub reason: Option<String>,
}

impl WebhookRow {
    /// The same, after something else became of it.
    #[must_use]
    pub fn with(self, became: Option<(State, String)>) -> Self {
        let (state, reason) = match became {
            Some((state, reason)) => (state, Some(reason)),
            None => (State::Applied, None),
        };
        Self {
            state,
            reason,
            ..self
        }
    }
}

/// What became of a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All that it said is written.
    Applied,
    /// Some of it could not be understood.
    Undecoded,
    /// Some of it could not be written.
    NotApplied,
}

impl State {
    /// The API's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Undecoded => "undecoded",
            Self::NotApplied => "not_applied",
        }
    }

    fn parse(word: &str) -> Result<Self, StoreError> {
        [Self::Applied, Self::Undecoded, Self::NotApplied]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| StoreError::Corrupt(format!("journal_problems.state: {word}")))
    }
}

/// What a list is narrowed to; `None` narrows nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct JournalFilter {
    pub connection: Option<ConnectionId>,
    pub state: Option<State>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// Why a webhook is not simply applied.
#[derive(Debug)]
#[allow(missing_docs, reason = "the columns of journal_problems")]
pub struct ProblemRow {
    pub webhook: WebhookId,
    pub connection: ConnectionId,
    /// The connection's own.
    pub stream: i32,
    pub state: State,
    pub reason: String,
}

impl ProblemRow {
    /// What the feed tells of it, once for each webhook, however often it is replayed in vain.
    fn fact(&self) -> OwnFact {
        let r#type = match self.state {
            State::NotApplied => event::WEBHOOK_NOT_APPLIED,
            State::Undecoded | State::Applied => event::WEBHOOK_UNDECODED,
        };
        OwnFact::of(self.stream, Uuid::nil(), r#type, "sweep")
            .once(self.webhook.to_string())
            .with(json!({"webhook": self.webhook, "reason": self.reason}))
    }
}

/// The lowest id that can have been made in the millisecond of `at`: the journal is partitioned
/// by id, and ids begin with their time.
fn first_id(at: Timestamp) -> Uuid {
    let ms = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    Uuid::from_u128(u128::from(ms) << 80)
}

type Problems = HashMap<Uuid, (State, String)>;
/// Blocks with their directories, newest first.
type Opened = Vec<(Uuid, Vec<Entry<'static>>)>;

impl Store {
    /// A page, newest first.
    pub async fn list_webhooks(
        &self,
        filter: &JournalFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<WebhookRow>, StoreError> {
        /// Blocks that are opened at a time.
        const BLOCKS: i64 = 32;
        let limit = usize::try_from(limit).unwrap_or(0);
        let until = filter.until.map(first_id);
        let mut before = match (before, until) {
            (Some(before), Some(until)) => before.min(until),
            (before, until) => before.or(until).unwrap_or(Uuid::max()),
        };
        let mut found = Vec::new();
        loop {
            let (blocks, last) = match filter.state {
                None | Some(State::Applied) => self.blocks_before(filter, before, BLOCKS).await?,
                Some(state) => self.problem_blocks(filter, state, before, BLOCKS).await?,
            };
            let Some(last) = last else {
                return Ok(found);
            };
            let problems = self.problems(last, before).await?;
            for (block, entries) in blocks {
                let rows = entries.iter().enumerate().rev();
                let rows = rows.map(|(place, entry)| row(block, place, entry, &problems));
                let wanted = |row: &WebhookRow| {
                    row.id.0 < before
                        && filter.connection.is_none_or(|c| c == row.connection)
                        && filter.state.is_none_or(|state| state == row.state)
                };
                found.extend(rows.filter(wanted));
            }
            if found.len() >= limit {
                found.truncate(limit);
                return Ok(found);
            }
            before = last;
        }
    }

    /// How many there are; where they are narrowed to a connection, up to as many others more.
    pub async fn count_webhooks(&self, filter: &JournalFilter) -> Result<u64, StoreError> {
        let since = filter.since.map_or(Uuid::nil(), first_id);
        let until = filter.until.map_or(Uuid::max(), first_id);
        let connection = filter.connection.map(|connection| connection.0);
        again!(self, "count_webhooks", {
            let count = match filter.state {
                None | Some(State::Applied) => {
                    sqlx::query_scalar!(
                        r#"
                        -- count_webhooks
                        SELECT coalesce(sum(webhooks), 0)::bigint AS "count!" FROM journal
                        WHERE id >= $1 AND id < $2
                            AND ($3::uuid IS NULL OR $3 = ANY(connections))
                        "#,
                        since,
                        until,
                        connection,
                    )
                    .fetch_one(&mut *self.pool.acquire().await?)
                    .await?
                }
                Some(state) => {
                    sqlx::query_scalar!(
                        r#"
                        -- count_webhooks: problems
                        SELECT count(*) AS "count!" FROM journal_problems
                        WHERE webhook >= $1 AND webhook < $2 AND state = $3
                            AND ($4::uuid IS NULL OR connection = $4)
                        "#,
                        since,
                        until,
                        state.as_str(),
                        connection,
                    )
                    .fetch_one(&mut *self.pool.acquire().await?)
                    .await?
                }
            };
            Ok(count.unsigned_abs())
        })
    }

    async fn blocks_before(
        &self,
        filter: &JournalFilter,
        before: Uuid,
        limit: i64,
    ) -> Result<(Opened, Option<Uuid>), StoreError> {
        again!(self, "blocks_before", {
            let blocks = sqlx::query!(
                r#"
            -- list_webhooks
            SELECT id, directory FROM journal
            WHERE id < $1 AND id >= $2 AND ($3::uuid IS NULL OR $3 = ANY(connections))
            ORDER BY id DESC
            LIMIT $4
            "#,
                before,
                filter.since.map_or(Uuid::nil(), first_id),
                filter.connection.map(|connection| connection.0),
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?;
            let last = blocks.last().map(|row| row.id);
            let open = |id, directory: &[u8]| Ok((id, open_directory(id, directory)?));
            let blocks = blocks.iter().map(|row| open(row.id, &row.directory));
            Ok((blocks.collect::<Result<_, StoreError>>()?, last))
        })
    }

    /// The blocks of webhooks in a state that few are in.
    async fn problem_blocks(
        &self,
        filter: &JournalFilter,
        state: State,
        before: Uuid,
        limit: i64,
    ) -> Result<(Opened, Option<Uuid>), StoreError> {
        again!(self, "problem_blocks", {
            let webhooks = sqlx::query_scalar!(
                r#"
            -- list_webhooks: problems
            SELECT webhook FROM journal_problems
            WHERE webhook < $1 AND webhook >= $2 AND state = $3
                AND ($4::uuid IS NULL OR connection = $4)
            ORDER BY webhook DESC
            LIMIT $5
            "#,
                before,
                filter.since.map_or(Uuid::nil(), first_id),
                state.as_str(),
                filter.connection.map(|connection| connection.0),
                limit,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?;
            let mut ids: Vec<_> = webhooks
                .into_iter()
                .map(|id| place_of(WebhookId(id)).0)
                .collect();
            ids.dedup();
            let blocks = sqlx::query!(
                r#"
            -- list_webhooks: blocks of problems
            SELECT id, directory FROM journal WHERE id = ANY($1) ORDER BY id DESC
            "#,
                &ids,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?;
            let open = |id, directory: &[u8]| Ok((id, open_directory(id, directory)?));
            let blocks = blocks.iter().map(|row| open(row.id, &row.directory));
            // The journal may have forgotten some of them.
            Ok((
                blocks.collect::<Result<_, StoreError>>()?,
                ids.last().copied(),
            ))
        })
    }

    async fn problems(&self, from: Uuid, before: Uuid) -> Result<Problems, StoreError> {
        again!(self, "problems", {
            let rows = sqlx::query!(
                r#"
            -- journal_problems
            SELECT webhook, state, reason FROM journal_problems
            WHERE webhook >= $1 AND webhook < $2
            "#,
                from,
                before,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?;
            rows.into_iter()
                .map(|row| Ok((row.webhook, (State::parse(&row.state)?, row.reason))))
                .collect()
        })
    }

    /// One, with its headers and its bytes.
    pub async fn webhook(
        &self,
        id: WebhookId,
    ) -> Result<Option<(WebhookRow, Value, Vec<u8>)>, StoreError> {
        again!(self, "webhook", {
            let (block, place) = place_of(id);
            let found = sqlx::query!(
                r#"
            -- webhook
            SELECT directory, bodies FROM journal WHERE id = $1
            "#,
                block,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?;
            let Some(found) = found else {
                return Ok(None);
            };
            let entries = open_directory(block, &found.directory)?;
            let Some(entry) = entries.get(place) else {
                return Ok(None);
            };
            let body = open_body(block, &entries, place, &found.bodies)?;
            let next = Uuid::from_u128(id.0.as_u128().saturating_add(1));
            let problems = self.problems(id.0, next).await?;
            let headers = Value::Object(entry.headers.clone().into_owned());
            Ok(Some((row(block, place, entry, &problems), headers, body)))
        })
    }
}

impl Store {
    /// One after the other, because one webhook may have several. There are few.
    pub(super) async fn insert_problems(
        &self,
        connection: &mut sqlx::PgConnection,
        problems: &[ProblemRow],
    ) -> Result<(), StoreError> {
        if problems.is_empty() {
            return Ok(());
        }
        for problem in problems {
            insert_problem(connection, problem).await?;
        }
        let facts: Vec<_> = problems.iter().map(ProblemRow::fact).collect();
        self.write_facts(connection, &facts).await
    }
}

async fn insert_problem(
    connection: &mut sqlx::PgConnection,
    problem: &ProblemRow,
) -> Result<(), StoreError> {
    sqlx::query!(
        r#"
            -- insert_problems
            INSERT INTO journal_problems AS p (webhook, connection, state, reason)
            VALUES ($1, $2, $3, $4)
            ON CONFLICT (webhook) DO UPDATE
            SET state = excluded.state, reason = p.reason || '; ' || excluded.reason
            "#,
        problem.webhook.0,
        problem.connection.0,
        problem.state.as_str(),
        problem.reason,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn row(block: Uuid, place: usize, entry: &Entry<'_>, problems: &Problems) -> WebhookRow {
    let id = id_at(block, u16::try_from(place).unwrap_or(u16::MAX));
    let (state, reason) = match problems.get(&id.0) {
        Some((state, reason)) => (*state, Some(reason.clone())),
        None => (
            State::Applied,
            entry.note.clone().map(|note| note.into_owned()),
        ),
    };
    WebhookRow {
        id,
        connection: ConnectionId(entry.connection),
        received_at: entry.received_at(),
        bytes: entry.bytes,
        facts: entry.facts,
        state,
        reason,
    }
}
