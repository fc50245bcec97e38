//! What is read from providers again and again, and whose turn it is. A subject has a row that says
//! when it is due; a connection has a turn that one instance holds at a time, so that each subject
//! is read once and the pace is the connection's. All by the database's clock, as leases are.
//!
//! What is taken is put off at once: who dies while it reads leaves it to the next turn, and a
//! service that is started finds everything due when it was.

use std::time::Duration;

use uuid::Uuid;

use super::leases::interval;
use super::{Store, StoreError, again};
use crate::model::ids::{ConnectionId, SenderId};

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// All templates of an account; of the one that the connection's key leads to, where none is
    /// named.
    Templates(Option<String>),
    /// A number.
    Sender(SenderId),
}

impl std::fmt::Display for Subject {
    /// As people search for it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Templates(None) => f.write_str("templates"),
            Self::Templates(Some(waba_id)) => write!(f, "templates of {waba_id}"),
            Self::Sender(id) => id.fmt(f),
        }
    }
}

impl Subject {
    /// As it is stored.
    fn key(&self) -> String {
        match self {
            Self::Templates(None) => "templates".to_owned(),
            Self::Templates(Some(waba_id)) => format!("templates {waba_id}"),
            Self::Sender(id) => format!("sender {}", id.0),
        }
    }

    fn parse(key: &str) -> Option<Self> {
        Some(match key.split_once(' ') {
            None if key == "templates" => Self::Templates(None),
            Some(("templates", waba_id)) => Self::Templates(Some(waba_id.to_owned())),
            Some(("sender", id)) => Self::Sender(SenderId(id.parse().ok()?)),
            _ => return None,
        })
    }
}

/// The right to read from a connection.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// From which.
    pub connection: ConnectionId,
    /// Which turn: not the one that the same instance has after it.
    pub id: Uuid,
    /// For how long it holds unless it is kept.
    pub length: Duration,
    /// How often in a row the provider as a whole refused before.
    pub failures: u32,
}

/// A subject to be read now.
#[derive(Debug, Clone)]
pub struct Poll {
    /// Which.
    pub subject: Subject,
    /// How often in a row it could not be read before.
    pub failures: u32,
}

