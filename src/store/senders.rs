//! Senders as the API makes and shows them. Ingest makes one too, when a webhook names a number
//! that nobody knows (`register_senders`).

use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::facts::OwnFact;
use super::once::shown;
use super::{Once, Reply, Store, StoreError, again};
use crate::model::fact::NumberRef;
use crate::model::ids::{ConnectionId, SenderId};
use crate::model::{Timestamp, event};

/// A business phone number on a connection.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the columns of senders")]
pub struct Sender {
    pub id: SenderId,
    pub connection: ConnectionId,
    pub phone_number_id: String,
    pub display_phone_number: Option<String>,
    pub waba_id: Option<String>,
    pub messages_per_second: i32,
    pub status: String,
    pub status_reason: Option<String>,
    pub status_at: Option<Timestamp>,
    pub quality: Option<String>,
    pub messaging_limit: Option<String>,
    pub throughput: Option<String>,
    pub state: Option<String>,
    pub health: Option<String>,
    pub verified_name: Option<String>,
    pub name_status: Option<String>,
    pub name_decision: Option<String>,
    pub origin: String,
    pub created_at: Timestamp,
}

/// What a sender is made from.
#[derive(Debug)]
#[allow(missing_docs, reason = "the columns of senders")]
pub struct NewSender {
    pub connection: ConnectionId,
    pub phone_number_id: String,
    pub display_phone_number: Option<String>,
    pub waba_id: Option<String>,
    pub messages_per_second: i32,
}

/// Messages a second where nothing is said: Meta's standard throughput of a number.
pub const STANDARD_RATE: i32 = 80;

/// What is to be changed.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "the columns of senders")]
pub struct SenderChange {
    pub display_phone_number: Option<String>,
    pub waba_id: Option<String>,
    pub messages_per_second: Option<i32>,
    /// Whatever blocked it has been put right.
    pub resume: bool,
}

/// Why a sender was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateSenderError {
    /// There is no such connection.
    #[error("there is no such connection")]
    UnknownConnection,
    /// The connection has a sender of this number.
    #[error("the connection has a sender with this phone_number_id")]
    Taken,
    /// The database could not.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for CreateSenderError {
    fn from(error: StoreError) -> Self {
        if error.is_on("senders_connection_fkey") {
            return Self::UnknownConnection;
        }
        Self::Store(error)
    }
}

impl Store {
    /// Makes a sender, once.
    pub async fn create_sender<V: Serialize>(
        &self,
        new: &NewSender,
        once: &Once,
        show: impl Fn(Sender) -> V + Sync,
    ) -> Result<Reply, CreateSenderError> {
        let now = self.clock.now();
        let made = again!(self, "create_sender", {
            let mut transaction = self.begin().await?;
            if let Some(reply) = self.first_reply(&mut transaction, once).await? {
                return Ok(Some(reply));
            }
            let Some(id) = self.insert_sender(&mut transaction, new).await? else {
                return Ok(None);
            };
            let made = read_senders(&mut transaction, now, Some(id), None, None, 1).await?;
            let made = made.into_iter().next();
            let made = made.ok_or_else(|| StoreError::Corrupt(format!("senders: {id}")))?;
            let answer = shown(&show(made))?;
            let reply = self.commit_reply(transaction, once, answer).await?;
            Ok(Some(reply))
        })?;
        made.ok_or(CreateSenderError::Taken)
    }

