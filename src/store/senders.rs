//! Senders as the API makes and shows them. Ingest makes one too, when a webhook names a number
//! that nobody knows (`register_senders`).

use super::{Store, StoreError};
use crate::model::Timestamp;
use crate::model::ids::{ConnectionId, SenderId};

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

impl From<sqlx::Error> for CreateSenderError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(refused) if refused.is_foreign_key_violation() => Self::UnknownConnection,
            _ => Self::Store(error.into()),
        }
    }
}

impl Store {
    /// Makes a sender, or takes over the one that a webhook made: it gets what is given here, and
    /// keeps what is not.
    pub async fn create_sender(&self, new: &NewSender) -> Result<SenderId, CreateSenderError> {
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
        .fetch_optional(&self.pool)
        .await?;
        id.map(SenderId).ok_or(CreateSenderError::Taken)
    }

    /// Reads one.
    pub async fn sender(&self, id: SenderId) -> Result<Option<Sender>, StoreError> {
        let found = self.read_senders(Some(id), None, None, 1).await?;
        Ok(found.into_iter().next())
    }

    /// A page, newest first.
    pub async fn list_senders(
        &self,
        connection: Option<ConnectionId>,
        before: Option<SenderId>,
        limit: i64,
    ) -> Result<Vec<Sender>, StoreError> {
        self.read_senders(None, connection, before, limit).await
    }

    async fn read_senders(
        &self,
        id: Option<SenderId>,
        connection: Option<ConnectionId>,
        before: Option<SenderId>,
        limit: i64,
    ) -> Result<Vec<Sender>, StoreError> {
        let rows = sqlx::query_as!(
            Sender,
            r#"
            -- read_senders
            SELECT id, connection, phone_number_id, display_phone_number, waba_id,
                   messages_per_second, status, status_reason, status_at, quality, messaging_limit, origin, created_at
            FROM senders
            WHERE ($1::integer IS NULL OR id = $1)
                AND ($2::uuid IS NULL OR connection = $2)
                AND ($3::integer IS NULL OR id < $3)
            ORDER BY id DESC
            LIMIT $4
            "#,
            id.map(|id| id.0),
            connection.map(|id| id.0),
            before.map(|id| id.0),
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows)
    }
}
