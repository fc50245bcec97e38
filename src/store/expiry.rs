//! Messages whose time is over without a word on delivery or failure. Looked for by their time, each
//! once: how far it was looked is one row, which whoever looks holds.

use super::facts::OwnFact;
use super::{Store, StoreError, again};
use crate::model::event;
use crate::model::ids::{AttemptId, MessageId, SenderId};

impl Store {
    /// Marks what has expired, of a bounded number that is due. Returns whether there may be more.
    /// What is recorded lives longer than its transaction: nothing appears behind where it was
    /// looked.
    pub async fn expire_messages(&self) -> Result<bool, StoreError> {
        const MOST: i64 = 1000;
        again!(self, "expire_messages", {
            let mut transaction = self.begin().await?;
            let found = sqlx::query!(
                r#"
                -- expire_messages
                WITH looking AS (
                    SELECT looked_until FROM expiries FOR NO KEY UPDATE SKIP LOCKED
                ),
                due AS (
                    SELECT a.sender, a.message, a.n, a.expires_at
                    FROM attempts a
                    WHERE a.expires_at > (SELECT looked_until FROM looking) AND a.expires_at <= $1
                    ORDER BY a.expires_at
                    FETCH FIRST $2 ROWS WITH TIES
                ),
                marked AS (
                    UPDATE attempts a SET expired_at = $1
                    FROM due d
                    WHERE a.sender = d.sender AND a.message = d.message AND a.n = d.n
                        AND a.expired_at IS NULL
                        AND num_nonnulls(a.delivered_at, a.read_at, a.played_at, a.failed_at) = 0
                        -- Another attempt took its place.
                        AND NOT EXISTS (
                            SELECT FROM attempts l
                            WHERE l.sender = a.sender AND l.message = a.message AND l.n > a.n
                        )
                    RETURNING a.sender, a.message, a.n
                ),
                looked AS (
                    UPDATE expiries e
                    SET looked_until = CASE
                        WHEN (SELECT count(*) FROM due) < $2 THEN $1
                        ELSE (SELECT max(expires_at) FROM due)
                    END
                    FROM looking
                    RETURNING 1
                )
                SELECT ARRAY(SELECT sender FROM marked ORDER BY message) AS "senders!",
                       ARRAY(SELECT message FROM marked ORDER BY message) AS "messages!",
                       ARRAY(SELECT n FROM marked ORDER BY message) AS "ns!",
                       (SELECT count(*) FROM due) >= $2 AND EXISTS (SELECT FROM looked) AS "more!"
                "#,
                self.clock.now(),
                MOST,
            )
            .fetch_one(&mut *transaction)
            .await?;
            let attempts = found.senders.iter().zip(&found.messages).zip(&found.ns);
            let facts: Vec<_> = attempts
                .map(|((sender, message), n)| {
                    let message = MessageId {
                        sender: SenderId(*sender),
                        uuid: *message,
                    };
                    let attempt = AttemptId { message, n: *n };
                    OwnFact::of_attempt(attempt, event::MESSAGE_EXPIRED, "sweep")
                })
                .collect();
            self.write_facts(&mut transaction, &facts).await?;
            transaction.commit().await?;
            Ok(found.more)
        })
    }
}