    /// Makes a sender, or takes over the one that a webhook made: it gets what is given here, and
    /// keeps what is not. `None` when somebody else made it.
    async fn insert_sender(
        &self,
        connection: &mut PgConnection,
        new: &NewSender,
    ) -> Result<Option<SenderId>, StoreError> {
        let id = sqlx::query_scalar!(
            r#"
            -- create_sender
            INSERT INTO senders AS s (connection, phone_number_id, display_phone_number, waba_id,
                                      messages_per_second, origin, created_at)
            VALUES ($1, $2, $3, $4, $5, 'api', $6)
            ON CONFLICT ON CONSTRAINT senders_number DO UPDATE
            SET display_phone_number =
                    coalesce(excluded.display_phone_number, s.display_phone_number),
                waba_id = coalesce(excluded.waba_id, s.waba_id),
                messages_per_second = excluded.messages_per_second,
                origin = 'api'
            WHERE s.origin = 'webhook'
            RETURNING id
            "#,
            new.connection.0,
            new.phone_number_id,
            new.display_phone_number,
            new.waba_id,
            new.messages_per_second,
            self.clock.now(),
        )
        .fetch_optional(connection)
        .await?;
        Ok(id.map(SenderId))
    }

    /// The senders of these numbers; one that nobody knew is made, with origin `webhook`.
    pub async fn register_senders(
        &self,
        connection: ConnectionId,
        numbers: &[NumberRef],
    ) -> Result<Vec<(String, SenderId)>, StoreError> {
        let rows = again!(self, "register_senders", {
            Ok(sqlx::query!(
                r#"
            -- register_senders
            INSERT INTO senders AS s
                (connection, phone_number_id, display_phone_number, waba_id, origin, created_at)
            SELECT DISTINCT ON (x.phone_number_id)
                   $1::uuid, x.phone_number_id, x.display_phone_number, x.waba_id, 'webhook',
                   $5::timestamptz
            FROM unnest($2::text[], $3::text[], $4::text[])
                AS x (phone_number_id, display_phone_number, waba_id)
            ORDER BY x.phone_number_id
            ON CONFLICT ON CONSTRAINT senders_number DO UPDATE
            SET display_phone_number =
                    coalesce(s.display_phone_number, excluded.display_phone_number),
                waba_id = coalesce(s.waba_id, excluded.waba_id)
            RETURNING phone_number_id, id
            "#,
                connection.0,
                &numbers
                    .iter()
                    .map(|n| n.phone_number_id.clone())
                    .collect::<Vec<_>>(),
                &numbers
                    .iter()
                    .map(|n| n.display_phone_number.clone())
                    .collect::<Vec<_>>() as &[Option<String>],
                &numbers
                    .iter()
                    .map(|n| n.waba_id.clone())
                    .collect::<Vec<_>>() as &[Option<String>],
                self.clock.now(),
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(rows
            .into_iter()
            .map(|row| (row.phone_number_id, SenderId(row.id)))
            .collect())
    }

    /// Which of these are senders of the connection.
    pub async fn senders_of(
        &self,
        connection: ConnectionId,
        senders: &[SenderId],
    ) -> Result<Vec<SenderId>, StoreError> {
        let ids: Vec<_> = senders.iter().map(|sender| sender.0).collect();
        let found = again!(self, "senders_of", {
            let found = sqlx::query_scalar!(
                r#"
                -- senders_of
                SELECT id FROM senders WHERE connection = $1 AND id = ANY ($2)
                "#,
                connection.0,
                &ids,
            );
            Ok(found.fetch_all(&mut *self.pool.acquire().await?).await?)
        })?;
        Ok(found.into_iter().map(SenderId).collect())
    }

    /// Changes what is given, and leaves what is not. Opening a blocked one releases what waits.
    pub async fn update_sender(
        &self,
        id: SenderId,
        change: &SenderChange,
    ) -> Result<bool, StoreError> {
        again!(self, "update_sender", {
            let mut transaction = self.begin().await?;
            let updated = sqlx::query!(
                r#"
                -- update_sender
                UPDATE senders s
                SET messages_per_second = coalesce($2, s.messages_per_second),
                    waba_id = coalesce($3, s.waba_id),
                    display_phone_number = coalesce($4, s.display_phone_number),
                    status = CASE WHEN $5 THEN 'active' ELSE s.status END,
                    status_reason = CASE WHEN $5 THEN NULL ELSE s.status_reason END,
                    -- What was said of its account before counts no more.
                    status_at = CASE WHEN $5 AND NOT was.active THEN $6 ELSE s.status_at END
                FROM (
                    SELECT o.id, (SELECT t.status = 'active' FROM standing(o, $6) t) AS active
                    FROM senders o WHERE o.id = $1 FOR NO KEY UPDATE
                ) was
                WHERE s.id = was.id
                RETURNING $5 AND NOT was.active AS "resumed!"
                "#,
                id.0,
                change.messages_per_second,
                change.waba_id,
                change.display_phone_number,
                change.resume,
                self.clock.now(),
            )
            .fetch_optional(&mut *transaction)
            .await?;
            if updated.as_ref().is_some_and(|row| row.resumed) {
                let fact = OwnFact::of(id.0, Uuid::nil(), event::SENDER_RESUMED, "api");
                self.write_facts(&mut transaction, &[fact]).await?;
            }
            transaction.commit().await?;
            Ok(updated.is_some())
        })
    }

    /// Which of a connection's senders has this number, by the provider's id of it.
    pub async fn sender_of(
        &self,
        connection: ConnectionId,
        phone_number_id: &str,
    ) -> Result<Option<SenderId>, StoreError> {
        again!(self, "sender_of", {
            let id = sqlx::query_scalar!(
                r#"
                -- sender_of
                SELECT id FROM senders WHERE connection = $1 AND phone_number_id = $2
                "#,
                connection.0,
                phone_number_id,
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?;
            Ok(id.map(SenderId))
        })
    }

    /// Reads one.
    pub async fn sender(&self, id: SenderId) -> Result<Option<Sender>, StoreError> {
        let now = self.clock.now();
        again!(self, "sender", {
            let mut pooled = self.pool.acquire().await?;
            let found = read_senders(&mut pooled, now, Some(id), None, None, 1).await?;
            Ok(found.into_iter().next())
        })
    }

    /// A page, newest first.
    pub async fn list_senders(
        &self,
        connection: Option<ConnectionId>,
        before: Option<SenderId>,
        limit: i64,
    ) -> Result<Vec<Sender>, StoreError> {
        let now = self.clock.now();
        again!(self, "list_senders", {
            let mut pooled = self.pool.acquire().await?;
            read_senders(&mut pooled, now, None, connection, before, limit).await
        })
    }
}

async fn read_senders(
    pooled: &mut PgConnection,
    now: Timestamp,
    id: Option<SenderId>,
    connection: Option<ConnectionId>,
    before: Option<SenderId>,
    limit: i64,
) -> Result<Vec<Sender>, StoreError> {
    let rows = sqlx::query_as!(
        Sender,
        r#"
        -- read_senders
        SELECT s.id, s.connection, s.phone_number_id, s.display_phone_number, s.waba_id,
               s.messages_per_second, t.status AS "status!", t.reason AS status_reason,
               t.since AS status_at, coalesce(last_word(s, 'quality'), s.quality) AS quality,
               coalesce(last_word(s, 'limit'), s.messaging_limit) AS messaging_limit,
               last_word(s, 'throughput') AS throughput, last_word(s, 'state') AS state,
               last_word(s, 'health') AS health, last_word(s, 'name') AS verified_name,
               last_word(s, 'name_status') AS name_status,
               last_word(s, 'name_decision') AS name_decision, s.origin, s.created_at
        FROM senders s
        CROSS JOIN LATERAL standing(s, $5) t
        WHERE ($1::integer IS NULL OR s.id = $1)
            AND ($2::uuid IS NULL OR s.connection = $2)
            AND ($3::integer IS NULL OR s.id < $3)
        ORDER BY s.id DESC
        LIMIT $4
        "#,
        id.map(|id| id.0),
        connection.map(|id| id.0),
        before.map(|id| id.0),
        limit,
        now,
    )
    .fetch_all(pooled)
    .await?;
    Ok(rows)
}