impl Store {
    /// Makes a row for whatever is to be read and has none, and forgets what is not any more.
    pub async fn plan_polls(&self) -> Result<(), StoreError> {
        again!(self, "plan_polls", {
            sqlx::query!(
                r#"
            -- plan_polls
            WITH wanted AS (
                SELECT s.connection, 'sender ' || s.id AS about
                FROM senders s JOIN connections c ON c.id = s.connection
                WHERE c.provider = 'dialog360'
                    OR c.provider IN ('meta', 'infobip') AND s.phone_number_id <> ''
                UNION
                SELECT s.connection, CASE c.provider WHEN 'meta' THEN 'templates ' || s.waba_id
                                                     ELSE 'templates' END
                FROM senders s JOIN connections c ON c.id = s.connection
                WHERE c.provider <> 'meta' OR s.waba_id IS NOT NULL
            ),
            gone AS (
                DELETE FROM polls
                WHERE (connection, about) NOT IN (SELECT connection, about FROM wanted)
            )
            INSERT INTO polls (connection, about)
            SELECT connection, about FROM wanted
            WHERE (connection, about) NOT IN (SELECT connection, about FROM polls)
            ON CONFLICT DO NOTHING
            "#
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Nothing is to be read: nothing is late.
    pub async fn forget_polls(&self) -> Result<(), StoreError> {
        again!(self, "forget_polls", {
            sqlx::query!("-- forget_polls\nDELETE FROM polls")
                .execute(&mut *self.pool.acquire().await?)
                .await?;
            Ok(())
        })
    }

    /// Takes the turns of up to `most` connections of which something is due. Not of those that are
    /// stopped: their token is refused.
    pub async fn take_turns(&self, length: Duration, most: i64) -> Result<Vec<Turn>, StoreError> {
        let id = self.clock.new_id();
        let rows = again!(self, "take_turns", {
            Ok(sqlx::query!(
                r#"
            -- take_turns
            INSERT INTO poll_turns AS t (connection, turn, until)
            SELECT c.id, $1::uuid, clock_timestamp() + $2::interval
            FROM connections c LEFT JOIN poll_turns u ON u.connection = c.id
            WHERE c.stopped_at IS NULL AND (u.until IS NULL OR u.until <= clock_timestamp())
                AND EXISTS (
                    SELECT FROM polls p
                    WHERE p.connection = c.id AND p.due_at <= clock_timestamp()
                )
            ORDER BY u.until NULLS FIRST
            LIMIT $3
            ON CONFLICT (connection) DO UPDATE
            SET turn = excluded.turn, until = excluded.until
            -- Another instance may have been quicker.
            WHERE t.until <= clock_timestamp()
            RETURNING connection, failures
            "#,
                id,
                interval(length),
                most,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(rows
            .into_iter()
            .map(|row| Turn {
                connection: ConnectionId(row.connection),
                id,
                length,
                failures: row.failures.unsigned_abs(),
            })
            .collect())
    }

    /// Takes what has been due longest, as long as the turn is ours, and keeps the turn.
    pub async fn take_poll(&self, turn: &Turn) -> Result<Option<Poll>, StoreError> {
        let row = again!(self, "take_poll", {
            Ok(sqlx::query!(
                r#"
            -- take_poll
            WITH turn AS (
                UPDATE poll_turns SET until = clock_timestamp() + $3::interval
                WHERE connection = $1 AND turn = $2 AND until > clock_timestamp()
                RETURNING connection
            ),
            due AS (
                SELECT p.about FROM polls p JOIN turn USING (connection)
                WHERE p.connection = $1 AND p.due_at <= clock_timestamp()
                ORDER BY p.due_at
                LIMIT 1
            )
            UPDATE polls p SET due_at = clock_timestamp() + $3::interval
            FROM due
            WHERE p.connection = $1 AND p.about = due.about
            RETURNING p.about, p.failures
            "#,
                turn.connection.0,
                turn.id,
                interval(turn.length),
            )
            .fetch_optional(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        row.map(|row| {
            let subject = Subject::parse(&row.about);
            let corrupt = || StoreError::Corrupt(format!("polls.about: {}", row.about));
            Ok(Poll {
                subject: subject.ok_or_else(corrupt)?,
                failures: row.failures.unsigned_abs(),
            })
        })
        .transpose()
    }

    /// Keeps the turn for one more request. `false`: it is another's.
    pub async fn keep_turn(&self, turn: &Turn) -> Result<bool, StoreError> {
        let kept = again!(self, "keep_turn", {
            Ok(sqlx::query!(
                r#"
            -- keep_turn
            UPDATE poll_turns SET until = clock_timestamp() + $3::interval
            WHERE connection = $1 AND turn = $2 AND until > clock_timestamp()
            "#,
                turn.connection.0,
                turn.id,
                interval(turn.length),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?)
        })?;
        Ok(kept.rows_affected() > 0)
    }

    /// The subject was read: it is due again after `every`, a tenth sooner or later, so that what
    /// was made together is not read together for ever.
    pub async fn record_polled(
        &self,
        connection: ConnectionId,
        subject: &Subject,
        every: Duration,
    ) -> Result<(), StoreError> {
        again!(self, "record_polled", {
            sqlx::query!(
                r#"
            -- record_polled
            UPDATE polls
            SET failures = 0, error = NULL, read_at = clock_timestamp(),
                due_at = clock_timestamp() + $3::interval * (0.9 + 0.2 * random())
            WHERE connection = $1 AND about = $2
            "#,
                connection.0,
                subject.key(),
                interval(every),
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// The subject could not be read, and is due again after `wait`.
    pub async fn record_unread(
        &self,
        connection: ConnectionId,
        subject: &Subject,
        wait: Duration,
        error: &str,
    ) -> Result<(), StoreError> {
        again!(self, "record_unread", {
            sqlx::query!(
                r#"
            -- record_unread
            UPDATE polls
            SET failures = failures + 1, error = $4, due_at = clock_timestamp() + $3::interval
            WHERE connection = $1 AND about = $2
            "#,
                connection.0,
                subject.key(),
                interval(wait),
                error,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// Gives the turn back; nobody takes it before `pause` is over. `refused`: the provider as a
    /// whole.
    pub async fn end_turn(
        &self,
        turn: &Turn,
        pause: Duration,
        refused: bool,
    ) -> Result<(), StoreError> {
        again!(self, "end_turn", {
            sqlx::query!(
                r#"
            -- end_turn
            UPDATE poll_turns
            SET until = clock_timestamp() + $3::interval,
                failures = CASE WHEN $4 THEN failures + 1 ELSE 0 END
            WHERE connection = $1 AND turn = $2 AND until > clock_timestamp()
            "#,
                turn.connection.0,
                turn.id,
                interval(pause),
                refused,
            )
            .execute(&mut *self.pool.acquire().await?)
            .await?;
            Ok(())
        })
    }

    /// The numbers of a connection by which its templates can be listed.
    pub async fn listing_numbers(
        &self,
        connection: ConnectionId,
    ) -> Result<Vec<String>, StoreError> {
        again!(self, "listing_numbers", {
            Ok(sqlx::query_scalar!(
                r#"
            -- listing_numbers
            SELECT phone_number_id FROM senders
            WHERE connection = $1 AND phone_number_id <> ''
            ORDER BY id
            "#,
                connection.0,
            )
            .fetch_all(&mut *self.pool.acquire().await?)
            .await?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_back_as_they_were_stored() {
        for subject in [
            Subject::Templates(None),
            Subject::Templates(Some("204411887755301".into())),
            Subject::Templates(Some("with a space".into())),
            Subject::Sender(SenderId(7)),
        ] {
            assert_eq!(Subject::parse(&subject.key()), Some(subject));
        }
        assert_eq!(Subject::parse("sender x"), None);
        assert_eq!(Subject::parse("flows"), None);
    }
}
