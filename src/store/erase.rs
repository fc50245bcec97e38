//! Erasing people: what was kept of a person before they were asked to be forgotten, wherever it is
//! but in the journal, whose bytes go with their day. What is not sent to them yet is cancelled.
//! Messages, their statuses and who sent them stay, without recipient and content.
//!
//! It is done in short transactions, each of which may be done again; a row that says whom is
//! committed before the first. From then on what comes late is stripped before it is written
//! (`model::erased`), at every instance within [`FRESH`]; a second look finds what was under way
//! then, and what an instance that died has left undone.

mod facts;
mod others;
mod rows;
mod since;
mod texts;

use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use super::{Store, StoreError, again};
use crate::model::Timestamp;
use crate::model::erased::Erased;
use crate::model::ids::first_at;

/// How old the list of the erased may be at an instance.
pub const FRESH: Duration = Duration::from_secs(5);

/// When to look again: later than anything that was under way is written.
const AGAIN: Duration = Duration::from_secs(120);

/// For how long something may still be said of a message of before: providers try to deliver for 30
/// days, and repeat a webhook for seven.
const SAID_FOR: Duration = Duration::from_secs(37 * 24 * 3600);

pub(super) const CONTEXT: &[u8] = b"erasures";

/// How much was found and erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the API's own words")]
pub struct Found {
    pub names: u64,
    pub cancelled: u64,
    pub messages: u64,
    pub events: u64,
    pub campaign_recipients: u64,
    pub answers: u64,
}

/// A person who is being erased: written down, and not looked for yet.
#[derive(Debug)]
pub struct Erasure {
    /// What was kept before this is erased.
    pub at: Timestamp,
    /// When it is looked again for what was under way then.
    pub again_at: Timestamp,
    whom: Whom,
}

/// Whom, and of what time.
#[derive(Debug)]
pub(super) struct Whom {
    pub(super) erasure: Uuid,
    pub(super) names: Vec<String>,
    /// What happened before this is erased;
    pub(super) at: Timestamp,
    /// what does not say when it happened, if it was written before this;
    pub(super) until: Timestamp,
    /// what was asked for, if its id is smaller. A millisecond later, since ids know no less.
    pub(super) made: Uuid,
    /// Senders and connections' own.
    pub(super) streams: Vec<i32>,
    pub(super) senders: Vec<i32>,
}

impl Whom {
    pub(super) fn is_called(&self, text: &str) -> bool {
        self.names.iter().any(|name| name == text)
    }
}

impl Store {
    /// Writes down who is to be erased, by one of their names: their other names are found. From
    /// now on it is done, whoever dies ([`Store::erase_begun`], [`Store::erase_again`]).
    pub async fn begin_erasure(
        &self,
        name: &str,
        journal_days: u16,
    ) -> Result<Erasure, StoreError> {
        let at = self.clock.now();
        let again_at = at + AGAIN;
        let kept = Duration::from_secs(u64::from(journal_days + 2) * 24 * 3600);
        let id = self.clock.new_id();
        let whom = self.whom(id, vec![name.to_owned()], at, at).await?;
        let sealed = self.seal_names(id, &whom.names)?;
        again!(self, "begin_erasure", {
            sqlx::query!(
                r#"
                -- begin_erasure
                INSERT INTO erasures (id, at, again_at, until, names) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (id) DO NOTHING
                "#,
                id,
                at,
                again_at,
                at + SAID_FOR.max(kept),
                sealed,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })?;
        self.read_erasures().await?;
        Ok(Erasure { at, again_at, whom })
    }

    /// Erases them: a first look. It may be done again.
    pub async fn erase_begun(
        &self,
        erasure: &Erasure,
        progress: &watch::Sender<Found>,
    ) -> Result<(), StoreError> {
        self.erase(&erasure.whom, progress).await
    }

    /// Looks again for one whose time has come. Returns whether there may be another.
    pub async fn erase_again(&self) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let taken = again!(self, "take_erasure", {
            Ok(sqlx::query!(
                r#"
                -- take_erasure
                -- Whoever takes it and dies leaves it to another.
                UPDATE erasures SET again_at = $2
                WHERE id = (
                    SELECT id FROM erasures WHERE again_at <= $1
                    ORDER BY again_at LIMIT 1
                    FOR UPDATE SKIP LOCKED
                )
                RETURNING id, at, names
                "#,
                now,
                now + AGAIN * 5,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        let Some(row) = taken else {
            return Ok(false);
        };
        let names = self.open_names(row.id, &row.names)?;
        let whom = self.whom(row.id, names, row.at, row.at + AGAIN).await?;
        self.erase(&whom, &watch::Sender::default()).await?;
        self.erase_since(&whom, &mut Found::default()).await?;
        // Whom they were called meanwhile has not been looked for.
        let found = self
            .whom(row.id, whom.names.clone(), whom.at, whom.until)
            .await?;
        let again_at = (found.names.len() > whom.names.len()).then_some(now + AGAIN);
        let sealed = self.seal_names(row.id, &found.names)?;
        again!(self, "end_erasure", {
            sqlx::query!(
                r#"
                -- end_erasure
                UPDATE erasures SET again_at = $3, names = $2 WHERE id = $1
                "#,
                row.id,
                sealed,
                again_at,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })?;
        Ok(true)
    }

    /// Reads who was erased, and forgets those of whom nothing is said any more.
    pub async fn read_erasures(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let rows = again!(self, "read_erasures", {
            let mut connection = self.pool.acquire().await?;
            let rows = sqlx::query!(
                r#"
                -- read_erasures
                SELECT id, at, names, messages, until <= $1 AS "over!" FROM erasures
                "#,
                now,
            );
            let rows = rows.fetch_all(&mut *connection).await?;
            if rows.iter().any(|row| row.over) {
                sqlx::query!(
                    r#"
                    -- forget_erasures
                    DELETE FROM erasures WHERE until <= $1 AND again_at IS NULL
                    "#,
                    now,
                )
                .execute(&mut *connection)
                .await?;
            }
            Ok(rows)
        })?;
        let mut erased = self.erased.borrow().emptied();
        for row in rows.iter().filter(|row| !row.over) {
            row.messages.iter().for_each(|id| erased.insert_late(*id));
            for name in self.open_names(row.id, &row.names)? {
                erased.insert(name, row.at);
            }
        }
        self.erased.send_if_modified(|known| {
            let is_new = *known != erased;
            *known = erased;
            is_new
        });
        Ok(())
    }

    /// Who was erased, as far as this instance knows.
    pub fn erased(&self) -> watch::Receiver<Erased> {
        self.erased.subscribe()
    }

    async fn erase(&self, whom: &Whom, progress: &watch::Sender<Found>) -> Result<(), StoreError> {
        let mut found = Found {
            campaign_recipients: self.erase_campaign_recipients(whom).await?,
            ..Found::default()
        };
        // First of all: nothing more is sent.
        for sequence in self.sequences_of(whom).await? {
            self.erase_sequence(sequence, whom, &mut found).await?;
            progress.send_replace(found);
        }
        self.erase_external_messages(whom, &mut found).await?;
        for stream in &whom.streams {
            self.erase_other_facts(*stream, whom, &mut found).await?;
            progress.send_replace(found);
        }
        self.erase_participants(whom, &mut found).await?;
        found.answers = self.erase_answers(whom).await?;
        progress.send_replace(found);
        self.erase_texts(whom).await?;
        // Last: by these the rest is found, should this be done again.
        found.names = self.erase_names(whom).await?;
        progress.send_replace(found);
        Ok(())
    }

    /// A person by all their names, at whichever sender they go by them.
    async fn whom(
        &self,
        erasure: Uuid,
        names: Vec<String>,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<Whom, StoreError> {
        again!(self, "whom_to_erase", {
            let mut connection = self.pool.acquire().await?;
            let found = sqlx::query!(
                r#"
                -- whom_to_erase
                WITH RECURSIVE names (name) AS (
                    SELECT name COLLATE "C" FROM unnest($1::text[]) AS x (name)
                    UNION
                    SELECT x.name
                    FROM names n CROSS JOIN senders s
                    CROSS JOIN LATERAL (
                        SELECT r.leads_to FROM recipients r
                        WHERE r.sender = s.id AND r.alias = n.name AND r.leads_to IS NOT NULL
                        UNION ALL
                        SELECT r.alias FROM recipients r
                        WHERE r.sender = s.id AND r.leads_to = n.name
                    ) x (name)
                )
                SELECT ARRAY(SELECT name FROM names) AS "names!",
                       ARRAY(SELECT id FROM senders ORDER BY id) AS "senders!",
                       ARRAY(SELECT stream FROM connections ORDER BY stream) AS "own!"
                "#,
                &names,
            )
            .fetch_one(&mut *connection)
            .await?;
            let streams = found.senders.iter().chain(&found.own).copied().collect();
            Ok(Whom {
                erasure,
                names: found.names,
                at,
                until,
                made: first_at(at + time::Duration::MILLISECOND),
                streams,
                senders: found.senders,
            })
        })
    }

    fn seal_names(&self, id: Uuid, names: &[String]) -> Result<Vec<u8>, StoreError> {
        let plain = super::once::shown(&names)?;
        let sealed = self.sealing_key.seal(&context(id), &plain);
        sealed.map_err(|source| unsealed(id, source))
    }

    fn open_names(&self, id: Uuid, sealed: &[u8]) -> Result<Vec<String>, StoreError> {
        let plain = self.sealing_key.open(&context(id), sealed);
        let plain = plain.map_err(|source| unsealed(id, source))?;
        serde_json::from_slice(&plain).map_err(|_| StoreError::Corrupt(format!("erasures: {id}")))
    }
}

fn context(id: Uuid) -> Vec<u8> {
    [CONTEXT, id.as_bytes()].concat()
}

fn unsealed(id: Uuid, source: crate::seal::SealError) -> StoreError {
    StoreError::Sealed {
        what: format!("erasures: {id}"),
        source,
    }
}
